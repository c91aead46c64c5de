"""Scratch databases: where a coordinator merges gathered rows and evaluates expressions.

Private, without durability; beyond its cache a scratch spills to a temporary file without a name.
Making one costs a fraction of a millisecond (the SQL functions), so small ones are reused.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from data.catalog.element_ddl import collation, quoted, storage_class
from data.storage.faults import grid_error
from data.storage.sqlite import (
    FETCH_BYTES_MAX,
    Params,
    connect_memory,
    is_costly,
    limit_values,
    scratch_threads,
    stop,
    width_of,
)
from protocol import trace
from protocol.errors import GridError, OutOfTempSizeError
from protocol.limits import MIB
from protocol.sqltypes import SqlType, StorageRow

INLINE_ROWS_MAX = 500  # more rows are inserted on a thread
INLINE_STEPS = 20_000  # of SQLite's machine, a few milliseconds: a query that needs more moves over
ANALYZE_ROWS_MIN = 1000  # below it any order of joins will do
ANALYSIS_LIMIT = 400  # rows looked at per index
IDLE_MAX = 8  # connections kept for reuse, per folder and cache size
IDLE_PAGES_MAX = 64  # a larger one is given back to the system

SIZE_MB_MAX = 1_000_000

_idle: dict[tuple[Path | None, int, int], list[apsw.Connection]] = {}
_numbers = itertools.count(1)


def connect_scratch(folder: Path | None, cache_mb: int, size_mb: int) -> apsw.Connection:
    """A private database that spills into `folder` (None: never) beyond its cache."""
    if folder is None:
        return connect_memory()
    file = folder / f"scratch-{os.getpid()}-{next(_numbers)}"
    connection = connect_memory(file=file, cache_bytes=cache_mb * MIB)
    file.unlink()  # it goes with its connection, whatever happens to us
    connection.pragma("analysis_limit", ANALYSIS_LIMIT)
    connection.pragma("max_page_count", size_mb * MIB // int(connection.pragma("page_size")))
    return connection


class Scratch:
    """One scratch database; used by one statement at a time, on one event loop."""

    def __init__(self, folder: Path | None, cache_mb: int, size_mb: int = SIZE_MB_MAX) -> None:
        """`folder` None: it stays in memory, whatever its size. size_mb: TempSize."""
        self._home = (folder, cache_mb, size_mb)
        idle = _idle.setdefault(self._home, [])
        self._connection = idle.pop() if idle else connect_scratch(*self._home)
        self._tables: dict[str, str] = {}  # name → INSERT text
        self._rows = 0  # inserted so far
        self._lock = asyncio.Lock()
        self._closed = False

    def create_table(
        self,
        name: str,
        columns: Sequence[tuple[str, SqlType]],
        indexes: Iterable[Sequence[str]] = (),
    ) -> None:
        """A table for gathered rows; columns compare as they do in elements."""
        parts = []
        for column, sql_type in columns:
            collate = collation(sql_type)
            parts.append(
                f"{quoted(column)} {storage_class(sql_type)}"
                + (f" COLLATE {collate}" if collate else "")
            )
        marks = ", ".join("?" * len(columns))
        try:
            self._connection.execute(f"CREATE TABLE {quoted(name)} ({', '.join(parts)})")
            self._tables[name] = f"INSERT INTO {quoted(name)} VALUES ({marks})"
            for number, index in enumerate(indexes):
                self._connection.execute(
                    f"CREATE INDEX {quoted(f'{name}.{number}')} ON {quoted(name)} "
                    f"({', '.join(quoted(column) for column in index)})"
                )
        except apsw.Error as error:
            raise scratch_problem(error) from error

    async def insert(self, name: str, rows: Sequence[StorageRow]) -> None:
        """Add rows; several inserts may wait for one another."""
        if trace.steps.listener is not None:
            trace.step("data/storage/scratch.py")
        text = self._tables[name]
        self._rows += len(rows)
        async with self._lock:
            if len(rows) <= INLINE_ROWS_MAX:
                self._insert(text, rows)
            else:
                loop = asyncio.get_running_loop()
                future = loop.run_in_executor(scratch_threads(), self._insert, text, rows)
                await _until_done(future, self._connection)

    def _insert(self, text: str, rows: Sequence[StorageRow]) -> None:
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany(text, rows)
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            if self._connection.in_transaction:  # SQLite ends it itself when there is no room
                self._connection.execute("ROLLBACK")
            raise scratch_problem(error) from error

    def query(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query, inline."""
        try:
            return self._connection.execute(sql, params).fetchall()
        except apsw.Error as error:
            raise scratch_problem(error) from error

    def execute(self, sql: str, params: Params = ()) -> None:
        """Any short statement, inline."""
        self.query(sql, params)

    async def different(self, name: str, column: str, most: int) -> list[StorageRow] | None:
        """The values of a column of a table without NULL, each once; None: more than `most`."""
        sql = (
            f"SELECT DISTINCT {quoted(column)} FROM {quoted(name)} "
            f"WHERE {quoted(column)} IS NOT NULL LIMIT {most + 1}"
        )
        rows = await self._on_thread(self.query, sql)
        return rows if len(rows) <= most else None

    async def analyze(self) -> None:
        """Tell SQLite how many rows there are, when all tables are filled."""
        if self._rows > ANALYZE_ROWS_MIN:
            await self._on_thread(self.execute, "ANALYZE")

    async def _on_thread(self, work: Any, *args: Any) -> Any:
        async with self._lock:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(scratch_threads(), work, *args)
            return await _until_done(future, self._connection)

    async def scan(self, sql: str, params: Params = ()) -> ScratchScan:
        """A query of any length; one at a time."""
        if trace.steps.listener is not None:
            trace.step("data/storage/scratch.py")
        return ScratchScan(self._connection, self._lock, sql, params)

    async def close(self) -> None:
        """Throw the content away."""
        if self._closed:
            return
        self._closed = True
        async with self._lock:
            idle = _idle[self._home]
            connection = self._connection
            try:
                pages = connection.execute("PRAGMA page_count").fetchone()
                if len(idle) < IDLE_MAX and pages is not None and pages[0] <= IDLE_PAGES_MAX:
                    for name in self._tables:
                        connection.execute(f"DROP TABLE {quoted(name)}")
                    idle.append(connection)
                    return
            except apsw.Error:
                pass
            with suppress(apsw.Error):
                connection.close(True)


