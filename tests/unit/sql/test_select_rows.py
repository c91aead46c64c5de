"""Functions that give rows, in a select list and in FROM."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from protocol.errors import GridError, GroupingError, NotSupportedError, ParameterError
from tests.support.mini_grid import MiniGrid


@cache
def grid() -> MiniGrid:
    made = MiniGrid(2)
    made.user()
    made.script(
        """
        CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, s VARCHAR2(20));
        INSERT INTO t VALUES (1, 'a');
        INSERT INTO t VALUES (2, 'b');
        """
    )
    return made


DAY = 86_400_000_000
FIRST = 1_704_067_200_000_000  # 2024-01-01
_SERIES_OF_TIME = "generate_series(timestamp '{}', timestamp '{}', interval '{}' day)"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select generate_series(1, 3)", [(1,), (2,), (3,)]),
        ("select generate_series(1, 3)::int4 as a", [(1,), (2,), (3,)]),
        ("select generate_series(3, 1, -2), 'x'", [(3, "x"), (1, "x")]),
        ("select generate_series(3, 1)", []),
        ("select generate_series(1, 2) + 1, 2 * generate_series(1, 2)", [(2, 2), (3, 4)]),
        ("select id, generate_series(1, id) g from t order by 1, 2", [(1, 1), (2, 1), (2, 2)]),
        (
            "select id, generate_series(1, 9) g from t where id = 2 order by g desc limit 1",
            [(2, 9)],
        ),
        ("select generate_series(1, 5, id) g from t where id = 2", [(1,), (3,), (5,)]),
        ("select distinct generate_series(1, 2) from t order by 1", [(1,), (2,)]),
        ("select (select max(g) from (select generate_series(1, 4) g) x) from dual", [(4,)]),
        (
            "select unnest(array[1, 2]), unnest(array['a', 'b', 'c'])",
            [(1, "a"), (2, "b"), (None, "c")],
        ),
        ("select unnest('{a,b}'::text[])", [("a",), ("b",)]),
        ("select generate_series(1.5, 3)", [("1.5",), ("2.5",)]),
        ("select generate_series(1, 3, 1 - 1)", []),
        (
            "select " + _SERIES_OF_TIME.format("2024-01-01", "2024-01-02", 1),
            [(FIRST,), (FIRST + DAY,)],
        ),
        (
            "select " + _SERIES_OF_TIME.format("2024-01-02", "2024-01-01", -1),
            [(FIRST + DAY,), (FIRST,)],
        ),
        ("select " + _SERIES_OF_TIME.format("2024-01-02", "2024-01-01", 1), []),
        ("select * from " + _SERIES_OF_TIME.format("2024-01-01", "2024-01-01", -1), [(FIRST,)]),
    ],
)
def test_rows(query: str, rows: list[Any]) -> None:
    assert grid().run(query) == rows


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("select generate_series(1, 3, 0)", ParameterError),
        ("select * from generate_series(1, 3, 0)", ParameterError),
        ("select id, generate_series(1, 2) from t group by id", NotSupportedError),
        ("select count(*), generate_series(1, 2) from t", GroupingError),
        ("select generate_series(1, 2), generate_series(1, 3)", NotSupportedError),
        ("select unnest(array[1], array[2])", NotSupportedError),
    ],
)
def test_refused(query: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        grid().run(query)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("1", "integer"),
        ("1.5", "numeric"),
        ("1::int2", "smallint"),
        ("1::int8", "bigint"),
        ("cast(1 as INT8)", "bigint"),
        ("1::float8", "double precision"),
        ("'x'::varchar", "character varying"),
        ("true", "boolean"),
        ("'2024-01-01'::timestamptz", "timestamp with time zone"),
        ("'{1}'::int[]", "integer[]"),
    ],
)
def test_pg_typeof_names_the_type_as_postgresql_does(value: str, name: str) -> None:
    assert grid().run(f"select pg_typeof({value})") == [(name,)]


def test_int8_has_eight_bytes() -> None:
    assert grid().run("select 3000000000::int8, 'int8'") == [(3_000_000_000, "int8")]
    assert grid().run("select id from t where id = -5::int8 or s = 'a'") == [(1,)]


def test_rows_are_inserted() -> None:
    made = MiniGrid(2)
    made.user()
    made.script("CREATE TABLE n (id NUMBER(10) NOT NULL PRIMARY KEY)")
    assert made.run("insert into n select generate_series(10, 12)") == 3
    assert made.run("select id from n order by id") == [(10,), (11,), (12,)]
