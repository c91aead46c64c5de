"""One open connection between two processes; both sides ask and answer. The hot path.

No task, future or timer per message: a callback per call, one sweep for deadlines (ticker.py), one
frame and one write per turn of the event loop. Costs and reasons: DESIGN.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import structlog

from protocol import limits, trace_id
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlineError,
    GridError,
    PeerBusyError,
    PeerLostError,
    PeerProtocolError,
    PeerUnreachableError,
    TooLargeError,
)
from protocol.rpc import envelope, server
from protocol.rpc.frame import BATCH_HEADER_BYTES, FrameReader, batch_header
from protocol.rpc.handshake import PeerIdentity

if TYPE_CHECKING:
    from protocol.rpc.ticker import Ticker

log = structlog.get_logger(__name__)

ReplyCallback = Callable[[Any, GridError | None], None]
_ITEM_BYTES_MAX: Final = limits.RPC_FRAME_BYTES_MAX - BATCH_HEADER_BYTES - 64
_encode: Final = envelope.encode
_FOREVER_S: Final = float("inf")
_trace: Final = trace_id.current.get
_REQUEST: Final = envelope.Request
_REPLY: Final = envelope.Reply


class Connection:
    """An open connection. `on_lost(connection, error)` is called once, when it is gone.

    An asyncio.Protocol by its methods, not by inheritance: a compiled class has no other bases.
    """

    def __init__(
        self,
        peer: PeerIdentity,
        *,
        dialled: bool,
        first_id: int,
        codec: envelope.Codec,
        handlers: server.HandlerTable,
        ticker: Ticker,
        on_lost: Callable[[Connection, Exception | None], None],
    ) -> None:
        self.peer = peer
        self.peer_name = peer.name
        self.peer_incarnation = peer.incarnation
        self.peer_kind = peer.kind
        self.dialled = dialled
        self.next_id = first_id  # goes on from the last connection's: an id never means two calls
        self._codec = codec
        self._handlers = handlers
        self._ticker = ticker
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._calls: dict[int, tuple[ReplyCallback, float]] = {}  # mine, unanswered
        self._open: dict[int, server.Request] = {}  # the peer's, not answered by us yet
        self._out: list[bytes] = [b""]  # [0] is the place of the frame's header
        self._out_bytes = 0
        self._written_id = first_id - 1  # calls up to here have been handed to the transport
        self._flush_due = False
        self._paused = False
        self.opened_s = boottime_s()
        self.sent_bytes = self.received_bytes = 0

    # -- asking -----------------------------------------------------------------------------------
    def request(self, message: Any, on_reply: ReplyCallback, timeout_s: float) -> int:
        """Send one request; returns its id. `on_reply` is called once, later, from the loop."""
        calls = self._calls
        if len(calls) >= limits.RPC_IN_FLIGHT_MAX or self._out_bytes > limits.RPC_QUEUE_BYTES_MAX:
            busy = PeerBusyError(f"{self.peer_name} is behind: {len(calls)} requests are waiting")
            self._loop.call_soon(on_reply, None, busy)
            return 0
        request_id = self.next_id
        timeout_ms = int(timeout_s * 1000) or 1
        item = _encode(_REQUEST(request_id, timeout_ms, message, _trace()))
        if len(item) > _ITEM_BYTES_MAX:
            self._loop.call_soon(on_reply, None, _too_large(len(item), message))
            return 0
        self.next_id = request_id + 1
        calls[request_id] = (on_reply, boottime_s() + timeout_s)
        self._out.append(item)
        self._out_bytes += len(item)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_turn)
            if not self._ticker.running:
                self._ticker.start()
        if self._out_bytes > limits.RPC_FLUSH_BYTES:
            self._flush()
        return request_id

    def cancel(self, request_id: int) -> None:
        """Say that the answer of a call is not wanted any more; it still comes."""
        if request_id in self._calls and not self._paused:
            self._append(_encode(envelope.Cancel(request_id)))

    def tell(self, message: Any) -> bool:
        """Send without an answer; False: dropped, because the peer is far behind."""
        if self._out_bytes > limits.RPC_QUEUE_BYTES_MAX:
            return False
        item = _encode(envelope.Tell(message))
        if len(item) > _ITEM_BYTES_MAX:
            raise _too_large(len(item), message)
        self._append(item)
        return True

    # -- answering --------------------------------------------------------------------------------
    def answer(self, request_id: int, message: Any) -> None:
        """Reply to the peer's request, unless it is answered or over."""
        if request_id not in self._open:
            return
        item = _encode(_REPLY(request_id, message))  # a TypeError leaves it unanswered
        del self._open[request_id]
        if len(item) > _ITEM_BYTES_MAX:
            error = _too_large(len(item), message)
            item = _encode(envelope.failure(request_id, error))
        self._append(item)

    def answer_failure(self, request_id: int, error: GridError) -> None:
        """Fail the peer's request, unless it is answered or over."""
        if self._open.pop(request_id, None) is not None:
            self._append(_encode(envelope.failure(request_id, error)))

    # -- writing ----------------------------------------------------------------------------------
    def _append(self, item: bytes) -> None:
        self._out.append(item)
        self._out_bytes += len(item)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_turn)
        if self._out_bytes > limits.RPC_FLUSH_BYTES:
            self._flush()
            if self._out_bytes > limits.RPC_QUEUE_BYTES_FATAL:
                self.abort(PeerBusyError(f"{self.peer_name} does not read its answers"))

    def _flush_turn(self) -> None:
        self._flush_due = False
        if self._out_bytes:
            self._flush()

    def _flush(self) -> None:
        """Write what has gathered as one frame (several when it is very much)."""
        transport = self._transport
        if self._paused or transport is None:
            return
        items, self._out = self._out, [b""]
        size, self._out_bytes = self._out_bytes, 0
        self.sent_bytes += size
        self._written_id = self.next_id - 1
        if size <= limits.RPC_FRAME_BYTES_MAX - BATCH_HEADER_BYTES:
            items[0] = batch_header(size, len(items) - 1)
            transport.write(b"".join(items))
            return
        for batch in _split(items[1:]):
            header = batch_header(sum(map(len, batch)), len(batch))
            transport.write(b"".join((header, *batch)))

    def pause_writing(self) -> None:
        """The kernel takes no more: gather until it does."""
        self._paused = True

    def resume_writing(self) -> None:
        """The kernel takes bytes again."""
        self._paused = False
        if self._out_bytes:
            self._flush()

    # -- reading ----------------------------------------------------------------------------------
    def start(self, transport: asyncio.Transport, early_bytes: bytes) -> None:
        """Take the transport over from the handshake, with bytes that came behind it."""
        self._transport = transport
        transport.set_write_buffer_limits(high=4 * limits.RPC_FLUSH_BYTES)
        transport.set_protocol(cast(asyncio.Protocol, self))
        if self._out_bytes:
            self._flush()
        if early_bytes:
            self.data_received(early_bytes)

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer: run handlers and callbacks, then write what they said."""
        self.received_bytes += len(data)
        flush_was_due = self._flush_due
        self._flush_due = True  # written below: no callback is needed for it
        try:
            for body in self._reader.receive(data):
                try:
                    items = self._codec.decode_batch(body)
                except msgspec.MsgspecError:
                    items = self._codec.decode_one_by_one(body)
                self._take(items)
        except PeerProtocolError as error:
            self.abort(error)
        finally:
            self._flush_due = flush_was_due
            if self._out_bytes:
                self._flush()
            if self._open and not self._ticker.running:
                self._ticker.start()

    def _take(self, items: list[Any]) -> None:
        calls, now_s = self._calls, 0.0
        for item in items:
            kind = type(item)
            if kind is _REPLY:
                call = calls.pop(item.id, None)
                if call is not None:
                    try:
                        call[0](item.message, None)
                    except Exception:
                        log.exception("rpc.reply_callback_failed", peer=self.peer_name)
            elif kind is _REQUEST:
                request_id: int = item.id
                timeout_ms: int = item.timeout_ms
                if not now_s:
                    now_s = boottime_s()
                request = server.Request(self, request_id, now_s + timeout_ms / 1000)
                if len(self._open) < limits.RPC_IN_FLIGHT_MAX:
                    if item.trace:
                        self._take_traced(item, now_s)
                        continue
                    self._open[request_id] = request
                    self._handlers.dispatch(item.message, request)
                else:
                    self._refuse(request_id)
            else:
                self._take_rare(item)

    def _take_traced(self, item: Any, now_s: float) -> None:
        deadline_s = now_s + item.timeout_ms / 1000
        request = server.TracedRequest(self, item.id, deadline_s, item.message, item.trace)
        self._open[item.id] = request
        token = trace_id.current.set(item.trace)
        try:
            self._handlers.dispatch(item.message, request)
        finally:
            trace_id.current.reset(token)

    def _take_rare(self, item: Any) -> None:
        match item:
            case envelope.Failure():
                self._finish(item.id, envelope.failure_of(item))
            case envelope.Cancel():
                request = self._open.get(item.id)
                if request is not None:
                    request.cancel()
            case envelope.Tell():
                self._handlers.dispatch(item.message, server.Request(self, 0, _FOREVER_S))
            case envelope.Undecodable():
                server.not_understood(item.error, self.peer_name)
                if isinstance(item.id, int) and item.kind == 1:
                    self._finish(item.id, item.error)
                elif item.kind == 0:
                    self._append(_encode(envelope.failure(item.id, item.error)))

    def _refuse(self, request_id: int) -> None:
        busy = PeerBusyError(f"{limits.RPC_IN_FLIGHT_MAX} requests are open here")
        self._append(_encode(envelope.failure(request_id, busy)))

    def _finish(self, request_id: int, error: GridError) -> None:
        call = self._calls.pop(request_id, None)
        if call is not None:
            try:
                call[0](None, error)
            except Exception:
                log.exception("rpc.reply_callback_failed", peer=self.peer_name)

    # -- deadlines and the end --------------------------------------------------------------------
    def sweep(self, now_s: float) -> bool:
        """End what is over on either side; True while anything is left to watch."""
        late = [call_id for call_id, call in self._calls.items() if call[1] <= now_s]
        for call_id in late:
            if not self._paused:
                self._append(_encode(envelope.Cancel(call_id)))
            self._finish(call_id, DeadlineError(f"{self.peer_name} did not answer in time"))
        over = [request for request in self._open.values() if request.deadline_s <= now_s]
        for request in over:
            request.cancel()
            self.answer_failure(request.id, DeadlineError("the time for the request is over"))
        return bool(self._calls or self._open)

    def abort(self, error: Exception | None) -> None:
        """Drop the connection now; `on_lost` follows from the loop."""
        if error is not None:
            log.warning("rpc.connection_dropped", peer=self.peer_name, error=str(error))
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Write what has gathered, then close."""
        if self._transport is not None:
            if self._out_bytes:
                self._flush()
            self._transport.close()

    def eof_received(self) -> bool:
        """The peer writes no more: the connection ends."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Every waiting call gets its error: not done when it was never written, else unknown."""
        self._transport = None
        calls, self._calls = self._calls, {}
        self._open.clear()  # answers go nowhere now; handlers in progress finish undisturbed
        self._out, self._out_bytes = [b""], 0
        self._on_lost(self, exc)
        for call_id, (on_reply, _) in calls.items():
            error: GridError
            if call_id > self._written_id:
                error = PeerUnreachableError(f"{self.peer_name} is not connected")
            else:
                error = PeerLostError(f"the connection to {self.peer_name} broke")
            try:
                on_reply(None, error)
            except Exception:
                log.exception("rpc.reply_callback_failed", peer=self.peer_name)

    def load(self) -> tuple[int, int, int]:
        """Calls in flight, requests being answered here, bytes waiting to be written."""
        return len(self._calls), len(self._open), self._out_bytes


def _split(items: list[bytes]) -> list[list[bytes]]:
    """Batches that each fit well into a frame; an item alone always fits."""
    batches: list[list[bytes]] = []
    size = limits.RPC_FLUSH_BYTES
    for item in items:
        if size + len(item) > limits.RPC_FLUSH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += len(item)
    return batches


def _too_large(item_bytes: int, message: Any) -> TooLargeError:
    name = type(message).__qualname__
    return TooLargeError(f"{name} of {item_bytes} bytes, limit {limits.RPC_FRAME_BYTES_MAX}")


def tune_socket(transport: asyncio.BaseTransport) -> None:
    """No delay for small frames; a dead link is noticed in about two seconds."""
    import socket

    sock = cast(Any, transport.get_extra_info("socket"))
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 1),  # seconds
        ("TCP_KEEPINTVL", 1),  # seconds
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", 2000),  # milliseconds
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
