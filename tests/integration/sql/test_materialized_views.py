"""Materialized views follow every change of their table in the same transaction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid, running_grid

TABLE = (
    "CREATE TABLE orders (id NUMBER(10) NOT NULL PRIMARY KEY, customer VARCHAR2(20), price NUMBER,"
    " item NUMBER(10) NOT NULL, UNIQUE (item, id)) DISTRIBUTE BY HASH"
)
VIEWS = {
    "by_customer": (
        "DISTRIBUTE BY HASH (customer) AS SELECT customer, id, price FROM orders",
        "SELECT customer, id, price FROM orders",
    ),
    "dear": (
        "DISTRIBUTE BY HASH (item) AS SELECT item, UPPER(customer) AS who, price * 2 AS twice "
        "FROM orders WHERE price > 2.5",
        "SELECT item, UPPER(customer), price * 2 FROM orders WHERE price > 2.5",
    ),
    "by_item": (
        "DISTRIBUTE BY HASH (item) AS SELECT item, id, customer FROM orders "
        "PRIMARY KEY (item, id) UNIQUE HASH ON (item, id) PAGES = 10",
        "SELECT item, id, customer FROM orders",
    ),
}


@pytest_asyncio.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, session_timeout_s=5.0) as made:
        yield made


async def make(client: asyncpg.Connection) -> None:
    await client.execute(TABLE)
    await client.execute(
        "INSERT INTO orders VALUES (1, 'ann', 1.5, 1), (2, 'bob', 2.50, 1), (3, NULL, 9, 2),"
        " (4, 'ann', NULL, 3), (5, 'cem', 2.51, 1)"
    )
    for name, (clauses, _) in VIEWS.items():
        await client.execute(f"CREATE MATERIALIZED VIEW {name} {clauses}")


async def check(client: asyncpg.Connection) -> None:
    """Each view gives the rows of its query, in the same snapshot or transaction."""
    for name, (_, query) in VIEWS.items():
        view = await client.fetch(f"SELECT * FROM {name}")
        table = await client.fetch(query)
        assert sorted(map(repr, map(tuple, view))) == sorted(map(repr, map(tuple, table))), name


async def test_views_follow_changes_and_rollbacks(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    await make(client)
    await check(client)
    for text in (
        "UPDATE orders SET customer = 'zoe' WHERE id = 1",
        "UPDATE orders SET price = 2 WHERE id = 3",
        "UPDATE orders SET price = price + 1",
        "UPDATE orders SET id = id + 100 WHERE id > 2",
        "UPDATE orders SET item = 7 WHERE customer = 'ann'",
        "DELETE FROM orders WHERE id = 2",
        "INSERT INTO orders SELECT id + 1000, customer, price, item FROM orders",
        "INSERT INTO orders VALUES (1, 'x', 1, 1) ON CONFLICT (id) DO UPDATE SET price = 77",
        "ALTER TABLE orders ADD (note VARCHAR2(10))",
        "UPDATE orders SET note = 'n', price = 3 WHERE id = 1",
    ):
        await client.execute(text)
        await check(client)
    await client.execute("BEGIN")
    await client.execute("DELETE FROM orders WHERE id < 200")
    await check(client)
    await client.execute("SAVEPOINT s")
    await client.execute("INSERT INTO orders VALUES (500, 'mid', 50, 5, NULL)")
    await check(client)
    await client.execute("ROLLBACK TO s")
    await check(client)
    await client.execute("ROLLBACK")
    await check(client)
    assert await client.fetchval("SELECT COUNT(*) FROM by_customer WHERE customer = 'zoe'") == 2
    await client.close()
    for name in VIEWS:  # both copies of each replica set hold the same
        table = f"TERRY.{name.upper()}"
        for first, second in (grid.nodes[:2], grid.nodes[2:]):
            async with asyncio.timeout(10):
                while grid.contents(first, table) != grid.contents(second, table):
                    await asyncio.sleep(0.01)  # the copy puts what it has into effect a bit later


async def test_many_clients_at_once(grid: MemoryGrid) -> None:
    clients = [await grid.connect(at) for at in (0, 1, 2, 3)]
    await make(clients[0])

    async def work(client: asyncpg.Connection, seed: int) -> None:
        choose = random.Random(seed)
        for number in range(25):
            key = choose.randrange(1, 12)
            try:
                async with client.transaction():
                    match choose.randrange(4):
                        case 0:
                            await client.execute("DELETE FROM orders WHERE id = $1", key)
                        case 1:
                            values = (key, "abc"[number % 3], number % 5, key % 3)
                            await client.execute(
                                "INSERT INTO orders VALUES ($1, $2, $3, $4)", *values
                            )
                        case _:
                            who = "xyz"[number % 3]
                            await client.execute(
                                "UPDATE orders SET customer = $1, price = $2 WHERE id = $3",
                                who, number % 6, key,
                            )  # fmt: skip
                    if choose.random() < 0.2:
                        raise asyncio.CancelledError
            except (asyncpg.UniqueViolationError, asyncio.CancelledError):
                pass
            except asyncpg.PostgresError as error:
                assert (error.sqlstate or "").startswith("40"), error

    await asyncio.gather(*(work(client, seed) for seed, client in enumerate(clients)))
    await check(clients[0])
    for client in clients:
        await client.close()


async def test_a_large_change_and_the_key_of_the_view(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    await make(client)
    await client.execute("DELETE FROM orders")
    await client.execute(
        "INSERT INTO orders WITH RECURSIVE r (n) AS (SELECT 1 FROM dual UNION ALL "
        "SELECT n + 1 FROM r WHERE n < 5000) SELECT n, 'c' || MOD(n, 50), MOD(n, 7), n FROM r"
    )
    await client.execute("UPDATE orders SET price = price + 1, customer = 'd' || MOD(id, 40)")
    await check(client)
    await client.execute("CREATE MATERIALIZED VIEW one DISTRIBUTE BY HASH (item) AS "
                         "SELECT item FROM orders PRIMARY KEY (item)")  # fmt: skip
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO orders VALUES (20000, 'x', 1, 5)")
    await client.execute("DELETE FROM orders WHERE id <> 5")
    await check(client)
    assert await client.fetchval("SELECT COUNT(*) FROM one") == 1
    await client.close()


async def test_what_is_refused(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    await make(client)
    await client.execute("CREATE TABLE e (a INT PRIMARY KEY) DUPLICATE")
    hashed = "CREATE MATERIALIZED VIEW v DISTRIBUTE BY HASH (customer) AS SELECT"
    for text, sqlstate in (
        ("CREATE MATERIALIZED VIEW v AS SELECT customer FROM orders", "42P16"),
        ("CREATE MATERIALIZED VIEW v DUPLICATE AS SELECT customer FROM orders", "42P16"),
        ("CREATE MATERIALIZED VIEW v DISTRIBUTE BY HASH (a) AS SELECT a FROM e", "42P16"),
        (f"{hashed} customer FROM by_customer", "0A000"),
        (f"{hashed} customer, COUNT(*) AS n FROM orders GROUP BY customer", "0A000"),
        (f"{hashed} a.customer FROM orders a, orders b", "0A000"),
        (f"{hashed} UPPER(customer) AS customer FROM orders", "0A000"),
        (f"{hashed} customer, SYSDATE AS d FROM orders", "0A000"),
        (f"{hashed} customer FROM orders WHERE id IN (SELECT a FROM e)", "0A000"),
        ("INSERT INTO by_item VALUES (1, 1, 'x')", "0A000"),
        ("UPDATE by_item SET item = 1", "0A000"),
        ("DELETE FROM by_item", "0A000"),
        ("TRUNCATE TABLE by_item", "0A000"),
        ("TRUNCATE TABLE orders", "2BP01"),
        ("ALTER TABLE by_item ADD (x INT)", "0A000"),
        ("ALTER TABLE orders DROP COLUMN price", "2BP01"),
        ("ALTER TABLE orders RENAME COLUMN price TO cost", "2BP01"),
        ("DROP TABLE orders", "2BP01"),
        ("DROP TABLE by_item", "42P16"),
        ("DROP MATERIALIZED VIEW orders", "42P16"),
    ):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await client.execute(text)
        assert refused.value.sqlstate == sqlstate, f"{text}: {refused.value}"
    kinds = "SELECT relname, relkind FROM pg_class WHERE relname IN ('orders', 'dear') ORDER BY 1"
    assert [tuple(row) for row in await client.fetch(kinds)] == [("dear", "m"), ("orders", "r")]
    assert len(await client.fetch("SELECT definition FROM pg_matviews")) == len(VIEWS)
    await client.execute("CREATE INDEX i ON by_item (customer)")
    await client.execute("DROP MATERIALIZED VIEW by_item")
    await client.execute("DROP TABLE orders CASCADE")
    assert await client.fetch("SELECT table_name FROM user_tables") == [("E",)]
    await client.close()
