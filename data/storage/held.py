"""A committed state that is held for several reads, with one transaction's own changes on top.

SQLite knows one writer, so nothing can be changed in a state that is no longer the newest. The
changes are therefore laid over it in the connection's TEMP schema: for each table that was changed
a view of the same name, which SQLite finds before the table, gives the table's rows without those
that were changed or deleted, and then the new ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from data.catalog.element_ddl import quoted
from data.storage import before
from data.storage.changes import RowChange
from data.storage.faults import grid_error
from data.storage.sqlite import FETCH_BYTES_MAX, Params, ReadSnapshot
from data.storage.tables import Tables
from protocol.errors import CancelledError, TransientError
from protocol.ids import LogPosition
from protocol.sqltypes import StorageRow


class HeldSnapshot:
    """One committed state. Reads take turns on its connection; `close` it in any case."""

    def __init__(self, snapshot: ReadSnapshot) -> None:
        self.position: LogPosition = snapshot.position
        self._snapshot = snapshot
        self._turn = asyncio.Lock()
        self._tables = Tables(snapshot.connection)
        self._laid: dict[str, int] = {}  # tables with a view over them → width of the key
        self._changes: list[RowChange] = []  # what lies on top now
        self._closed = False

    @property
    def views(self) -> Mapping[str, str]:
        """Those of data/storage/before.py through which it sees tables."""
        return self._snapshot.views

    @property
    def is_plain(self) -> bool:
        """True if nothing was ever laid on top."""
        return not self._laid

    async def lay(self, changes: Sequence[RowChange]) -> None:
        """Have exactly these row changes, in their order, on top of the state.

        Raises GridError; the snapshot is of no use then.
        """
        async with self._turn:
            self._check()
            wanted = list(changes)
            if wanted != self._changes:
                await self._snapshot.on_thread(self._lay, wanted)

    def lay_now(self, changes: Sequence[RowChange]) -> None:
        """The same inline. Raises TransientError while a read runs on a thread."""
        self._check()
        if self.is_busy:
            raise TransientError("the transaction reads and writes at the same time")
        wanted = list(changes)
        if wanted != self._changes:
            try:
                self._lay(wanted)
            except apsw.Error as error:
                raise grid_error(error) from error

    def _check(self) -> None:
        if self._closed:
            raise CancelledError("the snapshot was closed")

    def _clear(self) -> None:
        execute = self._snapshot.connection.execute
        self._changes = []
        for table in self._laid:
            execute(f"DELETE FROM temp.{quoted('_gone ' + table)}")
            execute(f"DELETE FROM temp.{quoted('_new ' + table)}")

    def _lay(self, changes: list[RowChange]) -> None:
        connection = self._snapshot.connection
        connection.pragma("query_only", False)
        try:
            known = len(self._changes)
            if changes[:known] != self._changes:  # went back to a savepoint
                self._clear()
                known = 0
            for table, old, new in changes[known:]:
                if table not in self._laid:
                    self._lay_over(table)
                texts = self._tables[table]
                gone, fresh = quoted("_gone " + table), quoted("_new " + table)
                image = old if old is not None else new
                assert image is not None
                key = tuple([image[at] for at in texts.key])
                where = " AND ".join(
                    f"{quoted(texts.columns[at])} IS ?{n}" for n, at in enumerate(texts.key, 1)
                )
                connection.execute(f"DELETE FROM temp.{fresh} WHERE {where}", key)
                marks = ", ".join("?" * len(key))
                connection.execute(f"INSERT OR IGNORE INTO temp.{gone} VALUES ({marks})", key)
                if new is not None:
                    marks = ", ".join("?" * len(new))
                    connection.execute(f"INSERT INTO temp.{fresh} VALUES ({marks})", new)
            self._changes = changes
        finally:
            connection.pragma("query_only", True)

    def _lay_over(self, table: str) -> None:
        texts = self._tables[table]
        keys = [texts.columns[at] for at in texts.key]
        gone, fresh = quoted("_gone " + table), quoted("_new " + table)
        names = ", ".join(map(quoted, texts.columns))
        # of the same type: with another one SQLite would not look a key up, but through them all
        kinds = dict(texts.kinds)
        columns = ", ".join(f"{quoted(k)} {kinds[k]}" for k in keys)
        key = ", ".join(map(quoted, keys))
        # images are as stored: BINARY compares them exactly, whatever the column's collation
        same = " AND ".join(f"g.{quoted(k)} = t.{quoted(k)} COLLATE BINARY" for k in keys)
        execute = self._snapshot.connection.execute
        base = f"main.{quoted(table)}"
        if table in self._snapshot.views:  # only what was there before a large COMMIT
            base = f"({self._snapshot.views[table]})"
            execute(f"DROP VIEW temp.{quoted(table)}")
        execute(f"CREATE TEMP TABLE {gone} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID")
        execute(f"CREATE TEMP TABLE {fresh} AS SELECT {names} FROM main.{quoted(table)} WHERE 0")
        execute(f"CREATE INDEX temp.{quoted('_by ' + table)} ON {fresh} ({key})")
        execute(
            f"CREATE TEMP VIEW {quoted(table)} AS SELECT {names} FROM {base} t "
            f"WHERE NOT EXISTS (SELECT 1 FROM temp.{gone} g WHERE {same}) "
            f"UNION ALL SELECT {names} FROM temp.{fresh}"
        )
        self._laid[table] = len(keys)

    def has_row(self, table: str, image: StorageRow) -> bool:
        """True if exactly this full row is there. Inline, not while it is busy."""
        texts = self._tables[table]
        where = " AND ".join(
            f"{quoted(texts.columns[at])} = ?{n}" for n, at in enumerate(texts.key, 1)
        )
        names = ", ".join(map(quoted, texts.columns))
        sql = f"SELECT {names} FROM {quoted(table)} WHERE {where}"
        rows = self._snapshot.read(sql, tuple([image[at] for at in texts.key]))
        return image in rows

    @property
    def is_busy(self) -> bool:
        """True while a read runs on a thread: nothing may be read inline."""
        return self._turn.locked()

    def read(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query, inline, what lies on top included. Not while it is busy."""
        self._check()
        return self._snapshot.read(sql, params)

    def scan(self, sql: str, params: Params = ()) -> HeldScan:
        """A query of any length; several may be open."""
        return HeldScan(self, sql, params)

    async def take_turn(self) -> None:
        """What is read inline until `end_turn` may be read by another thread."""
        await self._turn.acquire()

    def end_turn(self) -> None:
        """After take_turn."""
        self._turn.release()

    async def on_thread(self, work: Any, *args: Any) -> Any:
        """Run work on the connection when it is its turn."""
        async with self._turn:
            self._check()
            return await self._snapshot.on_thread(work, *args)

    @property
    def connection(self) -> apsw.Connection:
        """For work that runs in its turn."""
        return self._snapshot.connection

    async def close(self) -> None:
        """Let the state go; reads that are under way fail."""
        if self._closed:
            return
        self._closed = True
        self._snapshot.connection.interrupt()
        async with self._turn:
            await self._snapshot.close(discard=not self.is_plain)


