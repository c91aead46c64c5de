"""ttBulkCp: files into a table and a table into a file, as TimesTen's does.

    ttBulkCp -i [options] {DSN | -connStr "DSN=...;UID=...;PWD=..."} [OWNER.]TABLE [FILE ...]
    ttBulkCp -o [options] {DSN | -connStr "..."} [OWNER.]TABLE [FILE]

Rows go in by COPY, `-xp` of them in a transaction. When one of those is refused, its half is tried,
and so on, until the row that is wrong is alone: it goes to the error file, the others are copied.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import make_conninfo

from deploy.clients import bulk_text, isql_text
from deploy.clients.bulk_text import MARK, Format, LineError, Reader, Writer

BATCH_ROWS = 1024
ERRORS_MAX = 10
ATTEMPTS = 100  # of a transaction whose error is of a retriable class
AGAIN_S = 0.2
SHOW_EVERY_S = 0.2
BAR = 30
OUT_BYTES = 1 << 16
RETRIABLE = ("40", "55P03", "57P")
COLUMNS = (
    "SELECT column_name, data_type FROM all_tab_columns "
    "WHERE owner = %s AND table_name = %s ORDER BY column_id"
)


class BulkError(Exception):
    """The copying cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Row:
    """A line of a file and the row it is, in COPY's text format."""

    number: int
    line: str
    copied: str


@dataclass
class Counts:
    """What became of a file, for the lines at the end and for the progress bar."""

    name: str
    size: int = 0  # bytes, 0: not known
    read: int = 0
    rows: int = 0
    copied: int = 0
    rejected: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Table:
    """Where rows go to or come from."""

    owner: str
    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def sql(self) -> str:
        """Its name, quoted."""
        return f'"{self.owner}"."{self.name}"'


