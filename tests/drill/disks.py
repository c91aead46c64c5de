"""Small disks of their own for the hosts of a drill: made full, and freed.

Each host gets one tmpfs, seen in two places: its instance home and the folder of its elements.
The drill is in a mount namespace of its own (`links.enter`), so that nobody else sees them, and
they are gone with its last process.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from deploy.grid_plan import INSTANCE, GridPlan

SIZE_MB = 400  # PermSize is 256
FILLER = "filler"
CHUNKS = (1 << 20, 1 << 12)  # bytes: coarse first, then the last pages


def mount(plan: GridPlan) -> None:
    """Before the grid is made."""
    for host in plan.hosts():
        disk = _disk(plan, host)
        disk.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "drill", str(disk))
        for name, place in _places(plan, host).items():
            (disk / name).mkdir()
            place.mkdir(parents=True)
            _run("mount", "--bind", str(disk / name), str(place))


def unmount(plan: GridPlan) -> None:
    """When no process of the grid runs any more; also after a mount that failed half-way."""
    for host in plan.hosts():
        for place in (*_places(plan, host).values(), _disk(plan, host)):
            if place.is_mount():
                _run("umount", "--lazy", str(place))


def fill(plan: GridPlan, host: int) -> int:
    """Take all that is left; returns the bytes taken."""
    taken = 0
    with (_disk(plan, host) / FILLER).open("wb") as file:
        for chunk in CHUNKS:
            while True:
                try:
                    os.posix_fallocate(file.fileno(), taken, chunk)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
                taken += chunk
    return taken


def free(plan: GridPlan, host: int) -> None:
    """Give it back."""
    (_disk(plan, host) / FILLER).unlink(missing_ok=True)


def _disk(plan: GridPlan, host: int) -> Path:
    return plan.folder.parent / "disks" / f"host{host}"


def _places(plan: GridPlan, host: int) -> dict[str, Path]:
    return {
        "home": plan.folder / f"host{host}",
        "elements": plan.folder / "databases" / f"host{host}.{INSTANCE}",
    }


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
