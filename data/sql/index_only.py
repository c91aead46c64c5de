"""Queries that a global index can answer alone: they read its entries instead of the table. Pure.

The entries of a global index are a table of their own, distributed by the index's columns: with
these columns bound to values, and no column asked for that the entries do not hold (key columns and
those of INCLUDE), one replica set answers, and the table is not touched.
"""

from __future__ import annotations

from msgspec.structs import replace

from data.catalog.element_ddl import BUCKET, ROWKEY, TARGET, global_index_table
from data.catalog.objects import Distribution, Index, Table
from data.sql.ir import Query, Select, Source, all_queries
from data.sql.placement import Classes

_HIDDEN = frozenset({BUCKET, ROWKEY, TARGET})


def read_entries(query: Query) -> None:
    """Make sources read entries where those are enough."""
    for part in all_queries(query):
        if not isinstance(part, Select) or part.lock is not None:
            continue
        if any(s.join in ("right", "full") for s in part.sources):
            continue
        classes: Classes | None = None
        for source in part.sources:
            if source.table is None or not _may_have(source.table):
                continue
            if classes is None:
                classes = _learned(part)
            if _is_bound(source, source.table.distribution_key, classes):
                continue
            for index in source.table.indexes:
                if index.is_global and _is_enough(source, index, classes):
                    source.table = entries_of(source.table, index)
                    break


def entries_of(table: Table, index: Index) -> Table:
    """The entries under the id of their table: who locks the table locks them.

    Without keys: the bucket of an entry is not that of the row it names.
    """
    return replace(global_index_table(table, index), id=table.id, indexes=())


def _may_have(table: Table) -> bool:
    return table.distribution is not Distribution.DUPLICATE and any(
        i.is_global for i in table.indexes
    )


def _learned(query: Select) -> Classes:
    classes = Classes()
    for condition in query.where:
        classes.add(condition)
    for source in query.sources:
        if source.join in ("", "inner"):
            for condition in source.on:
                classes.add(condition)
    return classes


def _is_bound(source: Source, columns: tuple[str, ...], classes: Classes) -> bool:
    """Is each of these columns one of some known values?"""
    return bool(columns) and all(
        classes.choices(("col", id(source), column)) is not None for column in columns
    )


def _is_enough(source: Source, index: Index, classes: Classes) -> bool:
    assert source.table is not None
    if not _is_bound(source, index.columns, classes):
        return False
    there = {c.name for c in global_index_table(source.table, index).columns} - _HIDDEN
    return source.used <= there
