"""The classic anomalies as short plays of two or three client sessions, and the table of them.

Each play says whether its anomaly happened. It is given rows of one replica set or of two. The
table: `.venv/bin/python -m tests.support.anomalies`; docs/isolation.md shows it, and
tests/integration/txn/test_anomalies.py holds the grid to it.

After Berenson et al., *A Critique of ANSI SQL Isolation Levels*, SIGMOD 1995; the read-only anomaly
is Fekete, O'Neil, O'Neil, *A Read-Only Transaction Anomaly Under Snapshot Isolation*, 2004.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import structlog

from data.txn.isolation import Isolation
from tests.support.memory_grid import DATABASE, MemoryGrid

RETRY = ("40001", "40P01", "55P03")
BLOCKED = "blocked"
FRACTURE_ROUNDS = 25
LOCK_WAIT_S = 1  # a play may let a session wait for one that goes on only afterwards

Rows = list[tuple[object, ...]]
Play = Callable[["Stage"], Awaitable[bool]]


class Stage:
    """Sessions a, b and c on a grid, and rows x and y (and a place for z) of a play."""

    def __init__(
        self, grid: MemoryGrid, sessions: dict[str, asyncpg.Connection], level: Isolation
    ) -> None:
        self._grid = grid
        self._sessions = sessions
        self._level = level.sql_name.upper()
        self._running: dict[str, asyncio.Task[Rows]] = {}
        self.failed: set[str] = set()  # sessions whose transaction had to be rolled back
        self.x = self.y = self.z = 0

    async def begin(self, *names: str) -> None:
        """Open a transaction in these sessions."""
        for name in names:
            await self.do(name, f"BEGIN ISOLATION LEVEL {self._level}")

    async def do(self, name: str, sql: str) -> Rows:
        """Run a statement; [] if it waits for a lock, then it goes on by itself, and if it failed.

        A transaction that failed does nothing more.
        """
        await self.settle(name)
        if name in self.failed:
            return []
        task = asyncio.create_task(self._fetch(name, sql))
        self._running[name] = task
        while not task.done() and not self._all_wait():
            await asyncio.wait([task], timeout=0.002)
        return await self.settle(name) if task.done() else []

    def _all_wait(self) -> bool:
        """True if every running statement waits for a lock."""
        waiting = sum(
            len(list(node.instance.database(DATABASE).writer.waits.waiting_since()))
            for node in self._grid.nodes
            if node.instance is not None
        )
        return waiting >= len([t for t in self._running.values() if not t.done()])

    async def _fetch(self, name: str, sql: str) -> Rows:
        return [tuple(row) for row in await self._sessions[name].fetch(sql)]

    async def settle(self, name: str) -> Rows:
        """The rows of what the session still runs."""
        task = self._running.pop(name, None)
        if task is None:
            return []
        try:
            return await task
        except asyncpg.PostgresError as error:
            assert error.sqlstate in RETRY, error
            self.failed.add(name)
            await self._sessions[name].execute("ROLLBACK")
            return []

    async def value(self, name: str, row: int) -> int:
        """SELECT of one row's number; -1 if it waits or failed."""
        rows = await self.do(name, f"SELECT n FROM acts WHERE id = {row}")
        return int(str(rows[0][0])) if rows else -1

    async def put(self, name: str, row: int, value: int) -> None:
        """UPDATE of one row's number."""
        await self.do(name, f"UPDATE acts SET n = {value} WHERE id = {row}")

    async def commit(self, *names: str) -> None:
        """COMMIT in these sessions; whoever waits is awaited first."""
        for name in names:
            await self.do(name, "COMMIT")

    async def now(self) -> tuple[int, int]:
        """What x and y are in the end."""
        for name in list(self._running):
            await self.settle(name)
        outside = self._sessions["outside"]
        numbers = dict(await outside.fetch("SELECT id, n FROM acts"))
        return int(numbers[self.x]), int(numbers[self.y])


# -- the plays: True if the anomaly happened ---------------------------------------------------
async def dirty_write(s: Stage) -> bool:
    """Two transactions write x and y; the end is a mixture."""
    await s.begin("a", "b")
    await s.put("a", s.x, 1)
    await s.put("b", s.x, 2)
    await s.put("a", s.y, 1)
    await s.commit("a")
    await s.put("b", s.y, 2)
    await s.commit("b")
    x, y = await s.now()
    return x != y


