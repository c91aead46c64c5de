"""Large UPDATEs and DELETEs in slices: other writers of the replica set get in between.

The keys of the rows are found in the last committed state, on a reader's thread, and kept in a
file. Then the statement runs for some of them at a time. Each slice runs on what is committed now:
a row that was changed meanwhile is looked at again, and left alone if the conditions do not hold
any more (as READ COMMITTED of PostgreSQL does it, "EvalPlanQual" in its executor's README). Rows
are locked slice by slice; a slice that meets a lock is undone and waits, those before it stay.
What is changed goes to the log between slices (data/txn/parts.py).

A statement that looks at its own table beyond the row in hand, and meets a row that was changed
meanwhile, is undone and done in one piece (data/sql/found_values.py): in what is committed now are
its own first slices.

Only for statements whose rows have nothing to do with each other (`RunSql.keyed`). If the
transaction has written the table before, its rows are found in what is committed with its changes
laid over (data/storage/own.py), and a slice begins with what the transaction made of its rows. Not
if the table has several unique keys: those rows might be in the way of others' that it changed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.held import HeldScan
from data.storage.own import OwnView
from data.storage.spool import PieceFile
from data.storage.sqlite import Scan
from data.txn.afterwards import and_then
from data.txn.batches import Failing, Slices
from data.txn.facts import is_row_of
from data.txn.locks import Conflict, Lock, Mode
from data.txn.long_statements import LongStatements
from data.txn.move_steps import StepsResult
from data.txn.parts import PART_CHANGES, is_large
from data.txn.ports import Reply, workspace_lost
from data.txn.steps import StepRunner
from data.txn.workspace import OwnChanges, Workspace
from protocol.clock import boottime_s
from protocol.errors import GridError, InternalError, RowChangedError, WorkspaceLostError
from protocol.ids import TxnId
from protocol.messages.sql import Keyed, ReadView, RunSql, RunStatement, StillRuns
from protocol.sqltypes import StorageRow

log = structlog.get_logger()

SLICE = 2000  # keys: some 20 ms on the writer's thread
DRIFT_MS = 20_000  # further back than asked: over hours two clocks move apart (read_atomic.py)
STILL_RUNS_S = 5.0  # then the coordinator hears that it still runs; well below its patience
_WRITTEN = (Mode.INTENTION, Mode.UPDATE, Mode.EXCLUSIVE)  # locks on a table whose rows we changed

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


@dataclass(eq=False)
class SlicedRun:
    """One statement between its first slice and its answer."""

    message: RunStatement
    step: RunSql
    keyed: Keyed
    workspace: Workspace
    table: str  # in SQLite
    before: int  # changes of the transaction before it
    ends: Reply  # its failures
    reply: Reply | None = None  # None: the coordinator was told that it still runs, and asks again
    own: bool = False  # the transaction has written the table before
    keys: PieceFile | None = None  # of its rows, when they are found
    rows: PieceFile | None = None  # for each piece of keys what the transaction has made of them
    at: int = 0  # the slice that is next
    count: int = 0  # rows changed
    until_s: float = 0.0  # end of the wait for a lock that is on
    view: ReadView | None = None  # of the state in which its rows were found
    viewed_s: float = 0.0  # when
    finding: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    error: GridError | None = None  # it is to stop
    undone: bool = False  # and nothing of it is left
    given_up: bool = False  # nobody will ask what became of it


class SlicedStatements(LongStatements):
    """Between LongStatements and ReadSide."""

    def __init__(self, element: Element, db: str, rs: int) -> None:
        super().__init__(element, db, rs)
        self._sliced: dict[TxnId, SlicedRun] = {}
        self._finding: set[asyncio.Task[None]] = set()

    # -- begin -------------------------------------------------------------------------------------
    def _may_slice(self, runner: StepRunner, message: RunStatement) -> bool:
        """A large statement of a kind that can be done in slices."""
        if not message.steps or message.commit or message.snapshot:
            return False
        step = message.steps[0]
        if type(step) is not RunSql or step.keyed is None or step.want_rows:
            return False
        if not runner.is_plain(message.steps):
            return False
        if self._element.is_short(step.sql, step.params):
            return False
        workspace = self._workspaces.get(message.txn)
        if workspace is not None and workspace.in_one_piece == message.number:
            return False
        if step.keyed.asks:  # perhaps of what the transaction itself has done
            return workspace is None or not (workspace.rows or workspace.adds)
        if not self._has_written(message.txn, step.table_id):
            return True
        return len(runner.facts_of(step.table_id).unique_keys) == 1

    def _has_written(self, txn: TxnId, table_id: int) -> bool:
        return self.locks.mode_of(txn, (table_id,)) in _WRITTEN

    def _run_sliced(self, message: RunStatement, workspace: Workspace, reply: Reply) -> None:
        step = message.steps[0]
        assert isinstance(step, RunSql)
        assert step.keyed is not None
        txn = message.txn
        if self._element.outcome(txn) == "aborted":  # it had PARTs when the lead before was lost
            self._statement_failed(txn)
            raise workspace_lost(txn)
        ends = Failing(lambda error: self._sliced_failed(run, error or workspace_lost(txn)))
        table = self._runner(message.schema).facts_of(step.table_id).name
        run = SlicedRun(message, step, step.keyed, workspace, table, workspace.rows, ends)
        self._sliced[txn] = run
        self._attach(run, reply)
        run.own = self._has_written(txn, step.table_id)
        if not (run.own and self._wait_until_small(workspace, lambda: self._begin(run), ends)):
            self._begin_sliced(run)

    def _begin(self, run: SlicedRun) -> None:
        if self._batch:
            self._after_batch(lambda: self._begin(run), run.ends)
        else:
            self._begin_sliced(run)

    def _begin_sliced(self, run: SlicedRun) -> None:
        """Lock the table as a writer of rows does: it stays as it is. Then find the rows."""
        if run.error is not None:
            return
        runner = self._runner(run.message.schema)
        self.ownership.check(run.message.map_version, run.message.bucket)
        wanted: list[Lock] = [((run.step.table_id,), Mode.INTENTION), *self.gate.all()]
        conflict = self._meets_later(runner, run.message.steps)
        conflict = conflict or self.locks.first_conflict(run.message.txn, wanted)
        if conflict is not None:
            self._wait_sliced(run, conflict)
            return
        self.waits.wake(self.locks.take(run.message.txn, wanted))
        run.until_s = 0.0
        run.finding = self._loop.create_task(self._find(run))
        self._finding.add(run.finding)
        run.finding.add_done_callback(self._finding.discard)

    async def _find(self, run: SlicedRun) -> None:
        find = run.keyed.find
        try:
            if run.own:
                await self._find_own(run)
            else:
                snapshot = await self._element.snapshot()
                self._note_view(run)
                await self._keep_keys(run, snapshot.scan(find.sql, find.params, owned=True))
        except GridError as error:
            self._sliced_failed(run, error)
        except Exception as error:
            if run.error is None:  # else it was cancelled, and the element is closed meanwhile
                log.exception("lead.find_failed", db=self._db, rs=self.rs)
            self._sliced_failed(run, InternalError(f"{type(error).__name__}: {error}"))
        else:
            self._submit(lambda: self._next_slice(run), run.ends)

    def _note_view(self, run: SlicedRun) -> None:
        """The state in which its rows are looked for was opened, and nothing has run since."""
        message = run.message
        if message.back_ms:
            ran_ms = int((boottime_s() - run.workspace.used_s) * 1000)
            run.view = self.view(message.back_ms + message.lock_wait_ms + ran_ms + DRIFT_MS)
            run.viewed_s = boottime_s()

    async def _keep_keys(self, run: SlicedRun, scan: Scan | HeldScan) -> None:
        await and_then(self._put_keys(run, scan), scan.close)

    async def _put_keys(self, run: SlicedRun, scan: Scan | HeldScan) -> None:
        run.keys = PieceFile(self._element.path)
        while not scan.ended:
            rows = await scan.fetch(SLICE)
            if rows:
                run.keys.put(_encode(rows), len(rows))

    async def _find_own(self, run: SlicedRun) -> None:
        own = run.workspace.own_changes()
        view = await self._element.own_view(own.cuts)
        await and_then(self._find_in(run, view, own), view.close)

    async def _find_in(self, run: SlicedRun, view: OwnView, own: OwnChanges) -> None:
        find = run.keyed.find
        view.renew()
        self._note_view(run)
        await view.lay_pieces(own.pieces())
        await self._keep_keys(run, view.scan(find.sql, find.params))
        assert run.keys is not None
        run.rows = PieceFile(self._element.path)
        for number in range(len(run.keys)):
            rows = await view.own_rows(run.table, _decode(run.keys.piece(number)))
            run.rows.put(_encode(rows), len(rows))

    def _has_found(self, txn: TxnId) -> bool:
        return txn in self._sliced

    # -- slices ------------------------------------------------------------------------------------
    def _next_slice(self, run: SlicedRun) -> None:
        if run.error is not None:
            return
        if self._batch:
            self._after_batch(lambda: self._next_slice(run), run.ends)
            return
        workspace = run.workspace
        if self._workspaces.get(workspace.txn) is not workspace:
            raise workspace_lost(workspace.txn)
        if workspace.failed is not None:
            raise workspace.failed
        workspace.used_s = boottime_s()
        assert run.keys is not None
        if run.keyed.asks:
            runner = self._runner(self._element.schema_version)
            conflict = self._meets_later(runner, run.message.steps)
            if conflict is not None:
                self._wait_sliced(run, conflict)
                return
        if run.at == len(run.keys):
            self._end_sliced(run)
        else:
            self._in_slices(self._one_slice(run, _decode(run.keys.piece(run.at))), run.ends)

    def _one_slice(self, run: SlicedRun, keys: list[StorageRow]) -> Slices:
        element, workspace, txn = self._element, run.workspace, run.message.txn
        runner = self._runner(element.schema_version)  # its own table is locked against DDL
        step, sql = run.step, run.keyed.sql
        own = _decode(run.rows.piece(run.at)) if run.rows is not None else []

        def work() -> tuple[list[RowChange], list[Lock]]:
            if own:
                element.put_rows(run.table, own)
            changes = element.run_by_key(sql, step.params, keys).changes
            return changes, runner.row_locks(changes)

        self._enter(workspace)
        element.savepoint("slice")
        try:
            changes, wanted = yield from self._on_thread(work)
            if workspace.whole:
                wanted = [lock for lock in wanted if not is_row_of(lock[0], workspace.whole)]
            conflict = self.locks.first_conflict(txn, wanted)
            self._check_lease()
        except GeneratorExit:
            raise
        except BaseException:
            self._undo_to("slice", True)
            raise
        if run.error is not None or conflict is not None:
            self._undo_to("slice", True)
            if run.error is None:
                assert conflict is not None
                self._wait_sliced(run, conflict)
            return
        element.release("slice")
        # locks that the log's PARTs tell need no names
        large = is_large(workspace) or len(workspace.changes) + len(changes) >= PART_CHANGES
        held = self.locks.take(txn, () if large else wanted, wanted if large else ())
        self.waits.wake(held)
        workspace.changes += changes
        run.count += len(changes)
        run.at += 1
        run.until_s = 0.0
        self._shrink(workspace)
        if not self._wait_until_small(workspace, lambda: self._next_slice(run), run.ends):
            self._submit(lambda: self._next_slice(run), run.ends)  # who waits goes first

    def _wait_sliced(self, run: SlicedRun, conflict: Conflict) -> None:
        go_on = self._next_slice if run.finding is not None else self._begin_sliced

        def again(until_s: float) -> None:
            run.until_s = until_s
            self._submit_between(lambda: go_on(run), run.ends)

        self.waits.wait(
            run.message.txn,
            conflict,
            run.message.lock_wait_ms,
            run.until_s,
            again,
            run.ends,
            failed=lambda: None,  # `ends` sees to it
        )

    # -- its end -----------------------------------------------------------------------------------
    def _end_sliced(self, run: SlicedRun) -> None:
        self._check_lease()
        workspace = run.workspace
        del self._sliced[workspace.txn]
        self._keep(workspace, StepsResult(counts=[run.count]), [], run.before)
        assert workspace.last_answer is not None
        if run.view is not None:
            since_ms = int((boottime_s() - run.viewed_s) * 1000)
            view = replace(run.view, complete_ms=run.view.complete_ms + since_ms)
            workspace.last_answer = replace(workspace.last_answer, view=view)
        reply = self._detach(run)
        if reply is not None:
            reply.reply(workspace.last_answer)

    def _sliced_failed(self, run: SlicedRun, error: GridError) -> None:
        """Stop it, and undo what it did, as soon as nothing of that is on its way to the log."""
        if run.error is not None:
            return
        run.error = error
        if run.finding is not None:
            run.finding.cancel()
        self._submit_between(
            lambda: self._undo_sliced(run), Failing(lambda error: self._sliced_lost(run))
        )

    def _undo_sliced(self, run: SlicedRun) -> None:
        if self._batch:
            lost = Failing(lambda error: self._sliced_lost(run))
            self._after_batch(lambda: self._undo_sliced(run), lost)
            return
        workspace = run.workspace
        if self._workspaces.get(workspace.txn) is workspace:
            gone = workspace.cut_to(run.before, self._element.changes_in_part)
            if gone and self._resident is workspace:
                self._park()
            if isinstance(run.error, RowChangedError):  # in one piece, when it is asked for again
                workspace.in_one_piece = run.message.number
                self.waits.wake(self.locks.give_back(workspace.txn))
            else:
                self._statement_failed(workspace.txn)
        self._sliced_over(run)

    def _sliced_lost(self, run: SlicedRun) -> None:
        """The term is over."""
        in_log = run.workspace.in_log  # the next lead ends it: it cannot be run there
        run.error = workspace_lost(run.message.txn) if in_log else self._not_lead()
        self._sliced_over(run)

    def _sliced_over(self, run: SlicedRun) -> None:
        """Nothing of it is left."""
        run.undone = True
        reply = self._detach(run)
        if (reply is not None or run.given_up) and self._sliced.get(run.message.txn) is run:
            del self._sliced[run.message.txn]
        if reply is not None:
            assert run.error is not None
            if isinstance(run.error, RowChangedError):
                reply.reply(StillRuns(self.term))
            else:
                reply.fail(run.error)

    def _stop_sliced(self, txn: TxnId, why: str) -> None:
        """Before a transaction is ended or goes back: what it runs here is undone first."""
        run = self._sliced.get(txn)
        if run is not None:
            run.given_up = True
            if run.undone:
                del self._sliced[txn]
            self._sliced_failed(run, WorkspaceLostError(why))

    def _end_term(self, error: GridError | None = None) -> None:
        super()._end_term(error)
        runs = list(self._sliced.values())
        self._sliced.clear()
        for run in runs:
            if run.error is None:
                self._sliced_failed(run, self._not_lead())
            elif not run.undone:
                self._sliced_lost(run)

    # -- who waits for it --------------------------------------------------------------------------
    def _is_repeated(self, message: RunStatement, reply: Reply) -> bool:
        """The statement runs here already: the reply gets its end. True: nothing else to do."""
        run = self._sliced.get(message.txn)
        if run is None:
            return False
        if message.number != run.message.number:
            raise workspace_lost(message.txn)
        before = self._detach(run)
        if before is not None:
            before.fail(WorkspaceLostError("the statement was sent again"))
        self._attach(run, reply)
        if run.undone:
            self._sliced_over(run)
        return True

    def _attach(self, run: SlicedRun, reply: Reply) -> None:
        run.reply = reply
        run.timer = self._loop.call_later(STILL_RUNS_S, self._still_runs, run)

    def _detach(self, run: SlicedRun) -> Reply | None:
        reply, run.reply = run.reply, None
        if run.timer is not None:
            run.timer.cancel()
        return reply

    def _still_runs(self, run: SlicedRun) -> None:
        reply = self._detach(run)
        if reply is not None:
            reply.reply(StillRuns(self.term))

    # what ReadSide does
    def view(self, back_ms: int) -> ReadView:
        """About the last committed state, as it is now."""
        raise NotImplementedError
