"""What all databases under test have in common, and what is done with any of them.

Each target starts its own servers on loopback ports in a temporary folder, and stops them by pid.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from benchmarks import loads
from deploy.sample import load as sample

BATCH_ROWS = 5_000  # of one COPY, which is one transaction
ATTEMPTS = 10
PGBENCH, SYSBENCH, IN_PROCESS = "pgbench", "sysbench", "in process"  # who makes the load


@dataclass(frozen=True)
class Door:
    """Where clients connect, with the pgbench variables for the load there."""

    host: str
    port: int
    variables: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Login:
    """Who connects to which database."""

    database: str
    user: str
    password: str = ""


class Target(Protocol):
    """A database under test."""

    name: str
    tool: str  # PGBENCH, SYSBENCH or IN_PROCESS

    def missing(self) -> str:
        """Why this machine cannot run it; "" if it can."""

    def start(self) -> None:
        """Start the servers, load the tables. Raises RuntimeError."""

    def stop(self) -> None:
        """Stop all that was started, also after half a start."""

    def pids(self) -> list[int]:
        """Roots of the process trees of all servers."""

    def login(self, forced: bool) -> Login:
        """The database that flushes every commit, or one that does not."""

    def doors(self, where: str, forced: bool) -> list[Door]:
        """Where the clients of a load connect."""


def connect(door: Door, login: Login) -> psycopg.Connection[Any]:
    """One connection for set-up and checks."""
    return psycopg.connect(
        host=door.host,
        port=door.port,
        dbname=login.database,
        user=login.user,
        password=login.password,
        autocommit=True,
        connect_timeout=10,
    )


def run_script(connection: psycopg.Connection[Any], script: str) -> None:
    """The statements of a file in benchmarks/sql."""
    text = (loads.HERE / "sql" / script).read_text(encoding="utf-8")
    for statement in sample.statements(text):
        connection.execute(statement.encode())


def load_rows(connection: psycopg.Connection[Any]) -> None:
    """The rows of the client loads; the bulk load brings its own."""
    for table, rows in (("vpn_users", loads.vpn_rows()), ("bank", loads.bank_rows())):
        while batch := "".join(itertools.islice(rows, BATCH_ROWS)):
            _copy(connection, table, batch)


def _copy(connection: psycopg.Connection[Any], table: str, batch: str) -> None:
    """Again after an error of the retriable class: leads may move in a database just made."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy,
            ):
                copy.write(batch)
            return
        except psycopg.Error as error:
            if attempt == ATTEMPTS or not (error.sqlstate or "").startswith("40"):
                raise
            print(f"COPY {table}, again: {error}", file=sys.stderr)
            time.sleep(0.5)


def bank_sum(door: Door, login: Login) -> int:
    """All money of the bank: no transfer changes it."""
    with connect(door, login) as connection:
        row = connection.execute("SELECT sum(balance) FROM bank").fetchone()
    assert row is not None
    return int(row[0])
