"""The routing client computes the replica set of a key as the grid does, for every type of key."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.clients.routing import AsyncpgRoutes, Distribution, Map, Place, RoutingError
from protocol.sqltypes import Kind, SqlType
from tests.support.memory_grid import DATABASE, PASSWORD, USER, MemoryGrid, running_grid

KEYS = {
    "NUMBER(10)": [0, -5, Decimal(910), "911", *range(30)],
    "NUMBER(12,2)": [Decimal("1.50"), Decimal(-3), 7, "8.250"],
    "NUMBER": [Decimal("1E+30"), Decimal("0.1"), 12, "12.50"],
    "TT_BIGINT": [2**62, -1, 5],
    "VARCHAR2(20)": ["", "Riley", "żółw", "a b "],
    "CHAR(8)": ["ab", "abcdefgh"],
    "DATE": [dt.datetime(2024, 2, 29, 23, 59, 58), "2024-02-29 00:00:00"],
    "TIMESTAMP": [dt.datetime(2024, 2, 29, 23, 59, 58, 120)],
    "TT_DATE": [dt.date(1901, 1, 1)],
    "VARBINARY(10)": [b"\x00\xff", b"x"],
    "BINARY_DOUBLE": [0.1, 5.0, -2],
}


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=1, sets=4) as made:
        yield made


def _dsn(grid: MemoryGrid, at: int = 0) -> str:
    port = grid.nodes[at].settings.cs_port
    return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"


async def test_keys_of_all_types(grid: MemoryGrid) -> None:
    client = await grid.connect(1)
    for number, (kind, keys) in enumerate(KEYS.items()):
        await client.execute(f"CREATE TABLE t{number} (k {kind} PRIMARY KEY)")
        routes = await AsyncpgRoutes.open(_dsn(grid), table=f"t{number}")
        for key in keys:
            if key == "":  # NULL
                with pytest.raises(RoutingError, match="a value for each of K"):
                    routes.place(None)
                continue
            await client.execute(f"INSERT INTO t{number} VALUES ($1::text)", _text(key))
            found = await client.fetchval(f"SELECT elementid# FROM t{number}")
            place = routes.place(key)
            assert place is not None and place.element == found, (kind, key)
            await client.execute(f"DELETE FROM t{number}")
        await routes.close()
    await client.close()


def _text(key: object) -> str:
    return "\\x" + key.hex() if isinstance(key, bytes) else str(key)


async def test_connections_are_made_where_the_key_is(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE vpn (a TT_INT NOT NULL, b VARCHAR2(9) NOT NULL, PRIMARY KEY (a, b)) "
        "DISTRIBUTE BY HASH (a, b)"
    )
    await client.execute(
        "CREATE TABLE calls (id TT_INT PRIMARY KEY, a TT_INT NOT NULL, b VARCHAR2(9) NOT NULL, "
        "CONSTRAINT fk FOREIGN KEY (a, b) REFERENCES vpn (a, b)) DISTRIBUTE BY REFERENCE (fk)"
    )
    await client.execute("CREATE TABLE few (a TT_INT PRIMARY KEY) DUPLICATE")
    routes = await AsyncpgRoutes.open(_dsn(grid, 3), table="terry.vpn", keep=2)
    seen = set()
    for number in range(40):
        async with routes.connection(number, f"b{number}") as connection:
            element = await connection.fetchval("SELECT elementid# FROM dual")
            await connection.execute("INSERT INTO vpn VALUES ($1, $2)", number, f"b{number}")
            home = await connection.fetchval("SELECT elementid# FROM vpn WHERE a = $1", number)
            assert element == home
            seen.add(element)
    assert seen == {1, 2, 3, 4}

    async def hold(number: int) -> None:
        async with routes.connection(1, "b1") as connection, connection.transaction():
            await connection.execute("DELETE FROM vpn WHERE a = $1", number)

    await asyncio.gather(*(hold(number) for number in range(5)))  # more than are kept
    async with routes.connection(1, "b1") as connection:
        await connection.execute("BEGIN")
        await connection.execute("DELETE FROM vpn")
    assert await client.fetchval("SELECT count(*) FROM vpn") == 35
    await routes.close()
    for table, why in (("calls", "REFERENCE"), ("few", "DUPLICATE"), ("nosuch", "no table")):
        with pytest.raises(RoutingError, match=why):
            await AsyncpgRoutes.open(_dsn(grid), table=table)
    await client.close()


def test_ranges_and_keys() -> None:
    known = Map([(0, 3, "h3", 6625), (100, None, None, None), (200, 5, "h5", 6625)], 0.0)
    places = [known.place(bucket) for bucket in (0, 99, 100, 199, 200, 4095)]
    third, fifth = Place(3, "h3", 6625), Place(5, "h5", 6625)
    assert places == [third, third, Place(0, "", 0), Place(0, "", 0), fifth, fifth]
    assert known.places() == [third, fifth]
    assert Map((), 0.0).place(7) is None
    two = Distribution(("A", "B"), (SqlType(Kind.INTEGER), SqlType(Kind.INTEGER)))
    with pytest.raises(RoutingError, match="a value for each of A, B"):
        two.bucket([1])