async def dirty_read(s: Stage) -> bool:
    """b sees what a takes back."""
    await s.begin("a", "b")
    await s.put("a", s.x, 1)
    await s.put("a", s.y, 1)
    seen = await s.do("b", f"SELECT n FROM acts WHERE id IN ({s.x}, {s.y})")
    await s.do("a", "ROLLBACK")
    seen += await s.settle("b")
    await s.commit("b")
    return (1,) in seen


async def non_repeatable_read(s: Stage) -> bool:
    """a reads the same rows twice and gets two answers."""
    await s.begin("a", "b")
    sql = f"SELECT SUM(n) FROM acts WHERE id IN ({s.x}, {s.y})"
    first = await s.do("a", sql)
    await s.put("b", s.x, 70)
    await s.put("b", s.y, 70)
    await s.do("b", "COMMIT") if not s._running.get("b") else None
    second = await s.do("a", sql)
    await s.commit("a", "b")
    return bool(first and second) and first != second


async def fractured_read(s: Stage) -> bool:
    """One statement sees one half of another transaction."""
    seen = set()
    for number in range(FRACTURE_ROUNDS):
        await s.begin("a", "b")
        await s.put("b", s.x, 50 - number)
        await s.put("b", s.y, 50 + number)
        if s._running.get("b"):
            await s.settle("b")
        commit = asyncio.create_task(s.commit("b"))
        for _ in range(number % 5):
            await asyncio.sleep(0)  # the read meets the commit at another point each time
        rows = await s.do("a", f"SELECT SUM(n) FROM acts WHERE id IN ({s.x}, {s.y})")
        await commit
        rows += await s.settle("a")
        seen.update(int(str(row[0])) for row in rows)
        await s.commit("a")
        s.failed.clear()
    return seen != {100}


async def read_skew(s: Stage) -> bool:
    """a reads x before and y after a transfer between them."""
    await s.begin("a", "b")
    x = await s.value("a", s.x)
    await s.put("b", s.x, 20)
    await s.put("b", s.y, 80)
    if not s._running.get("b"):
        await s.commit("b")
    y = await s.value("a", s.y)
    await s.commit("a", "b")
    return x >= 0 and y >= 0 and x + y != 100


async def lost_update(s: Stage) -> bool:
    """Both read, then write what they computed: one of them is overwritten unseen."""
    await s.begin("a", "b")
    read = {n: (await s.value(n, s.x), await s.value(n, s.y)) for n in ("a", "b")}
    for name in ("b", "a"):
        x, y = read[name]
        await s.put(name, s.x, x + 10)
        await s.put(name, s.y, y + 10)
        if not s._running.get(name):
            await s.commit(name)
    await s.commit("a", "b")
    both = not s.failed
    return both and await s.now() != (70, 70)


async def phantom(s: Stage) -> bool:
    """a counts the rows that fit a condition twice; b has added one meanwhile."""
    await s.begin("a", "b")
    sql = f"SELECT COUNT(*) FROM acts WHERE id IN ({s.x}, {s.y}, {s.z}) AND n > 0"
    first = await s.do("a", sql)
    await s.do("b", f"INSERT INTO acts VALUES ({s.z}, 1)")
    if not s._running.get("b"):
        await s.commit("b")
    second = await s.do("a", sql)
    await s.commit("a", "b")
    return bool(first and second) and first != second


async def write_skew(s: Stage) -> bool:
    """Each takes 100 from another row because both rows together have it."""
    await s.begin("a", "b")
    total = f"SELECT SUM(n) FROM acts WHERE id IN ({s.x}, {s.y})"
    for name in ("a", "b"):
        await s.do(name, total)
    await s.put("a", s.x, -50)
    await s.put("b", s.y, -50)
    await s.commit("a", "b")
    return sum(await s.now()) < 0


