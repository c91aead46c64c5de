"""The quick way of plain rows and numbers gives what the general one gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import GridError
from protocol.pgwire import values
from protocol.pgwire.plain_rows import PlainRows, plain_number
from protocol.pgwire.row_code import compiled
from protocol.sqltypes import Kind, SqlType, StorageRow, StorageValue

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=1100)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
CELLS: dict[SqlType, st.SearchStrategy[StorageValue]] = {
    SqlType(Kind.INTEGER): NUMBERS,
    SqlType(Kind.NUMBER, 18, 0): NUMBERS,
    SqlType(Kind.NUMBER): st.sampled_from(["0", "1.5", "-12"]),
    SqlType(Kind.VARCHAR, length=40): TEXTS,
    SqlType(Kind.CHAR, length=10): TEXTS,
    SqlType(Kind.CHAR, length=10, byte_length=True): TEXTS,
    SqlType(Kind.CHAR, length=1500): TEXTS,
    SqlType(Kind.NCHAR, length=3): TEXTS,
}
COLUMNS = st.lists(st.sampled_from(list(CELLS)), max_size=5)


def reference(types: tuple[SqlType, ...]) -> values.RowEncoder:
    """What row_encoder gives where nothing is compiled."""
    return compiled([values._cell_code(type, 0) for type in types])  # type: ignore[return-value]


@given(COLUMNS, st.data())
def test_rows_are_those_of_the_reference(columns: list[SqlType], data: st.DataObject) -> None:
    types = tuple(columns)
    cells = [st.none() | CELLS[type] for type in types]
    rows: list[StorageRow] = data.draw(st.lists(st.tuples(*cells), max_size=3))
    widths = values.plain_widths(types, (0,) * len(types))
    assert widths is not None
    assert PlainRows(types, (0,) * len(types), widths)(rows) == reference(types)(rows)


@pytest.mark.parametrize(
    ("kind", "format"), [(Kind.INTEGER, 1), (Kind.DATE, 0), (Kind.BINARY_DOUBLE, 0), (Kind.BLOB, 0)]
)
def test_what_is_not_its_own_text_is_not_plain(kind: Kind, format: int) -> None:
    assert (
        values.plain_widths((SqlType(Kind.VARCHAR, length=3), SqlType(kind)), (0, format)) is None
    )


def test_a_row_of_other_columns_is_refused() -> None:
    types = (SqlType(Kind.INTEGER),)
    with pytest.raises(ValueError, match="2 values for 1 columns"):
        PlainRows(types, (0,), (0,))([(1, 2)])


def test_a_scaled_number_is_not_its_own_text() -> None:
    assert values.plain_widths((SqlType(Kind.NUMBER, 10, 2),), (0,)) is None


PARAMETERS = (
    *(SqlType(kind) for kind in (Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT)),
    *(SqlType(Kind.NUMBER, 5, 0), SqlType(Kind.NUMBER, 18, 0), SqlType(Kind.NUMBER, 10, 2)),
    *(SqlType(Kind.NUMBER), SqlType(Kind.VARCHAR, length=9), SqlType(Kind.BINARY_DOUBLE)),
)


@given(
    st.sampled_from(PARAMETERS),
    NUMBERS.map(str) | st.text("0123456789", max_size=21) | st.text("0 +-_.x\u0663", max_size=4),
)
def test_a_plain_number_is_what_the_decoder_gives(type: SqlType, text: str) -> None:
    data = text.encode()
    number = plain_number(data, values.plain_digits(type, 0))
    if number >= 0:
        assert values.decoder(type, 0)(data) == number
    elif text.isascii() and text.isdigit() and len(text) <= 2 and type.kind is Kind.INTEGER:
        raise AssertionError("not seen as a plain number")


def test_what_is_no_plain_number() -> None:
    for data in (b"", b"-1", b"+1", b" 1", b"1_0", b"12345", b"1a"):
        assert plain_number(data, 4) == -1
    assert plain_number(b"0007", 4) == 7
    assert values.plain_digits(SqlType(Kind.INTEGER), 1) == 0
    with pytest.raises(GridError):
        values.decoder(SqlType(Kind.TINYINT), 0)(b"256")
