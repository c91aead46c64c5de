"""The lead's writer: one SQLite write transaction serves every open transaction of an element.

Work arrives from RPC handlers and runs on the event loop, in order (data/txn/batches.py).
Statements of open transactions run on the last committed state with the transaction's own changes
brought in; what they met locked they wait for (data/txn/waiting.py) and run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import structlog

from data.storage import changes as row_changes
from data.storage.element import Element
from data.storage.entry import EntryKind, TxnPayload
from data.txn import luggage
from data.txn.bulk_locks import KeyBlock
from data.txn.deciding import Deciding
from data.txn.facts import FactsCache, is_row_of, whole_tables
from data.txn.foresight import UNLOCKED_MAX, foresee, met_by
from data.txn.locks import Conflict, LockTable, Mode, Resource
from data.txn.move_steps import MustWaitError, StepsResult
from data.txn.parts import PART_CHANGES, is_large, payload_of
from data.txn.ports import (
    NOBODY,
    Nobody,
    Reply,
    decode_locks,
    workspace_lost,
)
from data.txn.steps import NotSeenError, StepRunner
from data.txn.waiting import LockWaits
from data.txn.workspace import OwnChanges, Part, Workspace
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    GridError,
    InternalError,
    StaleSchemaError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages import sql
from protocol.messages.sql import Ran, RunStatement
from protocol.messages.txn import (
    Acknowledged,
    CommitSingle,
    RollBack,
    UndoStatement,
)

log = structlog.get_logger()

_ENCODER = msgspec.msgpack.Encoder()
_READING = (sql.SelectRows, sql.LockKeys, sql.LockTable)


class LeadWriter(Deciding):
    """Writes of one element while it leads its replica set. Everything runs on the event loop."""

    def __init__(self, element: Element, db: str, rs: int) -> None:
        super().__init__(element, db, rs)
        self.locks = LockTable()
        self.waits = LockWaits(self.locks)
        self._workspaces: dict[TxnId, Workspace] = {}
        self._running = TxnId(0, "", 0)  # whose statement runs
        self._steps = self._new_runner()
        self._steps_version = element.schema_version

    # -- role --------------------------------------------------------------------------------------
    def became_lead(self, term: int, in_sync: tuple[int, ...] = ()) -> None:
        """Serve from now on. Locks and workspaces of prepared transactions are rebuilt first."""
        self._start_term(term)
        self.load_ownership()
        now_s = boottime_s()
        for prepared in self._element.prepared():
            payload = prepared.payload
            workspace = Workspace(prepared.txn, term, now_s, prepared_s=now_s)
            workspace.changes = row_changes.decode(payload.changes)
            workspace.parts = [Part(lsn, 0) for lsn in payload.parts]
            workspace.participants = payload.participants
            workspace.ddl = payload.ddl
            workspace.anchor_decides = prepared.entry.lsn <= self._element.returned_lsn
            self._workspaces[prepared.txn] = workspace
            held = decode_locks(payload.locks)
            self.locks.take(prepared.txn, held)
            self.gate.adopt(prepared.txn, held)
        large = [w for w in self._workspaces.values() if w.parts or w.queue]
        if large or self._element.later is not None:  # not all their locks travel with them
            self._rebuild(self._take_over(large, self._generation))
        else:
            self._serve()

    def _take_over(self, large: list[Workspace], generation: int) -> Iterator[None]:
        yield from self._catch_up_later(generation)
        if generation == self._generation:
            yield from self._locks_again(large, generation)

    def _serve(self) -> None:
        self._recent.start(boottime_s())
        self.leading = True
        self._submit(self._log_applied, Nobody())
        for txn in list(self._element.open_parts):  # what older leads have left open
            self._abort_parts(txn)
        log.info(
            "lead.serving", db=self._db, rs=self.rs, term=self.term, open=len(self._workspaces)
        )

    def state_changed(self, status: object) -> None:
        """Replication tells of any change of role; only leading matters here."""

    def lost_lead(self) -> None:
        """Stop at once: the open batch is rolled back, what waits is told, all locks forgotten."""
        if self.leading or self._workspaces:  # or it is still taking over
            self._end_term()

    def _end_term(self, error: GridError | None = None) -> None:
        waiting = [work for w in self._workspaces.values() for work in w.when_small]
        self._workspaces.clear()
        self.locks.clear()
        self.gate.clear()
        super()._end_term(error)
        for work in waiting:
            work()  # hears that this element does not lead any more
        self.waits.give_all_up(self._not_lead)

    def pack(self) -> bytes:
        """Open workspaces and their locks, for the next lead of a planned hand-over."""
        every = self._workspaces.values()
        whole = (w for w in every if w.txn not in self._sliced and not w.later)
        return luggage.pack(((w, self.locks.held_by(w.txn)) for w in whole), boottime_s())

    def unpack(self, packed: bytes) -> None:
        """Take over what the lead before packed; `became_lead` follows."""
        for workspace, held in luggage.unpack(packed, boottime_s()):
            self._workspaces[workspace.txn] = workspace
            self.locks.take(workspace.txn, held)
            self.gate.adopt(workspace.txn, held)

    def _runner(self, schema: int) -> StepRunner:
        version = self._element.schema_version
        if schema != version:
            raise StaleSchemaError(f"planned with schema version {schema}, here is {version}")
        if version != self._steps_version:
            self._steps = self._new_runner()
            self._steps_version = version
        self._steps.snapshot, self._steps.apart, self._steps.waiting = None, False, -1
        return self._steps

    def _new_runner(self) -> StepRunner:
        return StepRunner(
            self._element,
            FactsCache(self._element.catalog),
            lambda wanted: self.locks.first_conflict(self._running, wanted),
            self,
        )

    # -- statements --------------------------------------------------------------------------------
    def run(self, message: RunStatement, reply: Reply) -> None:
        """One statement; answers Ran or fails the reply."""
        if trace.steps.listener is not None:
            trace.step("data/txn/lead.py", message)
        if self.no_room and any(not isinstance(step, _READING) for step in message.steps):
            reply.fail(self.disk_full())
        elif message.commit and message.number == 1:
            self._submit(lambda: self._run_autocommit(message, reply), reply)
        elif not self._foreseen(message, reply):
            self._submit_between(lambda: self._run_in_txn(message, reply), reply)

    def _run_autocommit(self, message: RunStatement, reply: Reply, until_s: float = 0.0) -> None:
        self.ownership.check(message.map_version, message.bucket)
        runner = self._runner(message.schema)
        if runner.is_long(message.steps):  # as a transaction of its own
            again = partial(self._run_in_txn, message, reply, until_s)
            self._submit_between(again, reply)
            return
        self._open_batch()
        element = self._element
        plain = runner.is_plain(message.steps)
        guard = not plain and (bool(self.locks) or bool(self._batch))
        if guard:
            element.savepoint("statement")
        self._running = message.txn
        result: StepsResult | None = None
        conflict = None
        try:
            result = self._run_steps(runner, message.steps)
            if result.effects or result.block is not None:
                raise InternalError("a statement that cannot be was sent to commit at once")
            many = len(result.changes) >= PART_CHANGES
            if self.locks or many:
                wanted = runner.row_locks(result.changes) + result.locks
                conflict = self.locks.first_conflict(message.txn, wanted)
            entry = None
            if result.changes and conflict is None and not many:
                payload = _ENCODER.encode(TxnPayload(row_changes.encode(result.changes)))
                entry = self._append(EntryKind.COMMIT, message.txn, payload)
        except MustWaitError as error:
            conflict = error.conflict
        except BaseException:
            self._undo_statement(result, plain, guard)
            self._autocommit_over(message.txn, until_s)
            raise
        if conflict is not None:
            self._undo_statement(result, plain, guard)
            self._wait_autocommit(message, reply, until_s, conflict)
            return
        assert result is not None
        if many:  # it goes on as a transaction of its own, whose changes move to the log
            self._undo_statement(result, plain, guard)
            workspace = Workspace(message.txn, self.term, boottime_s())
            self._workspaces[message.txn] = workspace
            self._keep(workspace, result, wanted)
            self._commit(workspace, b"", reply, workspace.last_answer)
            return
        answer = Ran(self.term, tuple(result.counts), result.rows)
        if guard:
            element.release("statement")
        self._unlocked += result.changes
        self._add(entry, lambda error: reply.reply(answer) if error is None else reply.fail(error))
        self._autocommit_over(message.txn, until_s)

    def _wait_autocommit(
        self, message: RunStatement, reply: Reply, until_s: float, conflict: Conflict
    ) -> None:
        txn = message.txn

        def again(until_s: float) -> None:  # it holds what it waited for: it may join a batch
            self._submit(
                lambda: self._retry(
                    lambda: self._run_autocommit(message, reply, until_s),
                    lambda: self._autocommit_over(txn, until_s),
                ),
                reply,
            )

        self.waits.wait(
            txn,
            conflict,
            message.lock_wait_ms,
            until_s,
            again,
            reply,
            failed=lambda: self._autocommit_over(txn, 1.0),
            autocommit=True,
        )

    def _autocommit_over(self, txn: TxnId, until_s: float) -> None:
        """It holds nothing any more: what comes now comes after it. until_s 0.0: it never did."""
        if until_s:
            self.waits.wake(self.locks.release(txn))

    def _undo_statement(self, result: StepsResult | None, plain: bool, guard: bool) -> None:
        """Undo an autocommit statement; a plain one has no savepoint but its own row changes."""
        element = self._element
        if not plain or not self._batch or not element.in_batch:
            self._undo_to("statement", guard)
        elif result is not None and (result.changes or result.block is not None):
            try:
                block = result.block
                assert block is None or block.placed
                element.undo_changes(result.changes if block is None else block.rows)
            except BaseException:
                element.rollback()  # the batch is lost; nothing of it was sent
                raise

    def _foreseen(self, message: RunStatement, reply: Reply) -> bool:
        """Answer an UPDATE without running it (data/txn/foresight.py). False: it has to be run."""
        step = message.steps[0] if len(message.steps) == 1 else None
        if (
            type(step) is not sql.RunSql
            or step.look is None
            or not self._nothing_special(message)
            or len(self._unlocked) > UNLOCKED_MAX
        ):
            return False
        workspace = self._workspaces.get(message.txn)
        if workspace is None:
            if message.number != 1 or message.term:
                return False
            workspace = Workspace(message.txn, self.term, boottime_s())
        elif not self._takes_foreseen(workspace, message):
            return False
        runner = self._runner(message.schema)
        facts = runner.facts_of(step.table_id)
        changes = foresee(self._element, facts, step)
        if changes is None or (not changes and workspace.rows):
            return False
        if changes and self._unlocked and met_by(self._unlocked, facts, changes[0]):
            return False
        wanted = runner.row_locks(changes)
        if self.locks.first_conflict(message.txn, wanted) is not None:
            return False
        assert self._replicator is not None
        if self._touched_before(workspace, wanted, None) or not self._replicator.lead_ok():
            return False
        if trace.steps.listener is not None:
            trace.step("data/txn/foresight.py")
        self._workspaces[message.txn] = workspace
        workspace.used_s = boottime_s()
        self._keep(workspace, StepsResult(counts=[len(changes)], changes=changes), wanted)
        reply.reply(workspace.last_answer)
        return True

    def _nothing_special(self, message: RunStatement) -> bool:
        """A statement like most, nothing waits for its turn, nothing long is on."""
        return (
            self.leading
            and not (message.commit or message.snapshot or message.back_ms)
            and not (self._between or self._sliced)
            and self._slices is None
            and self._later is None
            and message.schema == self._element.schema_version
            and message.map_version == self.ownership.version
        )

    def _takes_foreseen(self, workspace: Workspace, message: RunStatement) -> bool:
        """The statement is its next one, and its changes are all in memory, and only there."""
        return (
            self._resident is not workspace
            and not workspace.prepared
            and message.term in (0, workspace.term)
            and message.number == workspace.statements + 1
            and workspace.failed is None
            and not (workspace.whole or workspace.adds or is_large(workspace))
            and not self.waits.is_waiting(workspace.txn)
        )

    def _run_in_txn(self, message: RunStatement, reply: Reply, until_s: float = 0.0) -> None:
        self.ownership.check(message.map_version, message.bucket)
        runner = self._runner(message.schema)
        if self._sliced and self._is_repeated(message, reply):
            return
        if self._batch:
            self._after_batch(lambda: self._run_in_txn(message, reply, until_s), reply)
            return
        if not until_s:  # sent again, because its answer was lost: one of them is enough
            self.waits.give_up(message.txn, WorkspaceLostError("the statement was sent again"))
        workspace = self._enlist(message)
        if message.number == workspace.statements:
            assert workspace.last_answer is not None
            self._check_lease()
            reply.reply(workspace.last_answer)
            return
        if workspace.failed is not None:
            raise workspace.failed
        if self._may_slice(runner, message):
            self._run_sliced(message, workspace, reply)
            return
        conflict = self._meets_later(runner, message.steps)
        if conflict is not None:
            self._wait_in_txn(message, reply, until_s, conflict)
            return
        if not (is_large(workspace) or workspace.adds) or self._is_in(workspace):
            self._bring_in(workspace)
        elif runner.is_apart(message.steps):  # what came before is not looked at
            self._enter(workspace)
        else:
            self._all_in(
                workspace, lambda: self._run_resident(message, workspace, reply, until_s), reply
            )
            return
        self._run_resident(message, workspace, reply, until_s)

    def _all_in(self, workspace: Workspace, then: Callable[[], None], reply: Reply) -> None:
        """Do something when a large workspace is in place."""
        self._in_slices(self._bring_in_slices(workspace, then), reply)

    def _run_resident(
        self, message: RunStatement, workspace: Workspace, reply: Reply, until_s: float
    ) -> None:
        """A statement of the resident transaction."""
        runner = self._runner(message.schema)
        complete = workspace.complete
        if complete and runner.is_long(message.steps):
            slices = self._run_long(runner, message, workspace, reply, until_s)
            self._in_slices(slices, reply)
            return
        try:
            runner.snapshot = self._snapshot_of(message.snapshot, workspace)
            runner.apart = not complete
            runner.waiting = sum(w.unplaced_bytes for w in self._workspaces.values())
            self._element.savepoint("statement")
            self._running = message.txn
            try:
                result = self._run_steps(runner, message.steps)
                wanted = result.locks
                if not result.adds:  # nobody else sees a table that DDL makes
                    wanted = runner.row_locks(result.changes) + wanted
                if workspace.whole:
                    wanted = [lock for lock in wanted if not is_row_of(lock[0], workspace.whole)]
                conflict = self.locks.first_conflict(message.txn, wanted)
                keys = self._keys_of(result, workspace)
                if keys is not None and conflict is None:
                    conflict = self.locks.block_conflict(message.txn, keys)
                self._check_lease()
                apart = complete or result.adds or not self._touched_before(workspace, wanted, keys)
            except MustWaitError as error:
                conflict, apart = error.conflict, True
            except (GridError, NotSeenError):
                self._undo_to("statement", True)
                if complete:
                    raise
                apart = False  # perhaps it failed for what it could not see
            except BaseException:
                self._undo_to("statement", True)
                raise
            else:
                if not apart:
                    self._undo_to("statement", True)
        except BaseException:
            self._statement_failed(message.txn)
            raise
        if not apart:
            again = lambda: self._run_resident(message, workspace, reply, until_s)  # noqa: E731
            self._all_in(workspace, again, reply)
            return
        if conflict is not None:
            self._undo_to("statement", True)
            self._wait_in_txn(message, reply, until_s, conflict)
            return
        self._element.release("statement")
        self._keep(workspace, result, wanted)
        self._answer(message, workspace, result, reply)

    def _answer(
        self, message: RunStatement, workspace: Workspace, result: StepsResult, reply: Reply
    ) -> None:
        self._add_view(message, workspace)
        if message.commit and not result.effects:
            self._commit(workspace, b"", reply, workspace.last_answer)
        else:
            reply.reply(workspace.last_answer)

    def _wait_in_txn(
        self, message: RunStatement, reply: Reply, until_s: float, conflict: Conflict
    ) -> None:
        def again(until_s: float) -> None:
            self._submit_between(
                lambda: self._retry(
                    lambda: self._run_in_txn(message, reply, until_s),
                    lambda: self._statement_failed(message.txn),
                ),
                reply,
            )

        self.waits.wait(
            message.txn,
            conflict,
            message.lock_wait_ms,
            until_s,
            again,
            reply,
            failed=lambda: self._statement_failed(message.txn),
        )

    def _retry(self, work: Callable[[], None], failed: Callable[[], None]) -> None:
        """A statement that holds granted locks: however it fails, they go back."""
        try:
            work()
        except BaseException:
            failed()
            raise

    def _keys_of(self, result: StepsResult, workspace: Workspace) -> KeyBlock | None:
        """The keys of a block that have to be locked."""
        if result.block is None or result.block.table_id in workspace.whole:
            return None
        return result.block.keys

    def _touched_before(
        self,
        workspace: Workspace,
        wanted: list[tuple[Resource, Mode]],
        keys: KeyBlock | None,
    ) -> bool:
        """Some of the rows or keys were locked by an earlier statement of the transaction."""
        if workspace.whole:
            return True  # perhaps: rows of tables that are locked as a whole are not locked
        touched, txn = self.locks.touched, workspace.txn
        if keys is not None and self.locks.block_touched(txn, keys):
            return True
        return any(len(r) > 1 and touched(txn, r, m) for r, m in wanted)  # type: ignore[arg-type]

    def _enlist(self, message: RunStatement) -> Workspace:
        """The transaction's workspace, made for its first statement here."""
        workspace = self._workspaces.get(message.txn)
        if workspace is None:
            if message.number != 1 or message.term:
                raise workspace_lost(message.txn)
            workspace = Workspace(message.txn, self.term, boottime_s())
            self._workspaces[message.txn] = workspace
            return workspace
        following = message.number == workspace.statements + 1
        repeated = message.number == workspace.statements and workspace.last_answer is not None
        if (
            workspace.prepared
            or message.term not in (0, workspace.term)
            or not (following or repeated)
        ):
            raise workspace_lost(message.txn)
        workspace.used_s = boottime_s()
        return workspace

    def _keep(
        self,
        workspace: Workspace,
        result: StepsResult,
        wanted: list[tuple[Resource, Mode]],
        before: int = -1,
    ) -> None:
        """before: number of changes before the statement, if some of its own are there already."""
        txn, large = workspace.txn, is_large(workspace)
        keys = self._keys_of(result, workspace)
        if keys is not None:
            self.locks.take_block(txn, keys)
        held = self.locks.take(txn, result.locks if large else wanted, wanted if large else ())
        self.waits.wake(held)
        workspace.whole |= whole_tables(wanted)
        workspace.marks.append(workspace.rows if before < 0 else before)
        workspace.changes += result.changes
        if result.block is not None:
            workspace.add_block(len(result.block.rows), result.block.encoded)
            if not result.block.placed:
                workspace.complete = False
                workspace.unplaced_bytes += len(result.block.encoded)
        workspace.adds = workspace.adds or result.adds
        workspace.statements += 1
        workspace.last_answer = Ran(
            workspace.term, tuple(result.counts), result.rows, tuple(result.effects)
        )
        self._shrink(workspace)

    def _statement_failed(self, txn: TxnId) -> None:
        """Locks granted for it go back; if it was the first one here, nothing is left."""
        self.waits.wake(self.locks.give_back(txn))
        workspace = self._workspaces.get(txn)
        if workspace is not None and not workspace.statements and not workspace.prepared:
            self._start_anew(workspace)

    def _lose(self, workspace: Workspace) -> None:
        self._forget(workspace)

    def is_open(self, txn: TxnId) -> bool:
        """Something of it may be asked for here."""
        return txn in self._workspaces

    def read_in_txn(
        self,
        txn: TxnId,
        term: int,
        schema: int,
        sql: str,
        read: Callable[[Element], None],
        own: Callable[[OwnChanges], None],
        reply: Reply,
    ) -> None:
        """Call `read` with the transaction's changes in place, or `own` with very many of them.

        `term` is the one that its statements here were answered with; `sql` what `read` runs.
        Fails the reply with WorkspaceLostError if they are gone, with what `read` raises, or
        NotLeadError.
        """

        def work() -> None:
            self._runner(schema)
            if self._batch:
                self._after_batch(work, reply)
                return
            workspace = self._workspaces.get(txn)
            if workspace is None or workspace.prepared or workspace.term != term:
                raise workspace_lost(txn)
            workspace.used_s = boottime_s()
            if is_large(workspace):
                if not self._wait_until_small(workspace, work, reply):
                    own(workspace.own_changes())
                return
            if self._reads_later(sql, work, reply):
                return
            self._bring_in(workspace)
            read(self._element)

        self._submit_between(work, reply)

    # -- the end of a transaction ------------------------------------------------------------------
    def _workspace(self, txn: TxnId, term: int, statements: int) -> Workspace:
        workspace = self._workspaces.get(txn)
        if workspace is None or workspace.term != term or workspace.statements != statements:
            raise workspace_lost(txn)
        if txn in self._sliced or workspace.later:  # its coordinator does not wait for it any more
            raise workspace_lost(txn)
        return workspace

    def undo_statement(self, message: UndoStatement, reply: Reply) -> None:
        """Back to just after statement `number`; one that waits for a lock is given up."""
        self._stop_sliced(message.txn, "the statement was given up")
        self.waits.give_up(message.txn, WorkspaceLostError("the statement was given up"))

        def work() -> None:
            if self._batch:  # the statement may wait for its end: undo comes after it
                self._after_batch(work, reply)
                return
            workspace = self._workspaces.get(message.txn)
            if message.number == 0:
                if workspace is not None and not workspace.prepared:
                    self._start_anew(workspace)
                reply.reply(Acknowledged(self.term))
                return
            if (
                workspace is None
                or workspace.prepared
                or workspace.term != message.term
                or workspace.statements < message.number
            ):
                raise workspace_lost(message.txn)
            gone = workspace.cut(message.number, self._element.changes_in_part)
            if gone and self._resident is workspace:
                self._park()
            reply.reply(Acknowledged(self.term))

        self._submit_between(work, reply)

    def commit_single(self, message: CommitSingle, reply: Reply) -> None:
        """Commit a transaction that nobody else takes part in, or that all others have prepared."""
        if trace.steps.listener is not None:
            trace.step("data/txn/lead.py", message)

        def work() -> None:
            workspace = self._workspace(message.txn, message.term, message.statements)
            if message.participants:
                workspace.participants = message.participants
                if message.ddl or self._needs_prepare(workspace):
                    self._prepare_and_decide(message, reply)
                    return
            self._commit(workspace, message.ddl, reply, Acknowledged(self.term))

        self._submit(work, reply)

    def _commit(self, workspace: Workspace, ddl: bytes, reply: Reply, answer: Any) -> None:
        participants = workspace.participants
        if not workspace.rows and not ddl and not participants:
            self._check_lease()  # what it read under its locks was true until now
            self._forget(workspace)
            reply.reply(answer)
            return
        if workspace.failed is not None:
            self._forget(workspace)
            raise workspace.failed
        self._announce(workspace, ddl)
        if self._wait_until_small(
            workspace, lambda: self._commit_later(workspace, ddl, reply, answer), reply
        ):
            return

        def finish(error: GridError | None) -> None:
            self._ended(workspace, error, reply, answer)

        if is_large(workspace):
            if self._goes_later(workspace, ddl):
                again = lambda: self._commit_later(workspace, ddl, reply, answer)  # noqa: E731
                whole = payload_of(workspace, later=True)
                self._begin_later(workspace, whole, finish, again, reply)
            else:
                self._in_slices(self._commit_slices(workspace, ddl, finish), reply)
            return
        payload = _ENCODER.encode(payload_of(workspace, ddl=ddl, participants=participants))
        in_place = self._is_in(workspace) and not self._batch and not ddl and self._in_order
        if in_place:
            self._resident = None
        else:
            self._open_batch()
        entry = self._append_whole(
            EntryKind.COMMIT,
            workspace.txn,
            payload,
            apply=not in_place,
            participants=participants,
        )
        self._add(entry, finish)

    def _commit_later(self, workspace: Workspace, ddl: bytes, reply: Reply, answer: Any) -> None:
        if self._workspaces.get(workspace.txn) is not workspace:
            raise workspace_lost(workspace.txn)
        self._commit(workspace, ddl, reply, answer)

    def _ended(self, workspace: Workspace, error: GridError | None, reply: Reply, ok: Any) -> None:
        if workspace.participants and error is None:
            self._recent.add(workspace.txn, workspace.participants, boottime_s())
        self._forget(workspace, decided=True)
        if error is None:
            reply.reply(ok)
        else:
            reply.fail(error)

    def _start_anew(self, workspace: Workspace) -> None:
        """Nothing of it is left here; the transaction goes on, and may come again."""
        if not workspace.in_log:
            self._forget(workspace)
            return
        self.gate.open(workspace.txn)
        workspace.cut(0, self._element.changes_in_part)  # its PARTs are released at its end
        if self._resident is workspace:
            self._park()
        self.waits.wake(self.locks.release(workspace.txn))

    def _forget(self, workspace: Workspace, *, decided: bool = False) -> None:
        if self._resident is workspace:
            self._park()
        if self._workspaces.get(workspace.txn) is workspace:
            del self._workspaces[workspace.txn]
            self.gate.open(workspace.txn)
            self.waits.wake(self.locks.release(workspace.txn))
            self._now_small(workspace)
            if workspace.in_log and not decided:
                self._abort_parts(workspace.txn)

    def roll_back(self, message: RollBack, reply: Reply = NOBODY) -> None:
        """Drop an unprepared workspace, and what waits for it."""
        self._stop_sliced(message.txn, "the transaction was rolled back")
        self.waits.give_up(message.txn, WorkspaceLostError("the transaction was rolled back"))

        def work() -> None:
            if self._batch:  # a statement of it may wait for the end of the batch
                self._after_batch(work, reply)
                return
            workspace = self._workspaces.get(message.txn)
            if workspace is not None and not workspace.prepared:
                self._forget(workspace)
            reply.reply(Acknowledged(self.term))

        self._submit_between(work, reply)

    def drop_orphans(self, alive: Callable[[TxnId], bool]) -> list[Workspace]:
        """Drop unprepared workspaces whose coordinator is gone; returns the prepared ones."""
        orphans = [w for w in self._workspaces.values() if not alive(w.txn)]
        for workspace in orphans:
            if not workspace.prepared:
                self.roll_back(RollBack(self._db, self.rs, workspace.txn))
        return [w for w in orphans if w.prepared]
