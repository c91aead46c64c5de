"""A driver that wants one row asks for one: the portal is suspended, and closed with the next one.

asyncpg's fetchval and fetchrow do so. What the statement has done stays done.
"""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def client(grid: MemoryGrid) -> asyncpg.Connection:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v NUMBER(9))")
    await client.execute("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)")
    return client


async def test_returning_one_row_of_a_statement_that_commits_by_itself(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    assert await client.fetchval("UPDATE t SET v = v + 1 WHERE id = $1 RETURNING v", 1) == 1
    assert await client.fetchval("UPDATE t SET v = v + 1 RETURNING 7") == 7
    assert await client.fetchval("INSERT INTO t VALUES (4, 4), (5, 5) RETURNING id") == 4
    assert await client.fetchval("DELETE FROM t WHERE id IN (2, 3) RETURNING v") == 1
    other = await grid.connect(1)
    rows = await other.fetch("SELECT id, v FROM t ORDER BY id")
    assert [tuple(map(int, row)) for row in rows] == [(1, 2), (4, 4), (5, 5)]
    await other.close()
    await client.close()


async def test_returning_one_row_inside_a_transaction(client: asyncpg.Connection) -> None:
    async with client.transaction():
        assert await client.fetchval("UPDATE t SET v = v + 1 RETURNING v") == 1
        await client.execute("UPDATE t SET v = v + 10 WHERE id = 1")
    rows = await client.fetch("SELECT v FROM t ORDER BY id")
    assert [int(row[0]) for row in rows] == [11, 1, 1]
    await client.close()


async def test_a_locked_row_and_what_is_done_after_it(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    other = await grid.connect(1)
    async with client.transaction():
        found = await client.fetchval("SELECT v FROM t WHERE id = 1 FOR UPDATE")
        await client.execute("UPDATE t SET v = $1 WHERE id = 1", int(found) + 5)
        await client.fetchval("SELECT v FROM t WHERE id > 1 FOR UPDATE")
        assert await client.fetchval("SELECT v FROM t WHERE id = 1") == 5
        for key in (1, 2, 3):  # all of them are locked, also those that nobody fetched
            with pytest.raises(asyncpg.LockNotAvailableError):
                await other.execute(f"SELECT v FROM t WHERE id = {key} FOR UPDATE NOWAIT")
    assert await other.fetchval("SELECT v FROM t WHERE id = 1") == 5
    await other.close()
    await client.close()
