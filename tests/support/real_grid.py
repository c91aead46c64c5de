"""A small real grid for tests: three ZooKeeper servers, management, four data instances, K = 2.

Made with the code behind `make grid`, without the sample's rows. Faults are done to its processes,
by pid; what became of it is read from ZooKeeper, as the instances do.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from daemons.config import client_files
from deploy import local_grid
from deploy.grid_plan import DATABASE, GridPlan, taken_ports
from deploy.sample import load
from membership.port import ClusterView, SetState
from membership.zookeeper import ZooKeeperMembership
from mgmt.cli import daemon_control
from protocol import instance_file
from protocol.topology import DistributionMap
from tests.support.zookeeper import BLOCK, locked_block

BASES = range(17_100, 20_000, BLOCK)  # below free_ports; mgmtPorts are 2,846 lower
COMMAND_TIMEOUT_S = 120
RUN_VARIABLE = "TENGRID_TEST_RUN"  # set by tests/conftest.py


class RealGrid:
    """One grid. Hosts are known by their numbers: host3 is 3."""

    def __init__(self, plan: GridPlan, login: load.Login, ports: int | None = None) -> None:
        """ports: descriptor that keeps them from other processes."""
        self.plan = plan
        self._ports = ports
        self.login = login
        self._settings = instance_file.load(plan.management_home())

    # -- life -----------------------------------------------------------------------------------
    @classmethod
    def make(cls, folder: Path, *, k: int = 2, data: int = 4, encryption: str = "off") -> RealGrid:
        """A grid with an open database, user and empty tables of the sample; about 15 s."""
        plan, ports = _free_plan(folder, k, data)
        plan = msgspec.structs.replace(plan, encryption=encryption)
        with _not_counted():
            login = local_grid.make(plan)
        return cls(plan, login, ports)

    def destroy(self) -> None:
        """Nothing is left."""
        self.stop_processes()
        local_grid.destroy(self.plan)
        inside = f"{self.plan.folder}/"
        left = [p for p in Path("/proc").glob("[0-9]*") if inside in _title(p)]
        assert not left, f"still running: {[_title(p) for p in left]}"
        if self._ports is not None:
            os.close(self._ports)
            self._ports = None

    def stop_processes(self) -> None:
        """All of them, by force if need be; nothing is removed."""
        for host in self.hosts:
            self.resume(host)  # a stopped process would not end
        self.signal_management(signal.SIGCONT)
        for number in range(1, len(self.plan.membership_homes()) + 1):
            self.signal_membership_server(number, signal.SIGCONT)
        local_grid._stop_processes(self.plan, force=True)

    def restart(self) -> None:
        """`make grid-stop` and `make grid-start`."""
        with _not_counted():
            assert local_grid.stop(self.plan) == 0
            assert local_grid.start(self.plan) == 0

    # -- places ---------------------------------------------------------------------------------
    @property
    def hosts(self) -> list[int]:
        """Numbers of the data hosts."""
        return self.plan.hosts()

    def home(self, host: int) -> Path:
        """Of the data instance on a host."""
        return self.plan.folder / f"host{host}" / "instance1"

    def addresses(self) -> list[str]:
        """External addresses, in the order of the hosts."""
        return self.plan.external_addresses()

    def address(self, host: int) -> str:
        """External address of a host."""
        return dict(zip(self.hosts, self.addresses(), strict=True))[host]

    def words(self, address: str) -> dict[str, Any]:
        """What psycopg.connect needs for one data instance."""
        return {
            "host": address,
            "port": self.plan.cs_port,
            "user": self.login.user,
            "password": self.login.password,
            "dbname": self.login.database,
            "autocommit": True,
            "connect_timeout": 2,
        }

    def administrator(self) -> psycopg.Connection[tuple[Any, ...]]:
        """The instance administrator, over the local socket of the first data instance."""
        return psycopg.connect(
            host=str(self.home(self.hosts[0]) / "info"),
            port=self.plan.cs_port,
            user=getpass.getuser(),
            dbname=DATABASE,
            autocommit=True,
        )

    def element_file(self, host: int) -> Path:
        """The SQLite file of the element on a host."""
        return self.plan.folder / "databases" / f"host{host}.instance1" / DATABASE / "element.db"

    # -- commands -------------------------------------------------------------------------------
    def admin(self, *words: str) -> str:
        """Run ttGridAdmin, which must succeed; its output."""
        return self.tool(self.plan.management_home(), "ttGridAdmin", *words)

    def status(self) -> dict[str, Any]:
        """`dbStatus -details` of the database."""
        reply = json.loads(self.admin("dbStatus", DATABASE, "-details", "-o", "json"))
        found: dict[str, Any] = reply["databases"][0]
        return found

    def summary(self) -> str:
        """`created,loaded-complete,open` when all is well."""
        return ",".join(self.status()["overall"]["summary"])

    def start_instance(self, host: int) -> None:
        """ttDaemonAdmin -start."""
        self.tool(self.home(host), "ttDaemonAdmin", "-start")

    def start_daemon(self, host: int) -> None:
        """The same without the command: half a second less."""
        with _not_counted():
            daemon_control.start(self.home(host))

    def stop_instance(self, host: int) -> None:
        """ttDaemonAdmin -stop."""
        self.tool(self.home(host), "ttDaemonAdmin", "-stop")

    def tool(self, home: Path, program: str, *words: str) -> str:
        """Run a program of an instance, which must succeed; its output."""
        done = subprocess.run(
            [str(home / "bin" / program), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={name: value for name, value in os.environ.items() if name != RUN_VARIABLE},
        )
        assert done.returncode == 0, f"{program} {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    # -- faults ---------------------------------------------------------------------------------
    def daemon_pid(self, host: int) -> int:
        """0 if it does not run."""
        return daemon_control.read_pid(self.home(host), daemon_control.PID_FILE)

    def kill_daemon(self, host: int) -> None:
        """SIGKILL to the daemon alone: its supervisor sees it."""
        _send(self.daemon_pid(host), signal.SIGKILL)

    def kill_instance(self, host: int) -> None:
        """SIGKILL to daemon and supervisor, as if the machine had gone: nobody reports a death."""
        self._kill_home(self.home(host))

    def kill_supervisor(self, host: int) -> None:
        """SIGKILL to the supervisor alone: the kernel sends its daemon SIGTERM."""
        home = self.home(host)
        _send(daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE), signal.SIGKILL)

    def suspend(self, host: int, *, supervisor: bool = False) -> None:
        """SIGSTOP to the daemon: its connections stay open and nothing answers."""
        _stop_home(self.home(host), signal.SIGSTOP, supervisor=supervisor)

    def resume(self, host: int) -> None:
        """SIGCONT to daemon and supervisor."""
        _stop_home(self.home(host), signal.SIGCONT, supervisor=True)

    def is_supervised(self, host: int) -> bool:
        """Whether something keeps the instance of a host alive."""
        home = self.home(host)
        return bool(daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE))

    def kill_management(self, *, supervisor: bool) -> None:
        """SIGKILL to the management instance."""
        home = self.plan.management_home()
        if supervisor:
            self._kill_home(home)
        else:
            _send(daemon_control.read_pid(home, daemon_control.PID_FILE), signal.SIGKILL)

    def signal_management(self, signum: signal.Signals) -> None:
        """SIGSTOP or SIGCONT to the management instance."""
        _stop_home(self.plan.management_home(), signum, supervisor=False)

    def start_management(self) -> None:
        """ttDaemonAdmin -start, unless it runs."""
        home = self.plan.management_home()
        if not daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE):
            self.tool(home, "ttDaemonAdmin", "-start")

    def kill_membership_server(self, number: int) -> None:
        """SIGKILL to one ZooKeeper server and to what supervises it."""
        home = self.plan.membership_homes()[number - 1]
        supervisor = daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE)
        daemon = daemon_control.read_pid(home, daemon_control.PID_FILE)
        for pid in (supervisor, daemon):
            _send(pid, signal.SIGKILL)  # the JVM ends with its parent

    def start_membership_server(self, number: int) -> None:
        """ttMembership start, unless it runs."""
        home = self.plan.membership_homes()[number - 1]
        if daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE):
            return
        with _not_counted():
            local_grid._tool("ttMembership", "start", str(home))

    def signal_membership_server(self, number: int, signum: signal.Signals) -> None:
        """SIGSTOP or SIGCONT to one ZooKeeper server: the JVM and its parent."""
        home = self.plan.membership_homes()[number - 1]
        pid = daemon_control.read_pid(home, daemon_control.PID_FILE)
        for one in (pid, *_children(pid)):
            _send(one, signum)

    def _kill_home(self, home: Path) -> None:
        supervisor = daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE)
        _send(supervisor, signal.SIGSTOP)  # else it might report, or SIGTERM reach the daemon
        _send(daemon_control.read_pid(home, daemon_control.PID_FILE), signal.SIGKILL)
        _send(supervisor, signal.SIGKILL)

    def processes(self) -> dict[str, int]:
        """Pids of all daemons that run, by names like host3 and membership1."""
        homes = {f"host{host}": self.home(host) for host in self.hosts}
        homes["host1"] = self.plan.management_home()
        for number, home in enumerate(self.plan.membership_homes(), start=1):
            homes[f"membership{number}"] = home
        found = {
            name: daemon_control.read_pid(home, daemon_control.PID_FILE)
            for name, home in homes.items()
        }
        return {name: pid for name, pid in found.items() if pid}

    # -- looking --------------------------------------------------------------------------------
    def observer(self) -> Observer:
        """An `async with` view of what ZooKeeper holds."""
        return Observer(self)

    def membership(self) -> ZooKeeperMembership:
        """A session with the membership servers that registers nothing."""
        servers = ",".join(self._settings.membership.servers)
        return ZooKeeperMembership(
            servers,
            self._settings.grid,
            self._settings.membership_logins(),
            None,
            tls=client_files(self._settings),
        )


class Observer:
    """Who leads, who is in sync, who runs: events, no polling."""

    def __init__(self, grid: RealGrid) -> None:
        self._grid = grid
        self._membership = grid.membership()

    async def __aenter__(self) -> Observer:
        await self._membership.start()
        await self._until("the map", lambda view: DATABASE in view.maps and len(view.sets) > 0, 20)
        new = DistributionMap.decode(self._membership.view().maps[DATABASE])
        self.replica_sets = {
            number: tuple(_host(place.instance) for place in places)
            for number, places in new.replica_sets().items()
        }
        self._hosts = {place.element: _host(place.instance) for place in new.elements}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._membership.stop()

    def state(self, rs: int) -> SetState:
        """What is agreed on a replica set."""
        return self._membership.view().sets[(DATABASE, rs)]

    def lead(self, rs: int) -> int:
        """Host of the lead."""
        return self._hosts[self.state(rs).lead]

    def copy(self, rs: int) -> int:
        """The first host of the replica set that does not lead."""
        return next(host for host in self.replica_sets[rs] if host != self.lead(rs))

    async def whole(self, timeout_s: float = 40) -> None:
        """All data instances are registered and every copy counts."""

        def is_whole(view: ClusterView) -> bool:
            names = {str(info.name) for info in view.instances.values() if info.kind == "data"}
            wanted = {f"host{host}.instance1" for host in self._grid.hosts}
            states = [view.sets.get((DATABASE, rs)) for rs in self.replica_sets]
            return names >= wanted and all(
                state is not None and state.lead and len(state.in_sync) == self._grid.plan.k
                for state in states
            )

        await self._until("every copy in sync", is_whole, timeout_s)

    async def settled(self, timeout_s: float = 20) -> None:
        """Whole, and each replica set is led where it should be; nothing moves by itself."""
        await self.whole()

        def is_settled(view: ClusterView) -> bool:
            return all(
                self._hosts[view.sets[(DATABASE, rs)].lead] == hosts[(rs - 1) % len(hosts)]
                for rs, hosts in self.replica_sets.items()
            )

        await self._until("leads spread", is_settled, timeout_s)

    async def new_lead(self, rs: int, old_host: int, timeout_s: float = 10) -> None:
        """Until a replica set is led by another host."""

        def is_led(view: ClusterView) -> bool:
            state = view.sets.get((DATABASE, rs))
            return state is not None and state.lead != 0 and self._hosts[state.lead] != old_host

        await self._until(f"another lead of replica set {rs}", is_led, timeout_s)

    def incarnation(self, host: int) -> str:
        """Of the data instance that is registered for a host; "" none."""
        info = self._membership.view().instances.get(f"host{host}.instance1")
        return "" if info is None else str(info.incarnation)

    async def reborn(self, host: int, before: str, timeout_s: float = 40) -> None:
        """Until another life of a data instance is registered than that one."""
        name = f"host{host}.instance1"

        def is_new(view: ClusterView) -> bool:
            info = view.instances.get(name)
            return info is not None and info.incarnation not in (before, *view.dead)

        await self._until(f"{name} is back", is_new, timeout_s)

    async def gone(self, host: int, timeout_s: float = 10) -> None:
        """Until a data instance is not registered any more."""
        name = f"host{host}.instance1"

        def is_gone(view: ClusterView) -> bool:
            found = [info for info in view.instances.values() if str(info.name) == name]
            return not found or found[0].incarnation in view.dead

        await self._until(f"{name} is gone", is_gone, timeout_s)

    async def _until(
        self, what: str, is_true: Callable[[ClusterView], bool], timeout_s: float
    ) -> None:
        happened = asyncio.Event()

        def look(view: ClusterView) -> None:
            if is_true(view):
                happened.set()

        unsubscribe = self._membership.subscribe(look)
        try:
            look(self._membership.view())
            async with asyncio.timeout(timeout_s):
                await happened.wait()
        except TimeoutError:
            view = self._membership.view()
            raise AssertionError(
                f"not within {timeout_s} s: {what}; {dict(view.sets)} {list(view.instances)}"
            ) from None
        finally:
            unsubscribe()


def wait_for_summary(grid: RealGrid, wanted: str, timeout_s: float = 30) -> None:
    """Until dbStatus says so."""
    deadline_s = time.monotonic() + timeout_s
    while (found := grid.summary()) != wanted:
        assert time.monotonic() < deadline_s, f"dbStatus says {found} after {timeout_s} s"


def _free_plan(folder: Path, k: int, data: int) -> tuple[GridPlan, int]:
    """With ports that nobody listens on; the descriptor keeps other processes that test away."""
    for base in BASES:
        if (ports := locked_block(base)) is None:
            continue
        plan = GridPlan(folder=folder, k=k, data=data, port_base=base)
        if not taken_ports(plan):
            return plan, ports
        os.close(ports)
    raise RuntimeError("other processes have all ports of grids")


@contextlib.contextmanager
def _not_counted() -> Iterator[None]:
    """Daemons of a grid that outlives one test are not leaks of it: destroy() looks for them."""
    value = os.environ.pop(RUN_VARIABLE, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[RUN_VARIABLE] = value


def _title(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _send(pid: int, signum: signal.Signals) -> None:
    """To a process, if there is one."""
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _stop_home(home: Path, signum: signal.Signals, *, supervisor: bool) -> None:
    if supervisor:
        _send(daemon_control.read_pid(home, daemon_control.SUPERVISOR_PID_FILE), signum)
    _send(daemon_control.read_pid(home, daemon_control.PID_FILE), signum)


def _children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _host(instance: str) -> int:
    return int(instance.partition(".")[0].removeprefix("host"))
