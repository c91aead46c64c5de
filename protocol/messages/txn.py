"""Coordinator ↔ participants: the end of a transaction, and what became of it."""

from __future__ import annotations

import msgspec

from protocol.ids import TxnId
from protocol.messages import registry
from protocol.transactions import At, Coordinated


class UndoStatement(msgspec.Struct, frozen=True, array_like=True, tag="txn.undo"):
    """Undo everything of the transaction here after statement `number`. Reply: Acknowledged."""

    db: str
    rs: int
    term: int
    txn: TxnId
    number: int


class CommitSingle(msgspec.Struct, frozen=True, array_like=True, tag="txn.commit"):
    """Commit a transaction that only this replica set has not prepared. Reply: Acknowledged.

    `statements`: how many it ran here; a lead that does not hold exactly that workspace answers
    WorkspaceLostError. `participants`: () if it took part alone; else this is the anchor, named
    first, all others have voted, and the COMMIT is the decision.
    """

    db: str
    rs: int
    term: int
    txn: TxnId
    statements: int
    ddl: bytes = b""
    participants: tuple[int, ...] = ()


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="txn.prepare"):
    """Make the transaction ready to commit: log and replicate it, keep its locks. Reply: Voted.

    `participants`: replica sets, the anchor first. A repeated Prepare is answered from the log.
    """

    db: str
    rs: int
    term: int
    txn: TxnId
    statements: int
    participants: tuple[int, ...]
    ddl: bytes = b""


class Decide(msgspec.Struct, frozen=True, array_like=True, tag="txn.decide"):
    """The decision on a prepared transaction; at the anchor it is the commit point.

    Reply: Acknowledged, once the record is below the commit point. Repeats are harmless.
    """

    db: str
    rs: int
    txn: TxnId
    commit: bool
    participants: tuple[int, ...] = ()


class Forget(msgspec.Struct, frozen=True, array_like=True, tag="txn.forget"):
    """Every participant has acknowledged these decisions; the lead may drop them.

    Reply: Acknowledged.
    """

    db: str
    rs: int
    txns: tuple[TxnId, ...]


class RollBack(msgspec.Struct, frozen=True, array_like=True, tag="txn.rollback"):
    """The transaction is over, nothing of it may stay. Unprepared workspaces only.

    Reply: Acknowledged, by the lead; a transaction that it does not have is over there. One way
    where it only ends the wait for a lock.
    """

    db: str
    rs: int
    txn: TxnId


class AskOutcome(msgspec.Struct, frozen=True, array_like=True, tag="txn.ask"):
    """What became of a transaction? A lead that has nothing writes ABORT first. Reply: Outcome.

    `in_doubt`: the asker holds its PREPARE undecided. Then an anchor that has nothing did not
    commit it, however old it is.
    """

    db: str
    rs: int
    txn: TxnId
    in_doubt: bool = False


class Outcome(msgspec.Struct, frozen=True, array_like=True, tag="txn.outcome"):
    """`state`: "committed", "aborted" or "forgotten": committed too long ago to know, or never.

    `changes`: rows the COMMIT record changed, -1: that is forgotten.
    """

    state: str
    changes: int = 0


class PeekOutcomes(msgspec.Struct, frozen=True, array_like=True, tag="txn.peek"):
    """Which of these transactions are committed here? Writes nothing. Reply: Committed."""

    db: str
    rs: int
    txns: tuple[TxnId, ...]


class Committed(msgspec.Struct, frozen=True, array_like=True, tag="txn.committed"):
    """Reply to PeekOutcomes: those of them that are."""

    txns: tuple[TxnId, ...]


class HoldPrepares(msgspec.Struct, frozen=True, array_like=True, tag="txn.hold"):
    """Let new PREPAREs wait for so long: a reader finds no moment without. Reply: Acknowledged."""

    db: str
    rs: int
    for_ms: int


class Acknowledged(msgspec.Struct, frozen=True, array_like=True, tag="txn.ack"):
    """Done."""

    term: int = 0


class Voted(msgspec.Struct, frozen=True, array_like=True, tag="txn.voted"):
    """Prepared: a participant that cannot prepare fails the request instead."""

    term: int


class AskOpen(msgspec.Struct, frozen=True, array_like=True, tag="txn.ask_open"):
    """A lead asks a coordinator which of these transactions still go on. Reply: StillOpen.

    For workspaces that were not used for a while: the message that ended them may have been lost.
    """

    db: str
    txns: tuple[TxnId, ...]


class StillOpen(msgspec.Struct, frozen=True, array_like=True, tag="txn.still_open"):
    """Reply to AskOpen: those of them that do."""

    txns: tuple[TxnId, ...]


class AskWaits(msgspec.Struct, frozen=True, array_like=True, tag="txn.ask_waits"):
    """Who waits for locks at this lead? Reply: Waits. For deadlocks over several leads."""

    db: str
    rs: int


class WaitEdge(msgspec.Struct, frozen=True, array_like=True):
    """A wait and whom it is for. `number` names it as long as the lead's term lasts."""

    number: int
    txn: TxnId
    gives_way: bool  # an autocommit statement
    blockers: tuple[TxnId, ...]


class Waits(msgspec.Struct, frozen=True, array_like=True, tag="txn.waits"):
    """Reply to AskWaits."""

    rs: int
    term: int
    waits: tuple[WaitEdge, ...]


class EndWait(msgspec.Struct, frozen=True, array_like=True, tag="txn.end_wait"):
    """One way: this wait is part of a deadlock and was chosen to end it. Harmless if it is over."""

    db: str
    rs: int
    term: int
    txn: TxnId
    number: int


class ListTransactions(msgspec.Struct, frozen=True, array_like=True, tag="txn.list"):
    """Open and prepared transactions at this element, and of its clients. Reply:
    TransactionList."""

    db: str


class TransactionState(msgspec.Struct, frozen=True, array_like=True):
    """One transaction at one replica set; `age_ms` since its first statement here."""

    txn: TxnId
    state: str  # "open" | "prepared"
    age_ms: int
    participants: tuple[int, ...]
    rows: int
    prepared_ms: int = 0
    locks: int = 0
    waits_for: tuple[TxnId, ...] = ()
    waits_on: str = ""  # the lock, as lock tables name it


class CoordinatedState(msgspec.Struct, frozen=True, array_like=True):
    """One transaction of a client of this instance."""

    txn: TxnId
    age_ms: int
    participants: tuple[int, ...]
    failed: bool


class TransactionList(msgspec.Struct, frozen=True, array_like=True, tag="txn.listed"):
    """Reply to ListTransactions."""

    transactions: tuple[TransactionState, ...]  # here, if this element leads its replica set
    rs: int = 0  # the replica set of this element
    coordinated: tuple[CoordinatedState, ...] = ()


def parts_of(answer: TransactionList) -> list[At | Coordinated]:
    """What an instance told, for protocol/transactions.py."""
    return [
        *(
            At(
                t.txn,
                answer.rs,
                t.state == "prepared",
                t.age_ms,
                t.prepared_ms,
                t.participants,
                t.rows,
                t.locks,
                t.waits_for,
                t.waits_on,
            )
            for t in answer.transactions
        ),
        *(Coordinated(c.txn, c.age_ms, c.participants, c.failed) for c in answer.coordinated),
    ]


registry.declare_module(__name__)
