"""Which instances answer: each asks every other one a few times a second. Decision 0030.

An answer proves that messages get there and back, and it says whom the other one hears: so it is
known through whom an instance can be reached that does not answer itself. Silence proves nothing
about a process (it may be busy, or stopped); leases do not depend on anything here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from weakref import WeakKeyDictionary

import structlog

from protocol.clock import boottime_s
from protocol.errors import GridError
from protocol.messages.reach import Pulse
from protocol.rpc.node import RpcNode
from protocol.rpc.relay import RelayedPeer, RelayStation
from protocol.rpc.server import Request

log = structlog.get_logger(__name__)

PULSES_PER_TIMEOUT = 10
LAPSE_PULSES = 3  # leases from membership end within less, if nobody has a quorum
RETURN_SHARE = 1 / 2  # of the session timeout: within so long of the first all have it again
HEARD_SHARE = 1 / 4  # of the session timeout: an answer that old does not count any more
SILENT_SHARE = 1 / 2  # a connection is given up if others hear who is so long silent on it


class ReachTable:
    """What is known of the other instances. Pure: time comes with each event (seconds)."""

    def __init__(self, session_timeout_s: float) -> None:
        self._heard_within_s = HEARD_SHARE * session_timeout_s
        self.silent_s = SILENT_SHARE * session_timeout_s
        self._heard_s: dict[str, float] = {}  # watched instance → when it answered last
        self._hears: dict[str, frozenset[str]] = {}  # ... and whom it heard then
        self._serves_s: dict[str, float] = {}  # ... and since when membership has answered it

    def watch(self, names: Collection[str], now_s: float) -> None:
        """These instances run; new ones are given the time to answer."""
        for name in self._heard_s.keys() - set(names):
            del self._heard_s[name]
            self._hears.pop(name, None)
            self._serves_s.pop(name, None)
        for name in names:
            self._heard_s.setdefault(name, now_s)

    def answered(
        self, name: str, hears: Collection[str], now_s: float, *, serves: bool = True
    ) -> None:
        """It answered."""
        if name in self._heard_s:
            self._heard_s[name] = now_s
            self._hears[name] = frozenset(hears)
            if not serves:
                self._serves_s.pop(name, None)
            else:
                self._serves_s.setdefault(name, now_s)

    def others_serve(self, since_s: float, until_s: float) -> bool:
        """Whether one has said since then that membership answers it, and did so by `until_s`.

        When membership comes back, one instance after the other has it again.
        """
        return any(
            at_s >= since_s and self._serves_s.get(name, until_s + 1) <= until_s
            for name, at_s in self._heard_s.items()
        )

    def stood_still(self, pause_s: float) -> None:
        """This process did not run for so long: that was not the others' silence."""
        for name in self._heard_s:
            self._heard_s[name] += pause_s
        for name in self._serves_s:
            self._serves_s[name] += pause_s

    def watched(self) -> tuple[str, ...]:
        """All that are asked."""
        return tuple(self._heard_s)

    def hears(self, now_s: float) -> tuple[str, ...]:
        """Those that answered lately."""
        oldest_s = now_s - self._heard_within_s
        return tuple(name for name, at_s in self._heard_s.items() if at_s > oldest_s)

    def relays(self, now_s: float) -> dict[str, str]:
        """For each instance that does not answer, but another one that does hears it: that one."""
        near = self.hears(now_s)
        return {
            name: via
            for name in self._heard_s.keys() - set(near)
            for via in sorted(near)
            if name in self._hears.get(via, ())
        }

    def silent(self, now_s: float) -> set[str]:
        """Those that have not answered for long."""
        return {n for n, at_s in self._heard_s.items() if now_s - at_s >= self.silent_s}

    def is_cut_off(self, out_of_reach: Collection[str]) -> bool:
        """Whether it is rather this instance that cannot be reached: most others are not.

        With this one, fewer than half of all are there: of two equal halves both go on.
        """
        return 2 * len(out_of_reach) > len(self._heard_s) + 1


