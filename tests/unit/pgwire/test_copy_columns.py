"""COPY lines decoded many at once and line by line, the reference: the same values and errors."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.errors import GridError
from protocol.pgwire import copy_rows
from protocol.pgwire.copy_columns import DAYS_KEPT, ROWS_MIN, Columns
from protocol.pgwire.copy_rows import CopyFormat
from protocol.sqltypes import BIGINT, Kind, SqlType, StorageRow, array_of

TYPES = (
    SqlType(Kind.TINYINT),
    SqlType(Kind.SMALLINT),
    SqlType(Kind.INTEGER),
    SqlType(Kind.BIGINT),
    SqlType(Kind.NUMBER),
    SqlType(Kind.NUMBER, 10, 0),
    SqlType(Kind.NUMBER, 9, 2),
    SqlType(Kind.NUMBER, 18, 10),
    SqlType(Kind.NUMBER, 30, 4),
    SqlType(Kind.NUMBER, 5, -2),
    SqlType(Kind.BINARY_FLOAT),
    SqlType(Kind.BINARY_DOUBLE),
    SqlType(Kind.CHAR, length=10),
    SqlType(Kind.VARCHAR, length=30),
    SqlType(Kind.NVARCHAR, length=30),
    SqlType(Kind.CLOB),
    SqlType(Kind.DATE),
    SqlType(Kind.TIMESTAMP, precision=6),
    SqlType(Kind.TIMESTAMP, precision=3),
    SqlType(Kind.TT_TIMESTAMP),
    SqlType(Kind.TIMESTAMPTZ, precision=6),
    SqlType(Kind.TT_DATE),
    SqlType(Kind.TT_TIME),
    SqlType(Kind.INTERVAL_DS),
    SqlType(Kind.INTERVAL_YM),
    SqlType(Kind.VARBINARY, length=20),
    SqlType(Kind.BOOLEAN),
    SqlType(Kind.JSON),
    SqlType(Kind.UUID),
    array_of(BIGINT),
)
PLAIN = {  # as PostgreSQL writes them: these take the way that is at once
    Kind.TINYINT: ["0", "255"],
    Kind.SMALLINT: ["-32768", "5"],
    Kind.INTEGER: ["-2147483648", "0012"],
    Kind.BIGINT: ["9223372036854775807", "-1"],
    Kind.NUMBER: ["1", "0", "-7"],
    Kind.BINARY_DOUBLE: ["1.5", "-2e-7", "1e308", "3"],
    Kind.CHAR: ["a  ", "", "é"],
    Kind.VARCHAR: ["a  ", "", "é", "\N{GRINNING FACE}"],
    Kind.DATE: ["2024-02-29", "1999-12-31 23:59:59", "2024-01-01T10:20"],
    Kind.TIMESTAMP: ["2024-02-29 00:00:00.123456", "0001-01-01 00:00:00.5", "9999-12-31"],
    Kind.TT_DATE: ["2024-02-29"],
    Kind.BOOLEAN: ["t", "f", "true", "false"],
}
ODD = [  # right for some types, wrong for others, or to be looked at closely
    *["", " ", "+5", " 7 ", "-0", "--1", "1-", "1_0", "1.", ".5", "-.5", "1.-5", "12.345", "1e3"],
    *["256", "-1", "40000", "9223372036854775808", "99999999999", "1234567.89", "\u0663"],
    *["nan", "NaN", "inf", "1e999", "0x10", "yes", "N", "TRUE", "tru"],
    *["2023-02-29", "2024-02-30 00:00:00", "0000-01-01", "10000-01-01", "2024-1-2", "24-01-01"],
    *["2024-01-01 24:00:00", "2024-01-01 10:20:60", "2024-01-01 10:60", "2024-01-01  10:20:30"],
    *["2024-01-01 10:20:30.1234567", "2024-01-01 10:20:30.9999999", "2024-01-01 10:20:30."],
    *["2024-01-01 10:20:30+02", "2024-01-01 10:20:30.5Z", "0044-03-15 BC", "2024-01-01:05"],
    *["2024-01-01 ", "10:20:30", "1 day", "3 years", "{1,2}", '{"a":1}', "[1"],
    *["12345678-1234-1234-1234-123456789abc", "abc", "\\N", "\\\\x00ff", "\\.", "a\\tb", "a\\"],
    *["a\rb", "\r", "x\0y", '"q"', 'a"b', '"a,b"', '"', "\t", ",", "\n", "NULL"],
]
FORMATS = [
    CopyFormat((), ()),
    CopyFormat((), (), delimiter="|", null=""),
    CopyFormat((), (), null="NULL"),
    CopyFormat((), (), null="\\"),
    CopyFormat((), (), header=True),
    CopyFormat((), (), "csv"),
    CopyFormat((), (), "csv", null="NULL", force_not_null=frozenset((0,))),
    CopyFormat((), (), "csv", delimiter=";", header=True, force_null=frozenset((1,))),
]


def outcome(copy: CopyFormat, chunks: list[bytes], at_once: bool) -> object:
    """The rows, with the types of their values, or all there is to an error."""
    decoder = copy.row_decoder()
    assert isinstance(decoder, copy_rows.TextRowDecoder | copy_rows.CsvRowDecoder)
    if not at_once:
        decoder.line_by_line()
    rows: list[StorageRow] = []
    try:
        for chunk in chunks:
            rows += decoder.feed(chunk)
        rows += decoder.finish()
    except GridError as error:
        return len(rows), type(error), error.sqlstate, error.message, error.detail
    return [tuple((type(value), value) for value in row) for row in rows]


def same(copy: CopyFormat, data: bytes, cut: int = 0) -> None:
    chunks = [data[:cut], data[cut:]]
    assert outcome(copy, chunks, True) == outcome(copy, chunks, False)


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f"{f.format}{f.delimiter}{f.null}")
def test_all_types_agree_with_the_reference(form: CopyFormat) -> None:
    delimiter = form.delimiter_text
    null = form.null_text

    @st.composite
    def tables(draw: st.DrawFn) -> tuple[tuple[SqlType, ...], str]:
        types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4))
        odd = draw(st.sampled_from([0, 0, 1, 3]))  # how many odd fields
        rows = []
        for _ in range(draw(st.integers(ROWS_MIN, 9))):
            plain = [draw(st.sampled_from([*PLAIN.get(t.kind, [null]), null])) for t in types]
            rows.append(plain)
        for _ in range(odd):
            row = rows[draw(st.integers(0, len(rows) - 1))]
            if row:
                row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(ODD))
        if draw(st.integers(0, 9)) == 0:  # one field more, or less
            row = rows[draw(st.integers(0, len(rows) - 1))]
            row.append("x") if draw(st.booleans()) else row.pop()
        end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
        return tuple(types), end.join(delimiter.join(row) for row in rows) + end

    @settings(deadline=None, max_examples=250)
    @given(tables(), st.integers(0, 60))
    @example(((SqlType(Kind.INTEGER),), "1\n2\n3\n4\n"), 0)
    @example(((SqlType(Kind.VARCHAR),) * 2, f"a{delimiter}b{delimiter}c\nd\n" * 4), 0)
    @example(((SqlType(Kind.VARCHAR),), "a\nb\n\\.\nc\nd\n" * 4), 0)
    @example(((SqlType(Kind.VARCHAR),), "a\nb\r\r\nc\nd\n"), 0)
    def agree(table: tuple[tuple[SqlType, ...], str], cut: int) -> None:
        types, text = table
        names = tuple(f"C{n}" for n in range(len(types)))
        same(form._replace(types=types, names=names), text.encode(), cut)

    agree()


@pytest.mark.parametrize("type", TYPES, ids=str)
def test_each_type_alone_agrees_for_every_odd_text(type: SqlType) -> None:
    copy = CopyFormat((BIGINT, type), ("A", "B"))
    plain = PLAIN.get(type.kind, ["\\N"])
    for odd in [*ODD, *plain]:
        fields = [*plain, "\\N", odd, *plain, "\\N"]
        same(copy, "".join(f"{n}\t{field}\n" for n, field in enumerate(fields)).encode())


def test_bytes_that_are_no_text_are_refused_where_they_stand() -> None:
    copy = CopyFormat((BIGINT, SqlType(Kind.VARCHAR)), ("A", "B"))
    same(copy, b"1\ta\n2\tb\n3\t\xff\n4\td\n")
    same(copy, b"1\ta\n2\tb\n3\tx\0y\n4\td\n")


def test_plain_lines_are_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every chunk would fall back to the reference, and nobody would notice."""
    monkeypatch.setattr(copy_rows._LineDecoder, "_row", None)
    for form in FORMATS[:3] + FORMATS[5:7]:
        for type in TYPES:
            plain = PLAIN.get(type.kind)
            if plain is None:
                continue
            null = form.null_text
            fields = [t for t in plain if t != null] * ROWS_MIN
            delimiter = form.delimiter_text
            lines = "".join(f"{n}{delimiter}{f}\n" for n, f in enumerate(fields))
            copy = form._replace(types=(BIGINT, type), names=("A", "B"))
            assert len(copy.row_decoder().feed(lines.encode())) == len(fields)


def test_more_lines_than_are_cut_at_once_and_more_days_than_are_kept() -> None:
    copy = CopyFormat((BIGINT, SqlType(Kind.DATE)), ("A", "B"))
    lines = [
        f"{n}\t{1000 + n // 300}-{n % 12 + 1:02d}-{n % 28 + 1:02d} 01:02:{n % 60:02d}\n"
        for n in range(2 * DAYS_KEPT)
    ]
    same(copy, "".join(lines).encode())
    lines[-2] = "1\t2024-13-01 01:02:03\n"
    same(copy, "".join(lines).encode())


def test_formats_that_cannot_be_cut_so() -> None:
    types = (BIGINT,)
    assert Columns.fit(types, "\t", "\\N")
    assert Columns.fit(types, ",", "")
    assert not Columns.fit((), ",", "")
    assert not Columns.fit(types, "\\", "")
    assert not Columns.fit(types, "\r", "")
    assert not Columns.fit(types, ",", "\\")
    assert not Columns.fit(types, ",", "a\nb")
