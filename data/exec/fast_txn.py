"""The fast paths inside a transaction: one statement at one replica set, and COMMIT, by callbacks.

For transactions of READ COMMITTED, which take no locks for what they read. Whatever does not go as
usual falls back to `Running`, or to the coroutines of `TransactionManager`: a statement that was
sent and not answered is undone there before anything else is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.catalog.element_ddl import key_columns
from data.exec.by_key import ROWS_AT_ONCE, may_go_by_key
from data.exec.fast import FALL_BACK, LOST, READ_TIMEOUT_S, cancelled, steps
from data.exec.prepared import PreparedStatement
from data.exec.running import Running, tag_of
from data.session.engine import Execution, ResultSink
from data.sql.plan_types import DeletePlan, UpdatePlan
from data.txn.isolation import Isolation
from data.txn.manager import Enlisted, Transaction
from protocol import trace
from protocol.errors import (
    GridError,
    LargeStatementError,
    OutcomeUnknownError,
    SerializationError,
    TransientError,
    WorkspaceLostError,
)
from protocol.messages.sql import Keyed, Look, Match, Ran, RunSql, RunStatement, Step, StillRuns
from protocol.sqltypes import StorageValue

if TYPE_CHECKING:
    from data.exec.session import Session

Values = tuple[StorageValue, ...]

_AGAIN = (*FALL_BACK, *LOST, LargeStatementError, SerializationError, TransientError)


def write(
    session: Session, prepared: PreparedStatement, values: Values, sink: ResultSink
) -> Execution | None:
    """An UPDATE, DELETE or INSERT at one replica set, in the session's transaction."""
    txn = session.txn
    if txn is None:
        txn = session.txn = session.begin_txn()
    made = steps(session, prepared, values)
    if made is None or txn.isolation is not Isolation.READ_COMMITTED:
        return Running(session, prepared, values, None, 0, sink).start()
    rs, statement, bucket = made
    if not rs:
        sink.done(tag_of(prepared.tag_kind, 0))
        return None
    enlisted = txn.participants.get(rs)
    if enlisted is None:
        enlisted = txn.participants[rs] = Enlisted()
    elif enlisted.sent > enlisted.statements:  # one before it is still to be undone
        return Running(session, prepared, values, None, 0, sink).start()
    by_key = _by_key(session, prepared, values, statement)
    if by_key is None:
        return Running(session, prepared, values, None, 0, sink).start()
    enlisted.sent += 1
    enlisted.wrote = True
    space = session.space
    message = RunStatement(
        space.name,
        rs,
        prepared.compiled.schema_version,
        space.router.versions.get(rs, 0),
        txn.id,
        enlisted.term,
        enlisted.sent,
        False,
        by_key,
        txn.lock_wait_ms,
        bucket=bucket,
    )
    if trace.steps.listener is not None:
        trace.step("data/exec/fast_txn.py", message)
    waiting = _Statement(session, prepared, values, sink, txn, enlisted)
    space.router.send(rs, message, waiting.ran, READ_TIMEOUT_S + txn.lock_wait_ms / 1000)
    return None if waiting.finished else waiting


def _by_key(
    session: Session,
    prepared: PreparedStatement,
    values: Values,
    statement: tuple[Step, ...],
) -> tuple[Step, ...] | None:
    """The steps, with what lets the lead slice or foresee it; None: Running."""
    plan = prepared.compiled.plan
    step = statement[0]
    if not isinstance(plan, UpdatePlan | DeletePlan) or type(step) is not RunSql:
        return statement
    if not plan.keyed:
        if not isinstance(plan, UpdatePlan) or not plan.look:
            return statement
        look = Look(plan.look, plan.assigned)
        return (RunSql(step.table_id, step.sql, step.params, look=look),)
    space = session.space
    table = space.catalog.table_by_id(plan.table_id)
    if not may_go_by_key(space.facts, table):
        return statement
    if plan.match is None or plan.match.plain is None:
        return None
    params = tuple([values[i] for i in plan.match.plain])
    match = Match(plan.match.sql, params, key_columns(table))
    keyed = Keyed(match, plan.keyed, ROWS_AT_ONCE)
    return (RunSql(step.table_id, step.sql, step.params, keyed=keyed),)


