"""A client's SQL over the engine's session port: the wire format is left out, its distance is not.

A client lives on a loop of its own; statements and answers travel. When the instance dies the
client hears that its connection is lost, when it is silent the client gives up after a while.
"""

from __future__ import annotations

import asyncio
import struct
from functools import partial
from typing import Any

from data.session.engine import Execution
from protocol.errors import GridError, InternalError
from protocol.pgwire.values import row_encoder
from tests.sim.grid import DATABASE, SQL_PORT, SimGrid, Site
from tests.sim.loop import SimLoop

USER = "terry"
TRIP_S = (0.0001, 0.0006)


class ConnectionLostError(Exception):
    """The instance died, or the client hung up: what was asked for may have been done."""


class SqlError(Exception):
    """What the instance answered. `state`: SQLSTATE."""

    def __init__(self, error: GridError) -> None:
        super().__init__(str(error))
        self.error = error
        self.state = error.sqlstate


class _Sink:
    """Gathers one statement's result (data/session/engine.py, ResultSink)."""

    writable = True

    def __init__(self, connection: SqlConnection, answer: asyncio.Future[Any]) -> None:
        self._connection = connection
        self._answer = answer
        self._rows: list[tuple[str | None, ...]] = []
        self.over = False

    def on_writable(self, callback: Any) -> None:
        callback()

    def rows(self, data: bytes | bytearray, count: int) -> None:
        found = _rows_of(bytes(data))
        assert len(found) == count
        self._rows += found

    def answer(self, data: bytes | bytearray, count: int, tag: str) -> None:
        self.rows(data, count)
        self.done(tag)

    def done(self, tag: str) -> None:
        self._end(partial(_succeed, self._answer, (tag, self._rows)))

    def suspended(self) -> None:
        raise AssertionError("no row limit was asked for")

    def fail(self, error: GridError) -> None:
        self._end(partial(_fail, self._answer, SqlError(error)))

    def notice(self, severity: str, message: str, sqlstate: str) -> None:
        pass

    def parameter(self, name: str, value: str) -> None:
        pass

    def open_cursor(self, *_: object) -> None:
        raise AssertionError("no cursor was asked for")

    def _end(self, settle: Any) -> None:
        assert not self.over, "a statement ended twice"
        self.over = True
        self._connection.ended(settle)


class SqlConnection:
    """One connection of a client to one instance. `open` first."""

    def __init__(self, grid: SimGrid, site: Site, client: SimLoop) -> None:
        self.grid = grid
        self.site = site
        self._client = client
        self._server = site.loop
        self._session: Any = None
        self._executions: list[Execution] = []
        self._busy = False  # at the server: a statement runs
        self.lost = False

    async def open(self, patience_s: float) -> None:
        """Raises SqlError, ConnectionLostError."""
        await self._ask(self._open, patience_s)

    async def execute(
        self, sql: str, *values: Any, patience_s: float = 100.0
    ) -> tuple[str, list[tuple[str | None, ...]]]:
        """Tag and rows (texts). Raises SqlError, ConnectionLostError."""
        found: tuple[str, list[tuple[str | None, ...]]] = await self._ask(
            partial(self._execute, sql, values), patience_s
        )
        return found

    def close(self) -> None:
        """Hang up."""
        self.lost = True
        server, session = self._server, self._session
        self._session = None
        if server is not None and session is not None:
            executions = list(self._executions)
            self.grid.scheduler.later(
                self._trip_s(), lambda: server.deliver(_hang_up, session, executions)
            )

    # -- inside -----------------------------------------------------------------------------------
    def _trip_s(self) -> float:
        return self.grid.scheduler.rng.uniform(*TRIP_S)

    async def _ask(self, work: Any, patience_s: float) -> Any:
        server = self._server
        if self.lost or server is None or server.dead:
            await asyncio.sleep(self._trip_s())  # virtual time
            self.lost = True
            raise ConnectionLostError
        answer: asyncio.Future[Any] = self._client.create_future()
        self.grid.scheduler.later(self._trip_s(), lambda: server.deliver(work, answer))
        watch = self._client.call_later(0.05, self._look, answer)
        timer = self._client.call_later(patience_s, _fail, answer, ConnectionLostError())
        try:
            return await answer
        except ConnectionLostError:
            self.close()
            raise
        finally:
            timer.cancel()
            watch.cancel()

    def _look(self, answer: asyncio.Future[Any]) -> None:
        """The kernel of a dead process closed the connection."""
        if answer.done():
            return
        if self.lost or self._server is None or self._server.dead:
            _fail(answer, ConnectionLostError())
        else:
            self._client.call_later(0.05, self._look, answer)

    def ended(self, settle: Any) -> None:
        """At the server: the statement has run."""
        self._busy = False
        self.travels_back(settle)

    def drain(self, *, now: bool) -> bool:
        """At the server, which stops: hang up if nothing runs and no transaction is open, or `now`.

        As data/session/frontend.py does; the client of a statement that still runs knows nothing.
        """
        session = self._session
        if session is None:
            return True
        if not now and (self._busy or session.transaction_status != b"I"):
            return False
        self._session, self.lost = None, True
        _hang_up(session, self._executions)
        return True

    def travels_back(self, settle: Any) -> None:
        """An answer on its way to the client."""
        if not self.lost:
            scheduler = self.grid.scheduler
            scheduler.later(self._trip_s(), lambda: self._client.deliver(settle))

    def _open(self, answer: asyncio.Future[Any]) -> None:
        try:
            assert self.site.instance is not None
            if not self.grid.network.listens(self.site.host, SQL_PORT):
                self.travels_back(partial(_fail, answer, ConnectionLostError()))
                return
            engine = self.site.instance._engine
            engine.authenticate_info(DATABASE, USER)
            self._session = engine.open_session(DATABASE, USER, {}, 1)
            self.site.clients.append(self)
        except GridError as error:
            self.travels_back(partial(_fail, answer, SqlError(error)))
        else:
            self.travels_back(partial(_succeed, answer, None))

    def _execute(self, sql: str, values: tuple[Any, ...], answer: asyncio.Future[Any]) -> None:
        session = self._session
        if session is None:
            return
        self._busy = True
        sink = _Sink(self, answer)
        try:
            prepared = session.prepare(sql, ())
            columns = prepared.columns
            encoder = None if columns is None else row_encoder(tuple(c.type for c in columns))
            execution = session.execute(prepared, values, encoder, 0, sink)
            if execution is not None:
                self._executions = [execution]
        except GridError as error:
            session.fail_transaction(error)
            if not sink.over:
                sink.fail(error)
        except Exception as error:
            self.grid.problem(f"{self.site.name}: {sql}: {error!r}")
            if not sink.over:
                sink.fail(InternalError(repr(error)))


def _hang_up(session: Any, executions: list[Execution]) -> None:
    for execution in executions:
        execution.close()
    session.close()


def _succeed(answer: asyncio.Future[Any], result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


def _rows_of(data: bytes) -> list[tuple[str | None, ...]]:
    """The values of DataRow messages in text format."""
    rows = []
    at = 0
    while at < len(data):
        length, count = struct.unpack_from("!IH", data, at + 1)
        end, place = at + 1 + length, at + 7
        row: list[str | None] = []
        for _ in range(count):
            (size,) = struct.unpack_from("!i", data, place)
            place += 4
            if size < 0:
                row.append(None)
            else:
                row.append(data[place : place + size].decode())
                place += size
        assert place == end
        rows.append(tuple(row))
        at = end
    return rows
