"""JSON: -> ->> #> #>>, JSON_VALUE, JSON_QUERY, JSON_EXISTS, IS JSON, and PostgreSQL's. Pure.

JSON is stored as the text that was written (checked); numbers keep their digits. Paths of the
SQL standard: $, .name, ."name", [n], [*], .*; lax, as Oracle's.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from data.sql.builders import Entry, Runtime, const_text, fn
from data.sql.convert import text_of
from data.sql.ir import Call, Expr
from data.sql.operators import call, cast, is_number, settle, to_text
from data.sql.type_codes import type_code, type_of_code
from protocol.errors import InvalidTextError, ParameterError
from protocol.pgwire.arrays import split_array
from protocol.sqltypes import (
    BOOLEAN,
    INTEGER,
    NUMERIC_KINDS,
    TEXT_KINDS,
    VARCHAR,
    Kind,
    SqlType,
    element_type,
)

JSON = SqlType(Kind.JSON)
_MISSING = object()


class _Number(float):
    """A number of a JSON text that is written as it was read."""

    text: str

    def __new__(cls, text: str) -> _Number:
        made = super().__new__(cls, text)
        made.text = text
        return made


def _constant(name: str) -> Any:
    raise ValueError(name)


_read = json.JSONDecoder(parse_float=_Number, parse_constant=_constant).decode


@lru_cache(maxsize=64)
def load(text: str) -> Any:
    """The value of a JSON text. Raises InvalidTextError. Not to be changed: it is cached."""
    try:
        return _read(text)
    except (ValueError, RecursionError):
        raise InvalidTextError(f'invalid input syntax for type JSON: "{text[:60]}"') from None


def show(value: Any) -> str:
    """A value as JSON text."""
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(str(k))}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(show, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def scalar_text(value: Any) -> str | None:
    """A value as SQL text: strings bare, null is NULL."""
    if value is None:
        return None
    if type(value) is str:
        return value or None
    return show(value)


def _step(value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        return value.get(str(key), _MISSING)
    if isinstance(value, list):
        try:
            return value[int(key)]
        except (ValueError, IndexError):
            return _MISSING
    return _MISSING


def arrow(text: str, key: Any) -> str | None:
    """json -> key: a member by name, an element by number (from 0)."""
    found = _arrow(text, key)
    return None if found is _MISSING else show(found)


def arrow_text(text: str, key: Any) -> str | None:
    """json ->> key, as text."""
    found = _arrow(text, key)
    return None if found is _MISSING else scalar_text(found)


def _arrow(text: str, key: Any) -> Any:
    value = load(text)
    if isinstance(value, dict) != (type(key) is str):
        return _MISSING
    return _step(value, key)


def _walk(text: str, path: str) -> Any:
    value = load(text)
    for key in split_array(path):
        value = _step(value, key)
        if value is _MISSING:
            return _MISSING
    return value


def walk_json(text: str, path: str) -> str | None:
    """json #> '{a,0}'."""
    found = _walk(text, path)
    return None if found is _MISSING else show(found)


def walk_text(text: str, path: str) -> str | None:
    """json #>> '{a,0}'."""
    found = _walk(text, path)
    return None if found is _MISSING else scalar_text(found)


# -- paths of the standard ------------------------------------------------------------------------
_STEP = re.compile(
    r'\s*(?:\.\s*(?:(\*)|"((?:[^"\\]|\\.)*)"|([^\W\d][\w$-]*))|\[\s*(\*|-?\d+(?:\s+to\s+\d+)?)\s*\])'
)


@lru_cache(maxsize=512)
def _path(text: str) -> tuple[tuple[str, Any], ...]:
    body = re.sub(r"^\s*(?:lax|strict)\s+", "", text).strip()
    if not body.startswith("$"):
        raise ParameterError(f'a JSON path starts with $: "{text[:60]}"')
    steps: list[tuple[str, Any]] = []
    at = 1
    while at < len(body):
        match = _STEP.match(body, at)
        if match is None:
            raise ParameterError(f'JSON path not understood: "{text[:60]}"')
        star, quoted, name, index = match.groups()
        if star:
            steps.append(("members", None))
        elif index is None:
            steps.append(("member", json.loads(f'"{quoted}"') if quoted is not None else name))
        elif index == "*":
            steps.append(("elements", None))
        else:
            low, _, high = index.partition("to")
            steps.append(("slice", (int(low), int(high) if high else int(low))))
        at = match.end()
    return tuple(steps)


