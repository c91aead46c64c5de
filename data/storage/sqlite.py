"""All connections of an element, and the threads its long work runs on.

| connection | used by |
|---|---|
| writer | the batch (data/storage/writer.py), on the event loop or on the writer's thread |
| reader | short reads, inline on the event loop |
| scan connections | a bounded pool; each works on one snapshot at a time, on a thread |
| checkpointer | folds the SQLite WAL into the file, on a thread |
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import apsw.sqlite_extra

from data.storage import before
from data.storage.faults import grid_error
from data.storage.settings import ElementIdentity, StorageSettings
from protocol.clock import wall_us
from protocol.errors import CancelledError, GridError, ShuttingDownError
from protocol.ids import LogPosition
from protocol.limits import ROW_BYTES_MAX
from protocol.sqltypes import StorageRow, StorageValue

Params = Sequence[StorageValue]

PAGE_BYTES = 4096
STATEMENTS_CACHED = 1024  # per connection; a data instance runs the same few hundred texts
MMAP_BYTES_MAX = 0x7FFF0000  # SQLite's own ceiling
CONNECTIONS_KEPT = 16  # open for scans and snapshots when nobody uses them
FETCH_BYTES_MAX = 1 << 20  # of a scan at a time
WIDE_ROW_BYTES = 16_384  # beyond, each row of a scan is looked at
_COSTLY = (
    "tg_regexp",
    "tg_lpad",
    "tg_rpad",
    "tg_repeat",
    "tg_replace",
    "group_concat",
    "recursive",
)
SHORT_STEPS = 25_000  # of SQLite's machine; twice as many are a few milliseconds
NEVER: Final = -(1 << 62)
INTERRUPT_AGAIN_S = 0.02
VALUE_BYTES_MAX = 2 * ROW_BYTES_MAX  # also of a row as SQLite keeps it
LIKE_PATTERN_BYTES_MAX = 8192
CHECKPOINTS_KEPT = 8  # as many as TimesTen's ttCkptHistory tells of
BUSY_MS = 5000  # only checkpoints and other processes' readers can ever hold a lock we want

TAIL_SQL = "SELECT term, lsn FROM _log ORDER BY lsn DESC LIMIT 1"
CUT_SQL = "SELECT value FROM _meta WHERE key = 'cut'"


# -- connections -----------------------------------------------------------------------------------
def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class StepLimit:
    """Ends a read that takes long: for each set `asked` to 0 before it and to NEVER behind it.

    SQLite counts the steps of all runs of a statement together, so the first time it asks says
    nothing about this run: it meets one of some thousand reads by key.
    """

    __slots__ = ("asked",)

    def __init__(self, connection: apsw.Connection) -> None:
        self.asked = NEVER
        connection.set_progress_handler(self._asks, SHORT_STEPS)

    def _asks(self) -> bool:
        self.asked += 1
        return self.asked > 1


@lru_cache(maxsize=4096)
def is_costly(sql: str) -> bool:
    """True: a single step of this text may take long or make large values; not inline then."""
    return any(name in sql for name in _COSTLY)


def limit_values(connection: apsw.Connection) -> None:
    """What one value or pattern may cost, whatever a client's statement asks for."""
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
    connection.limit(apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LIKE_PATTERN_BYTES_MAX)


def register_functions(
    connection: apsw.Connection, identity: Callable[[], ElementIdentity] | None = None
) -> None:
    """Everything SQL texts of data/sql may call, and the functions that say where a row is."""
    from data.sql import regexps
    from data.sql.functions import register

    regexps.is_on_loop = _is_main_thread
    apsw.sqlite_extra.load(connection, "decimal")
    connection.limit(apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LIKE_PATTERN_BYTES_MAX)
    register(connection)
    if identity is not None:
        place: dict[str, Callable[..., int]] = {
            "tg_element_id": lambda: identity().element,
            "tg_replica_set_id": lambda: identity().replica_set,
            "tg_data_space_id": lambda: identity().data_space,
        }
        for name, function in place.items():
            connection.create_scalar_function(name, function, 0)


