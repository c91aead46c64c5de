"""ALTER TABLE … DISTRIBUTE BY: the rows of a filled table go where the new clause puts them. Pure.

The table is made anew beside the old one and filled in the transaction of the change (Refill);
tables whose rows follow its rows by reference go with it. Readers go on, writers wait. A large
table that becomes one by HASH, and that no rows follow, is copied while others write it instead
(data/exec/online.py): the copy is kept up like a materialized view, and takes the table's place.
"""

from __future__ import annotations

import itertools

from msgspec.structs import replace

from data.catalog.catalog import CreateTable, DropTable, RenameTable, shown
from data.catalog.element_ddl import full_row_columns, has_bucket, quoted, table_name
from data.catalog.objects import Distribution, Materialized, Table
from data.sql.ddl_ast import AlterAction
from data.sql.ddl_build import Builder, OnlineMove, Refill, drop_copies, refuse_detail, sql_name
from data.sql.ddl_tables import check_reference, place, with_global_indexes
from protocol.errors import (
    DefinitionError,
    NotNullError,
    ReferenceParentDuplicateError,
    TransientError,
)

COPY = "_COPY."  # how names of copies begin


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
    _check_keys(builder, table, after)
    if not followers and after.distribution_key:
        builder.online = OnlineMove(table, after)
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


def _check_keys(builder: Builder, table: Table, after: Table) -> None:
    """A row without a value in its distribution key has no place."""
    for name in after.distribution_key:
        column = after.column(name)
        if column is not None and column.nullable:
            builder.check(
                f"SELECT 1 FROM {sql_name(table.schema, table.name)} WHERE {sql_name(name)} "
                "IS NULL FETCH FIRST 1 ROWS ONLY",
                NotNullError(
                    f'rows of "{shown(table.name)}" have no value in "{shown(name)}", which is to '
                    "say where they are"
                ),
            )


# -- while others write the table ------------------------------------------------------------------
def plan_copy(builder: Builder, move: OnlineMove) -> Table:
    """The empty table beside `before`, kept up from now on like a materialized view of it."""
    before, after = _unchanged(builder, move), move.after
    drop_copies(builder, before)
    number = builder.new_id()
    names = tuple(c.name for c in after.columns)
    indexes = tuple(
        replace(index, id=builder.new_id(), name=f"{COPY}{number}.{at}")
        for at, index in enumerate(after.indexes)
    )
    copy = replace(
        after,
        id=number,
        name=f"{COPY}{number}",
        indexes=indexes,
        foreign_keys=(),
        comment="",
        system=True,
        materialized=Materialized(before.id, "", names, tuple(quoted(n) for n in names)),
    )
    builder.lock(before.id)
    builder.put(copy)
    builder.act(CreateTable(copy))
    return copy


def plan_swap(builder: Builder, move: OnlineMove, copy: Table) -> None:
    """The filled copy takes the table's place."""
    before = _unchanged(builder, move)
    if builder.catalog.by_id.get(copy.id) != copy:
        raise _altered(before)
    new_ids = {old.id: new.id for old, new in zip(move.after.indexes, copy.indexes, strict=True)}
    builder.lock(before.id)
    builder.lock(copy.id)
    _check_keys(builder, before, move.after)
    one, other = sql_name(before.schema, before.name), sql_name(copy.schema, copy.name)
    builder.check(
        f"SELECT 1 FROM dual WHERE (SELECT COUNT(*) FROM {one}) <> (SELECT COUNT(*) FROM {other})",
        TransientError(f'rows of "{shown(before.name)}" went elsewhere while they were copied'),
    )
    own = tuple(
        replace(key, parent_index_id=new_ids.get(key.parent_index_id, key.parent_index_id))
        for key in move.after.foreign_keys
    )
    indexes = tuple(replace(i, id=new_ids[i.id]) for i in move.after.indexes)
    final = replace(move.after, indexes=indexes, foreign_keys=own)
    builder.delete(copy)
    builder.put(final)
    for child in builder.catalog.children(before.id):
        if child.id != before.id:
            keys = tuple(
                replace(key, parent_index_id=new_ids.get(key.parent_index_id, key.parent_index_id))
                for key in child.foreign_keys
            )
            builder.put(replace(child, foreign_keys=keys))
    builder.act(DropTable(before, builder.new_id()))
    builder.act(RenameTable(copy, final))


def plan_give_up(builder: Builder, copy: Table) -> None:
    """The copy goes, if it is still there."""
    if copy.id in builder.catalog.by_id:
        builder.lock(copy.id)
        builder.act(DropTable(copy, builder.new_id()))
        builder.delete(copy)


def _unchanged(builder: Builder, move: OnlineMove) -> Table:
    found = builder.catalog.by_id.get(move.before.id)
    if found != move.before:
        raise _altered(move.before)
    return move.before


def _altered(table: Table) -> TransientError:
    return TransientError(
        f'table "{shown(table.name)}" was altered while its rows were copied',
        hint="Run the statement again.",
    )


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
