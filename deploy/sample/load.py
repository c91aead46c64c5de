"""The sample: who owns it, its script, and its rows by COPY through all data instances."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from deploy.sample import generate

SCHEMA_FILE = Path(__file__).with_name("schema.sql")
BATCH_ROWS = 5_000  # of one COPY, which is one transaction
ATTEMPTS = 10  # of a batch, while the error is of the retriable class
AGAIN_S = 0.5
PRIVILEGES = (  # of TimesTen's sample user, but for cache groups
    "CREATE SESSION, CREATE TABLE, CREATE VIEW, CREATE MATERIALIZED VIEW, CREATE SEQUENCE, "
    "CREATE PROCEDURE, CREATE SYNONYM"
)
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


class Table(NamedTuple):
    """One that is loaded by COPY; parents come before their children."""

    name: str
    rows: Callable[[], Iterator[str]]
    total: int  # rows


TABLES = (
    Table("customers", generate.customers, generate.CUSTOMERS),
    Table("accounts", generate.accounts, generate.ACCOUNTS),
    Table("transactions", generate.transactions, generate.TRANSACTIONS),
)


def load(addresses: list[Address], login: Login, progress: Progress) -> dict[str, int]:
    """Load the three large tables; returns their row counts."""
    for table in TABLES:
        load_table(addresses, login, table, progress)
    return {table.name: table.total for table in TABLES}


def load_table(addresses: list[Address], login: Login, table: Table, progress: Progress) -> None:
    """By COPY, through all addresses at once."""
    asyncio.run(_load_table(addresses, login, table.name, table.rows(), table.total, progress))


def statements(text: str) -> list[str]:
    """The statements of a script without strings that hold a semicolon at a line's end."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" \n;")]


def words(address: Address, login: Login) -> dict[str, Any]:
    """What a connection is opened with."""
    return {
        "host": address.host,
        "port": address.port,
        "user": login.user,
        "password": login.password,
        "dbname": login.database,
        "autocommit": True,
        "connect_timeout": 10,
    }


async def _load_table(
    addresses: list[Address],
    login: Login,
    table: str,
    rows: Iterator[str],
    count: int,
    progress: Progress,
) -> None:
    """One connection per data instance; each takes the next batch when it is done with its last."""
    done = itertools.count(1)

    async def work(address: Address) -> None:
        async with await psycopg.AsyncConnection.connect(**words(address, login)) as connection:
            while batch := "".join(itertools.islice(rows, BATCH_ROWS)):
                await _copy(connection, table, batch)
                progress(f"{table}: {min(next(done) * BATCH_ROWS, count):,} of {count:,}")

    try:
        async with asyncio.TaskGroup() as group:
            for address in addresses:
                group.create_task(work(address))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _copy(connection: psycopg.AsyncConnection[Any], table: str, batch: str) -> None:
    for attempt in itertools.count(1):
        try:
            async with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy,
            ):
                await copy.write(batch)
            return
        except psycopg.Error as error:
            code = error.sqlstate or ""
            if attempt == ATTEMPTS or not code.startswith(RETRIABLE):
                raise
            await asyncio.sleep(AGAIN_S)
