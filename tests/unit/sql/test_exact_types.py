"""Types against Python's decimal, datetime and float: random values through compiled statements."""

from __future__ import annotations

import math
import struct
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.sql.datetimes import DAY_US, from_datetime
from protocol.errors import DatetimeError, GridError, OutOfRangeError, StringTooLongError
from protocol.sqltypes import canonical_number
from tests.support.mini_grid import MiniGrid

EXACT = Context(prec=300, Emax=999, Emin=-999)
EPOCH = datetime(1970, 1, 1)
QUICK = settings(max_examples=50, deadline=None)
FEW = settings(max_examples=15, deadline=None)


@cache
def grid() -> MiniGrid:
    made = MiniGrid(1)
    made.user()
    return made


def value(expression: str, *params: Any) -> Any:
    """The expression's storage value; `%s` in it stand for the parameters' literals."""
    text = expression % tuple(literal(p) for p in params)
    return grid().run(f"select {text} from dual")[0][0]


def literal(param: Any) -> str:
    if isinstance(param, Decimal):
        return f"cast('{param:f}' as number)"
    if isinstance(param, datetime):
        return f"timestamp '{param:%Y-%m-%d %H:%M:%S.%f}'".replace("'", "'", 1)
    return str(param)


def oracle_round(number: Decimal) -> Decimal:
    """To 20 digits of base 100: 39 or 40 decimal ones, by where the point is."""
    even = (number.adjusted() + 1) % 2 == 0
    return Context(prec=40 if even else 39, rounding=ROUND_HALF_UP, Emax=999, Emin=-999).plus(
        number
    )


def numbers(digits: int = 38, places: int = 20) -> st.SearchStrategy[Decimal]:
    return st.builds(
        lambda units, scale: Decimal(units).scaleb(-scale),
        st.integers(-(10**digits) + 1, 10**digits - 1),
        st.integers(0, places),
    )


# -- NUMBER ----------------------------------------------------------------------------------------
@QUICK
@given(numbers(), numbers(), st.sampled_from(["+", "-", "*", "/"]))
def test_number_arithmetic(a: Decimal, b: Decimal, op: str) -> None:
    if op == "/" and not b:
        with pytest.raises(GridError):
            value(f"%s {op} %s", a, b)
        return
    compute = {"+": EXACT.add, "-": EXACT.subtract, "*": EXACT.multiply, "/": EXACT.divide}[op]
    expected = compute(a, b)
    if len(expected.as_tuple().digits) > 38:
        expected = oracle_round(expected)
    assert value(f"%s {op} %s", a, b) == canonical_number(expected)


@QUICK
@given(numbers(30, 25), st.integers(1, 38), st.integers(-20, 40))
def test_precision_and_scale(number: Decimal, precision: int, scale: int) -> None:
    text = f"cast(cast('{number:f}' as number({precision},{scale})) as number)"
    rounded = number.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP, context=EXACT)
    if abs(rounded) >= Decimal(1).scaleb(precision - scale):
        with pytest.raises(OutOfRangeError):
            value(text)
        return
    assert value(text) == canonical_number(rounded)


@QUICK
@given(numbers(20, 6), numbers(20, 6), st.sampled_from(["number", "number(38,6)", "number(26,6)"]))
def test_numbers_compare_whatever_their_types(a: Decimal, b: Decimal, kind: str) -> None:
    for op, holds in (("<", a < b), ("=", a == b), (">=", a >= b)):
        text = f"case when cast('{a:f}' as {kind}) {op} %s then 1 else 0 end"
        assert value(f"cast({text} as tt_integer)", b) == int(holds)


@QUICK
@given(numbers(25, 10), st.integers(-10, 12))
def test_round_and_trunc(number: Decimal, digits: int) -> None:
    unit = Decimal(1).scaleb(-digits)
    rounded = number.quantize(unit, rounding=ROUND_HALF_UP, context=EXACT)
    cut = number.quantize(unit, rounding="ROUND_DOWN", context=EXACT)
    assert value(f"round(%s, {digits})", number) == canonical_number(rounded)
    assert value(f"trunc(%s, {digits})", number) == canonical_number(cut)


