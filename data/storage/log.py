"""The `_log` table and what it says about transactions: append, take back, look up, cut.

All of it works on the writer's connection inside its open SQLite transaction, except the functions
that are given a connection. What entries say of transactions is kept in memory, and made again from
the log when an element is opened; what they said when they are cut goes to `_txn`
(data/storage/stored_txns.py).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apsw

from data.storage import changes as row_changes
from data.storage import past, stored_txns
from data.storage.changes import RowChange
from data.storage.entry import (
    Decision,
    EntryKind,
    Later,
    LogEntry,
    PreparedTxn,
    TxnPayload,
    decode_epoch,
    decode_later,
    decode_payload,
    decode_txn,
    decode_txns,
    encode_later,
    encode_txn,
)
from data.storage.stored_txns import TxnState
from protocol import trace
from protocol.errors import CorruptElementError, LogGapError
from protocol.ids import LogPosition, TxnId

SCHEMA = (
    "CREATE TABLE _log(lsn INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL, "
    "txn BLOB, payload BLOB NOT NULL, commit_point INTEGER NOT NULL)",
    "CREATE INDEX _log_epoch ON _log(lsn) WHERE kind = 5",
    stored_txns.SCHEMA,
    *past.SCHEMA,
)
ROW_OVERHEAD_BYTES = 40  # of a log row, beside its payload
RECENT_MAX = 50_000  # transactions whose LSN is known without a scan of the log

_COLUMNS = "term, lsn, kind, txn, payload"
_INSERT = "INSERT INTO _log(lsn, term, kind, txn, payload, commit_point) VALUES (?, ?, ?, ?, ?, ?)"
_PROMISES = (  # transactions that have PREPAREs and PARTs up to an LSN
    "SELECT DISTINCT txn FROM _log WHERE lsn <= ? "
    f"AND kind IN ({int(EntryKind.PREPARE)}, {int(EntryKind.PART)})"
)
_COMMIT = int(EntryKind.COMMIT)


# a transaction, its state before a change, and the size of its PREPARE's payload then
_Undo = tuple[TxnId, TxnState | None, int | None]


class Mark(NamedTuple):
    """What a rollback restores."""

    tail_term: int
    tail_lsn: int
    bytes: int
    cut: LogPosition
    undo: int  # length of the list of changed transactions
    later: Later | None


def entry_of(row: Any) -> LogEntry:
    """A log row in the order of `_COLUMNS` as an entry."""
    term, lsn, kind, txn, payload = row
    return LogEntry(term, lsn, kind, None if txn is None else decode_txn(txn), payload)


def entries_after(
    connection: apsw.Connection, after_lsn: int, cut: LogPosition, bytes_max: int
) -> list[LogEntry]:
    """Entries after a position, at least one if there is one. Raises LogGapError."""
    if after_lsn < cut.lsn:
        raise LogGapError(f"entries after {after_lsn} are no longer kept, only after {cut.lsn}")
    found: list[LogEntry] = []
    total = 0
    cursor = connection.cursor()
    cursor.execute(f"SELECT {_COLUMNS} FROM _log WHERE lsn > ? ORDER BY lsn", (after_lsn,))
    for row in cursor:
        total += len(row[4]) + ROW_OVERHEAD_BYTES
        if total > bytes_max and found:
            break
        found.append(entry_of(row))
    cursor.close(True)
    return found


def entry_at(connection: apsw.Connection, lsn: int) -> LogEntry | None:
    """The entry at a position."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM _log WHERE lsn = ?", (lsn,)).fetchone()
    return None if row is None else entry_of(row)


def epochs(connection: apsw.Connection) -> list[tuple[int, LogPosition]]:
    """(number, position) of the EPOCH entries kept, oldest first."""
    rows = connection.execute(
        "SELECT payload, term, lsn FROM _log INDEXED BY _log_epoch WHERE kind = 5 ORDER BY lsn"
    )
    return [(decode_epoch(payload), LogPosition(term, lsn)) for payload, term, lsn in rows]


def newest_epoch(connection: apsw.Connection, at_most: int | None = None) -> tuple[int, int]:
    """(number, LSN) of the newest EPOCH entry kept, or of the newest one with such a number.

    (0, 0): there is none.
    """
    rows = connection.execute(
        "SELECT payload, lsn FROM _log INDEXED BY _log_epoch WHERE kind = 5 ORDER BY lsn DESC"
    )
    for payload, lsn in rows:
        number = decode_epoch(payload)
        if at_most is None or number <= at_most:
            rows.close(True)
            return number, lsn
    return 0, 0


