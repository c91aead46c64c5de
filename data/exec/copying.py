"""COPY FROM STDIN and COPY TO STDOUT."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

import structlog

from data.exec.copy_fit import CopyFit
from data.exec.prepared import PreparedStatement
from data.exec.queries import QueryRunner
from data.exec.rows import RowMaker
from data.exec.running import RETRY_PAUSE_S, Running, draw_sequences
from data.exec.serializable import lock_reads
from data.exec.values import Specials
from data.exec.writes import Writer
from data.session.engine import Execution, ResultSink
from data.sql.plan_types import CopyPlan
from data.txn.deadlines import FAILOVER_WAIT_S
from data.txn.manager import Transaction
from protocol.clock import boottime_s
from protocol.errors import (
    CancelledError,
    GridError,
    InternalError,
    StaleMapError,
    StaleSchemaError,
)
from protocol.limits import MIB
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import StorageRow

if TYPE_CHECKING:
    from data.exec.session import Session

log = structlog.get_logger()

ROWS_PER_BATCH = 2000
BYTES_PER_BATCH = 2 * MIB
BYTES_WAITING_MAX = 8 * MIB
ROWS_WAITING_MAX = 8000  # decoded and not yet sent; beyond, the client waits


class CopyingIn:
    """COPY FROM STDIN in progress: a CopyIn of the session port.

    All rows are one transaction (the session's, or one of its own): all or none.
    """

    def __init__(self, session: Session, prepared: PreparedStatement, sink: ResultSink) -> None:
        plan = prepared.compiled.plan
        assert isinstance(plan, CopyPlan)
        assert prepared.copy is not None
        self._session = session
        self._prepared = prepared
        self._plan = plan
        self._specials = Specials(session)
        self._made_for = session.space.catalog  # what the plan was made for
        self._sink = sink
        self._decoder = prepared.copy.row_decoder()
        table = session.space.catalog.table_by_id(plan.table_id)
        self._fit = CopyFit([table.columns[at] for at in plan.columns])
        self._rows = RowColumns.of_rows((), len(plan.columns))
        self._bytes = 0  # that they came in
        self._on_ready: Callable[[], None] | None = None
        self._wake = asyncio.Event()
        self._finished = False
        self._ended = False
        self._task = asyncio.get_running_loop().create_task(self._main())
        session.running.add(self._task)
        self._task.add_done_callback(session.running.discard)

    # -- CopyIn
    @property
    def paused(self) -> bool:
        """True: wait for on_ready."""
        return len(self._rows) >= ROWS_WAITING_MAX or self._bytes >= BYTES_WAITING_MAX

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Call back once when there is room."""
        if self.paused:
            self._on_ready = callback
        else:
            callback()

    def feed(self, chunk: bytes) -> None:
        """Some bytes of the data."""
        if self._ended or self._error is not None:
            return
        try:
            self._keep(self._decoder.feed(chunk))
        except GridError as error:
            self._stop(error)
            return
        self._bytes += len(chunk)
        if len(self._rows) >= ROWS_PER_BATCH or (self._rows and self._bytes >= BYTES_PER_BATCH):
            self._wake.set()

    def _keep(self, rows: list[StorageRow] | RowColumns) -> None:
        if not isinstance(rows, RowColumns):
            rows = RowColumns.of_rows(rows, len(self._plan.columns))
        self._fit.fit(rows)
        self._rows.add(rows)

    def finish(self) -> None:
        """That was all."""
        if self._ended or self._error is not None:
            return
        try:
            self._keep(self._decoder.finish())
        except GridError as error:
            self._stop(error)
            return
        self._finished = True
        self._wake.set()

    def abort(self, reason: str) -> None:
        """The client gave up."""
        self._stop(CancelledError(f"COPY was given up: {reason}"))

    def _stop(self, error: GridError) -> None:
        if not self._ended and self._error is None:  # the first one counts
            self._error = error
            if self._begun:  # a task that is cancelled before it runs ends without a word
                self._task.cancel()

    _error: GridError | None = None
    _begun = False

    # -- the work
    async def _main(self) -> None:
        self._begun = True
        if self._error is not None:  # it came with the command
            self._ended = True
            self._sink.fail(self._error)
            return
        session = self._session
        manager = session.space.manager
        txn = session.txn
        own = txn is None
        if txn is None:
            txn = session.begin_txn()
        mark = txn.mark()
        try:
            count = await self._copy(txn)
            if own:
                session.outcome_is_open = True
                await session.commit_txn(txn)
        except BaseException as error:
            self._ended = True
            session.outcome_is_open = False
            if own:
                session.temporary.roll_back()
                await manager.finish(manager.roll_back(txn))
            else:
                try:
                    await manager.finish(manager.undo(txn, mark))
                except GridError as problem:
                    log.info("copy.undo_failed", error=problem.message)
            self._sink.fail(self._reason(error))
            return
        self._ended = True
        session.outcome_is_open = False
        self._sink.done(f"COPY {count}")

    def _reason(self, error: BaseException) -> GridError:
        if isinstance(error, asyncio.CancelledError):
            return self._error or CancelledError("COPY was cancelled")
        if isinstance(error, GridError):
            return error
        log.error("copy.failed", error=repr(error), exc_info=error)
        return InternalError(f"{type(error).__name__}: {error}")

    async def _copy(self, txn: Transaction) -> int:
        count = 0
        while True:
            few = len(self._rows) < ROWS_PER_BATCH and self._bytes < BYTES_PER_BATCH
            if not self._finished and (few or not self._rows):
                self._wake.clear()
                await self._wake.wait()
            rows = self._rows.take(ROWS_PER_BATCH)
            self._bytes = self._bytes * len(self._rows) // max(1, len(rows) + len(self._rows))
            ready, self._on_ready = self._on_ready, None
            if ready is not None:
                ready()
            if rows:
                count += await self._insert(txn, rows)
            elif self._finished:
                return count

    async def _insert(self, txn: Transaction, rows: RowColumns) -> int:
        """One batch. DDL on other tables, or a new map, may come between two of them."""
        space = self._session.space
        deadline_s = boottime_s() + FAILOVER_WAIT_S
        mark = txn.mark()
        while True:
            if self._made_for is not space.catalog:
                self._prepared = self._session.fresh(self._prepared)
                plan = self._prepared.compiled.plan
                assert isinstance(plan, CopyPlan)
                self._plan = plan
                self._made_for = space.catalog
            table = space.catalog.table_by_id(self._plan.table_id)
            maker = RowMaker(
                table,
                self._specials,
                space.sequences,
                space.sequence,
                space.expressions,
                space.row_keys,
            )
            writer = Writer(space, txn, QueryRunner(space, self._specials, txn), maker)
            try:
                made = maker.at_once(self._plan.row, rows)
                if made is not None:
                    return await writer.copy_rows(table, made)
                each = [await maker.make(self._plan.row, (), row) for row in rows]
                return (await writer.insert_rows(table, each))[0]
            except (StaleSchemaError, StaleMapError):
                if boottime_s() > deadline_s:
                    raise
                await space.manager.finish(space.manager.undo(txn, mark))
                await space.router.wait_for_change(RETRY_PAUSE_S)


def run_copy_out(
    session: Session, prepared: PreparedStatement, sink: ResultSink
) -> Execution | None:
    """COPY TO STDOUT: the rows go to the sink as CopyData."""
    plan = prepared.compiled.plan
    assert isinstance(plan, CopyPlan)
    assert plan.query is not None
    assert prepared.copy is not None
    running = Running(session, prepared, (), None, 0, sink)
    query = plan.query
    encoder = prepared.copy.row_encoder()

    async def copy() -> str:
        specials = Specials(session)
        await draw_sequences(session, query, specials)
        runner = running.queries(specials, session.txn)
        await lock_reads(runner, session.space.catalog, query, ())
        count = 0
        async with aclosing(runner.batches(query, ())) as found:
            async for batch in found:
                await running.writable()
                running.tell_missing(runner)
                count += len(batch)
                sink.rows(encoder(batch), len(batch))
        running.tell_missing(runner)
        return f"COPY {count}"

    return running.start(copy)
