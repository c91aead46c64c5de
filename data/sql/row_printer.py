"""Prints expressions over rows at hand: RETURNING, ON CONFLICT DO UPDATE. Pure."""

from __future__ import annotations

from data.catalog.objects import Table
from data.sql.ir import ColumnExpr, Expr, Source
from data.sql.plan_types import Const, Fragment, make_fragment
from data.sql.printer import Printer
from data.sql.scope import PSEUDO_COLUMNS


class RowPrinter(Printer):
    """Prints expressions over given rows: their columns are ?1..?n, other parameters follow."""

    def __init__(self, rows: list[tuple[Source, Table]]) -> None:
        super().__init__()
        number = 0
        for source, table in rows:
            for column in table.columns:
                number += 1
                self._columns[id(source), column.name] = f"?{number}"
        self.reserved = number
        self.sources = [Const(None)] * number

    def add_pseudo_columns(self, source: Source) -> None:
        """Where the row is, in the order of PSEUDO_COLUMNS: further values after its columns."""
        for name in PSEUDO_COLUMNS:
            self.reserved += 1
            self._columns[id(source), name] = f"?{self.reserved}"
            self.sources.append(Const(None))

    def add(self, column: ColumnExpr) -> bool:
        """A column of another table: one more value of the row. False: it is there already."""
        key = (id(column.source), column.name)
        if key in self._columns:
            return False
        self.reserved += 1
        self._columns[key] = f"?{self.reserved}"
        self.sources.append(Const(None))
        return True

    def row_fragment(self, exprs: list[Expr]) -> Fragment:
        """SELECT of the expressions; `params` are those after the rows' columns."""
        sql = "SELECT " + ", ".join(self.expr(e) for e in exprs)
        sql += f" WHERE ?{self.reserved} IS ?{self.reserved}"  # so that all are parameters
        return make_fragment(sql, tuple(self.sources[self.reserved :]))
