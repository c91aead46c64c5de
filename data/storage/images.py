"""Rows out of a closed element's file, and a new file made of rows: export and import.

All of it blocks: for threads. A file that is being built is worth nothing before `finish`: it is
written without journal or flushes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import build_sql, full_row_columns, quoted, table_name
from data.catalog.objects import Table
from data.storage import files, schema
from data.storage.faults import grid_error
from data.storage.settings import ElementIdentity, StorageSettings
from data.storage.sqlite import connect, register_functions
from protocol.limits import MIB
from protocol.sqltypes import StorageRow

CACHE_BYTES = 32 * MIB


class ImageRows:
    """The tables of a closed element's file."""

    def __init__(self, file: Path) -> None:
        """Raises GridError."""
        self._connection = connect(file, cache_bytes=CACHE_BYTES, mmap_bytes=0, read_only=True)
        try:
            register_functions(self._connection)
            self.catalog: Catalog = schema.load(self._connection.execute)
        except apsw.Error as error:
            self._connection.close(True)
            raise grid_error(error) from error

    def batches(self, table: Table, rows_max: int, bytes_max: int) -> Iterator[list[StorageRow]]:
        """All full rows of a table, some at a time. Raises GridError."""
        columns = ", ".join(map(quoted, full_row_columns(table)))
        cursor = self._connection.cursor()
        batch: list[StorageRow] = []
        size = 0
        try:
            for row in cursor.execute(f"SELECT {columns} FROM {quoted(table_name(table))}"):
                batch.append(row)
                size += sum([len(v) if type(v) in (str, bytes) else 8 for v in row])
                if len(batch) >= rows_max or size >= bytes_max:
                    yield batch
                    batch, size = [], 0
            if batch:
                yield batch
        except apsw.Error as error:
            raise grid_error(error) from error
        finally:
            cursor.close(True)

    def close(self) -> None:
        """Let the file go."""
        self._connection.close(True)


class ElementBuilder:
    """A new element's file with a given catalog, filled with rows."""

    def __init__(
        self, folder: Path, identity: ElementIdentity, settings: StorageSettings, catalog: Catalog
    ) -> None:
        """Raises DiskFullError and other GridErrors."""
        self.file = folder / files.FILE
        self.catalog = catalog
        files.make_file(folder, identity, settings)
        self._connection = connect(
            self.file, cache_bytes=CACHE_BYTES, mmap_bytes=0, read_only=False
        )
        try:
            execute = self._connection.execute
            register_functions(self._connection)
            execute("PRAGMA journal_mode = off").fetchall()
            execute("PRAGMA synchronous = off").fetchall()
            before, self._after = build_sql(catalog, schema.load(execute))
            execute("BEGIN")
            for text in before:
                execute(text)
            schema.replace(execute, catalog)
        except apsw.Error as error:
            self._connection.close(True)
            raise grid_error(error) from error

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[StorageRow]) -> None:
        """Add full rows. Raises GridError."""
        names = ", ".join(map(quoted, columns))
        marks = ", ".join("?" * len(columns))
        text = f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})"
        try:
            self._connection.executemany(text, rows)
        except apsw.Error as error:
            raise grid_error(error) from error

    def finish(self) -> Path:
        """Make the indexes and close the file; where it is. Raises GridError."""
        try:
            for text in self._after:
                self._connection.execute(text)
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            raise grid_error(error) from error
        finally:
            self.close()
        return self.file

    def close(self) -> None:
        """Let the file go, finished or not."""
        self._connection.close(True)
