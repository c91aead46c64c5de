"""First updater wins: what a REPEATABLE READ transaction writes must be as in its snapshot.

Compared are values: a row that was changed and changed back counts as unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from data.storage.changes import RowChange
from data.storage.held import HeldSnapshot
from protocol.errors import SerializationError
from protocol.messages.sql import Match, SelectRows
from protocol.sqltypes import StorageRow


class Touched:
    """An UPDATE or DELETE touched the rows that it would have touched in the snapshot?

    `columns`: of the table's full rows. Both methods raise SerializationError.
    """

    def __init__(self, held: HeldSnapshot, match: Match, columns: Sequence[str]) -> None:
        self._held = held
        self._match = match
        self._at = [columns.index(name) for name in match.columns]
        self._touched: set[StorageRow] = set()

    def look(self, changes: Sequence[RowChange]) -> None:
        """Some of its row changes: the rows were like this."""
        for change in changes:
            if change.old is None:
                continue
            self._touched.add(tuple([change.old[i] for i in self._at]))
            if not self._held.has_row(change.table, change.old):
                raise _changed()

    def end(self) -> None:
        """Those were all."""
        match = self._match
        if self._touched != {tuple(row) for row in self._held.read(match.sql, match.params)}:
            raise _changed()


def check_touched(
    held: HeldSnapshot, match: Match, columns: Sequence[str], changes: Sequence[RowChange]
) -> None:
    """All at once."""
    touched = Touched(held, match, columns)
    touched.look(changes)
    touched.end()


def check_seen(held: HeldSnapshot, step: SelectRows, rows: Sequence[StorageRow]) -> None:
    """The rows to be locked are those of the snapshot, or, cut by SKIP LOCKED or a limit, of them.

    Raises SerializationError.
    """
    there = Counter(held.read(step.sql, step.params))
    here = Counter(rows)
    if here - there or (not step.skip and step.limit < 0 and here != there):
        raise _changed()


def _changed() -> SerializationError:
    return SerializationError(
        "could not serialize access due to concurrent update",
        detail="A row that the statement is about has changed since the transaction's snapshot.",
        hint="Roll back and run the transaction again.",
    )
