"""What the routing client gains: reads by key at the instance that leads the row, or at any one.

`python -m benchmarks.routing [--reads 2000] [--times 5]` makes a grid of two replica sets (four
data instances, K = 2) in a temporary folder. One client reads rows by key, each in a transaction of
its own: through PsycopgRoutes, or at one of the four instances, drawn at random. Both ways take
turns; printed is the CPU of a read (the median), of the client and of all processes of the grid,
so that others on the machine hardly disturb, and how many reads a second there were.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.processes import cpu_s
from deploy.clients.routing import PsycopgRoutes
from tests.support.real_grid import RealGrid

KEYS = 1000
Row = list[tuple[Any, ...]]
READ = b"SELECT last_name FROM customers WHERE cust_id = %s"
INSERT = b"INSERT INTO customers VALUES (%s, 'Ada', 'Lovelace', NULL, NULL, NULL, SYSDATE)"


class Cost(NamedTuple):
    """Of one read, microseconds of CPU, and reads in a second."""

    client_us: float
    grid_us: float
    per_s: float


def measured(grid: RealGrid, reads: int, read: Callable[[int], Row]) -> Cost:
    """Read so many keys, one after the other."""
    pids = list(grid.processes().values())
    keys = [random.randrange(KEYS) for _ in range(reads)]
    began_s, client_s, grid_s = time.monotonic(), time.process_time(), cpu_s(pids)
    for key in keys:
        assert read(key) == [("Lovelace",)]
    share = 1e6 / reads
    return Cost(
        (time.process_time() - client_s) * share,
        (cpu_s(pids) - grid_s) * share,
        reads / (time.monotonic() - began_s),
    )


class Ways:
    """The connections of both."""

    def __init__(self, grid: RealGrid) -> None:
        words = grid.words(",".join(grid.addresses()))
        del words["autocommit"]
        self.routes = PsycopgRoutes(make_conninfo(**words), table="customers")
        self.anywhere = [psycopg.connect(**{**words, "host": a}) for a in grid.addresses()]

    def at_the_lead(self, key: int) -> Row:
        """By the routing client."""
        with self.routes.connection(key) as connection:
            return connection.execute(READ, (key,)).fetchall()

    def at_any(self, key: int) -> Row:
        """At an instance that is drawn."""
        connection = random.choice(self.anywhere)
        rows = connection.execute(READ, (key,)).fetchall()
        connection.commit()
        return rows

    def close(self) -> None:
        """All of them."""
        self.routes.close()
        for connection in self.anywhere:
            connection.close()


def medians(costs: list[Cost]) -> Cost:
    """Of several runs."""
    return Cost(*(statistics.median(column) for column in zip(*costs, strict=True)))


def main(reads: int, times: int) -> None:
    """Both ways in turn."""
    folder = Path(tempfile.mkdtemp(prefix="tg-"))
    grid = RealGrid.make(folder)
    try:
        with psycopg.connect(**grid.words(grid.addresses()[0])) as connection:
            connection.cursor().executemany(INSERT, [(key,) for key in range(KEYS)])
        ways = Ways(grid)
        both = {"at the lead": ways.at_the_lead, "anywhere": ways.at_any}
        found: dict[str, list[Cost]] = {name: [] for name in both}
        for read in both.values():
            measured(grid, reads // 4, read)  # plans and connections are made
        for _ in range(times):
            for name, read in both.items():
                found[name].append(measured(grid, reads, read))
        ways.close()
    finally:
        grid.destroy()
    near, far = (medians(costs) for costs in found.values())
    print(f"{'':12} {'client us':>10} {'grid us':>10} {'reads/s':>10}")
    for name, cost in (("at the lead", near), ("anywhere", far)):
        print(f"{name:12} {cost.client_us:10.0f} {cost.grid_us:10.0f} {cost.per_s:10.0f}")
    ratios = (far.client_us / near.client_us, far.grid_us / near.grid_us, near.per_s / far.per_s)
    print(f"{'ratio':12} " + " ".join(f"{ratio:10.2f}" for ratio in ratios))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=2000, help="of one run")
    parser.add_argument("--times", type=int, default=5, help="runs of each way")
    words = parser.parse_args()
    main(words.reads, words.times)
