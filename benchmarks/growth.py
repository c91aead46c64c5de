"""How cost grows: python -m benchmarks.growth [--grids 2x2,2x4]. Part of benchmarks/RESULTS.md.

Grids of K copies and so many data instances, one after the other on this machine, each with the
same number of clients per data instance: CPU of all processes per operation, CPU without any
client, and at one of them memory per idle connection, per million rows and per element. On one
machine throughput cannot grow, since all instances share its processors; cost can be seen all the
same: it should not depend on the number of instances.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import growth_report, loads, measure, processes, report, store
from benchmarks.bulk import Customers
from benchmarks.loads import GRID, Cell, Load
from benchmarks.result import Result
from benchmarks.run import first_line, interruptible, left_over, say, uninterrupted
from benchmarks.targets.base import connect
from benchmarks.targets.grid import Grid

FOLDER = "tggrow-"
PORT_BASE = 21600
GRIDS = (  # (K, data instances); what matters most comes first, for the time may not be enough
    *((2, 4), (2, 2), (2, 8), (2, 16), (1, 4), (3, 6), (1, 16), (3, 15)),
    *((1, 2), (3, 3), (1, 8), (3, 9)),
)
READ_KS = (1, 2)  # a third copy changes nothing for a read
MEMORY_AT = (2, 4)
CONNECTIONS = 500
PER_INSTANCE = 4  # clients
IDLE_S, SETTLE_S = 5.0, 2.0
LONGEST_S, MEMORY_S = 90.0, 240.0  # that one measurement may take in all
NO_INSTANCES = 8  # a grid takes as long as so many instances besides those it has
OPERATIONS: tuple[tuple[str, Load], ...] = (
    ("local read", loads.READ_LEAD),
    ("remote read", loads.READ_OTHER),
    ("update, client at the lead", loads.UPDATE_LEAD),
    ("update, client elsewhere", loads.UPDATE_OTHER),
    ("two-set transaction", loads.TRANSFER),
)


def main() -> int:
    """Entry point; 1 if a grid or a load failed."""
    arguments = _arguments()
    began_s = time.monotonic()
    growth = store.Growth(
        began=datetime.datetime.now(datetime.UTC),
        machine=report.machine(),
        clients=PER_INSTANCE,
    )
    files = [arguments.json] if arguments.json else []
    files += [] if arguments.no_page else [store.GROWTH]
    growth.notices += left_over(FOLDER)
    seen_s: dict[int, float] = {}
    for k, data in arguments.grids:
        if time.monotonic() - began_s + expected_s(data, seen_s) > arguments.minutes * 60:
            growth.notices.append(f"no time was left for {data} data instances with K={k}")
            continue
        grid_began_s = time.monotonic()
        whole = _measured(growth, k, data, arguments)
        seen_s[data] = max(seen_s.get(data, 0.0), time.monotonic() - grid_began_s)
        for file in files:
            store.write(file, growth)
        if not whole:
            break
    print("\n".join(growth_report.section(growth)))
    if not arguments.no_page:
        report.write()
    return 1 if any(text.startswith("failed") for text in growth.notices) else 0


def _measured(growth: store.Growth, k: int, data: int, arguments: argparse.Namespace) -> bool:
    """One grid, made and destroyed; False if all is to end."""
    interruptible()
    folder = Path(tempfile.mkdtemp(prefix=FOLDER))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            _one_grid(growth, stack, folder, k, data, arguments)
        except Exception as error:  # the other grids are measured all the same
            text = first_line(error).replace(f"{folder}/", "")
            note(growth, f"failed: {data} data instances, K={k}: {text}")
        except KeyboardInterrupt:
            note(growth, "interrupted: what was measured until then")
            return False
        finally:
            uninterrupted()
    return True


def note(growth: store.Growth, text: str) -> None:
    """Something the page has to say."""
    say(text)
    growth.notices.append(text)


def expected_s(data: int, seen_s: Mapping[int, float]) -> float:
    """How long a grid of so many data instances may take, from what others took by their number."""
    return max(
        (took_s * (NO_INSTANCES + data) / (NO_INSTANCES + n) for n, took_s in seen_s.items()),
        default=0.0,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    shown = ",".join(f"{k}x{data}" for k, data in GRIDS)
    parser.add_argument("--grids", type=grids, default=GRIDS, help=f"KxDATA, default {shown}")
    parser.add_argument("--seconds", type=int, default=5, help="of each load")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=30, help="no grid is begun that would not end by then"
    )
    parser.add_argument("--rows", type=int, default=500_000, help="of which memory is measured")
    parser.add_argument("--no-page", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--json", type=Path, help="write all single results there too")
    parser.add_argument("--port-base", type=int, default=PORT_BASE)
    return parser.parse_args()


def grids(text: str) -> tuple[tuple[int, int], ...]:
    """2x4,1x8: (K, data instances). Raises ValueError."""
    pairs = [tuple(map(int, word.split("x"))) for word in text.split(",")]
    return tuple((k, data) for k, data in pairs)


def without_idle(result: Result, cores: float) -> Result:
    """Without the CPU that the grid uses when nobody asks for anything."""
    each_us = cores * 1e6 / result.tps if result.tps else 0.0
    return dataclasses.replace(result, cpu_us=max(0.0, result.cpu_us - each_us))


def _one_grid(
    growth: store.Growth,
    stack: contextlib.ExitStack,
    folder: Path,
    k: int,
    data: int,
    arguments: argparse.Namespace,
) -> None:
    say(f"K={k}, {data} data instances: starting")
    grid = Grid(folder, arguments.port_base, k=k, data=data, databases=(False,))
    stack.callback(grid.stop)
    grid.start()
    cores = measure.idle_cores(grid, IDLE_S)
    say(f"without clients {cores:.2f} cores")
    if (k, data) == MEMORY_AT:  # before the loads: what they free would serve the connections
        _remember(growth, "memory of connections", lambda: _memory_of_clients(grid))
    points = {}
    for operation, load in OPERATIONS:
        if possible(load, k, data) and worth(load, k):
            points[load] = store.Point(
                operation=operation, k=k, data=data, runs=[], idle_us=cores * 1e6 / data
            )
    growth.points += points.values()
    for number in range(arguments.repetitions):
        for load, point in list(points.items()):
            cell = Cell(load, PER_INSTANCE * data, GRID)
            try:
                with processes.limited(LONGEST_S, point.operation):
                    if not number:
                        measure.measure(grid, cell, 1)  # plans, caches
                    result = without_idle(measure.measure(grid, cell, arguments.seconds), cores)
            except Exception as error:  # the other loads are measured all the same
                why = f"{data} data instances, K={k}: {first_line(error)}"
                note(growth, f"failed: {point.operation}, {why}")
                del points[load]
                continue
            point.runs.append(result)
            say(f"{point.operation}: {result.cpu_us:.0f} µs each, {result.tps:,.0f}/s")
    if (k, data) == MEMORY_AT:
        rows = arguments.rows
        _remember(growth, "memory of rows", lambda: _memory_of_rows(grid, folder, rows))


def possible(load: Load, k: int, data: int) -> bool:
    """Whether so many instances can do it: one replica set knows no other one, and an instance of
    the same set answers a read itself (reads at a copy)."""
    sets = data // k
    if load == loads.READ_OTHER or load.where == loads.CROSS:
        return sets > 1
    return load.where != loads.OTHER or data > 1


def worth(load: Load, k: int) -> bool:
    """Whether its cost can depend on K."""
    return k in READ_KS or load not in (loads.READ_LEAD, loads.READ_OTHER)


def _remember(growth: store.Growth, what: str, measured: Callable[[], dict[str, float]]) -> None:
    try:
        with processes.limited(MEMORY_S, what):
            growth.memory.update(measured())
    except Exception as error:  # the loads are measured all the same
        note(growth, f"failed: {what}: {first_line(error)}")


def _memory_of_clients(grid: Grid) -> dict[str, float]:
    """Bytes, proportional set size: of a data instance, and of each connection to one."""
    say("memory, idle connections")
    door, login = grid.doors(loads.ANY, False)[0], grid.login(False)
    daemons = grid.daemons()
    time.sleep(SETTLE_S)
    small, before = _used(daemons) / len(daemons), _used(daemons[:1])
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = stack.enter_context(contextlib.closing(connect(door, login)))
            connection.execute("SELECT balance FROM bank WHERE branch = 1 AND id = 1")
        time.sleep(SETTLE_S)
        grown = each_more(before, _used(daemons[:1]), CONNECTIONS)
    return {
        "a data instance with one small database": small,
        "an idle connection that has run a statement": grown,
    }


def each_more(before: float, after: float, count: float) -> float:
    """What each of them added. Raises ValueError if nothing grew: it was not they that was seen."""
    if after <= before:
        raise ValueError(f"nothing grew: {before:,.0f} bytes before, {after:,.0f} after")
    return (after - before) / count


def _memory_of_rows(grid: Grid, folder: Path, rows: int) -> dict[str, float]:
    """Bytes, in all data instances and on disk; and of one more element."""
    say(f"memory, {rows:,} rows")
    daemons, found = grid.daemons(), {}
    time.sleep(SETTLE_S)
    before, files = _used(daemons), _files(grid)
    Customers(folder, rows).copy(grid)
    time.sleep(SETTLE_S)
    millions = rows * grid.plan.k / 1e6
    found["a million customers in one copy, memory"] = each_more(before, _used(daemons), millions)
    found["a million customers in one copy, files"] = each_more(files, _files(grid), millions)
    before = _used(daemons)
    grid.make_database(forced=True)
    time.sleep(SETTLE_S)
    more = each_more(before, _used(daemons), len(daemons))
    found["one more element (a database with the small tables)"] = more
    return found


def _used(daemons: list[int]) -> int:
    return processes.memory_bytes(daemons)


def _files(grid: Grid) -> int:
    return sum(f.stat().st_blocks * 512 for f in grid.plan.folder.rglob("*") if f.is_file())


if __name__ == "__main__":
    sys.exit(main())
