"""What became of transactions whose COMMIT is no longer in the log.

A coordinator whose answer was lost asks for the outcome, perhaps when the log has been cut beyond
it. So cutting writes down which transactions it removes: the newest `PAST_MAX` one by one, and of
those before them only the highest counter of each coordinator's incarnation. What was never
heard of and is above that counter was never committed here; below it nobody can say any more.
ABORTs are not here: they stay in `_txn` until they are forgotten (log.py).
"""

from __future__ import annotations

from typing import Any

from data.storage import changes as row_changes
from data.storage.entry import decode_payload, decode_txn, encode_txn
from protocol.ids import TxnId
from protocol.limits import KIB

SCHEMA = (
    # committed, and cut from the log; changes: rows, -1 if they were not counted
    "CREATE TABLE IF NOT EXISTS _past(lsn INTEGER PRIMARY KEY, txn BLOB NOT NULL, "
    "changes INTEGER NOT NULL)",
    # highest counter of a transaction that left `_past`
    "CREATE TABLE IF NOT EXISTS _highest(element INTEGER, incarnation TEXT, "
    "counter INTEGER NOT NULL, PRIMARY KEY(element, incarnation)) WITHOUT ROWID",
)
PAST_MAX = 100_000  # log positions behind the cut, 40 bytes each
COUNTED_BYTES_MAX = 64 * KIB  # the rows of larger entries are not counted: the table must stay fast

_COMMIT = 1  # EntryKind.COMMIT
_HIGHEST = (
    "INSERT INTO _highest VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
    "SET counter = MAX(counter, excluded.counter)"
)


def remember(execute: Any, executemany: Any, last: int) -> None:
    """Before the log is cut up to LSN `last`. All entries up to it are committed. Raises
    apsw.Error.
    """
    rows = execute(
        "SELECT lsn, txn, CASE WHEN LENGTH(payload) <= ? THEN payload END FROM _log "
        "WHERE lsn <= ? AND kind = ? AND txn IS NOT NULL",
        (COUNTED_BYTES_MAX, last, _COMMIT),
    ).fetchall()
    executemany(
        "INSERT OR REPLACE INTO _past VALUES (?, ?, ?)",
        [(lsn, txn, _count(payload)) for lsn, txn, payload in rows],
    )
    gone = execute("SELECT txn FROM _past WHERE lsn <= ?", (last - PAST_MAX,)).fetchall()
    if not gone:
        return
    highest: dict[tuple[int, str], int] = {}
    for (key,) in gone:
        txn = decode_txn(key)
        name = (txn.element, txn.incarnation)
        highest[name] = max(highest.get(name, 0), txn.counter)
    executemany(_HIGHEST, [(*name, counter) for name, counter in highest.items()])
    execute("DELETE FROM _past WHERE lsn <= ?", (last - PAST_MAX,))


def _count(payload: bytes | None) -> int:
    if payload is None:
        return -1
    decoded = decode_payload(payload)
    return -1 if decoded.parts else row_changes.count(decoded.changes)


def committed(execute: Any, txn: TxnId) -> int | None:
    """How many rows a transaction changed whose COMMIT was cut, -1: not known; None: none was
    cut that is still remembered one by one. Milliseconds. Raises apsw.Error.
    """
    row = execute("SELECT changes FROM _past WHERE txn = ?", (encode_txn(txn),)).fetchone()
    return None if row is None else row[0]


def may_be_forgotten(execute: Any, txn: TxnId) -> bool:
    """A COMMIT of this transaction may have been here so long ago that nobody knows any more."""
    row = execute(
        "SELECT counter FROM _highest WHERE element = ? AND incarnation = ?",
        (txn.element, txn.incarnation),
    ).fetchone()
    return row is not None and txn.counter <= row[0]
