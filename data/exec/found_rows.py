"""UPDATE and DELETE by a query over the grid: its rows as they are, or locked so that they stay.

Such a statement reads its rows first and changes each only if it still is what was read. If one was
changed in between, its rows are locked, and read again until all that are read are locked: then
they cannot change any more, however many others write them all the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from data.catalog.element_ddl import full_row_columns, key_positions
from data.catalog.objects import Table
from data.exec.queries import QueryRunner
from data.sql.plan_types import QueryPlan
from data.txn.locks import Mode
from data.txn.manager import Transaction, TransactionManager
from protocol.errors import TransientError
from protocol.messages.sql import Ran, TakeKeys
from protocol.sqltypes import StorageRow, StorageValue

ROUNDS = 20  # in which others bring rows that fit, faster than they can be locked
KEYS_PER_STEP = 1000

T = TypeVar("T")
SetOf = Callable[[Table, StorageRow], int]
Run = Callable[..., Awaitable[Ran]]
Change = Callable[[list[StorageRow]], Awaitable[T]]


class FoundRows:
    """The rows of one statement: full old rows, perhaps with more values behind."""

    def __init__(
        self,
        txn: Transaction,
        queries: QueryRunner,
        table: Table,
        query: QueryPlan,
        values: tuple[StorageValue, ...],
    ) -> None:
        self._txn = txn
        self._queries = queries
        self._table = table
        self._query = query
        self._values = values

    async def change(
        self, manager: TransactionManager, change: Change[T], set_of: SetOf, run: Run
    ) -> T:
        """`change` of them; it raises TransientError if a row is not as it was read."""
        mark = self._txn.mark()
        rows = await self._queries.all_rows(self._query, self._values)
        try:
            return await change(rows)
        except TransientError:
            if self._txn.snapshots is not None or self._txn.failed is not None:
                raise
        await manager.finish(manager.undo(self._txn, mark))
        return await change(await self.locked(set_of, run, rows))

    async def locked(
        self, set_of: SetOf, run: Run, rows: list[StorageRow] | None = None
    ) -> list[StorageRow]:
        """The rows, locked so that they stay; rows of NULLs (MERGE: not matched) have no key."""
        if rows is None:
            rows = await self._queries.all_rows(self._query, self._values)
        at, width = key_positions(self._table), len(full_row_columns(self._table))
        held: set[StorageRow] = set()
        for _ in range(ROUNDS):
            wanted: dict[int, list[StorageRow]] = defaultdict(list)
            for row in rows:
                key = tuple([row[i] for i in at])
                if key not in held and None not in key:
                    held.add(key)
                    wanted[set_of(self._table, row[:width])].append(key)
            if not wanted:
                return rows
            for rs, keys in sorted(wanted.items()):
                for first in range(0, len(keys), KEYS_PER_STEP):
                    some = keys[first : first + KEYS_PER_STEP]
                    await run(rs, TakeKeys(self._table.id, 0, some, int(Mode.EXCLUSIVE)))
            rows = await self._queries.all_rows(self._query, self._values)
        raise TransientError(
            "rows that fit came faster than they could be locked", hint="Run the statement again."
        )
