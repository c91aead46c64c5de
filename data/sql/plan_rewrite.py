"""Rewrites of bound queries that make more of them local: same answer, other shape. Pure.

* What all branches of an OR have in common stands beside it: `(a AND b) OR (a AND c)` is
  `a AND (b OR c)`, also in three-valued logic.
* A scalar subquery that does not depend on its surroundings runs first; its value is a parameter.
* Tables that are few rows after their own conditions are read first and sent to all elements as
  rows of JSON (*shipped*); they are joined there like DUPLICATE tables.
"""

from __future__ import annotations

from collections.abc import Iterable

from data.sql.ir import (
    Agg,
    Call,
    ColumnExpr,
    Expr,
    Query,
    Select,
    Source,
    SubqueryExpr,
    WindowExpr,
    all_queries,
    all_sources,
    deep_exprs,
    walk,
)
from data.sql.operators import all_of, any_of
from protocol.sqltypes import FLOAT_KINDS, SqlType

_AND = frozenset("(){0123456789} AND")
_OR = frozenset("(){0123456789} OR")


def conjuncts(condition: Expr) -> list[Expr]:
    """The parts of an AND."""
    if isinstance(condition, Call) and len(condition.args) > 1 and set(condition.template) <= _AND:
        return [c for part in condition.args for c in conjuncts(part)]
    return [condition]


def disjuncts(condition: Expr) -> list[Expr]:
    """The parts of an OR; one if it is none."""
    if isinstance(condition, Call) and len(condition.args) > 1 and set(condition.template) <= _OR:
        return [d for part in condition.args for d in disjuncts(part)]
    return [condition]


def _all_of(parts: list[Expr]) -> Expr:
    return parts[0] if len(parts) == 1 else all_of(parts)


def factored(condition: Expr) -> list[Expr]:
    """Conjuncts that are together the same as `condition`."""
    branches = [conjuncts(d) for d in disjuncts(condition)]
    if len(branches) < 2 or is_volatile(condition):
        return [condition]
    others = [{c.key() for c in branch} for branch in branches[1:]]
    common = [c for c in branches[0] if all(c.key() in keys for keys in others)]
    if not common:
        return [condition]
    keys = {c.key() for c in common}
    rest = [[c for c in branch if c.key() not in keys] for branch in branches]
    if not all(rest):  # one branch asks for nothing more
        return common
    return [*common, any_of([_all_of(branch) for branch in rest])]


def factor_conditions(query: Query) -> None:
    """Do so in the conditions of all blocks."""
    for part in all_queries(query):
        if isinstance(part, Select):
            part.where = [f for c in part.where for f in factored(c)]
            for source in part.sources:
                source.on = [f for c in source.on for f in factored(c)]


def implied(condition: Expr, source: Source) -> Expr | None:
    """What an OR says about one source alone: every branch restricts it."""
    branches = disjuncts(condition)
    if len(branches) < 2:
        return None
    kept: list[Expr] = []
    for branch in branches:
        own = [c for c in conjuncts(branch) if concerns_only(c, {id(source)})]
        if not own:
            return None
        kept.append(_all_of(own))
    return any_of(kept)


def is_volatile(expr: Expr) -> bool:
    """Not the same at every evaluation, or hard to move: subqueries, aggregates."""
    return any(
        isinstance(n, SubqueryExpr | Agg | WindowExpr) or (isinstance(n, Call) and n.volatile)
        for n in walk(expr)
    )


def concerns_only(condition: Expr, sources: set[int]) -> bool:
    """A condition on columns of these sources alone, that may be applied before the joins."""
    if is_volatile(condition):
        return False
    columns = [n for n in walk(condition) if isinstance(n, ColumnExpr)]
    return bool(columns) and all(id(c.source) in sources for c in columns)


def refers_out(query: Query) -> bool:
    """Does it refer to sources outside itself (correlation, recursive CTEs)?"""
    inside = {id(s) for s in all_sources(query)}
    if any(s.kind == "cte" for s in all_sources(query)):
        return True
    return any(isinstance(e, ColumnExpr) and id(e.source) not in inside for e in deep_exprs(query))


def replace_expr(block: Query, old: Expr, new: Expr) -> None:
    """Put `new` where `old` stands in the expressions of a block."""

    def changed(expr: Expr) -> Expr:
        if expr is old:
            return new
        if not any(n is old for n in walk(expr)):
            return expr
        if isinstance(expr, Call):
            args = tuple(changed(a) for a in expr.args)
            return Call(expr.template, args, expr.type, volatile=expr.volatile)
        if isinstance(expr, Agg):
            expr.args = tuple(changed(a) for a in expr.args)
            expr.filter = None if expr.filter is None else changed(expr.filter)
            for item in expr.order:
                item.expr = changed(item.expr)
        elif isinstance(expr, WindowExpr):
            expr.function = changed(expr.function)
            expr.partition = tuple(changed(p) for p in expr.partition)
            for item in expr.order:
                item.expr = changed(item.expr)
        elif isinstance(expr, SubqueryExpr):
            expr.left = tuple(changed(e) for e in expr.left)
        return expr

    for item in block.items:
        item.expr = changed(item.expr)
    for order in block.order:
        order.expr = changed(order.expr)
    if block.limit is not None:
        block.limit = changed(block.limit)
    if block.offset is not None:
        block.offset = changed(block.offset)
    if isinstance(block, Select):
        block.where = [changed(c) for c in block.where]
        block.group = [changed(g) for g in block.group]
        block.having = [changed(h) for h in block.having]
        for source in block.sources:
            source.on = [changed(c) for c in source.on]


def used_columns(query: Query, sources: Iterable[Source]) -> list[tuple[Source, str, SqlType]]:
    """The columns of these sources that the query refers to, each once, in a stable order."""
    wanted = {id(s) for s in sources}
    found: dict[tuple[int, str], tuple[Source, str, SqlType]] = {}
    for expr in deep_exprs(query):
        if isinstance(expr, ColumnExpr) and id(expr.source) in wanted:
            found.setdefault((id(expr.source), expr.name), (expr.source, expr.name, expr.type))
    return list(found.values())


def redirect(query: Query, columns: dict[tuple[int, str], tuple[Source, str]]) -> None:
    """Let column references stand for those of another source."""
    for expr in deep_exprs(query):
        if isinstance(expr, ColumnExpr):
            new = columns.get((id(expr.source), expr.name))
            if new is not None:
                expr.source, expr.name = new


def can_ship(types: Iterable[SqlType]) -> bool:
    """Are values of these types the same after a way through JSON?"""
    return all(t.kind not in FLOAT_KINDS for t in types)


def table_ids(query: Query) -> tuple[int, ...]:
    """Ids of the tables a query reads, in order."""
    return tuple(dict.fromkeys(s.table.id for s in all_sources(query) if s.table is not None))
