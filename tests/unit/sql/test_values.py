"""Conversions, key bytes, formats: exact, and refused where they do not fit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.distribution.hashing import bucket_of, bucket_of_int
from data.distribution.keys import key_bytes, key_encoder
from data.sql import datetimes, formats, number_formats, numbers
from data.sql.convert import adapt, converter, text_of
from data.sql.type_codes import type_code, type_of_code
from protocol.errors import (
    DatetimeError,
    InvalidTextError,
    OutOfRangeError,
    StringTooLongError,
    TypeMismatchError,
)
from protocol.sqltypes import BIGINT, DATE, DOUBLE, INTEGER, NUMBER, VARCHAR, Kind, SqlType

MONEY = SqlType(Kind.NUMBER, 10, 2)
WIDE = SqlType(Kind.NUMBER, 30, 5)
SHORT = SqlType(Kind.VARCHAR, length=3)
CHAR5 = SqlType(Kind.CHAR, length=5)


def convert(value: object, source: SqlType, target: SqlType) -> object:
    return adapt((value,), (source,), (target,))[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("12.345", VARCHAR, MONEY, 1235),
        ("-12.345", VARCHAR, MONEY, -1235),
        ("1e2", VARCHAR, MONEY, 10000),
        ("12.5", NUMBER, INTEGER, 13),
        (1235, MONEY, INTEGER, 12),
        (1250, MONEY, SqlType(Kind.NUMBER, 5, 1), 125),
        (5, INTEGER, MONEY, 500),
        (500, MONEY, NUMBER, "5"),
        (0.1, DOUBLE, MONEY, 10),
        (0.1, DOUBLE, NUMBER, "0.1"),
        (525, MONEY, DOUBLE, 5.25),
        ("123456789012345678901234.5", VARCHAR, WIDE, "123456789012345678901234.5"),
        ("", VARCHAR, SHORT, None),
        ("", VARCHAR, MONEY, None),
        ("abc  ", VARCHAR, CHAR5, "abc"),
        ("abc", CHAR5, VARCHAR, "abc  "),
        (525, MONEY, VARCHAR, "5.25"),
        ("2024-01-02", VARCHAR, DATE, datetimes.to_us(2024, 1, 2)),
        ("2024-01-02T03:04:05.6+01:00", VARCHAR, DATE, datetimes.to_us(2024, 1, 2, 7445000000)),
        ("02-JAN-2024", VARCHAR, DATE, datetimes.to_us(2024, 1, 2)),
        ("true", VARCHAR, SqlType(Kind.BOOLEAN), 1),
        ("\\x00ff", VARCHAR, SqlType(Kind.VARBINARY, length=2), b"\x00\xff"),
        (b"a", SqlType(Kind.VARBINARY), SqlType(Kind.BINARY, length=3), b"a\0\0"),
        (None, VARCHAR, MONEY, None),
    ],
)
def test_conversion(value: object, source: SqlType, target: SqlType, expected: object) -> None:
    assert convert(value, source, target) == expected


@pytest.mark.parametrize(
    ("value", "source", "target", "error"),
    [
        ("123456789.00", VARCHAR, MONEY, OutOfRangeError),
        (2**31, BIGINT, INTEGER, OutOfRangeError),
        (-1, INTEGER, SqlType(Kind.TINYINT), OutOfRangeError),
        ("abcd", VARCHAR, SHORT, StringTooLongError),
        ("ää", VARCHAR, SqlType(Kind.VARCHAR, length=3, byte_length=True), StringTooLongError),
        ("abc", VARCHAR, MONEY, InvalidTextError),
        ("2024-02-30", VARCHAR, DATE, DatetimeError),
        (1, INTEGER, DATE, TypeMismatchError),
        ("nan", VARCHAR, MONEY, OutOfRangeError),
    ],
)
def test_refused(value: object, source: SqlType, target: SqlType, error: type[Exception]) -> None:
    with pytest.raises(error):
        convert(value, source, target)


def test_nothing_to_do_is_told() -> None:
    assert converter(MONEY, MONEY) is None
    assert converter(INTEGER, BIGINT) is None
    assert converter(BIGINT, INTEGER) is not None


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=2, min_value=-(10**7), max_value=10**7
    )
)
def test_money_goes_through_every_representation(value: Decimal) -> None:
    scaled = convert(str(value), VARCHAR, MONEY)
    assert scaled == int(value * 100)
    text = convert(scaled, MONEY, NUMBER)
    assert Decimal(str(text)) == value
    assert convert(text, NUMBER, MONEY) == scaled
    assert text_of(MONEY)(scaled) == text  # type: ignore[arg-type]


@given(st.integers(-(2**63), 2**63 - 1))
def test_equal_numbers_have_equal_keys(value: int) -> None:
    key = key_bytes((value,), (BIGINT,))
    assert key == key_bytes((str(value),), (NUMBER,))
    assert bucket_of(key) == bucket_of_int(value)
    if abs(value) < 10**7:
        assert key == key_bytes((value * 100,), (MONEY,))
        assert key == key_bytes((float(value),), (DOUBLE,))


def test_keys_of_several_columns_do_not_run_together() -> None:
    types = (VARCHAR, VARCHAR)
    assert key_bytes(("ab", "c"), types) != key_bytes(("a", "bc"), types)
    assert key_encoder(types)(("ab", "c")) == key_bytes(("ab", "c"), types)
    assert key_bytes(("ab  ",), (CHAR5,)) == key_bytes(("ab",), (CHAR5,))
    # on disk: must never change
    assert key_bytes((5, "x"), (BIGINT, VARCHAR)) == b"2:n52:sx"
    assert [bucket_of_int(n) for n in (1, 2, 100)] == [1191, 2631, 2011]
    assert bucket_of(key_bytes(("abc",), (VARCHAR,))) == 2245


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
)
def test_division_has_39_or_40_digits(a: Decimal, b: Decimal) -> None:
    if not b:
        return
    text = numbers.canonical(numbers.divide(a, b))
    digits = numbers.WIDE.normalize(Decimal(text)).as_tuple().digits  # 1 and 40 zeros are one
    assert len(digits) <= 40
    exact = numbers.WIDE.divide(a, b)
    if text != "0":
        error = abs(numbers.WIDE.subtract(Decimal(text), exact))
        assert error <= abs(exact) * Decimal("1E-38")


@pytest.mark.parametrize(
    ("value", "model", "text"),
    [
        ("1234.5", "9999.99", " 1234.50"),
        ("-1234.5", "9999.99", "-1234.50"),
        ("12345", "9999", "#####"),
        ("0", "9", " 0"),
        ("0.5", "9.9", "  .5"),
        ("5", "099", " 005"),
        ("1234567.891", "FM9,999,999.00", "1234567.89".replace("1234567", "1,234,567")),
        ("-5", "S99", " -5"),
        ("5", "99MI", " 5 "),
        ("-5", "99PR", " <5>"),
        ("255", "FMXX", "FF"),
        ("1234", "9.99EEEE", " 1.23E+03"),
        ("5", "$99", "  $5"),
    ],
)
def test_number_formats(value: str, model: str, text: str) -> None:
    assert number_formats.number_to_char(Decimal(value), model) == text


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("2024-02-03", "YYYY-MM-DD", (2024, 2, 3, 0)),
        ("03/FEB/24", "DD/MON/RR", (2024, 2, 3, 0)),
        ("03 February 1999", "DD Month YYYY", (1999, 2, 3, 0)),
        ("20240203 130501", "YYYYMMDD HH24MISS", (2024, 2, 3, 47_101_000_000)),
        ("02/03/2024 01:05 PM", "MM/DD/YYYY HH:MI AM", (2024, 2, 3, 47_100_000_000)),
        ("2024 034", "YYYY DDD", (2024, 2, 3, 0)),
        ("2024", "YYYY", (2024, 11, 1, 0)),
    ],
)
def test_dates_are_read(text: str, model: str, expected: tuple[int, int, int, int]) -> None:
    today = datetimes.to_us(2023, 11, 14)
    assert formats.parse_moment(text, model, today_us=today) == datetimes.to_us(*expected)


@given(st.integers(datetimes.to_us(1, 1, 1), datetimes.to_us(9999, 12, 31)))
def test_moments_come_back_from_their_text(us: int) -> None:
    assert datetimes.parse_moment(datetimes.timestamp_text(us)) == us
    model = "YYYY-MM-DD HH24:MI:SS.FF6"
    text = formats.moment_to_char(us, model)
    assert formats.parse_moment(text, model, today_us=0) == us
    assert datetimes.truncate(us) <= us < datetimes.truncate(us) + datetimes.DAY_US


def test_type_codes_come_back() -> None:
    for type_ in (MONEY, WIDE, SHORT, CHAR5, NUMBER, DATE, SqlType(Kind.VARCHAR, 0, 0, 9, True)):
        assert type_of_code(type_code(type_)) == type_
