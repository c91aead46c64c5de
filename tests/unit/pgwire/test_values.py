"""Values between storage and wire form: exact, total, and cleanly refused when they are none."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import GridError, InvalidTextError, OutOfRangeError
from protocol.pgwire import datetimes, numeric
from protocol.pgwire.arrays import SPACE, array_text, split_array
from protocol.pgwire.values import (
    ResultColumn,
    binary_encoder,
    decoder,
    oid,
    row_encoder,
    spread_formats,
    text_encoder,
    type_of_oid,
    typmod,
)
from protocol.sqltypes import Kind, SqlType, StorageValue, canonical_number

US_MIN, US_MAX = datetimes.TIMESTAMP_MIN_US, datetimes.TIMESTAMP_MAX_US
timestamps = st.integers(US_MIN, US_MAX)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
decimals = st.tuples(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 60)).map(
    lambda pair: canonical_number(Decimal(pair[0]).scaleb(-pair[1])) if pair[0] else "0"
)
VALUES: dict[SqlType, st.SearchStrategy[StorageValue]] = {
    SqlType(Kind.TINYINT): st.integers(0, 255),
    SqlType(Kind.SMALLINT): st.integers(-(2**15), 2**15 - 1),
    SqlType(Kind.INTEGER): st.integers(-(2**31), 2**31 - 1),
    SqlType(Kind.BIGINT): st.integers(-(2**63), 2**63 - 1),
    SqlType(Kind.NUMBER): decimals,
    SqlType(Kind.NUMBER, 18, 0): st.integers(-(10**18) + 1, 10**18 - 1),
    SqlType(Kind.NUMBER, 10, 2): st.integers(-(10**10) + 1, 10**10 - 1),
    SqlType(Kind.NUMBER, 18, 18): st.integers(-(10**18) + 1, 10**18 - 1),
    SqlType(Kind.NUMBER, 5, 7): st.integers(-(10**5) + 1, 10**5 - 1),
    SqlType(Kind.BINARY_DOUBLE): st.floats(allow_nan=False),
    SqlType(Kind.BINARY_FLOAT): st.floats(width=32, allow_nan=False),
    SqlType(Kind.CHAR, length=50): texts.map(lambda text: text.rstrip(" ")),
    SqlType(Kind.VARCHAR, length=40): texts,
    SqlType(Kind.CLOB): texts,
    SqlType(Kind.UNKNOWN): texts,
    SqlType(Kind.DATE): st.integers(US_MIN // 10**6, US_MAX // 10**6).map(lambda s: s * 10**6),
    SqlType(Kind.TIMESTAMP, 6): timestamps,
    SqlType(Kind.TIMESTAMP, 3): timestamps.map(lambda us: us // 1000 * 1000),
    SqlType(Kind.TT_TIMESTAMP): timestamps,
    SqlType(Kind.TIMESTAMPTZ, 6): timestamps,
    SqlType(Kind.TT_DATE): timestamps.map(lambda us: us - us % datetimes.US_PER_DAY),
    SqlType(Kind.TT_TIME): st.integers(0, datetimes.US_PER_DAY),
    SqlType(Kind.INTERVAL_DS): st.integers(-(10**17), 10**17),
    SqlType(Kind.INTERVAL_YM): st.integers(-(10**6), 10**6),
    SqlType(Kind.VARBINARY): st.binary(max_size=40),
    SqlType(Kind.BLOB): st.binary(max_size=40),
    SqlType(Kind.BOOLEAN): st.integers(0, 1),
}


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: f"{kind.kind.name}-{kind.precision}")
@pytest.mark.parametrize("format", [0, 1])
def test_what_is_encoded_decodes_to_the_same_value(kind: SqlType, format: int) -> None:
    encode = binary_encoder(kind) if format else lambda value: text_encoder(kind)(value).encode()
    decode = decoder(kind, format)

    @settings(deadline=None, max_examples=60)
    @given(VALUES[kind])
    def same(value: StorageValue) -> None:
        assert decode(encode(value)) == value

    same()


@pytest.mark.parametrize("kind", [*VALUES, SqlType(Kind.JSON), SqlType(Kind.NUMBER, 30, -2)])
@pytest.mark.parametrize("format", [0, 1])
def test_garbage_is_refused_with_a_grid_error(kind: SqlType, format: int) -> None:
    decode = decoder(kind, format)
    likely = st.text("0123456789+-.eE:_ TNaInfity/\\x\0", max_size=30).map(str.encode)

    @settings(deadline=None, max_examples=60)
    @given(st.one_of(st.binary(max_size=40), likely))
    def clean(data: bytes) -> None:
        try:
            value = decode(data)
        except GridError as error:
            assert error.sqlstate[:2] in ("22", "08"), error.sqlstate
        else:  # what was accepted can be sent back
            binary_encoder(kind)(value)
            text_encoder(kind)(value)

    clean()


@settings(deadline=None, max_examples=60)
@given(st.integers(-(10**40), 10**40), st.integers(0, 40))
def test_binary_numeric_is_exact(units: int, scale: int) -> None:
    back, back_scale = numeric.decode_numeric(numeric.encode_numeric(units, scale))
    assert back * 10**scale == units * 10**back_scale


def test_binary_numeric_as_postgres_sends_it() -> None:
    # 12345.6789 and 0.0001 as PostgreSQL 15's numeric_send gives them
    assert numeric.encode_numeric(123456789, 4) == struct.pack("!4h3h", 3, 1, 0, 4, 1, 2345, 6789)
    assert numeric.encode_numeric(-1, 4) == struct.pack("!4h1h", 1, -1, 0x4000, 4, 1)
    assert numeric.encode_numeric(0, 2) == struct.pack("!4h", 0, 0, 0, 2)
    assert numeric.encode_numeric(10**8, 0) == struct.pack("!4h1h", 1, 2, 0, 0, 1)


@settings(deadline=None, max_examples=60)
@given(st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)))
def test_timestamps_agree_with_the_standard_library(moment: dt.datetime) -> None:
    us = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    text = moment.isoformat(" ")
    assert datetimes.timestamp_text(us) == (text.rstrip("0") if "." in text else text)
    assert datetimes.parse_timestamp(moment.isoformat()) == us
    assert datetimes.parse_timestamp(text) == us


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01", 0),
        ("1970-01-01 00:00", 0),
        ("1970-01-02T00:00:01.5Z", 86_401_500_000),
        ("0001-01-01 BC", datetimes.days_from_civil(0, 1, 1) * datetimes.US_PER_DAY),
        ("1970-01-01 02:00:00+02", 7_200_000_000),
        ("1969-12-31 24:00:00", 0),
    ],
)
def test_timestamp_texts(text: str, us: int) -> None:
    assert datetimes.parse_timestamp(text) == us


def test_a_timestamp_with_zone_counts_its_offset() -> None:
    assert datetimes.parse_timestamp("1970-01-01 02:00:00+02", with_zone=True) == 0
    assert datetimes.parse_timestamp("1969-12-31 18:30:00-05:30", with_zone=True) == 0


@pytest.mark.parametrize(
    "text",
    ["2023-02-29", "2024-13-01", "2024-00-10", "0000-01-01", "2024-01-01 25:00:00", "99999-01-01"],
)
def test_impossible_moments_are_22008(text: str) -> None:
    with pytest.raises(GridError) as caught:
        datetimes.parse_timestamp(text)
    assert caught.value.sqlstate == "22008"


def test_numbers_are_rounded_to_their_scale_and_refused_beyond_their_precision() -> None:
    money = decoder(SqlType(Kind.NUMBER, 5, 2), 0)
    assert money(b"1.005") == 101
    assert money(b"-1.005") == -101
    assert money(b"999.994") == 99999
    with pytest.raises(OutOfRangeError):
        money(b"999.995")
    hundreds = decoder(SqlType(Kind.NUMBER, 5, -2), 0)
    assert hundreds(b"12350") == "12400"
    assert decoder(SqlType(Kind.NUMBER), 0)(b" 1.2300e2 ") == "123"
    for bad in (b"", b"abc", b"1_000", b"1,5"):
        with pytest.raises(InvalidTextError):
            money(bad)
    with pytest.raises(OutOfRangeError):
        decoder(SqlType(Kind.NUMBER), 0)(b"1e200")
    assert decoder(SqlType(Kind.NUMBER), 0)(b"1e-200") == "0"


def test_result_texts() -> None:
    shown = [
        (SqlType(Kind.NUMBER, 10, 2), 1230, "12.30"),
        (SqlType(Kind.NUMBER, 10, 2), -5, "-0.05"),
        (SqlType(Kind.BINARY_DOUBLE), 1.0, "1"),
        (SqlType(Kind.BINARY_DOUBLE), float("-inf"), "-Infinity"),
        (SqlType(Kind.BINARY_FLOAT), struct.unpack("f", struct.pack("f", 0.1))[0], "0.1"),
        (SqlType(Kind.CHAR, length=4), "ä", "ä   "),
        (SqlType(Kind.CHAR, length=4, byte_length=True), "ä", "ä  "),
        (SqlType(Kind.BOOLEAN), 1, "t"),
        (SqlType(Kind.VARBINARY), b"\x01\xff", "\\x01ff"),
        (SqlType(Kind.DATE), 0, "1970-01-01 00:00:00"),
        (SqlType(Kind.TT_DATE), 0, "1970-01-01"),
        (SqlType(Kind.TT_TIME), 3_600_000_001, "01:00:00.000001"),
        (SqlType(Kind.TIMESTAMPTZ, 6), 500_000, "1970-01-01 00:00:00.5+00"),
        (SqlType(Kind.INTERVAL_DS), -90_061_500_000, "-1 days -01:01:01.5"),
        (SqlType(Kind.INTERVAL_YM), 14, "1 year 2 mons"),
    ]
    for kind, value, text in shown:
        assert text_encoder(kind)(value) == text


def test_every_type_shown_is_a_type_a_client_may_declare() -> None:
    for kind in VALUES:
        assert type_of_oid(oid(kind), typmod(kind)) is not None
    declared = type_of_oid(1700, typmod(SqlType(Kind.NUMBER, 12, 3)))
    assert declared == SqlType(Kind.NUMBER, 12, 3)
    assert type_of_oid(0) is None
    assert type_of_oid(705) is None


def test_rows_are_data_row_messages() -> None:
    encode = row_encoder((SqlType(Kind.INTEGER), SqlType(Kind.VARCHAR)), (0, 1))
    assert encode([(12, "ab"), (None, "")]) == (
        b"D\0\0\0\x12\0\2\0\0\0\x0212\0\0\0\x02abD\0\0\0\x0e\0\2\xff\xff\xff\xff\0\0\0\0"
    )
    assert encode([]) == b""
    assert row_encoder((), ())([()]) == b"D\0\0\0\6\0\0"
    long = "x" * 5000
    assert encode([(1, long)]).endswith(struct.pack("!i", 5000) + long.encode())


def test_formats_spread_as_in_bind() -> None:
    assert spread_formats((), 2) == (0, 0)
    assert spread_formats((1,), 2) == (1, 1)
    assert spread_formats((0, 1), 2) == (0, 1)
    for wrong in ((0, 1, 1), (2,)):
        with pytest.raises(GridError):
            spread_formats(wrong, 2)


def test_uuid_and_jsonb_by_their_oids() -> None:
    text = SqlType(Kind.VARCHAR)
    assert decoder(text, 1, 2950)(bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert decoder(SqlType(Kind.JSON), 1, 3802)(b"\1{}") == "{}"
    assert decoder(SqlType(Kind.BIGINT), 1, 26)(b"\xff\xff\xff\xff") == 2**32 - 1


def test_result_column_defaults_to_no_table() -> None:
    assert ResultColumn("A", SqlType(Kind.INTEGER))[2:] == (0, 0)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "data",
    [
        b"0e999999999",
        b"0e-999999999",
        b"1e999999999",
        b"1e-999999999",
        b"9" * 5000,
        b"0." + b"3" * 5000,
        b"2024-01-01" + b" " * 50_000 + b"x",
        b"1 day" + b" " * 50_000 + b"x",
        b"\\001" * 50_000 + b"\\9",
    ],
)
def test_no_value_takes_long_to_refuse(data: bytes) -> None:
    for kind in VALUES:
        try:
            value = decoder(kind, 0)(data)
        except GridError as error:
            assert error.sqlstate[:2] == "22"
        else:
            assert len(text_encoder(kind)(value)) <= len(data) * 2 + 200


def test_tiny_and_huge_binary_numerics() -> None:
    number = decoder(SqlType(Kind.NUMBER), 1)
    assert number(struct.pack("!HhHH1h", 1, -32768, 0, 0, 1)) == "0"
    for weight, count in ((32767, 1), (40, 1), (0, 5000)):
        with pytest.raises(OutOfRangeError):
            number(struct.pack(f"!HhHH{count}h", count, weight, 0, 0, *[1] * count))


def test_bytea_text() -> None:
    decode = decoder(SqlType(Kind.VARBINARY), 0)
    assert decode(b"\\x00fF") == b"\x00\xff"
    assert decode(b"a\\\\b\\001\\377") == b"a\\b\x01\xff"
    for bad in (b"\\x0", b"\\xzz", b"\\9", b"a\\", b"\\400"):
        with pytest.raises(InvalidTextError):
            decode(bad)


@pytest.mark.parametrize("item", ["\x1c", "\x1f", "\x85", "\xa0", " ", "\t", "a b", ""])
def test_array_items_keep_what_only_python_takes_for_space(item: str) -> None:
    assert split_array(array_text([item, "x"])) == [item, "x"]
    if item.strip(SPACE):
        assert split_array("{" + item + "}") == [item]


def test_binary_json_may_carry_the_version_of_jsonb() -> None:
    decode = decoder(SqlType(Kind.JSON), 1)
    assert decode(b'\x01{"a": 1}') == decode(b'{"a": 1}') == '{"a": 1}'
    with pytest.raises(InvalidTextError):
        decode(b"\x02{}")
