"""One SQLite file, one thread, in this process: what a scan costs without any grid around it.

The library is apsw's, the same that the grid stores with.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from benchmarks import loads
from benchmarks.targets import base
from benchmarks.targets.base import Door, Login


class SQLiteFile:
    """Only the table that is scanned."""

    name = loads.SQLITE
    tool = base.IN_PROCESS

    def __init__(self, folder: Path) -> None:
        self._path = folder / "scan.sqlite"
        self._connection: apsw.Connection | None = None

    def missing(self) -> str:
        """It comes with the grid."""
        return ""

    def start(self) -> None:
        """An empty table."""
        self._connection = apsw.Connection(str(self._path))
        self._connection.execute("PRAGMA cache_size = -1048576")
        self._connection.execute((loads.HERE / "sql" / "sqlite.sql").read_text("utf-8"))

    def stop(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def pids(self) -> list[int]:
        """This process."""
        return [os.getpid()]

    def login(self, forced: bool) -> Login:
        """None is needed."""
        raise ValueError("nobody connects to a file")

    def doors(self, where: str, forced: bool) -> list[Door]:
        """None are needed."""
        return []

    def fill(self, parts: list[Path]) -> None:
        """The rows of these files in COPY's format."""
        connection = self._open()
        with connection:
            connection.execute("DELETE FROM customers")
            for part in parts:
                with part.open(encoding="utf-8") as lines:
                    rows = (
                        [None if v == r"\N" else v for v in line.rstrip("\n").split("\t")]
                        for line in lines
                    )
                    connection.executemany("INSERT INTO customers VALUES (?,?,?,?,?,?,?)", rows)

    def query(self, text: str) -> tuple[object, ...]:
        """The one row."""
        (row,) = self._open().execute(text).fetchall()
        return tuple(row)

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            raise RuntimeError("not started")
        return self._connection
