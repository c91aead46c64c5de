"""Compiles the hot modules with mypyc: python -m deploy.compile (make compiled).

It takes about 100 s of processor time, on all processors; it prints how far it is.

Needs a C compiler, Python's headers and mypy. What is compiled, where it goes and when it is used:
daemons/compiled.py. A build that is there already is not made again; old ones are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from daemons import compiled

KEPT = 3  # builds: branches that are worked on in turn


def main() -> int:
    """Entry point."""
    if missing := what_is_missing():
        print(f"not compiled, the sources are used: {missing}", file=sys.stderr)
        return 1
    name = compiled.fingerprint()
    with locked() as home:
        if compiled.build_for() is not None:
            print(f"compiled already ({name[:12]})")
            return 0
        return _build(name, home)


@contextlib.contextmanager
def locked() -> Iterator[Path]:
    """Where the builds lie, to oneself, without what others left when they were killed."""
    home = compiled.folder_of("any").parent
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in home.glob("work-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield home


def what_is_missing() -> str:
    """Why it cannot be done here; "" if it can."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler}; Debian: apt-get install gcc)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers are missing (Debian: apt-get install python3-dev)"
    try:
        import mypyc  # noqa: F401
    except ImportError:
        return "mypy is missing (deploy/setup.sh --test installs it)"
    return ""


def _build(name: str, home: Path) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=home, prefix="work-") as work:
        if not run_compiler(Path(work), "lib"):
            print("compiling failed; the sources are used", file=sys.stderr)
            return 1
        if not put(Path(work) / "lib", name):
            return 1
    print(f"compiled ({name[:12]}) in {time.monotonic() - began:.0f} s")
    return 0


def run_compiler(work: Path, made: str, flags: str = "") -> bool:
    """All modules with these flags of the C compiler into a folder of this name below `work`."""
    count = len(compiled.MODULES)
    print(f"compiling {count} modules (about 100 s of processor time) ...", flush=True)
    files = [f"{module.replace('.', '/')}.py" for module in compiled.MODULES]
    command = [sys.executable, "-m", "deploy.mypyc_build", str(work), made, *files]
    environment = {**os.environ, "CFLAGS": f"-w {flags}", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=compiled.ROOT, env=environment, check=False)
    if done.returncode == 0:
        (work / made / compiled.COMPLETE).touch()
    return done.returncode == 0


def put(made: Path, name: str) -> bool:
    """Have a new build used from now on; not if the sources are others by now."""
    if compiled.fingerprint() != name:
        print("the sources were changed meanwhile: compile again", file=sys.stderr)
        return False
    final = compiled.folder_of(name)
    shutil.rmtree(final, ignore_errors=True)
    made.rename(final)
    _remove_old(final.parent)
    return True


def _remove_old(home: Path) -> None:
    builds = [path.parent for path in home.glob(f"*/{compiled.COMPLETE}")]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
