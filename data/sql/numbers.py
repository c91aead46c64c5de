"""Oracle NUMBER arithmetic over canonical decimal text, and scaled integers. Pure."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    InvalidOperation,
)
from functools import lru_cache

from protocol.errors import DivisionByZeroError, InvalidTextError, OutOfRangeError
from protocol.sqltypes import Kind, SqlType, canonical_number

EXACT = Context(prec=120, rounding=ROUND_HALF_UP, Emax=400, Emin=-400, traps=[])
WIDE = Context(prec=400, rounding=ROUND_HALF_UP, Emax=999, Emin=-999, traps=[])
_ROUND_40 = Context(prec=40, rounding=ROUND_HALF_UP, Emax=999, Emin=-999, traps=[])
_ROUND_39 = Context(prec=39, rounding=ROUND_HALF_UP, Emax=999, Emin=-999, traps=[])
_LIMIT = Decimal("1E126")
_TINY = Decimal("1E-130")
_INT_RANGES = {
    Kind.TINYINT: (0, 255),
    Kind.SMALLINT: (-(2**15), 2**15 - 1),
    Kind.INTEGER: (-(2**31), 2**31 - 1),
    Kind.BIGINT: (-(2**63), 2**63 - 1),
}
POW10 = tuple(10**i for i in range(60))

Number = int | float | str


def to_decimal(value: object) -> Decimal:
    """Any stored or written number → Decimal. Raises InvalidTextError."""
    if type(value) is str:
        try:
            return Decimal(value.strip())
        except InvalidOperation:
            raise InvalidTextError(f'invalid number: "{value}"') from None
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return Decimal(repr(value))
    if type(value) is Decimal:
        return value
    raise InvalidTextError("invalid number")


def rounded(value: Decimal) -> Decimal:
    """Rounded to Oracle's 20 base-100 digits: 39 or 40 decimal ones."""
    if len(value.as_tuple().digits) <= 38:
        return value
    even = (value.adjusted() + 1) % 2 == 0
    return (_ROUND_40 if even else _ROUND_39).plus(value)


def canonical(value: Decimal) -> str:
    """Text of a NUMBER: rounded to Oracle's 20 base-100 digits (39 or 40 decimal ones).

    Raises OutOfRangeError beyond 1E126.
    """
    value = rounded(value)
    if value.is_nan():
        raise OutOfRangeError("NaN is not a NUMBER")
    if not value.is_finite() or value.copy_abs() >= _LIMIT:
        raise OutOfRangeError("numeric overflow")
    if value and value.copy_abs() < _TINY:
        return "0"
    return canonical_number(value)


def from_scaled(value: int, scale: int) -> str:
    """Scaled integer → canonical text."""
    if scale == 0:
        return str(value)
    if value < 0:
        return "-" + from_scaled(-value, scale)
    whole, rest = divmod(value, POW10[scale])
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{scale}d}".rstrip("0")


def scaled_decimal(value: int, scale: int) -> Decimal:
    """Scaled integer → Decimal."""
    return Decimal(value).scaleb(-scale, WIDE)


def divide(left: Decimal, right: Decimal) -> Decimal:
    """NUMBER division. Raises DivisionByZeroError."""
    if not right:
        raise DivisionByZeroError("division by zero")
    return EXACT.divide(left, right)


def rescale_int(value: int, from_scale: int, to_scale: int) -> int:
    """Scaled integer to another scale, half away from zero."""
    if to_scale >= from_scale:
        return value * int(POW10[to_scale - from_scale])
    unit = int(POW10[from_scale - to_scale])
    if value >= 0:
        return (value + unit // 2) // unit
    return -((-value + unit // 2) // unit)


def round_decimal(value: Decimal, digits: int, mode: str = ROUND_HALF_UP) -> Decimal:
    """`value` with `digits` digits after the point (negative: before)."""
    if digits > 130 or value.as_tuple().exponent >= -digits:  # type: ignore[operator]
        return value
    return value.quantize(Decimal(1).scaleb(-digits), rounding=mode, context=WIDE)


def truncate_decimal(value: Decimal, digits: int) -> Decimal:
    """Cut to `digits` digits after the point."""
    return round_decimal(value, digits, ROUND_DOWN)


def floor_decimal(value: Decimal) -> Decimal:
    """Largest integer not above."""
    return value.to_integral_value(rounding=ROUND_FLOOR)


def ceil_decimal(value: Decimal) -> Decimal:
    """Smallest integer not below."""
    return value.to_integral_value(rounding=ROUND_CEILING)


def store_decimal(value: Decimal, target: SqlType) -> Number:
    """A number as storage value of a numeric type: rounded, range checked (OutOfRangeError)."""
    kind = target.kind
    if kind in _INT_RANGES:
        whole = int(value.to_integral_value(rounding=ROUND_HALF_UP)) if value.is_finite() else 2**80
        low, high = _INT_RANGES[kind]
        if not low <= whole <= high:
            raise OutOfRangeError(f"value out of range for type {_type_name(target)}")
        return whole
    if kind is not Kind.NUMBER:
        return float(value)
    if not value.is_finite():
        raise OutOfRangeError("not a number that NUMBER can hold")
    if not target.precision:
        return canonical(value)
    rounded = round_decimal(value, target.scale)
    if rounded.copy_abs() >= Decimal(1).scaleb(target.precision - target.scale, WIDE):
        raise OutOfRangeError(
            f"value larger than specified precision allowed for type {_type_name(target)}"
        )
    if target.is_scaled:
        return int(rounded.scaleb(target.scale, WIDE))
    return canonical_number(rounded)


def store_int(value: int, scale: int, target: SqlType) -> Number:
    """A scaled integer as storage value of a numeric type; the quick form of store_decimal."""
    kind = target.kind
    if kind in _INT_RANGES:
        whole = rescale_int(value, scale, 0) if scale else value
        low, high = _INT_RANGES[kind]
        if not low <= whole <= high:
            raise OutOfRangeError(f"value out of range for type {_type_name(target)}")
        return whole
    if target.is_scaled:
        result = rescale_int(value, scale, target.scale)
        if -POW10[target.precision] < result < POW10[target.precision]:
            return result
        raise OutOfRangeError(
            f"value larger than specified precision allowed for type {_type_name(target)}"
        )
    return store_decimal(scaled_decimal(value, scale), target)


@lru_cache(maxsize=64)
def _type_name(target: SqlType) -> str:
    from data.sql.type_names import type_text

    return type_text(target)
