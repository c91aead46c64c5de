"""One client session: prepared statements, portals, implicit transactions, cancel, back-pressure.

It is the handler of a wire Connection and the sink of the engine's results. No sockets here: bytes
go through the `Link` the frontend gives. Everything runs on the event loop and nothing awaits: an
engine call finishes inside, or the session is *waiting* and the sink's done() or fail() carries on.
"""

from __future__ import annotations

from collections.abc import Callable

from data.session import commands, copy_stream
from data.session.ending import Ending
from data.session.engine import Execution, Prepared, SqlSession
from data.session.host import REPORTED_BY_LOWER, Host, Link
from data.session.login import Login
from data.session.names import Names
from data.session.script import NOTHING, STATEMENTS_PER_TURN, Script
from data.session.statements import (
    ALL_TEXT,
    RUN,
    Mode,
    Portal,
    PortalState,
    Statement,
    make_layout,
    text_layout,
)
from data.session.timers import Timers
from protocol import trace
from protocol.errors import (
    CancelledError,
    GridError,
    NotSupportedError,
    TransactionStateError,
    UnknownParameterError,
)
from protocol.limits import CLIENT_FLUSH_BYTES, CLIENT_INPUT_BYTES_HIGH
from protocol.pgwire import messages
from protocol.pgwire.connection import CLOSED, Connection, Phase
from protocol.pgwire.messages import BIND_COMPLETE, READY, command_complete
from protocol.pgwire.scram import Verifier
from protocol.pgwire.values import RowEncoder, type_of_oid
from protocol.sqltypes import SqlType, StorageValue


