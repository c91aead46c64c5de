"""ALTER TABLE … MODIFY and ALTER COLUMN … TYPE: a column gets another type. Pure.

A type that holds every stored value as it is stored takes only a word in the catalog. Otherwise the
rows are converted as an assignment would, into the table made anew (Refill): a value that does not
fit fails the statement, and nothing has changed.
"""

from __future__ import annotations

from msgspec.structs import replace

from data.catalog.catalog import CreateTable, DropTable, shown
from data.catalog.element_ddl import (
    full_row_columns,
    has_bucket,
    quoted,
    storage_class,
    table_name,
)
from data.catalog.objects import Column, Distribution, Table
from data.sql.ddl_build import Builder, Refill
from data.sql.ddl_tables import check_default
from data.sql.type_names import type_text
from protocol.errors import DependentObjectsError, GridError
from protocol.sqltypes import Kind, SqlType


def widens(old: SqlType, new: SqlType) -> bool:
    """Is every stored value of `old` the same stored value of `new`?"""
    if storage_class(old) != storage_class(new):
        return False
    if old.kind is Kind.NUMBER and new.kind is Kind.NUMBER:
        if not (old.is_scaled and new.is_scaled):
            return new.precision == 0
        return old.scale == new.scale and new.precision >= old.precision
    if old.kind is not new.kind:
        integers = [Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT]
        if old.kind in integers and new.kind in integers:
            return integers.index(new.kind) > integers.index(old.kind)
        return {old.kind, new.kind} <= {Kind.CHAR, Kind.VARCHAR} and new.kind is Kind.VARCHAR
    if old.byte_length != new.byte_length and not old.byte_length:
        return False
    return new.length == 0 or 0 < old.length <= new.length


def plan_retype(
    builder: Builder,
    table: Table,
    column: Column,
    wanted: SqlType,
    using: str,
    uses: list[str],
    position: int,
) -> Table:
    """The table with `column` of type `wanted`, its values converted or given by `using`.

    `uses`: constraints and the like that the column is part of.
    """
    check_default(builder, column.default_sql, wanted, position)
    changed = replace(column, type=wanted)
    columns = tuple(changed if c.name == column.name else c for c in table.columns)
    after = replace(table, columns=columns)
    if not using and widens(column.type, wanted):
        return after
    if uses:
        raise DependentObjectsError(
            f'column "{shown(column.name)}" cannot change from {type_text(column.type)} '
            f"to {type_text(wanted)}: its values would be others",
            detail=", ".join(uses),
            hint="only a type that holds more of the same, or drop these first",
            position=position,
        )
    try:
        text = using or quoted(column.name)
        value = builder.hooks.compile_conversion(table, text, wanted)
    except GridError as error:
        error.position = position
        raise
    names = full_row_columns(table)
    names = names[:-1] if has_bucket(table) else names
    items = [value if n == column.name else quoted(n) for n in names]
    source = f"SELECT {', '.join(items)} FROM {quoted(table_name(table))}"
    builder.act(DropTable(table, builder.new_id()))
    builder.act(CreateTable(after))
    once = table.distribution is Distribution.DUPLICATE
    builder.refill(Refill(after, source, once=once))
    for key in table.foreign_keys:
        builder.lock(key.parent_id)
    return after
