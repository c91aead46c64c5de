"""Types over the wire and over replica sets: round trips, keys, arrays from two drivers."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psycopg
import pytest

from tests.support.memory_grid import ADDRESS, DATABASE, PASSWORD, USER, MemoryGrid, running_grid

COLUMNS = {
    "n": ("NUMBER", Decimal("12345678901234567890.5")),
    "p": ("NUMBER(10,2)", Decimal("-12.50")),
    "m": ("NUMBER(5,-2)", Decimal("12300")),
    "ti": ("TT_TINYINT", 255),
    "si": ("TT_SMALLINT", -32768),
    "i": ("TT_INTEGER", 2147483647),
    "bi": ("TT_BIGINT", -(2**63)),
    "bf": ("BINARY_FLOAT", 1.5),
    "bd": ("BINARY_DOUBLE", math.inf),
    "c": ("CHAR(5)", "ab   "),
    "v": ("VARCHAR2(20 BYTE) NOT INLINE", "äöü"),
    "nc": ("NCHAR(3)", "ß  "),
    "nv": ("NVARCHAR2(20)", "𝄞"),
    "d": ("DATE", datetime(2024, 2, 29, 13, 5, 9)),
    "ts": ("TIMESTAMP(3)", datetime(2024, 2, 29, 13, 5, 9, 250_000)),
    "td": ("TT_DATE", date(2024, 2, 29)),
    "tt": ("TT_TIME", time(23, 59, 59)),
    "tts": ("TT_TIMESTAMP", datetime(1753, 1, 1)),
    "b": ("BINARY(4)", b"\0\1\0\0"),
    "vb": ("VARBINARY(10)", b"\xff\0"),
    "cl": ("CLOB", "x" * 20_000),
    "bl": ("BLOB", b"\0\xff" * 10_000),
    "o": ("BOOLEAN", True),
    "tz": ("TIMESTAMP WITH TIME ZONE", datetime(2024, 1, 1, 12, tzinfo=UTC)),
    "ids": ("INTERVAL DAY TO SECOND", timedelta(days=-1, seconds=1)),
    "iym": ("INTERVAL YEAR TO MONTH", timedelta(days=425)),  # as asyncpg shows 14 months
    "j": ("JSON", '{"a": [1, 2.50]}'),
    "u": ("UUID", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
}
KEYS = ["n", "p", "bi", "bd", "c", "v", "d", "ts", "td", "vb", "tz", "u"]


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, session_timeout_s=5.0) as made:
        yield made


async def test_values_of_all_types_come_back(grid: MemoryGrid) -> None:
    client = await grid.connect(0)
    listed = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    await client.execute(f"CREATE TABLE kinds (id NUMBER(10) NOT NULL PRIMARY KEY, {listed})")
    values = [value for _, value in COLUMNS.values()]
    sent = [
        timedelta(0) if name == "iym" else v
        for (name, _), v in zip(COLUMNS.items(), values, strict=True)
    ]
    marks = ", ".join(f"${i + 2}" for i in range(len(values)))
    await client.execute(f"INSERT INTO kinds VALUES ($1, {marks})", 1, *sent)
    await client.execute("UPDATE kinds SET iym = INTERVAL '1-2' YEAR TO MONTH")
    row = await client.fetchrow("SELECT * FROM kinds WHERE id = 1")
    assert row is not None
    assert list(row.values())[1:] == values
    await client.execute("INSERT INTO kinds (id, bd, bf) VALUES (2, $1, $1)", math.nan)
    found = await client.fetchrow(
        "SELECT bd, bf, bd IS NAN, bd = $1 FROM kinds WHERE id = 2", math.nan
    )
    assert found is not None
    assert all(map(math.isnan, list(found.values())[:2]))
    assert list(found.values())[2:] == [True, True]
    await _copied(client)
    await client.close()


async def _copied(client: asyncpg.Connection) -> None:
    """COPY out and in again, text and binary, leaves all values as they are."""
    from io import BytesIO

    before = await client.fetch("SELECT * FROM kinds ORDER BY id")
    for form in ("text", "csv", "binary"):
        kept = BytesIO()
        await client.copy_from_query("SELECT * FROM kinds", output=kept, format=form)
        await client.execute("TRUNCATE TABLE kinds")
        kept.seek(0)
        await client.copy_to_table("kinds", source=kept, format=form)
        after = await client.fetch("SELECT * FROM kinds ORDER BY id")
        assert [repr(r) for r in after] == [repr(r) for r in before], form


async def test_a_key_of_each_type_finds_its_row(grid: MemoryGrid) -> None:
    """Hash distribution, the unique key and a join agree on when two values are equal."""
    client = await grid.connect(0)
    for name in KEYS:
        kind, value = COLUMNS[name]
        table = f"key_{name}"
        await client.execute(f"CREATE TABLE {table} (k {kind} NOT NULL PRIMARY KEY, x TT_INTEGER)")
        await client.execute(f"INSERT INTO {table} VALUES ($1, 1)", value)
        for column in (
            f"SELECT x FROM {table} WHERE k = $1",
            f"SELECT x FROM {table} WHERE k IN ($1)",
        ):
            assert await client.fetchval(column, value) == 1, name
        joined = f"SELECT COUNT(*) FROM {table} a, {table} b WHERE a.k = b.k"
        assert await client.fetchval(joined) == 1, name
        assert await client.fetchval(f"SELECT x FROM {table} WHERE k = ANY($1)", [value]) == 1
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute(f"INSERT INTO {table} VALUES ($1, 2)", value)
    await client.execute("INSERT INTO key_bd VALUES ($1, 7)", math.nan)
    assert await client.fetchval("SELECT x FROM key_bd WHERE k = $1", math.nan) == 7
    assert await client.fetchval("SELECT x FROM key_c WHERE k = 'ab'") == 1
    await client.close()


@pytest.mark.parametrize("binary", [False, True])
async def test_arrays_from_psycopg(grid: MemoryGrid, binary: bool) -> None:
    connection = await psycopg.AsyncConnection.connect(
        host=ADDRESS,
        port=grid.nodes[0].settings.cs_port,
        user=USER,
        password=PASSWORD,
        dbname=DATABASE,
        autocommit=True,
    )
    mark = "%b" if binary else "%t"

    async def run(text: str, *params: Any) -> list[Any]:
        cursor = await connection.cursor(binary=binary).execute(text.replace("%s", mark), params)
        return await cursor.fetchall() if cursor.description else []

    await run("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v VARCHAR2(10), d DATE)")
    moment = datetime(2024, 1, 1)
    rows = ([1, 2, 3], ["a", 'b"', None])
    await run("INSERT INTO t (id, v) SELECT * FROM unnest(%s::int[], %s::text[])", *rows)
    await run("UPDATE t SET d = DATE '2024-01-01' WHERE id = ANY(%s)", [1, 2])
    assert await run("SELECT id FROM t WHERE v = ANY(%s)", ['b"', "x"]) == [(2,)]
    assert await run("SELECT COUNT(*) FROM t WHERE d = ANY(%s)", [moment]) == [(2,)]
    assert await run("SELECT id FROM t WHERE id <> ALL(%s)", [1, 3]) == [(2,)]
    assert await run("SELECT id FROM t WHERE id = ANY(%s)", []) == []
    assert await run("SELECT COUNT(*) FROM t WHERE id <> ALL(%s)", [9, None]) == [(0,)]
    assert await run("SELECT ARRAY_AGG(v ORDER BY id), ARRAY_AGG(d ORDER BY id) FROM t") == [
        (["a", 'b"', None], [moment, moment, None])
    ]
    assert await run("SELECT %s::int[], %s::numeric[]", [1, None], [Decimal("1.5")]) == [
        ([1, None], [Decimal("1.5")])
    ]
    await connection.close()
