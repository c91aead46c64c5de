"""WHERE with what Oracle adds: ROWNUM and (+). Pure.

ROWNUM counts rows as they pass. `ROWNUM <= n` becomes a limit before grouping and ordering; over an
ordered query in FROM the rows are numbered and cut in that query's order, which is how Oracle's
users write "the first n".
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql import quantified
from data.sql.bind_expr import ExpressionBinder, conjuncts
from data.sql.derived import derived_source
from data.sql.ir import (
    ColumnExpr,
    Expr,
    Item,
    OrderItem,
    Select,
    SetColumn,
    SetOp,
    Source,
    Values,
    walk,
)
from data.sql.operators import call, settle
from data.sql.parse import refuse
from data.sql.scope import Scope, Statement, column_of, folded, position_of
from protocol.errors import SqlSyntaxError
from protocol.sqltypes import BIGINT

_MIRRORED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}
_ALL = 9_223_372_036_854_775_807


def bind_where(statement: Statement, tree: Any, scope: Scope, select: Select) -> None:
    """Fill `select.where`, and the joins that (+) makes; cut the rows if ROWNUM says so."""
    for node in _marked_elsewhere(tree):
        raise SqlSyntaxError(
            "ORA-25156: the outer join operator (+) stands in WHERE only, and not beside ON or "
            "USING that hold it",
            position=position_of(node),
        )
    numbered = _rownum_names(tree)
    order = _order_of_rows(scope) if numbered else []
    clause = tree.args.get("where")
    if clause is not None:
        _conditions(statement, clause.this, scope, select)
    if not order:
        return
    scope.row_order = order
    if select.row_limit is not None:
        _cut_in_order(statement, scope, select)


def row_limit(node: Any, binder: ExpressionBinder) -> Expr | None:
    """A condition on ROWNUM: how many rows it lets through; None: it is none."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Between) and _is_rownum(node.this, binder):
        low = settle(binder.bind(node.args["low"]), BIGINT)
        high = settle(binder.bind(node.args["high"]), BIGINT)
        return call("CASE WHEN {0} <= 1 THEN {1} ELSE 0 END", low, high, type_=BIGINT)
    ops = {exp.LTE: "<=", exp.LT: "<", exp.EQ: "=", exp.GTE: ">=", exp.GT: ">"}
    op = ops.get(type(node))
    if op is None:
        return None
    left, right = node.this, node.expression
    if _is_rownum(right, binder):
        left, right = right, left
        op = _MIRRORED.get(op, op)
    if not _is_rownum(left, binder):
        return None
    value = settle(binder.bind(right), BIGINT)
    if op == "<=":
        return value
    if op == "<":
        return call("(tg_ceil({0}) - 1)", value, type_=BIGINT)
    if op == "=":
        return call("({0} = 1)", value, type_=BIGINT)
    return call(
        f"CASE WHEN {{0}} {'<=' if op == '>=' else '<'} 1 THEN {_ALL} ELSE 0 END",
        value,
        type_=BIGINT,
    )


def both_limits(one: Expr | None, other: Expr | None) -> Expr | None:
    """The smaller of two limits; None: no limit."""
    if one is None or other is None:
        return other if one is None else one
    return call("min({0}, {1})", one, other, type_=BIGINT)


def _is_rownum(node: Any, binder: ExpressionBinder) -> bool:
    return (
        isinstance(node, exp.Column)
        and not node.args.get("table")
        and folded(node.this) == "ROWNUM"
        and not binder.scope.find("ROWNUM")
    )


def _conditions(statement: Statement, clause: Any, scope: Scope, select: Select) -> None:
    binder = ExpressionBinder(statement, scope)
    marked: list[tuple[Source, Expr]] = []
    for part in conjuncts(clause):
        limit = row_limit(part, binder)
        if limit is not None:
            select.row_limit = both_limits(select.row_limit, limit)
            continue
        marks = _marks(part)
        expr = quantified.as_condition(binder.condition(part))
        if not marks:
            select.where.append(expr)
            continue
        _check_marked(part)
        sources = {id(s): s for s in (_source_of(binder.bind(m)) for m in marks)}
        if len(sources) != 1:
            raise SqlSyntaxError(
                "ORA-01468: a condition may have (+) on one table only", position=position_of(part)
            )
        marked.append((next(iter(sources.values())), expr))
    if marked:
        _apply_marks(scope, select, marked)


# -- ROWNUM over an ordered query -----------------------------------------------------------------
def _rownum_names(tree: Any) -> bool:
    """Does this block name ROWNUM (a query inside it does not count)?"""
    for part in (*tree.expressions, tree.args.get("where"), tree.args.get("order")):
        if part is None:
            continue
        for node in part.walk(prune=lambda n: isinstance(n, exp.Query)):
            if isinstance(node, exp.Column) and str(node.name).upper() == "ROWNUM":
                return True
    return False


