"""INSERT … ON CONFLICT DO UPDATE: row by row, lock and look at the row in the way, or insert.

The row in the way may be elsewhere: a unique key that does not hold the distribution key is found
through its global index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from data.catalog.element_ddl import (
    TARGET,
    full_row_columns,
    full_row_offset,
    global_index_table,
    has_bucket,
    key_columns,
    key_positions,
    quoted,
    table_name,
)
from data.catalog.objects import Index, Table
from data.sql.plan_types import InsertPlan
from protocol.errors import CardinalityError, TransientError, UniqueViolationError
from protocol.messages.sql import SelectRows
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.writes import Writer, Written

TRIES = 50  # for a row that others insert and delete all the time


class Upserts:
    """Runs the rows of one such INSERT."""

    def __init__(
        self, writer: Writer, table: Table, plan: InsertPlan, values: tuple[StorageValue, ...]
    ) -> None:
        assert plan.on_conflict is not None
        self._writer = writer
        self._table = table
        self._plan = plan
        self._conflict = plan.on_conflict
        self._values = values
        wanted = self._conflict.index_ids
        self._indexes = [i for i in table.indexes if i.unique and (not wanted or i.id in wanted)]
        self._touched: set[StorageRow] = set()

    async def run(self, made: Sequence[StorageRow]) -> Written:
        """`made`: rows without bucket. Raises CardinalityError if a row would change twice."""
        from data.exec.writes import Written

        written = Written()
        for row in made:
            for attempt in range(TRIES):
                changed = await self._update(row)
                if changed is None:
                    changed = await self._insert(row, last=attempt == TRIES - 1)
                if changed is not None:
                    break
            else:
                raise TransientError(
                    "others insert and delete the row all the time",
                    hint="Run the statement again.",
                )
            written.count += len(changed)
            written.rows += self._writer.returning(
                self._plan.returning, self._table, changed, self._values
            )
        return written

    async def _insert(self, row: StorageRow, *, last: bool) -> list[StorageRow] | None:
        """The row inserted; None: somebody's row came since we looked."""
        writer, manager = self._writer, self._writer.manager
        mark = writer.txn.mark()
        try:
            _, rows = await writer.insert_rows(self._table, [row])
        except UniqueViolationError:
            if last:
                raise
            await manager.finish(manager.undo(writer.txn, mark))
            return None
        self._touched.update(map(self._key, rows))
        return rows

    async def _update(self, row: StorageRow) -> list[StorageRow] | None:
        """The row in the way, updated ([] if WHERE says no); None: there is none."""
        old = await self._in_the_way(row)
        if old is None:
            return None
        if self._key(old) in self._touched:
            raise CardinalityError(
                "ON CONFLICT DO UPDATE cannot affect a row a second time",
                hint="Rows proposed within one statement must not have the same key.",
            )
        new = self._updated(old, row)
        if new is None:
            return []
        assigned = self._conflict.assigned
        changed = await self._writer.apply_changes(
            self._table, assigned, [(old, new)], moves=self._conflict.moves_rows
        )
        self._touched.update(map(self._key, changed))
        return changed

    def _key(self, full_row: StorageRow) -> StorageRow:
        return tuple([full_row[i] for i in key_positions(self._table)])

    # -- the row in the way ------------------------------------------------------------------------
    async def _in_the_way(self, row: StorageRow) -> StorageRow | None:
        """Locked; by any of the unique keys in question."""
        local = [i for i in self._indexes if not i.is_global]
        for index in self._indexes:
            if index.is_global:
                for rs in await self._sets_of_key(index, row):
                    found = await self._look(index, row, rs)
                    if found is not None:
                        return found
        if local:
            ((rs, _),) = await self._writer.place(self._table, [row])
            for index in local:
                found = await self._look(index, row, rs)
                if found is not None:
                    return found
        return None

    async def _sets_of_key(self, index: Index, row: StorageRow) -> list[int]:
        """Where the row with that key is, by its entry in the global index."""
        writer = self._writer
        entries = global_index_table(self._table, index)
        columns = full_row_columns(self._table)
        key = tuple([row[columns.index(c)] for c in entries.distribution_key])
        if None in key:
            return []
        buckets = writer.places.buckets
        rs = buckets[writer.hasher(entries)(key)]
        where = " AND ".join(
            f"{quoted(c)} = ?{n}" for n, c in enumerate(entries.distribution_key, 1)
        )
        sql = f"SELECT {quoted(TARGET)} FROM {quoted(table_name(entries))} WHERE {where}"
        ran = await writer.run(rs, SelectRows(sql, key))
        return [buckets[int(found[0] or 0)] for found in ran.rows]

    async def _look(self, index: Index, row: StorageRow, rs: int) -> StorageRow | None:
        table, writer = self._table, self._writer
        columns = full_row_columns(table)
        at = [columns.index(c) for c in index.columns]
        key = tuple([row[i] for i in at])
        if None in key:
            return None
        where = " AND ".join(f"{quoted(columns[i])} = ?{n}" for n, i in enumerate(at, 1))
        names = [*key_columns(table), *columns]
        sql = (
            f"SELECT {', '.join(quoted(c) for c in names)} "
            f"FROM {quoted(table_name(table))} WHERE {where}"
        )
        width = len(key_columns(table))
        snapshots = await writer.queries.snapshots()
        locks = ((table.id, 0, width),)
        step = SelectRows(sql, key, locks, as_seen=snapshots is not None)
        number = snapshots.at(rs).number if snapshots is not None else 0
        ran = await writer.run(rs, step, snapshot=number)
        return tuple(ran.rows[0][width:]) if ran.rows else None

    def _updated(self, old: StorageRow, proposed: StorageRow) -> StorageRow | None:
        """The full row with what DO UPDATE SET says; None: its WHERE says no."""
        fragment = self._conflict.fragment
        assert fragment is not None
        offset, width = full_row_offset(self._table), len(self._table.columns)
        params = (
            *old[offset : offset + width],
            *proposed[offset : offset + width],
            *fragment.bind(self._values, self._writer.queries.specials),
        )
        row = self._writer.evaluate(fragment.sql, params)
        if not row[-1]:
            return None
        changed = list(old)
        for at, value in zip(self._conflict.assigned, row[:-1], strict=True):
            changed[offset + at] = value
        if self._conflict.moves_rows and has_bucket(self._table):
            changed[-1] = None  # its place is found anew
        return tuple(changed)
