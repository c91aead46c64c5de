"""ALTER TABLE … DISTRIBUTE BY on filled tables, while clients work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid

ROWS = 1500


@pytest_asyncio.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    made = MemoryGrid(tmp_path, k=1, sets=3, session_timeout_s=5.0)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def fill(client: asyncpg.Connection) -> None:
    await client.execute(
        "CREATE TABLE p (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30) UNIQUE,"
        " city VARCHAR2(20) NOT NULL, UNIQUE (id, city))"
    )
    await client.execute("CREATE GLOBAL INDEX p_city ON p (city) INCLUDE (name)")
    await client.execute(
        "CREATE TABLE c (id NUMBER(10) PRIMARY KEY, p NUMBER(10) NOT NULL, city VARCHAR2(20) NOT"
        " NULL, CONSTRAINT f FOREIGN KEY (p, city) REFERENCES p (id, city)) DISTRIBUTE BY REFERENCE"
    )
    await client.execute(
        "CREATE TABLE g (id NUMBER(10) PRIMARY KEY, c NUMBER(10) NOT NULL REFERENCES c)"
        " DISTRIBUTE BY REFERENCE"
    )
    await client.execute(
        "INSERT INTO p WITH RECURSIVE r (n) AS (SELECT 1 FROM dual UNION ALL SELECT n + 1 FROM r"
        f" WHERE n < {ROWS}) SELECT n, 'n' || n, 'c' || MOD(n, 10) FROM r"
    )
    await client.execute("INSERT INTO c SELECT id * 2, id, city FROM p")
    await client.execute("INSERT INTO g SELECT id * 2, id FROM c")


async def check(client: asyncpg.Connection, rows: int = ROWS) -> None:
    """All rows are there once, found by every key, and children are where their parents are."""
    joined = "SELECT COUNT(*) FROM g, c, p WHERE g.c = c.id AND c.p = p.id"
    assert await client.fetchval(joined) == rows
    for table in ("p", "c", "g"):
        assert await client.fetchval(f"SELECT COUNT(*) FROM {table}") == rows
        assert await client.fetchval(f"SELECT COUNT(DISTINCT id) FROM {table}") == rows
    for text in ("p WHERE id = 77", "p WHERE name = 'n77'", "c WHERE id = 154", "g WHERE id = 308"):
        assert await client.fetchval(f"SELECT COUNT(*) FROM {text}") == 1
    assert await client.fetchval("SELECT COUNT(*) FROM p WHERE city = 'c7'") == ROWS // 10
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO p VALUES (77, 'x', 'y')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO p VALUES (100000, 'n77', 'y')")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await client.execute("INSERT INTO c VALUES (1, 100000, 'y')")


async def plan_of(client: asyncpg.Connection, query: str) -> str:
    return str((await client.fetch(f"EXPLAIN {query}"))[0][0])


async def test_rows_go_where_the_clause_puts_them(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    await fill(client)
    by_city = "SELECT * FROM p WHERE city = 'c7'"
    assert await plan_of(client, by_city) == "Query, co-located plan"
    await client.execute("ALTER TABLE p DISTRIBUTE BY HASH (city)")
    assert await plan_of(client, by_city) == "Query, single plan"
    joined = "SELECT g.id FROM g, c, p WHERE g.c = c.id AND c.p = p.id AND c.city = p.city"
    assert await plan_of(client, joined) == "Query, co-located plan"
    await check(client)
    sets = await client.fetch("SELECT DISTINCT replicaSetId# FROM p WHERE city = 'c7'")
    assert len(sets) == 1
    await client.execute("ALTER TABLE g DUPLICATE")
    await check(client)
    await client.execute("ALTER TABLE g DISTRIBUTE BY HASH")
    await check(client)
    await client.execute("ALTER TABLE g DISTRIBUTE BY REFERENCE")
    await check(client)
    assert await plan_of(client, joined) == "Query, co-located plan"
    await client.execute("DELETE FROM g")
    await client.execute("DELETE FROM c")
    await client.execute("DELETE FROM p")
    for table in ("p", "c", "g"):
        assert await client.fetchval(f"SELECT COUNT(*) FROM {table}") == 0
    await client.close()


async def test_clients_go_on_meanwhile(grid: MemoryGrid) -> None:
    client, reader, writer = [await grid.connect(at) for at in range(3)]
    await fill(client)
    over = asyncio.Event()

    async def read() -> int:
        times = 0
        while not over.is_set():
            assert await reader.fetchval("SELECT COUNT(*) FROM c") == ROWS
            times += 1
        return times

    async def write() -> int:
        times = 0
        while not over.is_set():
            times += 1
            await writer.execute("UPDATE p SET name = $1 WHERE id = $2", f"new{times}", times)
            await writer.execute("DELETE FROM g WHERE id = $1", 4 * times)
            await writer.execute("INSERT INTO g VALUES ($1, $2)", 4 * times, 2 * times)
        return times

    tasks = [asyncio.create_task(read()), asyncio.create_task(write())]
    for clause in ("BY HASH (city)", "BY HASH (id)"):
        await client.execute(f"ALTER TABLE p DISTRIBUTE {clause}")
    over.set()
    reads, writes = await asyncio.gather(*tasks)
    assert reads
    assert await client.fetchval("SELECT COUNT(*) FROM p WHERE name LIKE 'new%'") == writes
    await client.execute("UPDATE p SET name = 'n' || id")
    await check(client)
    for each in (client, reader, writer):
        await each.close()


async def test_a_cancelled_change_changes_nothing(grid: MemoryGrid) -> None:
    client, other = await grid.connect(0), await grid.connect(1)
    await fill(client)
    await other.execute("BEGIN")
    await other.execute("UPDATE g SET id = id WHERE id = 4")  # the change waits for it
    task = asyncio.create_task(
        client.execute("ALTER TABLE p DISTRIBUTE BY HASH (city)", timeout=0.5)
    )
    with pytest.raises(asyncio.TimeoutError):
        await task
    await other.execute("ROLLBACK")
    assert await plan_of(other, "SELECT * FROM p WHERE city = 'c7'") == "Query, co-located plan"
    await check(other)
    await client.execute("ALTER TABLE p DISTRIBUTE BY HASH (city)")
    await check(client)
    for each in (client, other):
        await each.close()
