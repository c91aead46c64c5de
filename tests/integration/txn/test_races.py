"""Clients at several data instances that write the same rows at the same time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from data.exec.queries import QueryRunner
from protocol.sqltypes import StorageRow
from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(90)

RETRY = ("40001", "40P01", "55P03")


async def clients_of(grid: MemoryGrid, count: int) -> list[asyncpg.Connection]:
    clients = [await grid.connect(n % len(grid.nodes)) for n in range(count)]
    for client in clients:
        await client.execute("SET lock_wait TO 1")
    return clients


async def close(clients: list[asyncpg.Connection]) -> None:
    for client in clients:
        await client.close()


async def run_all(works: list[Any]) -> None:
    await asyncio.gather(*works)


def entries(grid: MemoryGrid, table: str) -> list[tuple[Any, ...]]:
    """The rows of the only global index of a table, everywhere."""
    assert grid.nodes[0].instance is not None
    catalog = grid.nodes[0].instance.database("database1").element.catalog
    (index,) = [i.id for i in catalog.table("TERRY", table).indexes if i.is_global]
    return [row for node in grid.nodes for row in grid.contents(node, f"GI.{index}")]


async def test_a_global_index_stays_true_under_writers_and_moves(grid: MemoryGrid) -> None:
    clients = await clients_of(grid, 6)
    await clients[0].execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, mail VARCHAR2(20) UNIQUE)"
    )

    async def work(number: int, client: asyncpg.Connection) -> None:
        chance = random.Random(number)
        for _ in range(60):
            row, mail = chance.randrange(12), f"m{chance.randrange(10)}"
            text = chance.choice(
                [
                    f"INSERT INTO t VALUES ({row}, '{mail}')",
                    f"UPDATE t SET mail = '{mail}' WHERE id = {row}",
                    f"UPDATE t SET mail = NULL WHERE mail = '{mail}'",
                    f"UPDATE t SET id = {chance.randrange(12)} WHERE id = {row}",
                    f"DELETE FROM t WHERE mail = '{mail}'",
                    f"INSERT INTO t VALUES ({row}, '{mail}') ON CONFLICT DO NOTHING",
                ]
            )
            try:
                await client.execute(text)
            except asyncpg.PostgresError as error:
                assert error.sqlstate in (*RETRY, "23505"), (text, error)

    await run_all([work(n, c) for n, c in enumerate(clients)])
    rows = await clients[0].fetch("SELECT id, mail FROM t WHERE mail IS NOT NULL")
    assert len({row[1] for row in rows}) == len(rows)
    assert sorted(row[0] for row in entries(grid, "T")) == sorted(row[1] for row in rows)
    for row in rows:
        found = await clients[0].fetch(f"SELECT id FROM t WHERE mail = '{row[1]}'")
        assert [f[0] for f in found] == [row[0]]
    await close(clients)


async def test_transfers_between_replica_sets_lose_nothing(grid: MemoryGrid) -> None:
    clients = await clients_of(grid, 6)
    await clients[0].execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9))")
    await clients[0].execute("INSERT INTO t VALUES " + ", ".join(f"({n}, 100)" for n in range(9)))
    done = 0

    async def work(number: int, client: asyncpg.Connection) -> None:
        nonlocal done
        chance = random.Random(number)
        for _ in range(30):
            one, two = chance.sample(range(9), 2)
            try:
                async with client.transaction():
                    await client.execute(f"UPDATE t SET n = n - 1 WHERE id = {one}")
                    await client.execute(f"UPDATE t SET n = n + 1 WHERE id = {two}")
                done += 1
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, error

    await run_all([work(n, c) for n, c in enumerate(clients)])
    assert await clients[0].fetchval("SELECT sum(n) FROM t") == 900
    assert done > 60
    await close(clients)


async def test_read_committed_increments_are_never_lost(grid: MemoryGrid) -> None:
    clients = await clients_of(grid, 6)
    await clients[0].execute(
        "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, g NUMBER(9), n NUMBER(9))"
    )
    await clients[0].execute("INSERT INTO t VALUES (1, 7, 0), (2, 7, 0), (3, 7, 0), (4, 7, 0)")
    added = [0]

    async def work(number: int, client: asyncpg.Connection) -> None:
        for n in range(20):
            text = [
                "UPDATE t SET n = n + 1 WHERE id = 1",
                "UPDATE t SET n = n + 1 WHERE g = 7",
                "UPDATE t SET n = (SELECT max(n) FROM t x WHERE x.id = t.id) + 1 WHERE id = 2",
                "UPDATE t SET n = n + 1 WHERE id IN (SELECT id FROM t WHERE id > 2)",
            ][(n + number) % 4]
            try:
                status = await client.execute(text)
                added[0] += int(status.split()[1])
            except asyncpg.PostgresError as error:
                assert error.sqlstate in RETRY, error

    await run_all([work(n, c) for n, c in enumerate(clients)])
    assert await clients[0].fetchval("SELECT sum(n) FROM t") == added[0]
    await close(clients)


async def test_a_client_that_goes_away_leaves_no_locks(grid: MemoryGrid) -> None:
    one, two, three = await clients_of(grid, 3)
    await one.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9))")
    await one.execute("INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(12)))
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 1 WHERE id = 3")
    await two.execute("BEGIN")
    await two.execute("SET lock_wait TO 30")
    await two.execute("UPDATE t SET n = 2 WHERE id = 4")
    waiting = asyncio.ensure_future(two.execute("UPDATE t SET n = n + 10"))
    await asyncio.sleep(0.1)  # it waits for row 3 at one replica set, the others are done
    two.terminate()  # in the middle of a statement
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await waiting
    one.terminate()  # in the middle of a transaction
    async with asyncio.timeout(5):
        await three.execute("SET lock_wait TO 4")
        await three.execute("UPDATE t SET n = n + 1")
    assert await three.fetchval("SELECT sum(n) FROM t") == 12
    await three.close()


async def test_a_database_is_closed_under_its_sessions(grid: MemoryGrid) -> None:
    one, two = await clients_of(grid, 2)
    await one.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9))")
    await one.execute("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)")
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 1")
    waiting = asyncio.ensure_future(two.execute("UPDATE t SET n = 2"))
    await asyncio.sleep(0.05)  # it waits for a lock
    for node in grid.nodes:
        assert node.instance is not None
        await node.instance.unload("database1")
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await waiting
    one.terminate()
    two.terminate()
    for node in grid.nodes:
        assert node.instance is not None
        await node.instance.load(node.spec)
        await node.instance.open("database1")
    for node in grid.nodes:
        await grid.ready(node)
    again = await grid.connect(2)
    assert await again.fetchval("SELECT sum(n) FROM t") == 0
    await again.execute("UPDATE t SET n = 3")
    assert await again.fetchval("SELECT sum(n) FROM t") == 9
    await again.close()


async def test_rows_that_others_write_all_the_time_are_changed_at_last(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a query over the grid: somebody changes a row between each query and the change."""
    one, other = await grid.connect(0), await grid.connect(1)
    await one.execute("CREATE TABLE hot (id NUMBER(10) PRIMARY KEY, v NUMBER(10))")
    await one.execute("INSERT INTO hot VALUES (1, 0), (2, 0), (3, 0), (4, 0)")
    all_rows = QueryRunner.all_rows
    late: list[asyncio.Task[Any]] = []

    async def then_changed(runner: QueryRunner, *args: Any) -> list[StorageRow]:
        found = await all_rows(runner, *args)
        if not late or late[-1].done():
            sql = "UPDATE hot SET v = v + 1 WHERE id = 3"
            late.append(asyncio.create_task(other.execute(sql)))
            await asyncio.wait(late, timeout=0.1)  # or it waits for the lock
        return found

    monkeypatch.setattr(QueryRunner, "all_rows", then_changed)
    for sql, tag in (
        ("UPDATE hot SET v = v + (SELECT COUNT(*) * 100 FROM hot)", "UPDATE 4"),
        ("DELETE FROM hot WHERE v < (SELECT AVG(v) + 100 FROM hot)", "DELETE 4"),
    ):
        assert await one.execute(sql) == tag
        assert len(late) > 1
        await asyncio.gather(*late)
    monkeypatch.undo()
    assert await one.fetchval("SELECT COUNT(*) FROM hot") == 0
    await one.close()
    await other.close()
