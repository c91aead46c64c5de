"""PL/SQL in a session: blocks run on a greenlet of their own, their SQL as statements of it.

A closure of data/plsql that needs an answer switches to the event loop's greenlet, which awaits it
and switches back. So blocks are plain calls, and the loop is never held up for long.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from greenlet import getcurrent, greenlet

from data.exec import ref_cursors
from data.exec.plsql_hooks import SpaceHooks
from data.exec.prepared import PreparedStatement
from data.plsql.client_calls import Out
from data.plsql.compiler import CompiledBlock, compile_block
from data.plsql.context import Context, Params
from data.plsql.errors import USER_DEFINED, PlError, check_bound
from data.plsql.memory import MEMORY
from data.plsql.scope import Frame
from data.plsql.types import Scalar
from data.plsql.values import Value, reader, to_storage
from data.session.engine import Execution, ResultSink
from data.sql.convert import converter
from data.sql.plan_types import BlockPlan, CursorPlan
from protocol.errors import (
    GridError,
    NoDataFoundError,
    NotSupportedError,
    PlsqlError,
    PrivilegeError,
    TooManyRowsError,
)
from protocol.pgwire.values import ResultColumn, RowEncoder
from protocol.sqltypes import REF_CURSOR, SqlType, StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination
    from data.exec.metering import Meter
    from data.exec.running import Running
    from data.exec.session import Session


# -- the bridge between closures and the event loop ------------------------------------------------
async def on_greenlet(function: Callable[[], object]) -> object:
    """Run `function`, which may call `wait_for`, without blocking the event loop."""
    child = greenlet(function)
    child.gr_context = contextvars.copy_context()
    result = child.switch()
    while not child.dead:
        try:
            answer = await cast(Awaitable[object], result)
        except BaseException as error:
            result = child.throw(error)
        else:
            result = child.switch(answer)
    return result


def wait_for(awaitable: Awaitable[Any]) -> Any:
    """The result of something the loop has to do; only inside `on_greenlet`."""
    parent = getcurrent().parent
    assert parent is not None, "not inside a block"
    return parent.switch(awaitable)


# -- compiling -------------------------------------------------------------------------------------
def compiled_block(
    space: Coordination, text: str, schema: str, user: str, is_call: bool
) -> CompiledBlock:
    """Raises GridError."""
    return compile_block(text, SpaceHooks(space, schema, user), is_call)


# -- SQL of a block --------------------------------------------------------------------------------
class _Sink:
    """Gathers what one statement of a block gives, and counts it."""

    def __init__(self, outer: ResultSink, meter: Meter) -> None:
        self._outer = outer
        self._meter = meter
        self._fetched = 0
        self._told: asyncio.Future[str] | None = None
        self._early: str | GridError | None = None
        self.gathered: list[StorageRow] = []

    async def told(self) -> str:
        """Wait for the tag, or "" if there are more rows. Raises GridError."""
        early, self._early = self._early, None
        if isinstance(early, GridError):
            raise early
        if early is not None:
            return early
        self._told = asyncio.get_running_loop().create_future()
        try:
            return await self._told
        finally:
            self._told = None

    def _tell(self, what: str | GridError) -> None:
        future = self._told
        if future is None or future.done():
            self._early = what
        elif isinstance(what, GridError):
            future.set_exception(what)
        else:
            future.set_result(what)

    @property
    def writable(self) -> bool:
        """Always: rows are asked for some at a time."""
        return True

    def on_writable(self, callback: Callable[[], None]) -> None:
        """There is room."""
        callback()

    def rows(self, data: Any, count: int) -> None:
        """Rows: a list, as the collector made them."""
        self.gathered += data
        self._fetched += count

    def answer(self, data: Any, count: int, tag: str) -> None:
        """All its rows, and it succeeded."""
        self.rows(data, count)
        self.done(tag)

    def done(self, tag: str) -> None:
        """It succeeded."""
        self._meter.done(tag)
        self._tell(tag or "DONE")

    def suspended(self) -> None:
        """As many as were asked for."""
        self._meter.done(f"SELECT {self._fetched}")
        self._tell("")

    def fail(self, error: GridError) -> None:
        """It failed."""
        self._meter.failed_inside(error)
        self._tell(error)

    def notice(self, severity: str, message: str, sqlstate: str) -> None:
        """For the client."""
        self._outer.notice(severity, message, sqlstate)

    def parameter(self, name: str, value: str) -> None:
        """For the client."""
        self._outer.parameter(name, value)

    def open_cursor(self, *_: object) -> None:
        """Never: blocks inside keep theirs."""


class _Collector:
    """Takes the place of an encoder: rows stay storage values."""

    types: tuple[SqlType, ...] = ()
    formats: tuple[int, ...] = ()

    def __call__(self, rows: Iterable[StorageRow], /) -> list[StorageRow]:
        """The rows."""
        return list(rows)


_COLLECTOR = cast(RowEncoder, _Collector())


class SessionRows:
    """An open query of a block."""

    def __init__(
        self, session: Session, prepared: PreparedStatement, values: Any, outer: ResultSink
    ) -> None:
        self.columns: tuple[ResultColumn, ...] = prepared.columns or ()
        self._session = session
        self._prepared = prepared
        self._values = values
        self._sink = _Sink(outer, session.meter)
        self._execution: Execution | None = None
        self._begun = self._ended = False

    def fetch(self, count: int) -> list[StorageRow]:
        """The next rows; fewer than `count`: these are the last."""
        if self._ended:
            return []
        if not self._begun:
            self._begun = True
            self._execution = self._session.execute(
                self._prepared, self._values, _COLLECTOR, count, self._sink
            )
        else:
            assert self._execution is not None
            self._execution.resume(count)
        try:
            self._ended = wait_for(self._sink.told()) != ""
        except BaseException:
            self._ended = True
            raise
        rows, self._sink.gathered = self._sink.gathered, []
        return rows

    def close(self) -> None:
        """Give it up."""
        if self._execution is not None and not self._ended:
            self._ended = True
            self._execution.close()


class SessionHost:
    """A session as the closures of a block see it (data/plsql/context.py)."""

    def __init__(self, session: Session, sink: ResultSink) -> None:
        self._session = session
        self.sink = sink
        self.user = session.user

    def _prepared(
        self, sql: str, types: tuple[SqlType | None, ...], values: Params, owner: str
    ) -> tuple[PreparedStatement, tuple[StorageValue, ...]]:
        prepared = self._plan(sql, types, owner)
        if prepared.block is not None:
            raise NotSupportedError("a block inside a block: EXECUTE IMMEDIATE runs it")
        return prepared, _adapted(prepared, values)

    def _plan(self, sql: str, types: tuple[SqlType | None, ...], owner: str) -> PreparedStatement:
        if owner:
            return self._session.space.prepare(sql, types, owner, owner)
        return self._session.prepare(sql, types)

    def query(
        self, sql: str, types: tuple[SqlType | None, ...], values: Params, owner: str = ""
    ) -> SessionRows:
        """Open a query."""
        prepared, given = self._prepared(sql, types, values, owner)
        if prepared.columns is None:
            raise NotSupportedError("INTO, or a cursor, of a statement that gives no rows")
        return SessionRows(self._session, prepared, given, self.sink)

    def execute(
        self, sql: str, types: tuple[SqlType | None, ...], values: Params, owner: str = ""
    ) -> int:
        """Run a statement; how many rows it changed."""
        prepared, given = self._prepared(sql, types, values, owner)
        return self._run(prepared, given)

    def _run(self, prepared: PreparedStatement, given: tuple[StorageValue, ...]) -> int:
        sink = _Sink(self.sink, self._session.meter)
        encoder = _COLLECTOR if prepared.columns is not None else None
        session = self._session
        execution = session.execute(prepared, given, encoder, 0 if encoder is None else 1, sink)
        tag = wait_for(sink.told())
        if not tag and execution is not None:
            execution.close()  # a SELECT without INTO: nobody wants its rows
        if session.txn is None and not session.implicit:
            session.implicit = not session.explicit  # DDL ended the transaction
        last = tag.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    def many(
        self,
        sql: str,
        types: tuple[SqlType | None, ...],
        rows: Sequence[Params],
        keep: bool,
        owner: str = "",
    ) -> tuple[list[int], list[tuple[int, Exception]]]:
        """FORALL."""
        counts: list[int] = []
        failed: list[tuple[int, Exception]] = []
        for at, values in enumerate(rows, 1):
            try:
                prepared, given = self._prepared(sql, types, values, owner)
                counts.append(self._run(prepared, given))
            except GridError as error:
                if not keep:
                    raise
                counts.append(0)
                failed.append((at, error))
        return counts, failed

    def is_block(self, sql: str, owner: str = "") -> bool:
        """A block, or CALL of a stored procedure."""
        if sql[:5].upper() not in _BLOCK_BEGINNINGS:
            return False
        return self._plan(sql, (), owner).block is not None

    def run_block(self, sql: str, given: list[Value], owner: str = "") -> list[Value]:
        """EXECUTE IMMEDIATE 'BEGIN … END;'."""
        block = self._plan(sql, (), owner).block
        assert block is not None
        check_bound(len(block.binds), len(given))
        return run_compiled(self._session, self, block, given)[0]

    def commit(self) -> None:
        """COMMIT."""
        session = self._session
        session.meter.begin(session.space.meters.implicit)
        self._end(session.commit(self.sink))

    def roll_back(self) -> None:
        """ROLLBACK."""
        self._end(self._session.roll_back())

    def _end(self, work: Awaitable[str]) -> None:
        session = self._session
        explicit = session.explicit or not session.implicit
        session.meter.done(wait_for(work))
        session.outcome_is_open = False
        session.explicit, session.implicit = explicit, not explicit

    def pause(self, seconds: float) -> None:
        """Let others run."""
        wait_for(asyncio.sleep(seconds))

    def files_folder(self) -> Path:
        """Of UTL_FILE: for users with ADMIN, since a disk can be filled with it."""
        space = self._session.space
        if not space.catalog.has_system_privilege(self.user, "ADMIN"):
            raise PrivilegeError("UTL_FILE needs the privilege ADMIN")
        return space.files_folder

    def aside(self, work: Callable[[], Any]) -> Any:
        """On a thread."""
        return wait_for(asyncio.to_thread(work))

    def notice(self, text: str) -> None:
        """DBMS_OUTPUT. It waits while the client does not read."""
        self.sink.notice("NOTICE", text, "00000")
        if not self.sink.writable:
            room = asyncio.Event()
            self.sink.on_writable(room.set)
            wait_for(room.wait())


_BLOCK_BEGINNINGS = frozenset({"BEGIN", "DECLA", "CALL "})


def _adapted(prepared: PreparedStatement, values: Params) -> tuple[StorageValue, ...]:
    """Values as the storage values of the parameters that the plan wants."""
    check_bound(len(prepared.param_types), len(values))
    out: list[StorageValue] = []
    for (source, value), target in zip(values, prepared.param_types, strict=True):
        convert = converter(source, target) if value is not None else None
        out.append(convert(value) if convert is not None else value)
    return tuple(out)


# -- running ---------------------------------------------------------------------------------------
def run_compiled(
    session: Session, host: SessionHost, block: CompiledBlock, given: Sequence[Value]
) -> tuple[list[Value], Frame]:
    """Run it, inside a greenlet; what its bind variables are then, and its frame.

    Raises PlError.
    """
    binds = dict(zip(block.binds, given, strict=False))
    units = session.space.units
    units.forget_old(session.packages.frames)
    MEMORY.set(session.packages.memory)
    context = Context(host, session.packages, units.instantiate, binds)
    frame = block.activation.frame(None, context)
    block.run(frame)
    if context.line:
        host.notice(context.line)
    return list(binds.values()), frame


def _client_row(
    session: Session, host: SessionHost, block: CompiledBlock, given: Sequence[Value]
) -> StorageRow:
    """Run it; what its client gets. Raises PlError."""
    _, frame = run_compiled(session, host, block, given)
    return tuple(_for_client(session, host, out, frame) for out in block.outs)


def _for_client(session: Session, host: SessionHost, out: Out, frame: Frame) -> StorageValue:
    if out.type == REF_CURSOR:
        return ref_cursors.kept(session, host.sink, out.get(frame))
    value = Scalar(out.type).coerce(out.get(frame))
    if value is None:
        return None
    source, stored = to_storage(value)
    convert = converter(source, out.type)
    return stored if convert is None else convert(stored)


async def run_block(session: Session, running: Running, plan: BlockPlan) -> str:
    """A block as a statement: what it changed stays if it succeeds, or goes as a whole."""
    block = running.prepared.block
    assert block is not None
    session.check_serving()
    own = not (session.explicit or session.implicit)
    if own:
        session.begin_implicit()
    elif session.txn is None:
        session.txn = session.begin_txn()
    txn = session.txn
    mark = txn.mark() if txn is not None else {}
    types = running.prepared.param_types
    given = [reader(t)(v) for t, v in zip(types, running.values, strict=True)]
    host = SessionHost(session, running.sink)
    begun = session.meter.set_aside()
    try:
        row = await on_greenlet(lambda: _client_row(session, host, block, given))
    except BaseException as error:
        if own:
            session.explicit = False
            await session.space.manager.finish(session.roll_back())
        elif session.txn is not None and session.txn.failed is None:
            left = mark if session.txn is txn else {}
            await session.space.manager.finish(session.space.manager.undo(session.txn, left))
        if isinstance(error, PlError):
            raise uncaught(error) from error
        raise
    finally:
        session.meter.go_on(begun)
    tag = plan.tag
    if own:
        session.explicit = False
        tag = await session.commit(running.sink, plan.tag)
    if block.outs:
        await running.emit_all([cast(StorageRow, row)])
    return tag


async def run_cursor(running: Running, plan: CursorPlan) -> str:
    """FETCH from a cursor that a block gave to the client."""
    running.session.check_serving()
    while rows := await _fetched(running.session, plan):
        await running.emit_all(rows)
    return f"SELECT {running.emitted}"


async def _fetched(session: Session, plan: CursorPlan) -> list[StorageRow]:
    begun = session.meter.set_aside()
    try:
        return cast(list[StorageRow], await on_greenlet(plan.fetch))
    except PlError as error:
        raise uncaught(error) from error
    finally:
        session.meter.go_on(begun)


def uncaught(error: PlError) -> GridError:
    """What a client hears of an exception that no handler took."""
    trail = "\n".join(f"ORA-06512: {line}" for line in error.lines)
    cause = error.cause
    if cause is not None:
        detail = f"{cause.detail}\n{trail}" if cause.detail else trail
        return type(cause)(cause.message, detail=detail, hint=cause.hint).about(cause.names)
    kind = _UNCAUGHT.get(error.name, PlsqlError)
    text = error.text
    if error.code == USER_DEFINED and not error.message:
        text = "ORA-06510: PL/SQL: unhandled user-defined exception"
    return kind(text, detail=trail)


_UNCAUGHT: dict[str, type[GridError]] = {
    "NO_DATA_FOUND": NoDataFoundError,
    "TOO_MANY_ROWS": TooManyRowsError,
}