class Reach:
    """The driver: one per RpcNode. `relays`: through whom a message to an instance has to go."""

    def __init__(self, rpc: RpcNode) -> None:
        self._rpc = rpc
        self._table: ReachTable | None = None
        self._period_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._last_tick_s = 0.0
        self._served_s = 0.0
        self.relays: dict[str, str] = {}
        self.reaches: frozenset[str] | None = None  # None: nobody looks
        self.cut_off = False  # fewer than half of all have been in reach for long
        self.stranded = False  # cut off, or without membership while others have it
        self.serves: Callable[[], bool] = lambda: True  # whether membership answers this instance
        self._listeners: list[Callable[[], None]] = []
        rpc.handle(Pulse, self._asked)
        RelayStation(rpc)

    def start(self, session_timeout_s: float) -> None:
        """Ask from now on."""
        self._table = ReachTable(session_timeout_s)
        self._period_s = session_timeout_s / PULSES_PER_TIMEOUT
        self._last_tick_s = self._served_s = boottime_s()
        self._tick()

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._table = None
        self.relays, self.reaches = {}, None

    def watch(self, names: Collection[str]) -> None:
        """The other data instances that run, as membership shows."""
        if self._table is not None:
            self._table.watch(names, boottime_s())

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call back several times a second, after `relays` and `reaches` were looked up anew."""
        self._listeners.append(listener)

    def peer(self, name: str) -> RelayedPeer | None:
        """Who takes messages to an instance that does not answer itself; None: it does."""
        via = self.relays.get(name)
        return None if via is None else RelayedPeer(self._rpc, self._rpc.peer(via), name)

    # -- pulses -----------------------------------------------------------------------------------
    def _asked(self, _: Pulse, request: Request) -> None:
        hears = () if self._table is None else self._table.hears(boottime_s())
        request.reply(Pulse(hears, self.serves()))

    def _tick(self) -> None:
        table = self._table
        if table is None:
            return
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._tick)
        now_s = boottime_s()
        pause_s = now_s - self._last_tick_s - self._period_s
        self._last_tick_s = now_s
        if pause_s > self._period_s:
            table.stood_still(pause_s)
            self._served_s += pause_s
        self._look(table, now_s)
        pulse = Pulse(table.hears(now_s), self.serves())
        for name in table.watched():
            self._ask(name, pulse)
        for listener in self._listeners:
            listener()

    def _ask(self, name: str, pulse: Pulse) -> None:
        def answered(reply: Pulse, error: GridError | None) -> None:
            if error is None and self._table is not None:
                self._table.answered(name, reply.hears, boottime_s(), serves=reply.serves)

        peer = self._rpc.peer(name)
        if peer.connected:
            peer.send(pulse, answered, 5 * self._period_s)
        else:
            self._rpc.redial(name)

    def _look(self, table: ReachTable, now_s: float) -> None:
        relays = table.relays(now_s)
        if relays != self.relays:
            log.info("reach.relays", relays=relays)
        self.relays = relays
        near = table.hears(now_s)
        self.reaches = frozenset((*near, *relays))
        silent = table.silent(now_s)
        self.cut_off = table.is_cut_off(silent - relays.keys())
        if self.serves():
            self._served_s = now_s
        # Without a quorum leases end one after the other: that is nobody's own trouble.
        lone_s = self._served_s + LAPSE_PULSES * self._period_s
        back_s = now_s - RETURN_SHARE * PULSES_PER_TIMEOUT * self._period_s
        self.stranded = self.cut_off or (now_s >= lone_s and table.others_serve(lone_s, back_s))
        for name in silent:
            # The process runs, its link is cut; or most are silent: this end is cut off.
            connection = self._rpc.peer(name).connection
            if (
                (name in relays or self.cut_off)
                and connection is not None
                and now_s - connection.opened_s >= table.silent_s  # a new one has to prove itself
            ):
                log.warning("reach.connection_given_up", peer=name, via=relays.get(name, ""))
                self._rpc.disconnect(name)


_reaches: WeakKeyDictionary[RpcNode, Reach] = WeakKeyDictionary()


def reach_of(rpc: RpcNode) -> Reach:
    """The node's reach, made when it is first asked for."""
    reach = _reaches.get(rpc)
    if reach is None:
        reach = _reaches[rpc] = Reach(rpc)
    return reach