def find(text: str, path: str) -> list[Any]:
    """What a path finds, lax: arrays are taken apart for a member, a scalar is an array of one."""
    found = [load(text)]
    for kind, argument in _path(path):
        after: list[Any] = []
        for value in found:
            after += _take(value, kind, argument)
        found = after
    return found


def _take(value: Any, kind: str, argument: Any) -> list[Any]:
    if kind in ("member", "members"):
        objects = value if isinstance(value, list) else [value]
        out: list[Any] = []
        for item in objects:
            if not isinstance(item, dict):
                continue
            if kind == "members":
                out += item.values()
            elif argument in item:
                out.append(item[argument])
        return out
    array = value if isinstance(value, list) else [value]
    if kind == "elements":
        return list(array)
    low, high = argument
    if low < 0:
        return [array[low]] if -low <= len(array) else []
    return array[low : high + 1]


def _found(text: str, path: str) -> list[Any]:
    try:
        return find(text, path)
    except InvalidTextError:
        return []  # NULL ON ERROR


def json_value(text: str, path: str) -> str | None:
    """JSON_VALUE: the one scalar the path finds, NULL for anything else."""
    found = _found(text, path)
    if len(found) != 1 or isinstance(found[0], dict | list):
        return None
    return scalar_text(found[0])


def json_query(text: str, path: str, wrapper: int = 0) -> str | None:
    """JSON_QUERY: the object or array found; `wrapper` 1: always in an array, 2: if need be."""
    found = _found(text, path)
    if not found:
        return None
    fits = len(found) == 1 and isinstance(found[0], dict | list)
    if wrapper == 1 or (wrapper == 2 and not fits):
        return show(found)
    return show(found[0]) if fits else None


def is_json(text: Any) -> int:
    """text IS JSON."""
    try:
        _read(str(text))
    except (ValueError, RecursionError):
        return 0
    return 1


# -- making JSON ----------------------------------------------------------------------------------
def to_json(value: Any, code: str) -> str:
    """A SQL value as JSON text."""
    if value is None:
        return "null"
    type_ = type_of_code(code)
    if type_.kind is Kind.JSON:
        return str(value)
    if type_.kind is Kind.BOOLEAN:
        return "true" if value else "false"
    if type_.kind is Kind.ARRAY:
        inner = type_code(element_type(type_))
        return "[" + ",".join(to_json(v, inner) for v in json.loads(value)) + "]"
    if type_.kind in NUMERIC_KINDS:
        shown = text_of(type_)(value)
        return shown if shown[-1].isdigit() else json.dumps(shown)
    shown = text_of(type_)(value)
    if type_.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TT_TIMESTAMP, Kind.TIMESTAMPTZ):
        shown = shown.replace(" ", "T", 1)
    return json.dumps(shown, ensure_ascii=False)


def build_object(codes: str, *values: Any) -> str:
    """Names and values by turns."""
    listed = codes.split(",")
    parts = []
    for i in range(0, len(values) - 1, 2):
        if values[i] is None:
            raise ParameterError("a name in a JSON object cannot be NULL")
        name = json.dumps(text_of(type_of_code(listed[i]))(values[i]), ensure_ascii=False)
        parts.append(f"{name} : {to_json(values[i + 1], listed[i + 1])}")
    return "{" + ", ".join(parts) + "}"


def build_array(codes: str, *values: Any) -> str:
    """[a, b, …]"""
    pairs = zip(values, codes.split(","), strict=False)
    return "[" + ", ".join(to_json(v, c) for v, c in pairs) + "]"


