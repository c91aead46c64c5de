"""Global indexes: by which replica set a query goes, and queries that only read their entries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import running_grid

COLUMNS = (
    "(id NUMBER(10) NOT NULL PRIMARY KEY, cust NUMBER(10), city VARCHAR2(20), price NUMBER,"
    " email VARCHAR2(30))"
)
FIND, ENTRIES = "found through a global index", "entries of global indexes"


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    async with running_grid(tmp_path, k=1, sets=3, session_timeout_s=5.0) as grid:
        made = await grid.connect(0)
        for table in ("o", "plain"):
            await made.execute(f"CREATE TABLE {table} {COLUMNS}")
            await made.execute(
                f"INSERT INTO {table} WITH RECURSIVE r (n) AS (SELECT 1 FROM dual UNION ALL SELECT"
                " n + 1 FROM r WHERE n < 300) SELECT n, NULLIF(MOD(n, 60), 0), 'c' || MOD(n, 10),"
                " n / 2, 'e' || n FROM r"
            )
        await made.execute("CREATE GLOBAL INDEX by_cust ON o (cust) INCLUDE (price)")
        await made.execute("CREATE GLOBAL INDEX by_city ON o (city, cust)")
        await made.execute("CREATE GLOBAL UNIQUE INDEX by_email ON o (email)")
        try:
            yield made
        finally:
            await made.close()


async def plan_of(client: asyncpg.Connection, query: str) -> str:
    return "\n".join(str(row[0]) for row in await client.fetch(f"EXPLAIN {query}"))


async def same(client: asyncpg.Connection, query: str) -> None:
    """The table with indexes and the one without give the same."""
    rows = [tuple(row) for row in await client.fetch(query.format(t="o"))]
    expected = [tuple(row) for row in await client.fetch(query.format(t="plain"))]
    assert rows == expected, query


QUERIES = (
    ("SELECT id, city FROM {t} WHERE cust = 7 ORDER BY id", FIND),
    ("SELECT COUNT(*), MAX(city) FROM {t} WHERE cust = 7", FIND),
    ("SELECT COUNT(*), MAX(city) FROM {t} WHERE cust = 777", FIND),
    ("SELECT city, COUNT(*) FROM {t} WHERE cust = 7 GROUP BY city ORDER BY city", FIND),
    ("SELECT id, city FROM {t} WHERE cust = 7 AND price > 60 ORDER BY id DESC LIMIT 2", FIND),
    ("SELECT DISTINCT email FROM {t} WHERE city = 'c7' AND cust = 7 ORDER BY email", FIND),
    ("SELECT id FROM {t} WHERE email = 'e5'", FIND),
    ("SELECT id, price FROM {t} WHERE cust = 7 ORDER BY id", ENTRIES),
    ("SELECT COUNT(*), SUM(price) FROM {t} WHERE cust = 7", ENTRIES),
    ("SELECT COUNT(*), SUM(price) FROM {t} WHERE cust = 777", ENTRIES),
    ("SELECT cust, COUNT(*) FROM {t} WHERE cust IN (7, 8, 9) GROUP BY cust ORDER BY 1", ENTRIES),
    ("SELECT id FROM {t} WHERE city = 'c7' AND cust = 7 ORDER BY id", ENTRIES),
    ("SELECT email FROM {t} WHERE email = 'e5'", ENTRIES),
    ("SELECT a.id, b.city FROM {t} a, {t} b WHERE a.cust = 7 AND a.id = b.id ORDER BY 1", ENTRIES),
    ("SELECT a.id, b.price FROM {t} a, {t} b WHERE a.cust = 7 AND b.cust = a.cust ORDER BY 1, 2",
     ENTRIES),
    ("SELECT a.id, b.id FROM {t} a LEFT JOIN {t} b ON a.id = b.cust WHERE a.cust = 7 ORDER BY 1, 2",
     ENTRIES),
    ("SELECT id, (SELECT COUNT(*) FROM {t} WHERE cust = 9) FROM {t} WHERE id = 1", ENTRIES),
    ("SELECT id FROM {t} WHERE cust IS NULL ORDER BY id", ""),
    ("SELECT id FROM {t} WHERE cust = 7 OR city = 'c3' ORDER BY id", ""),
    ("SELECT id, price FROM {t} WHERE cust > 57 ORDER BY id", ""),
    ("SELECT price FROM {t} WHERE id = 7 AND cust = 7", ""),
)  # fmt: skip


async def test_the_index_says_where_or_gives_the_answer(client: asyncpg.Connection) -> None:
    for query, expected in QUERIES:
        plan = await plan_of(client, query.format(t="o"))
        used = {part for part in (FIND, ENTRIES) if part in plan}
        assert used == ({expected} if expected else set()), plan
        await same(client, query)
    by_parameter = "SELECT id, city FROM o WHERE cust = $1 ORDER BY id"
    assert len(await client.fetch(by_parameter, 8)) == 5
    assert await client.fetch(by_parameter, None) == []


async def test_changes_through_and_of_an_index(client: asyncpg.Connection) -> None:
    for change in (
        "UPDATE {t} SET price = price + 1, cust = 8 WHERE cust = 7",
        "DELETE FROM {t} WHERE cust = 8 AND city = 'c8'",
        "UPDATE {t} SET city = 'new' WHERE city = 'c3' AND cust = 3",
        "DELETE FROM {t} WHERE email = 'e6'",
        "INSERT INTO {t} VALUES (1000, 7, 'q', 5, 'x')",
    ):
        counts = {await client.execute(change.format(t=table)) for table in ("o", "plain")}
        assert len(counts) == 1, change
        for query, _ in QUERIES:
            await same(client, query)
    for table in ("o", "plain"):
        await client.execute("BEGIN")
        await client.execute(f"INSERT INTO {table} VALUES (1001, 7, 'q', 5, 'y')")
        rows = await client.fetch(f"SELECT id, price FROM {table} WHERE cust = 7 ORDER BY id")
        assert [tuple(row) for row in rows] == [(1000, 5), (1001, 5)]
        rows = await client.fetch(f"SELECT id, city FROM {table} WHERE cust = 7 ORDER BY id")
        assert [tuple(row) for row in rows] == [(1000, "q"), (1001, "q")]
        await client.execute("ROLLBACK")
    await same(client, "SELECT id, price FROM {t} WHERE cust = 7")


@pytest.mark.parametrize("columns", ["id, price", "id, city"])
async def test_serializable_reads_by_an_index_see_no_phantoms(
    client: asyncpg.Connection, columns: str
) -> None:
    await client.execute("CREATE TABLE seen (n NUMBER PRIMARY KEY)")
    await client.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
    before = len(await client.fetch(f"SELECT {columns} FROM o WHERE cust = 7"))
    await client.execute("SAVEPOINT s")
    other = await asyncpg.connect(
        host="127.0.0.1", port=client._addr[1], user="terry", password="tiger",
        database="database1",
    )  # fmt: skip
    await other.execute("SET lock_wait = 0")
    for number in range(5000, 5008):  # rows of every replica set
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute(f"INSERT INTO o VALUES ({number}, 7, 'q', 5, 'y{number}')")
    assert len(await client.fetch(f"SELECT {columns} FROM o WHERE cust = 7")) == before
    await client.execute("COMMIT")
    await other.execute("INSERT INTO o VALUES (5000, 7, 'q', 5, 'y')")
    await other.close()
