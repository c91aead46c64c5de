"""UPDATEs of open transactions that are worked out by reading the row, while others write.

The writer holds one SQLite transaction: a statement that runs in it has to wait for the batch that
is on its way, and is undone again when it has run, for its transaction is open. An UPDATE of one
row by its key need not run. The coordinator sends a SELECT beside it (`Look`) whose row is the row
as it is and its new values. Read on the last committed state, which is what the statement would
see, it gives the row change; that waits in the workspace until the transaction commits.

That is only right if the row as committed is the row that the statement would have met:

* Nobody else is about to change it. Open transactions, and those in the batch on its way, hold
  locks. Autocommit statements in that batch hold none: the lead remembers what they changed.
* The transaction has not changed it before, or it has a lock on it.

And only if nothing follows from the change, and SQLite would take the new values as they are: no
other form (affinity), no NULL where there may be none, no more room (PermSize is looked at when
statements run). In every other case the statement runs as usual: here nothing has happened then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from data.catalog.element_ddl import storage_class
from data.catalog.objects import Distribution, Table
from data.storage.changes import RowChange
from data.storage.element import Element
from data.txn.facts import TableFacts
from protocol.errors import GridError
from protocol.messages.sql import RunSql
from protocol.sqltypes import StorageRow, StorageValue

UNLOCKED_MAX = 100  # changes of autocommit statements that are looked through

_TYPES = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}


def foresee(element: Element, facts: TableFacts, step: RunSql) -> list[RowChange] | None:
    """What an UPDATE would do on the last committed state; None: it has to be run."""
    look = step.look
    assert look is not None
    if not facts.is_plain and _something_follows(facts, look.assigned):
        return None
    try:
        rows = element.read_short(look.sql, step.params)
    except GridError:  # the statement says what it means
        return None
    if rows is None:
        return None
    if not rows:
        return []
    (found,) = rows
    width = len(facts.columns)
    old, values = found[:width], found[width:]
    new = _changed(facts.table, old, look.assigned, values)
    return None if new is None else [RowChange(facts.name, old, new)]


def _changed(
    table: Table, old: StorageRow, assigned: Sequence[int], values: Sequence[StorageValue]
) -> StorageRow | None:
    """The new row, if SQLite stores it as it is."""
    new = list(old)
    offset = 1 if table.row_key else 0
    for position, value in zip(assigned, values, strict=True):
        column = table.columns[position]
        at = position + offset
        if value is None:
            if not column.nullable:
                return None
        elif type(value) is not _TYPES[storage_class(column.type)]:
            return None
        elif type(value) is str or type(value) is bytes:
            before = old[at]
            if type(before) is not type(value) or len(value) > len(before):
                return None
        new[at] = value
    return tuple(new)


def _something_follows(facts: TableFacts, assigned: Sequence[int]) -> bool:
    """A change of these columns may entail something, here or elsewhere."""
    offset = 1 if facts.table.row_key else 0
    touched = {offset + position for position in assigned}
    return (
        facts.table.distribution is Distribution.DUPLICATE
        or bool(facts.views or facts.global_keys)
        or any(touched & set(link.positions) for link in facts.parents)
        or any(touched & set(link.positions) for link in facts.children)
    )


def met_by(unlocked: Iterable[RowChange], facts: TableFacts, change: RowChange) -> bool:
    """Is the row among these changes?"""
    name, row = facts.name, change.old
    assert row is not None
    key = facts.key_of(row)
    for other in unlocked:
        if other.table == name and (
            (other.old is not None and facts.key_of(other.old) == key)
            or (other.new is not None and facts.key_of(other.new) == key)
        ):
            return True
    return False
