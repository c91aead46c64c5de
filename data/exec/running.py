"""One statement on its way: attempts, retries at the next lead, results, cancel, suspension.

Fast paths (data/exec/fast.py) come here only when something did not go as usual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog

from data.distribution.route import Special
from data.exec import encoders
from data.exec.merging import Merger
from data.exec.partial import Partial, is_wanted
from data.exec.prepared import PreparedStatement, wants_table_lock
from data.exec.queries import QueryRunner
from data.exec.rows import RowMaker
from data.exec.serializable import is_one_read, lock_reads, lock_whole_table
from data.exec.values import Specials
from data.exec.writes import Writer, Written
from data.session.engine import ResultSink
from data.sql.plan_types import (
    CHANGES,
    CopyPlan,
    DeletePlan,
    InsertPlan,
    MergePlan,
    QueryPlan,
    UpdatePlan,
)
from data.txn.deadlines import FAILOVER_WAIT_S
from data.txn.isolation import Isolation
from data.txn.manager import Transaction
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    CancelledError,
    DeadlineError,
    DeadlockError,
    FailedTransactionError,
    GridError,
    InternalError,
    NotLeadError,
    NotServingError,
    NotSupportedError,
    PeerLostError,
    PeerUnreachableError,
    ReplicaSetDownError,
    SnapshotTooOldError,
    StaleMapError,
    StaleSchemaError,
    TransientError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.pgwire.values import RowEncoder
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.session import Session

log = structlog.get_logger()

Values = tuple[StorageValue, ...]
RETRY_PAUSE_S = 0.02
ROW_CHANGED_TRIES = 20

_NOTHING_DONE = (
    StaleSchemaError,
    StaleMapError,
    NotLeadError,
    NotServingError,
    PeerUnreachableError,
)
_READ_LOST = (PeerLostError, DeadlineError)


def _roll_back(error: GridError) -> GridError:
    return WorkspaceLostError(
        f"the transaction cannot go on: {error.message}",
        hint="Roll back and run the transaction again.",
    )


class Running:
    """A statement that goes on after execute() returned: an Execution of the session port."""

    def __init__(
        self,
        session: Session,
        prepared: PreparedStatement,
        values: Values,
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> None:
        self.session = session
        self.prepared = prepared
        self.values = values
        self.encoder = encoder
        self.sink = sink
        self.emitted = 0
        self.pause_s = 0.0  # pg_sleep: it begins so much later
        self.unsettled: tuple[int, TxnId] | None = None  # an autocommit write whose answer was lost
        self._quota = max_rows  # rows until the portal is suspended; 0: no limit
        self._left = max_rows
        self._resumed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._cancelled = False
        self._begun = False
        self._is_committed = False
        self._told = False  # that the result is partial

    # -- Execution ---------------------------------------------------------------------------------
    def start(self, body: Callable[[], object] | None = None) -> Running:
        """Begin; `body`: a coroutine function giving the tag, instead of the statement's plan."""
        self._task = asyncio.get_running_loop().create_task(self._main(body))
        self.session.running.add(self._task)
        self._task.add_done_callback(self.session.running.discard)
        return self

    def resume(self, max_rows: int) -> None:
        """Send the next rows of a suspended statement."""
        self._quota = self._left = max_rows
        if self._resumed is not None:
            self._resumed.set()

    def cancel(self) -> None:
        """Stop soon, with CancelledError; not what is done, or waits to be asked for more."""
        if self._is_committed or (self._resumed is not None and not self._resumed.is_set()):
            return
        self._cancelled = True
        if self._task is not None and self._begun:  # else it ends without a word
            self._task.cancel()

    def close(self) -> None:
        """Release at once, silently."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    # -- the statement -----------------------------------------------------------------------------
    async def _main(self, body: Callable[[], object] | None) -> None:
        if trace.steps.listener is not None:
            trace.step("data/exec/running.py")
        self._begun = True
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            tag = await (body() if body is not None else self._attempts())  # type: ignore[misc]
        except asyncio.CancelledError:
            self._fail(CancelledError("the statement was cancelled at the client's request"))
        except GridError as error:
            self._fail(error)
        except Exception as error:
            log.exception("statement.failed", statement=self.prepared.tag_kind)  # no text: secrets
            self._fail(InternalError(f"{type(error).__name__}: {error}"))
        else:
            self.session.outcome_is_open = False
            if not self._closed:
                self.sink.done(tag)

    def _fail(self, error: GridError) -> None:
        self.session.outcome_is_open = False
        if isinstance(error, (PeerUnreachableError, NotLeadError)):  # after all the retries
            error = ReplicaSetDownError(
                f"a replica set that the statement needs is down: {error.message}",
                hint="Roll back and retry; look at ttGridAdmin dbStatus.",
            )
        if not self._closed:
            self.sink.fail(error)

    async def compiled_anew(self) -> str:
        """A body for `start`: plan it again first, elsewhere if it is long."""
        self.prepared = await self.session.refreshed(self.prepared)
        return await self._attempts()

    async def _attempts(self) -> str:
        session = self.session
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        deadline_s = boottime_s() + FAILOVER_WAIT_S + session.lock_wait_ms / 1000
        changed = 0
        while True:
            try:
                return await self._once()
            except GridError as error:
                if self.emitted or session.failed is not None or boottime_s() > deadline_s:
                    raise
                if isinstance(error, (WorkspaceLostError, SnapshotTooOldError)):
                    if session.txn is not None:
                        session.txn.failed = error
                        raise  # more than this statement is gone
                elif isinstance(error, StaleMapError):
                    if session.txn is not None and session.txn.snapshots is not None:
                        session.txn.failed = _places_changed(error)
                        raise session.txn.failed from error
                elif isinstance(error, DeadlockError):
                    if session.txn is not None:
                        raise
                elif isinstance(error, TransientError):
                    changed += 1
                    if changed > ROW_CHANGED_TRIES:
                        raise
                elif isinstance(error, _READ_LOST):
                    if not isinstance(self.prepared.compiled.plan, QueryPlan):
                        if session.explicit and session.txn is not None:  # no COMMIT was sent
                            session.txn.failed = _roll_back(error)
                            raise session.txn.failed from error
                        raise
                elif not isinstance(error, _NOTHING_DONE):
                    raise
            session.outcome_is_open = False  # nothing was done
            await session.space.router.wait_for_change(RETRY_PAUSE_S)
            self.prepared = await session.refreshed(self.prepared)

    async def _once(self) -> str:
        session = self.session
        if self.unsettled is not None:  # before anything that says that nothing was done
            (rs, txn), self.unsettled = self.unsettled, None
            manager = session.space.manager
            known = await manager.finish(manager.settle_autocommit(rs, txn))
            if known is not None:
                await session.committed(self.sink)
                return tag_of(self.prepared.tag_kind, known.counts[0])
        session.check_serving()
        if session.failed is not None:
            raise session.refusal()
        plan = self.prepared.compiled.plan
        if isinstance(plan, QueryPlan) and plan.locking is None:
            if session.txn is None and session.isolation is Isolation.SERIALIZABLE:
                return await self._query_alone(plan)
            return await self._query(plan, session.txn)
        if session.txn is None and self.prepared.fast in ("write", "insert"):
            tag = await self._autocommit()
            if tag:
                return tag
        return await self._in_transaction()

    async def _autocommit(self) -> str:
        """One replica set, one round trip; "" if it has to be done the general way."""
        session = self.session
        manager = session.space.manager
        verb = self.prepared.tag_kind
        made = session.fast_steps(self.prepared, self.values)
        if made is None:
            return ""
        rs, steps, bucket = made
        session.outcome_is_open = True
        ran = await manager.run_autocommit(
            rs, steps, session.space.schema_version, session.lock_wait_ms, bucket
        )
        await session.committed(self.sink)
        return tag_of(verb, ran.counts[0])

    async def _in_transaction(self) -> str:
        """Run in the session's transaction, or in one of its own that ends with the statement.

        A portal that is closed while it is suspended (a driver that wants one row asks for one)
        has been run: its changes and locks stay.
        """
        session = self.session
        manager = session.space.manager
        txn = session.txn
        if txn is not None:
            mark = txn.mark()
            rows = None
            try:
                if self._commits():
                    return await self._plan_and_commit(txn)
                tag, rows = await self._plan(txn)
                await self._emit(rows)
            except BaseException:
                if rows is None or not self._closed:
                    await manager.finish(self._undo(txn, mark))
                raise
            return tag
        txn = session.begin_txn()
        try:
            tag, rows = await self._plan(txn)
            if not self._quota:
                await self._emit(rows)
        except BaseException:
            session.temporary.roll_back()
            await manager.roll_back(txn)
            raise
        session.outcome_is_open = True
        await session.commit_txn(txn)  # once begun its outcome is what is told
        self._is_committed = True
        await session.committed(self.sink)
        if self._quota:
            await self._emit(rows)
        return tag

    def _commits(self) -> bool:
        """The hint TT_CommitDMLOnSuccess(1): the statement ends its transaction, if it succeeds."""
        compiled = self.prepared.compiled
        return (
            self.session.explicit
            and compiled.hints.get("TT_COMMITDMLONSUCCESS") == "1"
            and isinstance(compiled.plan, CHANGES)
        )

    async def _plan_and_commit(self, txn: Transaction) -> str:
        """In one round trip, if the transaction is at one replica set and nothing else follows."""
        session = self.session
        manager = session.space.manager
        made = None
        if self.prepared.fast in ("write", "insert"):
            made = session.fast_steps(self.prepared, self.values)
        if made is None or not set(txn.participants) <= {made[0]}:
            tag, rows = await self._plan(txn)
            await self._emit(rows)
            tag = await session.commit(self.sink, tag)
            self._is_committed = True
            return tag
        rs, steps, bucket = made
        session.outcome_is_open = True
        work = manager.run_and_commit(txn, rs, steps, session.space.schema_version, bucket)
        ran = await manager.finish(work)
        self._is_committed = True
        await session.commit(self.sink, "", done=True)
        return tag_of(self.prepared.tag_kind, ran.counts[0])

    async def undo_and_fail(
        self, txn: Transaction, mark: dict[int, int], error: BaseException
    ) -> str:
        """A body for `start`: what a statement did otherwise is undone, and it fails."""
        await self.session.space.manager.finish(self._undo(txn, mark))
        raise error

    async def _undo(self, txn: Transaction, mark: dict[int, int]) -> None:
        try:
            await self.session.space.manager.undo(txn, mark)
        except GridError as error:  # the transaction is marked as failed; the first error counts
            log.info("txn.undo_failed", txn=txn.id, error=error.message)

    async def _plan(self, txn: Transaction) -> tuple[str, list[StorageRow]]:
        """Everything but sending: the tag, and the rows that are asked for."""
        plan = self.prepared.compiled.plan
        space = self.session.space
        specials = Specials(self.session)
        queries = QueryRunner(space, specials, txn)
        await queries.snapshots()  # REPEATABLE READ: now, if it is the first statement
        hinted = wants_table_lock(self.prepared.compiled.hints)
        if hinted and isinstance(plan, CHANGES):
            await lock_whole_table(queries, plan.table_id)
        if isinstance(plan, (QueryPlan, *CHANGES)):
            await lock_reads(queries, space.catalog, plan, self.values)
        if isinstance(plan, QueryPlan):
            await draw_sequences(self.session, plan, specials)
            locked = [row async for batch in queries.batches(plan, self.values) for row in batch]
            if plan.made:
                locked = await self._maker(specials, None).make_all(plan.made, self.values, locked)
            return f"SELECT {len(locked)}", locked
        written: Written
        if isinstance(plan, InsertPlan):
            maker = self._maker(specials, plan.table_id)
            written = await Writer(space, txn, queries, maker).insert(plan, self.values)
        elif isinstance(plan, MergePlan):
            maker = self._maker(specials, plan.table_id)
            written = await Merger(space, txn, queries, maker, plan, self.values).run()
        elif isinstance(plan, UpdatePlan):
            drawer = self._maker(specials, None) if plan.made else None
            written = await Writer(space, txn, queries, drawer).update(plan, self.values)
        elif isinstance(plan, DeletePlan):
            written = await Writer(space, txn, queries, None).delete(plan, self.values)
        elif isinstance(plan, CopyPlan):
            raise NotSupportedError("COPY in a block is not supported")
        else:
            raise InternalError(f"no way to run {type(plan).__name__}")
        rows = written.rows if self.prepared.columns is not None else []
        return tag_of(self.prepared.tag_kind, written.count), rows

    def _maker(self, specials: Specials, table_id: int | None) -> RowMaker:
        space = self.session.space
        return RowMaker(
            None if table_id is None else space.catalog.table_by_id(table_id),
            specials,
            space.sequences,
            space.sequence,
            space.expressions,
            space.row_keys,
        )

    # -- results -----------------------------------------------------------------------------------
    async def _query_alone(self, plan: QueryPlan) -> str:
        """A query that is a SERIALIZABLE transaction of its own."""
        if is_one_read(plan):
            return await self._query(plan, None)
        manager = self.session.space.manager
        txn = self.session.begin_txn()
        try:
            tag = await self._query(plan, txn)
        except BaseException:
            await manager.roll_back(txn)
            raise
        await manager.finish(manager.commit(txn))
        return tag

    async def _query(self, plan: QueryPlan, txn: Transaction | None) -> str:
        session = self.session
        space = session.space
        specials = Specials(session)
        await draw_sequences(session, plan, specials)
        runner = self.queries(specials, txn)
        await lock_reads(runner, space.catalog, plan, self.values)
        encoder = self.encoder
        streams = plan.final is None and not plan.otherwise and not plan.made
        if streams and encoder is not None and not self._quota:
            try:
                await runner.prepare(plan, self.values)
                key = encoders.key_of(encoder.types, encoder.formats)
                async with aclosing(runner.stream(plan.gathers[0], self.values, key)) as found:
                    async for rows in found:
                        await self.writable()
                        if rows.count:
                            self.tell_missing(runner)
                            self.emitted += rows.count
                            self.sink.rows(rows.data, rows.count)
            finally:
                runner.close()
        else:
            maker = self._maker(specials, None) if plan.made else None
            async with aclosing(runner.batches(plan, self.values)) as found:
                async for batch in found:
                    self.tell_missing(runner)
                    if maker is not None:
                        batch = await maker.make_all(plan.made, self.values, batch)
                    await self._emit(batch)
        self.tell_missing(runner)
        return f"SELECT {self.emitted}"

    def queries(self, specials: Specials, txn: Transaction | None) -> QueryRunner:
        """What reads for this statement; it may do without sets that are down if one wants so."""
        session = self.session
        runner = QueryRunner(session.space, specials, txn)
        if is_wanted(self.prepared.compiled.hints, session.partial_results):
            runner.partial = Partial(session.space.router.down())
        return runner

    def tell_missing(self, runner: QueryRunner) -> None:
        """Once, before the first row."""
        if runner.partial is not None and not self._told:
            warning = runner.partial.warning(runner.space.name)
            if warning:
                self._told = True
                self.sink.notice("WARNING", warning, "01000")

    async def _emit(self, rows: list[StorageRow]) -> None:
        at = 0
        while at < len(rows):
            await self.writable()
            some = rows[at : at + self._left] if self._quota else rows[at:]
            at += len(some)
            self.emitted += len(some)
            assert self.encoder is not None
            self.sink.rows(self.encoder(some), len(some))
            if self._quota:
                self._left -= len(some)
                if not self._left:
                    await self._suspend()

    async def _suspend(self) -> None:
        self._resumed = asyncio.Event()
        self.sink.suspended()
        await self._resumed.wait()

    async def writable(self) -> None:
        """Wait until the client takes more rows."""
        if self.sink.writable:
            return
        room = asyncio.Event()
        self.sink.on_writable(room.set)
        await room.wait()

    async def emit_all(self, rows: list[StorageRow]) -> None:
        """Send rows that come from elsewhere (catalog queries, EXPLAIN)."""
        await self._emit(rows)


async def draw_sequences(session: Session, plan: QueryPlan, specials: Specials) -> None:
    """Draw NEXTVAL for a query that names sequences outside of an INSERT's row."""
    wanted = {
        source.argument
        for fragment in [g.fragment for g in plan.gathers] + ([plan.final] if plan.final else [])
        for source in fragment.params
        if isinstance(source, Special) and source.name == "nextval"
    }
    for sequence_id in wanted:
        sequence = session.space.sequence(sequence_id)
        number = await session.space.sequences.next(sequence)
        specials.next_values[sequence_id] = number
        session.current_values[sequence_id] = number


def tag_of(verb: str, count: int) -> str:
    """The command tag of a DML statement."""
    return f"INSERT 0 {count}" if verb == "INSERT" else f"{verb} {count}"


def _places_changed(error: StaleMapError) -> SnapshotTooOldError:
    return SnapshotTooOldError(
        "rows that the transaction writes have moved since its snapshot",
        detail=error.message,
        hint="Roll back and run the transaction again.",
    )


def failed_transaction(why: GridError, aborted: bool = False) -> FailedTransactionError:
    """What every statement but ROLLBACK gets in a transaction that can only roll back.

    `aborted`: because a statement failed; else its changes are lost.
    """
    if aborted:
        return FailedTransactionError(
            "current transaction is aborted, commands ignored until end of transaction block",
            detail=f"An earlier statement failed: {why.message}",
            hint="ROLLBACK, or ROLLBACK TO a savepoint. SET tengrid.on_statement_error = continue "
            "lets transactions go on after an error.",
        )
    return FailedTransactionError(
        "the transaction lost its changes and can only be rolled back",
        detail=why.message,
        hint="ROLLBACK, then run the transaction again.",
    )
