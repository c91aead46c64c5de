"""How long clients that write all the time have to wait when something goes: the distribution.

    python -m tests.faults.pauses --times 100 [-o json] [--only lead_daemon ...] [--k 3]

One client per data instance, and one that lists them in order; each adds one to rows of its own in
all replica sets, over libpq with all addresses (`host=a,b,...`), its own instance first. After an
error it reconnects if the connection is gone, and tries again 20 ms later. An event is one loss and
the return from it; its figure is the longest time that any client was without a success in it.
As root it runs in a network namespace of its own, where links are cut too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.drill import links
from tests.faults.counters import ROWS, check_counters, make_counters
from tests.support.load import Connection, LoadClient, check_errors, longest_gaps
from tests.support.real_grid import Observer, RealGrid

Strike = Callable[[RealGrid, int, list[int]], None]


@dataclass(frozen=True)
class Kind:
    """One way to lose an instance or a link. Goals of issue 3 in seconds, of median and p99."""

    title: str
    wants_lead: bool
    strike: Strike  # host of the victim, hosts of the rest of its replica set
    goals_s: tuple[float, float]
    comes_back: bool = False  # by itself
    cuts: bool = False  # links, in a network namespace
    hold_s: float = 0.0  # so long a link stays cut at least after all clients succeeded once


def _cut_both(grid: RealGrid, host: int, _: list[int]) -> None:
    links.cut(links.both_ways((host, other) for other in grid.hosts if other != host))


def _cut_out(grid: RealGrid, host: int, _: list[int]) -> None:
    links.cut([(host, other) for other in grid.hosts if other != host])


def _cut_in(grid: RealGrid, host: int, _: list[int]) -> None:
    links.cut([(other, host) for other in grid.hosts if other != host])


def _cut_pair(_: RealGrid, host: int, mates: list[int]) -> None:
    links.cut(links.both_ways((host, mate) for mate in mates))


def _cut_membership(_: RealGrid, host: int, __: list[int]) -> None:
    links.cut(links.both_ways([(host, links.MEMBERSHIP)]))


def _cut_all(grid: RealGrid, host: int, _: list[int]) -> None:
    others = [other for other in grid.hosts if other != host]
    links.cut(links.both_ways([*((host, other) for other in others), (host, links.MEMBERSHIP)]))


def _cut_stranger(grid: RealGrid, host: int, mates: list[int]) -> None:
    stranger = next(other for other in grid.hosts if other not in (host, *mates))
    links.cut(links.both_ways([(host, stranger)]))


KINDS = {
    "lead_daemon": Kind(
        "SIGKILL lead", True, lambda g, h, _: g.kill_daemon(h), (1.0, 2.0), comes_back=True
    ),
    "lead_all": Kind(
        "SIGKILL lead and supervisor", True, lambda g, h, _: g.kill_instance(h), (2.0, 2.0)
    ),
    "copy_daemon": Kind(
        "SIGKILL copy", False, lambda g, h, _: g.kill_daemon(h), (0.5, 0.5), comes_back=True
    ),
    "copy_all": Kind(
        "SIGKILL copy and supervisor", False, lambda g, h, _: g.kill_instance(h), (0.5, 0.5)
    ),
    "stop": Kind("planned stop of a lead", True, lambda g, h, _: g.stop_instance(h), (0.1, 0.1)),
    "isolate_lead": Kind("lead cut off", True, _cut_both, (2.5, 2.5), cuts=True),
    "isolate_copy": Kind("copy cut off", False, _cut_both, (2.5, 2.5), cuts=True),
    "no_membership": Kind("lead without membership", True, _cut_membership, (2.5, 2.5), cuts=True),
    "alone": Kind("lead cut off from everything", True, _cut_all, (2.5, 2.5), cuts=True),
    "deaf": Kind("lead does not hear", True, _cut_in, (2.5, 2.5), cuts=True),
    "mute": Kind("lead is not heard", True, _cut_out, (2.5, 2.5), cuts=True),
    "pair": Kind("link lead - copy cut", True, _cut_pair, (2.5, 2.5), cuts=True),
    "stranger": Kind("link lead - coordinator cut", True, _cut_stranger, (2.5, 2.5), cuts=True),
}
DEFAULT = ("lead_daemon", "lead_all", "copy_daemon", "copy_all", "stop", "isolate_lead", "pair")


class PauseClient(LoadClient):
    """Reconnects as libpq does: to the first of its addresses that takes it."""

    def __init__(self, number: int, grid: RealGrid) -> None:
        super().__init__(number, grid)
        addresses = grid.addresses()
        first = number % (len(addresses) + 1) % len(addresses)
        self._words = grid.words(",".join(addresses[first:] + addresses[:first]))
        self._words["port"] = ",".join([str(grid.plan.cs_port)] * len(addresses))
        self._words["target_session_attrs"] = "read-write"

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(**self._words)
            self.address = self._connection.info.host
        return self._connection


@dataclass
class Measured:
    """All events of one kind (seconds)."""

    key: str
    pauses_s: list[float] = field(default_factory=list)  # of each event, the worst client's
    clients_s: list[float] = field(default_factory=list)  # of each client in each event
    took_s: list[float] = field(default_factory=list)  # until everything was whole again
    errors: Counter[str] = field(default_factory=Counter)  # by SQLSTATE

    @property
    def meets_goals(self) -> bool:
        """Median and 99th percentile."""
        median_s, p99_s = KINDS[self.key].goals_s
        return statistics.median(self.pauses_s) <= median_s and share(self.pauses_s, 0.99) <= p99_s

    def figures(self) -> dict[str, Any]:
        """For programs: milliseconds."""
        kind = KINDS[self.key]
        ms = sorted(round(p * 1000, 1) for p in self.pauses_s)
        return {
            "kind": self.key,
            "title": kind.title,
            "events": len(ms),
            "goal_median_ms": kind.goals_s[0] * 1000,
            "goal_p99_ms": kind.goals_s[1] * 1000,
            "meets_goals": self.meets_goals,
            **_summary(ms),
            "every_client": _summary(sorted(round(p * 1000, 1) for p in self.clients_s)),
            "seconds_per_event": round(statistics.mean(self.took_s), 2),
            "errors": dict(sorted(self.errors.items())),
            "pauses_ms": ms,
        }

    def line(self) -> str:
        """For people."""
        found = self.figures()
        cells = "".join(f"{found[name]:>8.0f}" for name in COLUMNS)
        goal = f"{found['goal_median_ms']:.0f}/{found['goal_p99_ms']:.0f}"
        verdict = "met" if self.meets_goals else "MISSED"
        errors = " ".join(f"{state}:{count}" for state, count in found["errors"].items()) or "none"
        events = found["events"]
        return f"{found['title']:<29}{events:>4}{cells}{goal:>11} {verdict:<7} {errors}"


COLUMNS = ("min", "median", "p90", "p99", "max")
HEAD = (
    f"{'pauses in ms':<29}{'n':>4}{''.join(f'{c:>8}' for c in COLUMNS)}{'goal':>11}         errors"
)


def share(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _summary(ms: list[float]) -> dict[str, float]:
    return {
        "min": ms[0],
        "median": round(statistics.median(ms), 1),
        "p90": share(ms, 0.9),
        "p99": share(ms, 0.99),
        "max": ms[-1],
    }


async def measure(
    grid: RealGrid,
    watch: Observer,
    key: str,
    times: int,
    say: Callable[[str], None],
    hold_s: float = 0.0,
) -> Measured:
    """One kind of loss, some times, under one load. What was written is checked at the end.

    hold_s: how much longer a link stays cut when all clients have succeeded again.
    """
    found = Measured(key)
    count = len(grid.hosts) + 1
    table, work = await make_counters(grid, count)
    clients = [PauseClient(number, grid) for number in range(count)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(stop, work(client.number)))
        try:
            for number in range(times):
                rs = 1 + number % len(watch.replica_sets)
                await _event(grid, watch, found, rs, clients, hold_s)
                worst_ms, took_s = found.pauses_s[-1] * 1000, found.took_s[-1]
                say(f"{KINDS[key].title} {number + 1}/{times}: {worst_ms:.0f} ms ({took_s:.1f} s)")
        finally:
            links_heal(key)
            stop.set()
    found.errors = check_errors(clients)
    await check_counters(grid, table, list(clients))
    return found


def links_heal(key: str) -> None:
    """Put back what a kind cuts."""
    if KINDS[key].cuts:
        links.heal()


async def _event(
    grid: RealGrid,
    watch: Observer,
    found: Measured,
    rs: int,
    clients: list[PauseClient],
    hold_s: float,
) -> None:
    kind = KINDS[found.key]
    await watch.whole()
    await _all_succeed_after(clients, time.monotonic())  # the last event is over
    host = watch.lead(rs) if kind.wants_lead else watch.copy(rs)
    mates = [other for other in watch.replica_sets[rs] if other != host]
    life = watch.incarnation(host)
    at_s = time.monotonic()
    await asyncio.to_thread(kind.strike, grid, host, mates)
    await _all_succeed_after(clients, time.monotonic())
    if kind.cuts:
        await asyncio.sleep(max(hold_s, kind.hold_s))  # the load goes on
        await asyncio.to_thread(links.heal)
    else:
        if not kind.comes_back:
            await asyncio.to_thread(grid.start_daemon, host)
        await watch.reborn(host, life)
    await watch.whole()
    end_s = time.monotonic()
    pauses = longest_gaps(list(clients), at_s, end_s)
    found.clients_s += pauses
    found.pauses_s.append(max(pauses))
    found.took_s.append(end_s - at_s)


async def _all_succeed_after(clients: list[PauseClient], at_s: float) -> None:
    """Wait until each client has written each of its rows, so in every replica set, since then."""
    async with asyncio.timeout(60):
        await asyncio.gather(*(client.successes_after(at_s, ROWS) for client in clients))


@contextmanager
def a_grid(k: int, keep: Path | None) -> Iterator[RealGrid]:
    """Made in a folder of its own, which is gone in the end. keep: where to put its logs."""
    folder = Path(tempfile.mkdtemp(prefix="tgp"))  # short: Unix sockets are made in it
    grid = RealGrid.make(folder / "g", k=k, data=2 * k)
    try:
        yield grid
    finally:
        for host in grid.hosts if keep is not None else ():
            shutil.copytree(grid.home(host) / "diag", keep / f"host{host}", dirs_exist_ok=True)
        grid.destroy()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure_all(
    grid: RealGrid, keys: Sequence[str], times: int, say: Callable[[str], None], hold_s: float
) -> list[Measured]:
    found: list[Measured] = []
    async with grid.observer() as watch:
        for key in keys:
            found.append(await measure(grid, watch, key, times, say, hold_s))
            say(f"\n{HEAD}\n{found[-1].line()}\n")
    return found


def main() -> int:
    """Entry point: 0 if all goals are met."""
    parser = argparse.ArgumentParser(
        prog="tests.faults.pauses",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=100, help="events of each kind")
    parser.add_argument("--only", nargs="+", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--k", type=int, default=2, help="copies of every row")
    parser.add_argument("--hold", type=float, default=0.0, help="links stay cut longer, seconds")
    parser.add_argument("--keep", type=Path, help="folder for the logs of the data instances")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    words = parser.parse_args()
    if links.can_enter() and not links.inside():
        links.enter("tests.faults.pauses")
    if links.inside():
        links.prepare()
    keys = [k for k in words.only or DEFAULT if links.inside() or not KINDS[k].cuts]
    if not keys:
        parser.error("links are cut as root only")
    began_s = time.monotonic()

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with os.fdopen(os.dup(1), "w", closefd=True) as output:
        os.dup2(2, 1)  # what makes the grid, in this process and others, prints there
        found = _on_a_grid(words, keys, say)
        if words.output == "json":
            figures = {"k": words.k, "kinds": [m.figures() for m in found]}
            print(json.dumps(figures, indent=1), file=output)
        else:
            print("\n".join((HEAD, *(m.line() for m in found))), file=output)
    say(f"{time.monotonic() - began_s:.0f} s")
    return 0 if all(m.meets_goals for m in found) else 1


def _on_a_grid(
    words: argparse.Namespace, keys: Sequence[str], say: Callable[[str], None]
) -> list[Measured]:
    with a_grid(words.k, words.keep) as grid:
        return asyncio.run(_measure_all(grid, keys, words.times, say, words.hold))


if __name__ == "__main__":
    sys.exit(main())