@dataclass
class Job:
    """One run of the command."""

    conninfo: str
    table_name: str
    form: Format
    batch_rows: int = BATCH_ROWS
    all_or_none: bool = False
    errors_max: int = ERRORS_MAX  # 0: as many as there are
    first: int = 1
    last: int = 0  # 0: the end
    connections: int = 1
    error_file: IO[str] | None = None
    shows_progress: bool = False
    shown_at: float = field(default=0.0)

    async def connect(self) -> psycopg.AsyncConnection:
        """Raises psycopg.Error."""
        return await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True)

    async def find_table(self, connection: psycopg.AsyncConnection) -> Table:
        """Its columns. Raises BulkError."""
        user = connection.info.user.upper()
        owner, name = isql_text.names(self.table_name, user)
        cursor = await connection.execute(COLUMNS, (owner, name))
        rows = await cursor.fetchall()
        if not rows:
            raise BulkError(f"2206: Table {owner}.{name} not found")
        return Table(owner, name, tuple(r[0] for r in rows), tuple(r[1] for r in rows))

    # -- in ---------------------------------------------------------------------------------------
    async def copy_in(self, source: IO[str], counts: Counts) -> None:
        """All rows of one file. Raises BulkError, psycopg.Error."""
        began_s = time.monotonic()
        connections = [await self.connect() for _ in range(self.connections)]
        try:
            table = await self.find_table(connections[0])
            batches = self._batches(source, table, counts)
            if self.all_or_none:
                await self._copy_whole(connections[0], table, batches, counts)
            else:
                async with asyncio.TaskGroup() as group:
                    for connection in connections:
                        group.create_task(self._work(connection, table, batches, counts))
        except* (BulkError, psycopg.Error) as several:
            raise several.exceptions[0] from several
        finally:
            counts.seconds = time.monotonic() - began_s
            for connection in connections:
                await connection.close()
        self._progress(counts, over=True)

    def _batches(self, source: IO[str], table: Table, counts: Counts) -> Iterator[list[Row]]:
        """Rows of a file, so many at a time; lines that are none are rejected here."""
        form, reader = self.form, Reader(self.form, table.types)
        batch: list[Row] = []
        for number, line in enumerate(source, 1):
            counts.read += len(line)
            if number == 1 and line.startswith(MARK):
                form = form.with_attributes(line)
                reader = Reader(form, table.types)
            elif form.is_row(line):
                counts.rows += 1
                if counts.rows < self.first or (self.last and counts.rows > self.last):
                    continue
                try:
                    batch.append(Row(number, line, reader.row(line)))
                except LineError as error:
                    self.reject(counts, number, line, str(error))
            if len(batch) >= self.batch_rows:
                yield batch
                batch = []
        if batch:
            yield batch

    async def _work(
        self,
        connection: psycopg.AsyncConnection,
        table: Table,
        batches: Iterator[list[Row]],
        counts: Counts,
    ) -> None:
        for batch in batches:  # shared: each takes the next one
            connection = await self._copy_batch(connection, table, batch, counts)
            self._progress(counts)

    async def _copy_batch(
        self,
        connection: psycopg.AsyncConnection,
        table: Table,
        batch: list[Row],
        counts: Counts,
    ) -> psycopg.AsyncConnection:
        """A transaction, or, if a row of it is refused, one for each half. Raises BulkError."""
        todo = deque([batch])
        while todo:
            rows = todo.popleft()
            try:
                connection = await self._persistently(connection, table, rows)
                counts.copied += len(rows)
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                if len(rows) > 1:
                    half = len(rows) // 2
                    todo.extendleft((rows[half:], rows[:half]))
                else:
                    self.reject(counts, rows[0].number, rows[0].line, _said(error))
        return connection

    async def _persistently(
        self, connection: psycopg.AsyncConnection, table: Table, rows: list[Row]
    ) -> psycopg.AsyncConnection:
        """Again, at another data instance if need be, while nothing of it was done."""
        for _ in range(ATTEMPTS):
            try:
                if connection.closed:
                    connection = await self.connect()
                await _copy(connection, table, rows)
                return connection
            except psycopg.Error as error:
                state = error.sqlstate or ""
                if not state or state.startswith("08"):
                    raise BulkError(
                        f"whether lines {rows[0].number} to {rows[-1].number} were copied is not "
                        f"known: {_said(error)}. Look for them, then go on with -F."
                    ) from error
                if not state.startswith(RETRIABLE):
                    raise
                if state.startswith("57P"):
                    await connection.close()
                await asyncio.sleep(AGAIN_S)
        raise BulkError(f"the database did not take lines {rows[0].number} to {rows[-1].number}")

    async def _copy_whole(
        self,
        connection: psycopg.AsyncConnection,
        table: Table,
        batches: Iterator[list[Row]],
        counts: Counts,
    ) -> None:
        """-xp rollback: one transaction, none of it after an error."""
        async with connection.transaction():
            for batch in batches:
                if counts.rejected:
                    break
                await _copy(connection, table, batch)
                counts.copied += len(batch)
                self._progress(counts)
            if counts.rejected:
                counts.copied = 0
                raise psycopg.Rollback

    def reject(self, counts: Counts, number: int, line: str, why: str) -> None:
        """A row that is wrong. Raises BulkError when there are too many."""
        counts.rejected += 1
        message = f"{counts.name}:{number}: {why}"
        if self.error_file is None:
            print(message, file=sys.stderr, flush=True)
        else:
            print(f"# {message}", line.rstrip("\r\n"), sep="\n", file=self.error_file, flush=True)
        if self.errors_max and counts.rejected >= self.errors_max:
            raise BulkError(
                f"{counts.rejected} rows were rejected (-m): {counts.copied} are copied, the rest "
                "is not"
            )

    # -- out --------------------------------------------------------------------------------------
    async def copy_out(self, target: IO[str], counts: Counts, *, first_line: bool) -> None:
        """All rows of the table, as of one moment. Raises BulkError, psycopg.Error."""
        began_s = time.monotonic()
        async with await self.connect() as connection:
            table = await self.find_table(connection)
            writer = Writer(self.form, table.types)
            if first_line:
                target.write(self.form.first_line() + "\n")
            async for line in _copied(connection, table):
                target.write(writer.line(line))
                counts.rows += 1
                if not counts.rows % BATCH_ROWS:
                    self._progress(counts)
        counts.copied, counts.seconds = counts.rows, time.monotonic() - began_s
        self._progress(counts, over=True)

    # -- progress ---------------------------------------------------------------------------------
    def _progress(self, counts: Counts, *, over: bool = False) -> None:
        now_s = time.monotonic()
        if not self.shows_progress or (now_s - self.shown_at < SHOW_EVERY_S and not over):
            return
        began_s = self.shown_at or now_s
        self.shown_at = now_s if self.shown_at else began_s
        print("\r" + progress(counts), end="\n" if over else "", file=sys.stderr, flush=True)


def progress(counts: Counts) -> str:
    """`customers.dmp [#####.....]  52%  52,000 rows, 3 rejected`. Pure."""
    parts = [counts.name]
    if counts.size:
        share = min(1.0, counts.read / counts.size)
        full = int(BAR * share)
        parts.append(f"[{'#' * full}{'.' * (BAR - full)}] {share:>4.0%}")
    parts.append(f"{counts.copied or counts.rows:,} rows")
    line = "  ".join(parts)
    return f"{line}, {counts.rejected:,} rejected" if counts.rejected else line


async def _copy(connection: psycopg.AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    async with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table.sql} FROM STDIN".encode()) as copy,
    ):
        await copy.write("".join(row.copied for row in rows))


async def _copied(connection: psycopg.AsyncConnection, table: Table) -> AsyncIterator[str]:
    """Lines of COPY's text format."""
    async with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table.sql} TO STDOUT".encode()) as copy,
    ):
        rest = b""
        async for data in copy:
            *lines, rest = (rest + bytes(data)).split(b"\n")
            for line in lines:
                yield line.decode()


def _said(error: psycopg.Error) -> str:
    message = error.diag.message_primary or " ".join(str(error).split())
    return isql_text.error(message, error.sqlstate or "")[0].strip()


