"""Which epochs this instance has heard of, per database, and how that spreads.

The rule that makes an epoch a consistent cut (Chandy & Lamport, "Distributed Snapshots", 1985; the
numbers are Lamport's clock): whoever learns of a new number tells all data instances before it says
anything else to them, and a lead writes the newest number it knows into its log before any other
entry. One connection carries everything between two processes, in order; so no message needs to
carry the number itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from protocol import trace
from protocol.messages.epochs import EpochDone, SawEpoch
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

log = structlog.get_logger(__name__)


class Teller(Protocol):
    """Who spreads a new number (EpochBook); nobody in tests of a single lead."""

    def __call__(self, number: int) -> None: ...


class EpochClock:
    """The epochs of one database as this instance knows them."""

    __slots__ = ("_tell", "done", "seen", "watchers")

    def __init__(self, tell: Teller | None = None) -> None:
        self.seen = 0  # newest number heard of or given here
        self.done = 0  # newest known to be flushed on every copy of every replica set
        self.watchers: list[Callable[[int], None]] = []  # called when `done` grows
        self._tell = tell

    def saw(self, number: int) -> None:
        """A number was heard of, or is given now."""
        if number > self.seen:
            self.seen = number
            if self._tell is not None:
                self._tell(number)

    def finished(self, number: int) -> None:
        """An epoch is flushed on every copy of every replica set."""
        if number > self.done:
            self.done = number
            for watcher in list(self.watchers):
                watcher(number)


class EpochBook:
    """The clocks of all databases on one data instance, and the messages between them.

    A clock is there before its database is loaded: what was heard then counts too.
    """

    def __init__(self, rpc: RpcNode) -> None:
        self._rpc = rpc
        self._clocks: dict[str, EpochClock] = {}
        rpc.handle(SawEpoch, self._saw)
        rpc.handle(EpochDone, self._done)
        rpc.subscribe(self._peer_changed)

    def clock(self, db: str) -> EpochClock:
        """The clock of a database, made when it is first asked for."""
        clock = self._clocks.get(db)
        if clock is None:
            clock = self._clocks[db] = EpochClock(lambda number: self._spread(db, number))
        return clock

    def _saw(self, message: SawEpoch, _request: Request) -> None:
        if trace.steps.listener is not None:
            trace.step("data/txn/epochs.py", message)
        self.clock(message.db).saw(message.number)

    def _done(self, message: EpochDone, _request: Request) -> None:
        self.clock(message.db).finished(message.number)

    def _spread(self, db: str, number: int) -> None:
        message = SawEpoch(db, number)
        for peer in self._rpc.peers():
            if peer.kind == "data" and peer.name != self._rpc.me.name:
                self._tell(peer.name, message)

    def _tell(self, name: str, message: SawEpoch) -> None:
        peer = self._rpc.peer(name)
        connection = peer.connection
        if connection is not None and not connection.tell(message):
            log.warning("epoch.peer_behind", peer=name)
            connection.abort(None)  # nothing may pass it: the next connection begins with it

    def _peer_changed(self, name: str, _incarnation: str, connected: bool) -> None:
        if connected and self._rpc.peer(name).kind == "data":
            for db, clock in self._clocks.items():
                if clock.seen:
                    self._tell(name, SawEpoch(db, clock.seen))
