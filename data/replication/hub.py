"""Brings messages of the replication conversation to the member they are for.

One per RpcNode: a process has one member per database, all on the same connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from protocol.errors import NotServingError
from protocol.messages import replication as m
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

MACHINE_REQUESTS: tuple[type, ...] = (
    m.Append, m.Beacon, m.Probe, m.Join, m.TakeSnapshot, m.HandOver, m.Leave, m.Hello, m.AskRead,
    m.AskTail,
)  # fmt: skip
OTHER_REQUESTS: tuple[type, ...] = (m.Part, m.OpenSnapshot, m.FetchChunk)


class Receiver(Protocol):
    """A member, as far as arriving messages are concerned."""

    def received(self, message: Any, request: Request) -> None:
        """For the machine."""
        ...

    def received_other(self, message: Any, request: Request) -> None:
        """Pieces of large entries, snapshots."""
        ...


class ReplicationHub:
    """Handlers of one RpcNode; members come and go."""

    def __init__(self, rpc: RpcNode) -> None:
        self._members: dict[tuple[str, int], Receiver] = {}
        for kind in MACHINE_REQUESTS:
            rpc.handle(kind, self._received)
        for kind in OTHER_REQUESTS:
            rpc.handle(kind, self._received_other)

    def add(self, db: str, rs: int, member: Receiver) -> Callable[[], None]:
        """Messages of that replica set go to this member from now on; returns what ends it."""
        self._members[db, rs] = member

        def remove() -> None:
            if self._members.get((db, rs)) is member:
                del self._members[db, rs]

        return remove

    def _received(self, message: Any, request: Request) -> None:
        member = self._members.get((message.db, message.rs))
        if member is None:
            raise NotServingError(f"no element of replica set {message.rs} of {message.db} here")
        member.received(message, request)

    def _received_other(self, message: Any, request: Request) -> None:
        member = self._members.get((message.db, message.rs))
        if member is None:
            raise NotServingError(f"no element of replica set {message.rs} of {message.db} here")
        member.received_other(message, request)


_hubs: WeakKeyDictionary[RpcNode, ReplicationHub] = WeakKeyDictionary()


def hub_of(rpc: RpcNode) -> ReplicationHub:
    """The node's hub, made when it is first asked for."""
    hub = _hubs.get(rpc)
    if hub is None:
        hub = _hubs[rpc] = ReplicationHub(rpc)
    return hub