def connect(file: Path, *, cache_bytes: int, mmap_bytes: int, read_only: bool) -> apsw.Connection:
    """A connection to an element's file, without functions. Raises GridError."""
    try:
        connection = apsw.Connection(
            str(file), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=STATEMENTS_CACHED
        )
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("cache_size", -(cache_bytes // 1024))
        connection.pragma("mmap_size", min(mmap_bytes, MMAP_BYTES_MAX))
        connection.pragma("trusted_schema", True)  # CHECKs call our functions
        connection.wal_autocheckpoint(0)  # the checkpointer does it, off the event loop
        if read_only:
            connection.pragma("query_only", True)
    except apsw.Error as error:
        raise grid_error(error) from error
    return connection


def connect_memory(*, file: Path | None = None, cache_bytes: int = 0) -> apsw.Connection:
    """A private database with all SQL functions: catalog queries, the coordinator's merge step.

    In memory; or, with more than `cache_bytes` in it, spilling to `file`, which is made.
    """
    connection = apsw.Connection(str(file or ":memory:"), statementcachesize=128)
    if file is not None:
        connection.pragma("locking_mode", "exclusive")
        connection.pragma("cache_size", -(cache_bytes // 1024))
        connection.pragma("temp_store", "file")
    connection.pragma("journal_mode", "memory")
    connection.pragma("synchronous", "off")
    register_functions(connection)
    limit_values(connection)
    return connection


@cache
def scratch_threads() -> ThreadPoolExecutor:
    """Threads on which long work in scratch databases runs; two for the whole process."""
    return ThreadPoolExecutor(2, thread_name_prefix="scratch")


def writer_thread() -> ThreadPoolExecutor:
    """The thread on which long writes run."""
    return ThreadPoolExecutor(1, thread_name_prefix="writer")


async def stop(future: asyncio.Future[Any], connection: apsw.Connection) -> None:
    """Interrupt the work on a thread that uses the connection, and wait for its end.

    An interrupt before SQLite has begun with it is lost, so: again and again. When the caller is
    cancelled meanwhile CancelledError is raised, but not before the connection is free.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        connection.interrupt()
        try:
            await asyncio.wait([future], timeout=INTERRUPT_AGAIN_S)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


_BY_KEY = re.compile(
    r"^SEARCH \S+ USING (?:COVERING )?(INTEGER PRIMARY KEY|PRIMARY KEY|INDEX \S+) \((.*)\)$"
)
_ALIAS = re.compile(r'"((?:[^"]|"")+)" AS (\w+)')


def finds_one_row(connection: apsw.Connection, sql: str, params: Params) -> bool:
    """True if SQLite's plan is nothing but look-ups of single rows by a whole unique key."""
    try:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()
        if not plan:  # new rows; or DELETE of all, which has no plan either
            return not sql.lstrip().upper().startswith("DELETE")
        names = {alias: name.replace('""', '"') for name, alias in _ALIAS.findall(sql)}
        return all(_is_by_key(connection, str(row[3]), names) for row in plan)
    except apsw.Error:
        return False  # running it will say what is wrong


def _is_by_key(connection: apsw.Connection, line: str, names: dict[str, str]) -> bool:
    found = _BY_KEY.match(line)
    if found is None or "<" in line or ">" in line:
        return False
    way, terms = found.groups()
    if way == "INTEGER PRIMARY KEY":
        return True
    table = line.split()[1]
    table = names.get(table, table)
    if way == "PRIMARY KEY":
        rows = connection.execute("SELECT pk FROM pragma_table_xinfo(?)", (table,)).fetchall()
        width = sum(1 for (position,) in rows if position)
    else:
        index = way.split()[1]
        unique = connection.execute(
            'SELECT "unique" FROM pragma_index_list(?) WHERE name = ?', (table, index)
        ).fetchone()
        if unique is None or not unique[0]:
            return False
        rows = connection.execute("SELECT 1 FROM pragma_index_info(?)", (index,)).fetchall()
        width = len(rows)
    return terms.count("=?") == width


def tail_of(connection: apsw.Connection) -> LogPosition:
    """Position of the newest entry in what the connection sees now."""
    row = connection.execute(TAIL_SQL).fetchone()
    if row is None:
        row = connection.execute(CUT_SQL).fetchone()
        if row is None:
            return LogPosition(0, 0)
        term, _, lsn = row[0].partition(" ")
        return LogPosition(int(term), int(lsn))
    return LogPosition(*row)


def width_of(row: StorageRow) -> int:
    """About the bytes of its texts and binaries."""
    return sum([len(v) for v in row if type(v) is str or type(v) is bytes])


# -- scans -----------------------------------------------------------------------------------------
class Scan:
    """A query running on a reader thread; its snapshot is held until it is closed or at its end.

    At most one fetch at a time. Close it in any case.
    """

    def __init__(self, snapshot: ReadSnapshot, sql: str, params: Params, owned: bool) -> None:
        self.position = snapshot.position  # the newest log entry whose effects it sees
        self._snapshot = snapshot
        self._start: tuple[str, Params] | None = (sql, params)
        self._cursor: Any = None
        self._owned = owned  # the snapshot ends with the scan
        self.ended = False  # there are no more rows than those fetched
        self._done = False
        self._interrupted = False

    async def fetch(self, rows_max: int) -> list[StorageRow]:
        """The next rows, fewer when they are wide; see `ended`.

        Raises CancelledError after `interrupt` and when it was closed before its end, GridErrors.
        """
        if self._done:
            if not self.ended:  # who fetches until the end must not go on for ever
                raise CancelledError("the scan was closed")
            return []
        try:
            rows: list[StorageRow] = await self._snapshot.on_thread(self._fetch, rows_max)
        except BaseException:
            await self.close()
            raise
        if self.ended:
            await self.close()
        return rows

    def _fetch(self, rows_max: int) -> list[StorageRow]:
        if self._interrupted:
            raise apsw.InterruptError("interrupted")
        if self._start is not None:
            (sql, params), self._start = self._start, None
            if self._snapshot.views:
                sql = before.unhinted(sql)
            self._cursor = self._snapshot.connection.cursor()
            self._cursor.execute(sql, params)
        rows: list[StorageRow] = []
        fetch_one = self._cursor.fetchone
        size = 0
        every = 7  # every eighth row stands for the seven before it
        while len(rows) < rows_max:
            row = fetch_one()
            if row is None:
                self.ended = True
                break
            rows.append(row)
            if not len(rows) & every or len(rows) == 1:
                width = width_of(row)
                if width > WIDE_ROW_BYTES:
                    every = 0
                size += (every + 1) * width
                if size > FETCH_BYTES_MAX:
                    break
        return rows

    def interrupt(self) -> None:
        """Stop a fetch that is running, from the event loop; harmless at any time."""
        if not self._done:
            self._interrupted = True
            self._snapshot.connection.interrupt()

    async def close(self) -> None:
        """Give the reader connection back (interrupts a running fetch)."""
        if self._done:
            return
        self.interrupt()
        self._done = True
        cursor, self._cursor = self._cursor, None
        try:
            await self._snapshot.on_thread_quietly(lambda: cursor.close(True) if cursor else None)
        finally:
            if self._owned:
                await self._snapshot.close()


class ReadSnapshot:
    """One committed state, for several reads; holds a reader connection until closed."""

    def __init__(self, pool: ReaderPool, connection: apsw.Connection) -> None:
        self._pool = pool
        self.connection = connection
        self._busy: asyncio.Future[Any] | None = None
        self._open = True
        try:
            self.views = pool.dress(connection)  # body of the view over a table, by its name
            connection.execute("BEGIN")
            self.position = tail_of(connection)  # the first read fixes what is seen
        except apsw.Error as error:
            self._end()
            raise grid_error(error) from error

    def read(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query, inline."""
        try:
            return self.connection.execute(before.unhinted(sql), params).fetchall()
        except apsw.Error as error:
            raise grid_error(error) from error

    def scan(self, sql: str, params: Params = (), *, owned: bool = False) -> Scan:
        """A query of any length in this state; one at a time. `owned`: it closes the snapshot."""
        return Scan(self, sql, params, owned)

    async def on_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run work that uses the connection on a reader thread; errors as GridError.

        When the caller is cancelled the work is interrupted, and waited for: the connection is
        free then.
        """
        loop = asyncio.get_running_loop()
        assert self._busy is None or self._busy.done(), "one fetch at a time"
        busy = self._busy = loop.run_in_executor(self._pool.threads, work, *args)
        try:
            return await asyncio.shield(busy)
        except asyncio.CancelledError:
            try:
                await self._stop()
            finally:
                if not busy.cancelled():
                    busy.exception()  # nobody waits for it: asyncio would complain
            raise
        except apsw.Error as error:
            raise grid_error(error) from error

    async def on_thread_quietly(self, work: Callable[[], Any]) -> None:
        """The same after whatever still runs was stopped, errors ignored: for cleaning up."""
        await self._stop()
        with suppress(GridError):
            await self.on_thread(work)

    async def close(self, *, discard: bool = False) -> None:
        """End it; it must not be used again. `discard`: nor its connection."""
        if not self._open:
            return
        self._open = False
        try:
            await self._stop()
        finally:
            self._end(discard)

    async def _stop(self) -> None:
        if self._busy is not None:
            await stop(self._busy, self.connection)

    def _end(self, discard: bool = False) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        except apsw.Error:  # as after an interrupt, while a cursor is open
            discard = True
        if discard:
            self._pool.discard(self.connection)
        else:
            self._pool.give_back(self.connection)


class ReaderPool:
    """Scan connections and a few threads that work on them; waiters are served in order.

    There are more connections than threads: a scan whose rows nobody fetches just now keeps its
    connection, and a statement over several elements keeps one here while it waits for the next.
    """

    def __init__(
        self, open_one: Callable[[], apsw.Connection], size: int, connections_max: int
    ) -> None:
        self._open_one = open_one
        self._kept = min(max(size, CONNECTIONS_KEPT), connections_max)
        self._connections_max = connections_max
        self._opened: list[apsw.Connection] = []
        self._free: list[apsw.Connection] = []
        self._waiters: deque[asyncio.Future[apsw.Connection]] = deque()
        self._closed = False
        self.views: dict[str, str] = {}  # through which every new snapshot has to look
        self._dressed: dict[apsw.Connection, Mapping[str, str]] = {}
        self.threads = ThreadPoolExecutor(size, thread_name_prefix="scan")

    async def snapshot(self) -> ReadSnapshot:
        """The last committed state. Waits for a free connection. Raises ShuttingDownError."""
        if self._closed:
            raise ShuttingDownError("the element is closed")
        if self._free:
            connection = self._free.pop()
        elif len(self._opened) < self._connections_max:
            connection = self._open_one()
            self._opened.append(connection)
        else:
            waiter: asyncio.Future[apsw.Connection] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                connection = await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                    self.give_back(waiter.result())
                raise
        return ReadSnapshot(self, connection)

    def dress(self, connection: apsw.Connection) -> Mapping[str, str]:
        """Give a connection the views of now."""
        has = self._dressed.get(connection, {})
        if has is not self.views and has != self.views:
            self._dressed[connection] = before.dress(connection, has, self.views)
        return self.views

    def give_back(self, connection: apsw.Connection) -> None:
        """A snapshot is over."""
        if self._closed:
            connection.close(True)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if len(self._free) >= self._kept:
            self.discard(connection)
        else:
            self._free.append(connection)

    def discard(self, connection: apsw.Connection) -> None:
        """A snapshot is over, and its connection of no more use."""
        self._dressed.pop(connection, None)
        connection.close(True)
        if self._closed:
            return
        self._opened.remove(connection)
        if self._waiters:
            self._opened.append(fresh := self._open_one())
            self.give_back(fresh)

    def close(self) -> None:
        """Interrupt what runs, wait for the threads, close all connections. Waiters fail."""
        self._closed = True
        for connection in self._opened:
            connection.interrupt()
        self.threads.shutdown(wait=True)
        for connection in self._opened:
            with suppress(apsw.Error):
                connection.close(True)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(ShuttingDownError("the element is closed"))
        self._waiters.clear()


# -- checkpoints and flushing ----------------------------------------------------------------------
class Checkpoint(NamedTuple):
    """One that has ended; `pages` were folded into the file. Times: microseconds since 1970."""

    number: int
    start_us: int
    end_us: int
    pages: int
    failed: bool

    @property
    def bytes(self) -> int:
        """Written to the file."""
        return self.pages * PAGE_BYTES


class Checkpoints:
    """Those since the element was opened; the newest are remembered. For one thread that counts."""

    def __init__(self) -> None:
        self.total = 0
        self.bytes = 0
        self.newest: deque[Checkpoint] = deque(maxlen=CHECKPOINTS_KEPT)

    def ended(self, start_us: int, pages: int, *, failed: bool = False) -> None:
        """One more."""
        self.total += 1
        made = Checkpoint(self.total, start_us, wall_us(), pages, failed)
        self.bytes += made.bytes
        self.newest.append(made)


class WalKeeper:
    """Keeps the SQLite WAL small without stopping the event loop, and flushes it on demand.

    A background checkpoint alone never empties the WAL under a steady load: something is always
    committed meanwhile. So beyond `wal_bytes_max` the writer folds in the few remaining frames
    itself (`help_now`), after which SQLite starts the WAL over.
    """

    def __init__(self, file: Path, writer: apsw.Connection, settings: StorageSettings) -> None:
        self._file = file
        self._writer = writer
        self._pages_checkpoint = settings.wal_bytes_checkpoint // PAGE_BYTES
        self._pages_max = settings.wal_bytes_max // PAGE_BYTES
        self._pages = 0  # in the SQLite WAL, after the last commit
        self._folded = 0  # of them, into the file
        self.checkpoints = Checkpoints()
        self._next_at = self._pages_checkpoint  # a background checkpoint starts there
        self._help_at = self._pages_max
        self._running = threading.Event()
        self._connection: apsw.Connection | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="checkpoint")
        self._wal = os.open(f"{file}-wal", os.O_RDONLY)  # holds no lock: those are on -shm
        writer.set_wal_hook(self._committed)

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._pages:  # SQLite started the WAL over
            self._next_at = self._pages_checkpoint
            self._help_at = self._pages_max
            self._folded = 0
        self._pages = pages
        if pages >= self._next_at and not self._running.is_set():
            self._running.set()
            self._next_at = pages + self._pages_checkpoint
            self._threads.submit(self._checkpoint)
        return apsw.SQLITE_OK

    @property
    def bytes(self) -> int:
        """Of the SQLite WAL, after the last commit."""
        return self._pages * PAGE_BYTES

    @property
    def needs_help(self) -> bool:
        """The WAL has outgrown `wal_bytes_max`; call `help_now` between two batches."""
        return self._pages >= self._help_at and not self._running.is_set()

    def help_now(self) -> None:
        """Fold in what the background left, on the writer: the next commit starts the WAL over.

        If a reader still needs old frames that fails; it is not tried again before the WAL grew a
        good deal.
        """
        self._help_at = self._pages + max(1, self._pages_max // 4)
        self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _checkpoint(self) -> None:
        start_us = wall_us()
        try:
            if self._connection is None:
                self._connection = connect(
                    self._file, cache_bytes=1 << 20, mmap_bytes=0, read_only=False
                )
            _, folded = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            before, self._folded = self._folded, max(folded, 0)
            self.checkpoints.ended(start_us, max(0, folded - before))
        except (apsw.Error, GridError):  # e.g. disk full: commits will say so
            self.checkpoints.ended(start_us, 0, failed=True)
        finally:
            self._running.clear()

    def flush_now(self) -> None:
        """Everything committed is on disk when this returns."""
        os.fdatasync(self._wal)

    async def flush(self) -> None:
        """The same on a thread."""
        await asyncio.get_running_loop().run_in_executor(self._threads, os.fdatasync, self._wal)

    def close(self) -> None:
        """Waits for a running checkpoint."""
        self._threads.shutdown(wait=True)
        self._writer.set_wal_hook(None)
        if self._connection is not None:
            self._connection.close(True)
        os.close(self._wal)
