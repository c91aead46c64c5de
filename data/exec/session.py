"""One client's session: transaction, settings, schema; every statement enters here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from data.exec import fast, fast_txn, optimizer_calls, settings
from data.exec.blocks import run_block, run_cursor
from data.exec.compiling import Later
from data.exec.coordination import Coordination
from data.exec.copying import CopyingIn, run_copy_out
from data.exec.ddl import run_ddl
from data.exec.metering import Meter
from data.exec.observed import explained
from data.exec.prepared import PreparedStatement
from data.exec.reads import close_snapshots
from data.exec.running import Running, failed_transaction
from data.exec.utility import run_utility
from data.plsql.context import Packages
from data.session.engine import (
    FAILED,
    IDLE,
    IN_TRANSACTION,
    CopyIn,
    Execution,
    Prepared,
    ResultSink,
)
from data.sql.explain import Step
from data.sql.parse import with_hints
from data.sql.pauses import seconds_of
from data.sql.plan_types import (
    CHANGES,
    BlockPlan,
    CatalogQuery,
    CursorPlan,
    DdlText,
    ExplainPlan,
    QueryPlan,
    UtilityPlan,
)
from data.sql.text import split
from data.txn.isolation import Isolation, isolation_of, shown_name
from data.txn.manager import Transaction
from protocol import trace
from protocol.errors import (
    CachedPlanError,
    DatabaseClosedError,
    GridError,
    ReadOnlyTransactionError,
    TransactionStateError,
)
from protocol.pgwire.values import RowEncoder
from protocol.sqltypes import SqlType, StorageRow, StorageValue

Values = tuple[StorageValue, ...]
SPLIT_CHARS_MAX: Final = 20_000  # a longer script is split on a thread

REPORTED = {  # ParameterStatus at start; what clients of PostgreSQL 15 look at
    "server_version": "15.8",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
}

UNIT: Final = "\0unit"  # the savepoint of statements sent together, in temporary tables
_IDLE: Final = IDLE
_FAILED: Final = FAILED
_IN_TRANSACTION: Final = IN_TRANSACTION
_ROWS_PLANS: Final = (QueryPlan, *CHANGES)


class Session:
    """The engine's side of one client connection."""

    def __init__(
        self,
        space: Coordination,
        user: str,
        parameters: dict[str, str],
        session_id: int,
        is_admin: bool,
        warning: str = "",
    ) -> None:
        self.space = space
        self.login_warning = warning
        self.explained: Step | None = None  # the plan of the last EXPLAIN
        self.user = user
        self.schema = user
        self.is_admin = is_admin
        self.session_id = session_id
        self.database = space.name
        self.lock_wait_ms = space.lock_wait_ms
        self.txn: Transaction | None = None
        given = parameters.get("default_transaction_isolation", space.isolation.sql_name)
        self.default_isolation = isolation_of(given)
        self.default_isolation_name = shown_name(given)
        self.default_read_only = self.read_only = False  # of transactions; of the present one
        self.default_deferrable = self.deferrable = False  # as clients set it: it does nothing
        self._chosen: Isolation | None = None  # of this transaction, if it named one
        self._chosen_name = ""
        self.explicit = False  # BEGIN was said (or an implicit block became a transaction)
        self.implicit = False  # several statements until the next Sync
        self.savepoints: list[tuple[str, dict[int, int], int]] = []  # name, marks
        self.current_values: dict[int, int] = {}
        self.temporary = space.new_temporary()
        self.running: set[asyncio.Task[None]] = set()
        self.settings: dict[str, str] = {
            **REPORTED,
            "is_superuser": "on" if is_admin else "off",
            "session_authorization": user,
            "application_name": parameters.get("application_name", ""),
        }
        self.epoch_at_commit = space.epoch_at_commit  # CreateEpochAtCommit
        self.epoch_next = False  # ttEpochCreate was called: the next commit is an epoch
        self.aborts_on_error = space.aborts_on_error
        self.outcome_is_open = False  # a commit is on its way, whatever statement it is of
        self.partial_results = False  # SET tt_partialresult
        self.optimizer_hint = space.optimizer_hint
        self.transaction_hints: dict[str, str] = {}  # by ttOptSetFlag and others, until it ends
        self.aborted: GridError | None = None  # the error that made it so: only then
        self.unit: tuple[dict[int, int], int] | None = None  # where a unit of it began
        self.statement_timeout_s = space.statement_timeout_s  # 0: none; so the others
        self.idle_in_transaction_timeout_s = 0.0
        self.idle_session_timeout_s = 0.0
        self.changed_settings: list[settings.Change] = []  # in this transaction, the newest last
        self.packages = Packages()  # variables of PL/SQL packages
        self._closing: asyncio.Task[None] | None = None
        self.initial_settings: dict[str, str] = {}
        settings.start(self, parameters)
        self.initial_settings = settings.initial(self)
        identity = space.element.identity
        self.element = identity.element
        self.meter = Meter(self, space.meters)
        space.sessions += 1
        space.counts.connected()

    @property
    def replica_set(self) -> int:
        """Of the connection's own element."""
        return self.space.element.identity.replica_set

    @property
    def data_space(self) -> int:
        """Of the connection's own element."""
        return self.space.element.identity.data_space

    @property
    def element_map(self) -> str:
        """For ELEMENTIDCOMPUTE: the lead's element of each bucket."""
        return self.space.router.element_map()

    # -- SqlSession --------------------------------------------------------------------------------
    @property
    def transaction_status(self) -> bytes:
        """I, T or E."""
        if not self.explicit:
            return _IDLE
        return _FAILED if self.failed is not None else _IN_TRANSACTION

    @property
    def in_transaction(self) -> bool:
        """What was done is not committed yet."""
        return self.explicit or self.implicit

    @property
    def parameters(self) -> dict[str, str]:
        """Settings reported to the client."""
        return self.settings

    @property
    def isolation(self) -> Isolation:
        """The level of the transaction, the open one or the next."""
        return self.default_isolation if self._chosen is None else self._chosen

    @property
    def _locks_reads(self) -> bool:
        return (self.explicit or self.implicit) and self.isolation is Isolation.SERIALIZABLE

    @property
    def isolation_name(self) -> str:
        """As it was asked for: READ UNCOMMITTED is READ COMMITTED of another name."""
        return self.default_isolation_name if self._chosen is None else self._chosen_name

    def choose_isolation(self, name: str) -> None:
        """Set the level of this transaction.

        Raises TransactionStateError if it has begun, ParameterError if there is no such level.
        """
        level = isolation_of(name)
        if self.txn is not None and self.txn.isolation is not level:
            raise TransactionStateError(
                "the isolation level must be set before the first statement of the transaction"
            )
        self._chosen, self._chosen_name = level, shown_name(name)

    @property
    def _reads_snapshot(self) -> bool:
        """Every read of the present transaction goes to its snapshot."""
        return (self.explicit or self.implicit) and self.isolation is Isolation.REPEATABLE_READ

    def begin_txn(self) -> Transaction:
        """A new transaction with the session's settings; the caller ends it."""
        level = self.isolation
        if level is Isolation.REPEATABLE_READ and not (self.explicit or self.implicit):
            level = Isolation.READ_COMMITTED  # of one statement: it is the same, and can run again
        return self.space.manager.begin(self.lock_wait_ms, level)

    @property
    def failed(self) -> GridError | None:
        """Why the transaction can only roll back, None if it can go on."""
        if self.txn is not None and self.txn.failed is not None:
            return self.txn.failed
        return self.aborted

    def refusal(self) -> GridError:
        """What statements get in a transaction that can only roll back."""
        assert self.failed is not None
        return failed_transaction(self.failed, self.failed is self.aborted)

    def split(self, sql: str) -> list[str]:
        """The statements of one simple query."""
        return split(sql)

    def prepare(self, sql: str, param_types: tuple[SqlType | None, ...]) -> PreparedStatement:
        """Compile a statement, or find it compiled."""
        sql = self._hinted(sql)
        return self.space.prepare(sql, param_types, self.schema, self.user)

    def _hinted(self, sql: str) -> str:
        """With the hints of transaction and connection: a statement's own count first."""
        if self.transaction_hints:
            sql = with_hints(sql, optimizer_calls.as_text(self.transaction_hints))
        return with_hints(sql, self.optimizer_hint) if self.optimizer_hint else sql

    def prepare_later(
        self,
        sql: str,
        param_types: tuple[SqlType | None, ...],
        done: Callable[[Prepared | GridError], None],
    ) -> Execution | None:
        """Compile a long statement elsewhere; None: it is not long."""
        sql = self._hinted(sql)
        if not self.space.is_long(sql, param_types, self.schema, self.user):
            return None
        return Later(self.space.prepare_elsewhere(sql, param_types, self.schema, self.user), done)

    def split_later(
        self, sql: str, done: Callable[[list[str] | GridError], None]
    ) -> Execution | None:
        """Split a long script on a thread; None: it is not long."""
        if len(sql) <= SPLIT_CHARS_MAX:
            return None
        return Later(asyncio.to_thread(split, sql), done)

    def fresh(self, prepared: PreparedStatement) -> PreparedStatement:
        """The same statement for the present schema version."""
        if prepared.compiled.schema_version == self.space.schema_version:
            return prepared
        if isinstance(prepared.compiled.plan, CursorPlan):
            return prepared  # it is open already
        if self._is_long(prepared):
            if isinstance(prepared.compiled.plan, CatalogQuery):
                return prepared  # it has no plan: drivers keep their questions about types
            raise CachedPlanError(
                "cached plan must not change result type",
                detail="The schema was changed, and the statement is too long to plan it anew.",
                hint="Prepare the statement again.",
            )
        self.space.counts.reprepares += 1
        again = self.space.prepare(prepared.sql, prepared.declared, prepared.schema, prepared.user)
        return _instead(prepared, again)

    async def refreshed(self, prepared: PreparedStatement) -> PreparedStatement:
        """`fresh` for a statement of any length: a long one is compiled in another process."""
        is_stale = prepared.compiled.schema_version != self.space.schema_version
        if not (is_stale and self._is_long(prepared)):
            return self.fresh(prepared)
        again = await self.space.prepare_elsewhere(
            prepared.sql, prepared.declared, prepared.schema, self.user
        )
        return _instead(prepared, again)

    def _is_long(self, prepared: PreparedStatement) -> bool:
        return self.space.is_long(prepared.sql, prepared.declared, prepared.schema, self.user)

    def check_serving(self) -> None:
        """Raises what a client must hear when this instance may not answer."""
        if not self.space.is_open and not self.is_admin:
            raise DatabaseClosedError(f"database {self.database} is closed")
        self.space.router.check_serving()

    def succeeded(self, tag: str) -> None:
        """A statement ended, or its first piece did."""
        self.meter.done(tag)

    def fail_transaction(self, error: GridError) -> None:
        """A statement failed and undid itself; whether the transaction goes on is a setting."""
        self.meter.failed(error)
        if self.aborts_on_error and self.explicit and self.failed is None:
            self.aborted = error

    def execute(
        self,
        prepared: Prepared,
        values: Values,
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> Execution | None:
        """Run a statement; None if it ended inside the call."""
        if trace.steps.listener is not None:
            trace.step("data/exec/session.py")
        assert isinstance(prepared, PreparedStatement)
        if prepared.literals is not None:
            values = prepared.literals
        if prepared.compiled.schema_version != self.space.catalog.version:
            if self._is_long(prepared) and isinstance(prepared.compiled.plan, _ROWS_PLANS):
                self.meter.begin(prepared.stats, prepared)
                return self._compiled_anew(prepared, values, encoder, max_rows, sink)
            prepared = self.fresh(prepared)
        self.meter.begin(prepared.stats, prepared)
        path = prepared.fast
        if path and self.space.is_open:
            if path == "read":
                # a block's collector has no types: its rows travel unencoded
                plain = encoder is not None and bool(encoder.types) and self.failed is None
                if plain and not self._locks_reads and not self._reads_snapshot:
                    assert encoder is not None
                    return fast.read(self, prepared, values, encoder, max_rows, sink)
            elif self.explicit or self.implicit:
                self.space.router.check_serving()
                if self.failed is None and prepared.fast_in_txn and not self.read_only:
                    return fast_txn.write(self, prepared, values, sink)
            elif not self.wants_epoch and not self.read_only:
                self.space.router.check_serving()
                return fast.write(self, prepared, values, sink)
        return self._general(prepared, values, encoder, max_rows, sink)

    def _compiled_anew(
        self,
        prepared: PreparedStatement,
        values: Values,
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> Execution:
        """The schema was changed since a long statement was planned."""
        if self.failed is not None:
            raise failed_transaction(self.failed)
        self.check_serving()
        if (self.explicit or self.implicit) and self.txn is None:
            self.txn = self.begin_txn()
        running = Running(self, prepared, values, encoder, max_rows, sink)
        return running.start(running.compiled_anew)

    def _general(
        self,
        prepared: PreparedStatement,
        values: Values,
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> Execution | None:
        plan = prepared.compiled.plan
        if plan is None:
            sink.done("")
            return None
        if isinstance(plan, UtilityPlan):
            return run_utility(self, prepared, plan, encoder, sink)
        if self.failed is not None:
            raise self.refusal()
        if self.read_only:
            self._check_reads(prepared)
        running = Running(self, prepared, values, encoder, max_rows, sink)
        if isinstance(plan, CatalogQuery):
            return running.start(lambda: self._catalog_query(running, plan, values))
        if isinstance(plan, ExplainPlan):
            return running.start(lambda: self._explain(running, plan, values))
        if isinstance(plan, DdlText):
            return running.start(lambda: run_ddl(self, running, plan))
        if isinstance(plan, BlockPlan):
            return running.start(lambda: run_block(self, running, plan))
        if isinstance(plan, CursorPlan):
            return running.start(lambda: run_cursor(running, plan))
        self.check_serving()
        if prepared.compiled.pauses:
            running.pause_s = seconds_of(prepared.compiled.pauses, values)
        if (self.explicit or self.implicit) and self.txn is None:
            self.txn = self.begin_txn()
        return running.start()

    def _check_reads(self, prepared: PreparedStatement) -> None:
        """In a READ ONLY transaction. Raises ReadOnlyTransactionError."""
        compiled = prepared.compiled
        if not compiled.read_only:
            what = "a locking SELECT" if compiled.tag == "SELECT" else compiled.tag
            raise ReadOnlyTransactionError(
                f"cannot execute {what.removesuffix('_IN')} in a read-only transaction",
                hint="It was begun READ ONLY, or default_transaction_read_only is on.",
            )

    async def _catalog_query(self, running: Running, plan: CatalogQuery, values: Values) -> str:
        queries = self.space.catalog_queries
        warning = await queries.refresh(plan.text, self)
        if warning:
            running.sink.notice("WARNING", warning, "01000")
        rows = await queries.run(plan.text, values, self)
        return await self._show(running, rows)

    async def _explain(self, running: Running, plan: ExplainPlan, values: Values) -> str:
        return await self._show(running, await explained(self, running, plan, values))

    async def _show(self, running: Running, rows: list[StorageRow]) -> str:
        await running.emit_all(rows)
        return f"SELECT {len(rows)}" if running.prepared.tag_kind != "EXPLAIN" else "EXPLAIN"

    def fast_steps(self, prepared: PreparedStatement, values: Values) -> fast.FastSteps | None:
        """Replica set, steps and bucket of an autocommit write, if it can go that way just now."""
        made = fast.steps(self, prepared, values)
        return made if made is not None and made[0] else None

    def copy_in(self, prepared: Prepared, sink: ResultSink) -> CopyIn:
        """Start COPY FROM STDIN."""
        self.check_serving()
        assert isinstance(prepared, PreparedStatement)
        if self.failed is not None:
            raise self.refusal()
        if self.read_only:
            self._check_reads(prepared)
        if (self.explicit or self.implicit) and self.txn is None:
            self.txn = self.begin_txn()
        return CopyingIn(self, self._copying(prepared), sink)

    def copy_out(self, prepared: Prepared, sink: ResultSink) -> Execution | None:
        """Run COPY TO STDOUT."""
        self.check_serving()
        return run_copy_out(self, self._copying(prepared), sink)

    def _copying(self, prepared: Prepared) -> PreparedStatement:
        assert isinstance(prepared, PreparedStatement)
        prepared = self.fresh(prepared)
        self.meter.begin(prepared.stats, prepared)
        return prepared

    # -- transactions ------------------------------------------------------------------------------
    def begin_implicit(self) -> None:
        """What follows is one transaction, or one unit of a transaction, until end_implicit."""
        if not self.explicit:
            self.implicit = True
        else:
            self.unit = (self.txn.mark() if self.txn is not None else {}, len(self.savepoints))
            self.temporary.savepoint(UNIT)

    def end_implicit(self, commit: bool, sink: ResultSink) -> Execution | None:
        """Commit or roll back an implicit block; undo a unit of a transaction that failed."""
        unit, self.unit = self.unit, None
        self.implicit = False
        if self.txn is None or (self.explicit and (commit or self.failed is not None)):
            self.temporary.release(UNIT)
            sink.done("")
            return None
        if commit and not self.explicit:
            self.meter.begin(self.space.meters.implicit)
        if self.explicit:  # what came before BEGIN in the block is undone too
            body = self._undo_unit(*(unit or ({}, 0)))
        elif commit:
            return self.end(sink, "")
        else:
            body = self.roll_back("")
        return self._bodied(body, sink)

    def _bodied(self, body: Coroutine[Any, Any, str], sink: ResultSink) -> Execution:
        empty = self.prepare("", ())
        return Running(self, empty, (), None, 0, sink).start(lambda: body)

    def end(self, sink: ResultSink, tag: str = "COMMIT") -> Execution | None:
        """COMMIT: by callbacks if it is an ordinary one."""
        if self.aborted is not None or self.wants_epoch:
            return self._bodied(self.commit(sink, tag), sink)
        return fast_txn.commit(self, sink, tag)

    async def _undo_unit(self, mark: dict[int, int], savepoints: int) -> str:
        """Statements sent together, one of which failed: none of them stays (decision 0003)."""
        assert self.txn is not None
        await self.space.manager.finish(self.space.manager.undo(self.txn, mark))
        del self.savepoints[savepoints:]
        self.temporary.roll_back_to(UNIT)
        self.temporary.release(UNIT)
        return ""

    def begin(self) -> None:
        """BEGIN, also inside an implicit block."""
        self.explicit = True

    def commit(
        self, sink: ResultSink, tag: str = "COMMIT", *, done: bool = False
    ) -> Coroutine[Any, Any, str]:
        """A coroutine that commits what there is and gives the tag. `done`: it is committed."""
        if self.aborted is not None and (self.txn is None or self.txn.failed is None):
            return self.roll_back(sink=sink)  # the tag says so, as in PostgreSQL
        txn = self.leave(sink)

        async def end() -> str:
            if txn is not None and not done:
                self.outcome_is_open = True
                await self.commit_txn(txn)
            self.temporary.commit()
            await self.committed(sink)
            return tag

        return end()

    async def commit_txn(self, txn: Transaction) -> None:
        """Commit a transaction of this session, with what it did to temporary tables."""
        try:
            await self.space.manager.finish(self.space.manager.commit(txn))
        except BaseException:
            self.temporary.roll_back()
            raise
        self.temporary.commit()

    @property
    def wants_epoch(self) -> bool:
        """The next commit is an epoch."""
        return self.epoch_at_commit or self.epoch_next

    async def committed(self, sink: ResultSink) -> None:
        """A transaction was committed: make an epoch of it, if that is wanted, before the answer.

        The commit stands whatever comes of it, so there is a warning and no error.
        """
        if not self.wants_epoch:
            return
        self.epoch_next = False
        try:
            await self.space.manager.finish(self.space.make_epoch())
        except GridError as error:
            message = f"the transaction is committed, but it is not in an epoch yet: {error.detail}"
            sink.notice("WARNING", message, "01000")

    def roll_back(
        self, tag: str = "ROLLBACK", sink: ResultSink | None = None
    ) -> Coroutine[Any, Any, str]:
        """A coroutine that rolls back what there is and gives the tag."""
        settings.undo(self, sink)
        txn = self.leave()

        async def end() -> str:
            self.temporary.roll_back()
            if txn is not None:
                await self.space.manager.roll_back(txn)
            return tag

        return end()

    def leave(self, sink: ResultSink | None = None) -> Transaction | None:
        """The session has no transaction any more; gives what it had, which the caller ends."""
        txn, self.txn = self.txn, None
        self.explicit = self.implicit = False
        self._chosen = None
        self.read_only, self.deferrable = self.default_read_only, self.default_deferrable
        self.aborted = self.unit = None
        self.savepoints.clear()
        self.transaction_hints.clear()
        if self.changed_settings:
            settings.end_local(self, sink)
        if txn is not None and txn.snapshots is not None:
            close_snapshots(self.space, txn.snapshots.held.values())
        return txn

    # -- the end -----------------------------------------------------------------------------------
    def cancel(self) -> None:
        """Running executions are cancelled one by one by the connection."""

    def close(self) -> None:
        """The client is gone."""
        self.space.sessions -= 1
        self.space.counts.disconnects += 1
        for task in list(self.running):
            task.cancel()
        txn = self.leave()
        self.temporary.close()
        if self.packages.files:
            asyncio.get_running_loop().run_in_executor(None, self.packages.close_files)
        if txn is not None:
            self._closing = asyncio.get_running_loop().create_task(
                self.space.manager.roll_back(txn)
            )


def _instead(before: PreparedStatement, again: PreparedStatement) -> PreparedStatement:
    """The statement planned again; its rows must be as they were, though of a table made anew."""
    if _shape(again) != _shape(before):
        raise CachedPlanError(
            "cached plan must not change result type",
            hint="Prepare the statement again: its table was altered.",
        )
    return again if before.literals is None else again.with_literals(before.literals)


def _shape(prepared: PreparedStatement) -> list[tuple[str, SqlType]] | None:
    columns = prepared.columns
    return None if columns is None else [(column.name, column.type) for column in columns]
