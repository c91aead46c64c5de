"""What clients notice while a grid of real processes grows by a replica set, and shrinks again.

    python -m benchmarks.growing [--rows 1000000] [--clients 16]

A grid of two replica sets of two copies gets a third, and gives it up, by the administrator's
commands; pgbench updates rows by key all along. Then every row is counted, each update that was
acknowledged is looked for, and the files of every copy are read: each row has to be where its
bucket is owned, on both copies, once.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg

from tests.support import commands
from tests.support.commands import CommandGrid
from tests.support.zookeeper import ZooKeeperProcess

WARM_S, PHASE_S = 5.0, 20.0
WAIT = ("-wait", "120")
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
    folder = Path(tempfile.mkdtemp(prefix="tggrow-"))
    zookeeper = ZooKeeperProcess(folder / "zookeeper")
    zookeeper.start()
    grid = CommandGrid(folder, zookeeper.hosts)
    try:
        asyncio.run(zookeeper.ready())
        return measure(grid, arguments.rows, arguments.clients)
    finally:
        grid.stop_all()
        zookeeper.kill()
        shutil.rmtree(folder, ignore_errors=True)


def measure(grid: CommandGrid, rows: int, clients: int) -> int:
    """One run."""
    build(grid, rows)
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
    places = places_of(grid)
    grid.admin("dbClose", "database1", *WAIT)
    grid.admin("dbUnload", "database1", *WAIT)
    wrong = misplaced(grid, rows, places)
    for text in wrong:
        say(f"WRONG: {text}")
    return int(bool(wrong) or counted != (rows, done))


def say(text: str) -> None:
    """Progress, at once."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def build(grid: CommandGrid, rows: int) -> None:
    """Two replica sets of two, and the rows."""
    assert grid.create_instance().code == 0
    grid.create_grid(2)
    grid.add_first_data_host()
    for number, group in ((4, 2), (5, 1), (6, 2)):
        grid.add_host(number, group, "-like", "host3", "-cascade")
    file = grid.folder / "database1.dbdef"
    file.write_text(
        f"DataStore={grid.folder}/!!INSTANCE_NAME!!/databases/database1\n"
        "DatabaseCharacterSet=AL32UTF8\nPermSize=2048\n"
    )
    grid.admin("dbdefCreate", str(file))
    grid.admin("modelApply")
    grid.admin("dbCreate", "database1", *WAIT)
    grid.admin("dbDistribute", "database1", "-add", "all", "-apply")
    grid.admin("dbOpen", "database1", *WAIT)
    with connect(grid) as client:
        client.execute("CREATE USER bench IDENTIFIED BY 'bench'")
        client.execute(
            "CREATE TABLE bench.t (id TT_INTEGER NOT NULL PRIMARY KEY, n TT_INTEGER NOT NULL,"
            " pad VARCHAR2(100)) DISTRIBUTE BY HASH"
        )
        with client.cursor() as cursor, cursor.copy("COPY bench.t FROM STDIN") as copy:
            for number in range(rows):
                copy.write_row((number, 0, "x" * 60))


def connect(grid: CommandGrid, host: int = 3) -> psycopg.Connection[tuple[object, ...]]:
    """The administrator's local connection at a host."""
    return psycopg.connect(
        host=place(grid, host), port=grid.cs_port, dbname="database1", autocommit=True
    )


def place(grid: CommandGrid, host: int) -> str:
    """Where a data instance's local socket is."""
    return str(grid.folder / f"host{host}" / "instance1" / "info")


def grow(grid: CommandGrid) -> None:
    """A third replica set, as an administrator makes it."""
    for number, group in ((7, 1), (8, 2)):
        grid.add_host(number, group, "-like", "host3", "-cascade")
    grid.admin("modelApply")
    until_opened(grid, "host7", "host8")
    grid.admin("dbDistribute", "database1", "-add", "host7", "-add", "host8", "-apply")


def shrink(grid: CommandGrid) -> None:
    """And away with it."""
    grid.admin("dbDistribute", "database1", "-remove", "host7", "-remove", "host8", "-apply")


def until_opened(grid: CommandGrid, *hosts: str) -> None:
    """Poll as a script would."""
    while True:
        lines = grid.admin("dbStatus", "database1", "-element")
        states = {line.split()[0]: line.split()[3] for line in lines if line.startswith("host")}
        if all(states.get(host) == "opened" for host in hosts):
            return
        time.sleep(0.5)


class Load:
    """pgbench at one host; its progress lines are the rates."""

    def __init__(self, grid: CommandGrid, rows: int, clients: int) -> None:
        script = grid.folder / "update.sql"
        script.write_text(UPDATE.format(last=rows - 1))
        words = ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "1", "-P", "1"]
        words += ["-T", "100000", "--max-tries", "100", "-f", str(script)]
        words += ["-h", place(grid, 4), "-p", str(grid.cs_port), "database1"]
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


def places_of(grid: CommandGrid) -> dict[str, int]:
    """Host -> replica set."""
    found: dict[str, int] = {}
    number = 0
    for line in grid.admin("dbStatus", "database1", "-replicaSet"):
        words = line.split()
        host = next((word for word in words if word.startswith("host")), "")
        if host and len(words) > 5:
            number = int(words[0]) if words.index(host) == 3 else number
            found[host] = number
    return found


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
