"""The listener for SQL clients: sockets, TLS, connection limit, cancel, drain.

TCP on the external address and a Unix socket `.s.PGSQL.<port>` in the instance's info folder, where
the peer's user id is known. One asyncio.Protocol per client; no task per message or connection.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from data.session import ending
from data.session.engine import Engine
from data.session.session import Session
from protocol import trace
from protocol.clock import boottime_s, wall_us
from protocol.errors import (
    CutOffError,
    GridError,
    InternalError,
    PeerProtocolError,
    ShuttingDownError,
    TooManyConnectionsError,
)
from protocol.limits import CLIENT_CONNECTIONS_MAX, CLIENT_CONNECTIONS_RESERVED, KIB
from protocol.pgwire.connection import Phase
from protocol.pgwire.scram import Verifier, mock_verifier
from protocol.tls import ServerTls

log = structlog.get_logger()

AUTHENTICATION_TIMEOUT_S = 60.0
UNAUTHENTICATED_MAX = 200  # sockets beyond the connection limit that may be at their start-up
WRITE_BUFFER_HIGH_BYTES = 512 * KIB  # more unread results than this stop the engine's work
SOCKET_PATH_BYTES_MAX = 107
LEAVE_S = 0.25  # of a drain: busy clients are ended in answer to a request, silent ones stay
CLOSE_TIMEOUT_S = 10.0  # a client that is being closed and does not read is cut off then
KEEP_ALIVE_S = 60  # a silent client is asked whether it still lives, every 10 s, 6 times
_PEER_CREDENTIALS = struct.Struct("iII")


class Frontend:
    """All client connections of one data instance. Implements host.Host."""

    def __init__(
        self,
        engine: Engine,
        *,
        connections_max: int = CLIENT_CONNECTIONS_MAX,
        connections_reserved: int = CLIENT_CONNECTIONS_RESERVED,
        tls: ServerTls | None = None,
        requires_tls: bool = False,
        administrator: str | None = None,
        authentication_timeout_s: float = AUTHENTICATION_TIMEOUT_S,
    ) -> None:
        """administrator: SQL name of the instance administrator, default the OS user's own name.

        tls: None offers none. requires_tls: on TCP no user without it (a cancel request may).
        """
        self.engine = engine
        self.tls = tls
        self.requires_tls = requires_tls
        self.authentication_timeout_s = authentication_timeout_s
        self._administrator = administrator or pwd.getpwuid(os.getuid()).pw_name
        self._connections_max = connections_max
        self._connections_reserved = connections_reserved
        self._mock_secret = secrets.token_bytes(32)
        self._sessions: dict[int, Session] = {}  # authenticated, by pid
        self._clients: set[Client] = set()  # every open socket
        self._next_pid = secrets.randbelow(1 << 20) + 1
        self._servers: list[asyncio.AbstractServer] = []
        self._socket_path: Path | None = None
        self._draining = False
        self.turns_away = False  # clients are sent to other data instances
        self._emptied = asyncio.Event()
        self._opened = 0  # sockets so far
        self.received_bytes = 0  # from all clients

    # -- life -------------------------------------------------------------------------------------
    async def listen(self, address: str, port: int) -> int:
        """Listen on TCP; return the port (the one given, or the one the system chose for 0)."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Client(self), address, port, reuse_address=True, backlog=512
        )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_local(self, folder: Path, port: int) -> Path:
        """Listen on `<folder>/.s.PGSQL.<port>`; a socket file left by a dead process is
        replaced."""
        path = folder / f".s.PGSQL.{port}"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            raise ValueError(f"socket path is longer than {SOCKET_PATH_BYTES_MAX} bytes: {path}")
        path.unlink(missing_ok=True)
        server = await asyncio.get_running_loop().create_unix_server(
            lambda: Client(self), str(path), backlog=512
        )
        path.chmod(0o777)  # who may connect is decided by password or peer credentials
        self._servers.append(server)
        self._socket_path = path
        return path

    async def drain(self, timeout_s: float) -> None:
        """Take no new connection, end each when it is idle, and all of them after `timeout_s`.

        For a moment only those that ask for something new are ended, in answer to it: they know
        that nothing of it was done. Were they told behind the answer to the request before, libpq
        would take that for a notice and see the next request end with a lost connection.
        """
        self._draining = True
        self._stop_listening()
        for client in list(self._clients):
            if client.session.connection.phase < Phase.READY:
                client.abort()
            else:
                client.leaving = True
        await self._wait_for_nobody(min(LEAVE_S, timeout_s / 2))
        for client in list(self._clients):
            client.session.drain(ShuttingDownError("the instance is stopping"))
        if not await self._wait_for_nobody(timeout_s):
            log.warning("frontend.drain_timed_out", clients=len(self._clients))
        await self.stop()

    def turn_away(self, away: bool) -> None:
        """Take no new user, and end each client that asks for something outside a transaction.

        False: all are welcome again.
        """
        self.turns_away = away
        if self._draining:
            return
        for client in list(self._clients):
            client.leaving = away or client.farewell is not None

    async def _wait_for_nobody(self, timeout_s: float) -> bool:
        """Until no client is left; False: the time was over before."""
        if not self._clients:
            return True
        self._emptied.clear()
        try:
            await asyncio.wait_for(self._emptied.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Close the listeners and every connection: now, or when its commit is answered."""
        self._stop_listening()
        for client in list(self._clients):
            client.session.end(ShuttingDownError("the instance is stopping"))
        for client in list(self._clients):
            if not client.session.ending.is_open:
                client.abort()
        if not await self._wait_for_nobody(ending.OUTCOME_WAIT_S + LEAVE_S):
            for client in list(self._clients):
                client.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def leave_database(self, database: str, error: GridError, timeout_s: float) -> None:
        """End the sessions of a database as `drain` does: in answer to a request if they can."""

        def left() -> list[Client]:
            name = database.lower()
            sessions = [s for s in self._sessions.values() if s.login.database.lower() == name]
            return [c for c in self._clients if c.session in sessions]

        deadline_s = boottime_s() + timeout_s
        asked_s = deadline_s - timeout_s + min(LEAVE_S, timeout_s / 2)
        for client in left():
            client.leaving, client.farewell = True, error
        while (clients := left()) and (now_s := boottime_s()) < deadline_s:
            if now_s >= asked_s:
                for client in clients:
                    client.session.drain(error)
            await asyncio.sleep(LEAVE_S / 10)  # sessions end one by one
        self.close_database(database, error)

    def close_database(self, database: str, error: GridError) -> None:
        """End every session of a database that is being closed, saying why."""
        for session in list(self._sessions.values()):
            if session.login.database.lower() == database.lower():
                session.end(error)

    @property
    def session_count(self) -> int:
        """Authenticated client sessions."""
        return len(self._sessions)

    def numbers(self) -> dict[str, float]:
        """For monitoring: protocol/metric_names.py."""
        return {
            "wire_clients": len(self._clients),
            "wire_clients_total": self._opened,
            "wire_received_bytes_total": self.received_bytes,
            "stranded": int(self.turns_away),
        }

    def clients_of(self, database: str) -> list[Client]:
        """Those whose sessions are of a database."""
        return [
            client
            for client in self._clients
            if client.session.pid and client.session.login.database.lower() == database.lower()
        ]

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
            self._socket_path = None

    # -- host.Host -----------------------------------------------------------------------------
    def verifier(self, user: str, text: str | None) -> Verifier:
        """See Host. CutOffError: users are turned away, before they give a password."""
        if self.turns_away:
            raise _cut_off()
        if text is not None:
            try:
                return Verifier.from_text(text)
            except ValueError:
                log.error("frontend.bad_verifier", user=user)
        return mock_verifier(user, self._mock_secret)

    def is_administrator(self, peer_uid: int | None, user: str) -> bool:
        """See Host: the daemon's own OS user, over the local socket, under the administrator's
        name."""
        return peer_uid == os.getuid() and user.lower() == self._administrator.lower()

    def admit(self, session: Session) -> tuple[int, int]:
        """See Host."""
        room = self._connections_max - (0 if session.login.is_admin else self._connections_reserved)
        if len(self._sessions) >= room:
            raise TooManyConnectionsError(
                "sorry, too many clients already",
                hint="Connect to another data instance, or raise the limit of this one.",
            )
        while self._next_pid in self._sessions:
            self._next_pid = self._next_pid % 0x7FFFFFFF + 1
        pid = self._next_pid
        self._next_pid = pid % 0x7FFFFFFF + 1
        self._sessions[pid] = session
        return pid, secrets.randbits(32)

    def cancel(self, pid: int, secret: int) -> None:
        """See Host."""
        session = self._sessions.get(pid)
        if session is not None and secrets.compare_digest(
            secret.to_bytes(4, "big"), session.secret.to_bytes(4, "big")
        ):
            session.cancel()

    def fault(self, session: Session, error: Exception) -> GridError:
        """See Host."""
        log.error("session.fault", pid=session.pid, user=session.login.user, exc_info=error)
        return InternalError(f"internal error: {type(error).__name__}")

    # -- for Client -------------------------------------------------------------------------------
    def opened(self, client: Client) -> GridError | None:
        """Count a socket in; an error if it is not welcome."""
        self._clients.add(client)
        self._opened += 1
        if self._draining:
            return ShuttingDownError("the instance is stopping")
        if len(self._clients) > self._connections_max + UNAUTHENTICATED_MAX:
            return TooManyConnectionsError("sorry, too many clients already")
        return None

    def gone(self, client: Client) -> None:
        """Forget a socket and its session."""
        self._clients.discard(client)
        session = client.session
        if self._sessions.get(session.pid) is session:
            del self._sessions[session.pid]
        if not self._clients:
            self._emptied.set()


def _cut_off() -> CutOffError:
    return CutOffError(
        "this data instance is cut off from most of the others or from the membership servers",
        hint="Connect to another data instance.",
    )


class Client(asyncio.Protocol):
    """One client's socket. Implements host.Link."""

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
        self.session: Session = None  # type: ignore[assignment]  # until connected
        self.write: Callable[[bytes | bytearray], None] = self._nowhere

    # -- asyncio.Protocol -------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, or its TLS handshake is done."""
        self._use(cast(asyncio.Transport, transport))  # uvloop's are not subclasses
        if self.session is not None:
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
        if trace.listener is not None:
            trace.step("data/session/frontend.py")
        if self.leaving and self.session.is_idle:
            stopping = ShuttingDownError("the instance is stopping")
            why = _cut_off() if self._frontend.turns_away else stopping
            self.session.end(self.farewell or why)
            return
        self._frontend.received_bytes += len(data)
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
                self,
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
