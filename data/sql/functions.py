"""SQLite functions with our semantics, registered on every element and scratch connection.

Names start with tg_; the printer writes them, users never do. Conventions: `dec` arguments are
canonical decimal text (an int is accepted), moments are microseconds, every function gives NULL for
a NULL argument unless it says otherwise, and an empty string result is NULL (Oracle).
Errors raised here (GridError) come out of SQLite unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from data.sql import datetimes, formats, number_formats, numbers, window_functions
from data.sql.aggregate_families import register_aggregates
from data.sql.array_functions import ARRAY_NULLABLE, ARRAY_RUNTIME
from data.sql.convert import converter, text_of
from data.sql.date_functions import DATE_RUNTIME
from data.sql.datetimes import DAY_US
from data.sql.floats import FLOAT_RUNTIME
from data.sql.json_functions import JSON_NULLABLE, JSON_RUNTIME
from data.sql.math_functions import MATH_NULLABLE, MATH_RUNTIME, MATH_VOLATILE
from data.sql.numbers import EXACT, WIDE, canonical, to_decimal
from data.sql.strings import STRING_FUNCTIONS
from data.sql.text_functions import TEXT_NULLABLE, TEXT_RUNTIME
from data.sql.type_codes import bucket_of_key, type_of_code
from protocol.errors import (
    CardinalityError,
    DatetimeError,
    DivisionByZeroError,
    OutOfRangeError,
    ParameterError,
    RowChangedError,
)
from protocol.sqltypes import canonical_number

Function = Callable[..., Any]
INT_MAX = 2**63 - 1


def strict(function: Function) -> Function:
    """NULL in, NULL out."""

    def call(*args: Any) -> Any:
        if None in args:
            return None
        try:
            return function(*args)
        except (ValueError, OverflowError, TypeError, ArithmeticError) as error:
            raise ParameterError(f"an argument is out of range: {error}") from None

    return call


def _small(value: int) -> int:
    """An integer SQLite can hold."""
    if not -INT_MAX - 1 <= value <= INT_MAX:
        raise OutOfRangeError("integer out of range")
    return value


# -- numbers --------------------------------------------------------------------------------------
def _int_divide(left: int, right: int) -> int:
    if right == 0:
        raise DivisionByZeroError("division by zero")
    quotient = abs(left) // abs(right)
    return _small(quotient if (left < 0) == (right < 0) else -quotient)


def _int_mod(left: int, right: int) -> int:
    if right == 0:
        return left
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _mod(left: Any, right: Any) -> str:
    a, b = to_decimal(left), to_decimal(right)
    return canonical(a if not b else numbers.WIDE.remainder(a, b))


def _power(base: Any, exponent: Any) -> str:
    a, b = to_decimal(base), to_decimal(exponent)
    if not a and b < 0:
        raise DivisionByZeroError("zero raised to a negative power")
    if a < 0 and b != b.to_integral_value():
        raise OutOfRangeError("a negative number raised to a fraction")
    if not a:
        return "1" if not b else "0"
    return canonical(EXACT.power(a, b))


def _sqrt(value: Any) -> str:
    number = to_decimal(value)
    if number < 0:
        raise OutOfRangeError("square root of a negative number")
    return canonical(EXACT.sqrt(number))


def _ln(value: Any) -> str:
    number = to_decimal(value)
    if number <= 0:
        raise OutOfRangeError("logarithm of a number that is not positive")
    return canonical(EXACT.ln(number))


def _log(base: Any, value: Any) -> str:
    a, b = to_decimal(base), to_decimal(value)
    if a <= 0 or b <= 0 or a == 1:
        raise OutOfRangeError("logarithm of a number that is not positive")
    if a == 10:
        return canonical(EXACT.log10(b))
    return canonical(EXACT.divide(EXACT.ln(b), EXACT.ln(a)))


def _compare_scale(value: int, from_scale: int, to_scale: int) -> int | float:
    """A scaled int at a smaller scale, for comparisons only: between two integers if inexact."""
    unit = numbers.POW10[from_scale - to_scale]
    whole, rest = divmod(value, unit)
    return whole + 0.5 if rest else int(whole)


def _compare_decimal(value: Any, to_scale: int) -> int | float:
    """The same for any NUMBER; out of reach becomes an infinity."""
    scaled = numbers.WIDE.scaleb(to_decimal(value), to_scale)
    if abs(scaled) >= 2**63:
        return math.inf if scaled > 0 else -math.inf
    whole = int(numbers.floor_decimal(scaled))
    return whole if whole == scaled else whole + 0.5


def _join_sum(high: int, low: int, scale: int) -> str:
    """SUM of scaled ints from the sums of their upper parts and lower 32 bits."""
    return numbers.from_scaled((high << 32) + low, scale)


def _average(total: Any, count: int) -> str | None:
    if not count:
        return None
    return canonical(EXACT.divide(to_decimal(total), Decimal(count)))


def _sign(value: Any) -> int:
    number = to_decimal(value)
    return (number > 0) - (number < 0)


def _bit(operation: str) -> Function:
    def call(left: Any, right: Any) -> int:
        a, b = int(to_decimal(left)), int(to_decimal(right))
        return _small(a & b if operation == "and" else a | b)

    return call


NUMBER_FUNCTIONS: dict[str, Function] = {
    "tg_dec": lambda value, scale: numbers.from_scaled(value, scale),
    "tg_fdec": lambda value: canonical(to_decimal(float(value))),
    "tg_float": lambda value: float(value),
    "tg_num": lambda text: canonical(to_decimal(text)),
    "tg_num_format": lambda text, model: canonical(number_formats.parse_number(text, model)),
    "tg_add": lambda a, b: canonical(EXACT.add(to_decimal(a), to_decimal(b))),
    "tg_sub": lambda a, b: canonical(EXACT.subtract(to_decimal(a), to_decimal(b))),
    "tg_mul": lambda a, b: canonical(EXACT.multiply(to_decimal(a), to_decimal(b))),
    "tg_div": lambda a, b: canonical(numbers.divide(to_decimal(a), to_decimal(b))),
    "tg_neg": lambda a: canonical(to_decimal(a).copy_negate()),
    "tg_mod": _mod,
    "tg_power": _power,
    "tg_sqrt": _sqrt,
    "tg_exp": lambda a: canonical(EXACT.exp(to_decimal(a))),
    "tg_ln": _ln,
    "tg_log": _log,
    "tg_abs": lambda a: canonical(to_decimal(a).copy_abs()),
    "tg_sign": _sign,
    "tg_floor": lambda a: canonical(numbers.floor_decimal(to_decimal(a))),
    "tg_ceil": lambda a: canonical(numbers.ceil_decimal(to_decimal(a))),
    "tg_round": lambda a, n: canonical(numbers.round_decimal(to_decimal(a), int(n))),
    "tg_trunc": lambda a, n: canonical(numbers.truncate_decimal(to_decimal(a), int(n))),
    "tg_rescale": lambda v, a, b: numbers.rescale_int(v, a, b),
    "tg_iadd": lambda a, b: _small(a + b),
    "tg_isub": lambda a, b: _small(a - b),
    "tg_imul": lambda a, b: _small(a * b),
    "tg_idiv": _int_divide,
    "tg_imod": _int_mod,
    "tg_cmp_scale": _compare_scale,
    "tg_cmp_dec": _compare_decimal,
    "tg_join_sum": _join_sum,
    "tg_avg": _average,
    "tg_bitand": _bit("and"),
    "tg_bitor": _bit("or"),
    "tg_num_char": lambda a, model: number_formats.number_to_char(to_decimal(a), model),
    "tg_width_bucket": lambda v, low, high, n: _width_bucket(v, low, high, n),
}


def _width_bucket(value: Any, low: Any, high: Any, count: Any) -> int:
    v, a, b, n = to_decimal(value), to_decimal(low), to_decimal(high), int(to_decimal(count))
    if n <= 0 or a == b:
        raise ParameterError("WIDTH_BUCKET needs a positive count and two different bounds")
    if (v < a) if a < b else (v > a):
        return 0
    if (v >= b) if a < b else (v <= b):
        return n + 1
    return (
        int(EXACT.divide(EXACT.multiply(EXACT.subtract(v, a), Decimal(n)), EXACT.subtract(b, a)))
        + 1
    )


# -- moments --------------------------------------------------------------------------------------
def _days_us(days: Any, scale: int) -> int:
    """A number of days (a scaled int, or decimal text with scale 0) → microseconds."""
    number = numbers.scaled_decimal(days, scale) if type(days) is int else to_decimal(days)
    us = int(numbers.round_decimal(EXACT.multiply(number, Decimal(DAY_US)), 0))
    if abs(us) > 2**61:
        raise DatetimeError("date out of range: year must be between 1 and 9999")
    return us


def _months_between(left: int, right: int) -> str:
    a_months, a_day, a_rest, a_last = datetimes.month_parts(left)
    b_months, b_day, b_rest, b_last = datetimes.month_parts(right)
    whole = a_months - b_months
    if a_day == b_day or (a_last and b_last):
        return str(whole)
    rest = Decimal((a_day - b_day) * DAY_US + a_rest - b_rest)
    part = EXACT.divide(rest, Decimal(31 * DAY_US))
    return canonical(EXACT.add(Decimal(whole), part))


def _moment_check(us: int, unit: int) -> int:
    return datetimes.check(us - us % unit)


MOMENT_FUNCTIONS: dict[str, Function] = {
    "tg_days_us": _days_us,
    "tg_us_days": lambda us: canonical(EXACT.divide(Decimal(us), Decimal(DAY_US))),
    "tg_moment": _moment_check,
    "tg_add_months": lambda us, n: datetimes.add_months(us, int(to_decimal(n))),
    "tg_months_between": _months_between,
    "tg_last_day": datetimes.last_day,
    "tg_next_day": datetimes.next_day,
    "tg_extract": datetimes.extract,
    "tg_date_trunc": datetimes.truncate,
    "tg_date_round": datetimes.round_moment,
    "tg_date_char": formats.moment_to_char,
    "tg_to_date": lambda text, model, today: formats.parse_moment(text, model, today_us=today),
    "tg_seconds": lambda us: canonical(EXACT.divide(Decimal(us), Decimal(1_000_000))),
    "tg_interval": lambda n, unit: _small(int(EXACT.multiply(to_decimal(n), Decimal(unit)))),
    "tg_months": lambda n, unit: _small(int(EXACT.multiply(to_decimal(n), Decimal(unit)))),
}


# -- types ----------------------------------------------------------------------------------------
@lru_cache(maxsize=1024)
def _cast_function(source: str, target: str) -> Function | None:
    return converter(type_of_code(source), type_of_code(target))


def _cast(value: Any, source: str, target: str) -> Any:
    """A storage value of one type as one of another (type codes); NULL for NULL."""
    if value is None:
        return None
    convert = _cast_function(source, target)
    return value if convert is None else convert(value)


@lru_cache(maxsize=1024)
def _text_function(code: str) -> Function:
    return text_of(type_of_code(code))


def _single_value(count: int) -> int:
    """Guard of a scalar subquery gathered at the coordinator."""
    if count > 1:
        raise CardinalityError("a subquery used as a value gave more than one row")
    return 1


TYPE_FUNCTIONS: dict[str, Function] = {
    "tg_text": lambda value, code: _text_function(code)(value) or None,
    "tg_single": _single_value,
}


@lru_cache(maxsize=4)
def _element_list(elements: str) -> tuple[int, ...]:
    return tuple(int(number) for number in elements.split(","))


def _element_of(elements: str, codes: str, *key: Any) -> int:
    """Element of a key; `elements`: of each bucket, separated by commas."""
    return _element_list(elements)[bucket_of_key(key, codes)]


TYPE_FUNCTIONS["tg_element_of"] = _element_of


# -- aggregates -----------------------------------------------------------------------------------
class DecimalSum:
    """SUM of NUMBERs kept as text; also as a window function."""

    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    def step(self, value: Any) -> None:
        if value is not None:
            self.total = numbers.WIDE.add(self.total, to_decimal(value))
            self.count += 1

    def inverse(self, value: Any) -> None:
        if value is not None:
            self.total = numbers.WIDE.subtract(self.total, to_decimal(value))
            self.count -= 1

    def value(self) -> str | None:
        """All digits: what is rounded to NUMBER's is the final sum, not a partial one."""
        return canonical_number(self.total) if self.count else None

    final = value