class Log:
    """The log as the writer sees it, its open transaction included."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        """`cursor`: the writer's own."""
        self._connection = connection
        self._execute: Any = cursor.execute
        self._executemany: Any = cursor.executemany
        self.tail_term = 0
        self.tail_lsn = 0
        self.bytes = 0
        self.cut = LogPosition(0, 0)  # the newest entry no longer kept
        self.commit_point = 0
        self._replica_set = 0  # ours, 0: not known
        self.txns: dict[TxnId, TxnState] = {}
        self._undo: list[_Undo] = []  # what the open SQLite transaction changed in `txns`
        # ABORTs, and COMMITs of which this is the anchor, until they are forgotten: somebody may
        # have to look after them. Other COMMITs go with their log, and there may be very many
        self._unforgotten: dict[TxnId, None] = {}
        self.later: Later | None = None  # the COMMIT that has not had all its effect yet
        self.open_parts: dict[TxnId, int] = {}  # undecided, with PART entries: LSN of the first
        self._prepare_bytes: dict[TxnId, int] = {}  # payload of prepared, undecided transactions
        # (LSN of the decision or of its FORGET, transaction), oldest first; what became stale since
        # is skipped. It keeps cutting the log from looking at every transaction of `txns`.
        self._ends: deque[tuple[int, TxnId]] = deque()
        self._stored: set[TxnId] = set()  # what has a row in `_txn`; as stale as `_ends`
        self._ends_stale = True
        # LSNs; stale after a rollback, so they are checked. Ordered: a dict's oldest key is slow to
        # find once thousands before it are gone
        self._recent: OrderedDict[bytes, int] = OrderedDict()
        self._recent_from = 0  # every entry from this LSN on is in _recent

    # -- state in memory ---------------------------------------------------------------------------
    def load(self) -> None:
        """Read what memory holds of the tables."""
        row = self._execute("SELECT value FROM _meta WHERE key = 'cut'").fetchone()
        if row is not None:
            term, _, lsn = row[0].partition(" ")
            self.cut = LogPosition(int(term), int(lsn))
        self._read_tail()
        self.bytes, count = self._execute(
            f"SELECT COALESCE(SUM(LENGTH(payload) + {ROW_OVERHEAD_BYTES}), 0), COUNT(*) FROM _log"
        ).fetchone()
        if count != self.tail_lsn - self.cut.lsn:
            raise CorruptElementError(
                f"the log has {count} entries between {self.cut.lsn} and {self.tail_lsn}"
            )
        row = self._execute("SELECT MAX(commit_point) FROM _log").fetchone()
        self.commit_point = max(row[0] or 0, self.cut.lsn)
        newest = self._execute(
            "SELECT txn, lsn FROM _log ORDER BY lsn DESC LIMIT ?", (RECENT_MAX,)
        ).fetchall()
        self._recent = OrderedDict((txn, n) for txn, n in reversed(newest) if txn is not None)
        self._recent_from = newest[-1][1] if len(newest) == RECENT_MAX else 0
        row = self._execute("SELECT value FROM _meta WHERE key = 'later'").fetchone()
        self.later = None if row is None else decode_later(row[0])
        self.load_txns()

    def load_txns(self) -> None:
        """What cut entries have said of transactions, and then the others. Reads the log once."""
        self.txns = stored_txns.load(self._execute, self.cut.lsn)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM _log WHERE txn IS NOT NULL OR kind = ? ORDER BY lsn",
            (int(EntryKind.FORGET),),
        )
        for row in rows:
            entry = entry_of(row)
            state = self.txns.get(entry.txn) if entry.txn is not None else None
            participants: tuple[int, ...] = ()
            if entry.kind == _COMMIT:
                participants = decode_payload(entry.payload).participants
            if entry.kind != _COMMIT or state is not None or participants:
                self._note(entry, state, participants)
        self._undo.clear()
        self._ends_stale = True
        self._find_unforgotten()
        self.open_parts = {
            txn: s.first_part_lsn
            for txn, s in self.txns.items()
            if s.first_part_lsn and not s.decided_lsn
        }
        self._prepare_bytes = {
            txn: self._promised_bytes(txn, state)
            for txn, state in self.txns.items()
            if state.prepare_lsn and not state.decided_lsn
        }

    def store_again(self) -> None:
        """Have in `_txn` what has to be there; in files of format 1 it held all transactions."""
        names = stored_txns.names(self._execute)
        stored_txns.put(self._executemany, names, self.txns, self.cut.lsn)

    @property
    def replica_set(self) -> int:
        """Ours, 0: not known. An anchor keeps its decisions."""
        return self._replica_set

    @replica_set.setter
    def replica_set(self, number: int) -> None:
        self._replica_set = number
        self._find_unforgotten()

    def _find_unforgotten(self) -> None:
        self._unforgotten = {txn: None for txn, s in self.txns.items() if self._is_kept(s)}

    def _is_kept(self, state: TxnState) -> bool:
        """Decided, and until a FORGET nobody else takes care of it."""
        if not state.decided_lsn or state.forgotten_lsn:
            return False
        own = self._replica_set
        return not state.committed or not own or state.participants[:1] == (own,)

    def effect_bytes(self, entry: LogEntry) -> int:
        """Bytes of row changes in other entries that this one puts into effect."""
        state = self.txns.get(entry.txn) if entry.txn is not None and self.txns else None
        if state is None or entry.kind != _COMMIT or entry.txn is None:
            return 0
        until = state._replace(prepare_lsn=state.prepare_lsn or entry.lsn)
        return self._promised_bytes(entry.txn, until) if until.first_part_lsn else 0

    def _promised_bytes(self, txn: TxnId, state: TxnState) -> int:
        """Payload of a transaction's PREPARE and PARTs."""
        (found,) = self._execute(
            "SELECT SUM(LENGTH(payload)) FROM _log WHERE lsn BETWEEN ? AND ? AND txn = ?",
            (state.first_part_lsn or state.prepare_lsn, state.prepare_lsn, encode_txn(txn)),
        ).fetchone()
        return found or 0

    def _read_tail(self) -> None:
        row = self._execute("SELECT term, lsn FROM _log ORDER BY lsn DESC LIMIT 1").fetchone()
        self.tail_term, self.tail_lsn = self.cut if row is None else row

    def begin(self) -> Mark:
        """A SQLite transaction begins: the mark to which its rollback goes."""
        if self._undo:
            self._undo.clear()
        return self.mark()

    @property
    def txns_touched(self) -> bool:
        """The open SQLite transaction changed what is known of transactions."""
        return bool(self._undo)

    def mark(self) -> Mark:
        """For `restore` after a rollback."""
        undo = len(self._undo)
        return Mark(self.tail_term, self.tail_lsn, self.bytes, self.cut, undo, self.later)

    def restore(self, mark: Mark) -> None:
        """Memory as it was at the mark; the tables have been rolled back to it."""
        undo = self._undo
        if len(undo) > mark.undo or self.cut != mark.cut:
            self._ends_stale = True
        self.tail_term, self.tail_lsn, self.bytes, self.cut, length, self.later = mark
        while len(undo) > length:
            txn, state, prepare_bytes = undo.pop()
            self._hold(txn, state)
            if prepare_bytes is None:
                self._prepare_bytes.pop(txn, None)
            else:
                self._prepare_bytes[txn] = prepare_bytes

    def _change(self, txn: TxnId, state: TxnState | None) -> None:
        """Hold another state, until a rollback."""
        self._undo.append((txn, self.txns.get(txn), self._prepare_bytes.get(txn)))
        self._hold(txn, state)

    def _hold(self, txn: TxnId, state: TxnState | None) -> None:
        if state is None:
            self.txns.pop(txn, None)
        else:
            self.txns[txn] = state
        if state is not None and self._is_kept(state):
            self._unforgotten[txn] = None
        else:
            self._unforgotten.pop(txn, None)
        if state is not None and state.first_part_lsn and not state.decided_lsn:
            self.open_parts[txn] = state.first_part_lsn
        else:
            self.open_parts.pop(txn, None)

    # -- appending and taking back -----------------------------------------------------------------
    def check_next(self, entry: LogEntry) -> TxnState | None:
        """Refuse an entry that cannot follow; returns what is known of its transaction.

        Raises LogGapError, CorruptElementError.
        """
        if entry.lsn != self.tail_lsn + 1 or entry.term < self.tail_term:
            raise LogGapError(
                f"entry ({entry.term}, {entry.lsn}) does not follow "
                f"({self.tail_term}, {self.tail_lsn})"
            )
        txn = entry.txn
        state = self.txns.get(txn) if txn is not None and self.txns else None
        kind = entry.kind
        promising = kind in (EntryKind.PREPARE, EntryKind.PART)
        if state is not None and (state.decided_lsn or (promising and state.prepare_lsn)):
            known = "prepared" if not state.decided_lsn else "decided"
            raise CorruptElementError(f"{EntryKind(kind).name} of transaction {txn}: it is {known}")
        return state

    def append(
        self, entry: LogEntry, state: TxnState | None, participants: tuple[int, ...] = ()
    ) -> None:
        """Write an entry that `check_next` allowed. Raises apsw.Error.

        `participants`: of a COMMIT without a PREPARE here that decides for other replica sets.
        """
        if trace.steps.listener is not None:
            trace.step("data/storage/log.py")
        term, lsn, kind, txn, payload = entry.term, entry.lsn, entry.kind, entry.txn, entry.payload
        key = None if txn is None else encode_txn(txn)
        self._execute(_INSERT, (lsn, term, kind, key, payload, self.commit_point))
        if key is not None:
            recent = self._recent
            recent[key] = lsn
            if len(recent) > RECENT_MAX:
                self._recent_from = max(self._recent_from, recent.popitem(last=False)[1] + 1)
        if kind != _COMMIT or state is not None or participants:
            self._note(entry, state, participants)
        self.tail_term, self.tail_lsn = term, lsn
        self.bytes += len(payload) + ROW_OVERHEAD_BYTES

    def _note(self, entry: LogEntry, state: TxnState | None, participants: tuple[int, ...]) -> None:
        """Keep the transaction's state up to date."""
        txn, kind = entry.txn, entry.kind
        if kind == EntryKind.FORGET:
            for other in decode_txns(entry.payload):
                known = self.txns.get(other)
                if known is not None and not known.forgotten_lsn:
                    self._put(other, known._replace(forgotten_lsn=entry.lsn))
        elif kind == EntryKind.PREPARE:
            assert txn is not None
            participants = decode_payload(entry.payload).participants
            first = 0 if state is None else state.first_part_lsn
            made = TxnState(entry.lsn, 0, False, participants, 0, first)
            self._put(txn, made)
            self._prepare_bytes[txn] = (
                self._promised_bytes(txn, made) if first else len(entry.payload)
            )
        elif kind == EntryKind.PART:
            assert txn is not None
            if state is None:
                self._put(txn, TxnState(0, 0, False, (), 0, entry.lsn))
        elif kind in (EntryKind.ABORT, EntryKind.COMMIT):
            assert txn is not None
            known = state or TxnState(0, 0, False, (), 0)
            decided = known._replace(
                decided_lsn=entry.lsn,
                committed=kind == _COMMIT,
                participants=participants or known.participants,
            )
            self._put(txn, decided)
            self._prepare_bytes.pop(txn, None)

    def _put(self, txn: TxnId, state: TxnState) -> None:
        self._change(txn, state)
        if state.decided_lsn or state.forgotten_lsn:
            self._ends.append((max(state.decided_lsn, state.forgotten_lsn), txn))

    def put_later(self, later: Later | None) -> None:
        """How far a COMMIT is that takes effect later; None: there is none."""
        if later is None:
            self._execute("DELETE FROM _meta WHERE key = 'later'")
        else:
            text = "INSERT OR REPLACE INTO _meta VALUES ('later', ?)"
            self._execute(text, (encode_later(later),))
        self.later = later

    def take_back(self, entry: LogEntry) -> None:
        """Remove the tail entry and what `append` noted. Raises LogGapError, apsw.Error."""
        if entry.lsn != self.tail_lsn or entry.term != self.tail_term:
            raise LogGapError(
                f"entry ({entry.term}, {entry.lsn}) is not the tail "
                f"({self.tail_term}, {self.tail_lsn})"
            )
        txn = entry.txn
        self._ends_stale = True
        state = self.txns.get(txn) if txn is not None else None
        if entry.kind == EntryKind.FORGET:
            for other, known in list(self.txns.items()):
                if known.forgotten_lsn == entry.lsn:
                    self._put(other, known._replace(forgotten_lsn=0))
        elif txn is not None and state is not None:
            if state.decided_lsn == entry.lsn and (state.prepare_lsn or state.first_part_lsn):
                state = state._replace(decided_lsn=0, committed=False)
                self._put(txn, state)
                if state.prepare_lsn:
                    self._prepare_bytes[txn] = self._promised_bytes(txn, state)
            elif state.prepare_lsn == entry.lsn and state.first_part_lsn:
                self._put(txn, state._replace(prepare_lsn=0, participants=()))
                self._prepare_bytes.pop(txn, None)
            elif entry.lsn in (state.decided_lsn, state.prepare_lsn, state.first_part_lsn):
                self._change(txn, None)
                self._prepare_bytes.pop(txn, None)
        self._execute("DELETE FROM _log WHERE lsn = ?", (entry.lsn,))
        self.bytes -= len(entry.payload) + ROW_OVERHEAD_BYTES
        self._read_tail()

    # -- looking up --------------------------------------------------------------------------------
    def prepare_of(self, state: TxnState) -> TxnPayload:
        """What a transaction's PREPARE carries. Raises CorruptElementError."""
        entry = entry_at(self._connection, state.prepare_lsn)
        if entry is None or entry.kind != EntryKind.PREPARE:
            raise CorruptElementError(f"the PREPARE at {state.prepare_lsn} is not in the log")
        return decode_payload(entry.payload)

    def changes_of(self, payload: TxnPayload) -> Iterator[Sequence[RowChange]]:
        """The changes of a COMMIT or PREPARE in pieces, PARTs included. CorruptElementError."""
        for lsn in payload.parts:
            yield from self.part(lsn)
        yield from row_changes.decode_slices(payload.changes)

    def at(self, lsn: int) -> LogEntry:
        """The entry at a position. Raises CorruptElementError."""
        entry = entry_at(self._connection, lsn)
        if entry is None:
            raise CorruptElementError(f"entry {lsn} is not in the log")
        return entry

    def part(self, lsn: int) -> Iterator[Sequence[RowChange]]:
        """The changes in a PART, in pieces. Raises CorruptElementError."""
        entry = entry_at(self._connection, lsn)
        if entry is None or entry.kind != EntryKind.PART:
            raise CorruptElementError(f"the PART at {lsn} is not in the log")
        return row_changes.decode_slices(decode_payload(entry.payload).changes)

    def prepared(self) -> list[PreparedTxn]:
        """Prepared and undecided transactions, oldest first."""
        found: list[PreparedTxn] = []
        for txn, state in sorted(self.txns.items(), key=lambda item: item[1].prepare_lsn):
            if state.prepare_lsn and not state.decided_lsn:
                entry = entry_at(self._connection, state.prepare_lsn)
                if entry is None:
                    raise CorruptElementError(f"the PREPARE at {state.prepare_lsn} is missing")
                found.append(PreparedTxn(txn, entry, decode_payload(entry.payload)))
        return found

    def prepared_bytes(self) -> int:
        """Payload of the prepared transactions: room their COMMITs will need."""
        return sum(self._prepare_bytes.values())

    def decisions(self) -> list[Decision]:
        """Decisions that have to be looked after here, oldest first."""
        known = ((txn, self.txns[txn]) for txn in self._unforgotten)
        found = [Decision(txn, s.committed, s.decided_lsn, s.participants) for txn, s in known]
        return sorted(found, key=lambda decision: decision.lsn)

    def outcome(self, connection: apsw.Connection, txn: TxnId) -> str | None:
        """ "committed", "aborted", "prepared", None: nothing known, so it never had a COMMIT here;
        "forgotten": it may have had one, so long ago that nobody can say any more.
        """
        state = self.txns.get(txn)
        if state is not None:
            if not state.decided_lsn:
                return "prepared" if state.prepare_lsn else None
            return "committed" if state.committed else "aborted"
        entry = self.find(connection, txn)
        if entry is not None:
            return "aborted" if entry.kind == EntryKind.ABORT else "committed"
        if past.committed(connection.execute, txn, self.cut.lsn) is not None:
            return "committed"
        forgotten = past.may_be_forgotten(connection.execute, txn, self.cut.lsn)
        return "forgotten" if forgotten else None

    def find(self, connection: apsw.Connection, txn: TxnId) -> LogEntry | None:
        """The newest entry of a transaction that is still kept and that the connection sees."""
        key = encode_txn(txn)
        lsn = self._recent.get(key)
        if lsn is not None and lsn > self.cut.lsn:
            entry = entry_at(connection, lsn)
            if entry is not None and entry.txn == txn:
                return entry
        elif self._recent_from <= self.cut.lsn + 1:
            return None
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM _log WHERE txn = ? ORDER BY lsn DESC LIMIT 1", (key,)
        ).fetchone()
        return None if row is None else entry_of(row)

    # -- cutting -----------------------------------------------------------------------------------
    def cut_below(
        self, below_lsn: int, entries_max: int, undo_after: int | None
    ) -> tuple[int, bool]:
        """Remove entries below a position, except what an undo of a kept entry needs.

        `undo_after`: no entry up to this LSN will ever be undone; None: every kept one may be.
        Returns the newest LSN removed now (0: none) and whether there are more to remove.
        """
        if self._ends_stale:
            self._sort_ends()
        below = min(below_lsn, self.tail_lsn + 1)
        while True:
            lowest = self._lowest_needed(below, below - 1 if undo_after is None else undo_after)
            if lowest >= below:
                break
            below = lowest
        last = min(below - 1, self.cut.lsn + entries_max)
        if last <= self.cut.lsn:
            return 0, False
        payload_bytes, count = self._execute(
            f"SELECT SUM(LENGTH(payload) + {ROW_OVERHEAD_BYTES}), COUNT(*) "
            "FROM _log WHERE lsn <= ?",
            (last,),
        ).fetchone()
        if count != last - self.cut.lsn:
            raise CorruptElementError(f"the log has a hole between {self.cut.lsn} and {last}")
        (term,) = self._execute("SELECT term FROM _log WHERE lsn = ?", (last,)).fetchone()
        past.remember(self._execute, self._executemany, last)
        promised = self._execute(_PROMISES, (last,)).fetchall()
        self._execute("DELETE FROM _log WHERE lsn <= ?", (last,))
        self._execute("INSERT OR REPLACE INTO _meta VALUES ('cut', ?)", (f"{term} {last}",))
        self.bytes -= payload_bytes
        self.cut = LogPosition(term, last)
        final = max(last, undo_after or 0)
        self._forget_ended(last, final, {decode_txn(txn) for (txn,) in promised})
        return last, last < below - 1

    def _forget_ended(self, last: int, final: int, promised: set[TxnId]) -> None:
        """Forget transactions that are over; have rows in `_txn` for others that were cut into.

        Entries up to `last` were cut, PREPAREs and PARTs of `promised` among them. No entry up to
        `final` will ever be undone. Only transactions with a cut entry are looked at: those of
        `promised`, and those at the front of `_ends`, which have a decision or FORGET up to `last`.
        """
        touched, ends, known = promised, self._ends, self.txns
        while ends and ends[0][0] <= last:
            touched.add(ends.popleft()[1])
        for txn in touched:
            state = known.get(txn)
            if state is not None and self._is_over(state, last, final):
                self._change(txn, None)
        stored = self._stored
        changed = [txn for txn in touched if txn in known or txn in stored]
        if changed:
            stored_txns.put(self._executemany, changed, known, last)
            stored.difference_update(changed)
            stored.update(txn for txn in changed if txn in known)

    def _sort_ends(self) -> None:
        ends = [
            (lsn, txn)
            for txn, state in self.txns.items()
            for lsn in (state.decided_lsn, state.forgotten_lsn)
            if lsn
        ]
        self._ends = deque(sorted(ends))
        self._stored = stored_txns.names(self._execute)
        self._ends_stale = False

    def _lowest_needed(self, below: int, undo_after: int) -> int:
        """The oldest PREPARE whose transaction is undecided or whose decision may be undone."""
        for txn in self._prepare_bytes:
            below = min(below, self.txns[txn].prepare_lsn)
        for lsn in self.open_parts.values():
            below = min(below, lsn)
        if self.later is not None:
            below = min(below, self.later.first_lsn)
        for lsn, txn in reversed(self._ends):
            if lsn <= undo_after:
                break
            state = self.txns.get(txn)
            if state is not None and state.decided_lsn > undo_after:
                below = min(below, state.first_part_lsn or state.prepare_lsn or below)
        return below

    def _is_over(self, state: TxnState, last: int, final: int) -> bool:
        """Nobody can ask about the transaction any more, and no undo can need its row.

        last: the newest entry that was cut; final: the newest that will never be undone.
        """
        if not 0 < state.decided_lsn <= last:
            return False
        if state.forgotten_lsn:
            return state.forgotten_lsn <= final
        if not state.committed or self._replica_set == 0:
            return False
        return not state.participants or state.participants[0] != self._replica_set
