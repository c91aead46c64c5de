"""Faults by a seed: what is done to the processes of a grid, one after the other.

The plan is pure: the same seed gives the same faults. Whom a fault hits is said by role (the lead
of a replica set, a copy, a host), because leads move; the driver looks who that is at the moment.
Between two faults the grid becomes whole again, so that one copy of each replica set is always
there: with more than that, K-safety promises nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.drill import links
from tests.support.real_grid import Observer, RealGrid

HEAL_S = 90.0  # a grid that is not whole by then does not heal
SERVERS = 3
AGAIN = 3  # kills after the first one
DEAF_S = 0.3
TAKE_OVER_S = 4.0  # more than a session timeout: the copy leads by then, if it may


class Kind(StrEnum):
    """What is done."""

    KILL_DAEMON = "kill daemon"  # its supervisor sees it and starts another
    KILL_INSTANCE = "kill daemon and supervisor"  # as if the host had gone; started by hand
    KILL_TWO = "kill instances of two replica sets"
    KILL_AGAIN = "kill daemon again and again"  # also while it catches up
    SUSPEND = "suspend"  # SIGSTOP: connections stay open
    STOP = "stop and start"  # planned
    SERVER = "kill a membership server"
    SERVER_AND_DAEMON = "kill a membership server and a daemon"
    QUORUM = "kill two membership servers"  # no quorum until one is back
    LINK = "cut the link between lead and copy"  # membership servers in reach of both
    ISOLATE = "cut off from all other data instances"
    ONE_WAY = "cut one way"  # it can hear and not speak
    CUT_AND_KILL = "cut the link between lead and copy, kill the lead's host"  # before it gives up


LINKS = (Kind.LINK, Kind.ISOLATE, Kind.ONE_WAY, Kind.CUT_AND_KILL)  # in a network namespace only
WITHOUT_LINKS = tuple(kind for kind in Kind if kind not in LINKS)


WEIGHTS = {
    Kind.KILL_DAEMON: 4,
    Kind.KILL_INSTANCE: 4,
    Kind.KILL_TWO: 2,
    Kind.KILL_AGAIN: 2,
    Kind.SUSPEND: 4,
    Kind.STOP: 2,
    Kind.SERVER: 1,
    Kind.SERVER_AND_DAEMON: 1,
    Kind.QUORUM: 1,
    Kind.LINK: 3,
    Kind.ISOLATE: 2,
    Kind.ONE_WAY: 2,
    Kind.CUT_AND_KILL: 3,
}
HOLD_S = {  # how long it stays so: least, most
    Kind.KILL_DAEMON: (0.0, 0.0),
    Kind.KILL_INSTANCE: (0.5, 6.0),
    Kind.KILL_TWO: (0.5, 5.0),
    Kind.KILL_AGAIN: (0.5, 6.0),
    Kind.SUSPEND: (0.3, 10.0),
    Kind.STOP: (0.0, 4.0),
    Kind.SERVER: (1.0, 5.0),
    Kind.SERVER_AND_DAEMON: (1.0, 4.0),
    Kind.QUORUM: (1.0, 6.0),
    Kind.LINK: (0.5, 8.0),
    Kind.ISOLATE: (0.5, 8.0),
    Kind.ONE_WAY: (0.5, 8.0),
    Kind.CUT_AND_KILL: (0.1, 0.9),  # a silent copy is given up after 1 s
}


@dataclass(frozen=True)
class Fault:
    """One fault of a plan."""

    kind: Kind
    pause_s: float  # quiet time before it
    hold_s: float
    wants_lead: bool  # else the copy
    replica_set: int  # counted from 0, modulo how many there are
    server: int  # a membership server, 1 to 3

    def __str__(self) -> str:
        role = "lead" if self.wants_lead else "copy"
        hit = {
            Kind.SERVER: f"number {self.server}",
            Kind.QUORUM: f"all but number {self.server}",
            Kind.CUT_AND_KILL: f"replica set {self.replica_set + 1}",
            Kind.KILL_TWO: "both leads" if self.wants_lead else "both copies",
        }.get(self.kind, f"{role} of replica set {self.replica_set + 1}")
        return f"{self.kind}: {hit}"


def plan(
    seed: int, *, count: int, kinds: tuple[Kind, ...] = WITHOUT_LINKS, sets: int = 2
) -> list[Fault]:
    """The first faults of a seed. Every kind comes once before any comes twice."""
    chance = random.Random(seed)
    once = list(kinds)
    chance.shuffle(once)
    weights = [WEIGHTS[kind] for kind in kinds]
    found = []
    for number in range(count):
        drawn = chance.choices(kinds, weights)[0]
        kind = once[number] if number < len(once) else drawn
        found.append(
            Fault(
                kind,
                chance.uniform(0.5, 4.0),
                round(chance.uniform(*HOLD_S[kind]), 2),
                chance.random() < 0.65,
                chance.randrange(sets),
                chance.randint(1, SERVERS),
            )
        )
    return found


@dataclass
class Done:
    """A fault that was done. Times are seconds of the monotonic clock; 0: not yet."""

    what: str
    hit: tuple[str, ...]  # addresses of data instances
    from_s: float
    healed_s: float = 0.0  # put back
    whole_s: float = 0.0  # every copy counts again


@dataclass
class Driver:
    """Does the faults of a plan to a grid."""

    grid: RealGrid
    watch: Observer
    tell: Callable[[str], None]
    done: list[Done] = field(default_factory=list)

    async def run(self, faults: list[Fault], until_s: float) -> None:
        """One after the other until the time is over. Raises AssertionError if it does not heal."""
        for fault in faults:
            await asyncio.sleep(fault.pause_s)  # the load goes on
            if time.monotonic() > until_s:
                return
            await self.do(fault)

    async def do(self, fault: Fault) -> None:
        """One fault, and wait until the grid is whole again."""
        hosts = self._hosts(fault)
        names = f" ({', '.join(f'host{host}' for host in hosts)})" if hosts else ""
        hit = tuple(self.grid.address(host) for host in hosts)
        done = Done(f"{fault}{names}", hit, time.monotonic())
        self.done.append(done)
        self.tell(f"{done.what}, for {fault.hold_s} s")
        actions: dict[Kind, Callable[[Fault, tuple[int, ...]], Awaitable[None]]] = {
            Kind.KILL_DAEMON: self._kill_daemon,
            Kind.KILL_INSTANCE: self._kill_instances,
            Kind.KILL_TWO: self._kill_instances,
            Kind.SUSPEND: self._suspend,
            Kind.STOP: self._stop,
            Kind.SERVER: self._servers,
            Kind.SERVER_AND_DAEMON: self._servers,
            Kind.QUORUM: self._servers,
            Kind.LINK: self._cut,
            Kind.ISOLATE: self._cut,
            Kind.ONE_WAY: self._cut,
            Kind.CUT_AND_KILL: self._cut_and_kill,
            Kind.KILL_AGAIN: self._kill_again,
        }
        await actions[fault.kind](fault, hosts)
        done.healed_s = time.monotonic()
        await self.watch.whole(HEAL_S)
        done.whole_s = time.monotonic()

    def _hosts(self, fault: Fault) -> tuple[int, ...]:
        if fault.kind in (Kind.SERVER, Kind.QUORUM):
            return ()
        numbers = sorted(self.watch.replica_sets)
        first = numbers[fault.replica_set % len(numbers)]
        chosen = [first]
        if fault.kind is Kind.KILL_TWO and len(numbers) > 1:
            chosen.append(numbers[(fault.replica_set + 1) % len(numbers)])
        wants_lead = fault.wants_lead or fault.kind is Kind.CUT_AND_KILL
        role = self.watch.lead if wants_lead else self.watch.copy
        return tuple(role(rs) for rs in chosen)

    async def _kill_daemon(self, _: Fault, hosts: tuple[int, ...]) -> None:
        for host in hosts:
            await self._gone(host, self.grid.kill_daemon)

    async def _kill_instances(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        for host in hosts:
            self.grid.kill_instance(host)
        await asyncio.sleep(fault.hold_s)  # the load goes on without it
        for host in hosts:
            await asyncio.to_thread(self.grid.start_instance, host)

    async def _kill_again(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        await self._kill_daemon(fault, hosts)
        for _ in range(AGAIN):
            await asyncio.sleep(fault.hold_s / AGAIN)  # somewhere on its way back
            for host in hosts:
                if self.grid.daemon_pid(host):
                    self.grid.kill_daemon(host)

    async def _cut(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        (host,) = hosts
        others = [other for other in self.grid.hosts if other != host]
        if fault.kind is Kind.LINK:
            sets = self.watch.replica_sets.values()
            others = [h for members in sets if host in members for h in members if h != host]
        pairs = [(host, other) for other in others]
        links.cut(pairs if fault.kind is Kind.ONE_WAY else links.both_ways(pairs))
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
        finally:
            links.heal()

    async def _cut_and_kill(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        """What the lead acknowledges without its copy would be lost: SIGKILL alone leaves what it
        has sent in the copy's socket."""
        (host,) = hosts
        sets = self.watch.replica_sets.values()
        others = [h for members in sets if host in members for h in members if h != host]
        links.cut(links.both_ways((host, other) for other in others))
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
            self.grid.kill_instance(host)
            await asyncio.sleep(DEAF_S)  # what is sent again dies with the sockets
        finally:
            links.heal()
        await asyncio.sleep(TAKE_OVER_S)  # the load goes on without it
        await asyncio.to_thread(self.grid.start_instance, host)

    async def _suspend(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        for host in hosts:
            self.grid.suspend(host)
        try:
            await asyncio.sleep(fault.hold_s)  # nothing answers there
        finally:
            for host in hosts:
                self.grid.resume(host)

    async def _stop(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        for host in hosts:
            await asyncio.to_thread(self.grid.stop_instance, host)
        await asyncio.sleep(fault.hold_s)  # the load goes on without it
        for host in hosts:
            await asyncio.to_thread(self.grid.start_instance, host)

    async def _servers(self, fault: Fault, hosts: tuple[int, ...]) -> None:
        is_quorum = fault.kind is Kind.QUORUM
        killed = [n for n in range(1, SERVERS + 1) if (n == fault.server) != is_quorum]
        for number in killed:
            self.grid.kill_membership_server(number)
        for host in hosts:
            await self._gone(host, self.grid.kill_daemon)
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on, or stops without a quorum
        finally:
            for number in killed:
                await asyncio.to_thread(self.grid.start_membership_server, number)

    async def _gone(self, host: int, kill: Callable[[int], None]) -> None:
        """Kill and wait until that is known: else `whole` would still hold from before."""
        known = asyncio.create_task(self.watch.gone(host, HEAL_S))
        try:
            kill(host)
            await known
        finally:
            known.cancel()
