"""How long clients that write all the time have to wait when an instance goes: the distribution.

    python -m tests.faults.pauses --times 20

One client per data instance and two more, each adding to rows of its own in both replica sets, with
libpq's way of reconnecting to the next address. A figure is one client's longest time without a
success around one event.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.counters import check_counters, make_counters
from tests.support.load import LoadClient, check_errors, longest_gaps, under_load
from tests.support.real_grid import Observer, RealGrid

CLIENTS = 6
AFTER_S = 1.0


@dataclass(frozen=True)
class Kind:
    """One way to lose an instance."""

    name: str
    choose: Callable[[Observer, int], int]  # host of the victim, of a replica set
    strike: Callable[[RealGrid, int], None]
    comes_back: bool  # by itself


KINDS = (
    Kind("lead, daemon killed", Observer.lead, RealGrid.kill_daemon, True),
    Kind("lead, supervisor killed too", Observer.lead, RealGrid.kill_instance, False),
    Kind("copy, daemon killed", Observer.copy, RealGrid.kill_daemon, True),
    Kind("copy, supervisor killed too", Observer.copy, RealGrid.kill_instance, False),
    Kind("lead, planned stop", Observer.lead, RealGrid.stop_instance, False),
)


@dataclass
class Measured:
    """All figures of one kind (seconds)."""

    kind: str
    pauses_s: list[float] = field(default_factory=list)
    worst_s: list[float] = field(default_factory=list)  # of each event, over the clients
    errors: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """For people: milliseconds."""
        every = sorted(self.pauses_s)
        shown = (
            statistics.median(every),
            every[min(len(every) - 1, int(len(every) * 0.99))],
            statistics.median(self.worst_s),
            max(self.worst_s),
        )
        cells = "".join(f"{value * 1000:>9.0f}" for value in shown)
        return f"{self.kind:<30}{len(self.worst_s):>4}{cells}  {dict(self.errors)}"


HEAD = f"{'':<30}{'n':>4}{'median':>9}{'p99':>9}{'worst~':>9}{'worst':>9}  errors (ms)"


async def measure(
    grid: RealGrid, watch: Observer, kind: Kind, times: int, say: Callable[[str], None]
) -> Measured:
    """One kind of loss, some times, under one load. Checks what was written too."""
    found = Measured(kind.name)
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        for number in range(times):
            await watch.whole()
            await asyncio.sleep(AFTER_S)  # the load goes on
            pauses = await _event(grid, watch, kind, 1 + number % 2, clients)
            found.pauses_s += pauses
            found.worst_s.append(max(pauses))
            say(f"{kind.name} {number + 1}: {max(pauses) * 1000:.0f} ms")
        await watch.whole()
    found.errors = check_errors(clients)
    await check_counters(grid, table, clients)
    return found


async def _event(
    grid: RealGrid, watch: Observer, kind: Kind, rs: int, clients: list[LoadClient]
) -> list[float]:
    host = kind.choose(watch, rs)
    at_s = time.monotonic()
    await asyncio.to_thread(kind.strike, grid, host)
    await _all_succeed_after(clients, time.monotonic())
    pauses = longest_gaps(clients, at_s, time.monotonic())
    if not kind.comes_back:
        await watch.gone(host)
        await asyncio.to_thread(grid.start_instance, host)
    return pauses


async def _all_succeed_after(clients: list[LoadClient], at_s: float) -> None:
    """Wait until each client has written rows of both replica sets since then."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(client.successes_after(at_s, 25) for client in clients))


async def _main(times: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tgp"))
    grid = await asyncio.to_thread(RealGrid.make, folder / "g")
    lines = [HEAD]
    try:
        async with grid.observer() as watch:
            for kind in KINDS:
                measured = await measure(grid, watch, kind, times, print)
                lines.append(measured.line())
                print(lines[-1])
    finally:
        await asyncio.to_thread(grid.destroy)
        shutil.rmtree(folder, ignore_errors=True)
        print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    asyncio.run(_main(parser.parse_args().times))