# -- the command ----------------------------------------------------------------------------------
def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ttBulkCp", description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-i", "-directLoad", dest="into", action="store_true", help="files to table")
    mode.add_argument("-o", dest="out", action="store_true", help="table to file")
    add = parser.add_argument
    add("-connStr", "-connstr", help="DSN=...;UID=...;PWD=...")
    add("-s", dest="separator", default=None, help="between values; tab, or one character: ,")
    add("-C", dest="comment", default="#", help="character of comments, or none")
    add("-Q", dest="quotes", choices=("0", "1"), default="1", help="text stands in quotes")
    add("-A", dest="attributes", choices=("0", "1"), default="1", help="-o: the first line tells")
    add("-xp", dest="batch", default=str(BATCH_ROWS), help="rows of a transaction, or rollback")
    add("-m", dest="errors_max", type=int, default=ERRORS_MAX, help="rejected rows; 0: any number")
    add("-e", dest="error_file", type=Path, help="where rejected rows go")
    add("-F", dest="first", type=int, default=1, help="the first row that is copied")
    add("-L", dest="last", type=int, default=0, help="the last one")
    add("-numThreads", dest="connections", type=int, default=1, help="connections at a time")
    add("-v", dest="verbosity", choices=("0", "1"), default="1", help="0: only errors")
    add("-json", dest="json", action="store_true", help="what was done, as JSON")
    for name in ("-tformat", "-tsformat", "-dformat", "-D"):
        add(name, choices=("ODBC", "odbc"), help=argparse.SUPPRESS)
    for name, values in (("-cp", 1), ("-tblLock", 0), ("-notblLock", 0)):
        add(name, **_without_effect(values), help=argparse.SUPPRESS)  # type: ignore[arg-type]
    add("words", nargs="+", help="DSN (unless -connStr), table, files (default: standard input)")
    return parser.parse_args()


def _without_effect(values: int) -> dict[str, object]:
    return {} if values else {"action": "store_true"}


def _job(words: argparse.Namespace, table: str, conninfo: str) -> Job:
    form = Format(
        separator=bulk_text.separator(words.separator or ","),
        comment="" if words.comment.lower() == "none" else words.comment,
        quotes=words.quotes == "1",
    )
    whole = words.batch == "rollback"
    if not whole and not words.batch.isdigit():
        raise LineError("-xp takes a number of rows, or rollback")
    return Job(
        conninfo, table, form,
        batch_rows=BATCH_ROWS if whole else max(1, int(words.batch)),
        all_or_none=whole, errors_max=words.errors_max, first=words.first, last=words.last,
        connections=1 if whole else max(1, words.connections),
        shows_progress=sys.stderr.isatty() and words.verbosity == "1",
    )  # fmt: skip


def _run(words: argparse.Namespace, job: Job, files: list[str], done: list[Counts]) -> None:
    with contextlib.ExitStack() as stack:
        if words.error_file:
            job.error_file = stack.enter_context(words.error_file.open("w", encoding="utf-8"))
        for name in files or ["-"]:
            if name == "-":
                done.append(Counts("standard input" if words.into else "standard output"))
                _copy_file(words, job, sys.stdin if words.into else sys.stdout, done[-1])
                continue
            mode = "r" if words.into else "w"
            with Path(name).open(mode, encoding="utf-8", newline="") as file:
                done.append(Counts(name, Path(name).stat().st_size))
                _copy_file(words, job, file, done[-1])


def _copy_file(words: argparse.Namespace, job: Job, file: IO[str], counts: Counts) -> None:
    if words.into:
        asyncio.run(job.copy_in(file, counts))
    else:
        asyncio.run(job.copy_out(file, counts, first_line=words.attributes == "1"))


def _report(words: argparse.Namespace, done: list[Counts], error: str) -> None:
    to_terminal = sys.stderr if words.out else sys.stdout
    if words.json:
        files = [
            {"file": c.name, "rows": c.rows, "copied": c.copied, "rejected": c.rejected,
             "seconds": round(c.seconds, 3)}
            for c in done
        ]  # fmt: skip
        print(json.dumps({"files": files, "error": error or None}), file=to_terminal)
        return
    if words.verbosity == "1":
        for counts in done:
            print(f"{counts.name}:", file=to_terminal)
            print(f"    {counts.copied}/{counts.rows} rows copied", file=to_terminal)
    if error:
        print(f"ttBulkCp: {error}", file=sys.stderr)


def main() -> int:
    """Entry point; 1 if a row was rejected or it could not go on, 2 for wrong arguments."""
    words = _arguments()
    rest = list(words.words)
    wanted = isql_text.attributes(words.connStr or rest.pop(0))
    done: list[Counts] = []
    error = ""
    try:
        if not rest:
            raise LineError("which table?")
        job = _job(words, rest.pop(0), make_conninfo(**isql_text.libpq_words(wanted)))
        if words.out and len(rest) > 1:
            raise LineError("-o writes one file")
    except (LineError, ValueError) as wrong:
        print(f"ttBulkCp: {wrong}", file=sys.stderr)
        return 2
    try:
        _run(words, job, rest, done)
    except (BulkError, LineError, OSError) as failed:
        error = str(failed)
    except psycopg.Error as failed:
        error = _said(failed)
    _report(words, done, error)
    return int(bool(error) or any(counts.rejected for counts in done))


if __name__ == "__main__":
    sys.exit(main())
