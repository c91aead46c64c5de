"""ALTER TABLE … DISTRIBUTE BY: the rows of a filled table go where the new clause puts them. Pure.

The table is made anew beside the old one and filled in the transaction of the change (Refill);
tables whose rows follow its rows by reference go with it. Readers go on, writers wait.
"""

from __future__ import annotations

import itertools

from msgspec.structs import replace

from data.catalog.catalog import CreateTable, DropTable, shown
from data.catalog.element_ddl import full_row_columns, has_bucket, quoted, table_name
from data.catalog.objects import Distribution, Table
from data.sql.ddl_ast import AlterAction
from data.sql.ddl_build import Builder, Refill, refuse_detail
from data.sql.ddl_tables import check_reference, place, with_global_indexes
from protocol.errors import DefinitionError, ReferenceParentDuplicateError


def plan_distribute(builder: Builder, table: Table, action: AlterAction) -> Table:
    """ALTER TABLE … DISTRIBUTE BY HASH | REFERENCE, or DUPLICATE."""
    wanted = action.distribution
    assert wanted is not None
    followers = _followers(builder, table)
    plain = replace(
        table,
        row_key=not table.primary_key,
        reference_key="",
        indexes=tuple(replace(i, is_global=i.is_global and not i.unique) for i in table.indexes),
    )
    after = place(plain, wanted, builder)
    if after.distribution is not Distribution.HASH or after.row_key != table.row_key:
        refuse_detail(builder, table, "ALTER TABLE", action.position)
    after = with_global_indexes(after)
    if (after.distribution, after.distribution_key, after.reference_key, after.row_key) == (
        table.distribution,
        table.distribution_key,
        table.reference_key,
        table.row_key,
    ):
        return table
    _check_followers(after, followers, action.position)
    builder.act(DropTable(table, builder.new_id()))
    builder.act(CreateTable(after))
    once = table.distribution is Distribution.DUPLICATE
    builder.refill(Refill(after, _source([table], after), once=once))
    for follower, way in followers:
        builder.lock(follower.id)
        builder.act(DropTable(follower, builder.new_id()))
        builder.act(CreateTable(follower))
        builder.refill(Refill(follower, _source(way, after), placed_by=after))
    for key in after.foreign_keys:
        builder.lock(key.parent_id)
    return after


def _followers(builder: Builder, table: Table) -> list[tuple[Table, list[Table]]]:
    """Tables whose rows are where the table's are, each with the way from it to the table."""
    found: list[tuple[Table, list[Table]]] = []
    waiting = [[table]]
    while waiting:
        way = waiting.pop(0)
        for child in builder.catalog.children(way[0].id):
            reference = child.reference
            follows = child.distribution is Distribution.REFERENCE and reference is not None
            if follows and reference is not None and reference.parent_id == way[0].id:
                found.append((child, [child, *way]))
                waiting.append([child, *way])
    return found


def _check_followers(
    after: Table, followers: list[tuple[Table, list[Table]]], position: int
) -> None:
    reference = after.reference if after.distribution is Distribution.REFERENCE else None
    for follower, way in followers:
        if reference is not None and reference.parent_id == follower.id:
            message = f'rows of "{shown(follower.name)}" follow those of "{shown(after.name)}"'
            raise DefinitionError(message, position=position)
        if after.distribution is Distribution.DUPLICATE:
            raise ReferenceParentDuplicateError(
                f'"{shown(follower.name)}" is distributed by reference to "{shown(after.name)}", '
                "which must be distributed by hash or by reference",
                position=position,
            )
        if len(way) == 2:
            link = follower.reference
            assert link is not None
            check_reference(after, link, position)


def _source(way: list[Table], after: Table) -> str:
    """SQLite text: full rows of the first table, without bucket, then those of the last.

    The last one is the table that changes: its columns are those it has `after`.
    """
    first = after if len(way) == 1 else way[0]
    items = _columns(first, "t0")
    if len(way) > 1:
        items += _columns(after, f"t{len(way) - 1}")
    text = f"SELECT {', '.join(items)} FROM {quoted(table_name(way[0]))} AS t0"
    for number, (child, parent) in enumerate(itertools.pairwise(way)):
        link = child.reference
        assert link is not None
        equal = " AND ".join(
            f"t{number}.{quoted(ours)} = t{number + 1}.{quoted(theirs)}"
            for ours, theirs in zip(link.columns, link.parent_columns, strict=True)
        )
        text += f" JOIN {quoted(table_name(parent))} AS t{number + 1} ON {equal}"
    return text


def _columns(table: Table, alias: str) -> list[str]:
    names = full_row_columns(table)
    names = names[:-1] if has_bucket(table) else names
    return [f"{alias}.{quoted(name)}" for name in names]
