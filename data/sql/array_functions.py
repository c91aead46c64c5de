"""Arrays in expressions: ARRAY[…], '{…}'::int[], = ANY(array), and the functions on them. Pure.

An array's storage value is the JSON text of its elements' storage values; it is a parameter or a
result, never a column. SQLite's json_each takes it apart.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from data.sql.builders import Entry, Runtime, fn
from data.sql.convert import text_of
from data.sql.ir import Call, ConstExpr, Expr
from data.sql.operators import (
    call,
    cast,
    comparable,
    comparison_type,
    is_unknown,
    settle,
    to_text,
    unify,
)
from data.sql.type_codes import type_code, type_of_code
from protocol.errors import TypeMismatchError
from protocol.sqltypes import (
    BOOLEAN,
    BYTES_KINDS,
    INTEGER,
    PADDED_KINDS,
    VARCHAR,
    Kind,
    SqlType,
    StorageValue,
    array_of,
    element_type,
)

TEXTS = array_of(VARCHAR)


def is_array(expr: Expr) -> bool:
    """Has it elements?"""
    return expr.type.kind is Kind.ARRAY


def may_be_array(expr: Expr) -> bool:
    """An array, or an untyped parameter or literal that can only be one after ANY or ALL."""
    if is_array(expr):
        return True
    if not is_unknown(expr):
        return False
    return not isinstance(expr, ConstExpr) or str(expr.value).lstrip().startswith("{")


def array_literal(items: list[Expr]) -> Expr:
    """ARRAY[a, b, …]"""
    if not items:
        return ConstExpr("[]", TEXTS)
    typed, type_ = unify(items)
    typed = [settle(e, VARCHAR) for e in typed]
    marks = ", ".join(f"{{{i}}}" for i in range(len(typed)))
    return Call(f"tg_array({marks})", tuple(typed), array_of(type_))


def any_or_all(op: str, left: Expr, array: Expr, *, is_all: bool) -> Expr:
    """left op ANY (array), left op ALL (array); three-valued."""
    if is_unknown(array):
        array = cast(array, array_of(comparison_type(left.type, array)))
    if not is_array(array):
        raise TypeMismatchError("ANY and ALL need an array or a subquery")
    if is_unknown(left):
        left = settle(left, element_type(array.type))
    element = call("json_each.value", type_=element_type(array.type))
    if left.type.kind in PADDED_KINDS:  # stored without their blanks
        element = call("rtrim(json_each.value, ' ')", type_=SqlType(Kind.CHAR))
    if element.type.kind in BYTES_KINDS:
        element = call("unhex(json_each.value)", type_=element.type)
    left, right, collate = comparable(left, element)
    if op == "=" and not is_all and not collate:
        text = "(({0}) IN (SELECT {1} FROM json_each({2})))"
        return call(text, left, right, array, type_=BOOLEAN)
    if op == "<>" and is_all and not collate:
        text = "(({0}) NOT IN (SELECT {1} FROM json_each({2})))"
        return call(text, left, right, array, type_=BOOLEAN)
    decides = 0 if is_all else 1
    text = (
        f"(SELECT CASE WHEN {{2}} IS NULL THEN NULL WHEN count(*) = 0 THEN {1 - decides} "
        f"WHEN max(t.x = {decides}) THEN {decides} "
        f"WHEN count(t.x) < count(*) THEN NULL ELSE {1 - decides} END "
        f"FROM (SELECT ({{0}} {op} {{1}}{collate}) AS x FROM json_each({{2}})) AS t)"
    )
    return call(text, left, right, array, type_=BOOLEAN)


# -- the work -------------------------------------------------------------------------------------
def make_array(*values: StorageValue) -> str:
    """tg_array(a, b, …)"""
    return json.dumps([v.hex() if type(v) is bytes else v for v in values])


@lru_cache(maxsize=16)
def _items(value: str) -> tuple[Any, ...]:
    """The elements; kept, for unnest asks for them one by one."""
    return tuple(json.loads(value))


def array_to_string(value: Any, code: str, separator: Any, null: Any = None) -> str | None:
    """array_to_string(array, separator [, for NULL])."""
    if value is None or separator is None:
        return None
    show = text_of(element_type(type_of_code(code)))
    shown = [null if v is None else show(v) for v in _items(value)]
    return str(separator).join(str(v) for v in shown if v is not None) or None


def string_to_array(text: Any, separator: Any, null: Any = None) -> str | None:
    """string_to_array(text, separator [, what is NULL]); no separator: every character."""
    if text is None:
        return "[]"
    parts = list(str(text)) if separator is None else str(text).split(str(separator))
    return json.dumps([None if null is not None and p == null else p for p in parts])


def subscript(value: Any, number: Any) -> Any:
    """array[n], from 1; NULL beyond the ends."""
    found = _items(value)
    return found[number - 1] if 1 <= number <= len(found) else None


def position(value: Any, wanted: Any) -> int | None:
    """array_position(array, value)."""
    found = _items(value)
    return found.index(wanted) + 1 if wanted in found else None


ARRAY_RUNTIME: Runtime = {
    "tg_subscript": subscript,
    "tg_array_length": lambda value: len(_items(value)) or None,
    "tg_cardinality": lambda value: len(_items(value)),
    "tg_array_position": position,
    "tg_array_remove": lambda value, x: json.dumps([v for v in _items(value) if v != x]),
    "tg_array_contains": lambda a, b: int(set(map(str, _items(b))) <= set(map(str, _items(a)))),
}
ARRAY_NULLABLE: Runtime = {
    "tg_array": make_array,
    "tg_array_to_string": array_to_string,
    "tg_string_to_array": string_to_array,
    "tg_array_append": lambda value, x: json.dumps([*_items(value or "[]"), x]),
    "tg_array_prepend": lambda x, value: json.dumps([x, *_items(value or "[]")]),
    "tg_array_cat": lambda a, b: json.dumps([*_items(a or "[]"), *_items(b or "[]")]),
}


class ArrayAgg:
    """ARRAY_AGG: the values in the order they come, NULLs too."""

    def __init__(self) -> None:
        self.seen: list[StorageValue] = []

    def step(self, value: StorageValue) -> None:
        self.seen.append(value)

    def inverse(self, value: StorageValue) -> None:
        self.seen.remove(value)

    def value(self) -> str | None:
        return make_array(*self.seen) if self.seen else None

    final = value


# -- the calls ------------------------------------------------------------------------------------
def _array(expr: Expr) -> Expr:
    if is_unknown(expr):
        return settle(expr, TEXTS)
    if not is_array(expr):
        raise TypeMismatchError("an array is needed")
    return expr


def element_at(array: Expr, number: Expr) -> Expr:
    """array[n]"""
    array = _array(array)
    return call(
        "tg_subscript({0}, {1})", array, cast(number, INTEGER), type_=element_type(array.type)
    )


def _element_like(array: Expr, value: Expr) -> Expr:
    return cast(settle(value, element_type(array.type)), element_type(array.type))


def _length(args: list[Expr]) -> Expr:
    return call("tg_array_length({0})", _array(args[0]), type_=INTEGER)


def _to_string(args: list[Expr]) -> Expr:
    array = _array(args[0])
    rest = [to_text(a) for a in args[1:]]
    marks = "".join(f", {{{i + 1}}}" for i in range(len(rest)))
    text = f"tg_array_to_string({{0}}, '{type_code(array.type)}'{marks})"
    return Call(text, (array, *rest), VARCHAR)


def _with_element(function: str, result: SqlType | None = None, *, first: bool = False) -> Entry:
    def build(args: list[Expr]) -> Expr:
        array, value = (args[1], args[0]) if first else (args[0], args[1])
        array = _array(array)
        typed = _element_like(array, value)
        pair = (typed, array) if first else (array, typed)
        return call(f"{function}({{0}}, {{1}})", *pair, type_=result or array.type)

    return 2, 2, build


def _cat(args: list[Expr]) -> Expr:
    left, right = _array(args[0]), _array(args[1])
    return call("tg_array_cat({0}, {1})", left, cast(right, left.type), type_=left.type)


ARRAY_CALLS: dict[str, Entry] = {
    "STRING_TO_ARRAY": fn("tg_string_to_array", "ttt?", TEXTS),
    "ARRAY_TO_STRING": (2, 3, _to_string),
    "ARRAY_LENGTH": (1, 2, _length),
    "ARRAY_UPPER": (1, 2, _length),
    "ARRAY_LOWER": (
        1,
        2,
        lambda args: call("(tg_array_length({0}) > 0)", _array(args[0]), type_=INTEGER),
    ),
    "CARDINALITY": (1, 1, lambda args: call("tg_cardinality({0})", _array(args[0]), type_=INTEGER)),
    "ARRAY_POSITION": _with_element("tg_array_position", INTEGER),
    "ARRAY_REMOVE": _with_element("tg_array_remove"),
    "ARRAY_APPEND": _with_element("tg_array_append"),
    "ARRAY_PREPEND": _with_element("tg_array_prepend", first=True),
    "ARRAY_CAT": (2, 2, _cat),
}
