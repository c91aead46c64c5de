"""What readers ask of a lead: views and snapshots (read_atomic.py), a transaction's own changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.element import Element, HeldSnapshot
from data.txn.locks import LockTable
from data.txn.ports import Reply, workspace_lost
from data.txn.recent import RecentCommits
from data.txn.sliced import SlicedStatements
from data.txn.workspace import Workspace
from protocol.clock import boottime_s
from protocol.ids import TxnId
from protocol.messages.sql import ReadView, RunStatement
from protocol.messages.txn import (
    Acknowledged,
    Committed,
    HoldPrepares,
    PeekOutcomes,
    TransactionState,
)

HOLD_MS_MAX = 50  # a commit is never kept waiting longer by one reader


class ReadSide(SlicedStatements):
    """The part of LeadWriter that readers talk to."""

    locks: LockTable

    def __init__(self, element: Element, db: str, rs: int) -> None:
        super().__init__(element, db, rs)
        self._recent = RecentCommits()
        self._hold_until_s = 0.0  # new PREPAREs wait until then
        self.held_snapshot: Callable[[int], HeldSnapshot]  # set by data/exec/shard.py

    def view(self, back_ms: int) -> ReadView:
        """About the last committed state, as it is now."""
        if self._finishing:  # committed, and not all of it noted yet
            return ReadView(-1)
        return self._recent.view(self._workspaces.values(), back_ms, boottime_s())

    def peek_outcomes(self, message: PeekOutcomes, reply: Reply) -> None:
        """Which transactions are committed here, without deciding anything."""

        def work() -> None:
            if self._batch:
                self._after_batch(work, reply)
                return
            outcome = self._element.outcome
            committed = tuple(
                [t for t in message.txns if outcome(t) == "committed" and not self._is_later(t)]
            )
            self._check_lease()
            reply.reply(Committed(committed))

        self._submit_between(work, reply)

    def _is_later(self, txn: TxnId) -> bool:
        """Committed, and nothing of it is to be seen yet."""
        workspace = self._workspaces.get(txn)
        return workspace is not None and workspace.later

    def hold_prepares(self, message: HoldPrepares, reply: Reply) -> None:
        """Let new PREPAREs wait, HOLD_MS_MAX at most; then they go on for as long, whoever asks."""
        now_s = boottime_s()
        if now_s > self._hold_until_s + HOLD_MS_MAX / 1000:
            self._hold_until_s = now_s + min(message.for_ms, HOLD_MS_MAX) / 1000
        reply.reply(Acknowledged(self.term))

    def changes_of(self, txn: TxnId, term: int) -> list[RowChange]:
        """An open transaction's row changes here so far. Raises WorkspaceLostError."""
        workspace = self._workspaces.get(txn)
        if workspace is None or workspace.prepared or workspace.term != term:
            raise workspace_lost(txn)
        workspace.used_s = boottime_s()
        return self._all_changes(workspace)

    def _all_changes(self, workspace: Workspace) -> list[RowChange]:
        if not workspace.parts and not workspace.queue:
            return workspace.changes
        older: list[RowChange] = []
        for part in workspace.parts:
            older += self._element.changes_in_part(part.lsn)
        for piece in workspace.queue:
            older += row_changes.decode(piece.load())
        return older + workspace.changes

    def _snapshot_of(self, number: int, workspace: Workspace) -> HeldSnapshot | None:
        """The transaction's snapshot here, its changes so far on top, if it has one."""
        if not number:
            return None
        held = self.held_snapshot(number)
        held.lay_now(self._all_changes(workspace))
        return held

    def _add_view(self, message: RunStatement, workspace: Workspace) -> None:
        """Put a view into the answer to a statement: as far back as it may have waited and run."""
        if message.back_ms and workspace.last_answer is not None:
            ran_ms = int((boottime_s() - workspace.used_s) * 1000)
            view = self.view(message.back_ms + message.lock_wait_ms + ran_ms)
            workspace.last_answer = replace(workspace.last_answer, view=view)

    def ask_anchor_about(self, lost: Iterable[int]) -> None:
        """These replica sets go back to an epoch: what is prepared here together with them is

        decided by the anchor as it will be then; a COMMIT that its coordinator still sends is not.
        """
        sets = set(lost)
        for workspace in self.prepared():
            if sets.intersection(workspace.participants):
                workspace.anchor_decides = True

    def anchor_decided(self, txn: TxnId) -> None:
        """The anchor said, after the return to an epoch, that this transaction is committed."""
        workspace = self._workspaces.get(txn)
        if workspace is not None:
            workspace.anchor_decides = False

    def unused(self, for_s: float) -> list[TxnId]:
        """Open transactions here that nothing was asked of for so long."""
        before_s = boottime_s() - for_s
        return [w.txn for w in self._workspaces.values() if not w.prepared and w.used_s < before_s]

    def prepared(self) -> list[Workspace]:
        """The prepared transactions here that are undecided."""
        return [w for w in self._workspaces.values() if w.prepared and not w.later]

    def transactions(self) -> tuple[TransactionState, ...]:
        """Open and prepared transactions here, for operators."""
        now_s = boottime_s()
        return tuple(self._state_of(w, now_s) for w in self._workspaces.values())

    def _state_of(self, workspace: Workspace, now_s: float) -> TransactionState:
        waiter = self.locks.waiter_of(workspace.txn)
        return TransactionState(
            workspace.txn,
            "prepared" if workspace.prepared else "open",
            int((now_s - workspace.started_s) * 1000),
            workspace.participants,
            workspace.rows,
            int((now_s - workspace.prepared_s) * 1000) if workspace.prepared_s else 0,
            len(self.locks.held_by(workspace.txn)),
            tuple(sorted(self.locks.blockers(waiter))) if waiter is not None else (),
            str(waiter.resource) if waiter is not None else "",
        )
