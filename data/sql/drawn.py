"""Values made row by row behind a query: numbers of sequences, and expressions over them. Pure.

A sequence gives one number per row, in the order of the rows; so the query brings what such an
expression is made of, and the expression itself is computed for each row where the result is.
"""

from __future__ import annotations

from data.sql.convert import converter
from data.sql.ir import (
    Agg,
    ColumnExpr,
    Expr,
    Item,
    Source,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    transform,
    walk,
)
from data.sql.operators import cast
from data.sql.plan_types import (
    Const,
    Fragment,
    NextVal,
    RowValue,
    SourceColumn,
    ValueSource,
    make_fragment,
)
from data.sql.printer import Printer
from protocol.sqltypes import BIGINT, SqlType


def draws(expr: Expr) -> bool:
    """Does it name NEXTVAL?"""
    return any(isinstance(e, SpecialExpr) and e.special.name == "nextval" for e in walk(expr))


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
            return NextVal(expr.special.argument, converter(BIGINT, target))
        row = Source("", "", "dual", [])
        positions: list[int] = []

        def leaf(part: Expr) -> Expr | None:
            if not isinstance(part, ColumnExpr | SubqueryExpr | Agg | WindowExpr):
                return None
            positions.append(self.keep(part))
            return ColumnExpr(row, f"C{len(positions)}", part.type)

        made = transform(cast(expr, target), leaf)
        return RowValue(_RowPrinter(row, len(positions)).value(made), tuple(positions))


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
