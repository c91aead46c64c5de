"""Row changes as SQLite statements: per table the texts, made once, that insert, change and delete.

The texts come from SQLite's own schema, not from the catalog: what is applied is what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from data.catalog.element_ddl import BUCKET, quoted
from data.storage.changes import Inserted, RowChange
from protocol.errors import CorruptElementError
from protocol.sqltypes import StorageRow

UPDATE_TEXTS_MAX = 256  # per table, one for each set of columns changed together
ROWS_AT_ONCE = 50  # inserted by one statement; more are not cheaper
VALUES_AT_ONCE = 2000  # apsw keeps no statement whose text is longer than 16 KiB


class TableTexts:
    """One SQLite table: its columns, its key and its statements.

    An image before is compared with the whole row. The unary plus keeps SQLite from choosing an
    index for one of those comparisons; only the key finds the row.
    """

    __slots__ = (
        "_updates",
        "_where",
        "bucket",
        "columns",
        "delete",
        "insert",
        "insert_many",
        "key",
        "kinds",
        "name",
        "rowid",
        "rows_at_once",
    )

    def __init__(self, connection: apsw.Connection, name: str) -> None:
        # of the table itself: a reader may have a view of the same name over it
        text = f"PRAGMA main.table_xinfo({quoted(name)})"
        info: list[Any] = connection.execute(text).fetchall()
        if not info:
            raise CorruptElementError(f"a row change names table {name}, which is not there")
        self.name = name
        self.columns: tuple[str, ...] = tuple(row[1] for row in info)
        self.bucket = len(info) - 1 if self.columns[-1] == BUCKET else -1  # position; -1: in none
        self.kinds: tuple[tuple[str, str], ...] = tuple((row[1], row[2]) for row in info)
        keyed = sorted((row[5], row[0]) for row in info if row[5])
        self.key: tuple[int, ...] = tuple(position for _, position in keyed)
        single = info[self.key[0]] if len(self.key) == 1 else None
        # position of the column that is SQLite's rowid, -1 without: NULL there would be filled in
        self.rowid: int = single[0] if single is not None and single[2].upper() == "INTEGER" else -1
        marks = ", ".join("?" * len(info))
        self.insert = f"INSERT INTO {quoted(name)} VALUES ({marks})"
        self.rows_at_once = max(1, min(ROWS_AT_ONCE, VALUES_AT_ONCE // len(info)))
        # OR FAIL: no journal of the statement; whoever applies very many undoes them all
        many = ", ".join([f"({marks})"] * self.rows_at_once)
        self.insert_many = f"INSERT OR FAIL INTO {quoted(name)} VALUES {many}"
        self._where = " AND ".join(
            f"{quoted(column)} = ?{at + 1}" if at in self.key else f"+{quoted(column)} IS ?{at + 1}"
            for at, column in enumerate(self.columns)
        )
        self.delete = f"DELETE FROM {quoted(name)} WHERE {self._where}"
        self._updates: dict[tuple[int, ...], str] = {}

    def update(self, changed: tuple[int, ...]) -> str:
        """UPDATE of the columns at these positions; parameters: the old row, then their values."""
        text = self._updates.get(changed)
        if text is None:
            base = len(self.columns)
            sets = ", ".join(
                f"{quoted(self.columns[at])} = ?{base + n}" for n, at in enumerate(changed, 1)
            )
            text = f"UPDATE {quoted(self.name)} SET {sets} WHERE {self._where}"
            if len(self._updates) >= UPDATE_TEXTS_MAX:
                self._updates.clear()
            self._updates[changed] = text
        return text


class Tables:
    """The texts of each table met so far; cleared when the schema changes."""

    __slots__ = ("_connection", "_met")

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._met: dict[str, TableTexts] = {}

    def __getitem__(self, name: str) -> TableTexts:
        texts = self._met.get(name)
        if texts is None:
            texts = self._met[name] = TableTexts(self._connection, name)
        return texts

    def clear(self) -> None:
        """Forget them all."""
        self._met.clear()


def apply_one(
    connection: apsw.Connection,
    execute: Any,
    texts: TableTexts,
    old: StorageRow | None,
    new: StorageRow | None,
) -> None:
    """Put one row change into effect.

    Raises CorruptElementError if the image before is not there, apsw.Error.
    """
    if old is None:
        execute(texts.insert, new)
        return
    if new is None:
        execute(texts.delete, old)
    else:
        changed = _changed(texts, old, new)
        execute(texts.update(changed), (*old, *[new[at] for at in changed]))
    if connection.changes() != 1:
        raise CorruptElementError(
            f"table {texts.name}: a row does not match its image in the log",
            detail=f"key {tuple(old[at] for at in texts.key)!r}",
        )


def _changed(texts: TableTexts, old: StorageRow, new: StorageRow) -> tuple[int, ...]:
    """Positions of the columns that an update has to set."""
    changed = tuple(
        [
            at
            for at, value in enumerate(new)
            if value is not old[at] and (value != old[at] or type(value) is not type(old[at]))
        ]
    )
    return changed or texts.key[:1]  # at least one: the row must be there


def apply_bulk(
    connection: apsw.Connection, cursor: Any, tables: Tables, changes: Iterable[RowChange]
) -> None:
    """Put many changes into effect in order: alike ones that follow each other in one call.

    Raises CorruptElementError if an image before is not there, apsw.Error; a part is done then.
    """
    if isinstance(changes, Inserted):
        _apply_inserted(connection, cursor, tables[changes.table], changes)
        return
    _apply_mixed(connection, cursor, tables, changes)


def _apply_inserted(
    connection: apsw.Connection, cursor: Any, texts: TableTexts, block: Inserted
) -> None:
    """Many rows by one statement: about a quarter of an insert's time goes to what SQLite and apsw
    do once per statement."""
    width = block.width
    if width != len(texts.columns):
        raise CorruptElementError(f"table {texts.name}: new rows have {width} columns")
    values = block.flat()
    size = texts.rows_at_once * width
    whole = len(values) // size * size
    before = connection.total_changes()
    for at in range(0, whole, size):
        cursor.execute(texts.insert_many, values[at : at + size])
    rest = [values[at : at + width] for at in range(whole, len(values), width)]
    if rest:
        cursor.executemany(texts.insert, rest)
    if connection.total_changes() - before != len(block):
        raise CorruptElementError(f"table {texts.name}: not all new rows were inserted")


def _apply_mixed(
    connection: apsw.Connection, cursor: Any, tables: Tables, changes: Iterable[RowChange]
) -> None:
    text, texts = "", None
    rows: list[Any] = []
    for table, old, new in changes:
        if texts is None or table != texts.name:
            following = tables[table]
        else:
            following = texts
        if old is None:
            next_text, row = following.insert, new
        elif new is None:
            next_text, row = following.delete, old
        else:
            columns = _changed(following, old, new)
            next_text = following.update(columns)
            row = (*old, *[new[at] for at in columns])
        if next_text is not text and next_text != text:
            _run_many(connection, cursor, text, texts, rows)
            text, rows = next_text, []
        texts = following
        rows.append(row)
    _run_many(connection, cursor, text, texts, rows)


def _run_many(
    connection: apsw.Connection,
    cursor: Any,
    text: str,
    texts: TableTexts | None,
    rows: Sequence[Any],
) -> None:
    if not rows:
        return
    assert texts is not None
    before = connection.total_changes()
    cursor.executemany(text, rows)
    if connection.total_changes() - before != len(rows):
        raise CorruptElementError(f"table {texts.name}: a row does not match its image in the log")


def apply_all(
    connection: apsw.Connection, execute: Any, tables: Tables, changes: Iterable[RowChange]
) -> None:
    """Put changes into effect in order. Raises PartlyAppliedError."""
    done = 0
    try:
        for table, old, new in changes:
            apply_one(connection, execute, tables[table], old, new)
            done += 1
    except (apsw.Error, CorruptElementError, IndexError, TypeError, ValueError) as error:
        raise PartlyAppliedError(done, error) from error


class PartlyAppliedError(Exception):
    """`done` changes are in effect, then `cause` happened. Never leaves this package."""

    def __init__(self, done: int, cause: Exception) -> None:
        super().__init__(done, cause)
        self.done = done
        self.cause = cause
