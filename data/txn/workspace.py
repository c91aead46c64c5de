"""An open transaction's state at one lead: its row changes, locks' owner, statement answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.own import OwnPiece, part_at
from protocol.errors import GridError
from protocol.ids import TxnId
from protocol.messages.sql import Ran


class Piece(NamedTuple):
    """Row changes that wait for their way into the log."""

    length: int  # how many
    load: Callable[[], bytes]  # encoded


class Part(NamedTuple):
    """Row changes that are in the log already, as a PART entry."""

    lsn: int
    length: int  # how many


class OwnChanges(NamedTuple):
    """Everything a large transaction has changed here, when it is in the log but for a little."""

    parts: tuple[Part, ...]
    changes: tuple[RowChange, ...]  # after those
    cuts: int  # how often it has gone back

    def pieces(self) -> list[OwnPiece]:
        """For OwnView.lay_pieces."""
        made: list[OwnPiece] = [(part.length, part_at(part.lsn)) for part in self.parts]
        return [*made, (len(self.changes), partial(_kept, self.changes))]


@dataclass
class Workspace:
    """The uncommitted changes of one transaction here, as long as it is open or prepared.

    The oldest changes of a large one are in PART entries of the log, then come those that wait for
    their way there, and the newest are in memory.
    """

    txn: TxnId
    term: int  # in which it first came here; every later request names it
    started_s: float
    used_s: float = 0.0  # of the newest statement or read
    prepared_s: float = 0.0  # when it was prepared (or found prepared), 0.0: it is not
    parts: list[Part] = field(default_factory=list)
    queue: deque[Piece] = field(default_factory=deque)  # after those in `parts`
    changes: list[RowChange] = field(default_factory=list)  # the newest
    cuts: int = 0  # how often some of them were taken back
    statements: int = 0
    marks: list[int] = field(default_factory=list)  # marks[n]: changes before statement n + 1
    last_answer: Ran | None = None
    in_one_piece: int = 0  # the statement that is not to be done in slices again
    later: bool = False  # its COMMIT is in the log, and takes effect bit by bit (later.py)
    in_batch: bool = False  # its PREPARE or its decision is in a batch that is not committed yet
    participants: tuple[int, ...] = ()
    ddl: bytes = b""
    complete: bool = True  # while resident: all changes are in the SQLite transaction
    unplaced_bytes: int = 0  # of blocks that were never in the SQLite transaction
    held_bytes: int = 0  # of blocks in the queue that wait for more; 0: there is something else
    in_log: bool = False  # there are PARTs of it, perhaps none that still counts
    shrinking: bool = False  # `changes` has grown long and moves to the log
    failed: GridError | None = None  # it could not: the transaction can only roll back
    when_small: list[Callable[[], None]] = field(default_factory=list)
    anchor_decides: bool = False  # the log went back to an epoch since: its coordinator is too late
    adds: bool = False  # some of the changes are to tables that its DDL makes: never brought in
    whole: set[int] = field(default_factory=set)  # tables it has locked: their rows need no locks

    def own_changes(self) -> OwnChanges:
        """Everything so far; nothing may be on its way to the log."""
        assert not self.queue
        return OwnChanges(tuple(self.parts), tuple(self.changes), self.cuts)

    def __post_init__(self) -> None:
        self.used_s = self.used_s or self.started_s

    @property
    def prepared(self) -> bool:
        """It waits for its decision, or for the effect of that: nothing can be added or undone."""
        return self.prepared_s > 0.0 or self.later

    @property
    def in_parts(self) -> int:
        """How many changes are in the log."""
        return sum(part.length for part in self.parts)

    @property
    def rows(self) -> int:
        """How many changes there are."""
        return self.in_parts + sum(p.length for p in self.queue) + len(self.changes)

    def add_pieces(self, pieces: Iterable[Piece]) -> None:
        """Append changes that are encoded already."""
        self.held_bytes = 0
        self.line_up(len(self.changes))
        self.queue.extend(pieces)

    def add_block(self, length: int, encoded: bytes) -> None:
        """Append changes that stay as they came."""
        held = self.held_bytes if self.queue else 0
        self.add_pieces([Piece(length, partial(_same, encoded))])
        self.held_bytes = held + len(encoded)

    def line_up(self, count: int) -> None:
        """The oldest `count` changes in memory become pieces."""
        size = row_changes.PIECE
        for at in range(0, count, size):
            some = self.changes[at : min(at + size, count)]
            self.queue.append(Piece(len(some), partial(_same, row_changes.encode(some))))
        del self.changes[:count]

    def cut(self, number: int, read: Callable[[int], list[RowChange]]) -> int:
        """Forget everything after statement `number`; returns how many changes that were.

        `read` gives the changes of the PART at an LSN: one that is cut in the middle ends.
        """
        if number >= self.statements:
            return 0
        gone = self.cut_to(self.marks[number], read)
        del self.marks[number:]
        self.statements = number
        self.last_answer = None
        return gone

    def cut_to(self, at: int, read: Callable[[int], list[RowChange]]) -> int:
        """Forget all but the oldest `at` changes; returns how many. `read`: as above."""
        before = self.rows
        self.cuts += at < before
        left = before - len(self.changes)
        if at >= left:
            del self.changes[at - left :]
        else:
            self.changes = []
            while at < left:
                if self.queue:
                    piece = self.queue.pop()
                    length, load = piece.length, partial(_loaded, piece)
                else:
                    part = self.parts.pop()
                    length, load = part.length, partial(read, part.lsn)
                left -= length
                if at > left:
                    self.changes = load()[: at - left]
        self.failed = None  # there may be room for what is left
        return before - at


def _same(data: bytes) -> bytes:
    return data


def _kept(changes: Sequence[RowChange], _: object) -> Sequence[RowChange]:
    return changes


def _loaded(piece: Piece) -> list[RowChange]:
    return row_changes.decode(piece.load())
