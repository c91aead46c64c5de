"""TCP between simulated processes: bytes in order or not at all, late, cut off, reset.

What the real transport can do and no more: within a connection nothing is lost, repeated or
reordered; a connection that ends loses a suffix of what was under way in each direction. A cut link
holds bytes back until it is healed or until the kernels give up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sim.loop import Scheduler, SimLoop

LATENCY_S = (0.0001, 0.0008)
SLOW_S = 0.2  # of a message that the network keeps for a while
DEAD_AFTER_S = (2.0, 3.2)  # TCP_USER_TIMEOUT, keep-alive: a dead link is noticed


class Network:
    """All hosts' links. Fault knobs: `cut`, `heal`, `reset`, `slow_share`, `split_share`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.slow_share = 0.0
        self.split_share = 0.0
        self._listeners: dict[tuple[str, int], tuple[SimLoop, Any]] = {}
        self._cut: set[tuple[str, str]] = set()
        self._wires: list[Wire] = []

    # -- faults -----------------------------------------------------------------------------------
    def cut(self, source: str, target: str) -> None:
        """Nothing gets from source to target any more."""
        self._cut.add((source, target))
        for wire in self._wires:
            if {source, target} == set(wire.hosts):
                wire.give_up_later()

    def heal(self, source: str, target: str) -> None:
        """The link works again; TCP sends what it still has."""
        self._cut.discard((source, target))
        for wire in list(self._wires):
            if {source, target} == set(wire.hosts):
                wire.pump()

    def heal_all(self) -> None:
        """No link is cut."""
        for pair in sorted(self._cut):
            self.heal(*pair)

    def is_cut(self, source: str, target: str) -> bool:
        """Whether bytes of that direction are held back."""
        return (source, target) in self._cut

    def reset(self, one: str, other: str) -> None:
        """Connections between two hosts break; what is under way is lost."""
        for wire in list(self._wires):
            if {one, other} == set(wire.hosts):
                wire.end(ConnectionResetError("reset"), lose=True)

    def process_died(self, loop: SimLoop, *, silent: bool) -> None:
        """Its kernel closes its sockets; `silent`: the kernel died as well."""
        for key in [k for k, (owner, _) in self._listeners.items() if owner is loop]:
            del self._listeners[key]
        for wire in list(self._wires):
            for side in (0, 1):
                if wire.ends[side].loop is loop:
                    wire.end_died(side, silent=silent)

    # -- what loops use ---------------------------------------------------------------------------
    def listen(self, loop: SimLoop, factory: Any, address: str, port: int) -> Server:
        """Accept connections there."""
        key = (address, port)
        if key in self._listeners:
            raise OSError(98, f"address already in use: {key}")
        self._listeners[key] = (loop, factory)
        return Server(self, key)

    def listen_local(self, loop: SimLoop, factory: Any, path: Path) -> Server:
        """The same for a Unix socket."""
        path.touch()
        return self.listen(loop, factory, str(path), 0)

    def listens(self, address: str, port: int) -> bool:
        """Whether a connection there would be accepted."""
        return (address, port) in self._listeners

    def forget(self, key: tuple[str, int]) -> None:
        """Listen there no more."""
        self._listeners.pop(key, None)

    def latency_s(self) -> float:
        """Of one message."""
        rng = self.scheduler.rng
        if self.slow_share and rng.random() < self.slow_share:
            return rng.uniform(LATENCY_S[1], SLOW_S)
        return rng.uniform(*LATENCY_S)

    async def connect(self, loop: SimLoop, factory: Any, address: str, port: int) -> Any:
        """As loop.create_connection; a cut link answers nothing."""
        answer: asyncio.Future[Wire | None] = loop.create_future()

        def settle(wire: Wire | None) -> None:
            if not answer.done():
                answer.set_result(wire)
            elif wire is not None:
                wire.ends[0].abort()

        def arrive() -> None:
            found = self._listeners.get((address, port))
            target = address if found is None else found[0].host
            if self.is_cut(loop.host, target) or self.is_cut(target, loop.host):
                return
            wire = None if found is None else Wire(self, loop, found[0], found[1])
            self.scheduler.later(self.latency_s(), lambda: loop.deliver(settle, wire))

        self.scheduler.later(self.latency_s(), arrive)
        wire = await answer
        if wire is None:
            raise ConnectionRefusedError(f"{address}:{port} refused the connection")
        protocol = factory()
        end = wire.ends[0]
        end.set_protocol(protocol)
        protocol.connection_made(end)
        end.begin()
        return end, protocol

    def added(self, wire: Wire) -> None:
        """A new connection."""
        self._wires.append(wire)

    def gone_if_both(self, wire: Wire) -> None:
        """Forget a connection when both ends are closed."""
        if wire.ends[0].lost and wire.ends[1].lost and wire in self._wires:
            self._wires.remove(wire)


class Server:
    """What loop.create_server returns."""

    def __init__(self, network: Network, key: tuple[str, int]) -> None:
        self._network = network
        self._key = key
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return self._key

    def close(self) -> None:
        self._network.forget(self._key)

    async def wait_closed(self) -> None:
        pass


@dataclass
class _Way:
    """Bytes from one end to the other."""

    under_way: deque[tuple[float, bytes | None]] = field(default_factory=deque)  # None: the end
    last_s: float = 0.0


