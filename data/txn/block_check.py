"""Must new rows be inserted to learn whether they may be? Mostly not. Reads the element only.

A block of rows goes into the log, and is put into effect by the COMMIT. Until then nobody needs it
in its table, but the statement has to fail if a row is refused. For plain rows a look is enough:
no NULLs where none may be, no key twice, and nothing in the table between the least and the
greatest new key, for every unique key. Who is not sure inserts them, and hears what SQLite says.
What others do to those keys meanwhile, the locks decide, as for rows that were inserted.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from data.catalog.element_ddl import collation, key_positions, quoted, storage_class
from data.catalog.objects import Column, Distribution
from data.storage.changes import Inserted
from data.txn.bulk_locks import KeyBlock
from data.txn.facts import TableFacts
from protocol.limits import MIB

BLOCK_BYTES_MAX = 2 * MIB  # larger ones may hold a row that SQLite refuses
ROOM_FACTOR = 4  # bytes in the file per byte of a block, at most: with indexes, and half full pages


class Reading(Protocol):
    """What it needs of the element."""

    def finds_between(self, sql: str, least: Any, greatest: Any) -> bool:
        """See BatchWriter."""
        ...

    def spare_bytes(self) -> int:
        """See BatchWriter."""
        ...


class BlockCheck:
    """For one table, in one version of the schema."""

    def __init__(self, facts: TableFacts) -> None:
        self._wanted = _not_null(facts)
        self._near = _near_texts(facts)

    def surely_fits(
        self,
        element: Reading,
        rows: Inserted,
        keys: KeyBlock,
        encoded: int,
        waiting: int,
    ) -> bool:
        """True: the rows can be inserted, by whoever holds the locks of their keys.

        encoded: bytes of them; waiting: of all other blocks that are not in their tables yet.
        """
        if self._wanted is None or encoded > BLOCK_BYTES_MAX or not rows or keys.has_twice:
            return False
        if any(map(rows.has_null, self._wanted)):
            return False
        for index_id, least, greatest in keys.spans():
            text = self._near.get(index_id)
            if text is None or element.finds_between(text, least, greatest):
                return False
        return ROOM_FACTOR * (encoded + waiting) < element.spare_bytes()


def _not_null(facts: TableFacts) -> tuple[int, ...] | None:
    """Positions in the full row where NULL is refused; None: SQLite looks at more than NULLs."""
    table = facts.table
    if table.checks or table.distribution is Distribution.DUPLICATE or facts.bucket < 0:
        return None
    offset = 1 if table.row_key else 0
    found = {*key_positions(table), facts.bucket}
    for at, column in enumerate(table.columns, offset):
        if not column.nullable:
            found.add(at)
            if storage_class(column.type) == "REAL":
                return None  # NaN is NULL to SQLite
    return tuple(sorted(found))


def _near_texts(facts: TableFacts) -> dict[Hashable, str]:
    """By unique index, what finds a row with its first column in a range."""
    texts: dict[Hashable, str] = {}
    for unique in facts.unique_keys:
        names = [facts.columns[at] for at in unique.positions]
        columns = [facts.table.column(name) for name in names]
        first = columns[0]
        whole = first is None or storage_class(first.type) == "INTEGER"  # None: the hidden key
        if whole and all(column is None or _is_exact(column) for column in columns):
            texts[unique.index_id] = (
                f"SELECT 1 FROM {quoted(facts.name)} "
                f"WHERE {quoted(names[0])} BETWEEN ?1 AND ?2 LIMIT 1"
            )
    return texts


def _is_exact(column: Column) -> bool:
    """Two values are the same to SQLite if, and only if, they are to Python."""
    return not collation(column.type) and storage_class(column.type) in ("INTEGER", "TEXT", "BLOB")
