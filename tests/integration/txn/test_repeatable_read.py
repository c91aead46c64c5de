"""REPEATABLE READ: one snapshot of all replica sets, own changes on top, first updater wins."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from data.exec import shard
from tests.support.memory_grid import DATABASE, MemoryGrid

pytestmark = pytest.mark.timeout(90)

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ"
RETRY = ("40001", "40P01", "55P03")
ROWS, OPENING = 12, 100
SUM = ROWS * OPENING


async def two_clients(grid: MemoryGrid) -> tuple[asyncpg.Connection, asyncpg.Connection]:
    a, b = await grid.connect(0), await grid.connect(1)
    await a.execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9), "
        "name VARCHAR2(20), mail VARCHAR2(20) UNIQUE)"
    )
    for row in range(ROWS):
        await a.execute(f"INSERT INTO t VALUES ({row}, {OPENING}, 'r{row}', 'm{row}')")
    return a, b


def held(grid: MemoryGrid) -> int:
    """Snapshots held in the whole grid."""
    return sum(
        len(node.instance.database(DATABASE).shard._snapshots)
        for node in grid.nodes
        if node.instance is not None
    )


async def rows(client: asyncpg.Connection, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await client.fetch(sql)]


async def test_own_changes_are_seen_on_top_of_the_snapshot(grid: MemoryGrid) -> None:
    a, b = await two_clients(grid)
    await a.execute(BEGIN)
    assert await a.fetchval("SELECT SUM(n) FROM t") == SUM
    await b.execute("UPDATE t SET n = n + 1 WHERE id <> 3")
    await b.execute("INSERT INTO t VALUES (50, 1, 'new', 'm50')")
    await a.execute("UPDATE t SET n = 7 WHERE id = 3")
    await a.execute("INSERT INTO t VALUES (60, 5, 'mine', 'mine')")
    assert await a.fetchval("SELECT SUM(n) FROM t") == SUM - OPENING + 7 + 5
    assert await rows(a, "SELECT n FROM t WHERE id = 3") == [(7,)]
    assert await rows(a, "SELECT id FROM t WHERE mail = 'mine'") == [(60,)]
    assert sorted(await rows(a, "SELECT x.id FROM t x, t y WHERE x.n = y.id")) == [(3,), (60,)]
    assert await rows(a, "SELECT n FROM t WHERE id = 4") == [(OPENING,)]
    assert await rows(a, "SELECT id FROM t WHERE id = 50") == []
    await a.execute("COMMIT")
    assert await a.fetchval("SELECT SUM(n) FROM t") == SUM - OPENING + 7 + 5 + ROWS - 1 + 1
    await a.close()
    await b.close()


async def test_going_back_to_a_savepoint_takes_changes_off_the_snapshot(grid: MemoryGrid) -> None:
    a, b = await two_clients(grid)
    await a.execute(BEGIN)
    await a.execute("UPDATE t SET n = 0 WHERE id = 1")
    before = await rows(a, "SELECT id, n FROM t ORDER BY id")
    await a.execute("SAVEPOINT s")
    await a.execute("DELETE FROM t WHERE id < 6")
    await a.execute("UPDATE t SET n = 3 WHERE id > 8")
    assert await a.fetchval("SELECT COUNT(*) FROM t") == 6
    await a.execute("ROLLBACK TO SAVEPOINT s")
    assert await rows(a, "SELECT id, n FROM t ORDER BY id") == before
    await a.execute("UPDATE t SET n = 1 WHERE id = 1")
    assert await rows(a, "SELECT n FROM t WHERE id = 1") == [(1,)]
    await a.execute("COMMIT")
    await a.close()
    await b.close()


WRITES = {
    "by key": "UPDATE t SET n = 0 WHERE id = 3",
    "by another key": "UPDATE t SET n = 0 WHERE mail = 'm3'",
    "all": "UPDATE t SET n = n + 1",
    "delete": "DELETE FROM t WHERE name = 'r3'",
    "by a query": "UPDATE t SET n = 0 WHERE id IN (SELECT id FROM t WHERE name = 'r3')",
    "moving": "UPDATE t SET id = 103 WHERE id = 3",
    "locking": "SELECT n FROM t WHERE id = 3 FOR UPDATE",
    "locking all": "SELECT n FROM t ORDER BY id FOR UPDATE",
    "upsert": "INSERT INTO t VALUES (3, 1, 'x', 'm3') ON CONFLICT (id) DO UPDATE SET n = 0",
}


@pytest.mark.parametrize("change", ["UPDATE t SET n = 1, name = 'q' WHERE id = 3", "DELETE"])
async def test_a_row_that_changed_since_the_snapshot_cannot_be_written(
    grid: MemoryGrid, change: str
) -> None:
    a, b = await two_clients(grid)
    sql = "DELETE FROM t WHERE id = 3" if change == "DELETE" else change
    for kind, write in WRITES.items():
        if kind == "upsert" and change == "DELETE":
            continue  # nothing is in its way
        await a.execute(BEGIN)
        await a.execute("SELECT 1 FROM dual")
        await b.execute(sql)
        with pytest.raises(asyncpg.SerializationError):
            await a.execute(write)
        await a.execute("ROLLBACK")
        await b.execute("DELETE FROM t WHERE id = 3")
        await b.execute(f"INSERT INTO t VALUES (3, {OPENING}, 'r3', 'm3')")
    assert held(grid) == 0
    await a.close()
    await b.close()


async def test_other_rows_may_change_and_the_same_transaction_may_write_twice(
    grid: MemoryGrid,
) -> None:
    a, b = await two_clients(grid)
    await a.execute(BEGIN)
    await a.fetchval("SELECT COUNT(*) FROM t")
    await b.execute("UPDATE t SET n = 1 WHERE id = 4")
    for _ in range(2):
        for write in (
            "UPDATE t SET n = n + 1 WHERE id = 3",
            "UPDATE t SET n = n + 1 WHERE mail = 'm3'",
            "UPDATE t SET n = n + 1 WHERE id IN (3, 5, 7)",
            "SELECT n FROM t WHERE id = 3 FOR UPDATE",
        ):
            await a.execute(write)
    assert await rows(a, "SELECT n FROM t WHERE id = 3") == [(OPENING + 6,)]
    await a.execute("COMMIT")
    assert await rows(b, "SELECT n FROM t WHERE id IN (3, 4) ORDER BY id") == [(106,), (1,)]
    await a.close()
    await b.close()


async def test_two_that_write_the_same_row_at_once_first_updater_wins(grid: MemoryGrid) -> None:
    a, b = await two_clients(grid)
    for client in (a, b):
        await client.execute(BEGIN)
        await client.fetchval("SELECT SUM(n) FROM t")
    await a.execute("UPDATE t SET n = n + 1 WHERE id = 3")
    waiting = asyncio.create_task(b.execute("UPDATE t SET n = n + 1 WHERE id = 3"))
    await a.execute("COMMIT")
    with pytest.raises(asyncpg.SerializationError):
        await waiting
    await b.execute("ROLLBACK")
    assert await rows(a, "SELECT n FROM t WHERE id = 3") == [(OPENING + 1,)]
    await a.close()
    await b.close()


async def test_all_statements_of_a_transaction_see_the_same_under_transfers(
    grid: MemoryGrid,
) -> None:
    clients = [*(await two_clients(grid)), *[await grid.connect(n % 3) for n in range(3)]]
    stop = asyncio.Event()

    async def transfer(number: int, client: asyncpg.Connection) -> int:
        chance, done = random.Random(number), 0
        while not stop.is_set():
            try:
                async with client.transaction(isolation="repeatable_read"):
                    some = sorted(chance.sample(range(ROWS), 2))
                    found = dict(await client.fetch("SELECT id, n FROM t"))
                    assert sum(found.values()) == SUM
                    for row, more in zip(some, (-1, 1), strict=True):
                        sql = "UPDATE t SET n = $1 WHERE id = $2"
                        await client.execute(sql, found[row] + more, row)
                    assert await client.fetchval("SELECT SUM(n) FROM t") == SUM
                done += 1
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, error
        return done

    async def read(client: asyncpg.Connection) -> None:
        for _ in range(15):
            async with client.transaction(isolation="repeatable_read", readonly=True):
                first = await rows(client, "SELECT id, n FROM t ORDER BY id")
                assert sum(n for _, n in first) == SUM
                for sql in ("SELECT SUM(n) FROM t", "SELECT SUM(a.n) FROM t a, t b WHERE a.n=b.n"):
                    again = [await rows(client, sql) for _ in range(2)]
                    assert again[0] == again[1]
                assert await rows(client, "SELECT id, n FROM t ORDER BY id") == first

    writers = [asyncio.create_task(transfer(n, c)) for n, c in enumerate(clients[2:])]
    try:
        await asyncio.gather(*(read(c) for c in clients[:2]))
    finally:
        stop.set()
    assert sum(await asyncio.gather(*writers)) > 5
    for client in clients:
        await client.close()


async def test_a_snapshot_ends_with_its_transaction_its_client_and_its_time(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await two_clients(grid)
    for end in ("COMMIT", "ROLLBACK"):
        await a.execute(BEGIN)
        await a.fetchval("SELECT SUM(n) FROM t")
        assert held(grid) == 3
        await a.execute(end)
        while held(grid):  # it is told one way
            await asyncio.sleep(0)
    await a.execute(BEGIN)
    await a.fetchval("SELECT SUM(n) FROM t")
    monkeypatch.setattr(shard, "SNAPSHOT_AGE_MAX_S", 0.0)
    while held(grid):
        await asyncio.sleep(0.05)  # until housekeeping comes by
    with pytest.raises(asyncpg.SerializationError, match="snapshot"):
        await a.fetchval("SELECT SUM(n) FROM t")
    with pytest.raises(asyncpg.PostgresError):
        await a.execute("COMMIT")
    monkeypatch.undo()
    await b.execute(BEGIN)
    await b.fetchval("SELECT SUM(n) FROM t")
    await b.close()
    while held(grid):
        await asyncio.sleep(0)
    await a.close()


async def test_ddl_after_the_snapshot_ends_the_transaction(grid: MemoryGrid) -> None:
    a, b = await two_clients(grid)
    await a.execute(BEGIN)
    await a.fetchval("SELECT SUM(n) FROM t")
    await b.execute("ALTER TABLE t ADD extra NUMBER(3)")
    with pytest.raises(asyncpg.SerializationError):
        await a.fetchval("SELECT SUM(n) FROM t")
    await a.execute("ROLLBACK")
    assert await a.fetchval("SELECT SUM(n) FROM t") == SUM
    await a.close()
    await b.close()
