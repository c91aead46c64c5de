"""Two management instances in virtual time: role keepers, replication and stores are the real code.

Clients write at whoever lets them and note what was acknowledged. Processes are paused and killed,
links and membership cut, answers lost; commands switch and stop roles meanwhile. Broken is:
- an acknowledged change that an active lacks when it begins, or one of the two at the end,
- an acknowledgement in a term after one in a newer term,
- two stores that differ at the end, or a pair that does not come together again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from membership.port import ClusterView, InstanceInfo
from mgmt.ha import replicator
from mgmt.ha.keeper import RoleKeeper, Setting
from mgmt.ha.role import Role
from mgmt.model import store as store_module
from mgmt.model.store import Put, Store
from protocol.errors import GridError
from protocol.ids import InstanceName
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from tests.sim.loop import Scheduler, SimLoop
from tests.sim.membership import Ensemble, Facts, SimMembership
from tests.sim.network import Network
from tests.sim.patches import Disk, memory_folder, patched
from tests.sim.site import SimSite

SESSION_TIMEOUT_S = 1.0
RPC_PORT = 7000
FAULTY_S = 40.0  # of a run, with faults
WHOLE_S = 60.0  # then so long until the pair is whole
WRITE_S = (0.001, 0.15)
RESTART_S = (0.1, 2.0)
KIND = "said"  # of the store: what clients wrote


@dataclass(kw_only=True)
class Site(SimSite):
    """One host with its management instance, over all its lives."""

    NETWORK = "10.0.1"

    store: Store | None = None
    keeper: RoleKeeper | None = None


class PairWorld:
    """Use `running` around everything."""

    def __init__(self, seed: int) -> None:
        self.scheduler = Scheduler(seed)
        self.scheduler.problem = self.problem
        self.rng = self.scheduler.rng
        self.network = Network(self.scheduler)
        self.ensemble = Ensemble(self.scheduler, SESSION_TIMEOUT_S, Facts())
        self.folder = Path(tempfile.mkdtemp(prefix="tengrid-pair-", dir=memory_folder()))
        self.sites = tuple(Site(number=n, home=self.folder / str(n)) for n in (1, 2))
        self.problems: list[str] = []
        self.trace: list[str] = []
        self.acknowledged: dict[str, int] = {}  # what clients were promised -> term
        self.newest_term = 0  # of an acknowledgement
        self.begun = 0  # times that somebody became active
        self.writes = 0
        self.quiet = False  # no more writes

    @contextmanager
    def running(self) -> Generator[None]:
        """Patched, ruled by this world's time, and cleaned up afterwards."""
        try:
            with (
                patched(lambda: "boot", Disk(), self._logged),
                self._small_limits(),
                self.scheduler.ruling(),
            ):
                yield
        finally:
            for site in self.sites:
                if site.store is not None:
                    site.store.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _small_limits(self) -> ExitStack:
        """In half of the runs the log is short: whoever was away needs a full copy, in pieces."""
        stack = ExitStack()
        if self.rng.random() < 0.5:
            for module, name, value in (
                (store_module, "CHANGES_KEPT", 20),
                (replicator, "BATCH_BYTES", 150),
                (replicator, "PIECE_BYTES", 700),
            ):
                stack.enter_context(mock.patch.object(module, name, value))
        return stack

    def problem(self, text: str) -> None:
        """Something that must not happen."""
        self.note(f"PROBLEM {text}")
        self.problems.append(text)

    def note(self, text: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.scheduler.now:9.3f} {text}")

    def _logged(self, method: str, event: str, words: dict[str, Any]) -> None:
        said = " ".join(f"{key}={value}" for key, value in words.items())
        self.note(f"{event} {said}")
        if method in ("exception", "critical") and not self.scheduler.over:
            self.problem(f"{event} {said}")

    # -- life of a host ---------------------------------------------------------------------------
    def start(self, site: Site) -> None:
        """Start the management instance of a host."""
        if site.up:
            return
        site.life += 1
        self.note(f"{site.name} starts, life {site.life}")
        site.home.mkdir(exist_ok=True)
        site.loop = loop = SimLoop(self.scheduler, site.host, self.network)
        info = InstanceInfo(
            InstanceName(site.name), "mgmt", site.incarnation, site.host, RPC_PORT, version="1"
        )
        previous = {f"{site.name}-{life}" for life in range(1, site.life)}
        with loop.running():
            site.store = Store(site.home / "management.db")
            membership = SimMembership(self.ensemble, loop, info, previous)
            site.membership, site.keeper = membership, None
            loop.spawn(self._started(site, site.life, site.store, membership), "start")

    async def _started(self, site: Site, life: int, store: Store, member: SimMembership) -> None:
        identity = NodeIdentity("0123", site.name, site.incarnation, b"secret", "mgmt")
        rpc = RpcNode(identity)
        await rpc.listen(site.host, RPC_PORT)
        await member.start()

        def peers(view: ClusterView) -> None:
            for name, info in view.instances.items():
                if name != site.name:
                    rpc.set_peer(name, info.address, info.port, info.incarnation, info.kind)

        member.subscribe(peers)
        peers(member.view())
        other = self.other(site)
        site.keeper = RoleKeeper(
            store,
            member,
            rpc,
            Setting(
                name=site.name,
                incarnation=site.incarnation,
                session_timeout_s=SESSION_TIMEOUT_S,
                partner=lambda: other.name,
                has_grid=lambda: site.number == 1 or store.seq > 0,
                automatic=lambda: True,
                began=partial(self._began, site, store),
                ceased=lambda: (),
            ),
        )
        site.keeper.start()
        assert site.loop is not None
        for _ in range(2):
            site.loop.spawn(self._client(site, life, store, site.keeper))

    def other(self, site: Site) -> Site:
        """The other one."""
        return self.sites[2 - site.number]

    def _began(self, site: Site, store: Store) -> None:
        self.begun += 1
        missing = self.acknowledged.keys() - dict(store.items(KIND)).keys()
        if missing:
            self.problem(f"{site.name} is active without {sorted(missing)[:3]}")

    async def _client(self, site: Site, life: int, store: Store, keeper: RoleKeeper) -> None:
        loop = site.loop
        assert loop is not None
        while site.life == life:
            await self.wait(loop, self.rng.uniform(*WRITE_S))
            if self.quiet:
                continue
            self.writes += 1
            key = f"{self.writes:06d}"
            try:
                keeper.check_active()
                store.write(Put(KIND, key, site.name.encode()))
                term = store.last.term
                await keeper.secured()
            except GridError:
                continue
            if term < self.newest_term:
                self.problem(f"{site.name} acknowledges in term {term} after {self.newest_term}")
            self.newest_term = max(term, self.newest_term)
            self.acknowledged[key] = term

    async def wait(self, loop: SimLoop, seconds: float) -> None:
        """Virtual time."""
        passed = loop.create_future()
        loop.call_later(seconds, lambda: None if passed.done() else passed.set_result(None))
        await passed

    def kill(self, site: Site, *, silent: bool) -> None:
        """SIGKILL; `silent`: nobody saw it."""
        if not site.up:
            return
        assert site.loop is not None
        assert site.store is not None
        self.note(f"{site.name} is killed, silent {silent}")
        site.loop.kill()
        self.network.process_died(site.loop, silent=silent and self.rng.random() < 0.5)
        site.store.close()
        site.store = site.keeper = None
        member, incarnation = site.membership, site.incarnation
        assert member is not None
        if silent:
            self.scheduler.later(SESSION_TIMEOUT_S, lambda: self._forget(member))
        else:
            self.scheduler.later(
                self.rng.uniform(0.002, 0.05), lambda: self._seen_dead(member, incarnation)
            )

    def _seen_dead(self, member: SimMembership, incarnation: str) -> None:
        if not self.ensemble.has_quorum:
            self.scheduler.later(SESSION_TIMEOUT_S, lambda: self._seen_dead(member, incarnation))
            return
        self.ensemble.report_death(incarnation)
        self._forget(member)

    def _forget(self, member: SimMembership) -> None:
        if member not in self.ensemble.members:
            return
        if self.ensemble.has_quorum:
            member.expired()
            self.ensemble.members.remove(member)
        else:
            self.scheduler.later(SESSION_TIMEOUT_S, lambda: self._forget(member))

    # -- faults -----------------------------------------------------------------------------------
    def trouble(self) -> None:
        """One fault, command or repair, and soon the next."""
        site = self.rng.choice(self.sites)
        deeds: list[Callable[[Site], None]] = [
            self._kill, self._pause, self._cut_link, self._cut_membership, self._quorum,
            self._slow_view, self._expire, self._command, self._command, self._reset,
        ]  # fmt: skip
        self.rng.choice(deeds)(site)
        if self.scheduler.now < self.faulty_until_s:
            self.scheduler.later(self.rng.expovariate(1 / 0.8), self.trouble)

    def _kill(self, site: Site) -> None:
        self.kill(site, silent=self.rng.random() < 0.5)
        self.scheduler.later(self.rng.uniform(*RESTART_S), lambda: self.start(site))

    def _pause(self, site: Site) -> None:
        loop = site.loop
        if loop is None or loop.dead or loop.paused:
            return
        self.note(f"{site.name} is paused")
        loop.pause()
        self.scheduler.later(self.rng.choice((0.1, 0.5, 0.9, 1.5, 3.0)), lambda: self._wake(loop))

    def _wake(self, loop: SimLoop) -> None:
        if not loop.dead:
            self.note(f"{loop.host} goes on")
            loop.resume()

    def _cut_link(self, site: Site) -> None:
        one, two = self.sites[0].host, self.sites[1].host
        ways = self.rng.choice((((one, two),), ((two, one),), ((one, two), (two, one))))
        self.note(f"links cut: {ways}")
        for way in ways:
            self.network.cut(*way)
        self.scheduler.later(self.rng.uniform(0.1, 4.0), self.network.heal_all)

    def _cut_membership(self, site: Site) -> None:
        self.note(f"{site.name} is cut from membership")
        self.ensemble.cut(site.host)
        self.scheduler.later(self.rng.uniform(0.1, 3.0), lambda: self.ensemble.heal(site.host))

    def _quorum(self, site: Site) -> None:
        if self.rng.random() < 0.7:
            return
        self.note("no quorum")
        self.ensemble.set_quorum(False)
        self.scheduler.later(self.rng.uniform(0.1, 2.0), lambda: self.ensemble.set_quorum(True))

    def _slow_view(self, site: Site) -> None:
        self.ensemble.slow_views.add(site.host)
        self.scheduler.later(3.0, lambda: self.ensemble.slow_views.discard(site.host))

    def _expire(self, site: Site) -> None:
        self.note(f"{site.name}'s session is expired")
        self.ensemble.expire(site.host)

    def _reset(self, site: Site) -> None:
        self.network.reset(self.sites[0].host, self.sites[1].host)

    def _command(self, site: Site) -> None:
        keeper, loop = site.keeper, site.loop
        if keeper is None or loop is None or loop.dead:
            return
        name, work = self.rng.choice(
            [
                ("switch", lambda: keeper.switch(force=False)),
                ("switch", lambda: keeper.switch(force=False)),
                ("stop_active", keeper.stop_active),
                ("start_active", keeper.start_active),
                ("stop_standby", keeper.stop_standby),
                ("start_standby", keeper.start_standby),
            ]
        )
        self.note(f"{site.name}: {name}")
        loop.spawn(self._commanded(site, name, work))

    async def _commanded(self, site: Site, name: str, work: Callable[[], Any]) -> None:
        try:
            await work()
        except GridError as error:
            self.note(f"{site.name}: {name}: {error}")
        else:
            self.note(f"{site.name}: {name}: done")

    # -- the whole run ----------------------------------------------------------------------------
    def play(self) -> None:
        """Faults for a while, then everything heals, and all must be there."""
        self.start(self.sites[0])
        self.scheduler.run_until(self.scheduler.now + 1.0, lambda: self.begun > 0)
        self.start(self.sites[1])
        self.faulty_until_s = self.scheduler.now + FAULTY_S
        self.ensemble.fates = self.rng.choice((0.0, 0.05, 0.2))
        self.scheduler.later(0.5, self.trouble)
        self.scheduler.run_until(self.faulty_until_s)
        self.heal()
        end_s = self.scheduler.now + WHOLE_S
        if not self.scheduler.run_until(end_s, self.is_whole):
            roles = [(s.name, s.keeper and s.keeper.role) for s in self.sites]
            self.problem(f"not whole: {roles} {self.ensemble.facts.register}")
            return
        self.quiet = True
        self.scheduler.run_until(self.scheduler.now + 2.0)
        self.compare()

    def heal(self) -> None:
        """No more faults; whoever was stopped is started."""
        self.note("healed")
        self.network.heal_all()
        self.ensemble.heal_all()
        for site in self.sites:
            if site.loop is not None and site.loop.paused:
                self._wake(site.loop)
            self.start(site)
        self._encourage()

    def _encourage(self) -> None:
        """What an administrator does until all is well: mgmtStandbyStart, mgmtActiveStart."""
        if self.is_whole() or self.quiet:
            return
        for site in self.sites:
            keeper = site.keeper
            if keeper is not None and site.up and keeper.role is not Role.ACTIVE:
                assert site.loop is not None
                active = self.ensemble.facts.mgmt
                work = keeper.start_active if active is None else keeper.start_standby
                site.loop.spawn(self._commanded(site, work.__name__, work))
        self.scheduler.later(3.0, self._encourage)

    def is_whole(self) -> bool:
        """One active, and a standby in sync."""
        actives = [s for s in self.sites if s.keeper is not None and s.keeper.role is Role.ACTIVE]
        if len(actives) != 1 or self.scheduler.now < self.faulty_until_s + 5.0:
            return False
        keeper = actives[0].keeper
        return keeper is not None and bool(keeper.standby)

    def compare(self) -> None:
        """Both stores are equal and hold what was promised."""
        one, two = (s.store for s in self.sites)
        assert one is not None
        assert two is not None
        if one.last != two.last or one.snapshot() != two.snapshot():
            self.problem(f"the stores differ: {one.last} {two.last}")
        for site, store in zip(self.sites, (one, two), strict=True):
            missing = self.acknowledged.keys() - dict(store.items(KIND)).keys()
            if missing:
                self.problem(f"{site.name} lacks {sorted(missing)[:3]} of {len(missing)}")


def play(seed: int) -> PairWorld:
    """One run."""
    world = PairWorld(seed)
    with world.running():
        world.play()
    return world
