"""What the test suites of asyncpg and SQLAlchemy count on, by a grid of two replica sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from data.exec.running import Running
from protocol.errors import CancelledError
from tests.support.memory_grid import MemoryGrid, running_grid

Client = asyncpg.Connection


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """A table whose rows are in both, another user, JSON."""
    async with running_grid(tmp_path, k=1, sets=2) as grid:
        admin = await grid.connect_admin()
        await admin.execute("CREATE USER other IDENTIFIED BY 'tiger'")
        await admin.close()
        client = await grid.connect()
        await client.execute(
            "CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n TT_INTEGER, d JSON);"
            'INSERT INTO t VALUES (1, 10, \'{"k": {"a": 1.5}, "l": [7, 8]}\');'
            "INSERT INTO t VALUES (2, 20, NULL), (3, 20, NULL), (4, 40, NULL)"
        )
        await client.close()
        yield grid


@pytest.fixture
async def client(grid: MemoryGrid) -> AsyncIterator[Client]:
    """A session of the usual user."""
    client = await grid.connect()
    yield client
    await client.close()


async def test_whole_number_literals_are_integers(client: Client) -> None:
    """Written in a text that is kept without its literals, too."""
    statement = await client.prepare("SELECT 1, 1234567890123, 1.5, 1 + 1 FROM dual")
    assert [a.type.name for a in statement.get_attributes()] == [
        "int4",
        "int8",
        "numeric",
        "numeric",
    ]
    assert tuple(await statement.fetchrow()) == (1, 1234567890123, Decimal("1.5"), 2)
    assert repr(await client.fetchrow("SELECT 1 AS a")) == "<Record a=1>"
    assert await client.fetchval("SELECT n FROM (SELECT 5 n FROM dual)") == 5


async def test_a_parameter_has_the_type_of_its_inner_cast(client: Client) -> None:
    moment = datetime(2016, 10, 10)
    quoted = "SELECT quote_literal($1::timestamp::text), quote_literal($2::int[]::text)"
    assert await client.fetchval(quoted, moment, [1, 2]) == "'2016-10-10 00:00:00'"


async def test_a_cached_plan_is_made_anew_by_asyncpg(client: Client) -> None:
    await client.execute("CREATE TABLE grows (id TT_INTEGER PRIMARY KEY)")
    query = "SELECT * FROM grows"
    assert await client.fetch(query) == []
    await client.execute("ALTER TABLE grows ADD (more TT_INTEGER)")
    assert await client.fetch(query) == []
    await client.execute("INSERT INTO grows VALUES (1, 2)")
    assert tuple(await client.fetchrow(query)) == (1, 2)
    await client.execute("ALTER TABLE grows ADD (third TT_INTEGER)")
    with pytest.raises(asyncpg.exceptions.InvalidCachedStatementError):
        async with client.transaction():
            await client.fetch(query)


async def test_one_statement_is_prepared(client: Client) -> None:
    for text in (
        "CREATE TABLE never (a TT_INTEGER); INSERT INTO never VALUES ($1)",
        "SELECT 1; SELECT $1::int",
    ):
        with pytest.raises(asyncpg.PostgresSyntaxError, match="cannot insert multiple commands"):
            await client.execute(text, 1)
    assert await client.fetchval("SELECT 1;") == 1


async def test_a_cursor_outside_a_transaction(client: Client) -> None:
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        await client.execute("DECLARE c CURSOR FOR SELECT 1 FROM dual")


async def test_pools_reset_their_connections(client: Client) -> None:
    await client.execute("SET search_path = other")
    await client.execute(client.get_reset_query())
    assert await client.fetchval("SELECT current_schema()") == "terry"
    assert await client.fetchval("SELECT pg_advisory_unlock_all()") is None


QUERIES: dict[str, tuple[tuple[Any, ...], list[Any]]] = {
    "SELECT id FROM t ORDER BY id FETCH FIRST (2) ROWS ONLY": ((), [1, 2]),
    "SELECT id FROM t ORDER BY id OFFSET $1 ROWS FETCH NEXT ($2::INTEGER) ROWS ONLY": (
        (1, 1), [2],
    ),
    "SELECT id FROM t ORDER BY id FETCH FIRST (1 + 1) ROWS ONLY": ((), [1, 2]),
    "SELECT n FROM t ORDER BY n FETCH FIRST ($1) ROWS WITH TIES": ((2,), [10, 20, 20]),
    "SELECT n # 3 FROM t WHERE id # $1 = 0": ((4,), [43]),
    "SELECT d -> $1::text ->> 'a' FROM t WHERE id = 1": (("k",), ["1.5"]),
    "SELECT d -> 'l'::varchar(5) -> $1::int FROM t WHERE id = 1": ((1,), ["8"]),
    "SELECT CAST(d #>> $1::text[] AS FLOAT) FROM t WHERE id = 1": (
        (["k", "a"],), [Decimal("1.5")],
    ),
    "SELECT CAST(1234567.89 AS FLOAT) FROM dual": ((), [Decimal("1234567.89")]),
    "SELECT '1234567.89'::float(30) FROM dual": ((), [Decimal("1234567.89")]),
    "SELECT id AS float FROM t WHERE id = 1": ((), [1]),
    "SELECT (SELECT 7 AS float) FROM t WHERE id = 1": ((), [7]),
    "SELECT 1 FOR UPDATE": ((), [1]),
    "SELECT extract(second FROM make_interval(mins => 2, secs => 4.5)) FROM dual": (
        (), [Decimal("4.5")],
    ),
}  # fmt: skip


async def test_queries_of_postgresql_dialects(client: Client) -> None:
    for query, (parameters, wanted) in QUERIES.items():
        assert [row[0] for row in await client.fetch(query, *parameters)] == wanted, query


async def test_search_path_chooses_the_schema(client: Client) -> None:
    current = "SELECT current_schema()"
    for path, wanted in (
        ("other", "other"), ("'Nobody', other", "other"), ('"$user", other', "terry"),
        ("OTHER", "other"), ("public", "terry"), ("other", "other"), ("''", "other"),
        ("DEFAULT", "terry"),
    ):  # fmt: skip
        await client.execute(f"SET search_path TO {path}")
        assert await client.fetchval(current) == wanted, path
    await client.execute("SET search_path TO other")
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.fetch("SELECT * FROM t")
    await client.execute("RESET ALL")
    assert await client.fetchval("SELECT count(*) FROM t") == 4


async def test_public_is_the_own_schema(client: Client) -> None:
    await client.execute("CREATE TABLE public.here (id TT_INTEGER PRIMARY KEY)")
    await client.execute("INSERT INTO public.here VALUES (1)")
    assert await client.fetchval("SELECT count(*) FROM terry.here") == 1
    assert await client.fetchval("SELECT count(*) FROM public.here") == 1
    await client.copy_records_to_table("here", records=[(2,)], schema_name="public")
    await client.execute("DROP TABLE public.here")
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.fetch("SELECT * FROM public.here")


async def test_a_copy_given_up_with_its_command(client: Client) -> None:
    """asyncpg sends CopyFail right behind the command; then it asks for the command's end."""
    await client.execute("CREATE TABLE kept (id UUID)")
    await client.set_type_codec("uuid", encoder=str, decoder=str, schema="pg_catalog")
    async with asyncio.timeout(20):
        with pytest.raises(asyncpg.InternalClientError, match="no binary format encoder"):
            await client.copy_records_to_table("kept", records=[("a",)])
        assert await client.fetchval("SELECT count(*) FROM kept") == 0


