"""Values while a block runs, and the operators on them. Pure.

NUMBER: int while it is whole, else Decimal; BINARY_DOUBLE: float, BINARY_FLOAT: Single; BOOLEAN:
bool; texts: str, never empty (that is NULL), those of CHAR: Padded; RAW: bytes; dates and
intervals: Moment; NULL: None.
Strings meet numbers and dates as in Oracle: they are converted to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from data.plsql import floats
from data.plsql.errors import predefined
from data.plsql.floats import Single
from data.sql import convert, datetimes, numbers
from data.sql.floats import SINGLE
from data.sql.single import double_value
from protocol.sqltypes import (
    BOOLEAN,
    DATE,
    DOUBLE,
    FLOAT_KINDS,
    MICROSECOND_KINDS,
    NUMBER,
    VARCHAR,
    Kind,
    SqlType,
    StorageValue,
    canonical_number,
)

Value = Any

ARITHMETIC = Context(prec=40, rounding=ROUND_HALF_UP, Emax=400, Emin=-400, traps=[])
DAY_US = 86_400_000_000
_SPAN = SqlType(Kind.INTERVAL_DS)
_RAW = SqlType(Kind.VARBINARY)
_CHAR = SqlType(Kind.CHAR)
_LIMIT = Decimal("1E126")
_BIG = 10**126


class Padded(str):
    """Text of a CHAR variable: blanks at its end do not count in comparisons."""

    __slots__ = ()


class Moment:
    """A date, timestamp, time or interval: `at` is its storage value, `type` its SqlType."""

    __slots__ = ("at", "type")

    def __init__(self, at: int, type_: SqlType) -> None:
        self.at = at
        self.type = type_

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and self.at == other.at

    def __hash__(self) -> int:
        return hash(self.at)

    def __lt__(self, other: Moment) -> bool:
        return self.at < other.at

    def __le__(self, other: Moment) -> bool:
        return self.at <= other.at

    @property
    def is_span(self) -> bool:
        """An interval."""
        return self.type.kind in (Kind.INTERVAL_DS, Kind.INTERVAL_YM)


# -- to and from storage ---------------------------------------------------------------------------
def to_storage(value: Value) -> tuple[SqlType, StorageValue]:
    """Type and storage value, to bind it in SQL. Raises VALUE_ERROR for what SQL has not."""
    kind = type(value)
    if value is None:
        return VARCHAR, None
    if kind is int or kind is Decimal:
        return NUMBER, text_of_number(value)
    if kind is str:
        return VARCHAR, value
    if kind is Moment:
        return value.type, value.at
    if kind is bool:
        return BOOLEAN, int(value)
    if kind is float:
        return DOUBLE, double_value(value)
    if kind is Single:
        return SINGLE, double_value(value)
    if kind is Padded:
        return _CHAR, value.rstrip(" ") or None
    if kind is bytes:
        return _RAW, value
    raise predefined("VALUE_ERROR", ": a record or collection has no place in SQL here")


@lru_cache(maxsize=1024)
def reader(type_: SqlType) -> Callable[[StorageValue], Value]:
    """How a storage value of a type becomes a value."""
    kind = type_.kind
    scale = convert.int_scale(type_)
    if scale is not None:
        return _plain if not scale else lambda v: None if v is None else whole(_scaled(v, scale))
    if kind is Kind.NUMBER:
        return lambda v: None if v is None else _number(v)
    if kind in FLOAT_KINDS:
        return floats.loaded_single if kind is Kind.BINARY_FLOAT else floats.loaded
    if kind in (Kind.CHAR, Kind.NCHAR):
        length = type_.length
        return lambda v: None if v is None else Padded(str(v).ljust(length))
    if kind is Kind.BOOLEAN:
        return lambda v: None if v is None else bool(v)
    if kind in MICROSECOND_KINDS or kind in (Kind.TT_TIME, Kind.INTERVAL_DS, Kind.INTERVAL_YM):
        return lambda v: None if v is None else Moment(v, type_)  # type: ignore[arg-type]
    return _plain


def _plain(value: StorageValue) -> Value:
    return value


def _scaled(value: Any, scale: int) -> Decimal:
    return Decimal(value).scaleb(-scale)


def _number(value: Any) -> int | Decimal:
    if type(value) is int:
        return value
    return whole(Decimal(value))


def whole(value: Decimal) -> int | Decimal:
    """An int if it is one."""
    if not value.is_finite() or value.copy_abs() >= _LIMIT:
        raise predefined("VALUE_ERROR", ": number precision too large")
    as_int = int(value)
    return as_int if as_int == value else value


# -- texts -----------------------------------------------------------------------------------------
def text_of_number(value: int | Decimal) -> str:
    """Canonical text of a NUMBER: 40 digits at most, no exponent."""
    if type(value) is int:
        if -(10**38) < value < 10**38:
            return str(value)
        value = Decimal(value)
    return canonical_number(ARITHMETIC.plus(value))


def text(value: Value) -> str | None:
    """A value as text, as SQL would show it; None for NULL."""
    kind = type(value)
    if value is None or isinstance(value, str):
        return value
    if kind is int or kind is Decimal:
        return text_of_number(value)
    if kind is bool:
        return "TRUE" if value else "FALSE"
    if kind is Moment:
        return convert.text_of(value.type)(value.at)
    if kind is float:
        return convert.float_text(value)
    if kind is Single:
        return convert.single_text(value)
    if kind is bytes:
        return str(value.hex().upper())
    raise predefined("VALUE_ERROR", ": a record or collection is no text")


# -- conversions -----------------------------------------------------------------------------------
def number(value: Value) -> Any:
    """A value as number: texts are converted. None stays None. Raises VALUE_ERROR."""
    kind = type(value)
    if kind is int or kind is Decimal or value is None or kind is float or kind is Single:
        return value
    if kind is str or kind is Padded:
        try:
            return whole(Decimal(value.strip()))
        except InvalidOperation:
            raise predefined("VALUE_ERROR", ": character to number conversion error") from None
    raise predefined("VALUE_ERROR", ": not a number")


def moment(value: Value) -> Moment | None:
    """A value as date: texts are read. Raises VALUE_ERROR, or what is wrong with the text."""
    if isinstance(value, Moment) or value is None:
        return value
    if isinstance(value, str):
        at = datetimes.parse_moment(value)
        return Moment(at, DATE if at % 1_000_000 == 0 else SqlType(Kind.TIMESTAMP, precision=6))
    raise predefined("VALUE_ERROR", ": not a date")


def truth(value: Value) -> bool | None:
    """A condition. Raises VALUE_ERROR unless it is BOOLEAN."""
    if value is None or type(value) is bool:
        return value
    raise predefined("VALUE_ERROR", ": not a boolean")


# -- operators -------------------------------------------------------------------------------------
def add(a: Value, b: Value) -> Value:
    """a + b."""
    if type(a) is int and type(b) is int:
        return a + b
    if a is None or b is None:
        return None
    if type(a) is Moment or type(b) is Moment:
        return _add_moment(a, b) if type(a) is Moment else _add_moment(b, a)
    return _arithmetic("add", number(a), number(b))


def subtract(a: Value, b: Value) -> Value:
    """a - b."""
    if type(a) is int and type(b) is int:
        return a - b
    if a is None or b is None:
        return None
    if type(a) is Moment:
        if type(b) is Moment and not (b.is_span and not a.is_span):
            return _between(a, b)
        return _add_moment(a, negate(b))
    return _arithmetic("subtract", number(a), number(b))


def multiply(a: Value, b: Value) -> Value:
    """a * b."""
    if type(a) is int and type(b) is int:
        return _product(a, b)
    if a is None or b is None:
        return None
    if type(a) is Moment or type(b) is Moment:
        span, factor = (a, b) if type(a) is Moment else (b, a)
        return Moment(int(span.at * Decimal(number(factor))), span.type)
    return _arithmetic("multiply", number(a), number(b))


def divide(a: Value, b: Value) -> Value:
    """a / b. Raises ZERO_DIVIDE."""
    if a is None or b is None:
        return None
    if type(a) is Moment:
        return Moment(int(Decimal(a.at) / Decimal(number(b))), a.type)
    a, b = number(a), number(b)
    if isinstance(a, float) or isinstance(b, float):
        return floats.computed("tg_fdiv", a, b)
    if not b:
        raise predefined("ZERO_DIVIDE")
    if type(a) is int and type(b) is int and not a % b:
        return a // b
    return whole(numbers.rounded(numbers.EXACT.divide(Decimal(a), Decimal(b))))


def modulo(a: Value, b: Value) -> Value:
    """MOD: the sign is that of a; MOD(a, 0) is a."""
    a, b = number(a), number(b)
    if a is None or b is None:
        return None
    if not b:
        return a
    if type(a) is int and type(b) is int:
        rest = abs(a) % abs(b)
        return rest if a >= 0 else -rest
    if isinstance(a, float) or isinstance(b, float):
        return floats.computed("tg_fmod", a, b)
    return whole(numbers.rounded(numbers.WIDE.remainder(Decimal(a), Decimal(b))))


def power(a: Value, b: Value) -> Value:
    """a ** b."""
    a, b = number(a), number(b)
    if a is None or b is None:
        return None
    if type(a) is int and type(b) is int and 0 <= b <= 10_000:
        if a and b * len(str(abs(a))) > 400:
            raise predefined("VALUE_ERROR", ": number precision too large")
        return whole(Decimal(a**b))
    if isinstance(a, float) or isinstance(b, float):
        return floats.computed("tg_fpower", a, b)
    return whole(numbers.rounded(numbers.EXACT.power(Decimal(a), Decimal(b))))


def negate(value: Value) -> Value:
    """-value."""
    if type(value) is Moment:
        return Moment(-value.at, value.type)
    value = number(value)
    if isinstance(value, float):
        return floats.negated(value)
    return None if value is None else -value


def concat(a: Value, b: Value) -> Value:
    """a || b: NULL is nothing."""
    if type(a) is str and type(b) is str:
        return a + b
    return (text(a) or "") + (text(b) or "") or None


_OF_FLOATS = {"add": "tg_fadd", "subtract": "tg_fsub", "multiply": "tg_fmul"}


def _arithmetic(operation: str, a: Any, b: Any) -> Value:
    if isinstance(a, float) or isinstance(b, float):
        return floats.computed(_OF_FLOATS[operation], a, b)
    result = getattr(numbers.EXACT, operation)(Decimal(a), Decimal(b))
    return whole(numbers.rounded(result))


def _add_moment(at: Moment, more: Value) -> Moment:
    if isinstance(more, Moment):
        if at.is_span and not more.is_span:
            at, more = more, at
        if more.type.kind is Kind.INTERVAL_YM:
            if at.is_span:
                return Moment(at.at + more.at, at.type)
            return Moment(datetimes.add_months(at.at, more.at), at.type)
        return Moment(_checked(at, at.at + more.at), at.type)
    days = Decimal(number(more)) * DAY_US
    type_ = at.type
    moved = at.at + int(days.to_integral_value(rounding=ROUND_HALF_UP))
    if type_.kind is Kind.DATE:
        moved -= moved % 1_000_000
    return Moment(_checked(at, moved), type_)


def _checked(at: Moment, us: int) -> int:
    return us if at.is_span else datetimes.check(us)


def _between(a: Moment, b: Moment) -> Value:
    """Dates: days; timestamps and intervals: an interval."""
    if a.type.kind in (Kind.DATE, Kind.TT_DATE) and b.type.kind in (Kind.DATE, Kind.TT_DATE):
        days = numbers.EXACT.divide(Decimal(a.at - b.at), Decimal(DAY_US))
        return whole(numbers.rounded(days))
    return Moment(a.at - b.at, a.type if a.is_span else _SPAN)


# -- comparisons -----------------------------------------------------------------------------------
def _pair(a: Value, b: Value) -> tuple[Any, Any]:
    """Two values, neither NULL, of types that can be compared. Raises VALUE_ERROR."""
    kind, other = type(a), type(b)
    if isinstance(a, float) or isinstance(b, float):
        return floats.comparable(number(a), number(b))
    if kind is Padded or other is Padded:
        if isinstance(a, str) and isinstance(b, str):
            return a.rstrip(" "), b.rstrip(" ")
    elif kind is other:
        return a, b
    if kind is Moment or other is Moment:
        return moment(a), moment(b)
    if kind is bool or other is bool or kind is bytes or other is bytes:
        if kind is bytes and isinstance(b, str):
            return a.hex().upper(), b.upper()
        if other is bytes and isinstance(a, str):
            return a.upper(), b.hex().upper()
        raise predefined("VALUE_ERROR", ": these types cannot be compared")
    if isinstance(a, str) and isinstance(b, str):
        return a, b
    return number(a), number(b)


def equal(a: Value, b: Value) -> bool | None:
    """a = b."""
    if a is None or b is None:
        return None
    if type(a) is type(b) and type(a) is not Padded and not isinstance(a, float):
        return bool(a == b)
    a, b = _pair(a, b)
    return bool(a == b)


def unequal(a: Value, b: Value) -> bool | None:
    """a <> b."""
    same = equal(a, b)
    return None if same is None else not same


def less(a: Value, b: Value) -> bool | None:
    """a < b."""
    if type(a) is int and type(b) is int:
        return a < b
    if a is None or b is None:
        return None
    a, b = _pair(a, b)
    return bool(a < b)


def less_equal(a: Value, b: Value) -> bool | None:
    """a <= b."""
    if type(a) is int and type(b) is int:
        return a <= b
    if a is None or b is None:
        return None
    a, b = _pair(a, b)
    return bool(a <= b)


def greater(a: Value, b: Value) -> bool | None:
    """a > b."""
    return less(b, a)


def greater_equal(a: Value, b: Value) -> bool | None:
    """a >= b."""
    return less_equal(b, a)


def like(value: Value, pattern: Value, escape: Value = None) -> bool | None:
    """value LIKE pattern [ESCAPE escape]. Raises VALUE_ERROR."""
    value, pattern = text(value), text(pattern)
    if value is None or pattern is None:
        return None
    return _like_pattern(pattern, text(escape) or "").fullmatch(value) is not None


@lru_cache(maxsize=256)
def _like_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        mark = pattern[at]
        if escape and mark == escape:
            at += 1
            if at == len(pattern):
                raise predefined("VALUE_ERROR", ": the pattern ends with its escape character")
            parts.append(re.escape(pattern[at]))
        else:
            parts.append({"%": ".*", "_": "."}.get(mark) or re.escape(mark))
        at += 1
    return re.compile("".join(parts), re.DOTALL)


OPERATORS: dict[str, Callable[[Value, Value], Value]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "**": power,
    "MOD": modulo,
    "REM": modulo,
    "||": concat,
    "=": equal,
    "<>": unequal,
    "<": less,
    "<=": less_equal,
    ">": greater,
    ">=": greater_equal,
}


def _product(a: int, b: int) -> Value:
    result = a * b
    if -_BIG < result < _BIG:
        return result
    raise predefined("VALUE_ERROR", ": number precision too large")
