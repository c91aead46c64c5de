"""ALTER TABLE … DISTRIBUTE BY on filled tables, while clients work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from data.exec import online
from tests.support.memory_grid import MemoryGrid, running_grid

ROWS = 1500


@pytest_asyncio.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=1, sets=3, session_timeout_s=5.0) as made:
        yield made


async def fill(client: asyncpg.Connection) -> None:
    await client.execute(
        "CREATE TABLE p (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30) UNIQUE,"
        " city VARCHAR2(20) NOT NULL, UNIQUE (id, city))"
    )
    await client.execute("CREATE GLOBAL INDEX p_city ON p (city)")
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


# -- large tables: while others write --------------------------------------------------------------
async def fill_orders(client: asyncpg.Connection) -> None:
    await client.execute(
        "CREATE TABLE o (id NUMBER(10) NOT NULL PRIMARY KEY, cust NUMBER(10) NOT NULL, n NUMBER(10)"
        " CHECK (n >= 0), code VARCHAR2(20) UNIQUE)"
    )
    await client.execute("CREATE INDEX o_n ON o (n)")
    await client.execute("CREATE TABLE l (id NUMBER(10) PRIMARY KEY, o NUMBER(10) REFERENCES o)")
    await client.execute(
        "INSERT INTO o WITH RECURSIVE r (n) AS (SELECT 1 FROM dual UNION ALL SELECT n + 1 FROM r"
        " WHERE n < 1200) SELECT n, MOD(n, 50), 10, 'k' || n FROM r"
    )
    await client.execute("INSERT INTO l SELECT id, id FROM o WHERE id < 20")
    await client.execute(
        "CREATE MATERIALIZED VIEW by_n DISTRIBUTE BY HASH (n) AS SELECT n, id FROM o"
    )


async def check_orders(client: asyncpg.Connection) -> None:
    assert await client.fetchval("SELECT COUNT(*) - COUNT(DISTINCT id) FROM o") == 0
    both = "SELECT COUNT(*) FROM o a, by_n b WHERE a.id = b.id AND a.n = b.n"
    assert await client.fetchval(both) == await client.fetchval("SELECT COUNT(*) FROM o")
    assert await client.fetchval("SELECT COUNT(*) FROM o WHERE id = 5 AND code = 'k5'") == 1
    for text, sqlstate in (
        ("INSERT INTO o VALUES (5, 1, 1, 'x')", "23505"),
        ("INSERT INTO o VALUES (99999, 1, 1, 'k5')", "23505"),
        ("INSERT INTO o VALUES (99999, 1, -1, 'x')", "23514"),
        ("INSERT INTO l VALUES (100, 99999)", "23503"),
        ("DELETE FROM o WHERE id = 5", "23503"),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await client.execute(text)
        assert refused.value.sqlstate == sqlstate, text
    hidden = "SELECT table_name FROM user_tables ORDER BY 1"
    assert [row[0] for row in await client.fetch(hidden)][-1] == "O"


def copies(grid: MemoryGrid) -> list[str]:
    """Copies of tables that are being moved, as an instance knows them."""
    assert grid.nodes[0].instance is not None
    tables = grid.nodes[0].instance.database("database1").space.catalog.tables()
    return [table.name for table in tables if table.name.startswith("_COPY.")]


async def test_a_large_table_moves_while_others_write_it(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "ROWS_ONLINE", 100)
    monkeypatch.setattr(online, "ROWS_AT_ONCE", 50)
    client, *writers = [await grid.connect(at) for at in (0, 0, 1, 2)]
    await fill_orders(client)
    over = asyncio.Event()
    done = [0, 0, 0]

    async def write(number: int, writer: asyncpg.Connection) -> None:
        """Moves amounts between rows and takes rows out and puts them in: the sum stays."""
        key = 100 * (number + 1)
        while not over.is_set():
            try:
                async with writer.transaction():
                    await writer.execute("UPDATE o SET n = n + 1 WHERE id = $1", key)
                    await writer.execute("UPDATE o SET n = n - 1 WHERE id = $1", 1200 - number)
                    await writer.execute("DELETE FROM o WHERE id = $1", 500 + number)
                    await writer.execute(
                        "INSERT INTO o VALUES ($1, 7, 10, $2)", 500 + number, f"k{500 + number}"
                    )
                    await writer.execute("UPDATE o SET n = n + 1 WHERE id = $1", 1200 - number)
            except asyncpg.DeadlockDetectedError:  # with the DDL, at several replica sets
                continue
            done[number] += 1
            assert await writer.fetchval("SELECT COUNT(*) FROM o") == 1200

    tasks = [asyncio.create_task(write(*pair)) for pair in enumerate(writers)]
    for clause in ("BY HASH (cust)", "BY HASH (n, cust)", "BY HASH (id)"):
        before = list(done)
        await client.execute(f"ALTER TABLE o DISTRIBUTE {clause}")
        assert all(now > then for now, then in zip(done, before, strict=True))
    over.set()
    await asyncio.gather(*tasks)
    assert await client.fetchval("SELECT SUM(n) FROM o") == 12000 + sum(done)
    assert not copies(grid)
    await check_orders(client)
    await client.execute("ALTER TABLE o DISTRIBUTE BY HASH (cust)")
    assert await plan_of(client, "SELECT * FROM o WHERE cust = 7") == "Query, single plan"
    await check_orders(client)
    for each in (client, *writers):
        await each.close()


async def test_a_move_of_a_large_table_that_is_cancelled_or_overtaken(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "ROWS_ONLINE", 100)
    client, other = await grid.connect(0), await grid.connect(1)
    await fill_orders(client)
    for end in ("cancel", "alter"):
        await other.execute("BEGIN")
        await other.execute("UPDATE o SET n = n + 1 WHERE id = 1000")
        # it makes its copy when the transaction has ended that writes the table
        task = asyncio.create_task(client.execute("ALTER TABLE o DISTRIBUTE BY HASH (cust)"))
        await other.execute("COMMIT")
        await other.execute("BEGIN")
        await other.execute("SELECT * FROM o WHERE id = 1001 FOR UPDATE")
        if end == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await other.execute("ROLLBACK")
            client = await grid.connect(0)
        else:
            await other.execute("CREATE INDEX o_cust ON o (cust)")
            with pytest.raises(asyncpg.SerializationError):
                await task
        assert await plan_of(other, "SELECT * FROM o WHERE cust = 7") == "Query, co-located plan"
        await check_orders(other)
        async with asyncio.timeout(10):
            while copies(grid):
                await asyncio.sleep(0.01)  # the copy goes after the client was told
    for each in (client, other):
        await each.close()
