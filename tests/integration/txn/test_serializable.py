"""SERIALIZABLE: what was read stays as it is until the transaction ends, phantoms included."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.memory_grid import MemoryGrid

Retry = (
    asyncpg.exceptions.DeadlockDetectedError,
    asyncpg.exceptions.SerializationError,
)
Locked = asyncpg.exceptions.LockNotAvailableError


@pytest.fixture
async def clients(grid: MemoryGrid) -> AsyncIterator[list[asyncpg.Connection]]:
    """Three serializable sessions at three coordinators; T has rows 0..29 in three sets."""
    made = [await grid.connect(at) for at in range(3)]
    await made[0].execute(
        "CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v NUMBER(10), tag VARCHAR2(20))"
    )
    await made[0].executemany("INSERT INTO t VALUES ($1, 10, 'old')", [(n,) for n in range(30)])
    for client in made:
        await client.execute("SET default_transaction_isolation = 'serializable'")
        await client.execute("SET lock_wait = 0.1")
    yield made
    for client in made:
        await client.close()


async def test_a_row_that_was_read_stays(clients: list[asyncpg.Connection]) -> None:
    reader, writer, _ = clients
    await reader.execute("BEGIN")
    assert await reader.fetchval("SHOW transaction_isolation") == "serializable"
    assert await reader.fetchval("SELECT v FROM t WHERE id = 1") == 10
    with pytest.raises(Locked):
        await writer.execute("UPDATE t SET v = 11 WHERE id = 1")
    await writer.execute("UPDATE t SET v = 11 WHERE id = 2")  # that one was not read
    assert await reader.fetchval("SELECT v FROM t WHERE id = 1") == 10
    await reader.execute("COMMIT")
    await writer.execute("UPDATE t SET v = 11 WHERE id = 1")


async def test_a_row_that_was_not_there_stays_away(clients: list[asyncpg.Connection]) -> None:
    reader, writer, _ = clients
    await reader.execute("BEGIN")
    assert await reader.fetch("SELECT * FROM t WHERE id = 100") == []
    assert await reader.execute("UPDATE t SET v = 0 WHERE id = 101") == "UPDATE 0"
    for missing in (100, 101):
        with pytest.raises(Locked):
            await writer.execute("INSERT INTO t VALUES ($1, 1, 'new')", missing)
    await writer.execute("INSERT INTO t VALUES (102, 1, 'new')")
    await reader.execute("COMMIT")
    await writer.execute("INSERT INTO t VALUES (100, 1, 'new')")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM t WHERE tag = 'old'",
        "SELECT SUM(v) FROM t",
        "SELECT id FROM t WHERE v > 5 ORDER BY id",
        "SELECT a.id FROM t a JOIN t b ON a.v = b.id",
        "SELECT v FROM t WHERE id = (SELECT MIN(id) FROM t)",
    ],
)
async def test_no_phantoms(clients: list[asyncpg.Connection], query: str) -> None:
    reader, writer, _ = clients
    await reader.execute("BEGIN")
    before = await reader.fetch(query)
    for change in (
        "INSERT INTO t VALUES (200, 99, 'old')",
        "DELETE FROM t WHERE id = 3",
        "UPDATE t SET v = 50 WHERE id = 4",
    ):
        with pytest.raises(Locked):
            await writer.execute(change)
    assert await reader.fetch(query) == before
    await reader.execute("COMMIT")
    await writer.execute("INSERT INTO t VALUES (200, 99, 'old')")


async def test_a_key_of_a_global_index_that_was_read_stays_unused(
    clients: list[asyncpg.Connection],
) -> None:
    reader, writer, _ = clients
    await reader.execute(
        "CREATE TABLE u (id NUMBER(10) PRIMARY KEY, mail VARCHAR2(40) NOT NULL UNIQUE)"
    )
    await reader.execute("INSERT INTO u VALUES (1, 'a')")
    await reader.execute("BEGIN")
    assert await reader.fetch("SELECT id FROM u WHERE mail = 'b'") == []
    assert await reader.fetchval("SELECT id FROM u WHERE mail = 'a'") == 1
    for change in ("INSERT INTO u VALUES (2, 'b')", "UPDATE u SET mail = 'b' WHERE id = 1"):
        with pytest.raises(Locked):
            await writer.execute(change)
    await reader.execute("COMMIT")
    await writer.execute("INSERT INTO u VALUES (2, 'b')")


async def test_of_a_write_skew_one_goes_through(clients: list[asyncpg.Connection]) -> None:
    one, other, _ = clients
    for client in (one, other):
        await client.execute("SET lock_wait = 10")
        await client.execute("BEGIN")
        assert await client.fetchval("SELECT SUM(v) FROM t WHERE id IN (1, 2)") == 20

    async def take(client: asyncpg.Connection, row: int) -> bool:
        try:
            await client.execute("UPDATE t SET v = v - 20 WHERE id = $1", row)
            await client.execute("COMMIT")
        except Retry:
            await client.execute("ROLLBACK")
            return False
        return True

    done = await asyncio.gather(take(one, 1), take(other, 2))
    assert sorted(done) == [False, True]
    assert await one.fetchval("SELECT SUM(v) FROM t WHERE id IN (1, 2)") == 0


async def test_no_update_is_lost(clients: list[asyncpg.Connection]) -> None:
    """Read, think, write, by all at once: each increment counts."""

    async def count_up(client: asyncpg.Connection) -> None:
        done = 0
        await client.execute("SET lock_wait = 10")
        while done < 5:
            await client.execute("BEGIN")
            try:
                value = await client.fetchval("SELECT v FROM t WHERE id = 7")
                await client.execute("UPDATE t SET v = $1 WHERE id = 7", value + 1)
                await client.execute("COMMIT")
                done += 1
            except Retry:
                await client.execute("ROLLBACK")

    await asyncio.gather(*(count_up(c) for c in clients))
    assert await clients[0].fetchval("SELECT v FROM t WHERE id = 7") == 25


async def test_three_in_a_ring_cannot_all_read_what_the_next_one_writes(
    clients: list[asyncpg.Connection],
) -> None:
    for client in clients:
        await client.execute("SET lock_wait = 10")
        await client.execute("BEGIN")

    async def step(at: int) -> bool:
        client = clients[at]
        try:
            value = await client.fetchval("SELECT v FROM t WHERE id = $1", 11 + (at + 1) % 3)
            await asyncio.sleep(0.05)  # all have read before the first writes
            await client.execute("UPDATE t SET v = $1 WHERE id = $2", value + 1, 11 + at)
            await client.execute("COMMIT")
        except Retry:
            await client.execute("ROLLBACK")
            return False
        return True

    done = await asyncio.gather(*(step(at) for at in range(3)))
    assert 1 <= sum(done) <= 2


async def test_random_histories_are_serial(clients: list[asyncpg.Connection]) -> None:
    """Each transaction moves an amount between two rows only if the sum of all allows it.

    The constraint (the sum never falls below 270, each gives away what it read) holds only if
    no two transactions overlap in what they read and write.
    """
    until_s = time.monotonic() + 2.5
    committed = 0

    async def work(number: int) -> None:
        nonlocal committed
        chance = random.Random(number)
        client = clients[number]
        await client.execute("SET lock_wait = 10")
        while time.monotonic() < until_s:
            await client.execute("BEGIN")
            try:
                total = await client.fetchval("SELECT SUM(v) FROM t")
                row = chance.randrange(30)
                change = -10 if total >= 280 else 10
                await client.execute("UPDATE t SET v = v + $1 WHERE id = $2", change, row)
                await client.execute("COMMIT")
                committed += 1
            except Retry:
                await client.execute("ROLLBACK")
            assert await client.fetchval("SELECT SUM(v) FROM t") in (270, 280, 290, 300)

    await asyncio.gather(*(work(n) for n in range(3)))
    assert committed > 3
    assert await clients[0].fetchval("SELECT SUM(v) FROM t") in (270, 280)


async def test_a_statement_alone_is_a_serializable_transaction(
    clients: list[asyncpg.Connection],
) -> None:
    one, other, _ = clients
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET v = 0 WHERE id = 1")
    with pytest.raises(Locked):  # over several replica sets: it needs their locks
        await other.fetchval("SELECT SUM(v) FROM t")
    assert await other.fetchval("SELECT v FROM t WHERE id = 1") == 10
    await one.execute("COMMIT")
    assert await other.fetchval("SELECT SUM(v) FROM t") == 290


async def test_the_level_is_of_one_transaction(clients: list[asyncpg.Connection]) -> None:
    client, writer, _ = clients
    await client.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
    assert await client.fetchval("SELECT SUM(v) FROM t") == 300
    await writer.execute("UPDATE t SET v = 11 WHERE id = 1")
    assert await client.fetchval("SELECT SUM(v) FROM t") == 301
    with pytest.raises(asyncpg.exceptions.PostgresError):
        await client.execute(
            "UPDATE t SET v = 1 WHERE id = 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
        )
    await client.execute("ROLLBACK")
    assert await client.fetchval("SHOW transaction_isolation") == "serializable"
