"""The benchmarks: python -m benchmarks.run [--quick]. Writes benchmarks/RESULTS.md and plots.

Starts a grid and the peers that are installed, runs every load at each of them in turn, several
times over, and stops all it started, after Ctrl-C too; what was measured until then is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks import loads, measure, pace, processes, report, store
from benchmarks.bulk import Customers
from benchmarks.goals import GOALS
from benchmarks.loads import CLIENT, COPY, GRID, SCAN, Cell
from benchmarks.result import Result
from benchmarks.targets.base import Target, bank_sum
from benchmarks.targets.galera import Galera
from benchmarks.targets.grid import Grid
from benchmarks.targets.postgresql import Citus, PostgreSQL
from benchmarks.targets.sqlite_file import SQLiteFile

PORT_BASE = 21600
PEER_PORTS, PEER_PORTS_COUNT, PEER_PORTS_STEP = 21500, 26, -100
FOLDER = "tgbench-"
BEGAN_S = time.monotonic()
RESERVE_S, RESERVE_QUICK_S = 45.0, 20.0  # to stop all, draw the plots and write the page
WARM_S = 1  # before a cell's first run: plans, caches
IDLE_S = 3.0
TRIES = 2  # of a cell that fails
LONGEST_S = {CLIENT: 120.0, COPY: 200.0, SCAN: 200.0}  # that a measurement may take in all
PEER_START_S = 240.0


def main() -> int:
    """Entry point; 1 if something failed."""
    arguments = _arguments()
    if processes.which("pgbench") is None or processes.which("psql") is None:
        print("pgbench and psql are needed: deploy/setup.sh --bench", file=sys.stderr)
        return 1
    interruptible()
    cells = [cell for cell in _cells(arguments.quick) if _wanted(cell, arguments)]
    minutes = arguments.minutes or (4.8 if arguments.quick else 34.0)
    repetitions = arguments.repetitions or (2 if arguments.quick else 3)
    run = store.Run(
        kind="quick" if arguments.quick else "full",
        began=datetime.datetime.now(datetime.UTC),
        machine=report.machine(),
        customers=arguments.rows or (200_000 if arguments.quick else 1_000_000),
    )
    files = [arguments.json] if arguments.json else []
    reserve_s = RESERVE_QUICK_S if arguments.quick else RESERVE_S
    taken_s = max(0.0, time.time() - arguments.since) if arguments.since else 0.0
    budget_s = pace.budget_s(minutes, reserve_s, taken_s)
    bench = Bench(run, budget_s, [*files, *([] if arguments.no_page else [store.BENCH])])
    for text in left_over(FOLDER):
        bench.note(text)
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    folder.chmod(0o755)  # PostgreSQL and MariaDB run as other users
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench.customers = Customers(folder, run.customers)
        try:
            bench.start(stack, _candidates(folder, arguments.port_base), {c.target for c in cells})
            bench.rounds(cells, repetitions)
        except KeyboardInterrupt:
            bench.note("interrupted: what was measured until then")
        finally:
            uninterrupted()
    bench.keep()
    return _end(bench, arguments.no_page)


def _end(bench: Bench, no_page: bool) -> int:
    print("\n".join(report.goal_table(bench.run.medians(), bench.run.customers)))
    for notice in bench.run.notices:
        print(f"- {notice}")
    if not no_page and bench.run.rows:
        report.write()
        say(f"written: {report.PAGE}")
    return 1 if bench.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the goals only, 5 minutes")
    parser.add_argument("--minutes", type=float, help="for all; the default is 34, quick 4.8")
    parser.add_argument("--since", type=float, help="they began then: seconds since the epoch")
    parser.add_argument("--repetitions", type=int, help="at most; the default is 3, quick 2")
    parser.add_argument("--only", default="", help="loads whose title has one of these,words")
    parser.add_argument("--targets", default="", help="targets whose name has one of these,words")
    parser.add_argument("--clients", type=int, help="only with so many clients")
    parser.add_argument("--rows", type=int, help="customers of the bulk load and the scan")
    parser.add_argument("--no-page", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--json", type=Path, help="write all single results there too")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help="of the grid")
    return parser.parse_args()


def _cells(quick: bool) -> list[Cell]:
    if quick:
        return list(dict.fromkeys(cell for goal in GOALS for cell in goal.cells()))
    return [*loads.goal_cells(), *loads.more_cells()]


def _wanted(cell: Cell, arguments: argparse.Namespace) -> bool:
    def has(words: str, text: str) -> bool:
        return not words or any(word.lower() in text.lower() for word in words.split(","))

    return (
        has(arguments.only, cell.load.title)
        and has(arguments.targets, cell.target)
        and arguments.clients in (None, cell.clients)
    )


def _candidates(folder: Path, port_base: int) -> list[Target]:
    peers = processes.free_base(PEER_PORTS, PEER_PORTS_COUNT, PEER_PORTS_STEP)
    return [
        Grid(folder, port_base),
        PostgreSQL(folder, peers, standby=False),
        PostgreSQL(folder, peers + 2, standby=True),
        Citus(folder, peers + 5),
        Galera(folder, peers + 10),
        SQLiteFile(folder),
    ]


class Bench:
    """One run: targets, what was measured, and the time that is left."""

    customers: Customers

    def __init__(self, run: store.Run, budget_s: float, files: list[Path]) -> None:
        self.run = run
        self.failures = 0
        self._files = files
        self._until_s = BEGAN_S + budget_s
        self._targets: dict[str, Target] = {}
        self._results: dict[Cell, list[Result]] = {}
        self._failed: Counter[Cell] = Counter()
        self._pace = pace.Pace(run.customers)
        self._seconds = pace.SHORTEST_S

    # -- targets --------------------------------------------------------------------------------
    def start(self, stack: contextlib.ExitStack, candidates: list[Target], names: set[str]) -> None:
        """Start what is wanted and installed. Raises RuntimeError if the grid does not start."""
        for target in candidates:
            if target.name not in names:
                continue
            if why := target.missing():
                self.note(f"skipped: {target.name}: {why}")
                continue
            say(f"starting {target.name}")
            stack.callback(_stop, target)
            try:
                if target.name == GRID:
                    target.start()
                else:
                    with processes.limited(PEER_START_S, target.name):
                        target.start()
            except Exception as error:
                if target.name == GRID:
                    raise
                self.note(f"skipped: {target.name} did not start: {first_line(error)}")
                continue
            self._targets[target.name] = target
        for name, target in self._targets.items():
            if name != loads.SQLITE:
                self.run.idle[name] = measure.idle_cores(target, IDLE_S)

    # -- rounds ---------------------------------------------------------------------------------
    def rounds(self, cells: list[Cell], repetitions: int) -> None:
        """Every cell once, then all again, until all is done or the time is up."""
        cells = [cell for cell in cells if cell.target in self._targets]
        needed = {cell for goal in GOALS for cell in goal.cells()}
        for number in range(1, repetitions + 1):
            to_do = cells * (repetitions - number + 1)
            if number > 1 and self._pace.seconds(to_do, self._left_s()) is None:
                cells = [cell for cell in cells if cell in needed]
                self.note(f"from round {number} on only what the goals need: short of time")
                to_do = cells * (repetitions - number + 1)
            warm_s = len(cells) * (WARM_S + pace.GUESS_OVERHEAD_S) if number == 1 else 0.0
            fitting = self._pace.seconds(to_do, self._left_s() - warm_s)
            self._seconds = fitting or pace.SHORTEST_S
            say(
                f"round {number} of {repetitions}: {len(cells)} measurements, loads of "
                f"{self._seconds} s, about {self._pace.rest_s(to_do, self._seconds) / 60:.0f} "
                "minutes for all that is left"
            )
            for place, cell in enumerate(cells):
                if not self._fits(to_do[place:]):
                    self.note(f"the time was up in round {number} of {repetitions}")
                    return
                self._measure(cell, first=number == 1)
                self._show(cell, to_do[place + 1 :], f"{number}.{place + 1}/{len(cells)}")

    def _fits(self, to_do: list[Cell]) -> bool:
        """Whether the next one still fits; shortens all that follow when they would not fit."""
        left_s = self._left_s()
        if self._pace.rest_s(to_do, self._seconds) > left_s:
            fitting = self._pace.seconds(to_do, left_s)
            self._seconds = min(self._seconds, fitting or pace.SHORTEST_S)
        return self._pace.rest_s(to_do[:1], self._seconds) <= left_s

    def _measure(self, cell: Cell, *, first: bool) -> None:
        if self._failed[cell] >= TRIES:
            return
        try:
            if first and cell.load.kind == CLIENT:
                self._take(cell, WARM_S)
            began_s = time.monotonic()
            result = self._take(cell, self._seconds)
        except Exception as error:  # half an hour is not thrown away for one row
            self._failed[cell] += 1
            self.failures += 1
            self.note(f"failed: {_name(cell)} at {cell.target}: {first_line(error)}")
            return
        self._pace.saw(cell, self._seconds, time.monotonic() - began_s)
        self._results.setdefault(cell, []).append(result)
        self.keep()

    def _take(self, cell: Cell, seconds: int) -> Result:
        with processes.limited(LONGEST_S[cell.load.kind], _name(cell)):
            return self._run(cell, seconds)

    def _run(self, cell: Cell, seconds: int) -> Result:
        target = self._targets[cell.target]
        if cell.load.kind == COPY:
            return self.customers.copy(target)
        if cell.load.kind == SCAN:
            return self.customers.scan(target, seconds)
        with _money_stays(target, cell):
            return measure.measure(target, cell, seconds)

    # -- what is known --------------------------------------------------------------------------
    def note(self, text: str) -> None:
        """Something the page has to say."""
        say(text)
        self.run.notices.append(text)

    def keep(self) -> None:
        """Write what is known so far."""
        self.run.took_s = time.monotonic() - BEGAN_S
        self.run.rows = [store.row(cell, runs) for cell, runs in self._results.items()]
        if self.run.rows:
            for file in self._files:
                store.write(file, self.run)

    def _left_s(self) -> float:
        return self._until_s - time.monotonic()

    def _show(self, cell: Cell, to_do: list[Cell], place: str) -> None:
        runs = self._results.get(cell)
        if not runs:
            return
        result = runs[-1]
        rest_s = self._pace.rest_s(to_do, self._seconds)
        say(
            f"{place} {_name(cell)}: {cell.target} {result.tps:,.4g}/s p50 {result.p50_ms:.2f} "
            f"p99 {result.p99_ms:.2f} ms, {result.cpu_us:,.4g} µs each; {rest_s / 60:.1f} min left"
        )


def _stop(target: Target) -> None:
    say(f"stopping {target.name}")
    try:
        target.stop()
    except Exception as error:  # the others have to be stopped all the same
        say(f"{target.name}: {error}")


@contextlib.contextmanager
def _money_stays(target: Target, cell: Cell) -> Iterator[None]:
    """A transfer neither makes nor loses money. Raises RuntimeError."""
    if cell.load not in (loads.TRANSFER, loads.TRANSFER_SAME):
        yield
        return
    door, login = target.doors(loads.ANY, cell.forced)[0], target.login(cell.forced)
    before = bank_sum(door, login)
    yield
    after = bank_sum(door, login)
    if before != after:
        raise RuntimeError(f"{target.name} had {before} in the bank, now {after}")


def _name(cell: Cell) -> str:
    forced = ", forced" if cell.forced else ""
    return f"{cell.load.title}, {cell.clients} clients{forced}"


def first_line(error: Exception) -> str:
    """What a page says of it."""
    return " ".join(str(error).split())[:300]


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def interruptible() -> None:
    """Ctrl-C and SIGTERM end what is being measured."""
    signal.signal(signal.SIGINT, _interrupt)  # a background job of a shell would ignore it
    signal.signal(signal.SIGTERM, _interrupt)


def left_over(folder: str) -> list[str]:
    """What a run that was killed has left, its folders' names beginning so."""
    return [
        f"{path.name} (temporary files) is of another run; its servers may take processor time"
        for path in sorted(Path(tempfile.gettempdir()).glob(f"{folder}*"))
    ]


def uninterrupted() -> None:
    """From here on all is stopped and written; a second Ctrl-C would leave servers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def say(text: str) -> None:
    """Progress, at once."""
    print(f"[{time.monotonic() - BEGAN_S:5.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
