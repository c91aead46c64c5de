"""GROUP BY: what may stand beside it, and GROUPING SETS, ROLLUP, CUBE as a UNION ALL. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, combinations, product
from typing import Any

from sqlglot import exp

from data.sql.derived import derived_source
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
    WindowExpr,
    deep_exprs,
    transform,
    walk,
)
from data.sql.operators import call
from data.sql.parse import refuse
from data.sql.scope import Statement, column_of, shown
from protocol.errors import GroupingError
from protocol.sqltypes import BIGINT, INTEGER

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
    written: dict[Any, type] = {}  # as what it is written
    alike: list[Any] = []  # what is bound to the same column as another: TRUNC (a) of a whole a

    def position(node: Any) -> int:
        expr = bind_one(node)
        key = expr.key()
        if key not in positions:
            positions[key] = len(select.group)
            select.group.append(expr)
        if isinstance(expr, ColumnExpr) and written.setdefault(key, type(node)) is not type(node):
            alike.append(node)
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
    binder.grouping = _GroupingMark
    if plain:
        return None if select.group else [[]]  # GROUP BY ()
    if alike:  # one could not be left out without the other
        raise refuse("grouping sets with a column and an expression that is always the same")
    sets_ = [sorted(set(_joined(choice))) for choice in product(*factors)]
    if len(sets_) > GROUP_SETS_MAX:
        raise refuse(f"more than {GROUP_SETS_MAX} grouping sets")
    return sets_


def _joined(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def _set_members(node: Any, members: Callable[[Any], list[int]]) -> list[int]:
    if isinstance(node, exp.Tuple) and not node.expressions:
        return []
    return members(node)


class _GroupingMark(ColumnExpr):
    """GROUPING (expr): 1 where the set leaves it out; of None GROUP_ID (): how often it was."""

    __slots__ = ("inner",)

    def __init__(self, inner: Expr | None) -> None:
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
        return ("grouping", None if self.inner is None else self.inner.key())


_NOWHERE = Source("", "", "dual", [])


def check_grouping_marks(select: Select) -> None:
    """Raises GroupingError for GROUPING of what is not grouped; of plain groups it is 0."""
    keys = {g.key() for g in select.group}
    for expr in _marks(select):
        if expr.inner is not None and expr.inner.key() not in keys:
            raise GroupingError("arguments of GROUPING must be expressions of GROUP BY")


def settle_grouping_marks(select: Select) -> None:
    """GROUPING in a query without grouping sets: nothing is left out."""
    if not _marks(select):
        return
    whole = list(range(len(select.group)))
    _apply(select, lambda e: _mark_value(e, select, whole, 0))


def expand_group_sets(statement: Statement, select: Select, sets: list[list[int]]) -> Query:
    """One SELECT per grouping set, joined by UNION ALL; what stands over groups is around it.

    The inner query gives the group columns (NULL where they are left out), the aggregates and the
    marks of GROUPING; HAVING, windows, DISTINCT and ORDER BY belong to the outer one.
    """
    parts: dict[Any, Expr] = {}
    groups = {g.key() for g in select.group}
    for top in _tops(select):
        for expr in _parts_of(top, groups, select.sources):
            parts.setdefault(expr.key(), expr)
    if not parts:
        parts["one"] = ConstExpr(1, INTEGER)
    seen: list[list[int]] = []
    query: Query | None = None
    for members in sets:
        branch = _branch(select, members, seen.count(members), list(parts.values()))
        seen.append(members)
        if query is None:
            query = branch
            continue
        union = SetOp(op="UNION ALL", left=query, right=branch)
        union.items = [Item(i.name, SetColumn(n, i.expr.type)) for n, i in enumerate(branch.items)]
        query = union
    assert query is not None
    source = derived_source(statement, query, "")
    columns = {
        key: column_of(source, name) for key, (name, _) in zip(parts, source.columns, strict=True)
    }
    outer = Select(sources=[source], distinct=select.distinct, windowed=select.windowed)
    outer.limit, outer.offset = select.limit, select.offset
    outer.items, outer.order = select.items, select.order
    outer.where = select.having
    _apply(outer, lambda e: _outside(e, columns))
    return outer


def _tops(select: Select) -> list[Expr]:
    return [i.expr for i in select.items] + [o.expr for o in select.order] + select.having


def _marks(select: Select) -> list[_GroupingMark]:
    return [e for top in _tops(select) for e in walk(top) if isinstance(e, _GroupingMark)]


def _apply(select: Select, change: Callable[[Expr], Expr | None]) -> None:
    select.items = [
        Item(i.name, transform(i.expr, change), i.table_id, i.column_number) for i in select.items
    ]
    select.order = [
        OrderItem(transform(o.expr, change), o.descending, o.nulls_first) for o in select.order
    ]
    select.having = [transform(h, change) for h in select.having]
    select.where = [transform(w, change) for w in select.where]


def _parts_of(expr: Expr, groups: set[Any], sources: list[Source]) -> list[Expr]:
    """What an expression over groups is made of: group expressions, aggregates, marks."""
    if isinstance(expr, Agg | _GroupingMark) or expr.key() in groups:
        return [expr]
    if isinstance(expr, SubqueryExpr) and any(
        isinstance(e, ColumnExpr) and e.key() in groups for e in deep_exprs(expr.query)
    ):
        raise refuse("a correlated subquery over grouping sets")
    if isinstance(expr, ColumnExpr) and expr.source in sources:
        raise GroupingError(f'column "{shown(expr.name)}" must appear in GROUP BY')
    children = expr.children()
    return [part for child in children for part in _parts_of(child, groups, sources)]


def _outside(expr: Expr, columns: dict[Any, ColumnExpr]) -> Expr | None:
    if isinstance(expr, ConstExpr):
        return None
    known = columns.get(expr.key())
    if known is not None:
        return known
    if isinstance(expr, WindowExpr) and isinstance(expr.function, Agg):
        change = partial(_outside, columns=columns)
        agg = expr.function
        function = Agg(
            agg.name,
            tuple(transform(a, change) for a in agg.args),
            agg.type,
            merge=agg.merge,
            distinct=agg.distinct,
            filter_=None if agg.filter is None else transform(agg.filter, change),
        )
        bare = WindowExpr(function, (), (), expr.frame)
        return WindowExpr(
            bare.function,
            tuple(transform(p, change) for p in expr.partition),
            tuple(
                OrderItem(transform(o.expr, change), o.descending, o.nulls_first)
                for o in expr.order
            ),
            expr.frame,
        )
    return None


def _mark_value(expr: Expr, select: Select, members: list[int], before: int) -> Expr | None:
    if not isinstance(expr, _GroupingMark):
        return expr if isinstance(expr, Agg) else None
    if expr.inner is None:
        return ConstExpr(before, INTEGER)
    kept = {select.group[i].key() for i in members}
    return ConstExpr(int(expr.inner.key() not in kept), INTEGER)


def _branch(select: Select, members: list[int], before: int, parts: list[Expr]) -> Select:
    left_out = {g.key() for i, g in enumerate(select.group) if i not in members}

    def value(expr: Expr) -> Expr:
        mark = _mark_value(expr, select, members, before)
        if mark is not None:
            return mark
        return ConstExpr(None, expr.type) if expr.key() in left_out else expr

    branch = Select(
        sources=select.sources,
        where=select.where,
        group=[select.group[i] for i in members],
        grouped=True,
        row_limit=select.row_limit,
    )
    branch.items = [Item(f"P{n}", value(e)) for n, e in enumerate(parts)]
    if not branch.group and not any(isinstance(i.expr, Agg) for i in branch.items):
        count = Agg("count", (), BIGINT, merge="sum")
        first = branch.items[0]
        first.expr = call(
            "CASE WHEN {1} >= 0 THEN {0} END", first.expr, count, type_=first.expr.type
        )
    return branch
