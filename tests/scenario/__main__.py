"""The life of the eight-host grid, under load: python -m tests.scenario (README.md beside this).

Linux, root. Exit code 1: a step failed, or something promised was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable
from pathlib import Path

from deploy.netns import hosts
from deploy.netns.plan import CLIENT, Lab
from protocol.errors import GridError
from tests.drill.history import Verdict
from tests.scenario import afterwards, load, steps
from tests.scenario.netns_grid import NetnsGrid

INSIDE = "TENGRID_SCENARIO_NETWORK"
FIRST = ("create", "database")
NAMES = [*steps.UNDER_LOAD, *afterwards.AFTERWARDS]


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tests.scenario", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".netns-scenario"))
    parser.add_argument("--until", choices=[*FIRST, *NAMES], help="the last step")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[])
    parser.add_argument("--no-standby", action="store_true", help="one management instance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="the hosts run on at the end")
    words = parser.parse_args()
    lab = Lab(folder=words.folder.absolute())
    grid = NetnsGrid(lab, standby=not words.no_standby)
    if not os.environ.get(INSIDE):
        if lacks := hosts.missing():
            parser.error(f"missing on this machine: {', '.join(lacks)}")
        with grid.step("Building the installation"):
            grid.build_software()
        with grid.step(f"Starting {len(lab.names())} hosts"):
            grid.start_hosts()
        _enter_client_network(lab)
    wanted = _wanted(words.until, words.only)
    try:
        verdicts = asyncio.run(_play(grid, wanted, words.seed))
    finally:
        if not words.keep:
            hosts.stop_all(lab)
            hosts.remove(lab)
    for verdict in verdicts:
        print(f"{verdict.word:<16} {verdict.checker} ({verdict.checked})")
        for line in verdict.violations[:5]:
            print(f"    {line}")
    good = all(v.word in ("holds", "not promised yet", "nothing seen") for v in verdicts)
    print("Every guarantee held." if good else "A GUARANTEE WAS VIOLATED, or a step failed.")
    return 0 if good else 1


def _wanted(until: str | None, only: list[str]) -> list[str]:
    if until in FIRST:
        return []
    last = NAMES.index(until) if until else len(NAMES)
    return [name for name in NAMES[: last + 1] if not only or name in only]


def _enter_client_network(lab: Lab) -> None:
    """Go on as a client on the external network. Does not return."""
    network = f"--net=/proc/{hosts.first_process(lab, CLIENT)}/ns/net"
    words = ["nsenter", network, sys.executable, "-m", "tests.scenario", *sys.argv[1:]]
    sys.stdout.flush()
    os.execvpe(words[0], words, {**os.environ, INSIDE: "1"})


async def _play(grid: NetnsGrid, wanted: list[str], seed: int) -> list[Verdict]:
    with grid.step("create: grid1, K=3, hosts by ssh"):
        await steps.create(grid)
    with grid.step("database: database1, open"):
        await steps.database(grid)
    if not wanted:
        return []
    wrong: list[str] = []
    verdicts: list[Verdict] = []
    async with load.clients(grid, seed) as running:
        await running.works()
        for name in (n for n in wanted if n in steps.UNDER_LOAD):
            began_s = time.monotonic()
            step = steps.UNDER_LOAD[name]
            wrong += await _try(grid, name, step.__doc__ or "", step(grid, running))
            if wrong:
                break
            done, not_done, pause_s = running.since(began_s)
            print(f"    {done} acknowledged, {not_done} refused, longest pause {pause_s:.1f} s")
    verdicts += await asyncio.to_thread(running.judge)
    for name in (n for n in wanted if n in afterwards.AFTERWARDS):
        if wrong:
            break
        after = afterwards.AFTERWARDS[name]

        async def add(work: Awaitable[list[Verdict]]) -> None:
            verdicts.extend(await work)

        wrong += await _try(grid, name, after.__doc__ or "", add(after(grid, running)))
    return [Verdict("the steps", len(wanted), tuple(wrong)), *verdicts]


async def _try(grid: NetnsGrid, name: str, what: str, work: Awaitable[None]) -> list[str]:
    """Do a step; what is wrong with it, if anything is."""
    try:
        with grid.step(f"{name}: {what.splitlines()[0]}"):
            await work
    except (GridError, AssertionError, TimeoutError) as error:
        traceback.print_exc()
        return [f"{name}: {error or type(error).__name__}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
