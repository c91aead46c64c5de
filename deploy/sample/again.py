"""Makes the sample in an open database, where part of it may be there already: an earlier attempt
was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.sample.load import (
    AGAIN_S,
    ATTEMPTS,
    PRIVILEGES,
    RETRIABLE,
    SCHEMA_FILE,
    TABLES,
    Address,
    Login,
    Progress,
    Table,
    load_table,
    statements,
    words,
)

THERE = ("42P07", "42710", "23505")  # table or sequence, user, row: it exists already


def user(socket_folder: Path, port: int, administrator: str, login: Login) -> None:
    """The sample's user with this password and its privileges, over an instance's local socket."""
    name, password = sql.SQL(login.user), sql.Literal(login.password)
    with psycopg.connect(
        host=str(socket_folder),
        port=port,
        user=administrator,
        dbname=login.database,
        autocommit=True,
    ) as connection:
        create = sql.SQL("CREATE USER {} IDENTIFIED BY {}").format(name, password)
        if not _made(connection, create):
            alter = sql.SQL("ALTER USER {} IDENTIFIED BY {}").format(name, password)
            _made(connection, alter)
        _made(connection, sql.SQL("GRANT {} TO {}").format(sql.SQL(PRIVILEGES), name))


def schema(address: Address, login: Login) -> None:
    """What is missing of the tables, the sequence, and the rows of the two small tables."""
    with psycopg.connect(**words(address, login)) as connection:
        for statement in statements(SCHEMA_FILE.read_text(encoding="utf-8")):
            _made(connection, statement.encode())


def rows(
    addresses: list[Address],
    login: Login,
    progress: Progress,
    tables: tuple[Table, ...] = TABLES,
) -> None:
    """Fill the tables that are not full. A partly loaded one begins anew: it has no children yet,
    since they are loaded after their parents."""
    for table in tables:
        with psycopg.connect(**words(addresses[0], login)) as connection:
            name = sql.SQL(table.name)
            count = connection.execute(sql.SQL("SELECT COUNT(*) FROM {}").format(name)).fetchone()
            assert count is not None
            if count[0] == table.total:
                progress(f"{table.name}: its {table.total:,} rows are there")
                continue
            if count[0]:
                progress(f"{table.name}: {count[0]:,} rows of an earlier attempt are deleted")
                _made(connection, sql.SQL("DELETE FROM {}").format(name))
        load_table(addresses, login, table, progress)


def patient(work: Callable[[], None], seconds: float, pause_s: float = AGAIN_S) -> None:
    """Repeat what may be repeated while no data instance lets anybody in, or the connection breaks.

    Raises the last error after so many seconds; any other error at once.
    """
    deadline_s = time.monotonic() + seconds
    while True:
        try:
            return work()
        except psycopg.OperationalError:  # no connection, or one that broke
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(pause_s)


def _made(connection: psycopg.Connection, statement: sql.Composed | bytes) -> bool:
    """Execute; whether it was not there before. Repeated while its error is a passing one."""
    attempt = 1
    while True:
        try:
            connection.execute(statement)
            return True
        except psycopg.Error as error:
            code = error.sqlstate or ""
            if code in THERE:
                return False
            if attempt == ATTEMPTS or not code.startswith(RETRIABLE):
                raise
        attempt += 1
        time.sleep(AGAIN_S)
