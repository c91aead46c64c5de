"""The drill: clients and faults on a grid of real processes, and a verdict on what clients saw.

    python -m tests.drill --seconds 600 --seed 1 --k 2

Makes a grid in a folder of its own and destroys it at the end. The report, the history and, after
a violation, the logs and element files are in `--out` (.grid-drill/<seed>). Exit code 1: violated.
As root it runs in namespaces of its own, where links are cut and disks are filled too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deploy.grid_plan import GridPlan
from tests.drill import clocks, disks, drill, history, links, plot, report
from tests.drill.plan import WITHOUT_ROOT, Kind
from tests.drill.report import Run
from tests.support.real_grid import RealGrid

SETS = 2
SEED_MAX = 1_000_000
BUGS = ("waits_for_nobody",)  # in planted/sitecustomize.py


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="tests.drill", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, help="of the faults and the clients; default: any")
    parser.add_argument("--k", type=int, default=2, help="copies of every row")
    parser.add_argument("--data", type=int, help="data instances; default: 2 replica sets")
    parser.add_argument("--only", nargs="+", choices=[k.name.lower() for k in Kind])
    parser.add_argument("--out", type=Path, help="folder of the report")
    parser.add_argument("--keep", action="store_true", help="logs and files also if all is well")
    parser.add_argument(
        "--no-root", action="store_true", help="no namespaces, links, disks, clocks"
    )
    parser.add_argument("--alone", action="store_true", help="never two faults at a time")
    parser.add_argument("-o", choices=("text", "json"), default="text", help="what is printed")
    parser.add_argument("--plant", choices=BUGS, help="a bug in the grid, to be found")
    words = parser.parse_args()
    if words.plant:
        os.environ["TENGRID_DRILL_PLANT"] = words.plant
        os.environ["PYTHONPATH"] = str(Path(__file__).parent / "planted")
    if links.can_enter() and not words.no_root and not links.inside():
        links.enter("tests.drill")
    if links.inside():
        links.prepare()
    seed = random.randrange(SEED_MAX) if words.seed is None else words.seed
    data = words.data or words.k * SETS
    command = f"python -m tests.drill --seconds {words.seconds:g} --seed {seed} --k {words.k}"
    command += f" --data {data}" if words.data else ""
    command += f" --only {' '.join(words.only)}" if words.only else ""
    command += " --alone" if words.alone else ""
    command += f" --plant {words.plant}" if words.plant else ""
    command += "" if links.inside() else " --no-root"
    possible = _possible()
    kinds = tuple(Kind[name.upper()] for name in words.only) if words.only else possible
    if not set(kinds) <= set(possible):
        parser.error("links and disks want root and no --no-root, clocks a C compiler besides")
    notes = tuple(f"Not possible here, not done: {k}." for k in Kind if k not in possible)
    out = words.out or Path(".grid-drill") / f"{time.strftime('%m%d-%H%M%S')}-seed{seed}"
    out.mkdir(parents=True, exist_ok=True)
    wish = drill.Wish(seed, words.seconds, command, kinds, not words.alone, notes)
    print(f"seed {seed}; again: {command}", file=sys.stderr, flush=True)
    done = asyncio.run(_drill(wish, words.k, data, out, keep=words.keep))
    print(json.dumps(report.as_json(done)) if words.o == "json" else report.text(done))
    print(f"The report, a picture and the history are in {out}", file=sys.stderr)
    return 0 if done.is_good else 1


def _possible() -> tuple[Kind, ...]:
    """What can be done on this machine."""
    if not links.inside():
        return WITHOUT_ROOT
    return tuple(kind for kind in Kind if kind is not Kind.CLOCK or clocks.can_step())


async def _drill(wish: drill.Wish, k: int, data: int, out: Path, *, keep: bool) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="tgd"))  # short: Unix sockets are made in it
    if Kind.CLOCK in wish.kinds:
        clocks.prepare(folder / "clocks", GridPlan(folder=folder, k=k, data=data).hosts())
    has_disks = Kind.DISK in wish.kinds
    grid = await asyncio.to_thread(_make, folder / "g", k, data, has_disks=has_disks)
    is_good = False
    try:
        async with grid.observer() as watch:
            await watch.whole()
            done = await drill.run(grid, watch, wish, _tell)
        (out / "report.md").write_text(report.text(done), encoding="utf-8")
        (out / "report.json").write_text(json.dumps(report.as_json(done)), encoding="utf-8")
        plot.draw(done, out / "drill.png")
        history.write(out / "history.jsonl", done.recorder.history)
        is_good = done.is_good
    finally:
        if keep or not is_good:
            _keep(grid, out)
        await asyncio.to_thread(_destroy, grid.plan, grid)
        clocks.finish()
        shutil.rmtree(folder, ignore_errors=True)
    return done


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _make(folder: Path, k: int, data: int, *, has_disks: bool) -> RealGrid:
    plan = GridPlan(folder=folder, k=k, data=data)
    try:
        if has_disks:
            disks.mount(plan)
        with contextlib.redirect_stdout(sys.stderr):  # it shows its progress
            return RealGrid.make(folder, k=k, data=data)
    except BaseException:
        disks.unmount(plan)
        command = [sys.executable, "-m", "deploy.local_grid", "destroy"]  # what was made of it
        subprocess.run(command, env={**os.environ, "GRID_DIR": str(folder)}, check=False)
        raise


def _destroy(plan: GridPlan, grid: RealGrid) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        for host in grid.hosts:
            disks.free(plan, host)
        grid.stop_processes()
        disks.unmount(plan)
        grid.destroy()


def _keep(grid: RealGrid, out: Path) -> None:
    """Logs and element files, to find out what happened."""
    for host in grid.hosts:
        for log in (grid.home(host) / "diag").glob("*"):
            shutil.copy(log, out / f"host{host}-{log.name}")
        for file in grid.element_file(host).parent.glob("element.db*"):
            shutil.copy(file, out / f"host{host}-{file.name}")
    for number, home in enumerate(grid.plan.membership_homes(), start=1):
        for log in (home / "diag").glob("*.log"):
            shutil.copy(log, out / f"membership{number}-{log.name}")


if __name__ == "__main__":
    sys.exit(main())
