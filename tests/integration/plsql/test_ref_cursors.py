"""REF CURSORs and records that blocks give to clients: each driver fetches them in its own way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psycopg
import pytest
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROWS = 1200  # more than a block asks for at a time
PROCEDURES = (
    "CREATE PROCEDURE up_to(p_most IN NUMBER, p_count OUT NUMBER, p_rows OUT SYS_REFCURSOR) IS "
    "BEGIN SELECT COUNT(*) INTO p_count FROM t WHERE id <= p_most; "
    "OPEN p_rows FOR SELECT id, name FROM t WHERE id <= p_most ORDER BY id; END;",
    "CREATE FUNCTION after_first RETURN SYS_REFCURSOR IS c SYS_REFCURSOR; r t%ROWTYPE; BEGIN "
    "OPEN c FOR 'SELECT * FROM t WHERE id <= :1 ORDER BY id' USING 3; "
    "FETCH c INTO r; RETURN c; END;",
    "CREATE PROCEDURE two(a OUT SYS_REFCURSOR, b OUT SYS_REFCURSOR, c OUT SYS_REFCURSOR) IS "
    "BEGIN OPEN a FOR SELECT 1 FROM dual; OPEN b FOR SELECT 2 FROM dual; "
    "OPEN c FOR SELECT 3 FROM dual; CLOSE c; END;",
    "CREATE FUNCTION one_row(p_id NUMBER) RETURN t%ROWTYPE IS r t%ROWTYPE; BEGIN "
    "SELECT * INTO r FROM t WHERE id = p_id; RETURN r; END;",
    "CREATE PROCEDURE failing(c OUT SYS_REFCURSOR) IS BEGIN "
    "OPEN c FOR SELECT 10 / (id - 2) FROM t WHERE id <= 2 ORDER BY id; END;",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path_factory.mktemp("ref_cursors")) as made:
        client = await made.connect()
        await client.execute(
            "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30))"
        )
        await client.executemany(
            "INSERT INTO t VALUES ($1, $2)", [(n, f"n{n}") for n in range(1, ROWS + 1)]
        )
        for text in PROCEDURES:
            await client.execute(text)
        await client.close()
        yield made


async def test_asyncpg_fetches_a_cursor(client: asyncpg.Connection) -> None:
    async with client.transaction():
        row = await client.fetchrow("CALL up_to($1, NULL, NULL)", ROWS - 1)
        assert row is not None and row["p_count"] == ROWS - 1
        name = row["p_rows"]
        some = await client.fetch(f'FETCH 2 FROM "{name}"')
        assert [tuple(r) for r in some] == [(1, "n1"), (2, "n2")]
        others = await client.fetch(f'FETCH ALL FROM "{name}"')
        assert [r["id"] for r in others] == list(range(3, ROWS))
        assert await client.fetch(f'FETCH ALL FROM "{name}"') == []
        await client.execute(f'CLOSE "{name}"')


async def test_a_cursor_ends_with_its_transaction(client: asyncpg.Connection) -> None:
    async with client.transaction():
        name = await client.fetchval("CALL after_first()")
        assert [r["id"] for r in await client.fetch(f'FETCH 1 FROM "{name}"')] == [2]
    with pytest.raises(asyncpg.InvalidCursorNameError):
        await client.fetch(f'FETCH 1 FROM "{name}"')
    alone = await client.fetchval("CALL after_first()")
    with pytest.raises(asyncpg.InvalidCursorNameError):
        await client.fetch(f'FETCH 1 FROM "{alone}"')


async def test_a_prepared_fetch_finds_the_cursor_of_its_name(client: asyncpg.Connection) -> None:
    for wanted in (5, 6):
        async with client.transaction():
            await client.execute(f"DECLARE c CURSOR FOR SELECT id FROM t WHERE id = {wanted}")
            assert await client.fetchval("FETCH 1 FROM c") == wanted  # the driver keeps it prepared


async def test_the_schema_may_change_meanwhile(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    other = await grid.connect()
    async with client.transaction():
        name = await client.fetchval("CALL after_first()")
        await other.execute("CREATE TABLE later (a NUMBER)")
        await other.execute("DROP TABLE later")
        assert [r["id"] for r in await client.fetch(f'FETCH ALL FROM "{name}"')] == [2, 3]
    await other.close()


async def test_several_cursors_and_one_that_is_closed(client: asyncpg.Connection) -> None:
    async with client.transaction():
        a, b, c = tuple(await client.fetchrow("CALL two(NULL, NULL, NULL)") or ())
        assert c is None and a != b
        assert await client.fetchval(f'FETCH 1 FROM "{b}"') == 2
        assert await client.fetchval(f'FETCH 1 FROM "{a}"') == 1


async def test_a_block_opens_a_bind_variable(client: asyncpg.Connection) -> None:
    async with client.transaction():
        name = await client.fetchval("BEGIN OPEN :c FOR SELECT COUNT(*) FROM t; END;", None)
        assert await client.fetchval(f'FETCH 1 FROM "{name}"') == ROWS
        name = await client.fetchval("BEGIN :c := after_first; END;", None)
        assert await client.fetchval(f'FETCH 1 FROM "{name}"') == 2


async def test_an_error_comes_with_the_row(client: asyncpg.Connection) -> None:
    transaction = client.transaction()
    await transaction.start()
    name = await client.fetchval("CALL failing(NULL)")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await client.fetch(f'FETCH ALL FROM "{name}"')
    await transaction.rollback()
    assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS


async def test_a_record_is_a_row(client: asyncpg.Connection) -> None:
    assert dict(await client.fetchrow("CALL one_row(7)") or {}) == {"id": 7, "name": "n7"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(grid: MemoryGrid) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A client of psycopg."""
    port = grid.nodes[1].settings.cs_port
    text = f"host=127.0.0.1 port={port} user=terry password=tiger dbname=database1"
    async with await psycopg.AsyncConnection.connect(text) as made:
        yield made


async def test_psycopg_fetches_a_cursor(other: psycopg.AsyncConnection[Any]) -> None:
    async with other.transaction():
        found = await (await other.execute("CALL up_to(%s, NULL, NULL)", (3,))).fetchone()
        assert found is not None and found[0] == 3
        cursor = await other.execute(f'FETCH ALL FROM "{found[1]}"')
        assert await cursor.fetchall() == [(1, "n1"), (2, "n2"), (3, "n3")]
        (name,) = await (await other.execute("CALL after_first()")).fetchone() or ("",)
        named = psycopg.AsyncServerCursor(other, name)  # a cursor that the server opened
        assert await named.fetchmany(1) == [(2, "n2")]
        assert await named.fetchall() == [(3, "n3")]
        await named.close()
