"""The asking side: `RpcPeer`, and `LocalPeer` for a process that asks itself."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import structlog

from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import DeadlineError, GridError, PeerBusyError, PeerUnreachableError
from protocol.limits import RPC_IN_FLIGHT_MAX
from protocol.rpc.connection import Connection, ReplyCallback
from protocol.rpc.server import HandlerTable, Request
from protocol.rpc.ticker import Ticker

log = structlog.get_logger(__name__)


class RpcPeer:
    """Another process, connected or not. Stays the same object over reconnects and restarts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.port = 0
        self.kind = "data"
        self.expected_incarnation = ""  # from membership; "" unknown
        self.connection: Connection | None = None
        self.retired: deque[str] = deque(maxlen=16)  # earlier lives: may not come back
        self.dialling: asyncio.Task[None] | None = None
        self.next_id = 1

    @property
    def connected(self) -> bool:
        """Whether a request would be written now."""
        return self.connection is not None

    @property
    def incarnation(self) -> str:
        """The life of the process at the other end; "" while not connected."""
        return self.connection.peer_incarnation if self.connection is not None else ""

    def send(self, message: Any, on_reply: ReplyCallback, timeout_s: float) -> int:
        """Send a request; `on_reply(reply, error)` is called exactly once, from the event loop.

        Errors: PeerUnreachableError (nothing was done there; PeerBusyError is one of them),
        PeerLostError (outcome unknown), DeadlineError (outcome unknown), TooLargeError, or what the
        handler there failed with. Returns an id for `cancel`, 0 when it was not sent.
        """
        if trace.steps.listener is not None:
            trace.step("protocol/rpc/client.py", message)
        connection = self.connection
        if connection is not None:
            return connection.request(message, on_reply, timeout_s)
        error = PeerUnreachableError(f"{self.name} is not connected")
        asyncio.get_running_loop().call_soon(on_reply, None, error)
        return 0

    def cancel(self, request_id: int) -> None:
        """Ask the other side to stop; the call still ends through its `on_reply`."""
        if self.connection is not None:
            self.connection.cancel(request_id)

    def tell(self, message: Any) -> None:
        """One way, best effort: lost when not connected or far behind."""
        if self.connection is not None:
            self.connection.tell(message)

    async def call(self, message: Any, timeout_s: float) -> Any:
        """Send and wait: for cold paths. Raises what `send` names."""
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def on_reply(reply: Any, error: GridError | None) -> None:
            if waiter.done():
                return
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(reply)

        request_id = self.send(message, on_reply, timeout_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.cancel(request_id)
            raise


class LocalPeer(RpcPeer):
    """This process itself: straight to the handlers, without bytes, on a fresh stack.

    Requests and answers wait in one queue, worked off once per loop turn: neither the asker's
    nor the handler's function is ever entered from within the other.
    """

    def __init__(self, name: str, incarnation: str, handlers: HandlerTable) -> None:
        super().__init__(name)
        self.peer_name = name
        self.peer_incarnation = incarnation
        self.peer_kind = "self"
        self._handlers = handlers
        self._calls: dict[int, tuple[ReplyCallback, float]] = {}
        self._open: dict[int, Request] = {}
        self._queue: deque[tuple[Any, Any, Any]] = deque()  # (function, argument, argument)
        self._drain_due = False
        self._ticker: Ticker | None = None

    @property
    def connected(self) -> bool:
        """Always."""
        return True

    @property
    def incarnation(self) -> str:
        """This life."""
        return self.peer_incarnation

    def watch_with(self, ticker: Ticker) -> None:
        """Who sweeps the deadlines."""
        self._ticker = ticker

    def send(self, message: Any, on_reply: ReplyCallback, timeout_s: float) -> int:
        """As RpcPeer.send; the deadline counts here too."""
        if len(self._calls) >= RPC_IN_FLIGHT_MAX:
            busy = PeerBusyError(f"{len(self._calls)} requests are waiting in this process")
            self._put(on_reply, None, busy)
            return 0
        request_id = self.next_id
        self.next_id = request_id + 1
        deadline_s = boottime_s() + timeout_s
        self._calls[request_id] = (on_reply, deadline_s)
        request = self._open[request_id] = Request(self, request_id, deadline_s)
        self._put(self._handlers.dispatch, message, request)
        if self._ticker is not None and not self._ticker.running:
            self._ticker.start()
        return request_id

    def cancel(self, request_id: int) -> None:
        """As RpcPeer.cancel."""
        request = self._open.get(request_id)
        if request is not None:
            request.cancel()

    def tell(self, message: Any) -> None:
        """As RpcPeer.tell; never lost."""
        self._put(self._handlers.dispatch, message, Request(self, 0, float("inf")))

    def answer(self, request_id: int, message: Any) -> None:
        """A handler's reply."""
        if self._open.pop(request_id, None) is not None:
            call = self._calls.pop(request_id, None)
            if call is not None:
                self._put(call[0], message, None)

    def answer_failure(self, request_id: int, error: GridError) -> None:
        """A handler's failure."""
        if self._open.pop(request_id, None) is not None:
            call = self._calls.pop(request_id, None)
            if call is not None:
                self._put(call[0], None, error)

    def sweep(self, now_s: float) -> bool:
        """End what is over; True while anything is left to watch."""
        for request in [r for r in self._open.values() if r.deadline_s <= now_s]:
            request.cancel()
            self.answer_failure(request.id, DeadlineError("the time for the request is over"))
        return bool(self._open)

    def _put(self, function: Any, first: Any, second: Any) -> None:
        self._queue.append((function, first, second))
        if not self._drain_due:
            self._drain_due = True
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        queue = self._queue
        for _ in range(256):  # then let sockets have their turn
            if not queue:
                self._drain_due = False
                return
            function, first, second = queue.popleft()
            try:
                function(first, second)
            except Exception:
                log.exception("rpc.reply_callback_failed", peer=self.name)
        asyncio.get_running_loop().call_soon(self._drain)
