"""COPY rows in text, csv and binary: there and back, however the bytes are cut."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import CopyDataError, GridError
from protocol.pgwire.copy_rows import CopyFormat
from protocol.sqltypes import Kind, SqlType, StorageRow
from tests.support.wire import split

TYPES = (SqlType(Kind.INTEGER), SqlType(Kind.VARCHAR), SqlType(Kind.NUMBER, 9, 2))
NAMES = ("A", "B", "C")
FORMATS = [
    CopyFormat(TYPES, NAMES),
    CopyFormat(TYPES, NAMES, delimiter="|", null=""),
    CopyFormat(TYPES, NAMES, "csv"),
    CopyFormat(TYPES, NAMES, "csv", header=True, delimiter=";", quote="'", null="NULL"),
    CopyFormat(TYPES, NAMES, "csv", escape="\\"),
    CopyFormat(TYPES, NAMES, "binary"),
]
texts = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    st.text("ab\\\"',;|\t\n\r N.", max_size=12),
)
rows = st.tuples(
    st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    st.one_of(st.none(), texts),
    st.one_of(st.none(), st.integers(-(10**9) + 1, 10**9 - 1)),
)


def bytes_of(copy: CopyFormat, data: list[StorageRow]) -> bytes:
    """What a COPY TO sends, without the messages around it."""
    encoder = copy.row_encoder()
    encoded = encoder(data)
    sent = encoder.preamble() + (bytes(encoder.opened(encoded)) if data else b"")
    sent += encoder.trailer(bool(data))
    return b"".join(payload for _, payload in split(sent))


@pytest.mark.parametrize("copy", FORMATS, ids=lambda copy: f"{copy.format}{copy.delimiter}")
def test_rows_come_back(copy: CopyFormat) -> None:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(rows, max_size=5), st.integers(1, 40))
    def same(data: list[StorageRow], chunk: int) -> None:
        if copy.null == "":  # text with an empty NULL cannot tell them apart, as in PostgreSQL
            data = [(a, b or None, c) for a, b, c in data]
        sent = bytes_of(copy, data)
        decoder = copy.row_decoder()
        back: list[StorageRow] = []
        for at in range(0, len(sent), chunk):
            back += decoder.feed(sent[at : at + chunk])
        assert back + decoder.finish() == data

    same()


@pytest.mark.parametrize("copy", FORMATS, ids=lambda copy: f"{copy.format}{copy.delimiter}")
def test_garbage_is_refused_with_a_grid_error(copy: CopyFormat) -> None:
    alphabet = st.text("01a\\N\"'.,;|\t\n\r", max_size=40).map(str.encode)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.one_of(alphabet, st.binary(max_size=40)), max_size=4))
    def clean(chunks: list[bytes]) -> None:
        decoder = copy.row_decoder()
        try:
            for chunk in chunks:
                decoder.feed(chunk)
            decoder.finish()
        except GridError as error:
            assert error.sqlstate[:2] in ("22", "08", "54")

    clean()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_csv_is_what_the_standard_library_reads(data: list[tuple[str, str]]) -> None:
    types = (SqlType(Kind.VARCHAR),) * 2
    text = bytes_of(CopyFormat(types, ("A", "B"), "csv"), list(data)).decode()
    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))] == data


def decode(copy: CopyFormat, data: bytes) -> list[StorageRow]:
    """All rows of whole data."""
    decoder = copy.row_decoder()
    return [*decoder.feed(data), *decoder.finish()]


def test_text_details() -> None:
    copy = CopyFormat(TYPES, NAMES)
    assert decode(copy, b"1\ta\\tb\\\\\\x41\\101\t1.5\r\n2\t\\N\t\\N") == [
        (1, "a\tb\\AA", 150),
        (2, None, None),
    ]
    assert decode(copy, b"1\ta\t1\n\\.\nrest is ignored\n") == [(1, "a", 100)]
    assert decode(copy, b"1\tline\\\nend\t1\n") == [(1, "line\nend", 100)]


def test_csv_details() -> None:
    copy = CopyFormat(TYPES, NAMES, "csv", header=True)
    assert decode(copy, b'a,b,c\n1,"x ""y"",\nz",2\r\n3,,\n4,"",1') == [
        (1, 'x "y",\nz', 200),
        (3, None, None),
        (4, "", 100),
    ]
    force = CopyFormat(TYPES, NAMES, "csv", force_not_null=frozenset({1}))
    assert decode(force, b"1,,2\n") == [(1, "", 200)]
    force = CopyFormat(TYPES, NAMES, "csv", force_null=frozenset({1}))
    assert decode(force, b'1,"",2\n') == [(1, None, 200)]
    quoted = CopyFormat(TYPES, NAMES, "csv", force_quote=frozenset({0}))
    assert bytes_of(quoted, [(1, "", 1)]) == b'"1","",0.01\n'


@pytest.mark.parametrize(
    ("copy", "data", "problem", "detail"),
    [
        (FORMATS[0], b"1\ta\t1\n1\ta\n", 'missing data for column "C"', "COPY, line 2"),
        (FORMATS[0], b"1\ta\t1\t2\n", "extra data after last expected column", "COPY, line 1"),
        (FORMATS[2], b'1,"open\n', "unterminated CSV quoted field", "line 1"),
        (FORMATS[5], b"PGCOPY\n\xff\r\n\x01" + bytes(20), "COPY file signature", ""),
        (FORMATS[5], b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\2", "row field count is 2", ""),
        (FORMATS[5], b"PGCOPY\n\xff\r\n\0" + bytes(6), "unexpected end", ""),
    ],
)
def test_malformed_data_is_22P04(copy: CopyFormat, data: bytes, problem: str, detail: str) -> None:
    with pytest.raises(CopyDataError, match=problem) as caught:
        decode(copy, data)
    assert caught.value.detail == detail


def test_a_bad_value_names_its_line_and_column() -> None:
    with pytest.raises(GridError) as caught:
        decode(FORMATS[0], b"1\ta\t1\n2\tb\tx\n")
    assert (caught.value.sqlstate, caught.value.detail) == ("22P02", "COPY, line 2, column C")