def _array_length(text: str) -> int:
    value = load(text)
    if not isinstance(value, list):
        raise ParameterError("cannot get array length of a non-array")
    return len(value)


def type_of(text: str) -> str:
    """json_typeof."""
    value = load(text)
    names = ((bool, "boolean"), (dict, "object"), (list, "array"), (str, "string"))
    if value is None:
        return "null"
    return next((name for kind, name in names if isinstance(value, kind)), "number")


def contains(text: str, part: str) -> int:
    """json @> json."""

    def holds(a: Any, b: Any) -> bool:
        if isinstance(b, dict):
            return isinstance(a, dict) and all(k in a and holds(a[k], v) for k, v in b.items())
        if isinstance(b, list):
            return isinstance(a, list) and all(any(holds(x, y) for x in a) for y in b)
        if isinstance(a, list):
            return any(holds(x, b) for x in a if not isinstance(x, dict | list))
        return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)

    return int(holds(load(text), load(part)))


JSON_RUNTIME: Runtime = {
    "tg_json_arrow": arrow,
    "tg_json_arrow_text": arrow_text,
    "tg_json_walk": walk_json,
    "tg_json_walk_text": walk_text,
    "tg_json_value": json_value,
    "tg_json_query": json_query,
    "tg_json_exists": lambda text, path: int(bool(_found(text, path))),
    "tg_is_json": is_json,
    "tg_json_length": _array_length,
    "tg_json_typeof": type_of,
    "tg_json_contains": contains,
    "tg_json_pretty": lambda text: json.dumps(load(text), indent=4, ensure_ascii=False),
}
JSON_NULLABLE: Runtime = {
    "tg_to_json": lambda value, code: None if value is None else to_json(value, code),
    "tg_json_object": build_object,
    "tg_json_array": build_array,
}


class JsonArrayAgg:
    """JSON_AGG, JSON_ARRAYAGG: values already as JSON."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def step(self, value: Any) -> None:
        self.seen.append("null" if value is None else str(value))

    def final(self) -> str | None:
        return "[" + ", ".join(self.seen) + "]" if self.seen else None


class JsonObjectAgg:
    """JSON_OBJECT_AGG(name, value): names and values already as JSON."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def step(self, name: Any, value: Any) -> None:
        if name is None:
            raise ParameterError("a name in a JSON object cannot be NULL")
        self.seen.append(f"{json.dumps(str(name))} : {'null' if value is None else value}")

    def final(self) -> str | None:
        return "{ " + ", ".join(self.seen) + " }" if self.seen else None


# -- the calls ------------------------------------------------------------------------------------
def json_text(expr: Expr) -> Expr:
    """A JSON document as an argument: a text is taken as it is."""
    return settle(expr, VARCHAR) if expr.type.kind in TEXT_KINDS else to_text(expr)


def as_json(expr: Expr) -> Expr:
    """Any value as JSON text."""
    value = settle(expr, VARCHAR)
    return call(f"tg_to_json({{0}}, '{type_code(value.type)}')", value, type_=JSON)


def arrow_call(document: Expr, key: Expr, *, as_text: bool) -> Expr:
    """document -> key, document ->> key."""
    typed = cast(key, INTEGER) if is_number(key) else to_text(key)
    name = "tg_json_arrow_text" if as_text else "tg_json_arrow"
    return call(
        f"{name}({{0}}, {{1}})", json_text(document), typed, type_=VARCHAR if as_text else JSON
    )


def _many(function: str) -> Entry:
    def build(args: list[Expr]) -> Expr:
        values = tuple(settle(a, VARCHAR) for a in args)
        codes = ",".join(type_code(v.type) for v in values)
        marks = "".join(f", {{{i}}}" for i in range(len(values)))
        return Call(f"{function}('{codes}'{marks})", values, JSON)

    return 0, 98, build


