"""Values made row by row behind a query: numbers of sequences, and expressions over them. Pure.

A sequence gives one number per row, in the order of the rows; so the query brings what such an
expression is made of, and the expression itself is computed for each row where the result is.
"""

from __future__ import annotations

from dataclasses import replace

from data.sql.convert import conversion
from data.sql.ir import (
    Agg,
    ColumnExpr,
    Expr,
    Item,
    Select,
    Source,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    transform,
    walk,
)
from data.sql.operators import cast, number_const
from data.sql.parse import refuse
from data.sql.plan import Planner
from data.sql.plan_types import (
    Const,
    Fragment,
    NextVal,
    QueryPlan,
    RowValue,
    SourceColumn,
    Special,
    ValueSource,
    make_fragment,
)
from data.sql.printer import Printer
from protocol.sqltypes import BIGINT, SqlType


def draws(expr: Expr) -> bool:
    """Does it name NEXTVAL?"""
    return any(isinstance(e, SpecialExpr) and e.special.name == "nextval" for e in walk(expr))


def same_numbers(exprs: list[Expr]) -> list[Expr]:
    """CURRVAL beside NEXTVAL of a sequence is the number the row draws, wherever it stands."""
    drawn = {
        e.special.argument
        for expr in exprs
        for e in walk(expr)
        if isinstance(e, SpecialExpr) and e.special.name == "nextval"
    }

    def change(expr: Expr) -> Expr | None:
        if not isinstance(expr, SpecialExpr) or expr.special.name != "currval":
            return None
        if expr.special.argument not in drawn:
            return None
        return SpecialExpr(Special("nextval", expr.special.argument), expr.type)

    return [transform(expr, change) if drawn else expr for expr in exprs]


class Drawn:
    """Splits expressions into items of a query and what is made of each of its rows.

    `kept`: the query's items; `offset`: how many columns stand before them in its rows.
    """

    def __init__(self, kept: list[Item], offset: int = 0) -> None:
        self.kept = kept
        self.offset = offset

    def keep(self, expr: Expr) -> int:
        """One more item of the query: its position in the rows."""
        self.kept.append(Item(f"V{len(self.kept)}", expr))
        return self.offset + len(self.kept) - 1

    def source(self, expr: Expr, target: SqlType) -> ValueSource:
        """Where a value of type `target` comes from."""
        if not draws(expr):
            return SourceColumn(self.keep(cast(expr, target)))
        if isinstance(expr, SpecialExpr):
            return NextVal(expr.special.argument, conversion(BIGINT, target))
        row = Source("", "", "dual", [])
        positions: list[int] = []

        def leaf(part: Expr) -> Expr | None:
            if not isinstance(part, ColumnExpr | SubqueryExpr | Agg | WindowExpr):
                return None
            positions.append(self.keep(part))
            return ColumnExpr(row, f"C{len(positions)}", part.type)

        made = transform(cast(expr, target), leaf)
        return RowValue(_RowPrinter(row, len(positions)).value(made), tuple(positions))


def plan_drawn(planner: Planner, query: Select) -> QueryPlan:
    """The plan of a query whose select list may name NEXTVAL. Raises NotSupportedError."""
    over_rows = any(s.kind != "dual" for s in query.sources)
    if not over_rows or not any(draws(i.expr) for i in query.items):
        return planner.plan(query, ships=True)
    if query.distinct or query.grouped or any(draws(o.expr) for o in query.order):
        raise refuse("NEXTVAL with DISTINCT, GROUP BY or ORDER BY of it")
    columns = planner.result_columns(query)
    drawn = Drawn([])
    exprs = same_numbers([item.expr for item in query.items])
    made = tuple(drawn.source(expr, expr.type) for expr in exprs)
    query.items = drawn.kept or [Item("1", number_const("1"))]
    return replace(planner.plan(query, ships=True), columns=columns, made=made)


class _RowPrinter(Printer):
    """Prints an expression over a row of the query: its columns are ?1..?n."""

    def __init__(self, row: Source, width: int) -> None:
        super().__init__()
        self._width = width
        self._columns = {(id(row), f"C{n}"): f"?{n}" for n in range(1, width + 1)}
        self.sources = [Const(None)] * width

    def value(self, expr: Expr) -> Fragment:
        """SELECT of the expression; `params` are those behind the row's columns."""
        sql = f"SELECT {self.expr(expr)}"
        if self._width:
            sql += f" WHERE ?{self._width} IS ?{self._width}"  # so that all are parameters
        return make_fragment(sql, tuple(self.sources[self._width :]))
