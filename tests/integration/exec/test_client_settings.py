"""What drivers ask of a session: READ ONLY transactions, pg_sleep, plans of tables made anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tests.support.memory_grid import ADDRESS, PASSWORD, USER, MemoryGrid, running_grid

Connection = asyncpg.Connection


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """One replica set."""
    async with running_grid(tmp_path, k=1, sets=1) as grid:
        yield grid


@pytest.fixture
async def client(grid: MemoryGrid) -> AsyncIterator[Connection]:
    """With a table of one row."""
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n TT_INTEGER)")
    await client.execute("INSERT INTO t VALUES (1, 10)")
    yield client
    await client.close()


CHANGES = (
    "INSERT INTO t VALUES (2, 0)",
    "UPDATE t SET n = 1 WHERE id = 1",
    "DELETE FROM t",
    "SELECT n FROM t WHERE id = 1 FOR UPDATE",
    "CREATE TABLE u (id TT_INTEGER PRIMARY KEY)",
    "BEGIN DELETE FROM t; END;",
)


@pytest.mark.parametrize(
    "begin",
    ["BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY", "BEGIN; SET transaction_read_only = 1"],
)
async def test_a_read_only_transaction_refuses_changes(client: Connection, begin: str) -> None:
    await client.execute(begin)
    assert await client.fetchval("SELECT current_setting('transaction_read_only')") == "on"
    for text in CHANGES:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await client.execute(text)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await client.copy_records_to_table("t", records=[(3, 3)])
    assert await client.fetchval("SELECT n FROM t WHERE id = $1", 1) == 10
    await client.execute("COMMIT")
    await client.execute("INSERT INTO t VALUES (2, 0)")
    assert await client.fetchval("SHOW transaction_read_only") == "off"
    with pytest.raises(asyncpg.UndefinedObjectError):
        await client.execute("SHOW nosuch")


async def test_sessions_can_be_read_only(client: Connection) -> None:
    await client.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, DEFERRABLE")
    for text in CHANGES:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await client.execute(text)
    assert await client.fetchval("SHOW transaction_deferrable") == "on"
    await client.execute("BEGIN READ WRITE, NOT DEFERRABLE")
    assert await client.fetchval("SHOW transaction_deferrable") == "off"
    await client.execute("INSERT INTO t VALUES (2, 0)")
    await client.execute("COMMIT")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await client.execute("DELETE FROM t")
    await client.execute("SET default_transaction_read_only = off")
    await client.execute("DELETE FROM t WHERE id = 2")
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await client.execute("SET default_transaction_read_only = maybe")


async def test_pg_sleep_waits_and_can_be_cancelled(client: Connection) -> None:
    began = time.monotonic()
    assert await client.fetch("SELECT pg_sleep(0.05)") == [(None,)]
    assert await client.fetchval("SELECT 'x' FROM pg_sleep($1)", 0.05) == "x"
    assert await client.fetchval("SELECT 7 FROM dual WHERE pg_sleep(0.05) IS NULL") == 7
    assert time.monotonic() - began >= 0.15
    with pytest.raises(asyncio.TimeoutError):  # asyncpg sends a cancel request
        await client.execute("SELECT pg_sleep(100)", timeout=0.1)
    await client.execute("SET statement_timeout = 50")
    with pytest.raises(asyncpg.QueryCanceledError):
        await client.execute("SELECT pg_sleep(100)")
    await client.execute("SET statement_timeout = 0")
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await client.execute("SELECT pg_sleep(1) FROM t")
    assert await client.fetchval("SELECT pg_sleep(NULL)") is None


async def test_a_plan_outlives_its_table_if_the_columns_are_the_same(client: Connection) -> None:
    prepared = await client.prepare("SELECT id, n FROM t")
    await client.execute("DROP TABLE t")
    await client.execute("CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n TT_INTEGER)")
    await client.execute("INSERT INTO t VALUES (5, 6)")
    assert await prepared.fetch() == [(5, 6)]
    await client.execute("DROP TABLE t")
    await client.execute("CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n VARCHAR2(9))")
    with pytest.raises(asyncpg.InvalidCachedStatementError):
        await prepared.fetch()


async def test_a_copy_that_is_given_up_leaves_the_instance_free(client: Connection) -> None:
    begun = asyncio.Event()

    async def refuse(data: bytes) -> None:
        begun.set()
        raise OSError("the client's disk is full")

    with pytest.raises(OSError, match="disk is full"):
        await client.copy_from_query("SELECT generate_series(1, 1000000)", output=refuse)
    assert begun.is_set()
    assert await client.fetchval("SELECT n FROM t WHERE id = 1") == 10


async def test_catalog_queries_take_whole_numbers_in_binary(grid: MemoryGrid) -> None:
    async with await psycopg.AsyncConnection.connect(
        host=ADDRESS, port=grid.nodes[0].settings.cs_port, user=USER, password=PASSWORD,
        dbname="database1",
    ) as connection:  # fmt: skip
        for number in (7, 70_000, 7_000_000_000):
            found = await connection.execute("SELECT pg_cancel_backend(%b)", [number])
            assert await found.fetchone() == (False,)


async def test_two_phase_commit_is_shown_as_absent(client: Connection) -> None:
    assert await client.fetchval("SHOW max_prepared_transactions") == "0"


async def test_a_transaction_that_is_rolled_back_leaves_no_settings(client: Connection) -> None:
    names = ("application_name", "statement_timeout", "lock_wait", "default_transaction_read_only")

    async def values() -> tuple[str, ...]:
        return tuple([await client.fetchval(f"SHOW {name}") for name in names])

    await client.execute("SET application_name = 'before'; SET lock_wait = 7")
    before = await values()
    assert before == ("before", "0", "7", "off")
    await client.execute("BEGIN")
    await client.execute("SET application_name = 'inside'")
    await client.execute("SET statement_timeout = '5s'")
    await client.execute("SET lock_timeout = '2s'")
    await client.execute("SAVEPOINT s")
    await client.execute("SET default_transaction_read_only = on")
    await client.execute("SET LOCAL statement_timeout = '9s'")
    assert await values() == ("inside", "9s", "2", "on")
    await client.execute("ROLLBACK TO SAVEPOINT s")
    assert await values() == ("inside", "5s", "2", "off")
    assert client.get_settings().application_name == "inside"
    await client.execute("ROLLBACK")
    assert await values() == before
    assert client.get_settings().application_name == "before"  # the driver was told

    await client.execute("BEGIN")
    await client.execute("SET LOCAL application_name = 'gone'")
    await client.execute("SET LOCAL statement_timeout = '1s'")
    await client.execute("SET statement_timeout = '3s'")
    await client.execute("COMMIT")
    assert await values() == ("before", "3s", "7", "off")
    assert client.get_settings().application_name == "before"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("DateStyle", "ISO, DMY", "German"),
        ("IntervalStyle", "postgres", "iso_8601"),
        ("standard_conforming_strings", "on", "off"),
    ],
)
async def test_what_is_not_done_is_not_reported(
    client: Connection, name: str, good: str, bad: str
) -> None:
    shown = await client.fetchval(f"SHOW {name}")
    await client.execute(f"SET {name} = '{good}'")
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await client.execute(f"SET {name} = '{bad}'")
    assert await client.fetchval(f"SHOW {name}") == shown
    await client.execute(f"RESET {name}")


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "+02:00", "-3", "3.5", "<+02>-02", "EST5EDT", "GMT-01:00", "LOCAL"],
)
async def test_time_zones_are_taken(client: Connection, zone: str) -> None:
    await client.execute(f"SET TimeZone = '{zone}'")
    shown = await client.fetchval("SHOW TimeZone")
    assert shown == client.get_settings().TimeZone == ("UTC" if zone == "LOCAL" else zone)
    moment = await client.fetchval("SELECT CAST(TIMESTAMPTZ '2026-01-01 00:00:00+00' AS TEXT)")
    assert moment == "2026-01-01 00:00:00+00"


@pytest.mark.parametrize(
    "statement",
    [
        "SET TimeZone = 'nope/zone'",
        "SET TIME ZONE 'Europe'",
        "SET TIME ZONE 500",
        "SET TIME ZONE INTERVAL '1 day'",
        "SELECT set_config('timezone', 'Mars', false)",
    ],
)
async def test_what_is_no_time_zone_is_refused(client: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match='value for parameter "TimeZone"'):
        await client.execute(statement)
    assert await client.fetchval("SHOW TimeZone") == "UTC"


async def test_the_time_zone_as_an_interval(client: Connection) -> None:
    await client.execute("SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE")  # Sequelize's way
    assert await client.fetchval("SHOW TIME ZONE") == "+02:00"
    await client.execute("SET TIME ZONE DEFAULT")
    assert await client.fetchval("SHOW TIME ZONE") == "UTC"


@pytest.mark.parametrize(
    "name",
    [
        "work_mem",
        "geqo",
        "check_function_bodies",
        "transaction_timeout",
        "my.own",
        "NLS_SORT",
        "PLSQL_OPTIMIZE_LEVEL",
        "PassThrough",
        "LockWait",
        "DDL_REPLICATION_LEVEL",
    ],
)
async def test_settings_of_others_are_taken(client: Connection, name: str) -> None:
    await client.execute(f"SET {name} = 1")
    await client.execute(f"RESET {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "SET statment_timeout = 300",
        "SET LOCAL foo TO 1",
        "RESET foo",
        "SET foo TO DEFAULT",
        "SELECT set_config('foo', '1', false)",
        "ALTER SESSION SET foo = 1",
    ],
)
async def test_a_setting_that_is_misspelt_is_refused(client: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.UndefinedObjectError, match="unrecognized configuration parameter"):
        await client.execute(statement)


async def test_what_the_server_is_cannot_be_set(client: Connection) -> None:
    for statement in ("SET server_version = '9.6'", "RESET is_superuser"):
        with pytest.raises(asyncpg.CantChangeRuntimeParamError):
            await client.execute(statement)
    await client.execute("RESET ALL")
    await client.execute("DISCARD ALL")
    assert (await client.fetchval("SHOW server_version")).startswith("15")
