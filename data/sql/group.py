"""GROUP BY: what may stand beside it, and GROUPING SETS, ROLLUP, CUBE as a UNION ALL. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, combinations, product
from typing import Any

from sqlglot import exp

from data.sql.ir import (
    Agg,
    ColumnExpr,
    ConstExpr,
    Expr,
    Item,
    OrderItem,
    Query,
    Select,
    SetColumn,
    SetOp,
    Source,
    SubqueryExpr,
    transform,
)
from data.sql.parse import refuse
from data.sql.scope import shown
from protocol.errors import GroupingError
from protocol.sqltypes import INTEGER

GROUP_SETS_MAX = 256


def check_grouping(select: Select) -> None:
    """Raises GroupingError for a column that is neither grouped nor aggregated."""
    keys = {g.key() for g in select.group}
    own = {id(s) for s in select.sources}
    fixed = {
        id(s) for s in select.sources if _primary_key_grouped(s, keys)
    }  # as PostgreSQL: the primary key fixes the row

    def check(expr: Expr) -> None:
        if isinstance(expr, Agg) or expr.key() in keys:
            return
        if isinstance(expr, ColumnExpr):
            if id(expr.source) in own and id(expr.source) not in fixed:
                raise GroupingError(
                    f'column "{shown(expr.source.name)}.{shown(expr.name)}" must appear in the '
                    "GROUP BY clause or be used in an aggregate function"
                )
            return
        for child in expr.children():
            check(child)
        if isinstance(expr, SubqueryExpr):
            return

    for item in select.items:
        check(item.expr)
    for condition in select.having:
        check(condition)
    for order in select.order:
        check(order.expr)


def _primary_key_grouped(source: Source, keys: set[Any]) -> bool:
    if source.table is None or not source.table.primary_key:
        return False
    return all(("col", id(source), name) in keys for name in source.table.primary_key)


def read_group_sets(
    clause: Any, select: Select, bind_one: Callable[[Any], Expr], binder: Any
) -> list[list[int]] | None:
    """Fill select.group; the grouping sets as positions in it, None for a plain GROUP BY."""
    if clause.args.get("totals") or clause.args.get("all"):
        raise refuse("GROUP BY ALL")
    positions: dict[Any, int] = {}

    def position(node: Any) -> int:
        expr = bind_one(node)
        key = expr.key()
        if key not in positions:
            positions[key] = len(select.group)
            select.group.append(expr)
        return positions[key]

    def members(node: Any) -> list[int]:
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Tuple):
            return [position(e) for e in node.expressions]
        return [position(node)]

    factors: list[list[list[int]]] = []
    plain = True
    nodes = list(clause.expressions)
    for extra in ("grouping_sets", "rollup", "cube"):
        nodes += clause.args.get(extra) or []
    for node in nodes:
        if isinstance(node, exp.Rollup):
            parts = [members(e) for e in node.expressions]
            factors.append([_joined(parts[:n]) for n in range(len(parts), -1, -1)])
            plain = False
        elif isinstance(node, exp.Cube):
            parts = [members(e) for e in node.expressions]
            sets = [c for n in range(len(parts), -1, -1) for c in combinations(parts, n)]
            factors.append([_joined(c) for c in sets])
            plain = False
        elif isinstance(node, exp.GroupingSets):
            factors.append([_set_members(e, members) for e in node.expressions])
            plain = False
        else:
            factors.append([members(node)])
    if plain:
        return None
    sets_ = [sorted(set(_joined(choice))) for choice in product(*factors)]
    if len(sets_) > GROUP_SETS_MAX:
        raise refuse(f"more than {GROUP_SETS_MAX} grouping sets")
    binder.grouping = lambda expr: _GroupingMark(expr)
    return sets_


def _joined(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def _set_members(node: Any, members: Callable[[Any], list[int]]) -> list[int]:
    if isinstance(node, exp.Tuple) and not node.expressions:
        return []
    return members(node)


class _GroupingMark(ColumnExpr):
    """GROUPING(expr): 1 where the set leaves the expression out."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expr) -> None:
        self.inner = inner
        self.type = INTEGER

    def children(self) -> tuple[Expr, ...]:
        return ()

    @property
    def source(self) -> Source:  # type: ignore[override]
        return _NOWHERE

    @property
    def name(self) -> str:  # type: ignore[override]
        return "GROUPING"

    def key(self) -> Any:
        return ("grouping", self.inner.key())


_NOWHERE = Source("", "", "dual", [])


def expand_group_sets(select: Select, sets: list[list[int]]) -> Query:
    """One SELECT per grouping set, joined by UNION ALL."""
    hidden = [o for o in select.order if all(o.expr.key() != i.expr.key() for i in select.items)]
    if hidden:
        raise refuse("ORDER BY of grouping sets by anything but the select list")
    branches = [_branch(select, members) for members in sets]
    query: Query = branches[0]
    for branch in branches[1:]:
        union = SetOp(op="UNION ALL", left=query, right=branch)
        union.items = [Item(i.name, SetColumn(n, i.expr.type)) for n, i in enumerate(select.items)]
        query = union
    if isinstance(query, Select):
        query.order, query.limit, query.offset = select.order, select.limit, select.offset
        return query
    keys = [i.expr.key() for i in select.items]
    query.order = [
        OrderItem(SetColumn(keys.index(o.expr.key()), o.expr.type), o.descending, o.nulls_first)
        for o in select.order
    ]
    query.limit, query.offset = select.limit, select.offset
    return query


def _branch(select: Select, members: list[int]) -> Select:
    left_out = {g.key() for i, g in enumerate(select.group) if i not in members}

    def change(expr: Expr) -> Expr | None:
        if isinstance(expr, _GroupingMark):
            return ConstExpr(int(expr.inner.key() in left_out), INTEGER)
        if isinstance(expr, Agg):
            return expr
        if expr.key() in left_out:
            return ConstExpr(None, expr.type)
        return None

    branch = Select(
        sources=select.sources,
        where=select.where,
        group=[select.group[i] for i in members],
        grouped=True,
        having=[transform(h, change) for h in select.having],
        distinct=select.distinct,
        row_limit=select.row_limit,
        windowed=select.windowed,
    )
    branch.items = [
        Item(i.name, transform(i.expr, change), i.table_id, i.column_number) for i in select.items
    ]
    return branch