@QUICK
@given(numbers(15, 4), numbers(15, 4))
def test_mod_and_remainder(a: Decimal, b: Decimal) -> None:
    assert value("mod(%s, %s)", a, b) == canonical_number(EXACT.remainder(a, b) if b else a)
    if b:
        assert value("remainder(%s, %s)", a, b) == canonical_number(EXACT.remainder_near(a, b))


RANGES = {
    "tt_tinyint": (0, 255),
    "tt_smallint": (-(2**15), 2**15 - 1),
    "tt_integer": (-(2**31), 2**31 - 1),
    "tt_bigint": (-(2**63), 2**63 - 1),
}


@QUICK
@given(st.sampled_from(sorted(RANGES)), st.integers(-(2**64), 2**64), st.integers(-3, 3))
def test_integers_have_their_ranges(kind: str, number: int, near: int) -> None:
    low, high = RANGES[kind]
    for candidate in (number, low + near, high + near):
        if low <= candidate <= high:
            assert value(f"cast({candidate} as {kind})") == candidate
        else:
            with pytest.raises(OutOfRangeError):
                value(f"cast({candidate} as {kind})")


@QUICK
@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(["+", "-", "*"]),
)
def test_bigint_arithmetic_overflows(a: int, b: int, op: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b}[op]
    text = f"cast({a} as tt_bigint) {op} cast({b} as tt_bigint)"
    if -(2**63) <= expected < 2**63:
        assert value(text) == expected
    else:
        with pytest.raises(OutOfRangeError):
            value(text)


# -- floats ----------------------------------------------------------------------------------------
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def float_literal(number: float) -> str:
    if number != number:
        return "binary_double_nan"
    if math.isinf(number):
        return "binary_double_infinity" if number > 0 else "(- binary_double_infinity)"
    return f"cast('{number!r}' as binary_double)"


def stored(number: float) -> float | str:
    return "NaN" if number != number else number


@QUICK
@given(FLOATS, FLOATS)
def test_floats_compute_as_ieee_754(a: float, b: float) -> None:
    left, right = float_literal(a), float_literal(b)
    assert value(f"{left} + {right}") == stored(a + b)
    assert value(f"{left} * {right}") == stored(a * b)
    if b:
        assert value(f"{left} / {right}") == stored(a / b)
    else:
        divided = value(f"{left} / {right}")
        assert divided == "NaN" if not a or a != a else math.isinf(divided)


@QUICK
@given(FLOATS, FLOATS)
def test_nan_is_equal_to_itself_and_the_largest(a: float, b: float) -> None:
    def rank(x: float) -> tuple[bool, float]:
        return (True, 0.0) if x != x else (False, x)

    text = (
        f"cast(case when {float_literal(a)} < {float_literal(b)} then 1 else 0 end as tt_integer)"
    )
    assert value(text) == int(rank(a) < rank(b))


@QUICK
@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(width=32))
def test_binary_float_has_32_bits(a: float, b: float) -> None:
    single = f"cast('{a!r}' as binary_float)"
    assert value(single) == a
    if b == b and not math.isinf(b):
        total = a + b
        try:
            total = struct.unpack("f", struct.pack("f", total))[0]
        except OverflowError:
            total = math.copysign(math.inf, total)
        assert value(f"{single} + cast('{b!r}' as binary_float)") == total


# -- texts -----------------------------------------------------------------------------------------
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0'%"), min_size=1, max_size=8)


@QUICK
@given(WORDS, WORDS)
def test_char_compares_without_its_padding(a: str, b: str) -> None:
    text = f"cast('{a}' as char(10)) = cast('{b}' as char(12))"
    a, b = a.replace("%", ""), b.replace("%", "")
    assert bool(grid().run(f"select {text} from dual")[0][0]) == (a.rstrip(" ") == b.rstrip(" "))


@QUICK
@given(WORDS, st.integers(1, 12))
def test_lengths_in_bytes_and_characters(text: str, length: int) -> None:
    for unit, size in (("byte", len(text.encode())), ("char", len(text))):
        expression = f"select cast('{text}' as varchar2({length} {unit})) from dual"
        if size <= length:
            assert grid().run(expression) == [(text,)]
        else:
            with pytest.raises(StringTooLongError):
                grid().run(expression)


# -- dates -----------------------------------------------------------------------------------------
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


