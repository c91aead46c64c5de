"""Values of COPY in columns with lengths: as INSERT would have them."""

from __future__ import annotations

from typing import Any

import pytest

from data.catalog.objects import Column
from data.exec.copy_fit import CopyFit
from protocol.errors import GridError
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import BIGINT, Kind, SqlType


def fit(type: SqlType, *values: Any) -> list[Any]:
    made = CopyFit([Column("A", BIGINT), Column("B", type)])
    made.fit(RowColumns([[], []], 0))
    first = RowColumns([[0], [None]], 1)
    made.fit(first)
    assert list(first) == [(0, None)]
    rows = RowColumns([list(range(len(values))), list(values)], len(values))
    made.fit(rows)
    return rows.columns[1]


VARCHAR = SqlType(Kind.VARCHAR, length=4)
BYTES = SqlType(Kind.VARCHAR, length=4, byte_length=True)


def test_empty_text_is_null_where_it_is_for_insert() -> None:
    assert fit(VARCHAR, "a", "", None, "abcd") == ["a", None, None, "abcd"]
    assert fit(SqlType(Kind.CLOB), "", "x" * 100) == [None, "x" * 100]
    assert fit(SqlType(Kind.CHAR, length=4), "", "ab") == ["", "ab"]


def test_lengths_in_characters_and_in_bytes() -> None:
    assert fit(VARCHAR, "äöüß") == ["äöüß"]
    assert fit(BYTES, "äö", "abcd", None) == ["äö", "abcd", None]
    assert fit(SqlType(Kind.VARBINARY, length=2), b"ab", None, b"") == [b"ab", None, b""]
    assert fit(SqlType(Kind.BINARY, length=3), b"ab", None) == [b"ab\0", None]


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (VARCHAR, "abcde"),
        (BYTES, "äöü"),
        (SqlType(Kind.CHAR, length=4), "abcde"),
        (SqlType(Kind.VARBINARY, length=2), b"abc"),
        (SqlType(Kind.BINARY, length=2), b"abc"),
    ],
    ids=str,
)
def test_what_is_too_long_is_refused_with_its_line(type: SqlType, value: Any) -> None:
    with pytest.raises(GridError) as caught:
        fit(type, None, None, value)
    assert caught.value.sqlstate == "22001"
    assert caught.value.detail == "COPY, line 4, column B"


def test_columns_without_lengths_cost_nothing() -> None:
    for type, values in ((BIGINT, [2, None]), (VARCHAR, ["ab", None]), (VARCHAR, ["ab", "cd"])):
        column: list[Any] = list(values)
        CopyFit([Column("B", type)]).fit(RowColumns([column], 2))
        rows = RowColumns([column], 2)
        CopyFit([Column("B", type)]).fit(rows)
        assert rows.columns[0] is column
