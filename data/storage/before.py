"""Rows as they were before a large COMMIT that takes effect bit by bit, for readers at the lead.

Beside each table that it changes stands a table "_was.<name>": every key that it has touched, with
the row that had this key before, if there was one. Readers see the table through a TEMP view of the
same name: without the rows whose keys were touched, with those that were there before. Whatever
state of the file a reader has, the view shows in it what was there before the COMMIT. When the
"_was" tables go, with the last bit, everybody sees all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import apsw

from data.catalog.element_ddl import quoted
from data.storage.changes import RowChange
from data.storage.tables import Tables, TableTexts

_INDEX_HINT = re.compile(r' INDEXED BY "IX\.\d+"')

PREFIX = "_was."
THERE = "_was"  # the column that says whether there was a row


def make(connection: apsw.Connection, texts: TableTexts) -> None:
    """Make the table for what was in another one, if need be."""
    columns = []
    for name, kind in texts.kinds:
        collate = connection.column_metadata("main", texts.name, name)[1]
        columns.append(f"{quoted(name)} {kind} COLLATE {quoted(collate)}")
    keys = ", ".join(quoted(texts.columns[at]) for at in texts.key)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(PREFIX + texts.name)} ({', '.join(columns)}, "
        f"{quoted(THERE)} INTEGER, PRIMARY KEY ({keys})) WITHOUT ROWID"
    )


def view(texts: TableTexts) -> str:
    """The SELECT of the view through which readers see a table."""
    was = quoted(PREFIX + texts.name)
    keys = [quoted(texts.columns[at]) for at in texts.key]
    names = ", ".join(map(quoted, texts.columns))
    same = " AND ".join(f"w.{key} = t.{key}" for key in keys)
    return (
        f"SELECT {names} FROM main.{quoted(texts.name)} t "
        f"WHERE NOT EXISTS (SELECT 1 FROM main.{was} w WHERE {same}) "
        f"UNION ALL SELECT {names} FROM main.{was} WHERE {quoted(THERE)} = 1"
    )


def note(cursor: Any, tables: Tables, changes: Iterable[RowChange]) -> None:
    """Before these changes: keep what has the keys they touch. Who comes first counts."""
    text = ""
    rows: list[Any] = []
    for table, old, new in changes:
        texts = tables[table]
        if old is not None:
            marks = ", ".join("?" * len(old))
            following = f"INSERT OR IGNORE INTO {quoted(PREFIX + table)} VALUES ({marks}, 1)"
            if following != text:
                _write(cursor, text, rows)
                text, rows = following, []
            rows.append(old)
        if new is not None:
            key = tuple([new[at] for at in texts.key])
            if old is not None and key == tuple([old[at] for at in texts.key]):
                continue
            names = ", ".join(quoted(texts.columns[at]) for at in texts.key)
            marks = ", ".join("?" * len(key))
            following = (
                f"INSERT OR IGNORE INTO {quoted(PREFIX + table)} ({names}, {quoted(THERE)}) "
                f"VALUES ({marks}, 0)"
            )
            if following != text:
                _write(cursor, text, rows)
                text, rows = following, []
            rows.append(key)
    _write(cursor, text, rows)


def _write(cursor: Any, text: str, rows: list[Any]) -> None:
    if rows:
        cursor.executemany(text, rows)


def drop(connection: apsw.Connection) -> None:
    """Remove all of them."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, ?) = ?"
    for (name,) in connection.execute(sql, (len(PREFIX), PREFIX)).fetchall():
        connection.execute(f"DROP TABLE {quoted(str(name))}")


def unhinted(sql: str) -> str:
    """The text of a query that reads through views: those have no indexes to be named."""
    return _INDEX_HINT.sub("", sql) if " INDEXED BY " in sql else sql


def dress(
    connection: apsw.Connection, has: Mapping[str, str], wanted: Mapping[str, str]
) -> Mapping[str, str]:
    """Give a reader's connection the views it is to have; returns them. Not while it reads."""
    if has == wanted:
        return wanted
    connection.pragma("query_only", False)
    try:
        for table, body in has.items():
            if wanted.get(table) != body:
                connection.execute(f"DROP VIEW IF EXISTS temp.{quoted(table)}")
        for table, body in wanted.items():
            if has.get(table) != body:
                connection.execute(f"CREATE TEMP VIEW {quoted(table)} AS {body}")
    finally:
        connection.pragma("query_only", True)
    return wanted
