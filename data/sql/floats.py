"""BINARY_FLOAT and BINARY_DOUBLE: IEEE 754 arithmetic with infinities and NaN. Pure.

SQLite turns NaN into NULL. So NaN is kept as the text "NaN", which SQLite orders behind every
number and finds equal to itself: Oracle's rules. A BINARY_FLOAT is a float of 32 bits in 64.
"""

from __future__ import annotations

import math
from typing import Any

from data.sql.builders import Entry, Runtime
from data.sql.ir import ConstExpr, Expr
from data.sql.operators import call, cast, settle, to_float, to_number, unify
from data.sql.single import NAN, double_value, single
from protocol.sqltypes import BOOLEAN, DOUBLE, FLOAT_KINDS, NUMBER, Kind, SqlType

SINGLE = SqlType(Kind.BINARY_FLOAT)


def divide(left: Any, right: Any) -> float | str:
    """left / right; a zero gives an infinity, or NaN for 0/0."""
    a, b = float(left), float(right)
    if b:
        return double_value(a / b)
    if not a or a != a:
        return NAN
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def multiply(left: Any, right: Any) -> float | str:
    """left * right."""
    return double_value(float(left) * float(right))


def remainder(left: Any, right: Any) -> float | str:
    """REMAINDER: left - right * n, n the nearest integer (an even one of two)."""
    a, b = float(left), float(right)
    if not b or math.isinf(a) or a != a or b != b:
        return NAN
    return math.remainder(a, b)


def modulo(left: Any, right: Any) -> float | str:
    """MOD: the sign is that of `left`; MOD(x, 0) is x."""
    a, b = float(left), float(right)
    if a != a or b != b or math.isinf(a):
        return NAN
    return math.fmod(a, b) if b else a


def compute(function: Any) -> Any:
    """A function of the library for floats, undefined places giving NaN or an infinity."""

    def call_it(*args: Any) -> float | str:
        try:
            return double_value(function(*(float(a) for a in args)))
        except ValueError:
            return NAN
        except OverflowError:
            return math.inf

    return call_it


FLOAT_RUNTIME: Runtime = {
    "tg_fadd": lambda a, b: double_value(float(a) + float(b)),
    "tg_fsub": lambda a, b: double_value(float(a) - float(b)),
    "tg_fmul": multiply,
    "tg_fdiv": divide,
    "tg_fmod": modulo,
    "tg_fremainder": remainder,
    "tg_fneg": lambda a: double_value(-float(a)),
    "tg_f32": single,
    "tg_fsqrt": compute(math.sqrt),
    "tg_fpower": compute(math.pow),
    "tg_fexp": compute(math.exp),
    "tg_fln": compute(math.log),
}


def _constant(value: float | str, type_: SqlType) -> Entry:
    return 0, 0, lambda _args: ConstExpr(value, type_)


def _nanvl(args: list[Expr]) -> Expr:
    """NANVL(value, instead): `instead` where the value is NaN."""
    value, instead = (to_number(settle(a, NUMBER)) for a in args)
    if value.type.kind not in FLOAT_KINDS:
        return value
    (value, instead), type_ = unify([value, instead])
    return call(f"CASE WHEN {{0}} = '{NAN}' THEN {{1}} ELSE {{0}} END", value, instead, type_=type_)


def is_nan(value: Expr) -> Expr:
    """value IS NAN."""
    return call(f"({{0}} = '{NAN}')", to_float(to_number(settle(value, DOUBLE))), type_=BOOLEAN)


def is_infinite(value: Expr) -> Expr:
    """value IS INFINITE."""
    number = to_float(to_number(settle(value, DOUBLE)))
    return call("(abs({0}) = 9e999)", number, type_=BOOLEAN)


FLOAT_CALLS: dict[str, Entry] = {
    "NANVL": (2, 2, _nanvl),
    "TO_BINARY_DOUBLE": (1, 1, lambda args: cast(to_number(settle(args[0], DOUBLE)), DOUBLE)),
    "TO_BINARY_FLOAT": (1, 1, lambda args: cast(to_number(settle(args[0], SINGLE)), SINGLE)),
    "BINARY_DOUBLE_NAN": _constant(NAN, DOUBLE),
    "BINARY_DOUBLE_INFINITY": _constant(math.inf, DOUBLE),
    "BINARY_FLOAT_NAN": _constant(NAN, SINGLE),
    "BINARY_FLOAT_INFINITY": _constant(math.inf, SINGLE),
    "DOUBLE_LITERAL": (1, 1, lambda args: cast(args[0], DOUBLE)),
    "FLOAT_LITERAL": (1, 1, lambda args: cast(args[0], SINGLE)),
}