async def read_only_anomaly(s: Stage) -> bool:
    """c, which only reads, sees the deposit and no fee; the fee is charged for want of it."""
    await s.put("outside", s.x, 0)
    await s.put("outside", s.y, 0)
    await s.begin("a", "b", "c")
    total = f"SELECT SUM(n) FROM acts WHERE id IN ({s.x}, {s.y})"
    poor = await s.do("b", total)
    await s.put("a", s.y, 20)
    if not s._running.get("a"):
        await s.commit("a")
    seen = await s.do("c", total)
    await s.put("b", s.x, -11)  # 10, and 1 for the overdraft
    await s.commit("b", "c", "a")
    fee = bool(poor) and "b" not in s.failed
    return fee and bool(seen) and int(str(seen[0][0])) == 20


PLAYS: dict[str, Play] = {
    "dirty write": dirty_write,
    "dirty read": dirty_read,
    "fractured read": fractured_read,
    "non-repeatable read": non_repeatable_read,
    "read skew": read_skew,
    "lost update": lost_update,
    "phantom": phantom,
    "write skew": write_skew,
    "read-only anomaly": read_only_anomaly,
}


class Theatre:
    """A grid with a table, on which plays are performed."""

    def __init__(self, grid: MemoryGrid) -> None:
        self._grid = grid
        self._sessions: dict[str, asyncpg.Connection] = {}
        self._free: dict[int, list[int]] = {}  # rows by replica set

    async def open(self) -> None:
        """Make the table and the sessions, each at another data instance."""
        outside = await self._grid.connect(0)
        await outside.execute(
            "CREATE TABLE acts (id TT_INTEGER NOT NULL PRIMARY KEY, n TT_INTEGER) "
            "DISTRIBUTE BY HASH"
        )
        self._sessions["outside"] = outside
        for number, name in enumerate("abc"):
            session = await self._grid.connect(number % len(self._grid.nodes))
            await session.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
            self._sessions[name] = session

    async def close(self) -> None:
        """End the sessions."""
        for session in self._sessions.values():
            await session.close()

    async def _sort(self) -> None:
        """Which row is where: two for each play, and one that is not there yet."""
        outside = self._sessions["outside"]
        await outside.execute("DELETE FROM acts")
        for row in range(24):
            await outside.execute(f"INSERT INTO acts VALUES ({row}, 50)")
        self._free = {
            number: [int(str(row[0])) for row in self._grid.contents(node, "TERRY.ACTS")]
            for number, node in enumerate(self._grid.nodes)
        }

    async def perform(self, name: str, level: Isolation, sets: int) -> bool:
        """True if the anomaly happened, on rows of one replica set or of two."""
        await self._sort()
        stage = Stage(self._grid, self._sessions, level)
        first, second = self._free[0], self._free[1]
        stage.x, stage.y = first[0], (first[1] if sets == 1 else second[0])
        stage.z = first[2] if sets == 1 else second[1]
        await self._sessions["outside"].execute(f"DELETE FROM acts WHERE id = {stage.z}")
        try:
            return await PLAYS[name](stage)
        finally:
            await stage.now()
            for session in "abc":
                await self._sessions[session].execute("ROLLBACK")


async def table(grid: MemoryGrid, levels: list[Isolation]) -> dict[tuple[str, Isolation], bool]:
    """Perform everything: what happened on rows of one replica set or of two."""
    theatre = Theatre(grid)
    await theatre.open()
    happened: dict[tuple[str, Isolation], bool] = {}
    try:
        for (name, level), sets in itertools.product(itertools.product(PLAYS, levels), (1, 2)):
            seen = await theatre.perform(name, level, sets)
            known = happened.setdefault((name, level), seen)
            assert known == seen, f"{name}, {level.sql_name}: one replica set and two differ"
    finally:
        await theatre.close()
    return happened


def rendered(happened: dict[tuple[str, Isolation], bool], levels: list[Isolation]) -> str:
    """The table as Markdown."""
    head = ["anomaly", *(level.sql_name.upper() for level in levels)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in PLAYS:
        cells = ["possible" if happened[name, level] else "no" for level in levels]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


async def main() -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        grid = MemoryGrid(Path(folder), k=1, sets=3)
        await grid.start()
        try:
            levels = list(Isolation)
            sys.stdout.write(rendered(await table(grid, levels), levels) + "\n")
        finally:
            await grid.stop()


if __name__ == "__main__":
    asyncio.run(main())
