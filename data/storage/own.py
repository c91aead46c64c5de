"""The newest committed state with one large transaction's own changes on top, for its reads.

As HeldSnapshot, but the changes come from the log, piece by piece, and only those that are new
since the last read; and between two reads the state is let go. So a transaction of a million rows
reads what it wrote without keeping the writer, and others, from writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import apsw

from data.catalog.element_ddl import quoted
from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.entry import EntryKind, decode_payload
from data.storage.held import HeldScan, HeldSnapshot
from data.storage.log import entry_at
from data.storage.sqlite import Params, ReadSnapshot, tail_of
from protocol.errors import CorruptElementError
from protocol.sqltypes import StorageRow

# how many changes, and how to get them on a reader's thread
OwnPiece = tuple[int, Callable[[apsw.Connection], Iterable[RowChange]]]


def part_at(lsn: int) -> Callable[[apsw.Connection], list[RowChange]]:
    """The changes of a PART, as an OwnPiece loads them."""

    def load(connection: apsw.Connection) -> list[RowChange]:
        entry = entry_at(connection, lsn)
        if entry is None or entry.kind != EntryKind.PART:
            raise CorruptElementError(f"the PART at {lsn} is not in the log")
        return row_changes.decode(decode_payload(entry.payload).changes)

    return load


class OwnView(HeldSnapshot):
    """Of one transaction. `renew`, `lay_pieces`, then one `scan` after the other; `close` it."""

    def __init__(self, snapshot: ReadSnapshot, cuts: int) -> None:
        """cuts: how often the transaction went back so far."""
        super().__init__(snapshot)
        self.cuts = cuts
        self._count = 0  # changes that lie on top
        self._scans = 0
        self._unwanted = False

    def is_of_use(self, cuts: int, views: object) -> bool:
        """It can be renewed: nothing reads it, and nothing that lies on top was taken back."""
        free = not (self._closed or self.is_busy or self._scans)
        return free and cuts == self.cuts and self._snapshot.views == views

    def renew(self) -> None:
        """See what is committed now. Inline."""
        connection = self._snapshot.connection
        self._rest()
        connection.execute("BEGIN")
        self.position = tail_of(connection)

    def _rest(self) -> None:
        """Let the state go, not what lies on top."""
        if not self._closed and self._snapshot.connection.in_transaction:
            self._snapshot.connection.execute("COMMIT")

    async def lay_pieces(self, pieces: Sequence[OwnPiece]) -> None:
        """All changes of the transaction: those that do not lie on top yet are laid there.

        Raises GridError; the view is of no use then.
        """
        await self.on_thread(self._lay_pieces, pieces)

    def _lay_pieces(self, pieces: Sequence[OwnPiece]) -> None:
        connection = self._snapshot.connection
        connection.pragma("query_only", False)
        try:
            at = 0
            for length, load in pieces:
                if at + length > self._count:
                    self._put(list(load(connection))[self._count - at :])
                    self._count = at + length
                at += length
        finally:
            connection.pragma("query_only", True)

    def _put(self, changes: list[RowChange]) -> None:
        """Alike ones that follow each other in one go, as long as no key comes twice."""
        kind: tuple[str, bool, bool] | None = None
        gone: list[StorageRow] = []  # keys
        fresh: list[StorageRow] = []  # rows
        keys: set[StorageRow] = set()
        for table, old, new in changes:
            if table not in self._laid:
                self._write(kind, gone, fresh)
                self._lay_over(table)
            positions = self._tables[table].key
            touched = [
                tuple([image[at] for at in positions]) for image in (old, new) if image is not None
            ]
            following = (table, old is None, new is None)
            if following != kind or not keys.isdisjoint(touched):
                self._write(kind, gone, fresh)
                kind = following
                keys.clear()
            keys.update(touched)
            if old is not None:
                gone.append(touched[0])
            if new is not None:
                fresh.append(new)
        self._write(kind, gone, fresh)

    def _write(
        self, kind: tuple[str, bool, bool] | None, gone: list[StorageRow], fresh: list[StorageRow]
    ) -> None:
        if kind is None or not (gone or fresh):
            return
        texts = self._tables[kind[0]]
        away, there = quoted("_gone " + texts.name), quoted("_new " + texts.name)
        many = self._snapshot.connection.executemany
        if gone:
            where = " AND ".join(
                f"{quoted(texts.columns[at])} IS ?{n}" for n, at in enumerate(texts.key, 1)
            )
            many(f"DELETE FROM temp.{there} WHERE {where}", gone)
            marks = ", ".join("?" * len(texts.key))
            many(f"INSERT OR IGNORE INTO temp.{away} VALUES ({marks})", gone)
        if fresh:
            marks = ", ".join("?" * len(texts.columns))
            many(f"INSERT INTO temp.{there} VALUES ({marks})", fresh)
        gone.clear()
        fresh.clear()

    async def own_rows(self, table: str, keys: Sequence[StorageRow]) -> list[StorageRow]:
        """Of the rows with these keys, those that the transaction made or changed. Full rows."""
        rows: list[StorageRow] = await self.on_thread(self._own_rows, table, keys)
        return rows

    def _own_rows(self, table: str, keys: Sequence[StorageRow]) -> list[StorageRow]:
        if table not in self._laid:
            return []
        texts = self._tables[table]
        where = " AND ".join(f"{quoted(texts.columns[at])} = ?" for at in texts.key)
        sql = f"SELECT * FROM temp.{quoted('_new ' + table)} WHERE {where}"
        return self._snapshot.connection.executemany(sql, keys).fetchall()

    # -- reads -------------------------------------------------------------------------------------
    def scan(self, sql: str, params: Params = ()) -> OwnScan:
        """A query of any length; one at a time."""
        self._scans += 1
        return OwnScan(self, sql, params)

    async def scan_closed(self) -> None:
        """A scan is over."""
        self._scans -= 1
        if self._unwanted:
            await self.close()
        elif not self._scans and not self._closed:
            self._rest()

    async def drop(self) -> None:
        """Close it, or when its scans are over."""
        self._unwanted = True
        if not self._scans:
            await self.close()


class OwnScan(HeldScan):
    """A query on an OwnView."""

    def __init__(self, view: OwnView, sql: str, params: Params) -> None:
        super().__init__(view, sql, params)
        self._view: OwnView | None = view

    async def close(self) -> None:
        """Let the cursor go, and the state."""
        await super().close()
        view, self._view = self._view, None
        if view is not None:
            await view.scan_closed()
