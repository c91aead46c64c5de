"""The rows of a session's GLOBAL TEMPORARY tables: a private database at its own instance.

The definition is in the catalog, for everybody; rows are only the session's and are gone with it.
They follow its transactions: COMMIT deletes those of ON COMMIT DELETE ROWS tables, ROLLBACK and
ROLLBACK TO undo what was done to them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import apsw
from msgspec.structs import replace

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import (
    create_index_sql,
    create_table_sql,
    full_row_columns,
    index_name,
    key_columns,
    key_positions,
    quoted,
    table_name,
)
from data.catalog.objects import Table
from data.storage.faults import not_null_error, statement_error
from data.storage.scratch import scratch_problem
from protocol import trace
from protocol.errors import UniqueViolationError
from protocol.sqltypes import StorageRow, StorageValue

ROWS_AT_ONCE = 500  # between two of them others get their turn


class TemporaryTables:
    """The temporary tables of one session, made when they are first used."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None
        self._made: dict[int, Table] = {}
        self._savepoints: list[str] = []  # those set since the first change, the oldest first

    # -- tables ------------------------------------------------------------------------------------
    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _ready(self, table: Table) -> None:
        """Make the table, or bring it up to its present definition."""
        known = self._made.get(table.id)
        if known is table:
            return
        name = table_name(table)
        for other in list(self._made.values()):
            changed = other.id != table.id or _shape(other) != _shape(table)
            if changed and table_name(other) in (name, table_name(known or table)):
                self._open().execute(f"DROP TABLE {quoted(table_name(other))}")
                del self._made[other.id]  # dropped, and its name is used again
        known = self._made.get(table.id)
        there = {i.id for i in known.indexes} if known is not None else set()
        if known is None:
            self._open().execute(create_table_sql(table))
        for index in table.indexes:
            if index.id not in there and not (index.primary and not table.row_key):
                self._open().execute(create_index_sql(table, index))
        for index in known.indexes if known is not None else ():
            if all(i.id != index.id for i in table.indexes):
                self._open().execute(f"DROP INDEX {quoted(index_name(index))}")
        self._made[table.id] = table

    # -- rows --------------------------------------------------------------------------------------
    async def rows(
        self, tables: Iterable[Table], sql: str, params: Sequence[StorageValue]
    ) -> AsyncGenerator[list[StorageRow], None]:
        """A query over these tables, some rows at a time."""
        if trace.steps.listener is not None:
            trace.step("data/storage/temporary.py")
        try:
            for table in tables:
                self._ready(table)
            cursor = self._open().cursor()
            cursor.execute(sql, tuple(params))
            while rows := list(itertools.islice(cursor, ROWS_AT_ONCE)):
                yield rows
                await asyncio.sleep(0)
        except apsw.Error as error:
            raise scratch_problem(error) from error

    async def insert(
        self, catalog: Catalog, table: Table, rows: Sequence[StorageRow], *, ignore: bool = False
    ) -> list[StorageRow]:
        """Insert full rows; those that were inserted (`ignore`: whose keys were free)."""
        names = ", ".join(quoted(c) for c in full_row_columns(table))
        marks = ", ".join("?" * len(full_row_columns(table)))
        sql = f"INSERT INTO {quoted(table_name(table))} ({names}) VALUES ({marks})"
        done: list[StorageRow] = []
        key = [(at, full_row_columns(table)[at]) for at in key_positions(table)]
        with self._statement(catalog, table):
            for number, row in enumerate(rows, 1):
                for at, column in key:  # SQLite itself would number a row without a key
                    if row[at] is None:
                        raise not_null_error(table, column)
                try:
                    self._open().execute(sql, row)
                    done.append(row)
                except apsw.ConstraintError as error:
                    found = statement_error(error, catalog, table_name(table))
                    if not (ignore and isinstance(found, UniqueViolationError)):
                        raise
                if not number % ROWS_AT_ONCE:
                    await asyncio.sleep(0)
        return done

    async def change(
        self, catalog: Catalog, table: Table, changes: Sequence[tuple[StorageRow, StorageRow]]
    ) -> None:
        """Old full rows become new ones."""
        sets = ", ".join(f"{quoted(c)} = ?" for c in full_row_columns(table))
        at = key_positions(table)
        params = [(*new, *[old[i] for i in at]) for old, new in changes]
        name = quoted(table_name(table))
        await self._many(catalog, table, f"UPDATE {name} SET {sets} WHERE {_by_key(table)}", params)

    async def delete(self, catalog: Catalog, table: Table, rows: Sequence[StorageRow]) -> None:
        """Delete full rows."""
        at = key_positions(table)
        keys = [tuple([row[i] for i in at]) for row in rows]
        name = quoted(table_name(table))
        await self._many(catalog, table, f"DELETE FROM {name} WHERE {_by_key(table)}", keys)

    async def _many(
        self, catalog: Catalog, table: Table, sql: str, params: Sequence[StorageRow]
    ) -> None:
        with self._statement(catalog, table):
            for at in range(0, len(params), ROWS_AT_ONCE):
                self._open().executemany(sql, params[at : at + ROWS_AT_ONCE])
                await asyncio.sleep(0)

    @contextmanager
    def _statement(self, catalog: Catalog, table: Table) -> Iterator[None]:
        """Changes of one statement, in the session's transaction: all of them or none."""
        if trace.steps.listener is not None:
            trace.step("data/storage/temporary.py")
        self._ready(table)
        connection = self._open()
        if not connection.in_transaction:
            connection.execute("BEGIN")
        connection.execute("SAVEPOINT statement")
        try:
            yield
        except BaseException as error:
            with suppress(apsw.Error):  # SQLite itself undoes everything when there is no room
                connection.execute("ROLLBACK TO statement")
                connection.execute("RELEASE statement")
            if isinstance(error, apsw.ConstraintError):
                raise statement_error(error, catalog, table_name(table)) from error
            if isinstance(error, apsw.Error):
                raise scratch_problem(error) from error
            raise
        connection.execute("RELEASE statement")

    # -- transactions ------------------------------------------------------------------------------
    @property
    def changed(self) -> bool:
        """The open transaction has changed rows here."""
        return self._connection is not None and self._connection.in_transaction

    def commit(self) -> None:
        """The session's transaction is committed."""
        if not self.changed:
            return
        for table in self._made.values():
            if table.on_commit == "delete":
                self._open().execute(f"DELETE FROM {quoted(table_name(table))}")
        self._open().execute("COMMIT")
        self._savepoints.clear()

    def roll_back(self) -> None:
        """It is rolled back."""
        if self.changed:
            self._open().execute("ROLLBACK")
            self._look_again()
        self._savepoints.clear()

    def savepoint(self, name: str) -> None:
        """SAVEPOINT; before the first change there is nothing to remember."""
        if self.changed:
            self._open().execute(f"SAVEPOINT {quoted('s' + name)}")
            self._savepoints.append(name)

    def release(self, name: str) -> None:
        """RELEASE SAVEPOINT."""
        if name in self._savepoints:
            self._open().execute(f"RELEASE {quoted('s' + name)}")
            self._forget(name)

    def roll_back_to(self, name: str) -> None:
        """ROLLBACK TO; a savepoint set before the first change: all changes go."""
        if name not in self._savepoints:
            self.roll_back()
            return
        self._open().execute(f"ROLLBACK TO {quoted('s' + name)}")
        self._look_again()
        self._forget(name)
        self._savepoints.append(name)

    def _look_again(self) -> None:
        """Tables and indexes made since are gone with what was undone."""
        there = {name for (name,) in self._open().execute("SELECT name FROM sqlite_master")}
        self._made = {
            number: replace(
                table,
                indexes=tuple(i for i in table.indexes if i.primary or index_name(i) in there),
            )
            for number, table in self._made.items()
            if table_name(table) in there
        }

    def _forget(self, name: str) -> None:
        """The newest savepoint of that name, and those after it."""
        at = len(self._savepoints) - 1 - self._savepoints[::-1].index(name)
        del self._savepoints[at:]

    def close(self) -> None:
        """The session is over."""
        if self._connection is not None:
            self._connection.close(True)
            self._connection = None


def _shape(table: Table) -> Table:
    """What the rows depend on."""
    return replace(table, indexes=tuple(i for i in table.indexes if i.primary), comment="")


def _by_key(table: Table) -> str:
    return " AND ".join(f"{quoted(c)} = ?" for c in key_columns(table))
