"""Row limits that look at ranks: FETCH … PERCENT, WITH TIES, DISTINCT ON; INTERSECT ALL, MINUS ALL.

Each becomes window functions over the query as a derived table, and a condition on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.sql.derived import derived_source
from data.sql.ir import (
    Agg,
    Call,
    ColumnExpr,
    Expr,
    Item,
    OrderItem,
    Query,
    Select,
    SetColumn,
    SetOp,
    WindowExpr,
)
from data.sql.operators import call, to_float
from data.sql.parse import refuse
from data.sql.scope import Statement, column_of
from protocol.errors import SqlSyntaxError
from protocol.sqltypes import BIGINT, BOOLEAN


@dataclass
class _Around:
    """A query as a derived table: its columns, and its ORDER BY in terms of them."""

    inner: Select
    items: list[Item]
    order: list[OrderItem]


def _around(statement: Statement, query: Query, extra: list[Expr]) -> tuple[_Around, list[Expr]]:
    """`extra`: more expressions of the query to bring along (not of a DISTINCT one)."""
    if query.lock is not None:
        raise refuse("FOR UPDATE with such a row limit")
    visible = len(query.items)
    keys = [i.expr.key() for i in query.items]
    places: list[int] = []
    for expr in [*(o.expr for o in query.order), *extra]:
        if isinstance(expr, SetColumn):
            places.append(expr.position)
            continue
        if expr.key() not in keys:
            query.items.append(Item(f"\x01{len(keys)}", expr))
            keys.append(expr.key())
        places.append(keys.index(expr.key()))
    given, query.order = query.order, []
    source = derived_source(statement, query, "")
    columns = [column_of(source, name) for name, _ in source.columns]
    items = [
        Item(i.name, c, i.table_id, i.column_number)
        for i, c in zip(query.items[:visible], columns, strict=False)
    ]
    order = [
        OrderItem(columns[p], o.descending, o.nulls_first)
        for p, o in zip(places, given, strict=False)
    ]
    inner = Select(sources=[source], windowed=True)
    return _Around(inner, items, order), [columns[p] for p in places[len(given) :]]


def _finish(statement: Statement, around: _Around, marks: list[Expr]) -> tuple[Select, list[Expr]]:
    """The query over the ranked rows, still without a condition; and the marks as its columns."""
    visible, ordered = len(around.items), len(around.order)
    around.inner.items = [
        *around.items,
        *(Item(f"\x01O{n}", o.expr) for n, o in enumerate(around.order)),
        *(Item(f"\x01M{n}", m) for n, m in enumerate(marks)),
    ]
    source = derived_source(statement, around.inner, "")
    columns = [column_of(source, name) for name, _ in source.columns]
    outer = Select(sources=[source])
    outer.items = [
        Item(i.name, c, i.table_id, i.column_number)
        for i, c in zip(around.items, columns, strict=False)
    ]
    outer.order = [
        OrderItem(c, o.descending, o.nulls_first)
        for o, c in zip(around.order, columns[visible:], strict=False)
    ]
    return outer, list(columns[visible + ordered :])


def _window(name: str, order: list[OrderItem], partition: tuple[Expr, ...] = ()) -> Expr:
    return WindowExpr(Call(f"{name}()", (), BIGINT), partition, tuple(order), "")


def fetch(statement: Statement, query: Query, *, percent: bool, ties: bool) -> Query:
    """FETCH FIRST n [PERCENT] ROWS { ONLY | WITH TIES }."""
    wanted, skipped = query.limit, query.offset
    assert wanted is not None
    if ties and not query.order:
        raise SqlSyntaxError("FETCH … WITH TIES needs ORDER BY")
    query.limit = query.offset = None
    around, _ = _around(statement, query, [])
    marks = [_window("row_number", around.order), _window("rank", around.order)]
    marks.append(WindowExpr(Agg("count", (), BIGINT), (), (), ""))
    outer, (number, rank, count) = _finish(statement, around, marks)
    last: Expr = wanted
    if percent:
        share = call("(max({0}, 0) * {1})", wanted, count, type_=BIGINT)
        last = call("(({0} + 99) / 100)", share, type_=BIGINT)
        if not _is_whole(wanted):
            text = "CAST(ceil({0} * {1} / 100.0) AS INTEGER)"
            last = call(text, to_float(wanted), count, type_=BIGINT)
    if skipped is not None:
        last = call("({0} + max({1}, 0))", last, skipped, type_=BIGINT)
        outer.where.append(call("({0} > {1})", number, skipped, type_=BOOLEAN))
    outer.where.append(call("({0} <= {1})", rank if ties else number, last, type_=BOOLEAN))
    return outer


def _is_whole(expr: Expr) -> bool:
    return not expr.type.is_scaled or expr.type.scale == 0


def distinct_on(statement: Statement, query: Select, keys: list[Expr]) -> Select:
    """SELECT DISTINCT ON (keys): of the rows with the same keys the first in the order."""
    leading = {o.expr.key() for o in query.order[: len(keys)]}
    if query.order and not leading <= {k.key() for k in keys}:
        raise SqlSyntaxError(
            "SELECT DISTINCT ON expressions must match initial ORDER BY expressions"
        )
    limit, offset = query.limit, query.offset
    query.limit = query.offset = None
    around, partition = _around(statement, query, keys)
    rank = _window("row_number", around.order, tuple(partition))
    outer, (number,) = _finish(statement, around, [rank])
    outer.where.append(call("({0} = 1)", number, type_=BOOLEAN))
    outer.limit, outer.offset = limit, offset
    return outer


def all_of(statement: Statement, op: str, left: Query, right: Query) -> Select:
    """left INTERSECT ALL right, left EXCEPT ALL right: equal rows are numbered, then told apart."""
    numbered = SetOp(op=op, left=_numbered(statement, left), right=_numbered(statement, right))
    types = [i.expr.type for i in numbered.left.items]
    numbered.items = [Item(f"C{n}", SetColumn(n, t)) for n, t in enumerate(types)]
    source = derived_source(statement, numbered, "")
    outer = Select(sources=[source])
    outer.items = [
        Item(i.name, column_of(source, name))
        for i, (name, _) in zip(left.items, source.columns, strict=False)
    ]
    return outer


def _numbered(statement: Statement, query: Query) -> Select:
    source = derived_source(statement, query, "")
    columns: list[ColumnExpr] = [column_of(source, name) for name, _ in source.columns]
    number = _window("row_number", [], tuple(columns))
    select = Select(sources=[source], windowed=True)
    select.items = [Item(f"C{n}", c) for n, c in enumerate([*columns, number])]
    return select


__all__ = ["all_of", "distinct_on", "fetch"]
