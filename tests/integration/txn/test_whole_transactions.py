"""Statements over several replica sets while transactions over several commit: all or nothing."""

from __future__ import annotations

import asyncio
import itertools
import random

import asyncpg
import pytest

from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(90)

ACCOUNTS, OPENING = 12, 100
SUM = ACCOUNTS * OPENING
RETRY = ("40001", "40P01", "55P03")
MOVE = "UPDATE t SET n = n + $1 WHERE id = $2"
COMMITS = 20  # so many transfers at least are committed while a test looks

READS = {
    "co-located": "SELECT SUM(n) FROM t",
    "rows": "SELECT n FROM t",
    "keys": f"SELECT n FROM t WHERE id IN ({', '.join(map(str, range(ACCOUNTS)))})",
    "general": "SELECT SUM(a.n) FROM t a, t b WHERE a.twin = b.id",
    "scalars": "SELECT (SELECT SUM(n) FROM t WHERE id < 6) + (SELECT SUM(n) FROM t WHERE id > 5) "
    "FROM dual",
    "union": "SELECT n FROM t WHERE id < 4 UNION ALL SELECT n FROM t WHERE id >= 4",
    "duplicate": "SELECT SUM(t.n) FROM t, d WHERE d.id = t.flag",
}


class Transfers:
    """Clients that move money between accounts, mostly of two replica sets, until told to stop."""

    def __init__(self, clients: list[asyncpg.Connection]) -> None:
        self.done = 0  # commits so far, of all clients
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run(c, n)) for n, c in enumerate(clients)]

    async def _run(self, client: asyncpg.Connection, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            giver, taker = chance.sample(range(ACCOUNTS), 2)
            amount = chance.randrange(1, 30)
            changes = sorted(((giver, -amount), (taker, amount)))  # nobody waits in a circle
            try:
                async with client.transaction():
                    for account, change in changes:
                        await client.execute(MOVE, change, account)
                self.done += 1
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, error

    async def end(self) -> None:
        """Stop them; what went wrong in one of them is raised."""
        self._stop.set()
        await asyncio.gather(*self._tasks)


async def make(client: asyncpg.Connection) -> None:
    await client.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9), twin NUMBER(9), "
        "flag NUMBER(1))"
    )
    await client.execute("CREATE TABLE d (id NUMBER(1) NOT NULL PRIMARY KEY) DUPLICATE")
    await client.execute("INSERT INTO d VALUES (1)")
    for n in range(ACCOUNTS):
        await client.execute(f"INSERT INTO t VALUES ({n}, {OPENING}, {(n + 5) % ACCOUNTS}, 1)")


@pytest.mark.parametrize("kind", READS)
async def test_the_sum_is_always_the_same(grid: MemoryGrid, kind: str) -> None:
    clients = [await grid.connect(n % 3) for n in range(7)]
    await make(clients[0])
    writers = Transfers(clients[:4])

    async def read(client: asyncpg.Connection) -> set[int]:
        seen, reads = set(), 0
        while reads < 40 or writers.done < COMMITS:
            seen.add(sum(int(row[0]) for row in await client.fetch(READS[kind])))
            reads += 1
        return seen

    try:
        sums = await asyncio.gather(*(read(c) for c in clients[4:]))
    finally:
        await writers.end()
    assert set().union(*sums) == {SUM}
    for client in clients:
        await client.close()


async def test_own_changes_are_in_it_and_others_are_whole(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n % 3) for n in range(4)]
    await make(clients[0])
    await clients[0].execute(f"INSERT INTO t VALUES ({ACCOUNTS}, 0, 0, 1)")
    writers = Transfers(clients[1:])
    reader = clients[0]
    seen, turns = set(), 0
    while turns < 12 or writers.done < COMMITS:
        turns += 1
        async with reader.transaction():
            await reader.execute(f"UPDATE t SET n = 7, twin = 1 WHERE id = {ACCOUNTS}")
            await reader.execute(f"INSERT INTO t VALUES ({ACCOUNTS + 1}, 5, 2, 1)")
            for kind in ("co-located", "general", "union", "duplicate"):
                seen.add(sum(int(row[0]) for row in await reader.fetch(READS[kind])))
            await reader.execute(f"DELETE FROM t WHERE id = {ACCOUNTS + 1}")
            seen.add(await reader.fetchval(READS["general"]) + 5)
    await writers.end()
    assert seen == {SUM + 12}
    for client in clients:
        await client.close()


async def test_a_row_that_moves_is_found_by_its_other_key(grid: MemoryGrid) -> None:
    clients = [await grid.connect(n % 3) for n in range(4)]
    await clients[0].execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(20) UNIQUE)"
    )
    await clients[0].execute("INSERT INTO t VALUES (1, 'x')")
    stop = asyncio.Event()

    moved = 0

    async def move(client: asyncpg.Connection) -> None:
        nonlocal moved
        while not stop.is_set():
            try:
                async with client.transaction():
                    await client.execute("DELETE FROM t WHERE mail = 'x'")
                    await client.execute("INSERT INTO t VALUES ($1, 'x')", moved)
                moved += 1
            except asyncpg.PostgresError as error:
                assert error.sqlstate in (*RETRY, "23505"), error

    mover = asyncio.create_task(move(clients[0]))
    counts = set()
    for n in itertools.count():
        counts.add(len(await clients[1 + n % 3].fetch("SELECT id FROM t WHERE mail = 'x'")))
        if n > 100 and moved > 10:
            break
    stop.set()
    await mover
    assert counts == {1}
    for client in clients:
        await client.close()


WRITES = {
    "update": "UPDATE t SET flag = flag WHERE n >= 0 OR n < 0 RETURNING n",
    "update by a query": "UPDATE sums SET n = (SELECT SUM(n) FROM t) RETURNING n",
    "lock": "SELECT n FROM t FOR UPDATE",
    "lock after a join": "SELECT a.n FROM t a, t b WHERE a.twin = b.id FOR UPDATE OF a",
    "insert": "INSERT INTO sums SELECT SUM(n) FROM t RETURNING n",
    "insert after a join": "INSERT INTO sums SELECT SUM(a.n) FROM t a, t b WHERE a.twin = b.id "
    "RETURNING n",
    "delete": "DELETE FROM t RETURNING n",
}


@pytest.mark.parametrize("kind", WRITES)
async def test_writing_and_locking_statements_find_whole_transactions(
    grid: MemoryGrid, kind: str
) -> None:
    clients = [await grid.connect(n % 3) for n in range(5)]
    await make(clients[0])
    await clients[0].execute("CREATE TABLE sums (n NUMBER(9))")
    await clients[0].execute("INSERT INTO sums VALUES (0)")
    for client in clients:  # these meet in circles over replica sets
        await client.execute("SET lock_wait TO 0.3")
    writers = Transfers(clients[:4])
    sums = []
    try:
        while len(sums) < 5 or writers.done < COMMITS:
            block = clients[4].transaction()
            await block.start()
            try:
                sums.append(sum(int(row[0]) for row in await clients[4].fetch(WRITES[kind])))
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, error  # transfers lock in another order
            await block.rollback()
    finally:
        await writers.end()
    assert set(sums) == {SUM}
    for client in clients:
        await client.close()
