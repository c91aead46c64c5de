"""The scenario of the eight-host grid, as `make scenario` plays it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.netns import hosts


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(1200)
@pytest.mark.skipif(bool(hosts.missing()), reason=f"missing: {', '.join(hosts.missing())}")
def test_the_life_of_a_grid_of_eight_hosts(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.scenario", "--folder", str(tmp_path / "lab")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
