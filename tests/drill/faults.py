"""Does the faults of a plan to the processes of a grid, one after the other or two at a time.

Between two faults the grid becomes whole again; then the load is held for a moment and looked at
(`quiet.py`). All that a fault needs undone is undone, whatever happens.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.drill import clocks, disks, links
from tests.drill.plan import SERVERS, WITHOUT_HOST, Fault, Kind
from tests.support.real_grid import Observer, RealGrid

HEAL_S = 90.0  # a grid that is not whole by then does not heal
AGAIN = 3  # kills after the first one
DEAF_S = 0.3
TAKE_OVER_S = 4.0  # more than a session timeout: the copy leads by then, if it may
DAMAGE = b"\xa5" * 4096

Hosts = tuple[int, ...]
Action = Callable[[Fault, Hosts], Awaitable[None]]


@dataclass
class Done:
    """A fault that was done. Times are seconds of the monotonic clock; 0: not yet."""

    what: str
    hit: tuple[str, ...]  # addresses of data instances
    from_s: float
    healed_s: float = 0.0  # put back
    whole_s: float = 0.0  # every copy counts again


async def _nothing() -> None:
    """When nobody wants to look."""


@dataclass
class Driver:
    """Does the faults of a plan to a grid."""

    grid: RealGrid
    watch: Observer
    tell: Callable[[str], None]
    look: Callable[[], Awaitable[None]] = _nothing  # after each, when the grid is whole
    done: list[Done] = field(default_factory=list)

    async def run(self, faults: list[Fault], until_s: float) -> None:
        """One after the other until the time is over. Raises AssertionError if it does not heal."""
        for fault in faults:
            await asyncio.sleep(fault.pause_s)  # the load goes on
            if time.monotonic() > until_s:
                return
            await self.do(fault)

    async def do(self, fault: Fault) -> None:
        """One fault and the one beside it; wait until the grid is whole again."""
        first = len(self.done)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._one(fault))
            if fault.beside is not None:
                tasks.create_task(self._beside(fault.beside))
        await self._all_up()
        await self.watch.whole(HEAL_S)
        for done in self.done[first:]:
            done.whole_s = time.monotonic()
        await self.look()

    async def _beside(self, fault: Fault) -> None:
        await asyncio.sleep(fault.pause_s / 2)  # the load goes on
        await self._one(fault, " (beside)")

    async def _one(self, fault: Fault, mark: str = "") -> None:
        hosts = self._hosts(fault)
        names = f" ({', '.join(f'host{host}' for host in hosts)})" if hosts else ""
        hit = tuple(self.grid.address(host) for host in hosts)
        done = Done(f"{fault}{names}{mark}", hit, time.monotonic())
        self.done.append(done)
        self.tell(f"{done.what}, for {fault.hold_s} s")
        await self._actions()[fault.kind](fault, hosts)
        done.healed_s = time.monotonic()

    def _actions(self) -> dict[Kind, Action]:
        return {
            Kind.KILL_DAEMON: self._kill_daemon,
            Kind.KILL_INSTANCE: self._kill_instances,
            Kind.KILL_SUPERVISOR: self._kill_supervisor,
            Kind.KILL_TWO: self._kill_instances,
            Kind.KILL_AGAIN: self._kill_again,
            Kind.KILL_SET: self._kill_instances,
            Kind.KILL_DATA: self._kill_instances,
            Kind.KILL_GRID: self._kill_grid,
            Kind.SUSPEND: self._suspend,
            Kind.SUSPEND_HOST: self._suspend,
            Kind.SUSPEND_SERVER: self._suspend_server,
            Kind.SUSPEND_MANAGEMENT: self._suspend_management,
            Kind.STOP: self._stop,
            Kind.ROLL: self._roll,
            Kind.MANAGEMENT: self._management,
            Kind.SERVER: self._servers,
            Kind.SERVER_AND_DAEMON: self._servers,
            Kind.QUORUM: self._servers,
            Kind.LOSE_FILE: self._spoil_file,
            Kind.DAMAGE_FILE: self._spoil_file,
            Kind.CLOCK: self._step_clock,
            Kind.DISK: self._fill_disk,
            Kind.LINK: self._cut_links,
            Kind.ISOLATE: self._cut_links,
            Kind.ONE_WAY: self._cut_links,
            Kind.SERVERS: self._cut_links,
            Kind.ALONE: self._cut_links,
            Kind.CUT_AND_KILL: self._cut_and_kill,
        }

    def _hosts(self, fault: Fault) -> Hosts:
        if fault.kind in WITHOUT_HOST:
            return ()
        if fault.kind in (Kind.KILL_DATA, Kind.KILL_GRID, Kind.ROLL):
            return tuple(self.grid.hosts)
        numbers = sorted(self.watch.replica_sets)
        first = numbers[fault.replica_set % len(numbers)]
        if fault.kind is Kind.KILL_SET:
            return self.watch.replica_sets[first]
        chosen = [first]
        if fault.kind is Kind.KILL_TWO and len(numbers) > 1:
            chosen.append(numbers[(fault.replica_set + 1) % len(numbers)])
        wants_lead = fault.wants_lead or fault.kind is Kind.CUT_AND_KILL
        role = self.watch.lead if wants_lead else self.watch.copy
        return tuple(role(rs) for rs in chosen)

    # -- up again -----------------------------------------------------------------------------
    async def _up(self, hosts: Hosts) -> None:
        """Start what does not run. What another fault keeps from starting comes up later."""
        down = [host for host in hosts if not self.grid.is_supervised(host)]
        starts = [asyncio.to_thread(self.grid.start_instance, host) for host in down]
        for found in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(found, BaseException):
                self.tell(f"not started yet: {' '.join(str(found).split())[:200]}")

    async def _all_up(self) -> None:
        """Everything that should run is started, or that is an error."""
        for number in range(1, SERVERS + 1):
            await asyncio.to_thread(self.grid.start_membership_server, number)
        await asyncio.to_thread(self.grid.start_management)
        for host in self.grid.hosts:
            if not self.grid.is_supervised(host):
                await asyncio.to_thread(self.grid.start_instance, host)

    async def _gone(self, host: int, kill: Callable[[int], None]) -> None:
        """Kill and wait until that is known: else `whole` would still hold from before."""
        known = asyncio.create_task(self.watch.gone(host, HEAL_S))
        try:
            kill(host)
            await known
        finally:
            known.cancel()

    # -- kills --------------------------------------------------------------------------------
    async def _kill_daemon(self, _: Fault, hosts: Hosts) -> None:
        for host in hosts:
            await self._gone(host, self.grid.kill_daemon)

    async def _kill_instances(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            self.grid.kill_instance(host)
        await asyncio.sleep(fault.hold_s)  # the load goes on without it
        await self._up(hosts)

    async def _kill_supervisor(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            await self._gone(host, self.grid.kill_supervisor)
        await asyncio.sleep(fault.hold_s)  # the load goes on
        await self._up(hosts)

    async def _kill_again(self, fault: Fault, hosts: Hosts) -> None:
        await self._kill_daemon(fault, hosts)
        for _ in range(AGAIN):
            await asyncio.sleep(fault.hold_s / AGAIN)  # somewhere on its way back
            for host in hosts:
                self.grid.kill_daemon(host)

    async def _kill_grid(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            self.grid.kill_instance(host)
        self.grid.kill_management(supervisor=True)
        for number in range(1, SERVERS + 1):
            self.grid.kill_membership_server(number)
        await asyncio.sleep(fault.hold_s)  # the load goes on
        starts = [
            asyncio.to_thread(self.grid.start_membership_server, number)
            for number in range(1, SERVERS + 1)
        ]
        await asyncio.gather(*starts)
        await asyncio.to_thread(self.grid.start_management)
        await self._up(hosts)

    async def _management(self, fault: Fault, _: Hosts) -> None:
        self.grid.kill_management(supervisor=not fault.wants_lead)
        await asyncio.sleep(fault.hold_s)  # the load goes on
        await asyncio.to_thread(self.grid.start_management)

    async def _servers(self, fault: Fault, hosts: Hosts) -> None:
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

    # -- pauses and stops ---------------------------------------------------------------------
    async def _suspend(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            self.grid.suspend(host, supervisor=fault.kind is Kind.SUSPEND_HOST)
        try:
            await asyncio.sleep(fault.hold_s)  # nothing answers there
        finally:
            for host in hosts:
                self.grid.resume(host)

    async def _suspend_server(self, fault: Fault, _: Hosts) -> None:
        self.grid.signal_membership_server(fault.server, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
        finally:
            self.grid.signal_membership_server(fault.server, signal.SIGCONT)

    async def _suspend_management(self, fault: Fault, _: Hosts) -> None:
        self.grid.signal_management(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
        finally:
            self.grid.signal_management(signal.SIGCONT)

    async def _stop(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            await asyncio.to_thread(self.grid.stop_instance, host)
        await asyncio.sleep(fault.hold_s)  # the load goes on without it
        await self._up(hosts)

    async def _roll(self, fault: Fault, hosts: Hosts) -> None:
        """As for a new version of the software: the next one when all is whole again."""
        for host in hosts:
            await self._stop(fault, (host,))
            await self.watch.whole(HEAL_S)

    # -- files, disks, clocks -----------------------------------------------------------------
    async def _spoil_file(self, fault: Fault, hosts: Hosts) -> None:
        """Only while the other copies count: else it would be the last file there is."""
        (host,) = hosts
        await self.watch.whole(HEAL_S)
        await self._gone(host, self.grid.kill_instance)
        (number,) = [rs for rs, members in self.watch.replica_sets.items() if host in members]
        if self.grid.plan.k > 1:
            await self.watch.new_lead(number, host, HEAL_S)
        file = self.grid.element_file(host)
        if fault.kind is Kind.LOSE_FILE:
            for part in file.parent.glob("element.db*"):
                part.unlink()
        else:
            pages = file.stat().st_size // len(DAMAGE)
            with file.open("r+b") as bytes_of:
                bytes_of.seek(pages // 4 * len(DAMAGE))
                bytes_of.write(DAMAGE * max(1, pages // 4))
        await asyncio.sleep(fault.hold_s)  # the load goes on
        await self._up(hosts)

    async def _step_clock(self, fault: Fault, hosts: Hosts) -> None:
        for host in hosts:
            clocks.step(host, fault.step_s)
        await asyncio.sleep(fault.hold_s)  # the load goes on
        for host in hosts:
            clocks.step(host, 0.0)  # a step as well
        await asyncio.sleep(fault.hold_s / 2)  # the load goes on

    async def _fill_disk(self, fault: Fault, hosts: Hosts) -> None:
        try:
            for host in hosts:
                await asyncio.to_thread(disks.fill, self.grid.plan, host)
            await asyncio.sleep(fault.hold_s)  # the load goes on
        finally:
            for host in hosts:
                disks.free(self.grid.plan, host)

    # -- links --------------------------------------------------------------------------------
    async def _cut_links(self, fault: Fault, hosts: Hosts) -> None:
        (host,) = hosts
        ends: list[links.Place] = [other for other in self.grid.hosts if other != host]
        if fault.kind is Kind.LINK:
            ends = self._partners(host)
        elif fault.kind is Kind.SERVERS:
            ends = [links.MEMBERSHIP]
        elif fault.kind is Kind.ALONE:
            ends += [links.MEMBERSHIP, 1]
        pairs: list[tuple[links.Place, links.Place]] = [(host, end) for end in ends]
        links.cut(pairs if fault.kind is Kind.ONE_WAY else links.both_ways(pairs))
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
        finally:
            links.heal()

    async def _cut_and_kill(self, fault: Fault, hosts: Hosts) -> None:
        """What the lead acknowledges without its copy would be lost: SIGKILL alone leaves what it
        has sent in the copy's socket."""
        (host,) = hosts
        links.cut(links.both_ways((host, end) for end in self._partners(host)))
        try:
            await asyncio.sleep(fault.hold_s)  # the load goes on
            self.grid.kill_instance(host)
            await asyncio.sleep(DEAF_S)  # what is sent again dies with the sockets
        finally:
            links.heal()
        await asyncio.sleep(TAKE_OVER_S)  # the load goes on without it
        await self._up(hosts)

    def _partners(self, host: int) -> list[links.Place]:
        """The other members of its replica sets."""
        sets = self.watch.replica_sets.values()
        return [h for members in sets if host in members for h in members if h != host]
