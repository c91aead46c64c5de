"""One element on disk: the only object of this package that others hold. See DESIGN.md.

Sync methods run on the caller's thread (the event loop) and take microseconds, unless said
otherwise. Nothing here knows networks, roles or locks.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw
import structlog
from msgspec.structs import replace

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import BUCKET, quoted
from data.storage import before, files, log, past, schema, snapshot, wal
from data.storage import changes as row_changes
from data.storage.entry import Decision, EntryKind, LogEntry, PreparedTxn, decode_payload
from data.storage.faults import grid_error
from data.storage.held import HeldSnapshot
from data.storage.own import OwnView
from data.storage.settings import ElementIdentity, StorageSettings
from data.storage.spool import Spool
from data.storage.sqlite import (
    NEVER,
    Checkpoints,
    Params,
    ReaderPool,
    ReadSnapshot,
    Scan,
    StepLimit,
    WalKeeper,
    connect,
    finds_one_row,
    is_costly,
    register_functions,
    stop,
    writer_thread,
)
from data.storage.touched import Touched
from data.storage.writer import DISK_ROOM_BYTES, BatchWriter, RunResult
from protocol import trace
from protocol.errors import (
    CorruptElementError,
    DuplicateObjectError,
    GridError,
    TransactionStateError,
)
from protocol.ids import LogPosition, TxnId
from protocol.sqltypes import StorageRow

logger = structlog.get_logger()

T = TypeVar("T")
FEW_PAGES = 512  # 2 MiB: no statement takes long in such an element
SHORT_TEXTS_MAX = 1000
BUCKET_INDEX = "_MOVE."  # before a table's name: its index by bucket, while buckets are moved

__all__ = ["Element", "HeldSnapshot", "ReadSnapshot", "RunResult", "Scan"]


class Element(BatchWriter):
    """The files of one element, exclusively locked from create/open to close.

    The batch (`begin`, `run`, `append`, … `rollback`) is in the base class.
    """

    identity: ElementIdentity
    settings: StorageSettings
    path: Path  # a folder
    catalog: Catalog  # of the last commit
    returned_lsn: int  # where the log was when it last went back to an epoch, 0: it never did
    needs_recovery: bool  # must not count itself in sync: new, rebuilt, restored, power was lost
    in_batch: bool

    # -- life --------------------------------------------------------------------------------------
    @staticmethod
    def exists(path: Path) -> bool:
        """True if there is an element's file in this folder."""
        return (path / files.FILE).exists()

    @staticmethod
    def create(path: Path, identity: ElementIdentity, settings: StorageSettings) -> Element:
        """Make and open a new, empty element in a new or empty folder. Milliseconds.

        Raises DuplicateObjectError if there is one already, ElementInUseError, DiskFullError.
        """
        path.mkdir(parents=True, exist_ok=True)
        lock = files.FolderLock(path)
        try:
            if Element.exists(path):
                raise DuplicateObjectError(f"there is an element in {path} already")
            files.make_file(path, identity, settings)
            return Element(path, settings, lock)
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def open(path: Path, settings: StorageSettings) -> Element:
        """Open an element; seconds if it is large (integrity check): use a thread.

        Raises ElementInUseError (another process has it), CorruptElementError (also if there is no
        file), FormatTooNewError.
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        if not Element.exists(path):
            raise CorruptElementError(f"there is no element in {path}")
        lock = files.FolderLock(path)
        try:
            return Element(path, settings, lock)
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def install_snapshot(
        file: Path,
        path: Path,
        identity: ElementIdentity,
        settings: StorageSettings,
        database_id: str = "",
    ) -> Element:
        """Make folder `path` this element with the content of a snapshot, and open it.

        `file` is used up. What was in the folder is replaced. It needs recovery until marked in
        sync. `database_id`: of the snapshot, if it is of another database (a backup).

        Raises CorruptElementError if the snapshot is damaged or of another database.
        """
        path.mkdir(parents=True, exist_ok=True)
        lock = files.FolderLock(path)
        try:
            files.put_in_place(files.prepare_snapshot(file, path, identity, database_id), path)
            return Element(path, settings, lock)
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def destroy(path: Path) -> None:
        """Remove a closed element's files. Raises ElementInUseError."""
        if path.exists():
            lock = files.FolderLock(path)
            files.remove_files(path)
            lock.release()

    def __init__(self, path: Path, settings: StorageSettings, lock: files.FolderLock) -> None:
        """Use `create`, `open` or `install_snapshot`."""
        self.path = path
        self.settings = settings
        self._lock = lock
        self._callbacks: list[Callable[[Catalog], None]] = []
        self._exists_texts: dict[tuple[str, ...], str] = {}
        self._short_texts: dict[str, bool] = {}
        self._long_work: Future[Any] | None = None
        self._writer_thread: ThreadPoolExecutor | None = None
        self._long = False  # run_long is on: the writer's connection is not ours
        self.closed = False
        self._open_files(check=settings.check_on_open)

    def _open_files(self, *, check: bool) -> None:
        file = self.path / files.FILE
        connection = files.open_writer(file, self.settings)
        try:
            register_functions(connection, lambda: self.identity)
            files.check_file(connection, file, whole=check)
            connection.pragma("journal_mode", "wal")
            self._check_wal(connection, file)
            BatchWriter.__init__(
                self,
                connection,
                "",
                self.settings.perm_size_mb,
                self.settings.log_bytes_max,
                self._disk_room_bytes,
            )
            self._load()
            self._reader = self._open_reader(
                (self.settings.perm_size_mb << 20) + self.settings.log_bytes_max
            )
        except apsw.Error as error:
            connection.close(True)
            raise CorruptElementError(f"{file} cannot be read: {error}") from error
        except BaseException:
            connection.close(True)
            raise
        self._read = self._reader.cursor().execute
        self._short = StepLimit(self._reader)
        self._reader_views: Mapping[str, str] = {}
        self._pinned = False
        self._keeper = WalKeeper(file, connection, self.settings)
        self._pool = ReaderPool(
            lambda: self._open_reader(self.settings.scan_cache_bytes),
            self.settings.scan_threads,
            self.settings.scan_connections,
        )

    def _check_wal(self, connection: apsw.Connection, file: Path) -> None:
        """Raises CorruptElementError if the file counts as whole and its WAL lacks something."""
        boot = self.settings.boot_id or files.boot_id()
        if files.is_trusted(connection.execute, boot):
            frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            same_boot = files.mark(connection.execute, "in_sync") == boot
            wrong = wal.damage(Path(f"{file}-wal"), frames, same_boot=same_boot)
            if wrong:
                raise CorruptElementError(f"{file}-wal is damaged: {wrong}")

    def _open_reader(self, cache_bytes: int) -> apsw.Connection:
        connection = connect(
            self.path / files.FILE,
            cache_bytes=cache_bytes,
            mmap_bytes=4 * (self.settings.perm_size_mb << 20),
            read_only=True,
        )
        register_functions(connection, lambda: self.identity)
        return connection

    def _disk_room_bytes(self) -> int:
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def has_room(self, more_bytes: int = 0) -> bool:
        """The file system has room for more than what is under way. Microseconds."""
        try:
            return self._disk_room_bytes() > 2 * DISK_ROOM_BYTES + more_bytes
        except OSError:
            return False

    def _load(self) -> None:
        """Read marks, log state and catalog, and leave a flushed mark that we are running."""
        execute = self._execute
        self.identity = files.read_identity(execute)
        self._database = self.identity.database
        self._boot = self.settings.boot_id or files.boot_id()
        trusted = files.is_trusted(execute, self._boot)
        self.needs_recovery = not trusted
        self.returned_lsn = int(files.mark(execute, "returned") or 0)
        self._full = self._full_wanted = self.settings.durability == 1
        self._writer.pragma("synchronous", "full")
        with self._writer:
            files.put_mark(execute, "in_sync", self._boot if trusted else "")
            files.put_mark(execute, "clean", 0)
            files.put_mark(execute, "forced", int(self._full))
            for text in (*past.SCHEMA, files.OWN):  # files of older versions lack them
                execute(text)
        if not self._full:
            self._writer.pragma("synchronous", "normal")
        self._log.load()
        version = self._writer.pragma("user_version")
        if version < files.FORMAT:
            with self._writer:
                if version < 2:
                    self._log.store_again()
                past.take_over(execute)
                self._writer.pragma("user_version", files.FORMAT)
        self.touched = Touched(self._log.tail_lsn)
        self._log.replica_set = self.identity.replica_set
        self.catalog = self._batch_catalog = self._start_catalog = schema.load(execute)
        self._committed = self.tail
        self._reserve_for_prepared()

    def _alone(self, work: Callable[[], None], *, flushed: bool = False) -> None:
        """Do bookkeeping in the open batch, or in a transaction of its own."""
        alone = not self.in_batch
        if alone:
            self.begin()
        try:
            self._open_reserve()
            work()
        except (apsw.Error, GridError) as error:
            if alone:
                self.rollback()
            raise grid_error(error) from error.__cause__
        if not alone:
            self._done.append(work)
            return
        self.commit()
        if flushed:
            self._keeper.flush_now()

    def set_place(self, replica_set: int, data_space: int) -> None:
        """Record the element's place in the map, flushed; not inside a batch."""
        if self.in_batch:
            raise TransactionStateError("not inside a batch")
        identity = replace(self.identity, replica_set=replica_set, data_space=data_space)
        self._alone(lambda: files.put_identity(self._execute, identity), flushed=True)
        self.identity = identity
        self._log.replica_set = replica_set

    def mark_in_sync(self) -> None:
        """The element may count itself in sync from now on, flushed. Milliseconds.

        In an open batch: from its commit on, which is flushed.
        """
        self._alone(lambda: files.put_mark(self._execute, "in_sync", self._boot), flushed=True)
        if self.in_batch:
            self._flush_once = True
        self.needs_recovery = False

    def distrust(self) -> None:
        """The element must not count itself in sync any more, flushed; not inside a batch."""

        def marks() -> None:
            files.put_mark(self._execute, "in_sync", "")
            files.put_mark(self._execute, "forced", 0)

        self._alone(marks, flushed=True)
        self.needs_recovery = True

    def note_return(self, lsn: int) -> None:
        """Everything after this LSN, an epoch's, was undone after a loss of power; flushed."""
        self._log.commit_point = min(self._log.commit_point, lsn)
        self._alone(lambda: files.put_mark(self._execute, "returned", lsn), flushed=True)
        self.returned_lsn = lsn

    def close(self, clean: bool) -> None:
        """Close files, release the lock. `clean`: everything flushed, with the clean-stop mark."""
        if self.closed:
            return
        self.closed = True
        if self.in_batch:
            self.rollback()
        try:
            if clean:
                self._alone(lambda: files.put_mark(self._execute, "clean", 1), flushed=True)
        finally:
            self._close_files()
            self._lock.release()

    def _close_files(self) -> None:
        if self._writer_thread is not None:
            self._writer.interrupt()
            self._writer_thread.shutdown(wait=True)
            self._writer_thread = None
        self._pool.close()
        self._keeper.close()
        self._reader.close(True)
        self._writer.close(True)

    def on_catalog(self, callback: Callable[[Catalog], None]) -> None:
        """Call `callback` after each commit that changed the catalog."""
        self._callbacks.append(callback)

    @property
    def busy(self) -> bool:
        """Something runs on the writer's thread: only reads are allowed."""
        return self._long

    @property
    def schema_version(self) -> int:
        """Of the last commit."""
        return self.catalog.version

    # -- durability --------------------------------------------------------------------------------
    def set_force_sync(self, forced: bool) -> None:
        """True: commits are flushed before `commit` returns, from the next one on (an open batch

        included); False: as the settings say.
        """
        self._full_wanted = forced or self.settings.durability == 1
        if self._full_wanted != self._full and not self.in_batch:
            self.begin()
            self.commit()

    def _switch_sync(self) -> None:
        """Commit with the mark of the new way, and flush: all that is committed is on disk then."""
        wanted = self._full_wanted
        self._need_batch()
        self._alone(lambda: files.put_mark(self._execute, "forced", int(wanted)))
        self._unpin()
        self._commit_sqlite()
        self._keeper.flush_now()
        self._writer.pragma("synchronous", "full" if wanted else "normal")
        self._full = wanted

    async def flush(self) -> None:
        """Flush everything that is committed now (epochs); off the event loop."""
        await self._keeper.flush()

    _flush_once = False  # the open batch carries a mark that must be on disk when commit returns

    def commit(self) -> None:
        """Commit the batch, flushed as the settings and set_force_sync say; call catalog callbacks.

        Raises DiskFullError (the batch is rolled back).
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        if self._full_wanted is not self._full:
            self._switch_sync()
        else:
            if self._pinned:
                self._unpin()
            self._commit_sqlite()
        if self._batch_views is not self._views:
            self._set_views(self._batch_views)
        if self._flush_once:
            self._flush_once = False
            self._keeper.flush_now()
        position = self._log
        self._committed = LogPosition(position.tail_term, position.tail_lsn)
        if self._keeper.needs_help:
            with suppress(apsw.Error):
                self._keeper.help_now()
        if self._batch_catalog is not self.catalog:
            self.catalog = self._batch_catalog
            self._catalog_changed()

    def _set_views(self, views: dict[str, str]) -> None:
        """What readers see from this commit on goes through these views."""
        self._reader_views = before.dress(self._reader, self._reader_views, views)
        self._views = self._pool.views = views

    def _catalog_changed(self) -> None:
        self._exists_texts.clear()
        self._short_texts.clear()
        for callback in self._callbacks:
            try:
                callback(self.catalog)
            except Exception:  # the commit stands whatever its listeners do
                logger.exception("catalog.listener_failed", db=self._database)

    async def run_long(self, sql: str, params: Params = (), want_rows: bool = False) -> RunResult:
        """`run` on the writer's thread. Until it is done nothing else of the batch may be used."""
        future = self.start_long(lambda: self.run(sql, params, want_rows))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError as cancelled:
            await stop(future, self._writer)
            raise cancelled  # mypyc forgets what a bare raise means once the handler has waited

    def start_long(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do something with the batch on the writer's thread; nothing else may until it is done."""
        if self._writer_thread is None:
            self._writer_thread = writer_thread()
        self._long = True
        self._long_work = self._writer_thread.submit(work)
        future = asyncio.wrap_future(self._long_work)
        future.add_done_callback(self._long_done)
        return future

    def _long_done(self, future: asyncio.Future[Any]) -> None:
        self._long = False
        if not future.cancelled():
            future.exception()  # whoever wants it asks again

    def abandon_long(self) -> None:
        """Stop what runs on the writer's thread, and wait for it: milliseconds. Then roll back."""
        self._abandoned = True
        while self._long_work is not None and not self._long_work.done():
            self._writer.interrupt()  # again: it may have been between two statements
            wait([self._long_work], timeout=0.005)
        self._abandoned = self._long = False

    def new_spool(self) -> Spool:
        """For the row changes of one statement. Raises DiskFullError."""
        return Spool(self.path)

    def is_short(self, sql: str, params: Params = ()) -> bool:
        """A statement that finds at most one row, or an element that has few in all."""
        return self.finds_one_row(sql, params) or self.is_small

    @property
    def is_small(self) -> bool:
        """Nothing takes long in it."""
        return int(self._writer.pragma("page_count")) < FEW_PAGES

    def finds_one_row(self, sql: str, params: Params = ()) -> bool:
        """A statement that looks at single rows only, by their whole keys."""
        known = self._short_texts.get(sql)
        if known is None:
            if len(self._short_texts) >= SHORT_TEXTS_MAX:
                self._short_texts.clear()
            known = self._short_texts[sql] = finds_one_row(self._writer, sql, params)
        return known

    def interrupt_writer(self) -> None:
        """Stop what `run_long` runs: it raises CancelledError."""
        self._writer.interrupt()

    # -- reading -----------------------------------------------------------------------------------
    def read(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query on the last committed state, inline."""
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        try:
            if not self._pinned:
                self._read("BEGIN")
                self._pinned = True
            return self._read(sql, params).fetchall()
        except apsw.Error as error:
            raise grid_error(error) from error

    def _unpin(self) -> None:
        """End the reader's transaction, before a commit: its next read sees the new state.

        Between commits the reader stays in one transaction, since nobody else writes this file:
        beginning and ending one costs more than a key lookup. It is never open while a commit
        may start the WAL over.
        """
        if self._pinned:
            self._pinned = False
            self._read("COMMIT")

    def read_short(self, sql: str, params: Params = ()) -> list[StorageRow] | None:
        """The same, given up after a few milliseconds: None then, and nothing has happened."""
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        if is_costly(sql):
            return None
        if self._views:
            sql = before.unhinted(sql)
        self._short.asked = 0
        try:
            if not self._pinned:
                self._read("BEGIN")
                self._pinned = True
            return self._read(sql, params).fetchall()
        except apsw.InterruptError:
            return None
        except apsw.Error as error:
            raise grid_error(error) from error
        finally:
            self._short.asked = NEVER

    def read_in_batch(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query that sees the open batch."""
        try:
            return self._execute(sql, params).fetchall()
        except apsw.Error as error:
            raise grid_error(error) from error

    async def scan(self, sql: str, params: Params = ()) -> Scan:
        """A query of any length on the last committed state, on a reader thread.

        Waits for a free reader connection.
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        return (await self._pool.snapshot()).scan(sql, params, owned=True)

    async def snapshot(self) -> ReadSnapshot:
        """Hold the last committed state for several reads. Waits for a free reader connection."""
        return await self._pool.snapshot()

    async def hold(self) -> HeldSnapshot:
        """The same for long: several queries at a time, changes of a transaction on top."""
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        return HeldSnapshot(await self._pool.snapshot())

    @property
    def checkpoints(self) -> Checkpoints:
        """Of the SQLite WAL, since the element was opened."""
        return self._keeper.checkpoints

    async def own_view(self, cuts: int) -> OwnView:
        """For the reads of one large transaction, which has gone back so often."""
        if trace.steps.listener is not None:
            trace.step("data/storage/element.py")
        return OwnView(await self._pool.snapshot(), cuts)

    @property
    def reader_views(self) -> Mapping[str, str]:
        """Views through which new snapshots see tables (data/storage/before.py)."""
        return self._views

    @property
    def wal_bytes(self) -> int:
        """Of the SQLite WAL: it grows as long as a snapshot needs its frames."""
        return self._keeper.bytes

    def row_exists(self, table: str, columns: Sequence[str], key: StorageRow) -> bool:
        """True if a row has these values in these columns; sees the open batch, if there is one."""
        name = (table, *columns)
        text = self._exists_texts.get(name)
        if text is None:
            where = " AND ".join(f"{quoted(c)} = ?{n}" for n, c in enumerate(columns, 1))
            text = f"SELECT 1 FROM {quoted(table)} WHERE {where} LIMIT 1"
            self._exists_texts[name] = text
        return bool(self.read_in_batch(text, key) if self.in_batch else self.read(text, key))

    def column_names(self, table: str) -> tuple[str, ...]:
        """Columns of a SQLite table in the order of a full row."""
        return self._tables[table].columns

    def key_positions(self, table: str) -> tuple[int, ...]:
        """Positions of the primary key's columns in a full row, in the key's order."""
        return self._tables[table].key

    # -- log ---------------------------------------------------------------------------------------
    @property
    def committed_tail(self) -> LogPosition:
        """Newest entry that is committed here."""
        return self._committed

    @property
    def log_start(self) -> LogPosition:
        """Entries up to this one are no longer kept; (0, 0): all are."""
        return self._log.cut

    @property
    def log_bytes(self) -> int:
        """Bytes kept in the log."""
        return self._log.bytes

    @property
    def commit_point(self) -> int:
        """LSN up to which entries are known to be committed by the lead."""
        return self._log.commit_point

    def set_commit_point(self, lsn: int) -> None:
        """Remember it; on disk with the next entry."""
        self._log.commit_point = lsn

    def _log_connection(self) -> apsw.Connection:
        """The one that sees most and may be used now."""
        return self._fresh_reader() if self._long else self._writer

    def _fresh_reader(self) -> apsw.Connection:
        """The reader for statements of its own; what it sees is committed and newest."""
        self._unpin()
        return self._reader

    def entries(self, after_lsn: int, bytes_max: int) -> list[LogEntry]:
        """Committed entries after a position, at least one if there is one.

        Raises LogGapError if entries after `after_lsn` are no longer kept.
        """
        return log.entries_after(self._fresh_reader(), after_lsn, self._log.cut, bytes_max)

    def entry_at(self, lsn: int) -> LogEntry | None:
        """The entry at a position, of the open batch too; None: not there or no longer kept."""
        return log.entry_at(self._log_connection(), lsn)

    def outcome(self, txn: TxnId) -> str | None:
        """What became of a transaction here, the open batch included: see Log.outcome."""
        return self._log.outcome(self._log_connection(), txn)

    def changes_of(self, txn: TxnId) -> int:
        """How many rows a committed or prepared transaction changed here; -1: not known now."""
        connection = self._log_connection()
        entry = self._log.find(connection, txn)
        if entry is None:
            counted = past.committed(connection.execute, txn, self._log.cut.lsn)
            return -1 if counted is None else counted
        if entry.kind not in (EntryKind.COMMIT, EntryKind.PREPARE):
            return 0
        payload = decode_payload(entry.payload)
        state = self._log.txns.get(txn)
        if not payload.changes and state is not None and state.prepare_lsn > self._log.cut.lsn:
            payload = self._log.prepare_of(state)
        count = row_changes.count(payload.changes)
        for lsn in payload.parts:
            part = log.entry_at(connection, lsn)
            if part is None:
                return -1
            count += row_changes.count(decode_payload(part.payload).changes)
        return count

    @property
    def open_parts(self) -> Mapping[TxnId, int]:
        """Transactions that are undecided and have PART entries, with the LSN of the first."""
        return self._log.open_parts

    def effect_bytes(self, entry: LogEntry) -> int:
        """Bytes of PARTs that a COMMIT puts into effect: it does more than its size shows."""
        return self._log.effect_bytes(entry)

    def prepared(self) -> list[PreparedTxn]:
        """Prepared and undecided transactions, oldest first, the open batch included."""
        return self._log.prepared()

    def decisions(self) -> list[Decision]:
        """Recorded decisions on multi-set transactions, oldest first."""
        return self._log.decisions()

    def committed_together(self, after_lsn: int) -> list[tuple[TxnId, tuple[int, ...]]]:
        """Transactions over several replica sets whose COMMIT is behind a position; with their

        participants.
        """
        return [
            (txn, state.participants)
            for txn, state in self._log.txns.items()
            if state.committed and state.decided_lsn > after_lsn
        ]

    def was_there(self, txn: TxnId, lsn: int) -> tuple[bool, bool]:
        """(prepared, committed) here at a position of the log."""
        state = self._log.txns.get(txn)
        if state is None:  # if it was here, it is over and its log is cut
            gone = self.outcome(txn) in ("committed", "forgotten")
            return gone, gone
        committed = state.committed and 0 < state.decided_lsn <= lsn
        return 0 < state.prepare_lsn <= lsn, committed

    def epochs(self) -> list[tuple[int, LogPosition]]:
        """(epoch number, position) of the EPOCH entries kept, oldest first; committed ones."""
        return log.epochs(self._fresh_reader())

    def newest_epoch(self, at_most: int | None = None) -> tuple[int, int]:
        """(number, LSN) of the newest committed EPOCH entry (with a number up to `at_most`)."""
        return log.newest_epoch(self._fresh_reader(), at_most)

    def cut_log(
        self, below_lsn: int, entries_max: int = 1000, undo_after: int | None = None
    ) -> bool:
        """Remove entries below a position, at most `entries_max`; True: there are more to remove.

        Entries that an undo of a kept one needs stay; nothing up to `undo_after` is ever undone
        (None: nothing is known). In the open batch, or by itself.
        """
        more = False

        def cut() -> None:
            nonlocal more
            last, more = self._log.cut_below(below_lsn, entries_max, undo_after)
            if last:
                schema.purge(self._execute, last)

        self._alone(cut)
        return more

    # -- moving buckets ----------------------------------------------------------------------------
    def add_bucket_indexes(self, tables: Sequence[str]) -> None:
        """On this copy only, in the open batch: find rows by bucket. Seconds: on the thread."""
        self._open_reserve()
        for name in tables:
            index, column = quoted(BUCKET_INDEX + name), quoted(BUCKET)
            text = f"CREATE INDEX IF NOT EXISTS {index} ON {quoted(name)}({column})"
            self._execute(text).fetchall()

    def bucket_indexes(self) -> list[str]:
        """Those there are, open batch included."""
        sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND substr(name, 1, ?) = ?"
        return [str(r[0]) for r in self._execute(sql, (len(BUCKET_INDEX), BUCKET_INDEX))]

    def drop_bucket_indexes(self) -> None:
        """Remove them, in the open batch."""
        self._open_reserve()
        for name in self.bucket_indexes():
            self._execute(f"DROP INDEX {quoted(name)}").fetchall()

    # -- snapshot copy -----------------------------------------------------------------------------
    def snapshot_to(self, file: Path) -> LogPosition:
        """Write a consistent copy of the last committed state; writers go on. Use a thread.

        Returns the position of its newest entry. `file` must not exist.
        """
        return snapshot.copy_file(self.path / files.FILE, file)

    def prepare_snapshot(self, file: Path) -> Path:
        """The slow part of `load_snapshot`, for a thread: check a snapshot, make it this element's.

        Returns its new place, to be given to `load_snapshot`. Raises CorruptElementError.
        """
        incoming = files.prepare_snapshot(file, self.path, self.identity)
        self._incoming = incoming
        return incoming

    _incoming: Path | None = None  # a prepared snapshot

    def load_snapshot(self, file: Path) -> None:
        """Put a snapshot in the place of this open element's content: the same object goes on.

        `file` is used up; milliseconds if it comes from `prepare_snapshot`. Not in a batch. Scans
        that run are interrupted. Catalog callbacks fire. If it raises after the snapshot was
        accepted, the element is closed, and what is on disk needs recovery.
        """
        if self.in_batch:
            raise TransactionStateError("not inside a batch")
        if file != self._incoming:
            file = self.prepare_snapshot(file)
        self._incoming = None
        before = self.catalog
        self._close_files()
        try:
            files.put_in_place(file, self.path)
            self._open_files(check=False)
        except BaseException:
            self.closed = True
            self._lock.release()
            raise
        if self.catalog is not before:
            self._catalog_changed()