_RETURNING = {
    "NUMBER": SqlType(Kind.NUMBER),
    "VARCHAR2": VARCHAR,
    "VARCHAR": VARCHAR,
    "CLOB": VARCHAR,
    "DATE": SqlType(Kind.DATE),
    "TIMESTAMP": SqlType(Kind.TIMESTAMP, precision=6),
    "BOOLEAN": BOOLEAN,
    "INTEGER": INTEGER,
}


def _json_value(args: list[Expr]) -> Expr:
    """JSON_VALUE(document, path [, 'RETURNING type']); the token pass makes the third."""
    value = call("tg_json_value({0}, {1})", json_text(args[0]), to_text(args[1]), type_=VARCHAR)
    clause = (const_text(args[2]) or "").upper() if len(args) > 2 else ""
    match = re.search(r"RETURNING (\w+)", clause)
    if match is None:
        return value
    type_ = _RETURNING.get(match.group(1))
    if type_ is None:
        raise ParameterError(f"JSON_VALUE cannot return {match.group(1)}")
    return cast(value, type_)


def _json_query(args: list[Expr]) -> Expr:
    clause = (const_text(args[2]) or "").upper() if len(args) > 2 else ""
    wrapper = 0
    if "WITH" in clause and "WRAPPER" in clause and "WITHOUT" not in clause:
        wrapper = 2 if "CONDITIONAL" in clause and "UNCONDITIONAL" not in clause else 1
    text = f"tg_json_query({{0}}, {{1}}, {wrapper})"
    return call(text, json_text(args[0]), to_text(args[1]), type_=JSON)


def is_json_call(value: Expr) -> Expr:
    """value IS JSON."""
    return call("tg_is_json({0})", to_text(value), type_=BOOLEAN)


def _exists(args: list[Expr]) -> Expr:
    text = "tg_json_exists({0}, {1})"
    return call(text, json_text(args[0]), to_text(args[1]), type_=BOOLEAN)


def _extract_path(name: str, result: SqlType) -> Entry:
    """json_extract_path(document, key, …)."""

    def build(args: list[Expr]) -> Expr:
        value = json_text(args[0])
        for key in args[1:]:
            value = call("tg_json_walk({0}, '{{' || {1} || '}}')", value, to_text(key), type_=JSON)
        if result is VARCHAR:
            return call(f"{name}({{0}}, '{{{{}}}}')", value, type_=VARCHAR)
        return value

    return 2, 20, build


_TO_JSON: Entry = (1, 1, lambda args: as_json(args[0]))
JSON_CALLS: dict[str, Entry] = {
    "JSON_VALUE": (2, 3, _json_value),
    "JSON_QUERY": (2, 3, _json_query),
    "JSON_EXISTS": (2, 3, _exists),
    "JSON_OBJECT": _many("tg_json_object"),
    "JSON_ARRAY": _many("tg_json_array"),
    "JSON_BUILD_OBJECT": _many("tg_json_object"),
    "JSONB_BUILD_OBJECT": _many("tg_json_object"),
    "JSON_BUILD_ARRAY": _many("tg_json_array"),
    "JSONB_BUILD_ARRAY": _many("tg_json_array"),
    "TO_JSON": _TO_JSON,
    "TO_JSONB": _TO_JSON,
    "JSON_ARRAY_LENGTH": fn("tg_json_length", "t", INTEGER),
    "JSONB_ARRAY_LENGTH": fn("tg_json_length", "t", INTEGER),
    "JSON_TYPEOF": fn("tg_json_typeof", "t"),
    "JSONB_TYPEOF": fn("tg_json_typeof", "t"),
    "JSONB_PRETTY": fn("tg_json_pretty", "t"),
    "JSON_EXTRACT_PATH": _extract_path("tg_json_walk", JSON),
    "JSONB_EXTRACT_PATH": _extract_path("tg_json_walk", JSON),
    "JSON_EXTRACT_PATH_TEXT": _extract_path("tg_json_walk_text", VARCHAR),
    "JSONB_EXTRACT_PATH_TEXT": _extract_path("tg_json_walk_text", VARCHAR),
    "JSON_SERIALIZE": fn("{0}", "t", VARCHAR),
}
