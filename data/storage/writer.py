"""The one write transaction of an element, the *batch*: statements, row changes, log entries.

SQLite drops a whole transaction when a writing statement is interrupted or finds the file full. A
batch holds work of many transactions, so it keeps a list of what was done (`_done`) and is made
again from it; only the failing statement is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, NoReturn

import apsw

from data.catalog.catalog import Catalog, CatalogChange
from data.catalog.element_ddl import quoted
from data.storage import changes as row_changes
from data.storage import schema
from data.storage.changes import Inserted, RowChange
from data.storage.entry import EntryKind, LogEntry, TxnPayload, decode_payload
from data.storage.faults import (
    grid_error,
    not_null_error,
    out_of_perm_size,
    statement_error,
)
from data.storage.later import LaterEffects
from data.storage.log import Log, Mark
from data.storage.spool import Spool
from data.storage.sqlite import PAGE_BYTES, Params, width_of
from data.storage.tables import PartlyAppliedError, Tables, apply_all, apply_bulk
from data.storage.touched import Touched
from protocol import trace
from protocol.errors import (
    CancelledError,
    CorruptElementError,
    GridError,
    LargeStatementError,
    NotNullError,
    TransactionStateError,
)
from protocol.ids import LogPosition
from protocol.limits import MIB
from protocol.sqltypes import StorageRow

PAGES_UNLIMITED = 0xFFFFFFFE
LOG_PAGES_MIN = 2 * MIB // PAGE_BYTES  # of the log, the catalog and what else is nobody's rows
BULK_MIN = 32  # from so many row changes on they are applied in bulk
ROWS_BYTES_MAX = 4 * MIB  # of changed rows, where their number is limited
DISK_ROOM_BYTES = 4 * MIB  # less free than this: the disk is full, not PermSize

_EMPTY: list[Any] = []


class RunResult(NamedTuple):
    """What a statement did. `rowcount`: rows inserted, changed or deleted."""

    rowcount: int
    rows: list[StorageRow]  # of RETURNING; [] unless wanted
    changes: list[RowChange]


class _Savepoint(NamedTuple):
    name: str
    done: int  # length of `_done`
    mark: Mark
    catalog: Catalog
    views: dict[str, str]


class _Ddl(NamedTuple):
    encoded: bytes
    lsn: int


OnThread = Callable[[Callable[[], None]], "asyncio.Future[None]"]  # Element.start_long
# what was done in a batch: row changes, an entry appended or taken back, DDL, anything else
_Step = list[RowChange] | LogEntry | _Ddl | Callable[[], None]


class BatchWriter(LaterEffects):
    """The writing half of `Element`; see there for how it is used."""

    def __init__(
        self,
        connection: apsw.Connection,
        database: str,
        perm_size_mb: int,
        log_bytes_max: int,
        disk_room: Callable[[], int],
    ) -> None:
        super().__init__()
        self._writer = connection
        self._cursor = connection.cursor()
        self._execute = self._cursor.execute
        self._hook = connection.preupdate_hook
        self._on_change = self._captured_change
        self._database = database
        self._perm_size_mb = perm_size_mb
        self._disk_room = disk_room
        self._perm_pages = perm_size_mb * MIB // PAGE_BYTES
        self._log_pages_max = log_bytes_max // PAGE_BYTES
        self._reserve_open = True  # the limit on pages is lifted
        self._prepared_mb = 0  # taken off the limit: prepared transactions will need the room
        self._log = Log(connection, self._cursor)
        self._tables = Tables(connection)
        self.touched = Touched(0)  # set anew when the log is known
        self._captured: list[RowChange] = []
        self._done: list[_Step] = []
        self._savepoints: list[_Savepoint] = []
        self._start = self._log.mark()
        self._batch_catalog = Catalog.initial()
        self._start_catalog = self._batch_catalog
        self._abandoned = False  # what runs on the writer's thread ends with the batch
        self.in_batch = False

    # -- begin, end, savepoints --------------------------------------------------------------------
    def begin(self) -> None:
        """Open the batch."""
        if self.in_batch:
            raise TransactionStateError("the batch is open already")
        try:
            self._execute("BEGIN IMMEDIATE")
        except apsw.Error as error:
            raise grid_error(error) from error
        self._start = self._log.begin()
        self._start_catalog = self._batch_catalog
        self.in_batch = True

    def _commit_sqlite(self) -> None:
        """COMMIT; on an error the batch is rolled back. Raises GridError."""
        self._need_batch()
        try:
            self._execute("COMMIT")
        except apsw.Error as error:
            self.rollback()
            raise grid_error(error) from error
        self._forget_batch()

    def rollback(self) -> None:
        """Drop the batch. Harmless without one."""
        if not self.in_batch:
            return
        if self._writer.in_transaction:
            try:
                self._execute("ROLLBACK")
            except apsw.Error as error:
                raise grid_error(error) from error
        self._rolled_back()

    def _rolled_back(self) -> None:
        self._forget_batch()
        touched = self._log.txns_touched
        self._log.restore(self._start)
        if touched:
            self._reserve_for_prepared()
        self._set_batch_catalog(self._start_catalog)
        self._batch_views = self._views

    def _forget_batch(self) -> None:
        self.in_batch = False
        if self._done:
            self._done = []
        if self._savepoints:
            self._savepoints = []

    def _need_batch(self) -> None:
        if not self.in_batch:
            raise TransactionStateError("there is no open batch")

    def _set_batch_catalog(self, catalog: Catalog) -> None:
        if catalog is not self._batch_catalog:
            self._batch_catalog = catalog
            self._tables.clear()

    def savepoint(self, name: str) -> None:
        """Remember this point of the batch; a name used again hides the older one."""
        self._need_batch()
        self._execute(f'SAVEPOINT "{name}"')
        self._savepoints.append(
            _Savepoint(
                name, len(self._done), self._log.mark(), self._batch_catalog, self._batch_views
            )
        )

    def rollback_to(self, name: str) -> None:
        """Undo everything since the savepoint, entries included; the savepoint stays."""
        at = self._savepoint_at(name)
        self._execute(f'ROLLBACK TO "{name}"')
        del self._savepoints[at + 1 :]
        point = self._savepoints[at]
        del self._done[point.done :]
        self._log.restore(point.mark)
        self._set_batch_catalog(point.catalog)
        self._batch_views = point.views

    def release(self, name: str) -> None:
        """Forget the savepoint and those after it, not what was done."""
        at = self._savepoint_at(name)
        self._execute(f'RELEASE "{name}"')
        del self._savepoints[at:]

    def _savepoint_at(self, name: str) -> int:
        self._need_batch()
        for at in range(len(self._savepoints) - 1, -1, -1):
            if self._savepoints[at].name == name:
                return at
        raise TransactionStateError(f"there is no savepoint {name}")

    # -- statements --------------------------------------------------------------------------------
    def _captured_change(self, change: apsw.PreUpdate) -> None:
        self._captured.append(RowChange(change.table_name, change.old, change.new))

    def _limited(
        self, captured: list[RowChange], rows_max: int, given_up: list[bool]
    ) -> Callable[[apsw.PreUpdate], None]:
        """Captures changes, and gives the statement up when they are too many, or too wide."""
        size = 0

        def on_change(change: apsw.PreUpdate) -> None:
            nonlocal size
            row = change.old if change.old is not None else change.new
            captured.append(RowChange(change.table_name, change.old, change.new))
            if row is not None and not len(captured) & 15:
                size += 16 * width_of(row)  # it stands for those before it
            if len(captured) > rows_max or size > ROWS_BYTES_MAX:
                given_up.append(True)
                self._writer.interrupt()

        return on_change

    def run(
        self, sql: str, params: Params = (), want_rows: bool = False, rows_max: int = 0
    ) -> RunResult:
        """One INSERT, UPDATE or DELETE, all or nothing; the batch stays as it was on an error.

        `rows_max` > 0: with more rows (or wide ones) it is given up: LargeStatementError. Raises
        UniqueViolationError, NotNullError, CheckViolationError, OutOfPermSizeError, DiskFullError,
        CancelledError (after interrupt_writer), other GridErrors.
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/writer.py")
        self._need_batch()
        if self._reserve_open:
            self._close_reserve()
        captured: list[RowChange] = []
        self._captured = captured
        given_up: list[bool] = []
        limited = rows_max and self._limited(captured, rows_max, given_up)
        self._hook(limited or self._on_change)
        try:
            rows = self._execute(sql, params).fetchall()
        except Exception as error:
            self._hook(None)
            if given_up:
                with suppress(CancelledError):
                    self._failed(error)
                raise LargeStatementError(f"{len(captured)} rows and more") from error
            self._failed(error)
        self._hook(None)
        if captured:
            self._done.append(captured)
        return RunResult(len(captured), rows if want_rows else _EMPTY, captured)

    def run_by_key(
        self, sql: str, params: Params, keys: Sequence[StorageRow], want_rows: bool = False
    ) -> RunResult:
        """`run` once for each key, whose values follow the parameters.

        On an error a part is done: it goes with the caller's savepoint.
        """
        self._need_batch()
        if self._reserve_open:
            self._close_reserve()
        captured: list[RowChange] = []
        self._captured = captured
        self._hook(self._on_change)
        try:
            rows = self._cursor.executemany(sql, [(*params, *key) for key in keys]).fetchall()
        except Exception as error:
            self._hook(None)
            self._failed(error)
        self._hook(None)
        if captured:
            self._done.append(captured)
        return RunResult(len(captured), rows if want_rows else _EMPTY, captured)

    def rows_in_batch(self, sql: str, params: Params) -> Generator[StorageRow, None, None]:
        """A query that sees the open batch; close it before anything else is done in that."""
        cursor = self._writer.cursor()
        try:
            yield from cursor.execute(sql, params)
        except apsw.Error as error:
            raise grid_error(error) from error
        finally:
            cursor.close()

    def finds_between(self, sql: str, least: Any, greatest: Any) -> bool:
        """Does a look into an index (?1 to ?2) find anything, in the open batch? Microseconds."""
        try:
            return self._execute(sql, (least, greatest)).fetchone() is not None
        except apsw.Error as error:
            raise grid_error(error) from error

    def put_rows(self, table: str, rows: Sequence[StorageRow]) -> None:
        """Have these full rows under their keys, whatever is there. For what is not to last."""
        self._need_batch()
        self._open_reserve()
        texts = self._tables[table]
        where = " AND ".join(f"{quoted(texts.columns[at])} = ?" for at in texts.key)
        keys = [tuple([row[at] for at in texts.key]) for row in rows]

        def work() -> None:
            self._cursor.executemany(f"DELETE FROM {quoted(table)} WHERE {where}", keys)
            self._cursor.executemany(texts.insert, rows)

        try:
            work()
        except apsw.Error as error:
            raise grid_error(error) from error
        self._done.append(work)

    def run_spooled(self, sql: str, params: Params, spool: Spool) -> int:
        """`run` for very many rows: its changes go to the spool. Returns how many there were."""
        self._need_batch()
        if self._reserve_open:
            self._close_reserve()
        captured: list[RowChange] = []
        problems: list[GridError] = []

        def on_change(change: apsw.PreUpdate) -> None:
            captured.append(RowChange(change.table_name, change.old, change.new))
            if len(captured) >= row_changes.PIECE:
                keep()

        def keep() -> None:
            try:
                if captured and not problems:
                    spool.add(captured)
            except GridError as error:
                problems.append(error)
            captured.clear()

        self._hook(on_change)
        try:
            self._execute(sql, params).fetchall()
        except Exception as error:
            self._hook(None)
            self._failed(error)
        self._hook(None)
        keep()
        if problems:
            raise problems[0]  # what was done goes with the caller's savepoint

        def again() -> None:
            for changes in spool.changes():
                self._apply(changes)

        self._done.append(again)
        return spool.count

    def insert_rows(self, table: str, rows: Sequence[StorageRow]) -> list[RowChange]:
        """Insert full rows, all or none. Raises as `run` does."""
        self._insert(table, rows)
        changes = [RowChange(table, None, row) for row in rows]
        if changes:
            self._done.append(changes)
        return changes

    def insert_block(self, block: Inserted) -> None:
        """Insert the rows of a block, all or none. Raises as `run` does."""
        self._insert(block.table, block.rows)
        self._done.append(partial(self._apply, block))

    def _insert(self, table: str, rows: Sequence[StorageRow]) -> None:
        if trace.steps.listener is not None:
            trace.step("data/storage/writer.py")
        self._need_batch()
        if self._reserve_open:
            self._close_reserve()
        texts = self._tables[table]
        if texts.rowid >= 0:
            at = texts.rowid
            for row in rows:
                if row[at] is None:
                    raise self._null_key(table, texts.columns[at])
        before = self._writer.total_changes()
        try:
            if len(rows) == 1:
                self._execute(texts.insert, rows[0])
            else:
                self._cursor.executemany(texts.insert, rows)
        except Exception as error:
            inserted = 0
            if self._writer.in_transaction:
                inserted = self._writer.total_changes() - before
                self._take_back([RowChange(table, None, row) for row in rows[:inserted]])
            self._failed(error, table, rows[inserted] if inserted < len(rows) else None)

    def insert_new_rows(
        self, table: str, rows: Sequence[StorageRow], target: tuple[str, ...] = ()
    ) -> list[RowChange]:
        """Insert full rows, leaving out those whose primary or unique key exists.

        `target`: the columns of the only unique index that counts; () all do.
        """
        columns = f" ({', '.join(quoted(c) for c in target)})" if target else ""
        text = f"{self._tables[table].insert} ON CONFLICT{columns} DO NOTHING"
        changes: list[RowChange] = []
        for row in rows:
            try:
                changes += self.run(text, row).changes
            except GridError:
                self.undo_changes(changes)
                raise
        return changes

    def _null_key(self, table: str, column: str) -> NotNullError:
        for found in self._batch_catalog.tables():
            if f"{found.schema}.{found.name}" == table:
                return not_null_error(found, column)
        return NotNullError(f"column {column} of table {table} does not allow NULL")

    def _failed(self, error: Exception, table: str = "", row: StorageRow | None = None) -> NoReturn:
        """Bring the batch back if SQLite dropped it, and raise what the error means."""
        if not self._writer.in_transaction and not self._abandoned:
            self._make_again()
        if isinstance(error, apsw.FullError) and self._disk_room() > DISK_ROOM_BYTES:
            raise out_of_perm_size(self._database, self._perm_size_mb) from error
        if isinstance(error, (apsw.Error, GridError)):
            raise statement_error(error, self._batch_catalog, table, row) from error
        raise error  # of a SQL function or of wrong parameters: a fault of ours

    # -- row changes -------------------------------------------------------------------------------
    def apply_changes(self, changes: Sequence[RowChange]) -> None:
        """Put changes into effect. All or nothing: a change that does not find its image before

        (or finds its new row's keys taken) raises CorruptElementError.
        """
        self._need_batch()
        self._apply(changes)
        if changes:
            self._done.append(list(changes))

    def apply_part(self, lsn: int) -> None:
        """Put the changes of a PART into effect; they are not kept in memory."""
        self._need_batch()

        def work() -> None:
            for changes in self._log.part(lsn):
                self._apply(changes)

        work()
        self._done.append(work)

    def apply_encoded(self, load: Callable[[], bytes]) -> None:
        """The same with changes that are elsewhere, as `changes.encode` gives them."""
        self._need_batch()

        def work() -> None:
            for changes in row_changes.decode_slices(load()):
                self._apply(changes)

        work()
        self._done.append(work)

    def _undo_part(self, lsn: int) -> None:
        def work() -> None:
            for changes in reversed(list(self._log.part(lsn))):
                self._apply(row_changes.invert(changes))

        work()
        self._done.append(work)

    def changes_in_part(self, lsn: int) -> list[RowChange]:
        """The row changes of a PART entry. Raises CorruptElementError."""
        return [change for changes in self._log.part(lsn) for change in changes]

    def undo_changes(self, changes: Sequence[RowChange]) -> None:
        """Take changes back, last first; raises as `apply_changes`."""
        self.apply_changes(row_changes.invert(changes))

    def _apply(self, changes: Sequence[RowChange]) -> None:
        """All or none; room above PermSize is used if need be."""
        was_open = self._reserve_open
        cause = self._try_to_apply(changes)
        if isinstance(cause, apsw.FullError) and not was_open:
            cause = self._try_to_apply(changes)  # the reserve is open now
        if cause is not None:
            raise _apply_error(cause) from cause

    def _try_to_apply(self, changes: Sequence[RowChange]) -> Exception | None:
        """None, or why it could not be done; the batch is as before then."""
        if len(changes) >= BULK_MIN:
            return self._try_to_apply_many(changes)
        try:
            apply_all(self._writer, self._execute, self._tables, changes)
        except PartlyAppliedError as error:
            if self._writer.in_transaction:
                self._take_back(changes[: error.done])
            else:
                self._make_again()
            return error.cause
        return None

    def _try_to_apply_many(self, changes: Sequence[RowChange]) -> Exception | None:
        """The same in bulk, under a savepoint of SQLite's own."""
        execute = self._execute
        execute("SAVEPOINT _bulk")
        try:
            apply_bulk(self._writer, self._cursor, self._tables, changes)
        except (apsw.Error, CorruptElementError, IndexError, TypeError, ValueError) as error:
            if self._writer.in_transaction:
                execute("ROLLBACK TO _bulk")
                execute("RELEASE _bulk")
            else:
                self._make_again()
            if isinstance(error, apsw.FullError):
                self._open_reserve()
            return error
        execute("RELEASE _bulk")
        return None

    def _take_back(self, changes: Sequence[RowChange]) -> None:
        """Undo the part of a failed piece of work that was done."""
        self._open_reserve()
        apply_all(self._writer, self._execute, self._tables, row_changes.invert(changes))

    # -- log entries -------------------------------------------------------------------------------
    def append(self, entry: LogEntry, participants: tuple[int, ...] = ()) -> None:
        """Write a log entry whose effect on the data is in this batch already.

        Keeps the prepared transactions and the decisions. `participants`: of a COMMIT that was not
        prepared here and decides for others. Raises LogGapError unless its lsn follows the tail
        and its term is not older, CorruptElementError for a COMMIT of a transaction whose ABORT is
        recorded or a PREPARE of one that is decided or prepared, OutOfPermSizeError if there is no
        room to promise what a PREPARE promises.
        """
        self._need_batch()
        bounded = entry.kind in (EntryKind.PREPARE, EntryKind.PART)
        if bounded and self._reserve_open:
            self._close_reserve()
        self.touched.everything(entry.lsn)
        self._append(entry, bounded, participants)

    def check_entry(self, entry: LogEntry) -> None:
        """Raise what `append` raises for an entry that cannot follow."""
        self._log.check_next(entry)

    def _append(self, entry: LogEntry, bounded: bool, participants: tuple[int, ...] = ()) -> None:
        state = self._log.check_next(entry)
        try:
            self._log.append(entry, state, participants)
        except apsw.FullError as error:
            if bounded:
                self._failed(error)  # no room to promise
            if not self._writer.in_transaction:
                self._make_again()
            self._open_reserve()
            try:
                self._log.append(entry, state, participants)
            except apsw.Error as second:
                raise grid_error(second) from second
        except apsw.Error as error:
            raise grid_error(error) from error
        self._done.append(entry)
        if state is not None or entry.kind == EntryKind.PREPARE:
            self._reserve_for_prepared()

    def apply_entry(self, entry: LogEntry) -> None:
        """Append an entry and put it into effect (data, catalog, ownership).

        What a copy does; and a lead for the COMMIT of a prepared transaction and for DDL. On an
        error the batch must be rolled back.
        """
        for _ in self.apply_slices(entry):
            pass

    def apply_slices(
        self, entry: LogEntry, thread: OnThread | None = None
    ) -> Iterator[asyncio.Future[None] | None]:
        """`apply_entry` in slices of a few milliseconds; nothing else may be written meanwhile.

        thread: DDL, which may take seconds, runs there; its future comes in place of None.
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/writer.py")
        self._need_batch()
        state = self._log.check_next(entry)
        participants: tuple[int, ...] = ()
        if entry.kind == EntryKind.COMMIT:
            own = decode_payload(entry.payload)
            participants = own.participants
            prepared = state is not None and state.prepare_lsn > 0
            payload = self._log.prepare_of(state) if prepared and state is not None else own
            if own.later or payload.ddl or payload.parts:
                self.touched.everything(entry.lsn)
            if own.later:
                self._append(entry, False, participants)
                self._commit_later(entry, payload)
                return
            if payload.ddl and thread is not None:
                future = thread(partial(self.apply_ddl, payload.ddl, entry.lsn))
                yield future
                future.result()
                self._need_batch()
            elif payload.ddl:
                self.apply_ddl(payload.ddl, entry.lsn)
            for lsn in payload.parts:
                self.apply_part(lsn)
                yield None
                self._need_batch()
            for number, changes in enumerate(row_changes.decode_slices(payload.changes)):
                if number:
                    yield None
                    self._need_batch()
                self.touched.rows(self._tables, changes, entry.lsn)
                self.apply_changes(changes)
        elif entry.kind == EntryKind.APPLIED:
            self.touched.everything(entry.lsn)
            for _ in self._applied(entry):
                yield None
                self._need_batch()
        self._append(entry, False, participants)

    def change_slices(self, changes: Sequence[RowChange]) -> Iterator[None]:
        """`apply_changes` in slices; on an error the batch must be rolled back."""
        for at in range(0, len(changes), row_changes.PIECE):
            if at:
                yield
                self._need_batch()
            self.apply_changes(changes[at : at + row_changes.PIECE])

    def undo_entry(self, entry: LogEntry) -> None:
        """Take back the newest entry with its effect. Raises LogGapError if it is not the tail.

        On an error the batch must be rolled back.
        """
        self._need_batch()
        log = self._log
        state = log.txns.get(entry.txn) if entry.txn is not None else None
        decided = state is not None and state.decided_lsn == entry.lsn
        self.touched.everything(entry.lsn)
        try:
            log.take_back(entry)
            self._done.append(lambda: log.take_back(entry))
        except apsw.Error as error:
            raise grid_error(error) from error
        if entry.kind == EntryKind.COMMIT:
            prepare_lsn = state.prepare_lsn if state is not None and decided else 0
            payload = self._effect_of(entry, prepare_lsn)
            units = self._units_in(entry, payload)
            if payload.changes and units > len(payload.parts):
                self.undo_changes(row_changes.decode(payload.changes))
            for lsn in reversed(payload.parts[:units]):
                self._undo_part(lsn)
            if payload.ddl:
                self._undo_ddl(entry.lsn)
        elif entry.kind == EntryKind.APPLIED:
            self._undo_applied(entry)

    def _effect_of(self, entry: LogEntry, prepare_lsn: int) -> TxnPayload:
        """What a COMMIT does: its own payload, or that of the PREPARE it decides."""
        if prepare_lsn:
            return self._log.prepare_of(self._log.txns[entry.txn])  # type: ignore[index]
        return decode_payload(entry.payload)

    # -- DDL ---------------------------------------------------------------------------------------
    def apply_ddl(self, ddl: bytes, lsn: int) -> None:
        """Put an encoded CatalogChange into effect; its entry, at `lsn`, must be appended next.

        `apply_entry` does this by itself; it is for a lead that runs row changes between the two.
        All or nothing. Raises as `run` does (say, a new unique index meets duplicates).
        """
        self._need_batch()
        change = CatalogChange.decode(ddl)
        self._open_reserve()
        self.savepoint("_ddl")
        try:
            catalog = schema.apply_change(self._execute, self._batch_catalog, change, lsn)
        except apsw.Error as error:
            if self._writer.in_transaction:
                self.rollback_to("_ddl")
                self.release("_ddl")
            else:
                del self._savepoints[-1]
            self._failed(error)
        self.release("_ddl")
        self._set_batch_catalog(catalog)
        self._done.append(_Ddl(ddl, lsn))

    def _undo_ddl(self, lsn: int) -> None:
        def undo() -> None:
            self._set_batch_catalog(schema.undo_change(self._execute, self._batch_catalog, lsn))

        self._open_reserve()
        try:
            undo()
        except apsw.Error as error:
            raise grid_error(error) from error
        self._done.append(undo)

    # -- room --------------------------------------------------------------------------------------
    def _open_reserve(self) -> None:
        """Let the file grow above PermSize: for what must not fail."""
        if not self._reserve_open:
            self._reserve_open = True
            self._execute(f"PRAGMA max_page_count = {PAGES_UNLIMITED}").fetchall()

    def _close_reserve(self) -> None:
        """Hold users' statements to PermSize, less what prepared transactions will need.

        The log has room of its own beside, but what it does not use is not theirs.
        """
        self._reserve_open = False
        pages = self._pages_allowed()
        self._execute(f"PRAGMA max_page_count = {max(1, pages)}").fetchall()

    def _pages_allowed(self) -> int:
        log_pages = min(LOG_PAGES_MIN + self._log.bytes * 5 // 4 // PAGE_BYTES, self._log_pages_max)
        pages = self._perm_pages + log_pages - self._prepared_mb * (2 * MIB // PAGE_BYTES)
        return pages + self._before_pages

    def spare_bytes(self) -> int:
        """What is left of PermSize for users' statements; below 0: nothing."""
        return (self._pages_allowed() - self._used_pages()) * PAGE_BYTES

    def _reserve_for_prepared(self) -> None:
        prepared_mb = self._log.prepared_bytes() // MIB
        if prepared_mb != self._prepared_mb:
            self._prepared_mb = prepared_mb
            self._open_reserve()  # so that the next statement sets the limit anew

    # -- after SQLite dropped the transaction ------------------------------------------------------
    def _make_again(self) -> None:
        """Do everything of the batch once more. Raises GridError; then the batch is gone."""
        done, savepoints = self._done, self._savepoints
        self._done, self._savepoints = [], []
        self._rolled_back()
        try:
            self.begin()
            self._open_reserve()
            at = 0
            for number, step in enumerate(done):
                while at < len(savepoints) and savepoints[at].done == number:
                    self.savepoint(savepoints[at].name)
                    at += 1
                self._repeat(step)
            for point in savepoints[at:]:
                self.savepoint(point.name)
        except (apsw.Error, PartlyAppliedError, CorruptElementError) as error:
            self.rollback()
            cause = error.cause if isinstance(error, PartlyAppliedError) else error
            raise grid_error(cause) from error

    def _repeat(self, step: _Step) -> None:
        match step:
            case LogEntry():
                is_commit = step.kind == EntryKind.COMMIT
                participants = decode_payload(step.payload).participants if is_commit else ()
                self._log.append(step, self._log.check_next(step), participants)
            case list():
                apply_all(self._writer, self._execute, self._tables, step)
            case _Ddl(encoded, lsn):
                change = CatalogChange.decode(encoded)
                self._set_batch_catalog(
                    schema.apply_change(self._execute, self._batch_catalog, change, lsn)
                )
            case _:
                step()
        self._done.append(step)

    # -- where the log is --------------------------------------------------------------------------
    @property
    def tail(self) -> LogPosition:
        """Newest entry, the open batch included; (0, 0): empty log."""
        return LogPosition(self._log.tail_term, self._log.tail_lsn)


def _apply_error(cause: Exception) -> GridError:
    """Why a row change could not be applied."""
    if isinstance(cause, (apsw.ConstraintError, apsw.BindingsError)):
        return CorruptElementError(f"a row change does not fit what is there: {cause}")
    if isinstance(cause, (apsw.Error, GridError)):
        return grid_error(cause)
    return CorruptElementError(f"a row change does not fit its table: {cause!r}")
