"""One SQL client's socket: bytes to its session and back. On the way of every statement.

An asyncio.Protocol by its methods, not by inheritance: a compiled class has no other bases.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import structlog

from data.session.session import Session
from protocol import trace
from protocol.clock import wall_us
from protocol.errors import CutOffError, GridError, PeerProtocolError, ShuttingDownError
from protocol.limits import KIB
from protocol.pgwire.connection import Phase

if TYPE_CHECKING:
    from data.session.frontend import Frontend

log = structlog.get_logger()

WRITE_BUFFER_HIGH_BYTES: Final = 512 * KIB  # more unread results than this stop the engine's work
CLOSE_TIMEOUT_S: Final = 10.0  # a client that is being closed and does not read is cut off then
KEEP_ALIVE_S: Final = 60  # a silent client is asked whether it still lives, every 10 s, 6 times
_PEER_CREDENTIALS: Final = struct.Struct("iII")


class Client:
    """One client's socket. Implements host.Link. `session` is there from connection_made on."""

    session: Session

    def __init__(self, frontend: Frontend) -> None:
        self._frontend = frontend
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connected
        self._greeting: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._tls_task: asyncio.Task[None] | None = None
        self.leaving = False  # its next request outside a transaction is refused, and it goes
        self.farewell: GridError | None = None  # ... with this word
        self.since_us = wall_us()
        self.address = "local"
        self.peer_pid = 0  # of a client over the local socket
        self.received_bytes = 0
        self._has_session = False
        self.write: Callable[[bytes | bytearray], None] = self._nowhere

    # -- asyncio.Protocol -------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, or its TLS handshake is done."""
        self._use(cast(asyncio.Transport, transport))  # uvloop's are not subclasses
        if self._has_session:
            return  # start_tls calls again with the encrypted transport
        peer = transport.get_extra_info("socket")
        uid, self.peer_pid = _peer(peer)
        if uid is None:
            self.address = "{}:{}".format(*transport.get_extra_info("peername")[:2])
        _keep_alive(peer)
        self.session = Session(
            self._frontend,
            self,
            offers_tls=self._frontend.tls is not None,
            peer_uid=uid,
        )
        self._has_session = True
        self.session.login.address = self.address
        if self._frontend.requires_tls and peer.family != socket.AF_UNIX:
            self.session.connection.requires_tls = True
        refusal = self._frontend.opened(self)
        if refusal is not None:
            self.session.end(refusal)
            return
        self._greeting = self._loop.call_later(
            self._frontend.authentication_timeout_s, self._greeting_timed_out
        )

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if trace.steps.listener is not None:
            trace.step("data/session/client.py")
        if self.leaving and self.session.is_idle:
            stopping = ShuttingDownError("the instance is stopping")
            why = cut_off() if self._frontend.turns_away else stopping
            self.session.end(self.farewell or why)
            return
        self.received_bytes += len(data)
        self.session.received(data)
        if self._greeting is not None:
            self._look_at_greeting()

    def pause_writing(self) -> None:
        """The client does not read."""
        self.session.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.session.resume_writing()

    def eof_received(self) -> bool:
        """The client is done: close."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._stop_greeting()
        if self._closing is not None:
            self._closing.cancel()
        if self._tls_task is not None:
            self._tls_task.cancel()
        self.session.lost()
        self._frontend.gone(self)

    # -- host.Link (write is an attribute: the transport's own method) -------------------------
    def close(self) -> None:
        """See Link."""
        self._transport.close()
        if self._closing is None:
            self._closing = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)

    def leave(self, why: GridError) -> None:
        """End with its transaction; if none is open, in answer to its next request."""
        self.leaving, self.farewell = True, why
        if not self.session.is_idle:
            self.session.drain(why)

    def abort(self) -> None:
        """Close without waiting for what was written."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """See Link."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See Link."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Link."""
        self._loop.call_soon(callback)

    # -- start ------------------------------------------------------------------------------------
    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.write = transport.write
        transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH_BYTES)

    def _nowhere(self, data: bytes | bytearray) -> None:
        """There is no transport yet."""

    def _look_at_greeting(self) -> None:
        phase = self.session.connection.phase
        if phase is Phase.TLS and self._tls_task is None:
            self._tls_task = self._loop.create_task(self._start_tls(), name="client-tls")
        elif phase >= Phase.READY:
            self._stop_greeting()

    async def _start_tls(self) -> None:
        assert self._frontend.tls is not None
        try:
            encrypted = await self._loop.start_tls(
                self._transport,
                cast(asyncio.Protocol, self),
                self._frontend.tls.context(),
                server_side=True,
                ssl_handshake_timeout=self._frontend.authentication_timeout_s,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            log.info("frontend.tls_failed", error=str(error))
            self._transport.abort()
            return
        if encrypted is None:  # the client went away during the handshake
            return
        self._use(encrypted)
        connection = self.session.connection
        if connection.phase is Phase.TLS:
            connection.tls_started()  # handles what came while start_tls was returning
            self.session.received(b"")

    def _greeting_timed_out(self) -> None:
        self._greeting = None
        if self.session.connection.phase < Phase.READY:
            self.session.end(PeerProtocolError("authentication took too long"))

    def _stop_greeting(self) -> None:
        if self._greeting is not None:
            self._greeting.cancel()
            self._greeting = None


def _keep_alive(peer: socket.socket) -> None:
    """Notice clients whose machine is gone: they may hold locks."""
    if peer.family == socket.AF_UNIX:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_S)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)


def _peer(peer: socket.socket) -> tuple[int | None, int]:
    """Effective user id and pid of the process at the other end of a Unix socket; TCP: None, 0."""
    if peer.family != socket.AF_UNIX:
        return None, 0
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid, uid, _ = _PEER_CREDENTIALS.unpack(raw)
    return int(uid), int(pid)


def cut_off() -> CutOffError:
    """What clients hear where users are turned away."""
    return CutOffError(
        "this data instance is cut off from most of the others or from the membership servers",
        hint="Connect to another data instance.",
    )
