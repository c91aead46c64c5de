"""psycopg 3 against a grid."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import psycopg
import pytest

from tests.clients.conftest import Rows
from tests.support.real_grid import RealGrid

TYPES = (
    "id TT_INTEGER PRIMARY KEY, ti TT_TINYINT, si TT_SMALLINT, bi TT_BIGINT, n NUMBER, "
    "n2 NUMBER(10,2), n30 NUMBER(30,5), f BINARY_FLOAT, d BINARY_DOUBLE, c CHAR(5), "
    "v VARCHAR2(20), nv NVARCHAR2(20), dt DATE, ts TIMESTAMP, td TT_DATE, tt TT_TIME, "
    "vb VARBINARY(100)"
)
ROW = (
    1, 255, -32768, 2**63 - 1, Decimal("12345678901234567890.0001"), Decimal("-99999999.99"),
    Decimal("1234567890123456789012345.67891"), 1.5, 0.1, "ab   ", "żółw 🐢", "x",
    dt.datetime(2024, 2, 29, 23, 59, 58), dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
    dt.date(1901, 1, 1), dt.time(12, 34, 56), b"\x00\xff\\x",
)  # fmt: skip


@pytest.mark.parametrize("mark", ["%s", "%b", "%t"])
def test_every_type_comes_back_as_it_was_written(
    client: psycopg.Connection[Rows], mark: str
) -> None:
    client.execute(f"CREATE TABLE typed ({TYPES})")
    insert = f"INSERT INTO typed VALUES ({', '.join([mark] * len(ROW))})"
    client.execute(insert.encode(), ROW)
    client.execute(insert.encode(), [2] + [None] * (len(ROW) - 1))
    for binary in (False, True):
        cursor = client.cursor(binary=binary)
        assert cursor.execute("SELECT * FROM typed WHERE id = 1").fetchone() == ROW
        nulls = cursor.execute("SELECT * FROM typed WHERE id = %s", [2]).fetchone()
        assert nulls == (2,) + (None,) * (len(ROW) - 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n2", Decimal("-99999999.99")), ("n2", -99999999.99), ("n2", "-99999999.99"),
        ("id", 1), ("id", Decimal(1)), ("id", "1"), ("bi", 2**63 - 1), ("c", "ab"),
        ("v", "żółw 🐢"), ("td", dt.date(1901, 1, 1)), ("td", "1901-01-01"),
        ("dt", dt.datetime(2024, 2, 29, 23, 59, 58)), ("dt", "2024-02-29 23:59:58"),
        ("vb", b"\x00\xff\\x"), ("tt", dt.time(12, 34, 56)),
    ],
)  # fmt: skip
def test_a_parameter_meets_a_column(
    client: psycopg.Connection[Rows], column: str, value: object
) -> None:
    client.execute(f"CREATE TABLE typed ({TYPES})")
    client.execute(f"INSERT INTO typed VALUES ({', '.join(['%s'] * len(ROW))})".encode(), ROW)
    for prepare in (False, True):
        found = client.execute(
            f"SELECT id FROM typed WHERE {column} = %s".encode(), [value], prepare=prepare
        )
        assert found.fetchall() == [(1,)]


def test_batches_pipelines_and_cursors(client: psycopg.Connection[Rows]) -> None:
    client.cursor().executemany("INSERT INTO t VALUES (%s, %s)", [(n, f"n{n}") for n in range(300)])
    with client.pipeline():
        results = [client.execute("SELECT name FROM t WHERE id = %s", [n]) for n in range(50)]
        assert [r.fetchone() for r in results] == [(f"n{n}",) for n in range(50)]
    with client.transaction(), client.cursor("c1") as cursor:
        cursor.execute("SELECT id FROM t ORDER BY id")
        assert cursor.fetchmany(10) == [(n,) for n in range(10)]
        cursor.scroll(5)
        assert len(cursor.fetchall()) == 285
    for binary in (False, True):
        with client.transaction(), client.cursor("c2", binary=binary) as cursor:
            cursor.execute("SELECT name FROM t WHERE id >= %s AND name > %s", [297, "n297"])
            assert sorted(cursor) == [("n298",), ("n299",)]
    with pytest.raises(psycopg.errors.UndefinedParameter):
        client.execute("DECLARE c3 CURSOR FOR SELECT name FROM t WHERE id = $1")


def test_transactions_and_savepoints(client: psycopg.Connection[Rows]) -> None:
    with client.transaction():
        client.execute("INSERT INTO t VALUES (1, 'kept')")
        with pytest.raises(ZeroDivisionError), client.transaction():
            client.execute("INSERT INTO t VALUES (2, 'undone')")
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), client.transaction():
        client.execute("DELETE FROM t")
        raise ZeroDivisionError
    assert client.execute("SELECT id FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("options", ["", "(FORMAT csv)", "(FORMAT binary)"])
def test_copy_both_ways(client: psycopg.Connection[Rows], options: str) -> None:
    rows = [(Decimal(n), f"n {n}") for n in range(3000)]
    with client.cursor().copy(b"COPY t FROM STDIN" + options.encode()) as copy:
        if "csv" in options:
            copy.write("".join(f"{n},{name}\n" for n, name in rows))
        else:
            copy.set_types(["numeric", "varchar"])
            for row in rows:
                copy.write_row(row)
    assert client.execute("SELECT count(*), sum(id) FROM t").fetchone() == (3000, 4498500)
    with client.cursor().copy(f"COPY (SELECT * FROM t) TO STDOUT {options}".encode()) as copy:
        if "csv" in options:
            data = b"".join(bytes(chunk) for chunk in copy)
            assert len(data.splitlines()) == 3000
        else:
            copy.set_types(["numeric", "varchar"])
            assert sorted(copy.rows()) == rows


def test_the_next_host_is_taken_when_one_refuses(grid: RealGrid) -> None:
    words = grid.words(grid.addresses()[1])
    words["host"] = f"127.0.1.250,{words['host']}"
    with psycopg.connect(**words) as connection:
        assert connection.info.host == grid.addresses()[1]