@QUICK
@given(MOMENTS, st.integers(-4_000_000, 4_000_000), st.integers(0, DAY_US - 1))
def test_dates_move_by_days_and_intervals(moment: datetime, days: int, us: int) -> None:
    span = timedelta(days=days, microseconds=us)
    interval = f"numtodsinterval({days}, 'DAY') + numtodsinterval({us} / 1000000, 'SECOND')"
    try:
        expected = moment + span
    except OverflowError:
        with pytest.raises(DatetimeError):
            value(f"%s + {days}", moment.replace(microsecond=0)) if us == 0 else value(
                f"to_char(%s + ({interval}), 'YYYY')", moment
            )
        return
    assert value(f"%s + ({interval})", moment) == from_datetime(expected)
    assert value("%s - %s", expected, moment) == span // timedelta(microseconds=1)


@QUICK
@given(MOMENTS, st.integers(-30_000, 30_000))
def test_add_months(moment: datetime, months: int) -> None:
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    if not 1 <= year <= 9999:
        with pytest.raises(DatetimeError):
            value(f"add_months(%s, {months})", moment)
        return

    def last_of(y: int, m: int) -> int:
        return 31 if m == 12 else (date(y, m + 1, 1) - timedelta(days=1)).day

    last = last_of(year, month + 1)
    is_last = moment.day == last_of(moment.year, moment.month)
    day = last if is_last else min(moment.day, last)
    expected = moment.replace(year=year, month=month + 1, day=day)
    assert value(f"add_months(%s, {months})", moment) == from_datetime(expected)


@FEW
@given(MOMENTS)
def test_dates_as_texts_and_back(moment: datetime) -> None:
    for model, form in (
        ("DD.MM.YYYY HH24:MI:SS.FF6", "{0.day:02}.{0.month:02}.{0.year:04} {0:%H:%M:%S.%f}"),
        ("YYYYMMDDHH24MISSFF6", "{0.year:04}{0:%m%d%H%M%S%f}"),
        ("DD-MON-YYYY HH12:MI:SS.FF6 AM", None),
        ("YYYY DDD SSSSS FF6", "{0.year:04} {0:%j} {1:05} {0:%f}"),
        ("FMDay, DDTH Month YYYY HH24:MI:SS.FF6", None),
        ("J SSSSS.FF6", None),
    ):
        seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
        shown = value(f"to_char(%s, '{model}')", moment)
        if form is not None:
            assert shown == form.format(moment, seconds)
        assert value(f"to_timestamp('{shown}', '{model}')") == from_datetime(moment)
    iso = moment.isocalendar()
    assert value("to_char(%s, 'IYYY-IW-D')", moment) == f"{iso[0]:04}-{iso[1]:02}-{iso[2] % 7 + 1}"


@FEW
@given(MOMENTS, MOMENTS)
def test_timestampdiff_undoes_timestampadd(a: datetime, b: datetime) -> None:
    for unit in ("DAY", "HOUR", "MINUTE", "SECOND"):
        count = value(f"timestampdiff(SQL_TSI_{unit}, %s, %s)", a, b)
        us = {"DAY": DAY_US, "HOUR": DAY_US // 24, "MINUTE": 60_000_000, "SECOND": 1_000_000}[unit]
        exact = (b - a) // timedelta(microseconds=1)
        assert count == (abs(exact) // us) * (1 if exact >= 0 else -1)
        moved = value(f"timestampadd(SQL_TSI_{unit}, {count}, %s)", a)
        assert abs(moved - from_datetime(b)) < us


# -- models of numbers -----------------------------------------------------------------------------
@FEW
@given(numbers(9, 3))
def test_numbers_as_texts_and_back(number: Decimal) -> None:
    rounded = number.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    for model in ("999,999,999.99", "S000000000.00", "999999999D99MI", "FM999G999G990.00PR"):
        shown = value(f"to_char(%s, '{model}')", number)
        assert value(f"to_number('{shown}', '{model}')") == canonical_number(rounded)
    if number >= 0:
        whole = int(number.to_integral_value(rounding=ROUND_HALF_UP))
        assert value("to_char(%s, 'FMXXXXXXXXX')", number) == f"{whole:X}"
    grouped = value("to_char(%s, 'FM999,999,990.00')", number)
    assert grouped == f"{rounded:,.2f}".replace("-0.00", "-0.00")
