"""Runs MERGE: the rows of its query are read first, then each is inserted, updated or deleted.

The query is read to its end before anything is changed, into files, so that its rows need no
memory; then some rows at a time are carried out. As with UPDATE by a query, a row is changed only
if it still is what was read, else the rows are locked and read again (found_rows).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from data.catalog.element_ddl import full_row_columns, full_row_offset, has_bucket, key_positions
from data.catalog.objects import Table
from data.exec.found_rows import FoundRows
from data.exec.queries import QueryRunner
from data.exec.rows import RowMaker
from data.exec.writes import Writer, WriteSpace, Written
from data.sql.plan_types import MergeAction, MergePlan
from data.txn.manager import Transaction
from protocol import trace
from protocol.errors import CardinalityError, TransientError
from protocol.sqltypes import StorageRow, StorageValue

ROWS_AT_ONCE = 500

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


class Merger:
    """Runs one MERGE in `txn`."""

    def __init__(
        self,
        space: WriteSpace,
        txn: Transaction,
        queries: QueryRunner,
        maker: RowMaker,
        plan: MergePlan,
        values: tuple[StorageValue, ...],
    ) -> None:
        self._space = space
        self._txn = txn
        self._queries = queries
        self._maker = maker
        self._writer = Writer(space, txn, queries, maker)
        self._plan = plan
        self._values = values
        self._table: Table = space.catalog.table_by_id(plan.table_id)
        self._width = len(full_row_columns(self._table))
        self._key = key_positions(self._table)
        self._seen: set[StorageRow] = set()

    async def run(self) -> Written:
        """Do it. Raises CardinalityError if a row would be changed twice."""
        if trace.steps.listener is not None:
            trace.step("data/exec/merging.py")
        query, manager = self._plan.rows_query, self._space.manager
        mark = self._txn.mark()
        try:
            return await self._merge(self._queries.batches(query, self._values))
        except TransientError:
            if self._txn.snapshots is not None or self._txn.failed is not None:
                raise
        await manager.finish(manager.undo(self._txn, mark))
        found = FoundRows(self._txn, self._queries, self._table, query, self._values)
        rows = await found.locked(self._writer.set_of, self._writer.run)

        async def one() -> AsyncGenerator[list[StorageRow], None]:
            yield rows

        return await self._merge(one())

    async def _merge(self, batches: AsyncGenerator[list[StorageRow], None]) -> Written:
        self._seen.clear()
        written = Written()
        pieces = self._space.new_pieces()
        try:
            async with aclosing(batches):
                async for rows in batches:
                    for at in range(0, len(rows), ROWS_AT_ONCE):
                        some = rows[at : at + ROWS_AT_ONCE]
                        self._check_once(some)
                        pieces.put(_encode(some), len(some))
            for number in range(len(pieces)):
                await self._some(_decode(pieces.piece(number)), written)
        finally:
            pieces.close()
        return written

    def _check_once(self, rows: list[StorageRow]) -> None:
        for row in rows:
            kind = self._plan.actions[int(row[self._width] or 0) - 1].kind
            if kind not in ("update", "delete"):
                continue
            key = tuple([row[i] for i in self._key])
            if key in self._seen:
                raise CardinalityError(
                    "MERGE would change a row a second time",
                    hint="More than one source row matches a row of the target (Oracle: "
                    "ORA-30926); make the source unique in what it is joined by.",
                )
            self._seen.add(key)

    async def _some(self, rows: list[StorageRow], written: Written) -> None:
        """Deletes first, then updates, then inserts."""
        gone: list[StorageRow] = []
        updated: dict[int, list[StorageRow]] = {}
        new: list[StorageRow] = []
        for row in rows:
            number = int(row[self._width] or 0) - 1
            action = self._plan.actions[number]
            if action.kind == "insert":
                new.append(row)
            elif action.kind == "delete" or (action.delete_at >= 0 and row[action.delete_at]):
                gone.append(row)
            elif action.kind == "update":
                updated.setdefault(number, []).append(row)
        writer, table = self._writer, self._table
        if gone:
            old = [row[: self._width] for row in gone]
            await writer.delete_rows(table, old)
            self._note(written, old, gone)
        for number, some in sorted(updated.items()):
            action = self._plan.actions[number]
            changes = [(row[: self._width], self._updated(action, row)) for row in some]
            changed = await writer.apply_changes(
                table, action.assigned, changes, moves=action.moves_rows
            )
            self._note(written, changed, some)
        if new:
            made = [
                await self._maker.make(
                    self._plan.actions[int(row[self._width] or 0) - 1].row, self._values, row
                )
                for row in new
            ]
            _, inserted = await writer.insert_rows(table, made)
            self._note(written, inserted, new)

    def _note(self, written: Written, full_rows: list[StorageRow], found: list[StorageRow]) -> None:
        written.count += len(full_rows)
        written.rows += self._writer.returning(
            self._plan.returning, self._table, full_rows, self._values, found
        )

    def _updated(self, action: MergeAction, row: StorageRow) -> StorageRow:
        new = list(row[: self._width])
        offset = full_row_offset(self._table)
        for at, value in zip(action.assigned, action.values, strict=True):
            new[offset + at] = row[value]
        if has_bucket(self._table) and action.moves_rows:
            new[-1] = None  # its place is found anew
        return tuple(new)
