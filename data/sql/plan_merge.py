"""Partial aggregates: what elements compute of a group, and how it is put together. Pure."""

from __future__ import annotations

from data.sql.ir import (
    Agg,
    ColumnExpr,
    ConstExpr,
    Expr,
    Item,
    OrderItem,
    ParamExpr,
    Select,
    Source,
    SubqueryExpr,
    WindowExpr,
    transform,
    walk,
)
from data.sql.operators import call
from data.sql.printer import is_decimal_text
from protocol.sqltypes import BIGINT


def cannot_merge(query: Select) -> str:
    """Why the groups cannot be made of partial groups; "" if they can."""
    tops = [i.expr for i in query.items] + [o.expr for o in query.order] + query.having
    if query.row_limit is not None:
        return "ROWNUM cuts rows before they are grouped"
    for top in tops:
        for expr in walk(top):
            if isinstance(expr, SubqueryExpr):
                return "a subquery stands beside aggregates"
            if isinstance(expr, WindowExpr):
                return "a window stands over aggregates"
            if not isinstance(expr, Agg):
                continue
            if expr.distinct:
                if expr.filter is not None or expr.name not in ("count", "sum", "tg_dsum"):
                    return f"{expr.name} (DISTINCT) cannot be merged"
            elif not expr.merge:
                return f"{expr.name} cannot be merged from parts"
            if any(isinstance(e, SubqueryExpr) for a in expr.args for e in walk(a)):
                return "an aggregate of a subquery"
    keys = {g.key() for g in query.group}
    return "" if all(_derivable(t, keys) for t in tops) else "a column is not grouped"


def _derivable(expr: Expr, keys: set[object]) -> bool:
    """Can it be computed from group keys and aggregates alone?"""
    if expr.key() in keys or isinstance(expr, Agg):
        return True
    if isinstance(expr, ColumnExpr):
        return False
    return all(_derivable(c, keys) for c in expr.children())


class Merge:
    """The items of the partial query, and the final query over them."""

    def __init__(self, query: Select) -> None:
        self.query = query
        self.group: list[Expr] = list(query.group)
        self.items: list[Item] = [Item(f"K{n}", g) for n, g in enumerate(query.group)]
        self.source = Source("g", "G", "gather", [])
        self._place: dict[object, ColumnExpr] = {}
        for item in self.items:
            self._place[item.expr.key()] = ColumnExpr(self.source, item.name, item.expr.type)
        tops = [i.expr for i in query.items] + [o.expr for o in query.order] + query.having
        for top in tops:
            for expr in walk(top):
                if isinstance(expr, Agg):
                    self._add(expr)
        self.source.columns = [(i.name, i.expr.type) for i in self.items]
        if not self.items:
            self.items.append(Item("K0", ConstExpr(1, BIGINT)))

    def _add(self, agg: Agg) -> None:
        if agg.distinct:
            key = ("distinct", agg.args[0].key())
            if key not in self._place:
                name = f"D{len(self.items)}"
                self.items.append(Item(name, agg.args[0]))
                self.group.append(agg.args[0])
                self._place[key] = ColumnExpr(self.source, name, agg.args[0].type)
            return
        if agg.key() not in self._place:
            name = f"A{len(self.items)}"
            self.items.append(Item(name, agg))
            self._place[agg.key()] = ColumnExpr(self.source, name, agg.type)

    def _replace(self, expr: Expr) -> Expr | None:
        if isinstance(expr, Agg):
            if expr.distinct:
                column: Expr = self._place["distinct", expr.args[0].key()]
                return Agg(expr.name, (column,), expr.type, distinct=True)
            column = self._place[expr.key()]
            if is_decimal_text(expr.type) and expr.name in ("min", "max"):
                column = call("{0} COLLATE decimal", column, type_=expr.type)
            merged: Expr = Agg(expr.merge, (column,), expr.type)
            if expr.name == "count":
                merged = call("coalesce({0}, 0)", merged, type_=expr.type)
            return merged
        known = self._place.get(expr.key())
        if known is not None and not isinstance(expr, ConstExpr | ParamExpr):
            return known
        return None

    def final(self) -> Select:
        """The query over the gathered partial groups."""
        query = self.query
        final = Select(sources=[self.source], grouped=True, distinct=query.distinct)
        final.group = [ColumnExpr(self.source, f"K{n}", g.type) for n, g in enumerate(query.group)]
        final.items = [
            Item(i.name, transform(i.expr, self._replace), i.table_id, i.column_number)
            for i in query.items
        ]
        final.having = [transform(h, self._replace) for h in query.having]
        final.order = [
            OrderItem(transform(o.expr, self._replace), o.descending, o.nulls_first)
            for o in query.order
        ]
        final.limit, final.offset = query.limit, query.offset
        return final
