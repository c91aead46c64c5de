"""The documented SQL sessions T14 to T21 by behaviour, on the guide's three replica sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.sample import generate
from tests.support.memory_grid import running_grid
from tests.support.sample import SCHEMA, statements

CUSTOMERS = 1000
BETWEEN = "cust_id BETWEEN 910 AND 920"


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[list[asyncpg.Connection]]:
    """One client at each of the six elements; the sample's tables and 1,000 customers."""
    async with running_grid(tmp_path, k=2, sets=3) as grid:
        connections = [await grid.connect(n) for n in range(6)]
        for text in statements(SCHEMA):
            await connections[0].execute(text)
        lines = "".join(f"{line.rstrip()}\n" for line in generate.customers(CUSTOMERS)).encode()

        async def source() -> AsyncIterator[bytes]:
            yield lines

        await connections[0].copy_to_table("customers", source=source(), null=generate.NULL)
        yield connections
        await asyncio.gather(*(c.close() for c in connections))


@pytest.mark.timeout(90)
async def test_the_documented_sessions(clients: list[asyncpg.Connection]) -> None:
    for session in (_t16, _t17, _t18, _t19, _t20, _t21):
        await session(clients)


async def _t16(clients: list[asyncpg.Connection]) -> None:
    """Where rows are: each once, at a constant replica set, in an element of that set."""
    query = (
        "SELECT elementId#, replicasetid#, dataspaceId#, cust_id, last_name, first_name "
        f"FROM customers WHERE {BETWEEN} ORDER BY cust_id, last_name, first_name"
    )
    seen = []
    for number, client in enumerate(clients, 1):
        assert await client.fetchval("SELECT elementid# FROM dual") == number
        rows = await client.fetch(query)
        assert [int(r["cust_id"]) for r in rows] == list(range(910, 921))
        assert [(r["last_name"], r["first_name"]) for r in rows[:2]] == [
            ("Riley", "Tessa"),
            ("Riley", "Rashad"),
        ]
        for row in rows:
            element, rs, space = row[0], row[1], row[2]
            assert (rs, space) == ((element - 1) // 2 + 1, (element - 1) % 2 + 1)
        seen.append([r[1] for r in rows])
    assert all(sets == seen[0] for sets in seen)
    counts = await clients[0].fetch(
        "SELECT replicasetid#, count(*) FROM customers GROUP BY replicasetid#"
    )
    assert sorted(r[0] for r in counts) == [1, 2, 3]
    assert sum(r[1] for r in counts) == CUSTOMERS


async def _t17(clients: list[asyncpg.Connection]) -> None:
    """ELEMENTIDCOMPUTE predicts an element of the row's replica set."""
    rows = await clients[4].fetch(
        f"SELECT ELEMENTIDCOMPUTE (cust_id), replicasetid#, cust_id FROM customers WHERE {BETWEEN}"
    )
    assert len(rows) == 11
    assert all((row[0] - 1) // 2 + 1 == row[1] for row in rows)


async def _t18(clients: list[asyncpg.Connection]) -> None:
    """A duplicate table answers from the connection's own replica set."""
    for number, client in enumerate(clients):
        rows = await client.fetch("SELECT replicasetid#, status FROM account_status")
        assert len(rows) == 5
        assert {row[0] for row in rows} == {number // 2 + 1}


async def _t19(clients: list[asyncpg.Connection]) -> None:
    """All elements with one query; one with LOCAL."""
    query = (
        "SELECT /*+TT_GridQueryExec({})*/ elementId#, replicasetId#, dataspaceId# FROM dual "
        "ORDER BY elementId#, replicasetId#, dataspaceId#"
    )
    rows = await clients[2].fetch(query.format("GLOBAL"))
    expected = [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 2), (5, 3, 1), (6, 3, 2)]
    assert [tuple(row) for row in rows] == expected
    assert len(await clients[2].fetch(query.format("LOCAL"))) == 1


async def _refused(client: asyncpg.Connection, statement: str, number: str = "") -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await client.execute(statement)
    assert number in str(refused.value)


async def _t20(clients: list[asyncpg.Connection]) -> None:
    """Rules of BY REFERENCE and ALTER."""
    client = clients[0]
    nullable = "id INT NOT NULL PRIMARY KEY, c NUMBER(10,0)"
    await _refused(
        client,
        f"CREATE TABLE c1 ({nullable}, CONSTRAINT f1 FOREIGN KEY (c) REFERENCES "
        "customers (cust_id)) DISTRIBUTE BY REFERENCE (f1)",
        "1068",
    )
    await _refused(
        client,
        "CREATE TABLE c2 (id INT NOT NULL PRIMARY KEY, s NUMBER(2,0) NOT NULL, CONSTRAINT f2 "
        "FOREIGN KEY (s) REFERENCES account_status (status)) DISTRIBUTE BY REFERENCE (f2)",
        "1066",
    )
    await client.execute("CREATE TABLE t1 (a INT NOT NULL PRIMARY KEY, b INT NOT NULL)")
    await client.execute("ALTER TABLE t1 DISTRIBUTE BY HASH (b)")
    await client.execute("INSERT INTO t1 VALUES (1, 2)")
    await client.execute("ALTER TABLE t1 DISTRIBUTE BY HASH (a)")  # TimesTen: empty tables only
    await _refused(client, "ALTER TABLE accounts DROP CONSTRAINT fk_customer")
    await _refused(client, "CREATE MATERIALIZED VIEW v AS SELECT * FROM t1")


async def _t21(clients: list[asyncpg.Connection]) -> None:
    """The transaction id names the connection's element, and its counter grows."""
    client = clients[2]
    counters = []
    for _ in range(2):
        async with client.transaction():
            await client.execute("INSERT INTO t1 VALUES (txn_seq.NEXTVAL + 100, 1)")
            row = await client.fetchrow("SELECT elementId, xactId, counter FROM sys.v$xact_id")
        assert row[0] == 3
        counters.append(row[2])
    assert counters[0] < counters[1]
