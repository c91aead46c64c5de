"""What became of transactions whose COMMIT is no longer in the log.

A coordinator whose answer was lost asks for the outcome, perhaps when the log has been cut beyond
it. So cutting writes down which transactions it removes: the newest `PAST_MAX` positions one by
one, and of those before them only the highest counter of each coordinator's incarnation. What was
never heard of and is above that counter was never committed here; below it nobody can say any more.
ABORTs are not here: they stay in `_txn` until they are forgotten (log.py).

All positions cut at once are one row, so that cutting is cheap; looking up searches the packed
rows. A row leaves when all of it is too old. What is too old in the oldest row counts as gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from data.storage import changes as row_changes
from data.storage.entry import decode_payload, encode_txn
from protocol.ids import TxnId
from protocol.limits import KIB

SCHEMA = (
    # what was cut at once, up to an LSN, without gaps. txns: encoded transactions, nil where there
    # is no COMMIT; changes: as many integers: rows, -1 if they were not counted
    "CREATE TABLE IF NOT EXISTS _past(lsn INTEGER PRIMARY KEY, txns BLOB NOT NULL, "
    "changes BLOB NOT NULL)",
    # highest counter of a transaction that left `_past`
    "CREATE TABLE IF NOT EXISTS _highest(element INTEGER, incarnation TEXT, "
    "counter INTEGER NOT NULL, PRIMARY KEY(element, incarnation)) WITHOUT ROWID",
)
PAST_MAX = 100_000  # log positions behind the cut, 20 to 30 bytes each
COUNTED_BYTES_MAX = 64 * KIB  # the rows of larger entries are not counted: cutting must stay fast

_COMMIT = 1  # EntryKind.COMMIT
_NIL = b"\xc0"  # msgpack's
_TAKEN_OVER = 2000  # positions in a row made of those of format 2
_HIGHEST = (
    "INSERT INTO _highest VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
    "SET counter = MAX(counter, excluded.counter)"
)
_encode_ints = msgspec.msgpack.Encoder().encode
_decode_ints = msgspec.msgpack.Decoder(list[int]).decode
_decode_txns = msgspec.msgpack.Decoder(list[TxnId | None]).decode


def remember(execute: Any, executemany: Any, last: int) -> None:
    """Before the log is cut up to LSN `last`. All entries up to it are committed. Raises
    apsw.Error.
    """
    rows = execute(
        "SELECT CASE kind WHEN ?1 THEN txn END, CASE WHEN LENGTH(payload) <= ?2 THEN payload END "
        "FROM _log WHERE lsn <= ?3 ORDER BY lsn",
        (_COMMIT, COUNTED_BYTES_MAX, last),
    ).fetchall()
    counts = [0 if key is None else _count(payload) for key, payload in rows]
    _put(execute, last, [_NIL if key is None else key for key, _ in rows], counts)
    gone = execute("SELECT txns FROM _past WHERE lsn <= ?", (last - PAST_MAX,)).fetchall()
    if not gone:
        return
    highest: dict[tuple[int, str], int] = {}
    for (packed,) in gone:
        _add_highest(highest, _decode_txns(packed))
    executemany(_HIGHEST, [(*name, counter) for name, counter in highest.items()])
    execute("DELETE FROM _past WHERE lsn <= ?", (last - PAST_MAX,))


def _put(execute: Any, last: int, keys: Sequence[bytes], counts: Sequence[int]) -> None:
    """A row of the positions up to `last`, if there is a COMMIT among them."""
    if keys.count(_NIL) < len(keys):
        txns = b"".join((b"\xdd", len(keys).to_bytes(4, "big"), *keys))  # a msgpack array
        execute("INSERT OR REPLACE INTO _past VALUES (?, ?, ?)", (last, txns, _encode_ints(counts)))


def _add_highest(highest: dict[tuple[int, str], int], txns: Iterable[TxnId | None]) -> None:
    for txn in txns:
        if txn is not None:
            element, incarnation, counter = txn
            name = element, incarnation
            if counter > highest.get(name, -1):
                highest[name] = counter


def _count(payload: bytes | None) -> int:
    if payload is None:
        return -1
    decoded = decode_payload(payload)
    return -1 if decoded.parts else row_changes.count(decoded.changes)


def committed(execute: Any, txn: TxnId, last: int) -> int | None:
    """How many rows a transaction changed whose COMMIT was cut, -1: not known; None: none was
    cut that is still remembered one by one. `last`: the newest LSN cut. Milliseconds. Raises
    apsw.Error.
    """
    rows = execute(
        "SELECT lsn, txns, changes FROM _past WHERE lsn > ? AND instr(txns, ?) > 0",
        (last - PAST_MAX, encode_txn(txn)),
    ).fetchall()
    for newest, packed, counts in rows:
        txns = _decode_txns(packed)
        if txn in txns:  # the bytes may also be found across two others
            at = txns.index(txn)
            if newest - len(txns) + 1 + at > last - PAST_MAX:
                return _decode_ints(counts)[at]
    return None


def may_be_forgotten(execute: Any, txn: TxnId, last: int) -> bool:
    """A COMMIT of this transaction may have been here so long ago that nobody knows any more.

    `last`: the newest LSN cut.
    """
    name = txn.element, txn.incarnation
    highest: dict[tuple[int, str], int] = {}
    for (counter,) in execute(
        "SELECT counter FROM _highest WHERE element = ? AND incarnation = ?", name
    ).fetchall():
        highest[name] = counter
    oldest = execute("SELECT lsn, txns FROM _past ORDER BY lsn LIMIT 1").fetchone()
    if oldest is not None:
        txns = _decode_txns(oldest[1])
        _add_highest(highest, txns[: max(0, last - PAST_MAX - (oldest[0] - len(txns)))])
    return txn.counter <= highest.get(name, -1)


def take_over(execute: Any) -> None:
    """Pack the rows of files of formats 1 and 2, which have one for each COMMIT. Raises apsw.Error.

    Once, in the transaction that makes the file one of format 3.
    """
    columns = [row[1] for row in execute("PRAGMA table_info(_past)").fetchall()]
    if "txn" not in columns:
        return  # so old that it had no such table
    rows = execute("SELECT lsn, txn, changes FROM _past ORDER BY lsn").fetchall()
    execute("DROP TABLE _past")
    execute(SCHEMA[0])
    packed: dict[int, list[tuple[int, bytes, int]]] = {}
    for row in rows:
        packed.setdefault(row[0] // _TAKEN_OVER, []).append(row)
    for some in packed.values():
        first, last = some[0][0], some[-1][0]
        keys, counts = [_NIL] * (last - first + 1), [0] * (last - first + 1)
        for lsn, key, changes in some:
            keys[lsn - first], counts[lsn - first] = key, changes
        _put(execute, last, keys, counts)
