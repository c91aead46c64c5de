"""Comparisons with every or any row of a subquery, in three-valued logic. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data.sql.derived import derived_source
from data.sql.ir import Call, Expr, Item, Select, SubqueryExpr
from data.sql.operators import call, compare, number_const
from data.sql.scope import column_of
from protocol.sqltypes import BOOLEAN

if TYPE_CHECKING:
    from data.sql.bind_expr import ExpressionBinder

_ALL = "CASE WHEN {0} THEN 1 WHEN {1} THEN 0 END"  # none fails; one fails; else unknown
_ANY = "CASE WHEN {0} THEN 1 WHEN {1} THEN NULL ELSE 0 END"  # one holds; one is unknown


def of_rows(binder: ExpressionBinder, op: str, left: Any, query: Any, *, is_all: bool) -> Expr:
    """left op ALL (query), left op ANY (query)."""
    if is_all:
        none_fails = _some(binder, op, left, query, "(NOT coalesce({0}, 0))", negated=True)
        return Call(_ALL, (none_fails, _some(binder, op, left, query, "(NOT {0})")), BOOLEAN)
    one_holds = _some(binder, op, left, query, "")
    return Call(_ANY, (one_holds, _some(binder, op, left, query, "({0} IS NULL)")), BOOLEAN)


def as_condition(expr: Expr) -> Expr:
    """Where unknown is as good as false."""
    if isinstance(expr, Call) and expr.template in (_ALL, _ANY):
        return expr.args[0]
    return expr


def _some(
    binder: ExpressionBinder, op: str, left: Any, query: Any, test: str, *, negated: bool = False
) -> Expr:
    """Is there a row whose comparison passes `test`?"""
    source = derived_source(binder.statement, binder.subquery(query), "Q")
    compared = compare(op, binder.bind(left), column_of(source, source.columns[0][0]))
    if test:
        compared = call(test, compared, type_=BOOLEAN)
    block = Select(sources=[source], where=[compared])
    block.items = [Item("1", number_const("1"))]
    return SubqueryExpr("exists", block, BOOLEAN, negated=negated)