class _Statement:
    """A statement of a transaction under way; an Execution of the session port."""

    __slots__ = (
        "_behind",
        "_enlisted",
        "_prepared",
        "_session",
        "_sink",
        "_txn",
        "_values",
        "finished",
    )

    def __init__(
        self,
        session: Session,
        prepared: PreparedStatement,
        values: Values,
        sink: ResultSink,
        txn: Transaction,
        enlisted: Enlisted,
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._values = values
        self._sink = sink
        self._txn = txn
        self._enlisted = enlisted
        self._behind: Running | None = None
        self.finished = False

    def ran(self, reply: Ran | StillRuns | None, error: GridError | None) -> None:
        """The answer."""
        if self.finished:
            return
        self.finished = True
        enlisted = self._enlisted
        if isinstance(reply, Ran):
            enlisted.term = reply.term
            enlisted.statements = enlisted.sent
            count = reply.counts[0]
            enlisted.rows += count
            self._sink.done(tag_of(self._prepared.tag_kind, count))
        elif reply is not None:  # it goes on, and the same request asks for its end
            enlisted.term = reply.term
            enlisted.sent = enlisted.statements
            self._behind = self._running().start()
        elif isinstance(error, (WorkspaceLostError, OutcomeUnknownError)):
            self._txn.failed = error
            self._sink.fail(error)
        elif isinstance(error, _AGAIN):
            self._behind = self._running().start()
        else:
            assert error is not None
            self._undo_and_fail(error)

    def _undo_and_fail(self, error: BaseException) -> None:
        txn = self._txn
        mark = {rs: e.statements for rs, e in txn.participants.items() if e.statements}
        running = self._running()
        self._behind = running.start(lambda: running.undo_and_fail(txn, mark, error))

    def _running(self) -> Running:
        return Running(self._session, self._prepared, self._values, None, 0, self._sink)

    # -- Execution ---------------------------------------------------------------------------------
    def resume(self, max_rows: int) -> None:
        """Never suspended."""

    def cancel(self) -> None:
        """Undo it, wherever it is, then say so."""
        if self._behind is not None:
            self._behind.cancel()
        elif not self.finished:
            self.finished = True
            self._undo_and_fail(cancelled())

    def close(self) -> None:
        """Release silently: it is undone before anything else is done in the transaction."""
        if self._behind is not None:
            self._behind.close()
        self.finished = True


def commit(session: Session, sink: ResultSink, tag: str) -> Execution | None:
    """COMMIT of an open transaction."""
    txn = session.leave(sink)
    ending = _Ending(session, sink, tag)
    if txn is None:
        ending.ended(None)
    else:
        session.outcome_is_open = True
        session.space.manager.commit_soon(txn, ending.ended)
    return None if ending.finished else ending


class _Ending:
    """A COMMIT under way; an Execution of the session port. It cannot be cancelled."""

    __slots__ = ("_closed", "_session", "_sink", "_tag", "finished")

    def __init__(self, session: Session, sink: ResultSink, tag: str) -> None:
        self._session = session
        self._sink = sink
        self._tag = tag
        self._closed = False
        self.finished = False

    def ended(self, error: GridError | None) -> None:
        """It is committed, or the error says what became of it."""
        self.finished = True
        session = self._session
        session.outcome_is_open = False
        if error is None:
            session.temporary.commit()
        else:
            session.temporary.roll_back()
        if self._closed:
            return
        if error is None:
            self._sink.done(self._tag)
        else:
            self._sink.fail(error)

    # -- Execution ---------------------------------------------------------------------------------
    def resume(self, max_rows: int) -> None:
        """Never suspended."""

    def cancel(self) -> None:
        """Its end is what is told."""

    def close(self) -> None:
        """The client is gone: it goes on silently."""
        self._closed = True
