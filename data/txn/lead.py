"""The lead's writer: one SQLite write transaction serves every open transaction of an element.

Work arrives from RPC handlers and runs on the event loop, in order. What commits gathers in a
*batch*; at the end of the loop turn the batch goes to the copies, and nothing else is written until
they have it (stop and wait: see docs/decisions/0002). Statements of open transactions run on the
last committed state with the transaction's own changes brought in; the transaction whose changes
are in the SQLite transaction right now is the *resident* one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import structlog

from data.storage import changes as row_changes
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_txns
from data.txn.facts import FactsCache
from data.txn.locks import LockTable, Mode, Resource, Waiter
from data.txn.ports import (
    Nobody,
    Replicator,
    Reply,
    decode_locks,
    encode_locks,
    ignore_end,
    workspace_lost,
)
from data.txn.steps import StepRunner, StepsResult
from data.txn.workspace import Workspace
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlockError,
    GridError,
    InternalError,
    LockTimeoutError,
    NotLeadError,
    OutcomeUnknownError,
    StaleSchemaError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages.sql import Ran, RunStatement
from protocol.messages.txn import (
    Acknowledged,
    AskOutcome,
    CommitSingle,
    Decide,
    Forget,
    Outcome,
    Prepare,
    RollBack,
    TransactionState,
    UndoStatement,
    Voted,
)

log = structlog.get_logger()

_ENCODER = msgspec.msgpack.Encoder()


Work = Callable[[], None]
Finish = Callable[[GridError | None], None]


class LeadWriter:
    """Writes of one element while it leads its replica set. Everything runs on the event loop."""

    def __init__(self, element: Element, db: str, rs: int) -> None:
        self._element = element
        self._db = db
        self.rs = rs
        self._replicator: Replicator | None = None
        self.leading = False
        self.term = 0
        self.locks = LockTable()
        self._workspaces: dict[TxnId, Workspace] = {}
        self._resident: Workspace | None = None
        self._queue: deque[tuple[Work, Reply]] = deque()  # what came while a batch was on its way
        self._between: deque[tuple[Work, Reply]] = deque()  # what runs only while no batch gathers
        self._batch: list[tuple[LogEntry | None, Finish]] = []
        self._next_lsn = 0
        self._in_flight = False
        self._draining = False  # what waited for a batch is being worked off: newcomers queue up
        self._flush_scheduled = False
        self._generation = 0  # grows when leadership ends: late callbacks are recognised by it
        self._pending: dict[TxnId, Callable[[GridError], None]] = {}  # work that waits for locks
        self._running: TxnId | None = None  # whose statement runs, None: an autocommit one
        self._steps = self._new_runner()
        self._steps_version = element.schema_version
        self._loop = asyncio.get_running_loop()

    def attach(self, replicator: Replicator) -> None:
        """Name the replication that carries batches; before the first request."""
        self._replicator = replicator

    # -- role --------------------------------------------------------------------------------------
    def became_lead(self, term: int, in_sync: tuple[int, ...] = ()) -> None:
        """Serve from now on. Locks and workspaces of prepared transactions are rebuilt first."""
        self.term = term
        self._next_lsn = self._element.tail.lsn + 1
        now_s = boottime_s()
        for prepared in self._element.prepared():
            payload = prepared.payload
            workspace = Workspace(prepared.txn, now_s, prepared=True)
            workspace.changes = row_changes.decode(payload.changes)
            workspace.participants = payload.participants
            workspace.ddl = payload.ddl
            self._workspaces[prepared.txn] = workspace
            self.locks.take(prepared.txn, decode_locks(payload.locks))
        self.leading = True
        log.info("lead.serving", db=self._db, rs=self.rs, term=term, prepared=len(self._workspaces))

    def state_changed(self, status: object) -> None:
        """Replication tells of any change of role; only leading matters here."""

    def lost_lead(self) -> None:
        """Stop at once: the open batch is rolled back, what waits is told, all locks forgotten."""
        if not self.leading:
            return
        self.leading = False
        self._generation += 1
        if self._element.in_batch:
            self._element.rollback()
        batch, self._batch = self._batch, []
        queue = [*self._between, *self._queue]
        self._between.clear()
        self._queue.clear()
        pending, self._pending = self._pending, {}
        self._resident = None
        self._in_flight = False
        self._workspaces.clear()
        self.locks.clear()
        for _, finish in batch:
            finish(OutcomeUnknownError("the lead lost its term while the record was on its way"))
        for fail in pending.values():
            fail(self._not_lead())
        for _, reply in queue:
            reply.fail(self._not_lead())

    def _not_lead(self) -> NotLeadError:
        return NotLeadError(
            f"this element does not lead replica set {self.rs} of {self._db}",
            hint="Retry: the coordinator asks the present lead.",
        )

    # -- work and batches --------------------------------------------------------------------------
    def _submit(self, work: Work, reply: Reply) -> None:
        if not self.leading:
            reply.fail(self._not_lead())
        elif self._in_flight or self._draining:
            self._queue.append((work, reply))
        else:
            self._guarded(work, reply)

    def _submit_between(self, work: Work, reply: Reply) -> None:
        """For work that needs the last committed state: it goes before what adds to a batch."""
        if not self.leading:
            reply.fail(self._not_lead())
        elif self._in_flight or self._draining:
            self._between.append((work, reply))
        else:
            self._guarded(work, reply)

    def _after_batch(self, work: Work, reply: Reply) -> None:
        """Run when the batch that gathers now is committed (or at once, if there is none)."""
        self._between.append((work, reply))
        self._schedule_flush()

    def _guarded(self, work: Work, reply: Reply) -> None:
        try:
            work()
        except GridError as error:
            reply.fail(error)
        except Exception as error:
            log.exception("lead.work_failed", db=self._db, rs=self.rs)
            reply.fail(InternalError(f"{type(error).__name__}: {error}"))

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _open_batch(self) -> None:
        """Make the SQLite transaction one that holds only the batch."""
        if self._resident is not None:
            self._park()
        if not self._element.in_batch:
            self._element.begin()

    def _park(self) -> None:
        """Take the resident transaction's changes out again; its workspace keeps them."""
        self._resident = None
        self._element.rollback()

    def _append(self, kind: EntryKind, txn: TxnId, payload: TxnPayload) -> LogEntry:
        """Log what is in the SQLite transaction already; the caller undoes it if this fails."""
        entry = LogEntry(self.term, self._next_lsn, int(kind), txn, _ENCODER.encode(payload))
        self._element.append(entry)
        self._next_lsn += 1
        return entry

    def _append_whole(
        self, kind: EntryKind, txn: TxnId | None, payload: bytes, *, apply: bool
    ) -> LogEntry:
        """Log an entry, with its effect if `apply`; if that fails nothing of it stays."""
        element = self._element
        entry = LogEntry(self.term, self._next_lsn, int(kind), txn, payload)
        guard = bool(self._batch)
        if guard:
            element.savepoint("entry")
        try:
            (element.apply_entry if apply else element.append)(entry)
        except BaseException:
            if guard:
                element.rollback_to("entry")
                element.release("entry")
            else:
                element.rollback()
            raise
        if guard:
            element.release("entry")
        self._next_lsn += 1
        return entry

    def _add(self, entry: LogEntry | None, finish: Finish) -> None:
        self._batch.append((entry, finish))
        self._schedule_flush()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._in_flight or not self.leading:
            return
        entries = [entry for entry, _ in self._batch if entry is not None]
        assert self._replicator is not None
        if not entries:  # statements that changed nothing: reads, so the lease must hold
            self._finish_batch(None if self._replicator.lead_ok() else self._not_lead())
            return
        self._in_flight = True
        generation = self._generation

        def done(error: GridError | None) -> None:
            if generation == self._generation:
                self._batch_done(error)

        self._replicator.replicate(entries, done)

    def _batch_done(self, error: GridError | None) -> None:
        if trace.listener is not None:
            trace.step("data/txn/lead.py")
        if error is None:
            try:
                self._element.commit()
            except GridError as problem:  # the copies have it, we do not: the term is over
                log.error("lead.commit_failed", db=self._db, rs=self.rs, error=problem.message)
                error = OutcomeUnknownError(problem.message)
        if error is not None and self._element.in_batch:
            self._element.rollback()
            self._next_lsn = self._element.tail.lsn + 1
        self._in_flight = False
        self._finish_batch(error)

    def _finish_batch(self, error: GridError | None) -> None:
        batch, self._batch = self._batch, []
        if self._element.in_batch and self._resident is None:
            self._element.rollback()  # nothing was written, or everything is committed
        self._draining = True
        try:
            for _, finish in batch:
                finish(error)
            while self.leading and not self._in_flight:
                if self._between and not self._batch:
                    self._guarded(*self._between.popleft())
                elif self._queue:
                    self._guarded(*self._queue.popleft())
                else:
                    break
        finally:
            self._draining = False

    def _check_lease(self) -> None:
        """After a read, before its answer. Raises NotLeadError."""
        assert self._replicator is not None
        if not self._replicator.lead_ok():
            raise self._not_lead()

    def _runner(self, schema: int) -> StepRunner:
        version = self._element.schema_version
        if schema != version:
            raise StaleSchemaError(f"planned with schema version {schema}, here is {version}")
        if version != self._steps_version:
            self._steps = self._new_runner()
            self._steps_version = version
        return self._steps

    def _new_runner(self) -> StepRunner:
        return StepRunner(
            self._element,
            FactsCache(self._element.catalog),
            lambda wanted: self.locks.first_conflict(self._running, wanted) is not None,
        )

    # -- statements --------------------------------------------------------------------------------
    def run(self, message: RunStatement, reply: Reply) -> None:
        """One statement; answers Ran or fails the reply."""
        if trace.listener is not None:
            trace.step("data/txn/lead.py", message)
        if message.commit and message.number == 1:
            self._submit(lambda: self._run_autocommit(message, reply), reply)
        else:
            self._submit_between(lambda: self._run_in_txn(message, reply), reply)

    def _run_autocommit(self, message: RunStatement, reply: Reply) -> None:
        runner = self._runner(message.schema)
        self._open_batch()
        element = self._element
        guard = bool(self.locks) or bool(self._batch)
        if guard:
            element.savepoint("statement")
        self._running = None
        try:
            result = runner.run(message.steps)
            if result.effects:
                raise InternalError("a statement with effects elsewhere was sent to commit at once")
            conflict = None
            if self.locks:
                wanted = runner.row_locks(result.changes) + result.locks
                conflict = self.locks.first_conflict(None, wanted)
            entry = None
            if result.changes and conflict is None:
                payload = TxnPayload(row_changes.encode(result.changes))
                entry = self._append(EntryKind.COMMIT, message.txn, payload)
        except BaseException:
            self._undo(guard)
            raise
        if conflict is not None:
            self._undo(guard)
            self._wait(
                message.txn,
                None,
                conflict,
                message.lock_wait_ms,
                lambda: self._submit(lambda: self._run_autocommit(message, reply), reply),
                reply,
            )
            return
        answer = Ran(self.term, tuple(result.counts), result.rows)
        if guard:
            element.release("statement")
        self._add(entry, lambda error: reply.reply(answer) if error is None else reply.fail(error))

    def _undo(self, guard: bool) -> None:
        """Undo the statement that just ran in the open batch."""
        if guard:
            self._element.rollback_to("statement")
            self._element.release("statement")
        elif not self._batch:
            self._element.rollback()

    def _run_in_txn(self, message: RunStatement, reply: Reply) -> None:
        runner = self._runner(message.schema)
        if self._batch:
            self._after_batch(lambda: self._run_in_txn(message, reply), reply)
            return
        workspace = self._enlist(message)
        if message.number == workspace.statements and workspace.last_answer is not None:
            reply.reply(workspace.last_answer)
            return
        self._bring_in(workspace)
        element = self._element
        element.savepoint("statement")
        self._running = message.txn
        try:
            result = runner.run(message.steps)
            wanted = runner.row_locks(result.changes) + result.locks
            conflict = self.locks.first_conflict(message.txn, wanted)
            self._check_lease()
        except BaseException:
            element.rollback_to("statement")
            element.release("statement")
            self._drop_if_empty(workspace)
            raise
        if conflict is not None:
            element.rollback_to("statement")
            element.release("statement")
            self._wait(
                message.txn,
                message.txn,
                conflict,
                message.lock_wait_ms,
                lambda: self._submit_between(lambda: self._run_in_txn(message, reply), reply),
                reply,
            )
            return
        element.release("statement")
        self._keep(workspace, result, wanted)
        if message.commit and not result.effects:
            self._commit(workspace, b"", reply, workspace.last_answer)
        else:
            reply.reply(workspace.last_answer)

    def _enlist(self, message: RunStatement) -> Workspace:
        workspace = self._workspaces.get(message.txn)
        if workspace is None:
            if message.number != 1 or message.term not in (0, self.term):
                raise workspace_lost(message.txn)
            workspace = Workspace(message.txn, boottime_s())
            self._workspaces[message.txn] = workspace
        elif workspace.prepared or message.number not in (
            workspace.statements,
            workspace.statements + 1,
        ):
            raise workspace_lost(message.txn)
        return workspace

    def _keep(
        self, workspace: Workspace, result: StepsResult, wanted: list[tuple[Resource, Mode]]
    ) -> None:
        self.locks.take(workspace.txn, wanted)
        workspace.marks.append(len(workspace.changes))
        workspace.changes += result.changes
        workspace.statements += 1
        workspace.last_answer = Ran(
            self.term, tuple(result.counts), result.rows, tuple(result.effects)
        )

    def _drop_if_empty(self, workspace: Workspace) -> None:
        if not workspace.statements:
            self._forget(workspace)

    def _bring_in(self, workspace: Workspace) -> None:
        if self._resident is workspace:
            return
        if self._resident is not None:
            self._park()
        if not self._element.in_batch:
            self._element.begin()
        self._resident = workspace
        if workspace.changes:
            self._element.apply_changes(workspace.changes)

    def read_in_txn(
        self, txn: TxnId, schema: int, read: Callable[[Element], None], reply: Reply
    ) -> bool:
        """Call `read` with the transaction's changes in place; False: it has none here."""
        workspace = self._workspaces.get(txn)
        if workspace is None or workspace.prepared:
            return False

        def work() -> None:
            self._runner(schema)
            if self._batch:
                self._after_batch(work, reply)
                return
            self._bring_in(workspace)
            read(self._element)

        self._submit_between(work, reply)
        return True

    # -- waiting for locks -------------------------------------------------------------------------
    def _wait(
        self,
        name: TxnId,
        txn: TxnId | None,
        conflict: tuple[Resource, set[TxnId]],
        wait_ms: int,
        again: Callable[[], None],
        reply: Reply,
    ) -> None:
        resource, blockers = conflict
        if wait_ms == 0:
            reply.fail(LockTimeoutError("the row is locked by another transaction (NOWAIT)"))
            return
        timer: asyncio.TimerHandle | None = None

        def stop() -> None:
            self._pending.pop(name, None)
            if timer is not None:
                timer.cancel()

        def wake() -> None:
            stop()
            again()

        waiter = Waiter(txn, resource, blockers, wake)

        def fail(error: GridError) -> None:
            stop()
            self.locks.stop_waiting(waiter)
            reply.fail(error)

        def time_over() -> None:
            fail(
                LockTimeoutError(
                    f"lock wait timed out after {wait_ms / 1000:g} s",
                    detail=f"Held by transaction {'.'.join(map(str, min(blockers)))}.",
                    hint="Retry, or raise LockWait.",
                )
            )

        self._pending[name] = fail
        self.locks.wait(waiter)
        timer = self._loop.call_later(wait_ms / 1000, time_over)
        if txn is not None:
            self._break_cycle(txn)

    def _break_cycle(self, txn: TxnId) -> None:
        cycle = self.locks.cycle(txn)
        if not cycle:
            return
        youngest = max(
            cycle, key=lambda t: self._workspaces[t].started_s if t in self._workspaces else 0.0
        )
        fail = self._pending.get(youngest)
        if fail is not None:
            fail(
                DeadlockError(
                    "deadlock found; this transaction was chosen to end it",
                    hint="Roll back and run the transaction again.",
                )
            )

    def _wake(self, waiters: Iterable[Waiter]) -> None:
        for waiter in waiters:
            waiter.wake()

    # -- the end of a transaction ------------------------------------------------------------------
    def _workspace(self, txn: TxnId, term: int, statements: int) -> Workspace:
        workspace = self._workspaces.get(txn)
        if workspace is None or term != self.term or workspace.statements != statements:
            raise workspace_lost(txn)
        return workspace

    def undo_statement(self, message: UndoStatement, reply: Reply) -> None:
        """Back to just after statement `number`; one that waits for a lock is given up."""
        waiting = self._pending.get(message.txn)
        if waiting is not None:
            waiting(WorkspaceLostError("the statement was given up"))

        def work() -> None:
            workspace = self._workspaces.get(message.txn)
            if workspace is None or message.term != self.term:
                if message.number == 0:
                    reply.reply(Acknowledged(self.term))
                    return
                raise workspace_lost(message.txn)
            if workspace.cut(message.number) and self._resident is workspace:
                self._park()
            if message.number == 0:
                self._forget(workspace)
            reply.reply(Acknowledged(self.term))

        self._submit(work, reply)

    def commit_single(self, message: CommitSingle, reply: Reply) -> None:
        """Commit a transaction whose only participant this is."""
        if trace.listener is not None:
            trace.step("data/txn/lead.py", message)

        def work() -> None:
            workspace = self._workspace(message.txn, message.term, message.statements)
            self._commit(workspace, message.ddl, reply, Acknowledged(self.term))

        self._submit(work, reply)

    def _commit(self, workspace: Workspace, ddl: bytes, reply: Reply, answer: Any) -> None:
        if not workspace.changes and not ddl:
            self._check_lease()  # what it read under its locks was true until now
            self._forget(workspace)
            reply.reply(answer)
            return
        payload = _ENCODER.encode(TxnPayload(row_changes.encode(workspace.changes), ddl))
        in_place = self._resident is workspace and not self._batch and not ddl
        if in_place:
            self._resident = None
        else:
            self._open_batch()
        kind = EntryKind.COMMIT
        entry = self._append_whole(kind, workspace.txn, payload, apply=not in_place)
        self._add(entry, lambda error: self._ended(workspace, error, reply, answer))

    def _ended(self, workspace: Workspace, error: GridError | None, reply: Reply, ok: Any) -> None:
        self._forget(workspace)
        if error is None:
            reply.reply(ok)
        else:
            reply.fail(error)

    def _forget(self, workspace: Workspace) -> None:
        if self._resident is workspace:
            self._park()
        self._workspaces.pop(workspace.txn, None)
        self._wake(self.locks.release(workspace.txn))

    def prepare(self, message: Prepare, reply: Reply) -> None:
        """Write PREPARE; the locks stay until the decision."""
        if trace.listener is not None:
            trace.step("data/txn/lead.py", message)

        def work() -> None:
            known = self._workspaces.get(message.txn)
            if known is not None and known.prepared:
                if known.in_batch:
                    self._after_batch(work, reply)
                else:
                    reply.reply(Voted(self.term))
                return
            workspace = self._workspace(message.txn, message.term, message.statements)
            self._open_batch()
            payload = TxnPayload(
                row_changes.encode(workspace.changes),
                message.ddl,
                message.participants,
                encode_locks(self.locks.held_by(message.txn)),
            )
            entry = self._append_whole(
                EntryKind.PREPARE, message.txn, _ENCODER.encode(payload), apply=False
            )
            workspace.prepared = workspace.in_batch = True
            workspace.participants = message.participants
            workspace.ddl = message.ddl
            term = self.term

            def finish(error: GridError | None) -> None:
                workspace.in_batch = False
                if error is None:
                    reply.reply(Voted(term))
                else:
                    workspace.prepared = False
                    reply.fail(error)

            self._add(entry, finish)

        self._submit(work, reply)

    def decide(self, message: Decide, reply: Reply) -> None:
        """Write the decision; repeats are answered from the log."""
        if trace.listener is not None:
            trace.step("data/txn/lead.py", message)

        def work() -> None:
            workspace = self._workspaces.get(message.txn)
            known = workspace is not None and workspace.prepared and not workspace.in_batch
            if self._batch and not known:  # an earlier copy of this message may be in it
                self._after_batch(work, reply)
                return
            if workspace is None or not workspace.prepared:
                self._answer_decided(message, workspace, reply)
                return
            self._write_decision(
                workspace,
                message.commit,
                lambda error: (
                    reply.fail(error) if error is not None else reply.reply(Acknowledged(self.term))
                ),
            )

        self._submit(work, reply)

    def _answer_decided(self, message: Decide, workspace: Workspace | None, reply: Reply) -> None:
        outcome = self._element.outcome(message.txn)
        if outcome == ("committed" if message.commit else "aborted"):
            reply.reply(Acknowledged(self.term))
        elif not message.commit and outcome is None:
            if workspace is not None:
                self._forget(workspace)
            reply.reply(Acknowledged(self.term))
        else:
            reply.fail(WorkspaceLostError(f"the transaction is {outcome or 'not prepared'} here"))

    def _write_decision(self, workspace: Workspace, commit: bool, finish: Finish) -> None:
        self._open_batch()
        kind = EntryKind.COMMIT if commit else EntryKind.ABORT
        payload = _ENCODER.encode(TxnPayload(b"", b"", workspace.participants))
        entry = self._append_whole(kind, workspace.txn, payload, apply=True)
        workspace.in_batch = True

        def done(error: GridError | None) -> None:
            workspace.in_batch = False
            if error is None:
                self._forget(workspace)
            finish(error)

        self._add(entry, done)

    def roll_back(self, message: RollBack) -> None:
        """Drop an unprepared workspace, and what waits for it."""
        waiting = self._pending.get(message.txn)
        if waiting is not None:
            waiting(WorkspaceLostError("the transaction was rolled back"))
        self._submit(lambda: self._drop(message.txn), Nobody())

    def _drop(self, txn: TxnId) -> None:
        workspace = self._workspaces.get(txn)
        if workspace is not None and not workspace.prepared:
            self._forget(workspace)

    def drop_orphans(self, alive: Callable[[TxnId], bool]) -> list[Workspace]:
        """Drop unprepared workspaces whose coordinator is gone; returns the prepared ones."""
        orphans = [w for w in self._workspaces.values() if not alive(w.txn)]
        for workspace in orphans:
            if not workspace.prepared:
                self.roll_back(RollBack(self._db, self.rs, workspace.txn))
        return [w for w in orphans if w.prepared]

    def prepared(self) -> list[Workspace]:
        """The prepared transactions here."""
        return [w for w in self._workspaces.values() if w.prepared]

    def ask_outcome(self, message: AskOutcome, reply: Reply) -> None:
        """What became of a transaction; writes ABORT first if nothing is known of it."""
        if trace.listener is not None:
            trace.step("data/txn/lead.py", message)
        waiting = self._pending.get(message.txn)
        if waiting is not None:
            waiting(WorkspaceLostError("the coordinator asked for the outcome"))

        def work() -> None:
            if self._batch:
                self._after_batch(work, reply)
                return
            outcome = self._element.outcome(message.txn)
            if outcome == "committed":
                reply.reply(Outcome("committed", self._element.changes_of(message.txn)))
                return
            if outcome == "aborted":
                reply.reply(Outcome("aborted"))
                return
            workspace = self._workspaces.get(message.txn)
            if workspace is None:
                workspace = Workspace(message.txn, boottime_s())
            self._write_decision(
                workspace,
                False,
                lambda error: (
                    reply.fail(error) if error is not None else reply.reply(Outcome("aborted"))
                ),
            )

        self._submit(work, reply)

    def forget(self, message: Forget) -> None:
        """Drop decisions that nobody will ask for any more, on all copies."""

        def work() -> None:
            self._open_batch()
            payload = encode_txns(message.txns)
            entry = self._append_whole(EntryKind.FORGET, None, payload, apply=True)
            self._add(entry, ignore_end)

        self._submit(work, Nobody())

    def transactions(self) -> tuple[TransactionState, ...]:
        """Open and prepared transactions here, for operators."""
        now_s = boottime_s()
        return tuple(
            TransactionState(
                w.txn,
                "prepared" if w.prepared else "open",
                int((now_s - w.started_s) * 1000),
                w.participants,
                len(w.changes),
            )
            for w in self._workspaces.values()
        )
