"""What instances tell of their transactions, put together: one line per transaction. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.ids import TxnId

OPEN, PREPARED, IN_DOUBT, FAILED = "open", "prepared", "in doubt", "failed"
CONNECTION = 1  # second part of a shown id: TimesTen's has a connection there, ours no need of one


@dataclass(slots=True)
class GridTransaction:
    """One transaction as the whole grid knows it. Ages in milliseconds.

    `state`: open (it runs), failed (it can only roll back), prepared (its commit is under way), in
    doubt (prepared, and its coordinator does not know it or does not answer).
    """

    id: TxnId
    state: str = OPEN
    age_ms: int = 0
    prepared_ms: int = 0  # for how long it has been prepared
    participants: set[int] = field(default_factory=set)  # replica sets
    prepared_at: set[int] = field(default_factory=set)
    rows: int = 0  # changed and not committed
    locks: int = 0
    waits_for: set[TxnId] = field(default_factory=set)
    waits_on: str = ""  # the lock
    is_coordinated: bool = False  # an instance that answered coordinates it

    @property
    def coordinator(self) -> int:
        """The element of the connection that began it."""
        return self.id.element


@dataclass(frozen=True, slots=True)
class At:
    """A transaction at one replica set."""

    id: TxnId
    rs: int
    is_prepared: bool
    age_ms: int
    prepared_ms: int
    participants: tuple[int, ...]
    rows: int
    locks: int
    waits_for: tuple[TxnId, ...]
    waits_on: str


@dataclass(frozen=True, slots=True)
class Coordinated:
    """A transaction at the instance of its client."""

    id: TxnId
    age_ms: int
    participants: tuple[int, ...]
    has_failed: bool


def put_together(parts: Iterable[At | Coordinated]) -> list[GridTransaction]:
    """One per transaction, the oldest first."""
    found: dict[TxnId, GridTransaction] = {}
    for part in parts:
        one = found.setdefault(part.id, GridTransaction(part.id))
        one.age_ms = max(one.age_ms, part.age_ms)
        one.participants.update(part.participants)
        if isinstance(part, Coordinated):
            one.is_coordinated = True
            if part.has_failed:
                one.state = FAILED
            continue
        one.participants.add(part.rs)
        one.rows += part.rows
        one.locks += part.locks
        one.waits_for.update(part.waits_for)
        one.waits_on = one.waits_on or part.waits_on
        if part.is_prepared:
            one.prepared_at.add(part.rs)
            one.prepared_ms = max(one.prepared_ms, part.prepared_ms)
    for one in found.values():
        if one.prepared_at:
            one.state = PREPARED if one.is_coordinated else IN_DOUBT
    return sorted(found.values(), key=lambda one: (-one.age_ms, one.id))


def shown(txn: TxnId) -> str:
    """As TimesTen shows a global transaction id: element.connection.counter."""
    return f"{txn.element}.{CONNECTION}.{txn.counter}"


def shown_all(txns: Iterable[TxnId]) -> str:
    """Several, in order."""
    return ", ".join(shown(txn) for txn in sorted(txns))


def shown_sets(numbers: Iterable[int]) -> str:
    """Numbers of replica sets, in order."""
    return ", ".join(str(number) for number in sorted(numbers))
