"""The checks of tests/conftest.py find what they are there for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = ROOT / "tests" / "conftest.py"  # read, never imported twice
HEAD = "import asyncio, socket, subprocess, pytest\nKEPT = []\n"
LEAKS = {
    "asyncio tasks": "async def test_x():\n    KEPT.append(asyncio.create_task(asyncio.sleep(99)))",
    "sockets open": ("def test_x():\n    KEPT.append(socket.create_server(('127.0.0.1', 0)))"),
    "processes running": (
        "def test_x():\n    KEPT.append(subprocess.Popen(['sleep', '8'], start_new_session=True))"
    ),
}
CLEAN = {
    "task": "async def test_x():\n    await asyncio.create_task(asyncio.sleep(0))",
    "socket": "def test_x():\n    socket.create_server(('127.0.0.1', 0)).close()",
    "process": "def test_x():\n    subprocess.run(['true'])",
    "fixture of a module": (
        "@pytest.fixture(scope='module')\n"
        "def server():\n    s = socket.create_server(('127.0.0.1', 0))\n"
        "    yield s\n    s.close()\n"
        "def test_x(server):\n    pass"
    ),
}


def run(folder: Path, text: str) -> tuple[int, str]:
    """Run one test file under a copy of our conftest."""
    (folder / "conftest.py").write_text(
        CONFTEST.read_text().replace("GRACE_S = 5.0", "GRACE_S = 0.3")
    )
    (folder / "test_it.py").write_text(HEAD + text + "\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "asyncio"]
    done = subprocess.run(
        [*command, "-o", "asyncio_mode=auto", "--rootdir", str(folder), "test_it.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("what", LEAKS)
def test_a_test_that_leaves_something_fails(tmp_path: Path, what: str) -> None:
    code, said = run(tmp_path, LEAKS[what])
    assert code == 1, said
    assert what in said


@pytest.mark.parametrize("what", CLEAN)
def test_a_test_that_cleans_up_passes(tmp_path: Path, what: str) -> None:
    code, said = run(tmp_path, CLEAN[what])
    assert code == 0, said
