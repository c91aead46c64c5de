"""The table `_txn`: what is known of transactions over several replica sets, as the log's cut is.

The entries of the log say all of it (`Log` keeps it in memory); what the entries that were cut have
said is here, and nothing else. So a transaction that ends before its entries are cut, as nearly all
do, never comes here: see docs/decisions/0162.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from data.storage.entry import decode_txn, encode_txn
from protocol.ids import TxnId

SCHEMA = (
    "CREATE TABLE _txn(txn BLOB PRIMARY KEY, prepare_lsn INTEGER NOT NULL, "
    "decided_lsn INTEGER NOT NULL, committed INTEGER NOT NULL, participants BLOB NOT NULL, "
    "forgotten_lsn INTEGER NOT NULL, first_part_lsn INTEGER NOT NULL) WITHOUT ROWID"
)

_encode_ints = msgspec.msgpack.Encoder().encode
_decode_ints = msgspec.msgpack.Decoder(tuple[int, ...]).decode


class TxnState(NamedTuple):
    """What became of a transaction here. LSN 0: did not happen (yet)."""

    prepare_lsn: int
    decided_lsn: int
    committed: bool
    participants: tuple[int, ...]
    forgotten_lsn: int
    first_part_lsn: int = 0  # of its PART entries


def as_of(state: TxnState, lsn: int) -> TxnState | None:
    """What the entries up to an LSN have said; None: nothing."""
    prepare, decided, committed, participants, forgotten, part = state
    if decided > lsn:
        decided, committed = 0, False
    prepare = prepare if prepare <= lsn else 0
    part = part if part <= lsn else 0
    if not (prepare or decided or part):
        return None
    if not (prepare or decided):
        participants = ()
    forgotten = forgotten if forgotten <= lsn else 0
    return TxnState(prepare, decided, committed, participants, forgotten, part)


def load(execute: Any, cut_lsn: int) -> dict[TxnId, TxnState]:
    """The rows. In files of format 1 they say more than the cut: that is left to the log."""
    found: dict[TxnId, TxnState] = {}
    for txn, prepare, decided, committed, participants, forgotten, part in execute(
        "SELECT * FROM _txn"
    ).fetchall():
        state = as_of(
            TxnState(
                prepare, decided, bool(committed), _decode_ints(participants), forgotten, part
            ),
            cut_lsn,
        )
        if state is not None:
            found[decode_txn(txn)] = state
    return found


def names(execute: Any) -> set[TxnId]:
    """The transactions that have rows."""
    return {decode_txn(txn) for (txn,) in execute("SELECT txn FROM _txn").fetchall()}


def put(
    executemany: Any, txns: Iterable[TxnId], known: Mapping[TxnId, TxnState], cut_lsn: int
) -> None:
    """Have the rows of these transactions, or none, as a cut at an LSN needs them. apsw.Error."""
    rows: list[tuple[Any, ...]] = []
    gone: list[tuple[bytes]] = []
    for txn in txns:
        key, state = encode_txn(txn), known.get(txn)
        state = None if state is None else as_of(state, cut_lsn)
        if state is None:
            gone.append((key,))
        else:
            prepare, decided, committed, participants, forgotten, part = state
            encoded = _encode_ints(participants)
            rows.append((key, prepare, decided, int(committed), encoded, forgotten, part))
    if gone:
        executemany("DELETE FROM _txn WHERE txn = ?", gone)
    if rows:
        executemany("INSERT OR REPLACE INTO _txn VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
