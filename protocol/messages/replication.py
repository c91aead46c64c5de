"""The conversation inside one replica set: a lead and its copies. Positional structs, types only.

Each message names its database and replica set, because one connection carries all of them, and
its sender's element. Messages of a lead carry its term and incarnation; a copy that knows a newer
term refuses them. `sent_us` (sender's CLOCK_BOOTTIME, microseconds) comes back in the answer: the
lead's lease counts from there (design §3, rule 1). A *span* is (term, first LSN, last LSN).
"""

from __future__ import annotations

import msgspec

from protocol.messages.registry import message

Span = tuple[int, int, int]
Position = tuple[int, int]  # (term, lsn)


# -- lead -> copy ---------------------------------------------------------------------------------
@message
class Append(msgspec.Struct, frozen=True, array_like=True, tag="replication.append"):
    """Put these entries behind `previous`. Reply: Acked, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the lead
    sent_us: int
    commit_lsn: int  # entries up to here are committed by the lead
    previous: Position
    spans: tuple[Span, ...]  # of the entries in `body`
    body: bytes  # msgpack of a list of data.storage.entry.LogEntry, encoded once for all copies
    parts: int = 0  # > 0: `body` is empty and came before, in so many Part messages


@message
class Part(msgspec.Struct, frozen=True, array_like=True, tag="replication.part"):
    """A piece of the body of an Append that is too large for one frame. No reply.

    `last_lsn` names the Append. They arrive in order on one connection, or the Append is refused.
    """

    db: str
    rs: int
    sender: int
    term: int
    last_lsn: int
    number: int  # from 0
    data: bytes


@message
class Beacon(msgspec.Struct, frozen=True, array_like=True, tag="replication.beacon"):
    """The lead lives. Reply: Acked, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str
    sent_us: int
    commit_lsn: int
    welcome: int  # the ticket of the copy's Whereabouts once it is in sync in ZooKeeper; 0: not


@message
class Probe(msgspec.Struct, frozen=True, array_like=True, tag="replication.probe"):
    """Say what your log holds; take no entries before a Join. Reply: Whereabouts, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str
    sent_us: int


@message
class Join(msgspec.Struct, frozen=True, array_like=True, tag="replication.join"):
    """Undo what you have beyond `common`; take entries from here on. Reply: Acked, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str
    sent_us: int
    ticket: int  # of the Whereabouts it answers: an older or repeated one undoes nothing
    common: Position


@message
class TakeSnapshot(msgspec.Struct, frozen=True, array_like=True, tag="replication.take_snapshot"):
    """What you lack is no longer in my log: fetch a snapshot of me. Reply: Acked, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str
    sent_us: int
    ticket: int


@message
class HandOver(msgspec.Struct, frozen=True, array_like=True, tag="replication.hand_over"):
    """I have stopped serving: take the lead now (planned hand-over). Reply: Acked, or Refused."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str
    sent_us: int
    tail: Position
    counter: int  # of the set's value in force; with in_sync: no stale expectation at the copy
    in_sync: tuple[int, ...]
    writer: str
    luggage: bytes = b""  # opaque here: open workspaces and locks (data/txn)


# -- copy -> lead ---------------------------------------------------------------------------------
@message
class Acked(msgspec.Struct, frozen=True, array_like=True, tag="replication.acked"):
    """I have the lead's log up to `lsn` (0: this is no statement about the log)."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the copy
    sent_us: int  # of the message this answers
    lsn: int


@message
class Refused(msgspec.Struct, frozen=True, array_like=True, tag="replication.refused"):
    """Not done. `term` newer than the lead's: the lead's is over. Else: probe me again."""

    db: str
    rs: int
    sender: int
    term: int  # the newest the copy knows
    incarnation: str  # of the copy
    sent_us: int  # of the message this answers
    asked_term: int  # of the message this answers


@message
class Whereabouts(msgspec.Struct, frozen=True, array_like=True, tag="replication.whereabouts"):
    """What a copy's log holds."""

    db: str
    rs: int
    sender: int
    term: int  # of the Probe
    incarnation: str  # of the copy
    sent_us: int  # of the Probe
    ticket: int
    start: Position  # entries up to here are no longer kept
    spans: tuple[Span, ...]  # the newest 256
    damaged: bool  # it must not count itself in sync, whatever ZooKeeper says
    busy: bool  # it is fetching a snapshot: ask again later


@message
class Leave(msgspec.Struct, frozen=True, array_like=True, tag="replication.leave"):
    """I am stopping: take me out of the in-sync copies. Reply: Acked."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the copy
    sent_us: int


@message
class Hello(msgspec.Struct, frozen=True, array_like=True, tag="replication.hello"):
    """I am here and follow nobody yet: probe me. Reply: Acked."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the copy
    sent_us: int


# -- copy -> lead: leave to answer reads -----------------------------------------------------------
@message
class AskRead(msgspec.Struct, frozen=True, array_like=True, tag="replication.ask_read"):
    """May I answer reads? Reply: MayRead. Copy of `term`'s lead."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the copy
    sent_us: int


@message
class MayRead(msgspec.Struct, frozen=True, array_like=True, tag="replication.may_read"):
    """For a quarter of the session timeout from `sent_us` on, while your log ends there."""

    db: str
    rs: int
    sender: int
    term: int
    incarnation: str  # of the lead
    copy: str  # incarnation of the copy that asked
    sent_us: int  # of the AskRead
    commit_lsn: int  # entries up to here are committed by the lead; -1: no leave


# -- copy <-> copy: whose log is longest ----------------------------------------------------------
@message
class AskTail(msgspec.Struct, frozen=True, array_like=True, tag="replication.ask_tail"):
    """I want to lead after `term`: where does your log end? Reply: TailIs."""

    db: str
    rs: int
    sender: int
    term: int


@message
class TailIs(msgspec.Struct, frozen=True, array_like=True, tag="replication.tail_is"):
    """Where the sender's log ends and whether it may lead itself."""

    db: str
    rs: int
    sender: int
    asked_term: int
    term: int  # the newest the sender knows
    tail: Position
    eligible: bool


# -- snapshot copy, pulled by the copy -------------------------------------------------------------
@message
class OpenSnapshot(msgspec.Struct, frozen=True, array_like=True, tag="replication.open_snapshot"):
    """Make a snapshot for me. Reply: SnapshotOpened."""

    db: str
    rs: int
    sender: int
    term: int


@message
class SnapshotOpened(
    msgspec.Struct, frozen=True, array_like=True, tag="replication.snapshot_opened"
):
    """A snapshot file is there; fetch it before it is forgotten (silence of 30 s)."""

    db: str
    rs: int
    snapshot: int
    size_bytes: int
    tail: Position


@message
class FetchChunk(msgspec.Struct, frozen=True, array_like=True, tag="replication.fetch_chunk"):
    """Read from a snapshot file. `offset` at its end closes it. Reply: Chunk."""

    db: str
    rs: int
    snapshot: int
    offset: int


@message
class Chunk(msgspec.Struct, frozen=True, array_like=True, tag="replication.chunk"):
    """Bytes of a snapshot file with their xxHash64; empty at the end."""

    db: str
    rs: int
    snapshot: int
    offset: int
    data: bytes
    checksum: int


LeadMessage = Append | Beacon | Probe | Join | TakeSnapshot | HandOver
CopyMessage = Acked | Refused | Whereabouts | Leave | Hello
MachineMessage = LeadMessage | CopyMessage | AskRead | MayRead | AskTail | TailIs
