"""What clients notice while a grid of real processes grows by a replica set, and shrinks again.

    python -m benchmarks.growing [--rows 1000000] [--clients 16]

A grid of two replica sets of two copies gets a third, and gives it up, by the administrator's
commands; pgbench updates rows by key all along. Then every row is counted, each update that was
acknowledged is looked for, and the files of every copy are read: each row has to be where its
bucket is owned, on both copies, once.
"""

from __future__ import annotations

import argparse
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.support import commands
from tests.support.command_database import (
    LIKE_HOST3,
    WAIT,
    command_grid,
    connect,
    replica_sets,
    socket_folder,
    until_opened,
)
from tests.support.commands import CommandGrid

WARM_S, PHASE_S = 5.0, 20.0
TABLE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%.T'"
UPDATE = "\\set id random(0, {last})\nUPDATE bench.t SET n = n + 1 WHERE id = :id;\n"
PROGRESS = re.compile(r"progress: [\d.]+ s, ([\d.]+) tps, .*?, (\d+) failed")
FAILED = re.compile(r"number of failed transactions: (\d+)")
ENDED = re.compile(r"number of transactions actually processed: (\d+)")


def main() -> int:
    """Entry point; 1 if a row or an update is not where it has to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=16)
    arguments = parser.parse_args()
    commands.COMMAND_TIMEOUT_S = 3600
    with command_grid({4: 2, 5: 1, 6: 2}, perm_mb=2048) as grid:
        return measure(grid, arguments.rows, arguments.clients)


def measure(grid: CommandGrid, rows: int, clients: int) -> int:
    """One run."""
    fill(grid, rows)
    say(f"{rows:,} rows in two replica sets, {clients} clients")
    load = Load(grid, rows, clients)
    time.sleep(WARM_S)
    before = load.rate(PHASE_S)
    say(f"before: {before:,.0f} updates/s")
    during = {
        "add": load.rate_of(lambda: grow(grid)),
        "remove": load.rate_of(lambda: shrink(grid)),
    }
    after = load.rate(PHASE_S)
    done, failed = load.end()
    for name, (rate, seconds) in during.items():
        say(f"{name}: {rate:,.0f} updates/s for {seconds:.0f} s, {rate / before:.0%} of before")
    say(f"after: {after:,.0f} updates/s")
    with connect(grid) as client:
        counted = client.execute("SELECT COUNT(*), SUM(n) FROM bench.t").fetchone()
    say(f"{done:,} updates acknowledged, {failed} transactions failed; counted {counted}")
    places = {host: n for n, set_ in enumerate(replica_sets(grid), 1) for host in set_}
    grid.admin("dbClose", "database1", *WAIT)
    grid.admin("dbUnload", "database1", *WAIT)
    wrong = misplaced(grid, rows, places)
    for text in wrong:
        say(f"WRONG: {text}")
    return int(bool(wrong) or counted != (rows, done))


def say(text: str) -> None:
    """Progress, at once."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def fill(grid: CommandGrid, rows: int) -> None:
    """The rows."""
    with connect(grid) as client:
        client.execute("CREATE USER bench IDENTIFIED BY 'bench'")
        client.execute(
            "CREATE TABLE bench.t (id TT_INTEGER NOT NULL PRIMARY KEY, n TT_INTEGER NOT NULL,"
            " pad VARCHAR2(100)) DISTRIBUTE BY HASH"
        )
        with client.cursor() as cursor, cursor.copy("COPY bench.t FROM STDIN") as copy:
            for number in range(rows):
                copy.write_row((number, 0, "x" * 60))


def grow(grid: CommandGrid) -> None:
    """A third replica set, as an administrator makes it."""
    for number, group in ((7, 1), (8, 2)):
        grid.add_host(number, group, *LIKE_HOST3)
    grid.admin("modelApply")
    until_opened(grid, "host7", "host8")
    grid.admin("dbDistribute", "database1", "-add", "host7", "-add", "host8", "-apply")


def shrink(grid: CommandGrid) -> None:
    """And away with it."""
    grid.admin("dbDistribute", "database1", "-remove", "host7", "-remove", "host8", "-apply")


class Load:
    """pgbench at one host; its progress lines are the rates."""

    def __init__(self, grid: CommandGrid, rows: int, clients: int) -> None:
        script = grid.folder / "update.sql"
        script.write_text(UPDATE.format(last=rows - 1))
        words = ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-P", "1"]
        words += ["-T", "100000", "--max-tries", "100", "-f", str(script)]
        words += ["-h", socket_folder(grid, 4), "-p", str(grid.cs_port), "database1"]
        self._said = (grid.folder / "pgbench.log").open("w+")
        self._process = subprocess.Popen(words, stdout=self._said, stderr=subprocess.STDOUT)

    def _rates(self) -> list[float]:
        text = Path(self._said.name).read_text()
        assert self._process.poll() is None, text[-1000:]
        return [float(rate) for rate, _ in PROGRESS.findall(text)]

    def rate(self, seconds: float) -> float:
        """Of the next seconds."""
        return self.rate_of(lambda: time.sleep(seconds))[0]

    def rate_of(self, work: object) -> tuple[float, float]:
        """While something is done, and how long that took."""
        before, began_s = len(self._rates()), time.monotonic()
        work()  # type: ignore[operator]
        rates = self._rates()[before:]
        return sum(rates) / max(1, len(rates)), time.monotonic() - began_s

    def end(self) -> tuple[int, int]:
        """Transactions done, and failed."""
        self._rates()
        self._process.send_signal(signal.SIGALRM)  # its own timer: it ends in order
        self._process.wait(60)
        text = Path(self._said.name).read_text()
        done, failed = ENDED.search(text), FAILED.search(text)
        assert done, text[-1000:]
        return int(done[1]), int(failed[1]) if failed else 0


def misplaced(grid: CommandGrid, rows: int, places: dict[str, int]) -> list[str]:
    """Read the files of every copy: what is not as it has to be."""
    wrong: list[str] = []
    total, sets = 0, {}
    for file in sorted(grid.folder.glob("*/databases/database1/element.db")):
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        owners = connection.execute("SELECT bucket, owner FROM _own WHERE bucket >= 0").fetchall()
        table = connection.execute(TABLE).fetchone()[0]
        found = connection.execute(f'SELECT ID, N, "_BUCKET" FROM "{table}"').fetchall()
        connection.close()
        host = file.parts[-4].partition(".")[0]
        owned = {bucket for bucket, owner in owners if owner == places.get(host)}
        stray = sum(bucket not in owned for _, _, bucket in found)
        if stray:
            wrong.append(f"{stray} rows of {file} are in buckets that it does not own")
        sets[host] = (owned, found)
    say(f"rows by element: { {name: len(found) for name, (_, found) in sets.items()} }")
    seen: Counter[int] = Counter()
    copies: Counter[tuple[int, int]] = Counter()
    for _, found in sets.values():
        seen.update(row[0] for row in found)
        copies.update((row[0], row[1]) for row in found)
        total += len(found)
    if total != 2 * rows or len(seen) != rows:
        wrong.append(f"{len(seen)} different rows, {total} in all copies")
    wrong += [f"row {row} is there {count} times" for row, count in seen.items() if count != 2][:5]
    wrong += [f"copies of row {row} differ" for row, count in copies.items() if count != 2][:5]
    return wrong


if __name__ == "__main__":
    sys.exit(main())
