"""The files of deploy/compose and deploy/systemd, checked by the tools that would read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
SCRIPTS = [*DEPLOY.glob("compose/*.sh"), *DEPLOY.glob("netns/*.sh")]
UNITS = {
    "tengrid-instance@.service": "grid-instance1",
    "tengrid-membership@.service": "grid-membership1",
}


def _composer() -> list[str]:
    """Compose itself, as a plugin of docker or as the older program; [] if neither is there."""
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


@pytest.mark.skipif(not _composer(), reason="no docker compose here (Debian: docker-compose)")
def test_compose_accepts_its_file() -> None:
    file = DEPLOY / "compose" / "compose.yaml"
    words = [*_composer(), "-f", str(file), "--profile", "client", "config", "--services"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hosts = [f"host{n}" for n in range(1, 9)]
    assert sorted(done.stdout.split()) == sorted(
        ["keys", "client", "ms_host1", "ms_host2", "ms_host3", *hosts]
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    for other in UNITS:
        shutil.copy(DEPLOY / "systemd" / other, tmp_path)
    unit = tmp_path / name.replace("@", f"@{UNITS[name]}")
    shutil.copy(DEPLOY / "systemd" / name, unit)
    words = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "tengrid" in line]
    assert (done.returncode, about_ours) == (0, [])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_shell_reads_the_scripts(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
