"""SQL functions that PL/SQL code calls often, done without SQL. All others are asked of SQL. Pure.

Only those whose meaning is the same for every type are here; with arguments that need SQL's rules
for types they return NOT_HERE, and SQL is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any

from data.plsql import multisets, values
from data.plsql.values import Moment, Value
from data.sql import strings
from data.sql.numbers import round_decimal
from protocol.limits import check_value_length

NOT_HERE = object()


def _nvl(a: Value, b: Value) -> Value:
    return b if a is None else a


def _coalesce(*given: Value) -> Value:
    return next((value for value in given if value is not None), None)


def _decode(value: Value, *pairs: Value) -> Value:
    for at in range(0, len(pairs) - 1, 2):
        if value is None and pairs[at] is None:
            return pairs[at + 1]
        if values.equal(value, pairs[at]):
            return pairs[at + 1]
    return pairs[-1] if len(pairs) % 2 else None


def _extreme(is_greatest: bool) -> Callable[..., Value]:
    def choose(*given: Value) -> Value:
        best = given[0]
        for value in given[1:]:
            if value is None or best is None:
                return None
            if values.less(best, value) is is_greatest and values.equal(best, value) is False:
                best = value
        return best

    return choose


def _text_only(function: Callable[[str], Value]) -> Callable[..., Value]:
    def call(value: Value) -> Value:
        value = values.text(value)
        return None if value is None else function(value) or None

    return call


def _length(value: Value) -> Value:
    value = values.text(value)
    return None if value is None else len(value)


def _substr(value: Value, start: Value, length: Value = -1) -> Value:
    value, start = values.text(value), values.number(start)
    if value is None or start is None or length is None:
        return None
    if type(start) is int and length == -1:
        return strings.substr(str(value), start)
    return strings.substr(str(value), int(start), int(values.number(length)))


def _instr(value: Value, wanted: Value, start: Value = 1, occurrence: Value = 1) -> Value:
    value, wanted = values.text(value), values.text(wanted)
    if value is None or wanted is None or start is None or occurrence is None:
        return None
    return strings.instr(value, wanted, int(start), int(occurrence))


def _replace(value: Value, old: Value, new: Value = None) -> Value:
    value, old = values.text(value), values.text(old)
    if value is None or old is None:
        return value
    with_what = values.text(new) or ""
    check_value_length(len(value) + value.count(old) * len(with_what))
    return value.replace(old, with_what) or None


def _pad(left: bool) -> Callable[..., Value]:
    def call(value: Value, length: Value, fill: Value = " ") -> Value:
        value, fill = values.text(value), values.text(fill)
        if value is None or length is None or fill is None:
            return None
        return strings.pad(value, int(values.number(length)), fill, left=left)

    return call


def _stripped(side: str) -> Callable[..., Value]:
    def call(value: Value, characters: Value = " ") -> Value:
        value, characters = values.text(value), values.text(characters)
        if value is None or characters is None:
            return None
        return strings.trim(value, characters, side) or None

    return call


def _rounded(mode: str) -> Callable[..., Value]:
    def call(value: Value, digits: Value = 0) -> Value:
        if type(value) is Moment or type(digits) is str:
            return NOT_HERE
        value, digits = values.number(value), values.number(digits)
        if value is None or digits is None:
            return None
        if type(value) is int and digits >= 0:
            return value
        if isinstance(value, float):
            return NOT_HERE
        return values.whole(round_decimal(Decimal(value), int(digits), mode))

    return call


def _to_whole(mode: str) -> Callable[..., Value]:
    def call(value: Value) -> Value:
        value = values.number(value)
        if value is None or type(value) is int:
            return value
        if isinstance(value, float):
            return NOT_HERE
        return int(Decimal(value).to_integral_value(mode))

    return call


def _abs(value: Value) -> Value:
    value = values.number(value)
    return None if value is None else abs(value)


def _sign(value: Value) -> Value:
    value = values.number(value)
    return None if value is None else (value > 0) - (value < 0)


def _to_char(value: Value, *model: Value) -> Value:
    if model or not (type(value) in (int, Decimal, str) or value is None):
        return NOT_HERE
    return values.text(value)


def _to_number(value: Value, *model: Value) -> Value:
    return NOT_HERE if model else values.number(value)


def _chr(code: Value) -> Value:
    code = values.number(code)
    return None if code is None else strings.to_chr(int(code))


def _ascii(value: Value) -> Value:
    value = values.text(value)
    return None if value is None else ord(value[0])


def _nullif(a: Value, b: Value) -> Value:
    return None if values.equal(a, b) else a


# name → function, fewest arguments, most arguments
FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "ABS": (_abs, 1, 1),
    "ASCII": (_ascii, 1, 1),
    "CEIL": (_to_whole(ROUND_CEILING), 1, 1),
    "CARDINALITY": (multisets.cardinality, 1, 1),
    "CHR": (_chr, 1, 1),
    "COALESCE": (_coalesce, 1, 255),
    "CONCAT": (values.concat, 2, 2),
    "DECODE": (_decode, 3, 255),
    "FLOOR": (_to_whole(ROUND_FLOOR), 1, 1),
    "GREATEST": (_extreme(True), 1, 255),
    "INSTR": (_instr, 2, 4),
    "LEAST": (_extreme(False), 1, 255),
    "LENGTH": (_length, 1, 1),
    "LOWER": (_text_only(str.lower), 1, 1),
    "LPAD": (_pad(True), 2, 3),
    "LTRIM": (_stripped("left"), 1, 2),
    "MOD": (values.modulo, 2, 2),
    "NULLIF": (_nullif, 2, 2),
    "NVL": (_nvl, 2, 2),
    "NVL2": (lambda a, b, c: c if a is None else b, 3, 3),
    "POWER": (values.power, 2, 2),
    "REPLACE": (_replace, 2, 3),
    "ROUND": (_rounded(ROUND_HALF_UP), 1, 2),
    "RPAD": (_pad(False), 2, 3),
    "RTRIM": (_stripped("right"), 1, 2),
    "SET": (multisets.as_set, 1, 1),
    "SIGN": (_sign, 1, 1),
    "SUBSTR": (_substr, 2, 3),
    "TO_CHAR": (_to_char, 1, 3),
    "TO_NUMBER": (_to_number, 1, 3),
    "TRUNC": (_rounded(ROUND_DOWN), 1, 2),
    "UPPER": (_text_only(str.upper), 1, 1),
}
