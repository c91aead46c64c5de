"""Materialized views as elements hold them: rows of the detail table to rows of the view. Pure.

A row of the view is found again by its key: the PRIMARY KEY the view was given, or the detail's
primary key where the view selects it, or the detail's hidden row key or single integer key: that is
the view's hidden row key then. A row with a NULL in a distribution column is in `NULL_BUCKET`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from data.catalog.element_ddl import (
    ROWKEY,
    full_row_columns,
    key_columns,
    quoted,
    storage_class,
    table_name,
)
from data.catalog.objects import Table
from protocol.sqltypes import StorageRow

NULL_BUCKET = 0


def row_key_of(detail: Table) -> str:
    """The column of the detail that can be its view's hidden row key; "" for none."""
    if detail.row_key:
        return ROWKEY
    if len(detail.primary_key) == 1:
        column = detail.column(detail.primary_key[0])
        assert column is not None
        if storage_class(column.type) == "INTEGER":
            return column.name
    return ""


def rows_of_view(view: Table, detail: Table, condition: str = "") -> str:
    """SQLite text: an element's rows of the detail as full rows of the view, without bucket."""
    made = view.materialized
    assert made is not None
    items = list(made.items)
    if view.row_key:
        items.insert(0, quoted(row_key_of(detail)))
    named = zip(items, full_row_columns(view)[: len(items)], strict=True)
    text = ", ".join(f"{item} AS {quoted(name)}" for item, name in named)
    conditions = " AND ".join(f"({c})" for c in (made.where, condition) if c)
    where = f" WHERE {conditions}" if conditions else ""
    return f"SELECT {text} FROM {quoted(table_name(detail))}{where}"


def _detail_column(view: Table, detail: Table, name: str) -> str:
    """The detail's column that a column of the view's full row stands for, "" for an expression."""
    assert view.materialized is not None
    if name == ROWKEY:
        return row_key_of(detail)
    return view.materialized.columns[[c.name for c in view.columns].index(name)]


@dataclass(frozen=True, slots=True)
class ViewLink:
    """A materialized view seen from its detail table. Positions are in the detail's full row."""

    view: Table
    placing: tuple[int, ...]  # of the view's distribution columns
    key: tuple[int, ...]  # of what identifies the view's row
    plain: tuple[int, ...] | None  # of the view's full row; None: it takes SQL
    watched: frozenset[int]  # a change of none of these changes nothing in the view
    row_sql: str  # the view's row for one row of the detail, by its key
    detail_key: tuple[int, ...]

    def old(self, row: StorageRow) -> StorageRow:
        """What finds the view's row of a row of the detail: values that place it, then its key."""
        return tuple([row[i] for i in (*self.placing, *self.key)])

    def changed(self, old: StorageRow | None, new: StorageRow | None) -> bool:
        """May the view look different after the change?"""
        if old is None or new is None:
            return True
        return any(old[i] != new[i] for i in self.watched)


def view_link(view: Table, detail: Table) -> ViewLink:
    """How changes of the detail reach the view."""
    made = view.materialized
    assert made is not None
    at = {name: i for i, name in enumerate(full_row_columns(detail))}
    shown = [_detail_column(view, detail, name) for name in full_row_columns(view)[:-1]]
    plain = tuple(at[name] for name in shown) if all(shown) and not made.where else None
    key = key_columns(view)
    where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(key_columns(detail), 1))
    every = range(len(at) - 1)  # the bucket of the detail's row is nothing to the view
    return ViewLink(
        view=view,
        placing=tuple(at[_detail_column(view, detail, c)] for c in view.distribution_key),
        key=tuple(at[_detail_column(view, detail, c)] for c in key),
        plain=plain,
        watched=frozenset(every if plain is None else plain),
        row_sql=rows_of_view(view, detail, where),
        detail_key=tuple(at[c] for c in key_columns(detail)),
    )


def views_of(tables: Iterable[Table], detail: Table) -> list[Table]:
    """The materialized views of a table among `tables`."""
    return [t for t in tables if t.materialized and t.materialized.detail_id == detail.id]