class Wire:
    """One connection. ends[0] dialled, ends[1] accepted."""

    def __init__(self, network: Network, dialler: SimLoop, acceptor: SimLoop, factory: Any) -> None:
        self.network = network
        self.hosts = (dialler.host, acceptor.host)
        self._ways = (_Way(), _Way())  # _ways[side]: what ends[side] sent
        self.ends = (End(self, 0, dialler), End(self, 1, acceptor))
        network.added(self)

        def accept() -> None:
            end = self.ends[1]
            if end.lost:
                return
            protocol = factory()
            end.set_protocol(protocol)
            protocol.connection_made(end)
            end.begin()

        acceptor.deliver(accept)

    def send(self, side: int, data: bytes | None) -> None:
        """Bytes of one end, None: no more come."""
        network = self.network
        way = self._ways[side]
        rng = network.scheduler.rng
        if data and network.split_share and len(data) > 1 and rng.random() < network.split_share:
            at = rng.randrange(1, len(data))
            self.send(side, data[:at])
            data = data[at:]
        way.last_s = max(way.last_s, network.scheduler.now + network.latency_s())
        way.under_way.append((way.last_s, data))
        network.scheduler.at(way.last_s, self.pump)
        if network.is_cut(self.hosts[side], self.hosts[1 - side]):
            self.give_up_later()

    def pump(self) -> None:
        """Deliver what has arrived."""
        now_s = self.network.scheduler.now
        for side in (0, 1):
            under_way = self._ways[side].under_way
            if self.network.is_cut(self.hosts[side], self.hosts[1 - side]):
                continue
            while under_way and under_way[0][0] <= now_s:
                _, data = under_way.popleft()
                receiver = self.ends[1 - side]
                receiver.arrived(data)
                if receiver.lost and not receiver.silent:
                    self._reset_soon(side)

    def _reset_soon(self, side: int) -> None:
        """What this end sent came to a socket that is closed."""

        def reset() -> None:
            if not self.network.is_cut(self.hosts[1 - side], self.hosts[side]):
                self.ends[side].lose(ConnectionResetError("reset by peer"))

        self.network.scheduler.later(self.network.latency_s(), reset)

    def give_up_later(self) -> None:
        """The link is cut: unless it is healed in time each kernel gives up by itself."""
        scheduler = self.network.scheduler
        for end in self.ends:
            if not end.giving_up:
                end.giving_up = True
                wait_s = scheduler.rng.uniform(*DEAD_AFTER_S)
                scheduler.later(wait_s, lambda end=end: self._give_up(end))

    def _give_up(self, end: End) -> None:
        end.giving_up = False
        one, other = self.hosts
        if self.network.is_cut(one, other) or self.network.is_cut(other, one):
            end.lose(TimeoutError("the link is dead"))

    def end(self, error: Exception | None, *, lose: bool) -> None:
        """Both ends learn that it is over; `lose`: what is under way never arrives."""
        scheduler = self.network.scheduler
        for side in (0, 1):
            if lose:
                self._ways[side].under_way.clear()
            end = self.ends[side]
            wait_s = self.network.latency_s()
            scheduler.later(wait_s, lambda end=end: end.lose(error))

    def aborted(self, side: int) -> None:
        """One end was thrown away: the other hears of it, perhaps before what was sent to it."""
        scheduler = self.network.scheduler
        if scheduler.rng.random() < 0.5:
            self._ways[side].under_way.clear()
        other = self.ends[1 - side]
        when_s = max(self._ways[side].last_s, scheduler.now + self.network.latency_s())

        def reset() -> None:
            if not self.network.is_cut(self.hosts[side], self.hosts[1 - side]):
                other.lose(ConnectionResetError("reset by peer"))
            else:
                self.give_up_later()

        scheduler.at(when_s, reset)

    def end_died(self, side: int, *, silent: bool) -> None:
        """The process of one end is gone."""
        self.ends[side].lost = True
        if not silent:
            self.aborted(side)
            return
        self.ends[side].silent = True
        self._ways[side].under_way.clear()
        scheduler = self.network.scheduler
        wait_s = scheduler.rng.uniform(*DEAD_AFTER_S)
        scheduler.later(wait_s, lambda: self.ends[1 - side].lose(TimeoutError("no answer")))


class End(asyncio.Transport):
    """One side of a connection, as its protocol sees it."""

    def __init__(self, wire: Wire, side: int, loop: SimLoop) -> None:
        super().__init__()
        self.loop = loop
        self.lost = False  # nothing is sent or received any more
        self.silent = False  # its kernel died: it resets nothing
        self.giving_up = False
        self._wire = wire
        self._side = side
        self._protocol: Any = None
        self._early: list[bytes | None] = []  # came before the protocol was there
        self._begun = False
        self._closing = False

    # -- from the wire ----------------------------------------------------------------------------
    def begin(self) -> None:
        """connection_made has been called."""
        self._begun = True
        early, self._early = self._early, []
        for data in early:
            self._take(data)

    def arrived(self, data: bytes | None) -> None:
        """Into the socket's buffer; the process reads it when it can."""
        if not self.lost:
            self.loop.deliver(self._take, data)

    def _take(self, data: bytes | None) -> None:
        if self.lost:
            return
        if not self._begun:
            self._early.append(data)
        elif data is None:
            self.lose(None)
        elif not self._closing:
            self._protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        """The connection is over at this end."""
        if self.lost:
            return
        self.lost = True
        self._wire.network.gone_if_both(self._wire)
        self.loop.deliver(self._say_lost, error)

    def _say_lost(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)

    # -- asyncio.Transport ------------------------------------------------------------------------
    def write(self, data: Any) -> None:
        if not self.lost and not self._closing and data:
            self._wire.send(self._side, bytes(data))

    def close(self) -> None:
        if self.lost or self._closing:
            return
        self._closing = True
        self._wire.send(self._side, None)
        self.lose(None)

    def abort(self) -> None:
        if self.lost:
            return
        self._wire.aborted(self._side)
        self.lose(None)

    def is_closing(self) -> bool:
        return self.lost or self._closing

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        pass

    def pause_reading(self) -> None:
        raise NotImplementedError

    def can_write_eof(self) -> bool:
        return False
