"""What a simulated replica set (replication_world.py) is made of: entries, elements, instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from data.replication.log_shape import LogShape
from data.replication.replica_set import ReplicaSet
from data.storage.touched import Touched
from protocol.ids import LogPosition

KEYS = 5


@dataclass(frozen=True)
class Entry:
    term: int
    lsn: int
    key: int
    before: int  # image before: an undo must find the image after
    value: int


_decode = msgspec.msgpack.Decoder(list[Entry]).decode


def body_of(entries: Sequence[Entry]) -> bytes:
    """What machines carry; what is in it is nothing to them."""
    return msgspec.msgpack.encode(entries) if entries else b""


def entries_of(body: bytes) -> list[Entry]:
    """What is in a body."""
    return _decode(body) if body else []


@dataclass
class Store:
    """What an element has on disk."""

    log: list[Entry] = field(default_factory=list)
    start: LogPosition = LogPosition(0, 0)  # noqa: RUF009
    cut: int = 0  # entries of `log` that are cut: log[:cut] is unreadable
    rows: list[int] = field(default_factory=lambda: [0] * KEYS)
    damaged: bool = True
    flushed: int = 0
    forced: bool = False

    def shape(self) -> LogShape:
        return LogShape(self.start, [(e.term, e.lsn, e.lsn) for e in self.log[self.cut :]])

    def tail(self) -> LogPosition:
        return LogPosition(self.log[-1].term, self.log[-1].lsn) if self.log else LogPosition(0, 0)

    def apply(self, entry: Entry) -> None:
        assert entry.lsn == len(self.log) + 1, "a gap in the log"
        assert self.rows[entry.key] == entry.before, "image before not found"
        self.log.append(entry)
        self.rows[entry.key] = entry.value
        if self.forced:
            self.flushed = len(self.log)

    def undo_to(self, lsn: int) -> None:
        assert lsn >= self.cut, "cut entries cannot be undone"
        while len(self.log) > lsn:
            entry = self.log.pop()
            assert self.rows[entry.key] == entry.value, "image after not found"
            self.rows[entry.key] = entry.before
        self.flushed = min(self.flushed, lsn)

    def cut_to(self, lsn: int) -> None:
        if self.cut < lsn <= len(self.log):
            self.cut = lsn
            self.start = LogPosition(self.log[lsn - 1].term, lsn)


@dataclass
class Node:
    """One instance with its element."""

    element: int
    store: Store = field(default_factory=Store)
    touched: Touched = field(default_factory=lambda: Touched(0))  # a key is a bucket of its own
    life: int = 0
    up: bool = False
    paused: bool = False
    waiting: list[Callable[[], None]] = field(default_factory=list)
    machine: ReplicaSet | None = None
    batch: list[Entry] | None = None
    session: int = 0
    has_session: bool = False
    contact_s: float = 0.0
    zk_cut: bool = False
    slow_view: bool = False
    view_due: bool = False
    heard_s: dict[str, float] = field(default_factory=dict)  # instance -> answered last

    @property
    def name(self) -> str:
        return f"host{self.element}"

    @property
    def incarnation(self) -> str:
        return f"{self.name}#{self.life}"
