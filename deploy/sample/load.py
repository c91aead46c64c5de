"""Makes the sample in an open database: user, tables, rows by COPY through all data instances."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from deploy.sample import generate

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
BATCH_ROWS = 5_000  # of one COPY, which is one transaction
ATTEMPTS = 10  # of a batch, while the error is of the retriable class
AGAIN_S = 0.5
PRIVILEGES = "CREATE SESSION, CREATE TABLE, CREATE VIEW, CREATE SEQUENCE, CREATE PROCEDURE"
RETRIABLE = ("40", "57P")
Progress = Callable[[str], None]


class Address(NamedTuple):
    """Where a data instance takes SQL clients."""

    host: str
    port: int


class Login(NamedTuple):
    """Who owns the sample."""

    database: str
    user: str
    password: str


def create_user(socket_folder: Path, port: int, administrator: str, login: Login) -> None:
    """As the instance administrator, over a data instance's local socket."""
    with psycopg.connect(
        host=str(socket_folder),
        port=port,
        user=administrator,
        dbname=login.database,
        autocommit=True,
    ) as connection:
        user, password = sql.SQL(login.user), sql.Literal(login.password)
        connection.execute(sql.SQL("CREATE USER {} IDENTIFIED BY {}").format(user, password))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(PRIVILEGES), user))


def create_schema(address: Address, login: Login) -> None:
    """The tables, the sequence, and the rows of the two small tables."""
    with _connect(address, login) as connection:
        for statement in statements(SCHEMA_FILE.read_text(encoding="utf-8")):
            connection.execute(statement.encode())


def load(addresses: list[Address], login: Login, progress: Progress) -> dict[str, int]:
    """Load the three large tables; returns their row counts."""
    tables: tuple[tuple[str, Callable[[], Iterator[str]], int], ...] = (
        ("customers", generate.customers, generate.CUSTOMERS),
        ("accounts", generate.accounts, generate.ACCOUNTS),
        ("transactions", generate.transactions, generate.TRANSACTIONS),
    )
    for table, rows, count in tables:
        _load_table(addresses, login, table, rows(), count, progress)
    return {table: count for table, _, count in tables}


def statements(text: str) -> list[str]:
    """The statements of a script without strings that hold a semicolon at a line's end."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]


def _connect(address: Address, login: Login) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=address.host,
        port=address.port,
        user=login.user,
        password=login.password,
        dbname=login.database,
        autocommit=True,
        connect_timeout=10,
    )


def _load_table(
    addresses: list[Address],
    login: Login,
    table: str,
    rows: Iterator[str],
    count: int,
    progress: Progress,
) -> None:
    """One connection per data instance; each takes the next batch when it is done with its last."""
    batches: queue.Queue[str | None] = queue.Queue(maxsize=2 * len(addresses))
    failures: list[BaseException] = []
    done = itertools.count(1)

    def work(address: Address) -> None:
        try:
            with _connect(address, login) as connection:
                while (batch := batches.get()) is not None:
                    if not failures:
                        _copy(connection, table, batch)
                        progress(f"{table}: {min(next(done) * BATCH_ROWS, count):,} of {count:,}")
        except Exception as error:
            failures.append(error)
            while batches.get() is not None:
                continue  # let the producer go on to its end

    workers = [threading.Thread(target=work, args=(address,)) for address in addresses]
    for worker in workers:
        worker.start()
    while not failures and (batch := "".join(itertools.islice(rows, BATCH_ROWS))):
        batches.put(batch)
    for _ in workers:
        batches.put(None)
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


def _copy(connection: psycopg.Connection[tuple[object, ...]], table: str, batch: str) -> None:
    for attempt in itertools.count(1):
        try:
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(batch)
            return
        except psycopg.Error as error:
            code = error.sqlstate or ""
            if attempt == ATTEMPTS or not code.startswith(RETRIABLE):
                raise
            time.sleep(AGAIN_S)
