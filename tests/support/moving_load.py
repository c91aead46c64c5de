"""Clients of every kind that work while buckets move; each knows what it must find at the end."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg

from tests.support.memory_grid import MemoryGrid

RETRY = ("40001", "40P01", "55P03")
ACCOUNTS, OPENING = 24, 100
SUM = ACCOUNTS * OPENING
LEVELS = ("read_committed", "repeatable_read", "serializable")
TABLES = (
    "CREATE TABLE acc (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, twin INT, flag INT) "
    "DISTRIBUTE BY HASH",
    "CREATE TABLE d (id INT NOT NULL PRIMARY KEY, n INT) DUPLICATE",
    "CREATE TABLE cnt (id INT NOT NULL PRIMARY KEY, n INT NOT NULL) DISTRIBUTE BY HASH",
    "CREATE TABLE p (id INT NOT NULL PRIMARY KEY, code VARCHAR2(20) NOT NULL, "
    "kind INT NOT NULL, CONSTRAINT pd FOREIGN KEY (kind) REFERENCES d (id)) DISTRIBUTE BY HASH",
    "CREATE UNIQUE GLOBAL INDEX pcode ON p (code)",
    "CREATE TABLE ch (id INT NOT NULL PRIMARY KEY, p INT NOT NULL, "
    "CONSTRAINT chp FOREIGN KEY (p) REFERENCES p (id)) DISTRIBUTE BY REFERENCE (chp)",
    "CREATE TABLE far (id INT NOT NULL PRIMARY KEY, p INT NOT NULL, "
    "CONSTRAINT farp FOREIGN KEY (p) REFERENCES p (id)) DISTRIBUTE BY HASH",
    "CREATE TABLE nokey (n INT NOT NULL)",
)
READS = (
    "SELECT SUM(n) FROM acc",
    "SELECT n FROM acc",
    f"SELECT n FROM acc WHERE id IN ({', '.join(map(str, range(ACCOUNTS)))})",
    "SELECT SUM(a.n) FROM acc a, acc b WHERE a.twin = b.id",
    "SELECT (SELECT SUM(n) FROM acc WHERE id < 6) + (SELECT SUM(n) FROM acc WHERE id > 5) "
    "FROM dual",
    "SELECT SUM(acc.n) FROM acc, d WHERE d.id = acc.flag",
)


async def make_tables(client: asyncpg.Connection) -> None:
    """Tables of every kind, and the accounts."""
    for text in TABLES:
        await client.execute(text)
    await client.execute("INSERT INTO d VALUES (1, 1), (2, 2), (3, 3)")
    for n in range(ACCOUNTS):
        twin = (n + 5) % ACCOUNTS
        await client.execute(f"INSERT INTO acc VALUES ({n}, {OPENING}, {twin}, 1)")


class Load:
    """Start it, move things, `await end()`."""

    def __init__(self, grid: MemoryGrid, instances: list[int]) -> None:
        self.errors: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.long: asyncio.Event | None = None
        self._grid = grid
        self._instances = itertools.cycle(instances)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.counted: Counter[int] = Counter()
        self.there: dict[int, tuple[str, set[int]]] = {}  # rows of p: code, children
        self.far: dict[int, int] = {}
        self._names: set[str] = set()
        self.loose = 0  # rows of nokey

    async def start(self) -> None:
        """One client for each kind of work."""
        works: list[Callable[[asyncpg.Connection, random.Random], Awaitable[None]]] = [
            self._transfer, self._transfer, self._read, self._read_twice, self._count,
            self._families, self._cursor, self._duplicate, self._loose,
        ]  # fmt: skip
        self._names = {work.__name__ for work in works}
        for number, work in enumerate(works):
            client = await self._grid.connect(next(self._instances))
            self._tasks.append(asyncio.create_task(self._run(work, client, number)))

    async def _run(
        self,
        work: Callable[[asyncpg.Connection, random.Random], Awaitable[None]],
        client: asyncpg.Connection,
        number: int,
    ) -> None:
        chance = random.Random(number)
        name = work.__name__
        while not self._stop.is_set():
            try:
                async with asyncio.timeout(30):
                    await work(client, chance)
                self.done[name] += 1
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, (name, error, error.sqlstate)
                self.errors[f"{name} {error.sqlstate} {error}"] += 1
        await client.close()

    async def until(self, count: int) -> None:
        """Wait until every kind of work was done so often more."""
        before = Counter(self.done)
        async with asyncio.timeout(60):
            while any(self.done[n] - before[n] < count for n in self._names):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)  # clients of their own pace

    async def end(self) -> None:
        """Stop the clients; what one of them found wrong is raised."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    # -- kinds of work -----------------------------------------------------------------------------
    async def _transfer(self, client: asyncpg.Connection, chance: random.Random) -> None:
        giver, taker = chance.sample(range(ACCOUNTS), 2)
        amount = chance.randrange(1, 30)
        async with client.transaction(isolation=chance.choice(LEVELS)):
            if chance.random() < 0.3:
                await client.fetch("SELECT n FROM acc WHERE id = $1 FOR UPDATE", min(giver, taker))
            for account, change in sorted(((giver, -amount), (taker, amount))):
                text = "UPDATE acc SET n = n + $1 WHERE id = $2"
                assert await client.execute(text, change, account) == "UPDATE 1", account

    async def _read(self, client: asyncpg.Connection, chance: random.Random) -> None:
        text = chance.choice(READS)
        total = sum(row[0] for row in await client.fetch(text))
        assert total == SUM, (text, total)

    async def _read_twice(self, client: asyncpg.Connection, chance: random.Random) -> None:
        level = chance.choice(LEVELS[1:])
        async with client.transaction(isolation=level):
            for text in chance.sample(READS, 3):
                total = sum(row[0] for row in await client.fetch(text))
                assert total == SUM, (level, text, total)

    async def _count(self, client: asyncpg.Connection, chance: random.Random) -> None:
        key = chance.randrange(50)
        tag = await client.execute("UPDATE cnt SET n = n + 1 WHERE id = $1", key)
        if tag == "UPDATE 0":
            assert not self.counted[key], f"row {key} was there"
            await client.execute("INSERT INTO cnt VALUES ($1, 1)", key)
        self.counted[key] += 1
        found = await client.fetchval("SELECT n FROM cnt WHERE id = $1", key)
        assert found == self.counted[key], (key, found, self.counted[key])

    async def _families(self, client: asyncpg.Connection, chance: random.Random) -> None:
        """Parents and children, by reference and far away, found by a global index."""
        key = chance.randrange(200)
        if key not in self.there:
            code = f"c{key}.{chance.randrange(1000)}"
            async with client.transaction():
                await client.execute("INSERT INTO p VALUES ($1, $2, 2)", key, code)
                for child in (key * 10, key * 10 + 1):
                    await client.execute("INSERT INTO ch VALUES ($1, $2)", child, key)
            self.there[key] = (code, {key * 10, key * 10 + 1})
            await client.execute("INSERT INTO far VALUES ($1, $2)", key + 7000, key)
            self.far[key + 7000] = key
            return
        code, children = self.there[key]
        assert await client.fetchval("SELECT id FROM p WHERE code = $1", code) == key
        found = await client.fetch("SELECT ch.id FROM p, ch WHERE ch.p = p.id AND p.id = $1", key)
        assert {row[0] for row in found} == children, (key, found)
        if chance.random() < 0.5 and key + 7000 in self.far:
            await client.execute("DELETE FROM far WHERE id = $1", key + 7000)
            del self.far[key + 7000]
            async with client.transaction():
                assert await client.execute("DELETE FROM ch WHERE p = $1", key) == "DELETE 2"
                assert await client.execute("DELETE FROM p WHERE id = $1", key) == "DELETE 1"
            del self.there[key]

    async def _cursor(self, client: asyncpg.Connection, chance: random.Random) -> None:
        """A result that is fetched bit by bit."""
        rows = []
        async with client.transaction():
            async for row in client.cursor("SELECT id, n FROM acc", prefetch=5):
                rows.append(row)
                await asyncio.sleep(0)
        assert len({row[0] for row in rows}) == len(rows) == ACCOUNTS
        assert sum(row[1] for row in rows) == SUM

    async def _duplicate(self, client: asyncpg.Connection, chance: random.Random) -> None:
        await client.execute("UPDATE d SET n = n + 1 WHERE id = $1", chance.randrange(1, 4))

    async def _loose(self, client: asyncpg.Connection, chance: random.Random) -> None:
        rows = [(n,) for n in range(5)]
        await client.copy_records_to_table("nokey", records=rows)
        self.loose += 5
        assert await client.fetchval("SELECT COUNT(*) FROM nokey") == self.loose

    # -- afterwards --------------------------------------------------------------------------------
    async def check(self, client: asyncpg.Connection) -> None:
        """What was acknowledged is there, and nothing else."""
        assert await client.fetchval("SELECT SUM(n) FROM acc") == SUM
        found = await client.fetch("SELECT id, n FROM cnt")
        assert {r[0]: r[1] for r in found} == {k: n for k, n in self.counted.items() if n}
        assert {r[0]: r[1] for r in await client.fetch("SELECT id, code FROM p")} == {
            key: code for key, (code, _) in self.there.items()
        }
        children = {c for _, some in self.there.values() for c in some}
        assert {r[0] for r in await client.fetch("SELECT id FROM ch")} == children
        assert {r[0]: r[1] for r in await client.fetch("SELECT id, p FROM far")} == self.far
        assert await client.fetchval("SELECT COUNT(*) FROM nokey") == self.loose
