"""PREPARE, decisions and what became of a transaction: the lead's part of two-phase commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from msgspec.structs import astuple

from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_txns
from data.txn.batches import Finish
from data.txn.locks import Mode
from data.txn.ownership import VERSION_LOCK
from data.txn.parts import is_large, payload_of
from data.txn.ports import Following, Reply, encode_locks
from data.txn.reading import ReadSide
from data.txn.workspace import Workspace
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError, OutcomeUnknownError, WorkspaceLostError
from protocol.ids import TxnId
from protocol.messages.txn import (
    Acknowledged,
    AskOutcome,
    CommitSingle,
    Decide,
    Forget,
    Outcome,
    Prepare,
    Voted,
)

_ENCODER = msgspec.msgpack.Encoder()


class Deciding(ReadSide):
    """Between the statements and LeadWriter."""

    def prepare(self, message: Prepare, reply: Reply) -> None:
        """Write PREPARE; the locks stay until the decision."""
        if trace.steps.listener is not None:
            trace.step("data/txn/deciding.py", message)

        def work() -> None:
            known = self._workspaces.get(message.txn)
            if known is not None and known.prepared:
                if known.in_batch:
                    self._after_batch(work, reply)
                else:
                    reply.reply(Voted(self.term))
                return
            held_s = self._hold_until_s - boottime_s()
            if held_s > 0:
                self._loop.call_later(held_s, lambda: self._submit(work, reply))
                return
            workspace = self._workspace(message.txn, message.term, message.statements)
            self._announce(workspace, message.ddl)
            if self._wait_until_small(workspace, work, reply):
                return
            self._open_batch()
            payload = payload_of(
                workspace,
                ddl=message.ddl,
                participants=message.participants,
                locks=encode_locks(self.locks.held_by(message.txn)),
            )
            entry = self._append_whole(
                EntryKind.PREPARE, message.txn, _ENCODER.encode(payload), apply=False
            )
            workspace.prepared_s = boottime_s()
            workspace.in_batch = True
            workspace.participants = message.participants
            workspace.ddl = message.ddl
            term = self.term

            def finish(error: GridError | None) -> None:
                workspace.in_batch = False
                if error is None:
                    reply.reply(Voted(term))
                else:
                    workspace.prepared_s = 0.0
                    reply.fail(error)

            self._add(entry, finish)

        self._submit(work, reply)

    def _needs_prepare(self, workspace: Workspace) -> bool:
        """The anchor cannot commit this with one entry: it is large, or buckets change hands."""
        if is_large(workspace):
            return True
        return self.locks.mode_of(workspace.txn, VERSION_LOCK) is Mode.EXCLUSIVE

    def _prepare_and_decide(self, message: CommitSingle, reply: Reply) -> None:
        """The anchor's COMMIT as two entries."""
        db, rs, term, txn, statements, ddl, participants = astuple(message)
        decision = Decide(db, rs, txn, True, participants)
        voted = Following(lambda: self.decide(decision, reply), reply)
        self.prepare(Prepare(db, rs, term, txn, statements, participants, ddl), voted)

    def decide(self, message: Decide, reply: Reply) -> None:
        """Write the decision; repeats are answered from the log."""
        if trace.steps.listener is not None:
            trace.step("data/txn/deciding.py", message)

        def work() -> None:
            if self._after_later(message.txn, work, reply):
                return
            workspace = self._workspaces.get(message.txn)
            known = workspace is not None and workspace.prepared and not workspace.in_batch
            if self._batch and not known:  # an earlier copy of this message may be in it
                self._after_batch(work, reply)
                return
            if workspace is None or not workspace.prepared:
                self._answer_decided(message, workspace, reply)
                return
            if message.commit and workspace.anchor_decides:
                reply.fail(WorkspaceLostError("the database went back to an epoch meanwhile"))
                return
            self._write_decision(
                workspace,
                message.commit,
                lambda error: (
                    reply.fail(error) if error is not None else reply.reply(Acknowledged(self.term))
                ),
                reply,
                work,
            )

        self._submit(work, reply)

    def _answer_decided(self, message: Decide, workspace: Workspace | None, reply: Reply) -> None:
        outcome = self._element.outcome(message.txn)
        if outcome == ("committed" if message.commit else "aborted"):
            reply.reply(Acknowledged(self.term))
        elif not message.commit and outcome in (None, "forgotten"):
            if workspace is not None:
                self._forget(workspace)
            reply.reply(Acknowledged(self.term))
        else:
            reply.fail(WorkspaceLostError(f"the transaction is {outcome or 'not prepared'} here"))

    def _write_decision(
        self,
        workspace: Workspace,
        commit: bool,
        finish: Finish,
        reply: Reply,
        again: Callable[[], None] | None = None,
    ) -> None:
        """again: the request, to be looked at anew when the decision cannot be written now."""
        kind = EntryKind.COMMIT if commit else EntryKind.ABORT
        if commit and again is not None and self._goes_later(workspace, b""):
            whole = TxnPayload(participants=workspace.participants, later=True)
            done = self._decided(workspace, True, finish)
            self._begin_later(workspace, whole, done, again, reply)
            return
        self._open_batch()
        payload = _ENCODER.encode(TxnPayload(b"", b"", workspace.participants))
        if commit and is_large(workspace):
            add = partial(self._add_decision, workspace=workspace, finish=finish)
            slices = self._effect_slices(workspace.txn, payload, add, workspace.ddl)
            self._in_slices(slices, reply)
            return
        entry = self._append_whole(kind, workspace.txn, payload, apply=True)
        self._add_decision(entry, workspace, finish)

    def _add_decision(self, entry: LogEntry, workspace: Workspace, finish: Finish) -> None:
        workspace.in_batch = True
        self._add(entry, self._decided(workspace, entry.kind == EntryKind.COMMIT, finish))

    def _decided(self, workspace: Workspace, is_commit: bool, finish: Finish) -> Finish:
        """What is to be done when a decision is committed (None), or cannot be."""
        own = self._change_of_ownership(workspace) if is_commit else None

        def done(error: GridError | None) -> None:
            workspace.in_batch = False
            if own is not None:
                self.changed_ownership(own if error is None else ())
            if error is None:
                if is_commit:
                    self._recent.add(workspace.txn, workspace.participants, boottime_s())
                self._forget(workspace, decided=True)
            finish(error)

        return done

    def ask_outcome(self, message: AskOutcome, reply: Reply) -> None:
        """What became of a transaction; writes ABORT first if nothing is known of it."""
        if trace.steps.listener is not None:
            trace.step("data/txn/deciding.py", message)
        self._stop_sliced(message.txn, "the outcome was asked for")
        self.waits.give_up(message.txn, WorkspaceLostError("the outcome was asked for"))

        def work() -> None:
            if self._batch:
                self._after_batch(work, reply)
                return
            if self._after_later(message.txn, work, reply):
                return
            outcome = self._element.outcome(message.txn)
            if outcome == "committed":
                reply.reply(Outcome("committed", self._element.changes_of(message.txn)))
                return
            if outcome == "aborted":
                reply.reply(Outcome("aborted"))
                return
            if self.no_room:  # what was asked must be written down before it is answered
                reply.fail(OutcomeUnknownError(self.disk_full().message))
                return
            workspace = self._workspaces.get(message.txn)
            if outcome == "forgotten" and workspace is None and not message.in_doubt:
                self._check_lease()
                reply.reply(Outcome("forgotten"))
                return
            if workspace is None:
                workspace = Workspace(message.txn, self.term, boottime_s())
            self._write_decision(
                workspace,
                False,
                lambda error: (
                    reply.fail(error) if error is not None else reply.reply(Outcome("aborted"))
                ),
                reply,
            )

        self._submit(work, reply)

    def forget(self, message: Forget, reply: Reply) -> None:
        """Drop decisions that nobody will ask for any more, on all copies."""

        def work() -> None:
            self._open_batch()
            payload = encode_txns(message.txns)
            entry = self._append_whole(EntryKind.FORGET, None, payload, apply=True)
            self._add(
                entry,
                lambda e: reply.reply(Acknowledged(self.term)) if e is None else reply.fail(e),
            )

        self._submit(work, reply)

    # what LeadWriter does
    def _workspace(self, txn: TxnId, term: int, statements: int) -> Workspace:
        raise NotImplementedError

    def _forget(self, workspace: Workspace, *, decided: bool = False) -> None:
        raise NotImplementedError
