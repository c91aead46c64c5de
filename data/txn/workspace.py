"""An open transaction's state at one lead: its row changes, locks' owner, statement answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from data.storage.changes import RowChange
from protocol.errors import GridError
from protocol.ids import TxnId
from protocol.messages.sql import Ran


class Part(NamedTuple):
    """Row changes that are in the log already, as a PART entry."""

    lsn: int
    length: int  # how many


@dataclass(slots=True)
class Workspace:
    """The uncommitted changes of one transaction here, as long as it is open or prepared.

    The oldest changes of a large one are in PART entries of the log, the newest in memory.
    """

    txn: TxnId
    term: int  # in which it first came here; every later request names it
    started_s: float
    used_s: float = 0.0  # of the newest statement or read
    prepared_s: float = 0.0  # when it was prepared (or found prepared), 0.0: it is not
    parts: list[Part] = field(default_factory=list)
    changes: list[RowChange] = field(default_factory=list)  # after those in `parts`
    statements: int = 0
    marks: list[int] = field(default_factory=list)  # marks[n]: changes before statement n + 1
    last_answer: Ran | None = None
    in_batch: bool = False  # its PREPARE or its decision is in a batch that is not committed yet
    participants: tuple[int, ...] = ()
    ddl: bytes = b""
    complete: bool = True  # while resident: all changes are in the SQLite transaction
    in_log: bool = False  # there are PARTs of it, perhaps none that still counts
    shrinking: bool = False  # `changes` has grown long and moves to the log
    failed: GridError | None = None  # it could not: the transaction can only roll back
    when_small: list[Callable[[], None]] = field(default_factory=list)
    anchor_decides: bool = False  # the log went back to an epoch since: its coordinator is too late

    def __post_init__(self) -> None:
        self.used_s = self.used_s or self.started_s

    @property
    def prepared(self) -> bool:
        """It waits for its decision."""
        return self.prepared_s > 0.0

    @property
    def in_parts(self) -> int:
        """How many changes are in the log."""
        return sum(part.length for part in self.parts)

    @property
    def rows(self) -> int:
        """How many changes there are."""
        return self.in_parts + len(self.changes)

    def cut(self, number: int, read: Callable[[int], list[RowChange]]) -> int:
        """Forget everything after statement `number`; returns how many changes that were.

        `read` gives the changes of the PART at an LSN: one that is cut in the middle ends.
        """
        if number >= self.statements:
            return 0
        at, before = self.marks[number], self.rows
        left = self.in_parts
        if at >= left:
            del self.changes[at - left :]
        else:
            self.changes = []
            while at < left:
                part = self.parts.pop()
                left -= part.length
                if at > left:
                    self.changes = read(part.lsn)[: at - left]
        del self.marks[number:]
        self.statements = number
        self.last_answer = None
        self.failed = None  # there may be room for what is left
        return before - at