class Spread:
    """VARIANCE and STDDEV, sample and population; `mode`: "var_samp", "stddev_pop", …"""

    def __init__(self, mode: str, numbers_seen: list[Decimal] | None = None) -> None:
        self.mode = mode
        self.seen: list[Decimal] = numbers_seen or []

    def step(self, value: Any) -> None:
        if value is not None:
            self.seen.append(to_decimal(value))

    def inverse(self, value: Any) -> None:
        if value is not None:
            self.seen.remove(to_decimal(value))

    def value(self) -> str | None:
        count = len(self.seen)
        if not count:
            return None
        sample = not self.mode.endswith("pop")
        if sample and count == 1:
            return None if self.mode.endswith("samp") else "0"
        total = squares = Decimal(0)
        for x in self.seen:
            total = WIDE.add(total, x)
            squares = WIDE.add(squares, WIDE.multiply(x, x))
        # Σ(x - mean)² = Σx² - (Σx)²/n: exact but for the last division, whatever the order
        squares = WIDE.subtract(squares, WIDE.divide(WIDE.multiply(total, total), Decimal(count)))
        spread = EXACT.divide(squares, Decimal(count - 1 if sample else count))
        if self.mode.startswith("stddev"):
            spread = EXACT.sqrt(spread)
        return canonical(spread)

    final = value


