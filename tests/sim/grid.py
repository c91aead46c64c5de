"""A grid of real data instances in virtual time: start, pause, kill, power loss, restart.

Everything above sockets, threads and clocks is the real code: RPC, membership rules, replication,
transactions, storage on SQLite files in memory (tmpfs). One instance with one element per host.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from msgspec.structs import replace

from data.admin.spec_store import SpecStore
from data.database import Database
from data.instance import SESSION_DRAIN_S, DataInstance
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from membership.port import InstanceInfo
from protocol.errors import GridError
from protocol.ids import InstanceName
from protocol.instance_file import InstanceSettings, MembershipSettings
from protocol.limits import BUCKET_COUNT
from protocol.messages.admin import INTENT_OPEN, ElementSpec, render_intent
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.topology import BucketRange, DistributionMap, ElementPlace
from tests.sim.loop import Scheduler, SimLoop
from tests.sim.membership import Ensemble, Facts, SimMembership
from tests.sim.network import Network
from tests.sim.patches import Disk, memory_folder, patched
from tests.sim.site import SimSite

DATABASE = "database1"
SESSION_TIMEOUT_S = 1.0
RPC_PORT, SQL_PORT = 7000, 7001
RESTART_S = (0.15, 0.6)  # a supervisor starts a dead daemon again
PROOF_S = (0.002, 0.05)  # and tells the membership servers of its death
MAY_FAIL = ("handshake", "txn.decision_refused")  # words of error logs that are no findings


@dataclass(kw_only=True)
class Site(SimSite):
    """One host with its data instance, over all its lives."""

    NETWORK = "10.0.0"

    spec: ElementSpec
    boot: int = 0
    rpc: RpcNode | None = None
    instance: DataInstance | None = None
    settings: InstanceSettings | None = None
    elements: list[Element] = field(default_factory=list)  # opened in any life
    clients: list[Any] = field(default_factory=list)  # SqlConnections of this life

    @property
    def database(self) -> Database | None:
        """The loaded database of a running instance."""
        if not self.up or self.instance is None:
            return None
        return self.instance._databases.get(DATABASE)


class SimGrid:
    """`sets` replica sets of `k`. Use `running` around everything."""

    def __init__(self, seed: int, k: int, sets: int, template: Template | None) -> None:
        self.seed, self.k, self.sets = seed, k, sets
        self.scheduler = Scheduler(seed)
        self.scheduler.problem = self.problem
        self.network = Network(self.scheduler)
        self.disk = Disk()
        self.problems: list[str] = []
        self.log_bytes_kept = 0  # else logs are cut to this, and copies need snapshots
        self.on_event: dict[str, Callable[[], None]] = {}  # by what is logged
        self._homes = 0  # folders made for hosts after their first
        self.after_turn: Callable[[], None] | None = None  # of any data instance
        self.trace: list[tuple[float, str, str]] = []
        self.folder = Path(tempfile.mkdtemp(prefix="tengrid-sim-", dir=memory_folder()))
        facts = Facts() if template is None else template.facts
        self.ensemble = Ensemble(self.scheduler, SESSION_TIMEOUT_S, facts)
        self.sites = [self._site(n) for n in range(1, k * sets + 1)]
        if template is not None:
            for site in self.sites:
                site.life = 1
                shutil.copytree(template.folder / site.name, site.home)
                for wal in site.home.glob("element/*-wal"):
                    self.disk.flushed[wal.stat().st_ino] = wal.stat().st_size
                self._settle_home(site)

    def _site(self, number: int) -> Site:
        home = self.folder / f"{number}.0"
        spec = ElementSpec(
            database=DATABASE,
            database_id="5eed",
            element=number,
            data_space=(number - 1) % self.k + 1,
            k=self.k,
            data_store=str(home / "element"),
            log_dir="",
            attributes=(("PermSize", "16"), ("EpochInterval", "0.3")),
        )
        return Site(number=number, home=home, spec=spec)

    def _settle_home(self, site: Site) -> None:
        """The specification says where the element is now."""
        site.spec = replace(site.spec, data_store=str(site.home / "element"))
        SpecStore(site.home).save(site.spec)

    def map(self) -> DistributionMap:
        """Elements 1..k are replica set 1, and so on; buckets in equal ranges."""
        places = tuple(
            ElementPlace(s.number, s.name, (s.number - 1) // self.k + 1, s.spec.data_space)
            for s in self.sites
        )
        share = BUCKET_COUNT // self.sets
        ranges = tuple(
            BucketRange(
                rs * share,
                BUCKET_COUNT - 1 if rs == self.sets - 1 else (rs + 1) * share - 1,
                rs + 1,
            )
            for rs in range(self.sets)
        )
        return DistributionMap(DATABASE, 1, self.k, places, ranges)

    # -- the world --------------------------------------------------------------------------------
    @contextmanager
    def running(self) -> Generator[None]:
        """Patched, ruled by this grid's time, and cleaned up afterwards."""
        opened = Element._open_files
        made = ReplicaSetMember.__init__

        def make_member(member: ReplicaSetMember, *args: Any, **words: Any) -> None:
            made(member, *args, **words)
            if self.log_bytes_kept:
                member._settings = replace(member._settings, log_bytes_kept=self.log_bytes_kept)

        def open_files(element: Element, *, check: bool) -> None:
            opened(element, check=False)
            self.disk.note(element._keeper._wal)
            site = self._here()
            if site is not None and element not in site.elements:
                site.elements.append(element)

        try:
            with (
                patched(self._boot_id, self.disk, self._logged),
                mock.patch.object(Element, "_open_files", open_files),
                mock.patch.object(ReplicaSetMember, "__init__", make_member),
                self.scheduler.ruling(),
            ):
                try:
                    yield
                finally:
                    self._close_files()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _close_files(self) -> None:
        for site in self.sites:
            for element in site.elements:
                if not element.closed:
                    element.closed = True
                    try:
                        element._close_files()
                    except Exception as error:
                        self.note("end", f"closing {site.name}: {error!r}")
                    element._lock.release()

    def _here(self) -> Site | None:
        """Whose code runs just now."""
        try:
            loop: Any = asyncio.get_running_loop()
        except RuntimeError:
            return None
        return next((s for s in self.sites if s.loop is loop), None)

    def _boot_id(self) -> str:
        site = self._here()
        return "boot" if site is None else f"boot-{site.number}-{site.boot}"

    def note(self, who: str, text: str) -> None:
        """A line of the trace."""
        self.trace.append((self.scheduler.now, who, text))

    def problem(self, text: str) -> None:
        """Something that must not happen."""
        self.note("PROBLEM", text)
        self.problems.append(text)

    def _logged(self, method: str, event: str, words: dict[str, Any]) -> None:
        site = self._here()
        who = "?" if site is None else site.name.partition(".")[0]
        error = words.pop("exc_info", None)
        if error is True:
            error = sys.exc_info()[1]
        said = " ".join(f"{key}={value}" for key, value in words.items())
        self.note(who, f"{event} {said}" + (f" {error!r}" if error else ""))
        if event in self.on_event:
            self.on_event[event]()
        if error is not None and not isinstance(error, GridError) and not self.scheduler.over:
            self.problem(f"{who}: {event} {said} {error!r}")

    # -- life of a host ---------------------------------------------------------------------------
    def start(self, site: Site) -> None:
        """Start the data instance of a host."""
        if site.up:
            return
        site.life += 1
        site.clients.clear()
        self.note(site.name, f"starts, life {site.life}")
        site.loop = SimLoop(self.scheduler, site.host, self.network)
        site.loop.after_turn = self.after_turn
        for folder in ("info", "diag", "conf"):
            (site.home / folder).mkdir(parents=True, exist_ok=True)
        info = InstanceInfo(
            name=InstanceName(site.name),
            kind="data",
            incarnation=site.incarnation,
            address=site.host,
            port=RPC_PORT,
            external_address=site.host,
            cs_port=SQL_PORT,
        )
        site.settings = InstanceSettings(
            name=site.name, kind="data", home=str(site.home), grid="grid1", grid_id="0123",
            internal_address=site.host, external_address=site.host, daemon_port=RPC_PORT,
            cs_port=SQL_PORT, membership=MembershipSettings(session_timeout_s=SESSION_TIMEOUT_S),
        )  # fmt: skip
        previous = {f"{site.name}-{life}" for life in range(1, site.life)}
        with site.loop.running():
            site.rpc = RpcNode(NodeIdentity("0123", site.name, site.incarnation, b"secret"))
            site.membership = SimMembership(self.ensemble, site.loop, info, previous)
            site.instance = DataInstance(site.settings, site.home, info, site.rpc, site.membership)
            site.loop.spawn(self._started(site, site.instance), "start")

    async def _started(self, site: Site, instance: DataInstance) -> None:
        try:
            await instance.start()
        except GridError as error:
            self.note(site.name, f"could not start: {error}")
            self.scheduler.later(0.01, lambda: self.kill(site, silent=False))

    def kill(self, site: Site, *, silent: bool, power: bool = False) -> None:
        """SIGKILL; `silent`: its supervisor dies too; `power`: what was not flushed may be lost."""
        if not site.up:
            return
        loop = site.loop
        assert loop is not None
        self.note(site.name, f"is killed, silent {silent}, power {power}")
        incarnation = site.incarnation
        loop.kill()
        self.network.process_died(loop, silent=power)
        if site.membership in self.ensemble.members:
            self.scheduler.later(  # the servers notice by its silence
                SESSION_TIMEOUT_S, lambda m=site.membership: self._forget(m)
            )
        if not silent and not power:
            rng = self.scheduler.rng
            self.scheduler.later(
                rng.uniform(*PROOF_S), lambda: self.ensemble.report_death(incarnation)
            )
        self._leave_home(site, power=power)

    def _forget(self, member: SimMembership) -> None:
        if member in self.ensemble.members:
            if self.ensemble.has_quorum:
                member.expired()
                self.ensemble.members.remove(member)
            else:
                self.scheduler.later(SESSION_TIMEOUT_S, lambda: self._forget(member))

    def _leave_home(self, site: Site, *, power: bool) -> None:
        """The next life finds the files as the dead process left them, in another folder."""
        old = site.home
        self._homes += 1
        new = self.folder / f"{site.number}.{site.life}.{self._homes}"
        site.home = new
        source, target = old / "element", new / "element"
        target.mkdir(parents=True)
        for name in ("element.db", "element.db-wal"):
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
        wal = source / "element.db-wal"
        if wal.exists():
            self.disk.flushed[(target / wal.name).stat().st_ino] = self._flushed(site, wal)
        if power:
            site.boot += 1
            self._lose_tail(site, source / "element.db-wal", target / "element.db-wal")
        self._settle_home(site)

    def lose_power(self, site: Site) -> None:
        """What this host has not flushed is gone, also if its process is down already."""
        if site.up:
            self.kill(site, silent=True, power=True)
        else:
            self._leave_home(site, power=True)

    def _flushed(self, site: Site, wal: Path) -> int:
        """Bytes of a WAL that its process has flushed."""
        status = wal.stat()
        element = site.elements[-1] if site.elements else None
        if element is not None and element._full:
            return status.st_size
        return min(self.disk.flushed.get(status.st_ino, 0), status.st_size)

    def _lose_tail(self, site: Site, source: Path, target: Path) -> None:
        if not source.exists():
            return
        status = source.stat()
        flushed = self._flushed(site, source)
        keep = self.scheduler.rng.randint(flushed, status.st_size)
        self.note(site.name, f"keeps {keep} of {status.st_size} bytes, flushed {flushed}")
        os.truncate(target, keep)

    async def stop_in_order(self, site: Site) -> None:
        """SIGTERM: runs on the site's own loop."""
        assert site.instance is not None
        self.note(site.name, "stops in order")
        self.network.forget((site.host, SQL_PORT))
        end_s = self.scheduler.now + SESSION_DRAIN_S
        while True:
            left = [c for c in site.clients if not c.drain(now=self.scheduler.now > end_s)]
            if not left:
                break
            await asyncio.sleep(0.01)  # virtual time
        await site.instance.stop()
        self.note(site.name, "has stopped")
        loop = site.loop
        self.scheduler.later(0.001, lambda: self._exited(site, loop))

    def _exited(self, site: Site, loop: SimLoop | None) -> None:
        if loop is not None and site.loop is loop and not loop.dead:
            loop.kill()
            self.network.process_died(loop, silent=False)
            if site.membership in self.ensemble.members:
                assert site.membership is not None
                self.ensemble.members.remove(site.membership)
            self.ensemble.report_death(site.incarnation)
            self._leave_home(site, power=False)

    def pause(self, site: Site) -> None:
        """SIGSTOP."""
        if site.up and site.loop is not None:
            self.note(site.name, "is paused")
            site.loop.pause()

    def resume(self, site: Site) -> None:
        """SIGCONT."""
        if site.up and site.loop is not None and site.loop.paused:
            self.note(site.name, "goes on")
            site.loop.resume()

    # -- looking at it ----------------------------------------------------------------------------
    def databases(self) -> list[tuple[Site, Database]]:
        """All that are loaded now."""
        found = []
        for site in self.sites:
            database = site.database
            if database is not None:
                found.append((site, database))
        return found

    def is_whole(self) -> bool:
        """Every element is loaded, open and in sync, and every replica set has a lead."""
        leads = set()
        for site in self.sites:
            database = site.database
            if database is None or not database.space.is_open:
                return False
            if database.member.role not in ("lead", "copy") or not database.member.in_sync:
                return False
            if database.writer.leading:
                leads.add(database.writer.rs)
        return len(leads) == self.sets


