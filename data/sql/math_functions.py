"""Numeric functions beyond the everyday ones. Pure, but for the ones that make new values.

NUMBER functions are exact to 40 digits where the answer is a finite decimal and correct in 38
where it is not; the trigonometric ones work on floats.
"""

from __future__ import annotations

import math
import os
import uuid
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from xxhash import xxh64_intdigest

from data.distribution.keys import key_bytes
from data.sql.builders import BYTES, Builder, Entry, Runtime, fn
from data.sql.ir import Call, Expr
from data.sql.numbers import EXACT, WIDE, canonical, to_decimal
from data.sql.operators import settle, to_dec, to_float, to_number, to_text
from data.sql.type_codes import type_code, type_of_code
from protocol.errors import DivisionByZeroError, OutOfRangeError
from protocol.sqltypes import BIGINT, DOUBLE, FLOAT_KINDS, INTEGER, NUMBER, VARCHAR, Kind, SqlType

FACTORIAL_MAX = 83  # 84! is beyond NUMBER's 1E126


def remainder(left: Any, right: Any) -> str:
    """REMAINDER: left - right * n, n the nearest integer, of two the even one."""
    a, b = to_decimal(left), to_decimal(right)
    if not b:
        raise DivisionByZeroError("division by zero")
    quotient = WIDE.divide(a, b).to_integral_value(rounding=ROUND_HALF_EVEN)
    return canonical(WIDE.subtract(a, WIDE.multiply(b, quotient)))


def integer_divide(left: Any, right: Any) -> str:
    """div(a, b): the quotient cut to an integer."""
    b = to_decimal(right)
    if not b:
        raise DivisionByZeroError("division by zero")
    return canonical(WIDE.divide_int(to_decimal(left), b))


def cube_root(value: Any) -> str:
    """cbrt(x)."""
    number = to_decimal(value)
    if not number:
        return "0"
    root = EXACT.power(number.copy_abs(), EXACT.divide(Decimal(1), Decimal(3)))
    root = root.quantize(Decimal("1E-30"), context=WIDE) if root.adjusted() > -20 else root
    return canonical(root.copy_sign(number))


def factorial(value: Any) -> str:
    """n!"""
    number = int(to_decimal(value))
    if not 0 <= number <= FACTORIAL_MAX:
        raise OutOfRangeError(f"factorial of a number beyond 0 to {FACTORIAL_MAX}")
    return canonical(Decimal(math.factorial(number)))


def hash_of(codes: str, *values: Any) -> int:
    """TT_HASH: 64 bits, equal for what compares equal; NULLs count as empty."""
    types = [type_of_code(code) for code in codes.split(",")]
    parts = [
        b"" if value is None else key_bytes((value,), (type_,))
        for value, type_ in zip(values, types, strict=True)
    ]
    number: int = xxh64_intdigest(b"".join(b"%d:%b" % (len(p), p) for p in parts))
    return number - 2**64 if number >= 2**63 else number


def new_guid() -> bytes:
    """SYS_GUID: 16 random bytes."""
    return os.urandom(16)


def new_uuid() -> str:
    """gen_random_uuid()."""
    return str(uuid.uuid4())


def shift_left(value: int, by: int) -> int:
    """value << by within 64 bits, as PostgreSQL."""
    moved = (value << (by % 64)) & (2**64 - 1)
    return moved - 2**64 if moved >= 2**63 else moved


def bit_xor(left: Any, right: Any) -> int:
    """BITXOR within 64 bits."""
    found = int(to_decimal(left)) ^ int(to_decimal(right))
    if not -(2**63) <= found < 2**63:
        raise OutOfRangeError("integer out of range")
    return found


MATH_RUNTIME: Runtime = {
    "tg_remainder": remainder,
    "tg_int_divide": integer_divide,
    "tg_cbrt": cube_root,
    "tg_factorial": factorial,
    "tg_gcd": lambda a, b: math.gcd(a, b),
    "tg_lcm": lambda a, b: math.lcm(a, b),
    "tg_shift_left": shift_left,
    "tg_bitxor": bit_xor,
    "tg_min_scale": lambda a: max(-to_decimal(a).as_tuple().exponent, 0),  # type: ignore[operator]
}
MATH_NULLABLE: Runtime = {"tg_hash": hash_of}
MATH_VOLATILE: Runtime = {"tg_guid": new_guid, "tg_uuid": new_uuid}


def by_representation(number: str, single: str) -> Builder:
    """`number` for NUMBERs, `single` where an argument is a float."""

    def build(args: list[Expr]) -> Expr:
        typed = [to_number(settle(a, NUMBER)) for a in args]
        marks = ", ".join(f"{{{i}}}" for i in range(len(typed)))
        if any(e.type.kind in FLOAT_KINDS for e in typed):
            return Call(f"{single}({marks})", tuple(to_float(e) for e in typed), DOUBLE)
        return Call(f"{number}({marks})", tuple(to_dec(e) for e in typed), NUMBER)

    return build


def _hash(args: list[Expr]) -> Expr:
    settled = (settle(a, VARCHAR) for a in args)
    values = tuple(to_text(v) if v.type.kind is Kind.ARRAY else v for v in settled)
    codes = ",".join(type_code(v.type) for v in values)
    marks = "".join(f", {{{i}}}" for i in range(len(values)))
    return Call(f"tg_hash('{codes}'{marks})", values, BIGINT)


def _trigonometric(text: str, arguments: int = 1) -> Entry:
    def build(args: list[Expr]) -> Expr:
        typed = tuple(to_float(to_number(settle(a, NUMBER))) for a in args)
        return Call(text, typed, DOUBLE)

    return arguments, arguments, build


_UUID = SqlType(Kind.UUID)
MATH_CALLS: dict[str, Entry] = {
    "REMAINDER": (2, 2, by_representation("tg_remainder", "tg_fremainder")),
    "BITXOR": fn("tg_bitxor", "nn", BIGINT),
    "BITNOT": fn("(~{0})", "i", BIGINT),
    "BIT_SHIFT_LEFT": fn("tg_shift_left", "ii", BIGINT),
    "BIT_SHIFT_RIGHT": fn("({0} >> ({1} & 63))", "ii", BIGINT),
    "TT_HASH": (1, 32, _hash),
    "SYS_GUID": fn("tg_guid()", "", BYTES, volatile=True),
    "ATAN2": _trigonometric("atan2({0}, {1})", 2),
    "COT": _trigonometric("(1.0 / tan({0}))"),
    "ASINH": _trigonometric("asinh({0})"),
    "ACOSH": _trigonometric("acosh({0})"),
    "ATANH": _trigonometric("atanh({0})"),
    "PI": _trigonometric("pi()", 0),
    # PostgreSQL
    "DIV": fn("tg_int_divide", "nn", NUMBER),
    "GCD": fn("tg_gcd", "ii", BIGINT),
    "LCM": fn("tg_lcm", "ii", BIGINT),
    "CBRT": fn("tg_cbrt", "n", NUMBER),
    "FACTORIAL": fn("tg_factorial", "n", NUMBER),
    "LOG10": fn("tg_log('10', {0})", "n", NUMBER),
    "SCALE": fn("tg_min_scale", "n", INTEGER),
    "MIN_SCALE": fn("tg_min_scale", "n", INTEGER),
    "GEN_RANDOM_UUID": fn("tg_uuid()", "", _UUID, volatile=True),
    "UUID_GENERATE_V4": fn("tg_uuid()", "", _UUID, volatile=True),
}
