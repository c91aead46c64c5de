"""setuproot: the start-up script goes into /etc/init.d and out of it again."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

import pytest

from mgmt.cli import instance_home
from mgmt.transport.installation import create_installation
from protocol.instance_file import InstanceSettings

# In a mount namespace of its own, with a copy of /etc.
_APART = """\
set -e
mkdir "$1" && cp -a /etc/init.d /etc/rc?.d "$1"
for name in "$1"/*; do mount --bind "$name" "/etc/$(basename "$name")"; done
shift
exec "$@"
"""


def home_of(folder: Path) -> Path:
    """An instance home, as ttInstanceCreate makes it."""
    home = folder / "instance1"
    settings = InstanceSettings(
        name="instance1",
        kind="mgmt",
        home=str(home),
        daemon_port=1,
        cs_port=2,
        installation=str(create_installation(folder)),
    )
    instance_home.create(settings, short_name="instance1", user=getpass.getuser())
    return home


def test_the_script_knows_whether_the_instance_runs(tmp_path: Path) -> None:
    script = home_of(tmp_path) / "startup" / "tt_instance1"
    done = subprocess.run([script, "status"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "Instance instance1 does not run.\n")
    (tmp_path / "instance1" / "info" / "daemon.pid").write_text(str(os.getpid()))
    done = subprocess.run([script, "status"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"Instance instance1 runs (PID: {os.getpid()}).\n")
    done = subprocess.run([script, "dance"], capture_output=True, text=True, check=False)
    assert done.returncode == 2


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, in a mount namespace")
def test_setuproot_installs_and_removes_it(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    commands = f"""\
set -e
{home}/bin/setuproot -install
cmp {home}/startup/tt_instance1 /etc/init.d/tt_instance1
ls /etc/rc3.d | grep tt_instance1
/etc/init.d/tt_instance1 status || [ $? = 3 ]
{home}/bin/setuproot -uninstall
[ ! -e /etc/init.d/tt_instance1 ]
echo 'of somebody else' >/etc/init.d/tt_instance1
! {home}/bin/setuproot -install
"""
    words = ["unshare", "--mount", "bash", "-c", _APART, "bash", str(tmp_path / "etc")]
    done = subprocess.run(
        [*words, "bash", "-c", commands], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "belongs to another instance" in done.stderr
    assert not Path("/etc/init.d/tt_instance1").exists()
