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
    started_s: float
    changes: list[RowChange] = field(default_factory=list)
    statements: int = 0
    marks: list[int] = field(default_factory=list)  # marks[n]: changes before statement n + 1
    last_answer: Ran | None = None
    prepared: bool = False
    in_batch: bool = False  # its PREPARE or its decision is in a batch that is not committed yet
    participants: tuple[int, ...] = ()
    ddl: bytes = b""

    def cut(self, number: int) -> list[RowChange]:
        """Forget everything after statement `number`; returns the forgotten changes."""
        if number >= self.statements:
            return []
        at = self.marks[number]
        gone = self.changes[at:]
        del self.changes[at:]
        del self.marks[number:]
        self.statements = number
        self.last_answer = None
        return gone
