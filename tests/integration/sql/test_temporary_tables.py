"""Global temporary tables: one definition, rows of each session alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid, running_grid


@pytest_asyncio.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(
        tmp_path,
        "CREATE TABLE p (id NUMBER(10) PRIMARY KEY, name VARCHAR2(30))",
        "INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')",
        "CREATE GLOBAL TEMPORARY TABLE kept (id NUMBER(10) PRIMARY KEY, v VARCHAR2(20) DEFAULT 'q',"
        " n NUMBER CHECK (n < 100)) ON COMMIT PRESERVE ROWS",
        "CREATE GLOBAL TEMPORARY TABLE brief (id NUMBER(10), x NUMBER)",
        session_timeout_s=5.0,
    ) as made:
        yield made


async def rows(client: asyncpg.Connection, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await client.fetch(query)]


async def test_rows_are_private_and_gone_with_the_session(grid: MemoryGrid) -> None:
    one, same, other = [await grid.connect(at) for at in (0, 0, 3)]
    await one.execute("INSERT INTO kept (id, n) SELECT id, id * 1.5 FROM p")
    await other.execute("INSERT INTO kept (id) VALUES (77)")
    assert await one.fetchval("SELECT COUNT(*) FROM kept") == 4
    assert await same.fetchval("SELECT COUNT(*) FROM kept") == 0
    assert await rows(other, "SELECT id, v, n FROM kept") == [(77, "q", None)]
    await other.close()
    again = await grid.connect(3)
    assert await again.fetchval("SELECT COUNT(*) FROM kept") == 0
    await again.execute("DROP TABLE brief")
    await one.execute("CREATE TABLE brief (a INT)")
    assert await rows(one, "SELECT * FROM brief") == []
    for client in (one, same, again):
        await client.close()


async def test_statements(grid: MemoryGrid) -> None:
    client = await grid.connect(1)
    await client.execute("INSERT INTO kept (id, n) SELECT id, id * 1.5 FROM p")
    joined = "SELECT p.name, k.n FROM p JOIN kept k ON p.id = k.id WHERE k.n > $1 ORDER BY 1"
    assert [tuple(r) for r in await client.fetch(joined, 4)] == [("c", 4.5), ("d", 6)]
    assert (
        await client.execute(
            "UPDATE kept SET n = n + 1 WHERE id IN (SELECT id FROM p WHERE id < 3)"
        )
        == "UPDATE 2"
    )
    assert await client.fetchval("UPDATE kept SET v = 'new' WHERE id = 1 RETURNING n") == 2.5
    assert await client.execute("DELETE FROM p WHERE id IN (SELECT id FROM kept WHERE n > 5)") == (
        "DELETE 1"
    )
    assert await rows(client, "SELECT id FROM kept MINUS SELECT id FROM p") == [(4,)]
    assert await client.execute("DELETE FIRST 1 FROM kept WHERE id > 2") == "DELETE 1"
    await client.execute("CREATE INDEX by_v ON kept (v)")
    assert await rows(client, "SELECT id FROM kept WHERE v = 'new'") == [(1,)]
    for text, sqlstate in (
        ("INSERT INTO kept VALUES (1, 'x', 1)", "23505"),
        ("INSERT INTO kept SELECT 8 + ROWNUM, 'x', 99 + ROWNUM FROM p", "23514"),
        ("INSERT INTO kept VALUES (NULL, 'x', 1)", "23502"),
        ("INSERT INTO kept VALUES (1, 'a far too long value for it', 1)", "22001"),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await client.execute(text)
        assert refused.value.sqlstate == sqlstate
    assert await client.execute("INSERT INTO kept VALUES (1, 'x', 1) ON CONFLICT DO NOTHING") == (
        "INSERT 0 0"
    )
    await client.copy_records_to_table("kept", records=[(50, "copied", 1), (51, "copied", 2)])
    assert await client.fetchval("SELECT SUM(n) FROM kept WHERE v = 'copied'") == 3
    explained = await rows(client, "EXPLAIN SELECT * FROM kept, p")
    assert any("the session's temporary tables: kept" in str(line) for line in explained)
    await client.close()


async def test_transactions(grid: MemoryGrid) -> None:
    client = await grid.connect(2)
    await client.execute("INSERT INTO brief VALUES (1, 2)")  # a transaction of its own
    assert await client.fetchval("SELECT COUNT(*) FROM brief") == 0
    await client.execute("BEGIN")
    await client.execute("SAVEPOINT early")
    await client.execute("INSERT INTO brief VALUES (1, 2), (2, 3)")
    await client.execute("INSERT INTO kept (id) VALUES (1)")
    await client.execute("SAVEPOINT later")
    await client.execute("DELETE FROM brief")
    await client.execute("ROLLBACK TO later")
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO kept (id) VALUES (5), (1)")
    await client.execute("ROLLBACK TO later")
    assert await client.fetchval("SELECT COUNT(*) FROM brief") == 2
    await client.execute("INSERT INTO p SELECT 100 + id, 'z' FROM brief")
    await client.execute("COMMIT")
    assert await client.fetchval("SELECT COUNT(*) FROM p") == 6
    assert await client.fetchval("SELECT COUNT(*) FROM brief") == 0
    assert await rows(client, "SELECT id FROM kept") == [(1,)]
    await client.execute("BEGIN")
    await client.execute("SAVEPOINT early")
    await client.execute("DELETE FROM kept")
    await client.execute("INSERT INTO brief VALUES (1, 2)")
    await client.execute("ROLLBACK TO early")
    assert await rows(client, "SELECT id FROM kept") == [(1,)]
    assert await client.fetchval("SELECT COUNT(*) FROM brief") == 0
    await client.execute("DELETE FROM kept")
    await client.execute("ROLLBACK")
    assert await rows(client, "SELECT id FROM kept") == [(1,)]
    await client.close()


async def test_what_is_refused(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    made = "CREATE GLOBAL TEMPORARY TABLE t (id NUMBER(10)"
    for text, sqlstate in (
        (f"{made}) DISTRIBUTE BY HASH (id)", "42P16"),
        (f"{made}) ON COMMIT DELETE ROWS DUPLICATE", "42P16"),
        (f"{made} REFERENCES p)", "0A000"),
        ("CREATE TABLE t (id NUMBER(10) REFERENCES kept)", "0A000"),
        ("CREATE GLOBAL INDEX i ON kept (v)", "42P16"),
        ("CREATE MATERIALIZED VIEW v DISTRIBUTE BY HASH (id) AS SELECT id FROM kept", "42P16"),
        ("CREATE TEMP TABLE t (a INT)", "0A000"),
        ("CREATE LOCAL TEMPORARY TABLE t (a INT)", "0A000"),
        ("ALTER TABLE kept ADD (z INT)", "0A000"),
        ("TRUNCATE TABLE kept", "0A000"),
        ("SELECT * FROM kept FOR UPDATE", "0A000"),
        ("CREATE TABLE t (a INT) ON COMMIT DELETE ROWS", "42P16"),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await client.execute(text)
        assert refused.value.sqlstate == sqlstate, f"{text}: {refused.value}"
    await client.close()
