"""Who is connected here, and how that is ended: management's questions about client sessions."""

from __future__ import annotations

from collections.abc import Callable

from data.admin.fence import ManagementFence
from data.session.client import Client
from data.session.frontend import Frontend
from protocol.errors import DisconnectedError
from protocol.messages import sessions as m
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request, from_management

Others = Callable[[str], tuple[m.SessionInfo, ...]]


class Roster:
    """Answers for one data instance. `others`: a database's connections that are no clients'."""

    def __init__(self, frontend: Frontend, others: Others) -> None:
        self._frontend = frontend
        self._others = others

    def register(self, rpc: RpcNode, fence: ManagementFence) -> None:
        """Answer management from now on."""

        async def listed(message: m.ListSessions, request: Request) -> m.SessionList:
            return m.SessionList(self.sessions(message.database))

        async def disconnect(message: m.Disconnect, request: Request) -> m.Disconnecting:
            return self.disconnect(message.database, message.mode)

        rpc.handle_async(m.ListSessions, from_management(listed))
        rpc.handle_async(m.Disconnect, fence.for_active(disconnect))

    def sessions(self, database: str) -> tuple[m.SessionInfo, ...]:
        """All connections of a database."""
        clients = sorted(self._frontend.clients_of(database), key=lambda c: c.session.pid)
        return (*map(_shown, clients), *self._others(database))

    def disconnect(self, database: str, mode: str) -> m.Disconnecting:
        """End the sessions of a database in this way; says how many are left."""
        error = DisconnectedError(
            f"the administrator ended the connections of database {database}",
            hint="Connect again when the database is open.",
        )
        for client in self._users(database):
            if mode == m.ABORT:
                client.abort()
            elif mode == m.IMMEDIATE:
                client.session.end(error)
            else:
                client.leave(error)
        left = [c for c in self._users(database) if not c.session.closed]
        idle = sum(c.session.is_idle for c in left) if mode == m.TRANSACTIONAL else 0
        return m.Disconnecting(len(left) - idle, idle)

    def _users(self, database: str) -> list[Client]:
        """Without the instance administrator over the local socket."""
        clients = self._frontend.clients_of(database)
        return [client for client in clients if not client.session.login.is_superuser]


def _shown(client: Client) -> m.SessionInfo:
    session = client.session
    state = "active" if session.waiting else "idle" if session.is_idle else "in transaction"
    return m.SessionInfo(
        session.pid,
        session.login.application_name,
        client.peer_pid,
        m.DIRECT if client.address == "local" else m.CLIENT,
        session.login.user.upper(),
        client.address,
        state,
        client.since_us,
    )
