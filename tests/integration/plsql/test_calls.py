"""Values that come back to clients: OUT parameters of CALL, bind variables that a block assigns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from data.sql.builtin_calls import QUERIES, REFUSED
from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(
        tmp_path_factory.mktemp("calls"),
        "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30))",
        "CREATE PROCEDURE p(a IN NUMBER, b OUT NUMBER, c IN OUT VARCHAR2, d OUT DATE) IS "
        "BEGIN b := a * 2; c := c || '!'; d := DATE '2024-01-02'; END;",
        "CREATE FUNCTION f(a PLS_INTEGER DEFAULT 3) RETURN VARCHAR2 IS BEGIN RETURN 'f' || a; END;",
    ) as made:
        yield made


DAY = datetime(2024, 1, 2)


async def test_out_parameters_are_a_row(client: asyncpg.Connection) -> None:
    row = await client.fetchrow("CALL p($1, NULL, $2, NULL)", 5, "x")
    assert dict(row or {}) == {"b": 10, "c": "x!", "d": DAY}
    named = await client.fetchrow("CALL p(d => NULL, c => $2, b => NULL, a => $1)", 6, "y")
    assert dict(named or {}) == {"d": DAY, "c": "y!", "b": 12}
    places = await client.fetchrow("CALL p($1, $3, $2, $4)", 7, "z", None, None)
    assert tuple(places or ()) == (14, "z!", DAY)


async def test_a_function_gives_its_value(client: asyncpg.Connection) -> None:
    assert await client.fetchval("CALL f($1)", 12) == "f12"
    assert await client.fetchval("CALL f()") == "f3"


async def test_bind_variables_come_back(client: asyncpg.Connection) -> None:
    row = await client.fetchrow("BEGIN p(:a, :b, :c, :d); END;", 4, None, "q", None)
    assert dict(row or {}) == {"b": 8, "c": "q!", "d": DAY}
    row = await client.fetchrow("BEGIN :x := :y || 'z'; END;", None, "y")
    assert dict(row or {}) == {"x": "yz"}


async def test_types_of_bind_variables_are_those_of_their_columns(
    client: asyncpg.Connection,
) -> None:
    await client.execute("BEGIN INSERT INTO t VALUES (:id, :name); END;", 1, "one")
    assert await client.fetchrow("SELECT id, name FROM t WHERE id = 1") == (1, "one")
    await client.execute("DECLARE n NUMBER := :n; BEGIN DELETE FROM t WHERE id = n; END;", "1")
    assert await client.fetchval("SELECT COUNT(*) FROM t") == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(grid: MemoryGrid) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A client of psycopg."""
    port = grid.nodes[1].settings.cs_port
    text = f"host=127.0.0.1 port={port} user=terry password=tiger dbname=database1"
    async with await psycopg.AsyncConnection.connect(text) as made:
        yield made


async def test_psycopg(other: psycopg.AsyncConnection[Any]) -> None:
    cursor = await other.execute("CALL p(%s, NULL, %s, NULL)", (4, "ab"))
    assert await cursor.fetchone() == (Decimal(8), "ab!", DAY)
    assert [column.name for column in cursor.description or ()] == ["b", "c", "d"]


async def test_how_pgjdbc_calls(client: asyncpg.Connection) -> None:
    row = await client.fetchrow("select * from p($1, $2, $3, $4)  as result", 5, None, "x", None)
    assert tuple(row or ()) == (10, "x!", DAY)
    assert await client.fetchval("select * from f($1, $2)  as result", None, 7) == "f7"
    await client.execute("DO $$ CREATE OR REPLACE PROCEDURE q IS BEGIN NULL; NULL; END; $$")
    await client.execute("DO $x$ BEGIN q; END; $x$")


async def test_an_error_of_a_call_tells_its_place(client: asyncpg.Connection) -> None:
    for text in ("CALL nobody(1)", "  call   f(nobody)", "CALL f(\n nobody)"):
        with pytest.raises(asyncpg.UndefinedObjectError) as failed:
            await client.execute(text)
        assert failed.value.position == str(text.index("nobody") + 1), text


async def test_what_a_client_cannot_get(client: asyncpg.Connection) -> None:
    await client.execute(
        "CREATE PROCEDURE names(c OUT DBMS_SQL.VARCHAR2_TABLE) IS BEGIN c(1) := 'x'; END;"
    )
    with pytest.raises(asyncpg.FeatureNotSupportedError, match="no collections"):
        await client.execute("CALL names(NULL)")


async def test_built_in_procedures(grid: MemoryGrid) -> None:
    admin = await grid.connect_admin()
    try:
        answers = {name: await admin.fetch(f"CALL {name}()") for name in QUERIES}
    finally:
        await admin.close()
    assert answers["ttHostNameGet"][0]["hostname"]
    assert answers["ttSqlCmdCacheInfoGet"][0]["cmdcount"] > 0
    assert len(answers["ttSQLCmdCacheInfo"]) > 0
    assert [tuple(row)[1] for row in answers["ttDataStoreStatus"]] == ["open"]
    assert len(answers["ttConfiguration"]) >= 2
    release = tuple(answers["ttVersion"][0])
    assert len(release) == 5
    assert all(isinstance(part, int) for part in release)


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_procedures_say_why(client: asyncpg.Connection, name: str) -> None:
    called = name.replace("*", "Something")
    with pytest.raises(asyncpg.FeatureNotSupportedError, match=f"{called} is not supported: "):
        await client.execute(f"CALL {called}()")


async def test_output_waits_for_the_client(client: asyncpg.Connection) -> None:
    lines: list[object] = []
    client.add_log_listener(lambda _, message: lines.append(message))
    await client.execute(
        "BEGIN FOR i IN 1..300 LOOP dbms_output.put_line(RPAD('x', 30000)); END LOOP; END;"
    )
    assert len(lines) == 300