class Median:
    """MEDIAN of NUMBERs: the middle one, or the mean of the two middle ones."""

    def __init__(self) -> None:
        self.seen: list[Decimal] = []

    def step(self, value: Any) -> None:
        if value is not None:
            self.seen.append(to_decimal(value))

    def inverse(self, value: Any) -> None:
        if value is not None:
            self.seen.remove(to_decimal(value))

    def value(self) -> str | None:
        if not self.seen:
            return None
        self.seen.sort()
        middle = len(self.seen) // 2
        if len(self.seen) % 2:
            return canonical(self.seen[middle])
        return canonical(
            EXACT.divide(EXACT.add(self.seen[middle - 1], self.seen[middle]), Decimal(2))
        )

    final = value


class SingleValue:
    """The one value of a scalar subquery; CardinalityError for a second row."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def step(self, value: Any) -> None:
        if self.seen:
            raise CardinalityError("a subquery used as a value gave more than one row")
        self.seen.append(value)

    def final(self) -> Any:
        return self.seen[0] if self.seen else None


SPREADS = ("variance", "var_samp", "var_pop", "stddev", "stddev_samp", "stddev_pop")


_STRICT = (
    NUMBER_FUNCTIONS,
    MOMENT_FUNCTIONS,
    TYPE_FUNCTIONS,
    STRING_FUNCTIONS,
    FLOAT_RUNTIME,
    MATH_RUNTIME,
    TEXT_RUNTIME,
    DATE_RUNTIME,
    ARRAY_RUNTIME,
    JSON_RUNTIME,
)
_NULLABLE = ({"tg_cast": _cast}, MATH_NULLABLE, TEXT_NULLABLE, ARRAY_NULLABLE, JSON_NULLABLE)


def _changed() -> None:
    raise RowChangedError(
        "a row was changed while the statement looked at other rows of its table",
        hint="Run it again.",
    )


def register(connection: Any) -> None:
    """Put everything on an apsw connection.

    The collation "decimal" comes from SQLite's own extension, loaded by storage; where it is
    missing (tests, scratch connections) a slower one is made here.
    """
    for table in _STRICT:
        for name, function in table.items():
            connection.create_scalar_function(name, strict(function), deterministic=True)
    for table in _NULLABLE:
        for name, function in table.items():
            connection.create_scalar_function(name, function, deterministic=True)
    for name, function in MATH_VOLATILE.items():
        connection.create_scalar_function(name, function, deterministic=False)
    connection.create_scalar_function("tg_changed", _changed, 0)  # data/sql/found_values.py
    connection.create_window_function("tg_dsum", DecimalSum, 1)
    for mode in SPREADS:
        connection.create_window_function(f"tg_{mode}", lambda mode=mode: Spread(mode), 1)
    connection.create_window_function("tg_median", Median, 1)
    connection.create_aggregate_function("tg_only", SingleValue, 1)
    window_functions.register(connection)
    register_aggregates(connection)
    connection.execute("PRAGMA case_sensitive_like = ON")
    if not any("decimal" in row for row in connection.execute("PRAGMA collation_list")):
        connection.create_collation("decimal", compare_decimals)


def compare_decimals(left: str, right: str) -> int:
    """Collation of canonical decimal texts."""
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)
