"""What the replica set machine asks its driver to do, in this order. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from membership.port import SetState
from protocol.messages.replication import HandOver, MachineMessage


@dataclass
class Send:
    """Send a message to an element of the replica set; its reply goes to `arrived`."""

    to: int
    message: MachineMessage


@dataclass
class Reply:
    """Answer the message that is being handled."""

    message: MachineMessage


@dataclass
class Store:
    """Apply and commit the entries of `body` after LSN `after`. On failure call `log_changed`.

    Nothing that follows in the list may be done if it fails.
    """

    body: bytes
    after: int
    commit_lsn: int


@dataclass
class CheckHeld:
    """Compare the entries of `body` up to `upto` with those held: equal, or the copy is corrupt."""

    body: bytes
    upto: int


@dataclass
class Undo:
    """Take back the entries beyond LSN `after`, newest first, and commit. On failure as Store."""

    after: int


@dataclass
class SetCommitPoint:
    """Remember up to which LSN the lead has committed."""

    lsn: int


@dataclass
class ReadLog:
    """Read committed entries after LSN `after` and call `log_read`."""

    to: int
    after: int


@dataclass
class CommitBatch:
    """All copies have the batch: let the writer commit it."""


@dataclass
class FailBatch:
    """The term is over while a batch was on its way: the outcome of its entries is unknown."""


@dataclass
class LeadGained:
    """The own log is the truth on all in-sync copies: serve."""

    term: int
    in_sync: tuple[int, ...]
    luggage: bytes


@dataclass
class LeadLost:
    """Stop serving, roll back what is open."""


@dataclass
class Release:
    """LeadLost with a successor: pack the luggage, stop serving, then send `message`."""

    to: int
    message: HandOver


@dataclass
class CreateSet:
    """create_set; the answer goes to `set_answered` or `set_unanswered`."""

    new: SetState


@dataclass
class CompareAndSet:
    """compare_and_set; the answer goes to `set_answered` or `set_unanswered`."""

    expected: SetState
    new: SetState


@dataclass
class ReadSet:
    """read_set; the answer goes to `set_answered` or `set_unanswered`."""


@dataclass
class MarkInSync:
    """The element may count itself in sync from now on, over restarts."""


@dataclass
class ForceSync:
    """True: flush each commit, because this is the only up-to-date copy."""

    forced: bool


@dataclass
class PullSnapshot:
    """Fetch a snapshot from that element and load it, then call `log_changed`."""

    source: int
    term: int


Action = (
    Send
    | Reply
    | Store
    | CheckHeld
    | Undo
    | SetCommitPoint
    | ReadLog
    | CommitBatch
    | FailBatch
    | LeadGained
    | LeadLost
    | Release
    | CreateSet
    | CompareAndSet
    | ReadSet
    | MarkInSync
    | ForceSync
    | PullSnapshot
)