async def test_comments_of_constraints(client: Client) -> None:
    await client.execute(
        "CREATE TABLE checked (id TT_INTEGER CONSTRAINT the_key PRIMARY KEY,"
        " t TT_INTEGER CONSTRAINT to_t REFERENCES t, n TT_INTEGER,"
        " CONSTRAINT above CHECK (n > 0), CONSTRAINT one UNIQUE (n))"
    )
    for name in ("the_key", "to_t", "above", "one"):
        await client.execute(f"COMMENT ON CONSTRAINT {name} ON checked IS 'of {name}'")
    await client.execute("COMMENT ON CONSTRAINT one ON checked IS NULL")
    found = "SELECT conname, obj_description(oid, 'pg_constraint') FROM pg_constraint"
    rows = await client.fetch(f"{found} WHERE conrelid = 'checked'::regclass AND contype <> 'n'")
    assert dict(rows) == {
        "the_key": "of the_key", "to_t": "of to_t", "above": "of above", "one": None,
    }  # fmt: skip
    with pytest.raises(asyncpg.UndefinedObjectError, match="nosuch"):
        await client.execute("COMMENT ON CONSTRAINT nosuch ON checked IS 'x'")


async def test_a_statement_cancelled_before_it_runs_has_an_answer() -> None:
    """The cancel came in the same turn of the loop as the statement."""

    async def body() -> str:
        return "SELECT 1"

    told: list[Exception] = []
    session = SimpleNamespace(running=set(), outcome_is_open=False)
    sink = SimpleNamespace(fail=told.append, done=lambda tag: told.append(AssertionError(tag)))
    running = Running(session, None, (), None, 0, sink)  # type: ignore[arg-type]
    running.start(body)
    running.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(*session.running)
    assert [type(error) for error in told] == [CancelledError]
