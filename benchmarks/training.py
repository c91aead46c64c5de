"""Compiles the hot modules with a profile of the benchmarks' loads: python -m benchmarks.training.

`make trained`, three to four minutes. The modules are compiled so that they count what they do
(gcc's `-fprofile-generate`), a grid of them runs the loads below, and they are compiled again with
those counts (`-fprofile-use`): which branches are rare, what belongs together in memory. The result
takes the place of the plain build of the same sources. Needs what `make compiled` needs, gcc and
pgbench. Where it fails the plain build, or the sources, stay in use.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import psycopg

from benchmarks import loads, processes
from benchmarks.bulk import Customers
from benchmarks.loads import GRID, STREAMS, Cell
from benchmarks.measure import measure
from benchmarks.result import Result
from benchmarks.targets.grid import Grid
from daemons import compiled
from deploy import compile as compiling

PORT_BASE = 23600
CUSTOMERS = 50_000
COUNTING = "-fprofile-generate -fprofile-update=prefer-atomic"  # threads of readers count too
# What no load has run is compiled as without a profile, not for size.
COUNTED = "-fprofile-use -fprofile-partial-training"
SECONDS = 3  # of each load
CELLS = (
    Cell(loads.READ, 16, GRID),
    Cell(loads.READ, 64, GRID),
    Cell(loads.READ_SIMPLE, 16, GRID),
    Cell(loads.UPDATE, 16, GRID),
    Cell(loads.UPDATE, 16, GRID, forced=True),
    Cell(loads.TRANSFER, 16, GRID),
    Cell(loads.TRANSFER_SAME, 16, GRID),
)


def main() -> int:
    """Entry point."""
    if missing := compiling.what_is_missing() or _missing():
        print(f"not trained: {missing}", file=sys.stderr)
        return 1
    name = compiled.fingerprint()
    with compiling.locked() as home:
        build = compiled.build_for()
        if build is not None and (build / compiled.TRAINED).exists():
            print(f"trained already ({name[:12]})")
            return 0
        with tempfile.TemporaryDirectory(dir=home, prefix="work-") as work:
            try:
                return 0 if _train(Path(work), name) else 1
            except (RuntimeError, OSError, psycopg.Error) as error:
                print(f"not trained: {error}", file=sys.stderr)
                return 1


def _missing() -> str:
    if processes.which("pgbench") is None:
        return "pgbench is missing (deploy/setup.sh --bench)"
    words = str(sysconfig.get_config_var("CC") or "cc").split()
    said = subprocess.run([*words, "--version"], capture_output=True, text=True, check=False).stdout
    return "" if "Free Software Foundation" in said else f"{words[0]} is not gcc"


def _train(work: Path, name: str) -> bool:
    """The objects of both compilations have the same names: that is how gcc finds the counts."""
    began_s = time.monotonic()
    if not compiling.run_compiler(work, "counting", COUNTING):
        return False
    _run_loads(work / "counting")
    counted = len(list(work.rglob("*.gcda")))
    if not counted:
        raise RuntimeError("the data instances wrote no counts")
    print(f"counts of {counted} files; all is compiled again", flush=True)
    if not compiling.run_compiler(work, "lib", COUNTED):
        return False
    (work / "lib" / compiled.TRAINED).touch()
    if not compiling.put(work / "lib", name):
        return False
    print(f"compiled and trained ({name[:12]}) in {time.monotonic() - began_s:.0f} s")
    return True


def _run_loads(build: Path) -> None:
    """A grid of this build does what is to be counted. Raises RuntimeError."""
    os.environ[compiled.VARIABLE] = str(build)
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tgtrain-")))
            grid = Grid(folder, PORT_BASE)
            stack.callback(grid.stop)
            print("a grid of it is started ...", flush=True)
            grid.start()
            for cell in CELLS:
                _say(cell, measure(grid, cell, SECONDS))
            customers = Customers(folder, CUSTOMERS)
            _say(Cell(loads.BULK, STREAMS, GRID), customers.copy(grid))
            _say(Cell(loads.AGGREGATE, 1, GRID), customers.scan(grid, SECONDS))
    finally:
        del os.environ[compiled.VARIABLE]


def _say(cell: Cell, result: Result) -> None:
    forced = ", forced" if cell.forced else ""
    print(f"  {cell.load.title}{forced}, {cell.clients} clients: {result.tps:,.0f}/s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
