"""Exact decimals on the wire: text and PostgreSQL's base-10000 binary form, integers only.

A number is handled as `(units, scale)`: the value is units / 10**scale. Nothing here passes through
binary floating point.
"""

from __future__ import annotations

import struct
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from protocol.errors import InvalidTextError, OutOfRangeError
from protocol.sqltypes import canonical_number

PRECISION_MAX = 38  # significant digits of NUMBER
EXPONENT_MAX = 126  # |value| < 10**126
EXPONENT_MIN = -130  # smaller values are zero

_POSITIVE, _NEGATIVE = 0x0000, 0x4000
_HEAD = struct.Struct("!HhHH")  # digit count, weight, sign, display scale
_PACKERS = tuple(struct.Struct(f"!HhHH{count}H").pack for count in range(12))
_BASE = 10_000
_POWERS = tuple(10**n for n in range(64))
_CONTEXT = Context(prec=PRECISION_MAX, rounding=ROUND_HALF_UP)
_GROUPS_MAX = 1000  # base-10000 digits of a binary numeric; more are refused before any work
_DIGITS_MAX = 600  # decimal digits that are looked at; far more than can matter to a NUMBER
_LONG = Context(prec=_DIGITS_MAX, rounding=ROUND_HALF_UP)


def scaled_to_text(units: int, scale: int) -> str:
    """A scaled integer as text with exactly `scale` digits after the point."""
    digits = str(units)
    if scale == 0:
        return digits
    if len(digits) > scale + 1:  # a digit before the point, also behind a sign
        return f"{digits[:-scale]}.{digits[-scale:]}"
    whole, part = divmod(abs(units), _POWERS[scale])
    sign = "-" if units < 0 else ""
    return f"{sign}{whole}.{part:0{scale}d}"


def encode_numeric(units: int, scale: int) -> bytes:
    """PostgreSQL's binary numeric of units / 10**scale, display scale `scale`."""
    if units == 0:
        return _HEAD.pack(0, 0, _POSITIVE, scale)
    sign = _POSITIVE
    if units < 0:
        sign, units = _NEGATIVE, -units
    pad = -scale % 4
    units *= _POWERS[pad]
    weight = -((scale + pad) // 4)  # of the last digit
    while units % _BASE == 0:
        units //= _BASE
        weight += 1
    digits = []
    while units:
        units, digit = divmod(units, _BASE)
        digits.append(digit)
    digits.reverse()
    count = len(digits)
    pack = _PACKERS[count] if count < len(_PACKERS) else struct.Struct(f"!HhHH{count}H").pack
    return pack(count, weight + count - 1, sign, scale, *digits)


def decode_numeric(data: bytes) -> tuple[int, int]:
    """A binary numeric as (units, scale). Raises InvalidTextError, OutOfRangeError (NaN,
    infinite)."""
    if len(data) < 8:
        raise InvalidTextError("binary numeric is too short")
    count, weight, sign, _ = _HEAD.unpack_from(data)
    if len(data) != 8 + 2 * count:
        raise InvalidTextError("binary numeric has a wrong length")
    if sign not in (_POSITIVE, _NEGATIVE):
        raise OutOfRangeError("NaN and infinity are not values of NUMBER")
    if count > _GROUPS_MAX or weight * 4 > EXPONENT_MAX + 4:
        raise OutOfRangeError("number is out of range")
    if weight * 4 < -_DIGITS_MAX:  # nothing that any type could show
        return 0, 0
    units = 0
    for digit in struct.unpack_from(f"!{count}H", data, 8):
        if digit >= _BASE:
            raise InvalidTextError("binary numeric has an invalid digit")
        units = units * _BASE + digit
    if sign == _NEGATIVE:
        units = -units
    scale = (count - 1 - weight) * 4
    if scale < 0:
        return units * 10**-scale, 0
    return units, scale


def text_to_units(text: str) -> tuple[int, int]:
    """Decimal text (as PostgreSQL accepts it) as (units, scale). Raises as parse_decimal does."""
    value = parse_decimal(text)
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # finite
    units = int("".join(map(str, digits)))
    if sign:
        units = -units
    if exponent > 0:
        return units * 10**exponent, 0
    return units, -exponent


def parse_decimal(text: str) -> Decimal:
    """Decimal text as a finite Decimal. Raises InvalidTextError, OutOfRangeError."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise InvalidTextError(f'invalid input syntax for type NUMBER: "{text[:60]}"') from None
    if "_" in text:
        raise InvalidTextError(f'invalid input syntax for type NUMBER: "{text[:60]}"')
    if not value.is_finite():
        raise OutOfRangeError("NaN and infinity are not values of NUMBER")
    if not value or value.adjusted() < EXPONENT_MIN:
        return Decimal(0)  # also 0e999999999, whose digits nobody should write out
    if value.adjusted() >= EXPONENT_MAX:
        raise OutOfRangeError("number is out of range")
    return value if len(text) <= _DIGITS_MAX else _LONG.plus(value)


def canonical_from_units(units: int, scale: int) -> str:
    """units / 10**scale as canonical text, rounded to 38 digits. Raises OutOfRangeError."""
    value = _CONTEXT.create_decimal(Decimal(units)) if scale == 0 else _shifted(units, scale)
    return canonical_from_decimal(value)


def _shifted(units: int, scale: int) -> Decimal:
    sign, digits, _ = Decimal(units).as_tuple()
    return _CONTEXT.create_decimal(Decimal((sign, digits, -scale)))


def canonical_from_decimal(value: Decimal) -> str:
    """A finite Decimal as canonical text, rounded to 38 digits. Raises OutOfRangeError."""
    rounded = _CONTEXT.create_decimal(value)
    if rounded and rounded.adjusted() >= EXPONENT_MAX:
        raise OutOfRangeError("number is out of range")
    if rounded and rounded.adjusted() < EXPONENT_MIN:
        return "0"
    return canonical_number(rounded)


def rescale(units: int, scale: int, wanted: int) -> int:
    """The units at another scale, half rounded away from zero."""
    if scale <= wanted:
        return units * int(10 ** (wanted - scale))
    divisor = int(10 ** (scale - wanted))
    whole, part = divmod(abs(units), divisor)
    if 2 * part >= divisor:
        whole += 1
    return -whole if units < 0 else whole


def canonical_to_units(text: str) -> tuple[int, int]:
    """Canonical number text (a storage value) as (units, scale)."""
    whole, point, part = text.partition(".")
    if not point:
        return int(whole), 0
    return int(whole + part), len(part)
