"""An open transaction's state at one lead: its row changes, locks' owner, statement answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.storage.changes import RowChange
from protocol.ids import TxnId
from protocol.messages.sql import Ran


@dataclass(slots=True)
class Workspace:
    """The uncommitted changes of one transaction here, as long as it is open or prepared."""

    txn: TxnId
    term: int  # in which it first came here; every later request names it
    started_s: float
    used_s: float = 0.0  # of the newest statement or read
    prepared_s: float = 0.0  # when it was prepared (or found prepared), 0.0: it is not
    changes: list[RowChange] = field(default_factory=list)
    statements: int = 0
    marks: list[int] = field(default_factory=list)  # marks[n]: changes before statement n + 1
    last_answer: Ran | None = None
    in_batch: bool = False  # its PREPARE or its decision is in a batch that is not committed yet
    participants: tuple[int, ...] = ()
    ddl: bytes = b""

    def __post_init__(self) -> None:
        self.used_s = self.used_s or self.started_s

    @property
    def prepared(self) -> bool:
        """It waits for its decision."""
        return self.prepared_s > 0.0

    def cut(self, number: int) -> int:
        """Forget everything after statement `number`; returns how many changes that were."""
        if number >= self.statements:
            return 0
        at = self.marks[number]
        gone = len(self.changes) - at
        del self.changes[at:]
        del self.marks[number:]
        self.statements = number
        self.last_answer = None
        return gone
