"""The fast paths: one statement, one replica set, callbacks instead of tasks.

*read*: a SELECT by distribution key; answered from the local element without any message when
this instance leads the replica set, or has a copy that may answer (copy_reads.py). *write*: an
UPDATE or DELETE by such a key that can touch nothing elsewhere; *insert*: one row whose bucket
follows from its own values. Whatever does not go as usual falls back to `Running`, which knows how
to retry and to settle lost answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from data.distribution.route import Const
from data.exec import encoders
from data.exec.placement import HashRule
from data.exec.prepared import PreparedStatement
from data.exec.running import Running, tag_of
from data.exec.shard import LongReadError
from data.exec.values import Specials
from data.session.engine import Execution, ResultSink
from data.sql.plan_types import (
    DeletePlan,
    InsertPlan,
    NextVal,
    ParamValue,
    SpecialValue,
    UpdatePlan,
)
from protocol import trace
from protocol.errors import (
    CancelledError,
    DeadlineError,
    GridError,
    NotLeadError,
    NotServingError,
    OutcomeUnknownError,
    PeerLostError,
    PeerUnreachableError,
    StaleMapError,
    StaleSchemaError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages.sql import (
    CloseCursor,
    InsertRows,
    Ran,
    ReadRows,
    Rows,
    RunSql,
    RunStatement,
    Step,
)
from protocol.messages.txn import RollBack
from protocol.pgwire.values import RowEncoder
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.session import Session

Values = tuple[StorageValue, ...]
FastSteps = tuple[int, tuple[Step, ...], int]  # replica set (0: no row can match), steps, bucket

READ_TIMEOUT_S: Final = 10.0
FALL_BACK: Final = (
    NotLeadError,
    NotServingError,
    PeerUnreachableError,
    StaleMapError,
    StaleSchemaError,
)
LOST: Final = (PeerLostError, DeadlineError, OutcomeUnknownError)
_TAGS: Final = tuple(f"SELECT {n}" for n in range(100))
_READ_ROWS: Final = ReadRows
_KEYS: Final[dict[RowEncoder, bytes]] = {}  # of encoders that are at work; they are shared
_KEYS_MAX: Final = 4096


def read(
    session: Session,
    prepared: PreparedStatement,
    values: Values,
    encoder: RowEncoder,
    max_rows: int,
    sink: ResultSink,
) -> Execution | None:
    """A SELECT by distribution key. `max_rows`: then it is suspended; 0: no limit.

    Rows of this instance are under its leases, which are no longer than membership's word; what
    does not come from there asks whether that lasts (`check_serving`).
    """
    if trace.steps.listener is not None:
        trace.step("data/exec/fast.py")
    space = session.space
    assert prepared.bucket is not None
    bucket = prepared.bucket(values)
    router = space.router
    if bucket < 0:
        router.check_serving()
        sink.done("SELECT 0")
        return None
    rs = router.buckets[bucket]
    if session.txn is not None and rs in session.txn.participants:
        router.check_serving()
        return Running(session, prepared, values, encoder, max_rows, sink).start()
    sql, indexes, params = prepared.read_sql, prepared.read_indexes, values
    if indexes is not None:
        params = tuple([values[i] for i in indexes])
    if router.leads.get(rs) == router.instance:
        try:
            rows = space.shard.read_local(
                sql,
                params,
                prepared.compiled.schema_version,
                router.versions.get(rs, 0),
                bucket,
            )
        except (*FALL_BACK, LongReadError):
            router.check_serving()
            return Running(session, prepared, values, encoder, max_rows, sink).start()
        return _answered(session, prepared, values, encoder, max_rows, sink, rows)
    if rs == space.copy_reads.rs:
        at_copy = space.copy_reads.read(
            sql,
            params,
            prepared.compiled.schema_version,
            router.versions.get(rs, 0),
            bucket,
        )
        if at_copy is not None:
            return _answered(session, prepared, values, encoder, max_rows, sink, at_copy)
    router.check_serving()
    message = _READ_ROWS(
        space.name,
        rs,
        prepared.compiled.schema_version,
        router.versions.get(rs, 0),
        sql,
        params,
        _key_of(encoder),
        bucket=bucket,
    )
    waiting = _Waiting(session, prepared, values, encoder, max_rows, sink)
    waiting.holder = router.leads.get(rs, "")
    router.send(rs, message, waiting.rows_came, READ_TIMEOUT_S)
    return waiting


def _key_of(encoder: RowEncoder) -> bytes:
    """encoders.key_of, which hashes all types of the columns, remembered by the encoder."""
    key = _KEYS.get(encoder)
    if key is None:
        key = encoders.key_of(encoder.types, encoder.formats)
        if len(_KEYS) >= _KEYS_MAX:
            _KEYS.clear()
        _KEYS[encoder] = key
    return key


def _answered(
    session: Session,
    prepared: PreparedStatement,
    values: Values,
    encoder: RowEncoder,
    max_rows: int,
    sink: ResultSink,
    rows: list[StorageRow],
) -> Execution | None:
    """With rows of this instance. Drivers that want one row ask for one at most."""
    count = len(rows)
    if max_rows and count > max_rows:
        return Running(session, prepared, values, encoder, max_rows, sink).start()
    if max_rows and count == max_rows:
        sink.rows(encoder(rows), count)
        sink.suspended()
        return _Suspended(sink, count)
    tag = _TAGS[count] if count < 100 else f"SELECT {count}"
    if count:
        sink.answer(encoder(rows), count, tag)
    else:
        sink.done(tag)
    return None


def write(
    session: Session, prepared: PreparedStatement, values: Values, sink: ResultSink
) -> Execution | None:
    """An autocommit write at one replica set."""
    if trace.steps.listener is not None:
        trace.step("data/exec/fast.py")
    made = steps(session, prepared, values)
    if made is None:
        return Running(session, prepared, values, None, 0, sink).start()
    rs, statement, bucket = made
    if not rs:
        sink.done(tag_of(prepared.tag_kind, 0))
        return None
    space = session.space
    txn = space.manager.new_id()
    message = RunStatement(
        space.name,
        rs,
        prepared.compiled.schema_version,
        space.router.versions.get(rs, 0),
        txn,
        0,
        1,
        True,
        statement,
        session.lock_wait_ms,
        bucket=bucket,
    )
    waiting = _Waiting(session, prepared, values, None, 0, sink)
    waiting.sent = (rs, txn)
    session.outcome_is_open = True
    space.router.send(rs, message, waiting.written, READ_TIMEOUT_S + session.lock_wait_ms / 1000)
    return None if waiting.finished else waiting


def steps(session: Session, prepared: PreparedStatement, values: Values) -> FastSteps | None:
    """What a fast write is; None: not possible just now."""
    plan = prepared.compiled.plan
    router = session.space.router
    if isinstance(plan, InsertPlan):
        return _insert_steps(session, plan, values)
    assert isinstance(plan, UpdatePlan | DeletePlan)
    assert plan.fragment is not None
    assert prepared.bucket is not None
    bucket = prepared.bucket(values)
    if bucket < 0:
        return 0, (), 0
    params = tuple([values[i] for i in plan.fragment.plain or ()])
    return router.buckets[bucket], (RunSql(plan.table_id, plan.fragment.sql, params),), bucket


def _insert_steps(session: Session, plan: InsertPlan, values: Values) -> FastSteps | None:
    space = session.space
    table = space.catalog.table_by_id(plan.table_id)
    rule = space.placement.rule(table)
    assert isinstance(rule, HashRule)
    row: list[StorageValue] = [space.row_keys.next()] if table.row_key else []
    specials: Specials | None = None
    for source in plan.rows[0]:
        value: StorageValue
        if type(source) is ParamValue:
            value = values[source.index]
        elif type(source) is Const:
            row.append(source.value)
            continue
        elif type(source) is NextVal:
            number = space.sequences.next_now(space.sequence(source.sequence_id))
            if number is None:
                return None
            session.current_values[source.sequence_id] = number
            value = number
        else:
            assert type(source) is SpecialValue
            specials = specials or Specials(session)
            value = specials(source.special)
        row.append(value if source.convert is None or value is None else source.convert(value))
    bucket = rule.of(tuple(row))
    if bucket < 0:
        return None
    row.append(bucket)
    return space.router.buckets[bucket], (InsertRows(table.id, [tuple(row)]),), bucket


class _Suspended:
    """A read that has given all its rows, and was to stop there: an Execution."""

    __slots__ = ("_count", "_sink")

    def __init__(self, sink: ResultSink, count: int) -> None:
        self._sink = sink
        self._count = count

    def resume(self, max_rows: int) -> None:
        """There is nothing more."""
        self._sink.done(f"SELECT {self._count}")

    def cancel(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""


class _Waiting:
    """An answer under way; an Execution of the session port."""

    __slots__ = (
        "_behind",
        "_encoder",
        "_max_rows",
        "_prepared",
        "_session",
        "_sink",
        "_values",
        "finished",
        "holder",
        "sent",
    )

    def __init__(
        self,
        session: Session,
        prepared: PreparedStatement,
        values: Values,
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._values = values
        self._encoder = encoder
        self._max_rows = max_rows
        self._sink = sink
        self._behind: Running | None = None
        self.finished = False
        self.holder = ""  # the instance that reads
        self.sent: tuple[int, TxnId] | None = None

    def rows_came(self, reply: Rows | None, error: GridError | None) -> None:
        """The answer to a read."""
        if trace.steps.listener is not None:
            trace.step("data/exec/fast.py")
        if self.finished:
            return
        self.finished = True
        if error is None:
            assert reply is not None
            if reply.cursor:  # not so few rows after all
                router = self._session.space.router
                router.tell_instance(self.holder, CloseCursor(reply.cursor))
                self._fall_back(None)
                return
            count = reply.count
            limit = self._max_rows
            if limit and count > limit:
                self._fall_back(None)
                return
            if limit and count == limit:
                self._sink.rows(reply.data, count)
                self._sink.suspended()
                return
            tag = _TAGS[count] if count < 100 else f"SELECT {count}"
            if count:
                self._sink.answer(reply.data, count, tag)
            else:
                self._sink.done(tag)
        elif isinstance(error, (*FALL_BACK, *LOST)):
            self._fall_back(None)
        else:
            self._sink.fail(error)

    def written(self, reply: Ran | None, error: GridError | None) -> None:
        """The answer to a write."""
        if trace.steps.listener is not None:
            trace.step("data/exec/fast.py")
        if self.finished:
            return
        self.finished = True
        self._session.outcome_is_open = isinstance(error, LOST)
        if error is None:
            assert reply is not None
            self._sink.done(tag_of(self._prepared.tag_kind, reply.counts[0]))
        elif isinstance(error, FALL_BACK):
            self._fall_back(None)
        elif isinstance(error, LOST):
            self._fall_back(self.sent)
        elif isinstance(error, WorkspaceLostError):  # rolled back by cancel()
            self._sink.fail(cancelled())
        else:
            self._sink.fail(error)

    def _fall_back(self, unsettled: tuple[int, TxnId] | None) -> None:
        prepared = self._prepared
        running = Running(
            self._session, prepared, self._values, self._encoder, self._max_rows, self._sink
        )
        running.unsettled = unsettled
        self._behind = running.start()
        self.finished = True

    # -- Execution ---------------------------------------------------------------------------------
    def resume(self, max_rows: int) -> None:
        """All rows have been given, unless there were more than fit."""
        if self._behind is not None:
            self._behind.resume(max_rows)
        else:
            self._sink.done(f"SELECT {self._max_rows}")

    def cancel(self) -> None:
        """A read can be given up; a write that is on its way is waited for."""
        if self._behind is not None:
            self._behind.cancel()
        elif self.finished:
            return
        elif self.sent is None:
            self.finished = True
            self._sink.fail(cancelled())
        else:  # if it waits for a lock, the lead gives up; if it is under way, it ends
            self._roll_back()

    def close(self) -> None:
        """Release silently."""
        if self._behind is not None:
            self._behind.close()
        elif not self.finished and self.sent is not None:
            self._roll_back()
        self.finished = True

    def _roll_back(self) -> None:
        assert self.sent is not None
        rs, txn = self.sent
        space = self._session.space
        space.router.tell(rs, RollBack(space.name, rs, txn))


def cancelled() -> CancelledError:
    """What a cancelled statement ends with."""
    return CancelledError("the statement was cancelled at the client's request")
