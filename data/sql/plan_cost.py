"""How many rows and bytes a part of a query gives, roughly: from statistics, else by rules. Pure.

Selectivities without statistics are those of System R (Selinger et al., SIGMOD 1979), 1/10 for an
equality, 1/3 for a range; with statistics, 1/(different values) and the share of the range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from data.catalog.catalog import Catalog
from data.catalog.objects import ColumnStats, Distribution, Table
from data.sql.ir import Call, ColumnExpr, ConstExpr, Expr, Source, SubqueryExpr, walk
from protocol.sqltypes import SqlType

ROWS_UNKNOWN = 10_000.0  # of a hash table
CHILDREN_UNKNOWN = 4.0  # rows per parent row
DUPLICATE_UNKNOWN = 100.0
EQUAL, RANGE, LIKE, NULL, OTHER = 0.1, 1 / 3, 0.1, 0.05, 1 / 3
LEAST = 0.001  # what statistics call impossible may have come since
_COMPARED = re.compile(r"\(\{0\} (<|>|<=|>=) \{1\}\)")
VALUE_BYTES, TEXT_BYTES_MAX = 9.0, 60.0


class Costs:
    """Estimates against one version of the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def table_rows(self, table: Table, depth: int = 0) -> float:
        """Rows of a table in the whole grid."""
        stats = self._catalog.stats.get(table.id)
        if stats is not None:
            return max(float(stats.rows), 1.0)
        if table.distribution is Distribution.DUPLICATE:
            return DUPLICATE_UNKNOWN
        key = table.reference if table.distribution is Distribution.REFERENCE else None
        parent = self._catalog.by_id.get(key.parent_id) if key is not None else None
        if isinstance(parent, Table) and depth < 10:
            return CHILDREN_UNKNOWN * self.table_rows(parent, depth + 1)
        return ROWS_UNKNOWN

    def source_rows(self, source: Source, conditions: Iterable[Expr]) -> float:
        """Rows of a source that pass these conditions."""
        rows = self.table_rows(source.table) if source.table is not None else ROWS_UNKNOWN
        for condition in conditions:
            rows *= self.selectivity(condition, source)
        return max(rows, 1.0)

    def selectivity(self, condition: Expr, source: Source) -> float:
        """The share of rows that pass."""
        if isinstance(condition, SubqueryExpr):
            return OTHER
        if not isinstance(condition, Call):
            return OTHER
        parts = [a for a in condition.args if isinstance(a, Call | SubqueryExpr)]
        template = condition.template
        if " OR " in template:
            return min(1.0, sum(self.selectivity(p, source) for p in parts) or OTHER)
        if template.startswith("({0} AND {1}"):
            share = 1.0
            for part in parts:
                share *= self.selectivity(part, source)
            return share
        if "NOT LIKE" in template or "<>" in template:
            return 1 - LIKE
        if " LIKE " in template:
            return LIKE
        if " IN (" in template:
            return min(1.0, self._equal(condition, source) * (len(condition.args) - 1))
        if " = " in template:
            return self._equal(condition, source)
        if " IS NULL" in template or " IS NOT NULL" in template:
            return self._null(condition, source, "NOT" in template)
        if " BETWEEN " in template:
            return self._between(condition, source)
        return self._range(condition, source)

    def _column(self, condition: Call, source: Source) -> ColumnStats | None:
        """Statistics of the one column of the source in a condition."""
        if source.table is None:
            return None
        stats = self._catalog.stats.get(source.table.id)
        names = {
            e.name for e in walk(condition) if isinstance(e, ColumnExpr) and e.source is source
        }
        return stats.column(names.pop()) if stats is not None and len(names) == 1 else None

    def _null(self, condition: Call, source: Source, negated: bool) -> float:
        column = self._column(condition, source)
        share = NULL if column is None else max(column.null_share, LEAST)
        return 1 - share if negated else share

    def _range(self, condition: Call, source: Source) -> float:
        """column < value, by the place of the value between the extremes."""
        match = _COMPARED.fullmatch(condition.template)
        column = self._column(condition, source)
        if match is None or column is None or len(condition.args) != 2:
            return RANGE if any(f" {sign}" in condition.template for sign in "<>") else OTHER
        left, right = condition.args
        below = match[1].startswith("<")
        if isinstance(right, ColumnExpr):
            left, right, below = right, left, not below
        place = _place(column, right)
        if place is None or not isinstance(left, ColumnExpr):
            return RANGE
        return max(place if below else 1 - place, LEAST)

    def _between(self, condition: Call, source: Source) -> float:
        column = self._column(condition, source)
        if column is None or len(condition.args) != 3:
            return RANGE * RANGE
        low, high = (_place(column, a) for a in condition.args[1:])
        if low is None or high is None:
            return RANGE * RANGE
        return max(high - low, LEAST)

    def _equal(self, condition: Call, source: Source) -> float:
        column = self._column(condition, source)
        if column is not None and column.distinct:
            return (1 - column.null_share) / column.distinct
        table = source.table
        names = [a.name for a in condition.args if isinstance(a, ColumnExpr) and a.source is source]
        if table is not None and any(i.unique and [*i.columns] == names for i in table.indexes):
            return 1 / self.table_rows(table)
        return EQUAL

    def width(self, types: Iterable[SqlType]) -> float:
        """Bytes of a row of these types, as they are sent."""
        total = 2.0
        for type_ in types:
            length = type_.length
            total += min(length / 2 + 2, TEXT_BYTES_MAX) if length else VALUE_BYTES
        return total


def _place(column: ColumnStats, value: Expr) -> float | None:
    """Where a literal lies between the least (0) and the greatest (1) value of a column."""
    low, high = column.low, column.high
    if not isinstance(value, ConstExpr) or not isinstance(value.value, int | float):
        return None
    if not isinstance(low, int | float) or not isinstance(high, int | float) or low >= high:
        return None
    return min(max((value.value - low) / (high - low), 0.0), 1.0)
