"""SUM of products and differences of scaled NUMBERs by SQLite's own integers. Pure.

Such an expression may pass 18 digits, so it is computed by Decimal functions: about 20 µs per row.
Nearly always it does not pass them. SQLite's integer arithmetic turns to REAL where it overflows,
and stays REAL; so `typeof(x) = 'integer'` says of each row that the integer is exact. Those rows
are summed as integers (upper and lower parts, as in aggregates.py), the others as Decimals.
"""

from __future__ import annotations

import re
from decimal import Decimal

from data.sql.convert import int_scale
from data.sql.ir import Call, ConstExpr, Expr
from data.sql.numbers import POW10
from data.sql.operators import call
from protocol.sqltypes import BIGINT, SCALED_DIGITS_MAX

_SCALED = re.compile(r"tg_dec\(\{0\}, (\d+)\)")
_CASE = re.compile(r"CASE(?: WHEN \{\d+\} THEN \{\d+\})+(?: ELSE \{\d+\})? END")
_RESULT = re.compile(r"(?:THEN|ELSE) \{(\d+)\}")
_OPERATORS = {"tg_mul({0}, {1})": "*", "tg_add({0}, {1})": "+", "tg_sub({0}, {1})": "-"}


def as_integer(expr: Expr) -> tuple[Expr, int] | None:
    """The expression times 10^scale, and the scale; REAL where it overflows. None: no such form."""
    scale = int_scale(expr.type)
    if scale is not None:
        return expr, scale
    if isinstance(expr, ConstExpr):
        return _constant(expr)
    if not isinstance(expr, Call):
        return None
    match = _SCALED.fullmatch(expr.template)
    if match is not None:
        return expr.args[0], int(match[1])
    if expr.template == "CAST({0} AS TEXT)" and int_scale(expr.args[0].type) == 0:
        return expr.args[0], 0
    operator = _OPERATORS.get(expr.template)
    if operator is not None:
        return _combined(operator, *expr.args)
    if _CASE.fullmatch(expr.template):
        return _case(expr)
    return None


def _constant(expr: ConstExpr) -> tuple[Expr, int] | None:
    if expr.value is None:
        return expr, 0
    if not isinstance(expr.value, str):
        return None
    value = Decimal(expr.value)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    if scale > SCALED_DIGITS_MAX or value.adjusted() + scale >= SCALED_DIGITS_MAX:
        return None
    return ConstExpr(int(value.scaleb(scale)), BIGINT), scale


def _combined(operator: str, left: Expr, right: Expr) -> tuple[Expr, int] | None:
    a, b = as_integer(left), as_integer(right)
    if a is None or b is None:
        return None
    if operator == "*":
        scale = a[1] + b[1]
        one, other = a[0], b[0]
    else:
        scale = max(a[1], b[1])
        one, other = _aligned(*a, scale), _aligned(*b, scale)
    if scale > SCALED_DIGITS_MAX:
        return None
    return call(f"({{0}} {operator} {{1}})", one, other, type_=BIGINT), scale


def _aligned(expr: Expr, scale: int, wanted: int) -> Expr:
    if scale == wanted:
        return expr
    if isinstance(expr, ConstExpr) and expr.value == 0:
        return expr
    return call(f"({{0}} * {POW10[wanted - scale]})", expr, type_=BIGINT)


def _case(expr: Call) -> tuple[Expr, int] | None:
    places = [int(n) for n in _RESULT.findall(expr.template)]
    found = {n: as_integer(expr.args[n]) for n in places}
    known = {n: f for n, f in found.items() if f is not None}
    if len(known) < len(found):
        return None
    scale = max(f[1] for f in known.values())
    args = [_aligned(*known[n], scale) if n in known else arg for n, arg in enumerate(expr.args)]
    return Call(expr.template, tuple(args), BIGINT), scale