def _order_of_rows(scope: Scope) -> list[OrderItem]:
    """The order of the rows, if the block reads one ordered query; it moves out of that query."""
    if len(scope.sources) != 1:
        return []
    source = scope.sources[0]
    inner = source.query
    if inner is None or not inner.order or inner.lock is not None:
        return []
    if inner.limit is not None or inner.offset is not None:
        return _order_columns(source)
    order = _order_columns(source)
    inner.order = []
    return order


def _order_columns(source: Source) -> list[OrderItem]:
    """The ORDER BY of a query in FROM, in columns of the source."""
    inner = source.query
    assert inner is not None
    places = {item.expr.key(): n for n, item in reversed(list(enumerate(inner.items)))}
    found: list[OrderItem] = []
    for order in inner.order:
        if isinstance(order.expr, SetColumn) or isinstance(inner, SetOp | Values):
            assert isinstance(order.expr, SetColumn)
            place = order.expr.position
        elif order.expr.key() in places:
            place = places[order.expr.key()]
        else:
            place = len(inner.items)
            name = f"\x01{place}"
            inner.items.append(Item(name, order.expr))
            source.columns.append((name, order.expr.type))
            source.hidden.add(name)
        column = column_of(source, source.columns[place][0])
        found.append(OrderItem(column, order.descending, order.nulls_first))
    return found


def _cut_in_order(statement: Statement, scope: Scope, select: Select) -> None:
    """Its first rows become the source: (SELECT columns FROM source WHERE … ORDER BY … LIMIT n)."""
    source = scope.sources[0]
    cut = Select(sources=[source], where=select.where, order=scope.row_order)
    cut.items = [Item(name, column_of(source, name)) for name, _ in source.columns]
    cut.limit, select.row_limit, select.where = select.row_limit, None, []
    outer = derived_source(statement, cut, source.name)
    outer.hidden |= source.hidden
    outer.schema = source.schema
    scope.sources[:] = [outer]
    scope.row_order = [
        OrderItem(column_of(outer, o.expr.name), o.descending, o.nulls_first)
        for o in scope.row_order
        if isinstance(o.expr, ColumnExpr)
    ]


# -- (+) ------------------------------------------------------------------------------------------
def _marked_elsewhere(tree: Any) -> list[Any]:
    """Columns with (+) outside WHERE."""
    parts = [j.args.get("on") for j in tree.args.get("joins") or []]
    parts += [*tree.expressions, tree.args.get("group"), tree.args.get("having")]
    return [mark for part in parts if part is not None for mark in _marks(part)]


def _marks(part: Any) -> list[Any]:
    """Columns with (+) of this block, not of its subqueries."""
    nodes = part.walk(prune=lambda n: isinstance(n, exp.Query))
    return [n for n in nodes if isinstance(n, exp.Column) and n.args.get("join_mark")]


def _check_marked(part: Any) -> None:
    """Oracle's rules for a condition with (+)."""
    inner = part
    while isinstance(inner, exp.Paren | exp.Not):
        inner = inner.this
    if isinstance(inner, exp.Or):
        raise SqlSyntaxError(
            "ORA-01719: outer join operator (+) not allowed in operand of OR",
            position=position_of(part),
            hint="Write LEFT JOIN … ON.",
        )
    if any(isinstance(n, exp.Query) for n in part.walk()):
        raise SqlSyntaxError(
            "ORA-01799: a column may not be outer-joined to a subquery",
            position=position_of(part),
            hint="Write LEFT JOIN … ON.",
        )


def _source_of(expr: Expr) -> Source:
    if not isinstance(expr, ColumnExpr):
        raise refuse("(+) on anything but a column")
    return expr.source


def _apply_marks(scope: Scope, select: Select, marked: list[tuple[Source, Expr]]) -> None:
    """Conditions with (+) → ON conditions of LEFT joins; what they need is placed before them."""
    if any(s.join not in ("", "inner") for s in scope.sources):
        raise SqlSyntaxError("ORA-25156: (+) cannot be used together with ANSI joins")
    outer: dict[int, Source] = {}
    for source, expr in marked:
        if source not in scope.sources:
            raise SqlSyntaxError("ORA-01705: (+) on a column of the query outside")
        outer[id(source)] = source
        source.on.append(expr)
    plain = [s for s in scope.sources if id(s) not in outer]
    placed = list(plain)
    waiting = [s for s in scope.sources if id(s) in outer]
    while waiting:
        known = {id(s) for s in placed}
        ready = [s for s in waiting if _needs(s) <= known | {id(s)}]
        if not plain or not ready:
            raise SqlSyntaxError("ORA-01416: two tables cannot be outer-joined to each other")
        for source in ready:
            source.join = "left"
            placed.append(source)
            waiting.remove(source)
    placed[0].join = ""
    for source in plain[1:]:
        source.join = source.join or "inner"
    if plain[0].on:
        select.where += plain[0].on
        plain[0].on = []
    scope.sources[:] = placed


def _needs(source: Source) -> set[int]:
    return {id(e.source) for on in source.on for e in walk(on) if isinstance(e, ColumnExpr)}