class HeldScan:
    """A query on a held snapshot, fetched batch by batch; `Source` of data/exec/shard.py."""

    def __init__(self, held: HeldSnapshot, sql: str, params: Params) -> None:
        self._held = held
        self._start: tuple[str, Params] | None = (sql, params)
        self._cursor: Any = None
        self._stopped = False
        self.ended = False

    async def fetch(self, rows_max: int) -> list[StorageRow]:
        """The next rows; see `ended`. Raises GridErrors."""
        if self.ended:
            return []
        rows: list[StorageRow] = await self._held.on_thread(self._fetch, rows_max)
        return rows

    def _fetch(self, rows_max: int) -> list[StorageRow]:
        if self._stopped:
            raise grid_error(apsw.InterruptError("interrupted"))
        if self._start is not None:
            (sql, params), self._start = self._start, None
            if not self._held.is_plain or self._held.views:
                sql = before.unhinted(sql)
            self._cursor = self._held.connection.cursor()
            self._cursor.execute(sql, params)
        rows: list[StorageRow] = []
        size = 0
        while len(rows) < rows_max:
            row = self._cursor.fetchone()
            if row is None:
                self.ended = True
                break
            rows.append(row)
            if not len(rows) & 7:
                size += 8 * sum([len(v) for v in row if type(v) is str or type(v) is bytes])
                if size > FETCH_BYTES_MAX:
                    break
        return rows

    def interrupt(self) -> None:
        """The next fetch fails; one that runs ends by itself, others share its connection."""
        self._stopped = True

    async def close(self) -> None:
        """Let the cursor go."""
        cursor, self._cursor = self._cursor, None
        if cursor is not None and not self._held._closed:
            try:
                await self._held.on_thread(cursor.close, True)
            except CancelledError:
                pass  # closed with its snapshot
