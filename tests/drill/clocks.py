"""Wall clocks of the hosts of a drill, that can be stepped: see `clock_shim.c`."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

SHIM = Path(__file__).with_name("clock_shim.c")
FOLDER_VARIABLE = "TENGRID_DRILL_CLOCKS"


def can_step() -> bool:
    """Whether this machine has a C compiler."""
    return shutil.which("cc") is not None


def prepare(folder: Path, hosts: Iterable[int]) -> None:
    """Processes that are started from now on by this one, of a host, follow that host's clock."""
    folder.mkdir(parents=True)
    library = folder / "clock_shim.so"
    words = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    for host in hosts:
        (folder / f"host{host}").write_bytes(struct.pack("q", 0))
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ["LD_PRELOAD"] = str(library)


def finish() -> None:
    """No process that is started from now on follows any of these clocks."""
    os.environ.pop(FOLDER_VARIABLE, None)
    os.environ.pop("LD_PRELOAD", None)


def step(host: int, to_s: float) -> None:
    """The host's clock differs from this machine's by so many seconds from now on."""
    path = Path(os.environ[FOLDER_VARIABLE]) / f"host{host}"
    with path.open("r+b") as file:  # in place: it is mapped
        file.write(struct.pack("q", round(to_s * 1e9)))