def scratch_problem(error: apsw.Error) -> GridError:
    """What an error of a private database means to the user."""
    if isinstance(error, apsw.FullError):
        return OutOfTempSizeError(
            "the query gathers more than TempSize allows, or the file system is full",
            hint="Narrow it down, or raise TempSize (ttGridAdmin dbdefModify, then reload).",
        )
    return grid_error(error)


class ScratchScan:
    """A query in a scratch database; the interface of an element's Scan.

    Its first rows are looked for inline, within INLINE_STEPS; a longer query is begun anew on a
    thread.
    """

    def __init__(
        self, connection: apsw.Connection, lock: asyncio.Lock, sql: str, params: Params
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._sql = sql
        self._params = params
        self._cursor: Any = None
        self.ended = False  # there are no more rows than those fetched
        self._done = False
        self._interrupted = False

    async def fetch(self, rows_max: int) -> list[StorageRow]:
        """The next rows, fewer when they are wide, [] at the end.

        Raises CancelledError after `interrupt`, GridErrors.
        """
        if self._done:
            self.ended = True
            return []
        async with self._lock:
            rows = self._fetch_inline(rows_max) if self._cursor is None else None
            if rows is None:
                loop = asyncio.get_running_loop()
                future = loop.run_in_executor(scratch_threads(), self._fetch, rows_max)
                rows = await _until_done(future, self._connection)
        if self.ended:
            self._done = True
        return rows

    def _fetch_inline(self, rows_max: int) -> list[StorageRow] | None:
        """None: it takes too long for the event loop."""
        if is_costly(self._sql):
            return None
        self._connection.set_progress_handler(lambda: True, INLINE_STEPS)
        try:
            return self._take(rows_max)
        except apsw.InterruptError:
            self._cursor = None
            return None
        except apsw.Error as error:
            raise scratch_problem(error) from error
        finally:
            self._connection.set_progress_handler(None)

    def _fetch(self, rows_max: int) -> list[StorageRow]:
        try:
            return self._take(rows_max)
        except apsw.Error as error:
            raise scratch_problem(error) from error

    def _take(self, rows_max: int) -> list[StorageRow]:
        if self._interrupted:
            raise apsw.InterruptError("interrupted")
        if self._cursor is None:
            self._cursor = self._connection.cursor()
            self._cursor.execute(self._sql, self._params)
        rows: list[StorageRow] = []
        fetch_one = self._cursor.fetchone
        size = 0
        while len(rows) < rows_max and size < FETCH_BYTES_MAX:
            row = fetch_one()
            if row is None:
                self.ended = True
                break
            rows.append(row)
            size += width_of(row)
        return rows

    def interrupt(self) -> None:
        """Stop a fetch that is running; harmless at any time."""
        if not self._done:
            self._interrupted = True
            self._connection.interrupt()

    async def close(self) -> None:
        """End it (interrupts a running fetch)."""
        self.interrupt()
        self._done = True
        async with self._lock:
            cursor, self._cursor = self._cursor, None
            if cursor is not None:
                cursor.close(True)


async def _until_done(future: asyncio.Future[Any], connection: apsw.Connection) -> Any:
    """The result; when the caller is cancelled, stop the work and wait for its end."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        try:
            await stop(future, connection)
        finally:
            if not future.cancelled():
                future.exception()
        raise


def connect_plain() -> apsw.Connection:
    """A private database in memory without our functions, for the catalog's own views."""
    connection = apsw.Connection(":memory:")
    limit_values(connection)
    return connection
