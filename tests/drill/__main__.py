"""The drill: clients and faults on a grid of real processes, and a verdict on what clients saw.

    python -m tests.drill --seconds 600 --seed 1 --k 2

Makes a grid in a folder of its own and destroys it at the end. The report, the history and, after
a violation, the logs and element files are in `--out` (.grid-drill/<seed>). Exit code 1: violated.
As root it runs in a network namespace of its own, where links between instances are cut too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.drill import drill, history, links, report
from tests.drill.faults import WITHOUT_LINKS, Kind
from tests.drill.report import Run
from tests.support.real_grid import RealGrid

SETS = 2
SEED_MAX = 1_000_000


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
    parser.add_argument("--no-links", action="store_true", help="no namespace, no cut links")
    words = parser.parse_args()
    if links.can_enter() and not words.no_links and not links.inside():
        links.enter("tests.drill")
    if links.inside():
        links.prepare()
    seed = random.randrange(SEED_MAX) if words.seed is None else words.seed
    data = words.data or words.k * SETS
    command = f"python -m tests.drill --seconds {words.seconds:g} --seed {seed} --k {words.k}"
    command += f" --data {data}" if words.data else ""
    command += f" --only {' '.join(words.only)}" if words.only else ""
    command += "" if links.inside() else " --no-links"
    possible = tuple(Kind) if links.inside() else WITHOUT_LINKS
    kinds = tuple(Kind[name.upper()] for name in words.only) if words.only else possible
    if not set(kinds) <= set(possible):
        parser.error("links are cut as root and without --no-links only")
    out = words.out or Path(".grid-drill") / f"{time.strftime('%m%d-%H%M%S')}-seed{seed}"
    out.mkdir(parents=True, exist_ok=True)
    wish = drill.Wish(seed, words.seconds, command, kinds)
    print(f"seed {seed}; again: {command}", flush=True)
    done = asyncio.run(_drill(wish, words.k, data, out, keep=words.keep))
    print(report.text(done))
    print(f"The report, a picture and the history are in {out}")
    return 0 if done.is_good else 1


async def _drill(wish: drill.Wish, k: int, data: int, out: Path, *, keep: bool) -> Run:
    folder = Path(tempfile.mkdtemp(prefix="tgd"))  # short: Unix sockets are made in it
    grid = await asyncio.to_thread(_make, folder / "g", k, data)
    is_good = False
    try:
        async with grid.observer() as watch:
            await watch.whole()
            done = await drill.run(grid, watch, wish, lambda text: print(text, flush=True))
        (out / "report.md").write_text(report.text(done), encoding="utf-8")
        (out / "throughput.svg").write_text(report.picture(done), encoding="utf-8")
        history.write(out / "history.jsonl", done.recorder.history)
        is_good = done.is_good
    finally:
        if keep or not is_good:
            _keep(grid, out)
        await asyncio.to_thread(grid.destroy)
        shutil.rmtree(folder, ignore_errors=True)
    return done


def _make(folder: Path, k: int, data: int) -> RealGrid:
    try:
        return RealGrid.make(folder, k=k, data=data)
    except BaseException:
        command = [sys.executable, "-m", "deploy.local_grid", "destroy"]  # what was made of it
        subprocess.run(command, env={**os.environ, "GRID_DIR": str(folder)}, check=False)
        raise


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
