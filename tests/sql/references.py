"""The single-node databases that answers are compared with: PostgreSQL and SQLite."""

from __future__ import annotations

import datetime
import math
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.support.zookeeper import free_ports

BIN = Path("/usr/lib/postgresql/15/bin")
DIGITS = 10  # that numbers are compared to
START_S = 20

Rows = list[tuple[Any, ...]]


class RefusedByReference(Exception):
    """The reference refuses a statement. `state`: its SQLSTATE, or none."""

    def __init__(self, text: str, state: str = "") -> None:
        super().__init__(text)
        self.state = state


class Reference(Protocol):
    """A database that is asked the same."""

    name: str

    def run(self, sql: str) -> tuple[Rows, int]:
        """Rows and how many were changed. Raises RefusedByReference."""
        ...

    def close(self) -> None:
        """Gives it up."""
        ...


def missing() -> str:
    """Why PostgreSQL cannot be run here; "" if it can."""
    return "" if os.access(BIN / "postgres", os.X_OK) else f"{BIN}/postgres is not installed"


class PostgreSQL:
    """A server of its own, over a socket in a temporary folder; text compares by code points."""

    name = "postgres"

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tgp"))
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        data = self._folder / "data"
        options = ("-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8")
        command = _as_postgres([str(BIN / "initdb"), "-D", str(data), *options])
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/")
        port = free_ports(1)[0]
        command = [str(BIN / "postgres"), "-D", str(data), "-p", str(port), "-k", str(self._folder)]
        command += ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "jit=off"]
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(
                _as_postgres(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self.words = {"host": str(self._folder), "port": port, "user": "postgres"}
        self._connection = self._connected()
        self._connection.execute("SET statement_timeout = 5000")

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        ends = time.monotonic() + START_S
        while True:
            try:
                return psycopg.connect(
                    **self.words, dbname="postgres", autocommit=True, prepare_threshold=None
                )
            except psycopg.OperationalError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)  # polls a server that is starting

    def run(self, sql: str) -> tuple[Rows, int]:
        """Rows and how many were changed."""
        try:
            cursor = self._connection.execute(sql.encode())
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount
        except psycopg.Error as error:
            raise RefusedByReference(str(error).splitlines()[0], error.sqlstate or "") from error

    def close(self) -> None:
        """Stops the server, removes its files."""
        self._connection.close()
        self._server.terminate()
        self._server.wait(30)
        shutil.rmtree(self._folder)


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


class SQLite:
    """In memory. LIKE distinguishes upper and lower case."""

    name = "sqlite"

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute("PRAGMA case_sensitive_like = ON")
        self._connection.set_progress_handler(self._is_late, 100_000)
        self._ends = 0.0

    def _is_late(self) -> int:
        return int(time.monotonic() > self._ends)

    def run(self, sql: str) -> tuple[Rows, int]:
        """Rows and how many were changed."""
        self._ends = time.monotonic() + 5
        try:
            cursor = self._connection.execute(sql)
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            raise RefusedByReference(str(error)) from error

    def close(self) -> None:
        """Gives it up."""
        self._connection.close()


def plain(value: object) -> object:
    """One form for what several databases give."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        if number.is_nan() or number.is_infinite():
            return str(number)
        if number == 0:
            return Decimal(0)
        return round(number, DIGITS - 1 - number.adjusted()).normalize()
    if isinstance(value, datetime.datetime):
        text = value.isoformat(" ")
        return text.rstrip("0") if value.microsecond else text
    if isinstance(value, str):
        return value
    return value if value is None else str(value)


def plain_rows(rows: Iterable[Iterable[object]], *, ordered: bool) -> list[tuple[object, ...]]:
    """In one form; sorted if their order does not count."""
    found = [tuple(plain(value) for value in row) for row in rows]
    return found if ordered else sorted(found, key=repr)
