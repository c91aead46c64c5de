"""Binding of the rarer operators: bits, patterns, JSON, arrays, time zones. Pure.

A part of `ExpressionBinder` (data/sql/bind_expr.py): each method is named as sqlglot's node.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql import calls
from data.sql.array_functions import any_or_all, array_literal, element_at, is_array, may_be_array
from data.sql.date_functions import at_time_zone
from data.sql.floats import is_infinite, is_nan
from data.sql.ir import ConstExpr, Expr
from data.sql.json_functions import arrow_call, is_json_call
from data.sql.operators import call, to_text
from data.sql.parse import refuse
from data.sql.scope import position_of
from protocol.errors import SqlSyntaxError
from protocol.sqltypes import BOOLEAN, INTEGER, VARCHAR, Kind, SqlType

_JSON = SqlType(Kind.JSON)


class OperatorBinding:
    """What needs no more than the binding of operands."""

    def bind(self, node: Any) -> Expr:
        """Any expression."""
        raise NotImplementedError

    # -- bits --------------------------------------------------------------------------------------
    def _bits(self, name: str, node: Any) -> Expr:
        return calls.build_call(name, [self.bind(node.this), self.bind(node.expression)])

    def _bitwiseand(self, node: Any) -> Expr:
        return self._bits("BITAND", node)

    def _bitwiseor(self, node: Any) -> Expr:
        return self._bits("BITOR", node)

    def _bitwisexor(self, node: Any) -> Expr:
        """PostgreSQL's ^ is the power."""
        return self._bits("POWER", node)

    def _coalesce(self, node: Any) -> Expr:
        """PostgreSQL's #, which data/sql/parse.py writes as `??`; the function is no such node."""
        (right,) = node.expressions
        return calls.build_call("BITXOR", [self.bind(node.this), self.bind(right)])

    def _bitwiseleftshift(self, node: Any) -> Expr:
        return self._bits("BIT_SHIFT_LEFT", node)

    def _bitwiserightshift(self, node: Any) -> Expr:
        return self._bits("BIT_SHIFT_RIGHT", node)

    def _bitwisenot(self, node: Any) -> Expr:
        return calls.build_call("BITNOT", [self.bind(node.this)])

    # -- texts -------------------------------------------------------------------------------------
    def _regexplike(self, node: Any) -> Expr:
        left, right = to_text(self.bind(node.this)), to_text(self.bind(node.expression))
        return _perhaps_not(node, call("tg_regexp_like({0}, {1})", left, right, type_=BOOLEAN))

    def _regexpilike(self, node: Any) -> Expr:
        left, right = to_text(self.bind(node.this)), to_text(self.bind(node.expression))
        text = "tg_regexp_like({0}, {1}, 'i')"
        return _perhaps_not(node, call(text, left, right, type_=BOOLEAN))

    def _similarto(self, node: Any) -> Expr:
        return _perhaps_not(node, self._bits("SIMILAR_TO", node))

    def _overlay(self, node: Any) -> Expr:
        parts = [node.this, node.expression, node.args["from_"], node.args.get("for_")]
        return calls.build_call("OVERLAY", [self.bind(p) for p in parts if p is not None])

    # -- times -------------------------------------------------------------------------------------
    def _attimezone(self, node: Any) -> Expr:
        return at_time_zone(self.bind(node.this), self.bind(node.args["zone"]))

    # -- JSON --------------------------------------------------------------------------------------
    def _jsonextract(self, node: Any) -> Expr:
        return self._arrow(node, as_text=False)

    def _jsonextractscalar(self, node: Any) -> Expr:
        return self._arrow(node, as_text=True)

    def _arrow(self, node: Any, *, as_text: bool) -> Expr:
        document = self.bind(node.this)
        path = node.expression
        if not isinstance(path, exp.JSONPath):
            return arrow_call(document, self.bind(path), as_text=as_text)
        keys = [_path_key(step) for step in path.expressions[1:]]
        for i, key in enumerate(keys):
            document = arrow_call(document, key, as_text=as_text and i == len(keys) - 1)
        return document

    def _jsonbextract(self, node: Any) -> Expr:
        return self._walk(node, "tg_json_walk", _JSON)

    def _jsonbextractscalar(self, node: Any) -> Expr:
        return self._walk(node, "tg_json_walk_text", VARCHAR)

    def _walk(self, node: Any, function: str, type_: SqlType) -> Expr:
        path = self.bind(node.expression)
        document = to_text(self.bind(node.this))
        return call(f"{function}({{0}}, {{1}})", document, to_text(path), type_=type_)

    def _arraycontainsall(self, node: Any) -> Expr:
        """left @> right: of arrays, or of JSON."""
        left, right = self.bind(node.this), self.bind(node.expression)
        if is_array(left) or is_array(right):
            return call("tg_array_contains({0}, {1})", left, right, type_=BOOLEAN)
        return call("tg_json_contains({0}, {1})", to_text(left), to_text(right), type_=BOOLEAN)

    def _special_test(self, value: Any, test: Any) -> Expr | None:
        """value IS NAN, IS INFINITE, IS JSON; None for another test."""
        if isinstance(test, exp.JSON):
            return is_json_call(self.bind(value))
        name = test.name.upper() if isinstance(test, exp.Column) and not test.table else ""
        if name == "NAN":
            return is_nan(self.bind(value))
        if name == "INFINITE":
            return is_infinite(self.bind(value))
        return None

    # -- arrays ------------------------------------------------------------------------------------
    def _array(self, node: Any) -> Expr:
        items = node.expressions
        if len(items) == 1 and isinstance(items[0], exp.Query):
            raise refuse("ARRAY (SELECT …)", position_of(node))
        return array_literal([self.bind(item) for item in items])

    def _bracket(self, node: Any) -> Expr:
        if len(node.expressions) != 1:
            raise SqlSyntaxError("one subscript is expected", position=position_of(node))
        index = node.expressions[0]
        document = self.bind(node.this)
        if document.type.kind is Kind.JSON:
            return arrow_call(document, self.bind(index), as_text=False)
        return element_at(document, self.bind(index))

    def _array_test(self, op: str, left: Any, node: Any, *, is_all: bool) -> Expr | None:
        """left op ANY | ALL (array); None if it is no array that stands there."""
        if isinstance(node, exp.Tuple):
            if len(node.expressions) != 1:
                return None
            node = node.expressions[0]
        operand = self.bind(node.this if isinstance(node, exp.Paren) else node)
        if not may_be_array(operand):
            return None
        return any_or_all(op, self.bind(left), operand, is_all=is_all)


def _perhaps_not(node: Any, test: Expr) -> Expr:
    return call("(NOT {0})", test, type_=BOOLEAN) if node.args.get("negate") else test


def is_pattern(start: Expr) -> bool:
    """SUBSTRING (text FROM 'pattern'): a string that is no number."""
    value = start.value if isinstance(start, ConstExpr) else None
    return type(value) is str and not value.strip().lstrip("+-").isdigit()


def _path_key(step: Any) -> Expr:
    if isinstance(step, exp.JSONPathSubscript):
        return ConstExpr(int(step.this), INTEGER)
    if isinstance(step, exp.JSONPathKey):
        return ConstExpr(str(step.this), VARCHAR)
    raise refuse("this JSON path", 0)
