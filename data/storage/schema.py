"""The catalog in an element's file, and DDL as something that can be undone until the log is cut.

`_catalog` holds the whole catalog; `_catalog_undo` holds, per DDL entry, the change and its inverse
until no undo can need it any more: then what the change dropped is removed for good.
"""

from __future__ import annotations

from typing import Any

from data.catalog.catalog import Catalog, CatalogChange
from data.catalog.element_ddl import bootstrap_sql, forward_sql, inverse_sql, purge_sql
from protocol.errors import CorruptElementError

SCHEMA = (
    "CREATE TABLE _catalog(kind TEXT NOT NULL, id INTEGER NOT NULL, body BLOB NOT NULL, "
    "PRIMARY KEY (kind, id)) WITHOUT ROWID",
    "CREATE TABLE _catalog_undo(lsn INTEGER PRIMARY KEY, change BLOB NOT NULL, "
    "inverse BLOB NOT NULL)",
)


def create(execute: Any) -> Catalog:
    """The catalog and the tables of a database just created."""
    catalog = Catalog.initial()
    for text in bootstrap_sql(catalog):
        execute(text)
    for row in catalog.rows():
        execute("INSERT INTO _catalog VALUES (?, ?, ?)", row)
    _put_version(execute, catalog.version)
    return catalog


def replace(execute: Any, catalog: Catalog) -> None:
    """Store another catalog; its tables are the caller's care."""
    execute("DELETE FROM _catalog")
    for row in catalog.rows():
        execute("INSERT INTO _catalog VALUES (?, ?, ?)", row)
    _put_version(execute, catalog.version)


def load(execute: Any) -> Catalog:
    """The catalog stored in the element."""
    version = execute("SELECT value FROM _meta WHERE key = 'schema_version'").fetchone()
    if version is None:
        raise CorruptElementError("the element's file has no schema version")
    rows = execute("SELECT kind, id, body FROM _catalog").fetchall()
    return Catalog.load(version[0], rows)


def apply_change(execute: Any, catalog: Catalog, change: CatalogChange, lsn: int) -> Catalog:
    """Carry a DDL statement out. Raises apsw.Error: roll back to a savepoint then."""
    inverse = catalog.inverse(change)
    for action in change.actions:
        for text in forward_sql(action):
            execute(text)
    _put_rows(execute, change)
    execute("INSERT INTO _catalog_undo VALUES (?, ?, ?)", (lsn, change.encode(), inverse.encode()))
    return catalog.apply(change)


def undo_change(execute: Any, catalog: Catalog, lsn: int) -> Catalog:
    """Take back the DDL of the entry at `lsn`; later ones have been taken back before."""
    row = execute("SELECT change, inverse FROM _catalog_undo WHERE lsn = ?", (lsn,)).fetchone()
    if row is None:
        raise CorruptElementError(f"the DDL of entry {lsn} can no longer be undone")
    change, inverse = CatalogChange.decode(row[0]), CatalogChange.decode(row[1])
    for action in reversed(change.actions):
        for text in inverse_sql(action):
            execute(text)
    _put_rows(execute, inverse)
    execute("DELETE FROM _catalog_undo WHERE lsn = ?", (lsn,))
    return catalog.apply(inverse)


def purge(execute: Any, up_to_lsn: int) -> None:
    """Remove for good what DDL up to there dropped."""
    rows = execute(
        "SELECT lsn, change FROM _catalog_undo WHERE lsn <= ? ORDER BY lsn", (up_to_lsn,)
    ).fetchall()
    for lsn, encoded in rows:
        for action in CatalogChange.decode(encoded).actions:
            for text in purge_sql(action):
                execute(text)
        execute("DELETE FROM _catalog_undo WHERE lsn = ?", (lsn,))


def _put_rows(execute: Any, change: CatalogChange) -> None:
    for key in change.deletes:
        execute("DELETE FROM _catalog WHERE kind = ? AND id = ?", key)
    for row in change.puts:
        execute("INSERT OR REPLACE INTO _catalog VALUES (?, ?, ?)", row)
    _put_version(execute, change.version)


def _put_version(execute: Any, version: int) -> None:
    execute("INSERT OR REPLACE INTO _meta VALUES ('schema_version', ?)", (version,))
