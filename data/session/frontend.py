"""The listener for SQL clients: sockets, TLS, connection limit, cancel, drain.

TCP on the external address and a Unix socket `.s.PGSQL.<port>` in the instance's info folder, where
the peer's user id is known. One asyncio.Protocol per client; no task per message or connection.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
from pathlib import Path
from typing import cast

import structlog

from data.session import ending
from data.session.client import Client, cut_off
from data.session.engine import Engine
from data.session.session import Session
from protocol.clock import boottime_s
from protocol.errors import (
    GridError,
    InternalError,
    ShuttingDownError,
    TooManyConnectionsError,
)
from protocol.limits import CLIENT_CONNECTIONS_MAX, CLIENT_CONNECTIONS_RESERVED
from protocol.pgwire.connection import Phase
from protocol.pgwire.scram import Verifier, mock_verifier
from protocol.tls import ServerTls

log = structlog.get_logger()

AUTHENTICATION_TIMEOUT_S = 60.0
UNAUTHENTICATED_MAX = 200  # sockets beyond the connection limit that may be at their start-up
SOCKET_PATH_BYTES_MAX = 107
LEAVE_S = 0.25  # of a drain: busy clients are ended in answer to a request, silent ones stay


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
        self._received_bytes = 0  # from clients that are gone

    # -- life -------------------------------------------------------------------------------------
    async def listen(self, address: str, port: int) -> int:
        """Listen on TCP; return the port (the one given, or the one the system chose for 0)."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: cast(asyncio.Protocol, Client(self)),
            address,
            port,
            reuse_address=True,
            backlog=512,
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
            lambda: cast(asyncio.Protocol, Client(self)), str(path), backlog=512
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
            "wire_received_bytes_total": self._received_bytes
            + sum(client.received_bytes for client in self._clients),
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
            raise cut_off()
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
        if client in self._clients:
            self._clients.discard(client)
            self._received_bytes += client.received_bytes
        session = client.session
        if self._sessions.get(session.pid) is session:
            del self._sessions[session.pid]
        if not self._clients:
            self._emptied.set()