@dataclass(frozen=True)
class Template:
    """A grid after its tables were made: element folders and the facts of membership."""

    folder: Path
    facts: Facts


@cache
def _template_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tengrid-sim-template-", dir=memory_folder())


def make_template(k: int, sets: int, fill: Any) -> Template:
    """Run a grid without faults, `await fill(grid, site)` at its first instance, stop it."""
    grid = SimGrid(0, k, sets, None)
    kept = Path(_template_folder().name) / f"{k}x{sets}"
    with grid.running():
        scheduler = grid.scheduler
        for site in grid.sites:
            grid.start(site)
        scheduler.run_until(scheduler.now + 1.0)
        for site in grid.sites:
            assert site.loop is not None and site.instance is not None
            _finish(grid, site, site.instance.keeper.create(site.spec))
        first = grid.sites[0]
        assert first.membership is not None
        _finish(grid, first, first.membership.put_map(DATABASE, 0, grid.map().encode()))
        intent = render_intent(INTENT_OPEN, "5eed")
        _finish(grid, first, first.membership.put_state(DATABASE, intent))
        assert scheduler.run_until(scheduler.now + 20.0, grid.is_whole), "no whole grid"
        _finish(grid, first, fill(grid, first))
        for site in reversed(grid.sites):
            _finish(grid, site, grid.stop_in_order(site))
        scheduler.run_until(scheduler.now + 1.0)
        assert not grid.problems, grid.problems
        for site in grid.sites:
            shutil.copytree(site.home, kept / site.name)
        facts = grid.ensemble.facts
        facts.instances.clear()
    return Template(kept, facts)


def _finish(grid: SimGrid, site: Site, work: Any) -> Any:
    """Run a coroutine of a site to its end."""
    assert site.loop is not None
    with site.loop.running():
        task = site.loop.spawn(work)
    assert grid.scheduler.run_until(grid.scheduler.now + 30.0, task.done), "it does not end"
    return task.result()
