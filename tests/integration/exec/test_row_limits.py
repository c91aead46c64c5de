"""Execute with a limit of rows on the fast path: at the lead, and from another instance."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.exec.running import Running
from tests.support.memory_grid import MemoryGrid

READ = "SELECT v FROM r WHERE id = $1 ORDER BY v"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    """Some of the rows are led where it is connected, others elsewhere."""
    grid = MemoryGrid(tmp_path, k=1, sets=2)
    await grid.start()
    connection = await grid.connect()
    await connection.execute("CREATE TABLE r (id TT_INTEGER, v TT_INTEGER) DISTRIBUTE BY HASH (id)")
    rows = [(n, 10 * n + v) for n in range(8) for v in range(3)]
    await connection.executemany("INSERT INTO r VALUES ($1, $2)", rows)
    yield connection
    await connection.close()
    await grid.stop()


async def test_one_row_is_asked_for(
    client: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.execute("DELETE FROM r WHERE v - 10 * id > 0")
    assert await client.fetchval(READ, 0) == 0  # compiled
    begun: list[Running] = []
    start = Running.start
    monkeypatch.setattr(Running, "start", lambda self, *body: begun.append(self) or start(self))
    assert [await client.fetchval(READ, n) for n in range(8)] == [10 * n for n in range(8)]
    assert await client.fetchval(READ, 99) is None
    assert [len(await client.fetch(READ, n)) for n in range(8)] == [1] * 8
    assert not begun, "no task of its own for any of them"


async def test_there_are_more_rows_than_were_asked_for(client: asyncpg.Connection) -> None:
    assert [await client.fetchval(READ, n) for n in range(8)] == [10 * n for n in range(8)]
    assert [len(await client.fetch(READ, n)) for n in range(8)] == [3] * 8


@pytest.mark.parametrize("at_once", [1, 2, 3, 4])
async def test_rows_come_in_pieces(client: asyncpg.Connection, at_once: int) -> None:
    async with asyncio.timeout(20), client.transaction():
        for number in range(8):
            cursor = client.cursor(READ, number, prefetch=at_once)
            values = [row["v"] async for row in cursor]
            assert values == [10 * number + v for v in range(3)]
            assert await client.fetchval("SELECT 1 FROM dual") == 1


async def test_a_cursor_of_sql(client: asyncpg.Connection) -> None:
    async with client.transaction():
        for number in range(8):
            await client.execute(f"DECLARE c CURSOR FOR {READ.replace('$1', str(number))}")
            assert [row["v"] for row in await client.fetch("FETCH 3 FROM c")] == [
                10 * number + v for v in range(3)
            ]
            assert await client.fetch("FETCH 3 FROM c") == []
            assert await client.fetch("FETCH 3 FROM c") == []
            await client.execute("CLOSE c")


async def test_a_cursor_that_is_left_ends_its_reads_in_order(client: asyncpg.Connection) -> None:
    """Its query over all replica sets is read to no end; nothing of it is left to the collector."""
    faults: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, fault: faults.append(fault))
    await client.execute("INSERT INTO r SELECT g, g FROM generate_series(100, 999) AS s (g)")
    try:
        for text in ("SELECT v FROM r ORDER BY v", "SELECT a.v FROM r a JOIN r b ON a.v = b.id"):
            async with asyncio.timeout(20), client.transaction():
                cursor = await client.cursor(text)
                assert len(await cursor.fetch(5)) == 5
        for _ in range(3):
            gc.collect()
            await client.fetchval("SELECT 1 FROM dual")
    finally:
        loop.set_exception_handler(None)
    assert faults == []