class Session:
    """See the module's text. The frontend calls received(), drain(), pause, resume, lost()."""

    def __init__(self, host: Host, link: Link, *, offers_tls: bool, peer_uid: int | None) -> None:
        self.connection = Connection(self, offers_tls=offers_tls)
        self.pid = 0
        self.secret = 0
        self.login = Login(host, peer_uid)
        self.writable = True
        self.closed = False
        self._host = host
        self._link = link
        self._out = self.connection.out
        self._sql: SqlSession = None  # type: ignore[assignment]  # from authenticated() on
        self.names = Names()
        self._statements = self.names.statements
        self._portals = self.names.portals
        self._mode = Mode.EXTENDED
        self._running = False  # the engine owes a done(), suspended() or fail()
        self.waiting = False  # ... and execute() has returned
        self._execution: Execution | None = None  # of the running statement, if it can be cancelled
        self._portal: Portal | None = None  # the running statement's
        self._implicit = False  # an implicit block is open in the engine
        self._failed = False  # in this Sync group or simple query
        self._row_count = 0  # of the running statement
        self._fetch_tag = ""  # "FETCH" or "MOVE" while such a command runs
        self._script = NOTHING  # the simple query that is running
        self._turn_over = False  # it goes on in the next turn of the event loop
        self._copy: copy_stream.CopyInStream | None = None
        self._on_writable: list[Callable[[], None]] = []
        self._timers = Timers()
        self._unsent = 0
        self._flush_scheduled = False
        self._reading_paused = False
        self._leaves: GridError | None = None  # as soon as it is idle, with this word
        self.ending = Ending(self, lambda: self.waiting and self._sql.outcome_is_open)

    # -- called by the frontend -------------------------------------------------------------------
    def received(self, data: bytes) -> None:
        """Bytes came from the client: handle them, write once."""
        if trace.steps.listener is not None:
            trace.step("data/session/session.py")
        connection = self.connection
        self._timers.heard()
        connection.receive(data)
        if self._out and not self.waiting:  # BindComplete goes with the answer
            self._unsent = 0
            self._link.write(connection.take_output())
        if connection.is_blocked or connection.phase is CLOSED or self._leaves:
            self._end_turn()
        else:
            self._watch_idle()

    def _watch_idle(self) -> None:
        """The client's turn, unless something runs."""
        sql = self._sql
        if sql is None or self.waiting or self._copy is not None or self.closed:
            return
        if sql.idle_in_transaction_timeout_s or sql.idle_session_timeout_s:
            self._timers.idle(sql, self.end)

    def _end_turn(self) -> None:
        """Write what has gathered, then see to closing and to the flow of input."""
        connection = self.connection
        if self.closed:
            return
        if self._leaves and self.is_idle and connection.phase is Phase.READY:
            connection.fatal(self._leaves)
        self.ending.check()
        if self._out and (not self.waiting or connection.phase is CLOSED):
            self._unsent = 0
            self._link.write(connection.take_output())
        if connection.phase is CLOSED:
            self._link.close()
            self.lost()
        elif connection.is_blocked and connection.buffered > CLIENT_INPUT_BYTES_HIGH:
            if not self._reading_paused:
                self._reading_paused = True
                self._link.pause_reading()
        elif self._reading_paused:
            self._reading_paused = False
            self._link.resume_reading()
        self._watch_idle()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.writable = False
        self.connection.stalled = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self.writable = True
        self.connection.stalled = False
        waiting, self._on_writable = self._on_writable, []
        for callback in waiting:
            callback()
        self.connection.resume()
        self._end_turn()

    def lost(self) -> None:
        """The connection is gone, or is being closed: release everything. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._timers.stop()
        self.connection.close()
        self._on_writable.clear()
        self._script.drop()
        if self._copy is not None:
            copy, self._copy = self._copy, None
            copy.abort("client connection lost")
        if self._execution is not None:
            execution, self._execution = self._execution, None
            execution.close()
        self.names.close_portals()
        if self._sql is not None:
            self._sql.close()

    def drain(self, why: GridError) -> None:
        """Close as soon as no statement runs and no transaction is open."""
        self._leaves = why
        self._end_turn()

    def end(self, error: GridError) -> None:
        """Tell the client and close: now, or when it has heard what became of its commit."""
        if not self.ending.waits(error):
            self.connection.fatal(error)
            self._end_turn()

    @property
    def is_idle(self) -> bool:
        """True: nothing runs and no transaction is open."""
        busy = self.waiting or self._implicit
        return self._sql is None or not (busy or self._sql.transaction_status != b"I")

    def cancel(self) -> None:
        """Cancel what runs; without effect if nothing does."""
        if self._turn_over:
            self.fail(CancelledError("the script was cancelled at the client's request"))
        if self.closed or not (self.waiting or self._copy is not None):
            return
        if self._execution is not None:
            self._execution.cancel()
        elif self._copy is not None:
            self._end_copy(lambda copy: copy.abort("canceling statement due to user request"))
            self.connection.resume()
            self._end_turn()
            return
        self._sql.cancel()

    # -- startup ----------------------------------------------------------------------------------
    def startup(self, parameters: dict[str, str]) -> Verifier | None:
        """See Handler. Raises what Engine.authenticate_info raises."""
        if self._leaves:
            raise self._leaves
        return self.login.startup(parameters)

    def authenticated(self) -> None:
        """See Handler."""
        self.pid, self.secret = self._host.admit(self)
        self._sql = self.login.open_session(self.pid)
        shown = self.login.reported(self._sql)
        self._out.extend(messages.parameter_status(*item) for item in shown.items())
        self._out.append(messages.backend_key_data(self.pid, self.secret))
        self._out.extend(self.login.warnings(self._sql))
        self._out.append(READY[self._sql.transaction_status])

    def cancel_request(self, pid: int, secret: int) -> None:
        """See Handler."""
        self._host.cancel(pid, secret)

    def fault(self, error: Exception) -> GridError:
        """See Handler."""
        return self._host.fault(self, error)

    # -- extended query ---------------------------------------------------------------------------
    def runnable(self, name: bytes) -> Statement | None:
        """See Handler."""
        statement = self._statements.get(name)
        return statement if statement is not None and statement.is_plain else None

    def run(
        self,
        statement: Statement,
        formats: bytes,
        params: list[bytes | None],
        result_formats: bytes,
        describe: bool,
    ) -> None:
        """See Handler. The hot path."""
        self._mode = RUN
        self._portal = None
        try:
            if b"" in self._portals:
                self.names.drop_portal(b"")
            values = statement.values(formats, params)
            layout = statement.layout(result_formats)
            self._out.append(layout.bound if describe else BIND_COMPLETE)
            self._running = True
            execution = self._sql.execute(statement.prepared, values, layout.encoder, 0, self)
            if self._running:
                self._wait(execution)
                return
        except Exception as error:
            self.fail(error if isinstance(error, GridError) else self._host.fault(self, error))
        if self._implicit or self._failed or self._portals:
            self.sync()
        else:
            self._out.append(READY[self._sql.transaction_status])

    def parse(self, name: bytes, sql: str, oids: tuple[int, ...]) -> None:
        """See Handler."""
        self.names.check_new_statement(name)
        types = tuple([type_of_oid(oid) if oid else None for oid in oids]) if oids else ()
        if len(sql) > commands.COMMAND_CHARS_MAX:

            def keep(prepared: Prepared) -> None:
                self.names.add_statement(name, Statement(prepared, oids, sql))
                self._out.append(messages.PARSE_COMPLETE)

            if self._prepare_later(sql, types, Mode.EXTENDED, keep):
                return
        self.names.add_statement(name, Statement(self.prepare(sql, types), oids, sql))
        self._out.append(messages.PARSE_COMPLETE)

    def _prepare_later(
        self,
        sql: str,
        types: tuple[SqlType | None, ...],
        mode: Mode,
        then: Callable[[Prepared], None],
    ) -> bool:
        """Have a long text compiled elsewhere and go on with `then`; False: it is not long."""

        def done(found: Prepared | GridError) -> None:
            self._running = False
            if isinstance(found, GridError):
                self.fail(found)
                return
            try:
                then(found)
            except GridError as error:
                self.fail(error)
                return
            if not self._running and self._copy is None:
                self._carry_on()

        commands.recognise(sql, self)  # refuses those that are so long
        self._mode = mode
        self._portal = None
        later = self._sql.prepare_later(sql, types, done)
        if later is not None:
            self._running = True
            self._wait(later)
        return later is not None

    def bind(
        self,
        portal: bytes,
        name: bytes,
        formats: bytes,
        params: list[bytes | None],
        result_formats: bytes,
    ) -> None:
        """See Handler."""
        statement = self.names.statement(name)
        self.names.check_new_portal(portal)
        size = sum([len(param) for param in params if param is not None])
        values = statement.values(formats, params)
        self.names.add_portal(
            portal, Portal(statement, values, statement.layout(result_formats)), size
        )
        self._out.append(BIND_COMPLETE)

    def describe(self, kind: int, name: bytes) -> None:
        """See Handler."""
        if kind == 0x50:  # P
            self._out.append(self.names.portal(name).layout.description)
        else:
            statement = self.names.statement(name)
            self._out.append(statement.parameter_description())
            self._out.append(statement.layout(ALL_TEXT).description)

    def execute(self, portal: bytes, max_rows: int, alone: bool) -> None:
        """See Handler."""
        found = self.names.portal(portal)
        self._mode = Mode.EXTENDED
        if found.state is PortalState.FINISHED:
            if found.layout.encoder is None:
                raise TransactionStateError("portal cannot be run again")
            self._out.append(command_complete("SELECT 0"))
            return
        if found.state is PortalState.NEW and not alone:
            self._begin_implicit()
        self._execute_portal(found, max_rows)

    def _execute_portal(self, portal: Portal, max_rows: int) -> None:
        """Start or continue a portal; the outcome comes through the sink."""
        self._portal = portal
        self._row_count = 0
        prepared = portal.statement.prepared
        if portal.state is PortalState.SUSPENDED:
            assert portal.execution is not None
            self._running = True
            portal.execution.resume(max_rows)
            self._settle(portal.execution)
            return
        if portal.statement.is_plain:
            self._running = True
            self._settle(
                self._sql.execute(prepared, portal.values, portal.layout.encoder, max_rows, self)
            )
        else:
            portal.state = PortalState.FINISHED
            self._execute_special(portal.statement, portal.values, portal.layout.encoder)

    def _execute_special(
        self,
        statement: Statement,
        values: tuple[StorageValue, ...],
        encoder: RowEncoder | None,
    ) -> None:
        prepared = statement.prepared
        match prepared.tag_kind:
            case "EMPTY":
                self._out.append(messages.EMPTY_QUERY)
            case "COPY_IN":
                self._start_copy_in(prepared)
            case "COPY_OUT":
                self._start_copy_out(prepared)
            case _:
                assert isinstance(prepared, commands.Command)
                prepared.run(self, values, encoder)

    def close_target(self, kind: int, name: bytes) -> None:
        """See Handler."""
        if kind == 0x50:  # P
            self.names.drop_portal(name)
        else:
            self._statements.pop(name, None)
        self._out.append(messages.CLOSE_COMPLETE)

    def sync(self) -> None:
        """See Handler."""
        self._mode = Mode.ENDING
        if self._implicit:
            self._end_implicit()
            if self._running:
                return
        self._ready()

    def _ready(self) -> None:
        status = self._sql.transaction_status
        if self._portals and status == b"I":
            self.names.close_portals(held_too=False)
        self._failed = False
        self._out.append(READY[status])

    def failed(self, error: GridError, in_query: bool) -> None:
        """See Handler."""
        self._out.append(messages.error_response(error))
        self._failed = True
        self._running = False
        self._fetch_tag = ""
        self._sql.fail_transaction(error)
        if in_query:
            self._finish_query()

    # -- simple query -----------------------------------------------------------------------------
    def query(self, sql: str) -> None:
        """See Handler."""
        semicolon = sql.find(";")
        if semicolon < 0 or semicolon == len(sql) - 1:
            self._script = NOTHING
            self._start_statement(sql[:semicolon] if semicolon >= 0 else sql)
            if self._running or self._copy is not None:
                return
        else:
            self._mode = Mode.QUERY
            later = self._sql.split_later(sql, lambda parts: self._split_done(sql, parts))
            if later is not None:
                self._running = True
                self._wait(later)
                return
            self._begin_script(sql, self._sql.split(sql))
        self._continue_query()

    def _begin_script(self, sql: str, parts: list[str]) -> None:
        if not parts:
            self._out.append(messages.EMPTY_QUERY)
        self._script = Script(sql, parts)

    def _split_done(self, sql: str, parts: list[str] | GridError) -> None:
        self._running = False
        self._script = NOTHING
        if isinstance(parts, GridError):
            self.fail(parts)
            return
        self._begin_script(sql, parts)
        self._carry_on()

    def _continue_query(self) -> None:
        """Run the statements that are left until one has to be waited for."""
        script = self._script
        for _ in range(STATEMENTS_PER_TURN):
            if not script or self._failed:
                break
            if script.is_block:
                self._begin_implicit()
            self._start_statement(script.next())
            if self._running or self._copy is not None:
                return
        if script and not self._failed:
            self.connection.busy = self._turn_over = True
            self._link.call_soon(self._next_turn)
            return
        self._finish_query()

    def _next_turn(self) -> None:
        self._turn_over = False
        self._carry_on()

    def _start_statement(self, sql: str) -> None:
        """Run one statement of a simple query; an error goes to fail()."""
        self._mode = Mode.QUERY
        self._portal = None
        self._row_count = 0
        try:
            if len(sql) > commands.COMMAND_CHARS_MAX and self._prepare_later(
                sql, (), Mode.QUERY, lambda prepared: self._run_statement(sql, prepared)
            ):
                return
            self._run_statement(sql, self.prepare(sql, ()))
        except Exception as error:
            self.fail(error if isinstance(error, GridError) else self._host.fault(self, error))

    def _run_statement(self, sql: str, prepared: Prepared) -> None:
        """Run what _start_statement has compiled. Raises GridError."""
        if prepared.param_types:
            raise UnknownParameterError("there is no parameter $1")
        columns = prepared.columns
        encoder = None
        if columns is not None:
            layout = text_layout(columns)
            encoder = layout.encoder
            self._out.append(layout.description)
        if prepared.tag_kind in ("COPY_IN", "COPY_OUT", "EMPTY", "SESSION"):
            self._execute_special(Statement(prepared, (), sql), (), encoder)
            return
        self._running = True
        self._settle(self._sql.execute(prepared, (), encoder, 0, self))

    def _finish_query(self) -> None:
        self._script.drop()
        self.sync()

    # -- implicit transactions --------------------------------------------------------------------
    def _begin_implicit(self) -> None:
        if not self._implicit:
            self._implicit = True
            self._sql.begin_implicit()

    def _end_implicit(self) -> None:
        """End the implicit block; afterwards _running says whether that has to be waited for."""
        self._implicit = False
        self._portal = None
        self._running = True
        try:
            self._settle(self._sql.end_implicit(not self._failed, self))
        except GridError as error:
            self.fail(error)

    # -- the sink: called by the engine -----------------------------------------------------------
    def on_writable(self, callback: Callable[[], None]) -> None:
        """See ResultSink."""
        if self.writable:
            callback()
        elif not self.closed:
            self._on_writable.append(callback)

    def rows(self, data: bytes | bytearray, count: int) -> None:
        """See ResultSink."""
        self._row_count += count
        if self._fetch_tag == "MOVE":
            return
        self._out.append(data)
        self._unsent += len(data)
        if self._unsent > CLIENT_FLUSH_BYTES:
            self._flush()
        elif self.waiting:
            self._flush_soon()

    def answer(self, data: bytes | bytearray, count: int, tag: str) -> None:
        """See ResultSink. They are written with the end: no flush of their own is due."""
        waiting, self.waiting = self.waiting, False
        self.rows(data, count)
        self.waiting = waiting
        self.done(tag)

    def done(self, tag: str) -> None:
        """See ResultSink."""
        if trace.steps.listener is not None:
            trace.step("data/session/session.py")
        self._sql.succeeded(tag)
        self._running = False
        if self._fetch_tag:
            tag, self._fetch_tag = f"{self._fetch_tag} {self._row_count}", ""
        if tag:
            self._out.append(command_complete(tag))
        if self._portal is not None:
            self._portal.close()
        if self.waiting:
            self._carry_on()

    def suspended(self) -> None:
        """See ResultSink."""
        self._sql.succeeded(f"SELECT {self._row_count}")
        self._running = False
        portal = self._portal
        assert portal is not None, "only a portal has a row limit"
        portal.state = PortalState.SUSPENDED
        if self._fetch_tag:
            self._out.append(command_complete(f"{self._fetch_tag} {self._row_count}"))
            self._fetch_tag = ""
        else:
            self._out.append(messages.PORTAL_SUSPENDED)
        if self.waiting:
            portal.execution = self._execution
            self._carry_on()

    def fail(self, error: GridError) -> None:
        """See ResultSink."""
        self._running = False
        self._failed = True
        self._fetch_tag = ""
        if self.closed:
            return
        error = self._timers.failed(error)
        self._sql.fail_transaction(error)
        if self._copy is not None:  # while data came: the client is told in order, then goes on
            self._copy.failed()
            self._copy = None
            self.connection.copying = False
            self.connection.busy = True
            self._link.call_soon(self._copy_gone)
        position = error.position
        if position and self._mode is Mode.QUERY:
            position += self._script.offset
        self._out.append(messages.error_response(error, position=position))
        if self._mode is Mode.EXTENDED:
            self.connection.skipping = True
        if self._portal is not None:
            self._portal.close()
        if self.waiting:
            self._carry_on()

    def notice(self, severity: str, message: str, sqlstate: str) -> None:
        """See ResultSink."""
        self._out.append(messages.notice_response(severity, message, sqlstate))
        if self.waiting:
            self._flush_soon()

    def parameter(self, name: str, value: str) -> None:
        """See ResultSink."""
        if reported := REPORTED_BY_LOWER.get(name.lower()):
            self._out.append(messages.parameter_status(reported, value))

    # -- waiting ----------------------------------------------------------------------------------
    def _settle(self, execution: Execution | None) -> None:
        """After an engine call: wait if it has not finished, keep it if it is suspended."""
        if self._running:
            self._wait(execution)
        elif self._portal is not None and self._portal.state is PortalState.SUSPENDED:
            assert execution is not None, "a suspended statement has an Execution"
            self._portal.execution = execution

    def _wait(self, execution: Execution | None) -> None:
        self._execution = execution
        self.waiting = True
        self.connection.busy = True
        self._timers.statement(self._sql.statement_timeout_s, self.cancel)

    def _carry_on(self) -> None:
        """The statement that was waited for is over."""
        self.waiting = False
        self._execution = None
        self._timers.statement_over()
        if self.closed:
            return
        self.connection.busy = False
        try:
            if self._mode is Mode.QUERY:
                self._continue_query()
            elif self._mode is RUN:
                self.sync()
            elif self._mode is Mode.ENDING:
                self._ready()
            self.connection.resume()
        except Exception as error:
            self.connection.fatal(self._host.fault(self, error))
        self._end_turn()

    def _flush(self) -> None:
        self._unsent = 0
        if self._out and not self.closed:
            self._link.write(self.connection.take_output())

    def _flush_soon(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._link.call_soon(self._scheduled_flush)

    def _scheduled_flush(self) -> None:
        self._flush_scheduled = False
        self._flush()

    # -- COPY -------------------------------------------------------------------------------------
    def _start_copy_in(self, prepared: Prepared) -> None:
        assert prepared.copy is not None
        copy = self._sql.copy_in(prepared, self)
        self._out.append(
            messages.copy_in_response(prepared.copy.is_binary, len(prepared.copy.types))
        )
        self._copy = copy_stream.CopyInStream(self, copy)
        self.connection.copying = True
        self._timers.statement(self._sql.statement_timeout_s, self.cancel)

    def copy_data(self, chunk: bytes) -> None:
        """See Handler."""
        if self._copy is None:
            return
        try:
            self._copy.feed(chunk)
        except GridError as error:
            copy = self._copy
            self.fail(error)
            if copy is not None:
                copy.abort(error.message)

    def copy_blocked(self, blocked: bool) -> None:
        """See CopyOwner."""
        self.connection.busy = blocked
        if not blocked:
            self.connection.resume()
            self._end_turn()

    def copy_done(self) -> None:
        """See Handler."""
        self._end_copy(lambda copy: copy.finish())

    def copy_failed(self, reason: str) -> None:
        """See Handler."""
        self._end_copy(lambda copy: copy.abort(reason))

    def _end_copy(self, how: Callable[[copy_stream.CopyInStream], None]) -> None:
        copy, self._copy = self._copy, None
        self.connection.copying = False
        assert copy is not None
        self._running = True
        try:
            how(copy)
        except GridError as error:
            self.fail(error)
        if self._running:
            self._wait(None)
            return
        self._timers.statement_over()
        if self._mode is Mode.QUERY:
            self._continue_query()

    def _copy_gone(self) -> None:
        """COPY FROM failed while data came: go on behind it."""
        if self.closed:
            return
        self.connection.busy = False
        if self._mode is Mode.QUERY:
            self._continue_query()
        self.connection.resume()
        self._end_turn()

    def _start_copy_out(self, prepared: Prepared) -> None:
        assert prepared.copy is not None
        encoder = prepared.copy.row_encoder()
        self._out.append(
            messages.copy_out_response(prepared.copy.is_binary, len(prepared.copy.types))
        )
        self._running = True
        sink = copy_stream.CopyOutSink(self, self._out.append, encoder)
        self._settle(self._sql.copy_out(prepared, sink))

    # -- names ------------------------------------------------------------------------------------
    def prepare(self, sql: str, types: tuple[SqlType | None, ...]) -> Prepared:
        command = commands.recognise(sql, self, types)
        if command is not None:
            return command
        return self._sql.prepare(sql, types)

    # -- for data/session/commands.py -------------------------------------------------------------
    @property
    def in_block(self) -> bool:
        """True: in a transaction or an implicit block."""
        return self._implicit or self._sql.transaction_status != b"I"

    def run_engine(self, sql: str, tag: str) -> None:
        """Run a statement of the engine for a session command and answer with another tag."""
        self._running = True
        prepared = self._sql.prepare(sql, ())
        self._settle(self._sql.execute(prepared, (), None, 0, copy_stream.TagSink(self, tag)))

    def command_done(self, tag: str) -> None:
        """A session command that returns nothing is finished."""
        self._out.append(command_complete(tag))

    def keep_statement(self, name: str, sql: str) -> None:
        """PREPARE."""
        key = name.encode()
        self.names.check_new_statement(key)
        self.names.add_statement(key, Statement(self.prepare(sql, ()), (), sql))

    def execute_kept(
        self, statement: Statement, params: list[bytes | None], encoder: RowEncoder | None
    ) -> None:
        """EXECUTE with its parameters as text."""
        values = statement.values(ALL_TEXT, params)
        if not statement.is_plain:
            self._execute_special(statement, values, encoder)
            return
        self._running = True
        self._settle(self._sql.execute(statement.prepared, values, encoder, 0, self))

    def open_cursor(
        self, name: str, query: Prepared, sql: str, values: tuple[StorageValue, ...], hold: bool
    ) -> None:
        """DECLARE. Raises DuplicatePortalError."""
        key = name.encode()
        self.names.check_new_cursor(key)
        statement = Statement(query, (), sql)
        if not statement.is_plain or query.columns is None:
            raise NotSupportedError("a cursor needs a query")
        layout = make_layout(query.columns, ALL_TEXT)
        self.names.add_portal(key, Portal(statement, values, layout, hold))

    def fetch(self, portal: Portal, count: int, encoder: RowEncoder | None, tag: str) -> None:
        """FETCH (tag "FETCH") or MOVE (no encoder): `count` rows on, 0 for all that are left."""
        if portal.state is PortalState.FINISHED:
            self._out.append(command_complete(f"{tag} 0"))
            return
        if portal.state is PortalState.NEW and encoder is not None:
            portal.layout = portal.layout._replace(encoder=encoder)
        elif encoder is not None and encoder is not portal.layout.encoder:
            raise NotSupportedError("the result format of a cursor cannot change between fetches")
        self._fetch_tag = tag
        self._execute_portal(portal, count)
