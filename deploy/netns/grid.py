"""The grid on the hosts, made with the commands an administrator types."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from deploy.netns import hosts
from deploy.netns.plan import (
    DATABASE,
    EXTERNAL,
    GROUPS,
    INSTANCE,
    INTERNAL,
    MEMBERSHIP_IDS,
    ROOT,
    SESSION_TIMEOUT_S,
    Lab,
    address_of,
    host_name,
    membership_name,
)
from protocol.errors import OperationError

HOME = f"{ROOT}/{INSTANCE}"
TLS = f"{ROOT}/tls"  # certificates of the membership servers
WAIT_S = 300
Say = Callable[[str], None]


class Grid:
    """Runs commands at the management instances of a lab."""

    def __init__(self, lab: Lab, say: Say = print, *, first: int = 1, name: str = "grid1") -> None:
        self.lab = lab
        self.say = say
        self.name = name
        self.first = first  # the host of the first management instance
        self.active = host_name(first)
        self._began_s = time.monotonic()

    # -- commands
    def admin(self, *words: str, at: str = "") -> str:
        """ttGridAdmin in the environment of the (active) management instance."""
        return hosts.run(self.lab, at or self.active, f"{HOME}/bin/ttGridAdmin", *words)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step with its title and how long it took."""
        began_s = time.monotonic()
        print(f"{title} ...", end="", flush=True)
        try:
            yield
        except BaseException:
            print(" FAILED", flush=True)
            raise
        now_s = time.monotonic()
        print(f" OK {now_s - began_s:.1f} s ({now_s - self._began_s:.0f} s)", flush=True)

    # -- hosts
    def build_software(self) -> None:
        """The installation that everything else is a copy of."""
        if next(self.lab.software.glob("tengrid-*"), None) is not None:
            return
        from mgmt.transport.installation import release

        tree = self.lab.software / f"tengrid-{release()}"
        beside = self.lab.folder / "building"
        subprocess.run(["rm", "-rf", str(beside)], check=True)
        words = [sys.executable, "-m", "mgmt.transport.bundle", str(beside / tree.name)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OperationError(f"cannot build an installation: {done.stderr[-500:]}")
        beside.rename(self.lab.software)

    def start_hosts(self) -> None:
        """Power on what is not."""
        hosts.prepare(self.lab)
        hosts.start_switch(self.lab)
        for name in self.lab.names():
            with_software = name in (host_name(self.first), *map(membership_name, MEMBERSHIP_IDS))
            hosts.start_host(self.lab, name, with_software=with_software)

    def add_machine(self, number: int, *, with_software: bool = False) -> None:
        """One more host, with power, that the grid does not know yet."""
        self.lab = msgspec.structs.replace(self.lab, hosts=(*self.lab.hosts, number))
        hosts.prepare(self.lab)
        for name in self.lab.names():
            if hosts.pid_of(self.lab, name):
                hosts.learn(self.lab, name)
        hosts.start_host(self.lab, host_name(number), with_software=with_software)

    @property
    def program_folder(self) -> str:
        """bin of the installation on host1 and the membership hosts."""
        return f"{ROOT}/{next(self.lab.software.glob('tengrid-*')).name}/bin"

    # -- T02, T01
    def start_membership(self) -> None:
        """Create and start the three membership servers."""
        for number in MEMBERSHIP_IDS:
            name = membership_name(number)
            tool = f"{self.program_folder}/ttMembership"
            home = f"{ROOT}/membership{number}"
            if not (self.lab.host_folder(name) / "grid" / f"membership{number}").exists():
                self._certify(number)
                words = ("-location", ROOT, "-id", str(number), "-servers", self.lab.servers())
                hosts.run(self.lab, name, tool, "create", *words, "-tls", TLS)
            hosts.run(self.lab, name, tool, "start", home, "-noquorum")

    def _certify(self, number: int) -> None:
        """Certificates of the membership servers, made on the first of them; server `number` gets
        its own."""
        first = membership_name(MEMBERSHIP_IDS[0])
        if not self._tls_of(first).exists():
            words = ("certify", "-servers", self.lab.servers(), "-out", TLS)
            hosts.run(self.lab, first, f"{self.program_folder}/ttMembership", *words)
        self._bring(membership_name(number), f"server{number}.pem")

    def _tls_of(self, name: str) -> Path:
        return self.lab.host_folder(name) / "grid" / "tls"

    def _bring(self, name: str, certificate: str) -> None:
        """To a host, what it needs of the certificates."""
        made, there = self._tls_of(membership_name(MEMBERSHIP_IDS[0])), self._tls_of(name)
        if there != made:
            there.mkdir(mode=0o700, exist_ok=True)
            for file in ("root.crt", certificate):
                shutil.copy(made / file, there / file)

    def create(self, k: int = 3) -> None:
        """T01 and T02: the first management instance, the grid."""
        tool = f"{self.program_folder}/ttInstanceCreate"
        where = host_name(self.first)
        hosts.run(self.lab, where, tool, "-name", INSTANCE, "-location", ROOT, "-grid")
        file = self.lab.host_folder(where) / "grid" / "membership.conf"
        file.write_text(self.lab.membership_file())
        self._bring(where, "client.pem")
        self.admin(
            *("gridCreate", self.name, "-k", str(k), *addresses_of(self.first)),
            *("-membershipConfig", f"{ROOT}/membership.conf"),
            *("-membershipTls", TLS),
            *("-sessionTimeout", str(SESSION_TIMEOUT_S)),
        )

    # -- T03 to T08
    def add_standby(self) -> list[str]:
        """T03."""
        return self.admin("hostCreate", *addresses_of(2), "-like", "host1", "-cascade").splitlines()

    def add_data_hosts(self, groups: dict[int, int]) -> list[str]:
        """T04 for the first, T05 for the others."""
        first, *others = groups
        lines = self.admin(
            "hostCreate", *addresses_of(first), "-dataSpaceGroup", str(groups[first])
        ).splitlines()
        name = host_name(first)
        lines += self.admin("installationCreate", name, "-location", ROOT).splitlines()
        lines += self.admin("instanceCreate", name, "-location", ROOT).splitlines()
        for number in others:
            group = ("-dataSpaceGroup", str(groups[number]))
            more = self.admin(
                "hostCreate", *addresses_of(number), "-like", name, "-cascade", *group
            )
            lines += more.splitlines()
        return lines

    def apply(self) -> str:
        """T08."""
        return self.admin("modelApply", "-parallel", "2")

    # -- T09 to T12
    def define_database(self) -> None:
        """The definition and a connectable, in force."""
        folder = self.lab.host_folder(host_name(self.first)) / "grid"
        (folder / f"{DATABASE}.dbdef").write_text(self.lab.dbdef())
        (folder / f"{DATABASE}client.connect").write_text("ConnectionCharacterSet=AL32UTF8\n")
        self.admin("dbdefCreate", f"{ROOT}/{DATABASE}.dbdef")
        client = f"{ROOT}/{DATABASE}client.connect"
        self.admin("connectableCreate", "-dbdef", DATABASE, "-cs", client)
        self.admin("modelApply")

    def make_database(self) -> None:
        """Definition, elements, map; open."""
        self.define_database()
        self.admin("dbCreate", DATABASE, "-wait", str(WAIT_S))
        self.admin("dbDistribute", DATABASE, "-add", "all", "-apply")
        self.admin("dbOpen", DATABASE, "-wait", str(WAIT_S))

    def make(self, *, standby: bool = True) -> None:
        """From nothing to the open database."""
        with self.step("Building the installation"):
            self.build_software()
        with self.step(f"Starting {len(self.lab.names())} hosts"):
            self.start_hosts()
        with self.step("Membership servers"):
            self.start_membership()
        with self.step("Management instance and grid, K=3"):
            self.create()
        with self.step("The model of 6 data hosts and a standby"):
            if standby:
                self.add_standby()
            self.add_data_hosts(GROUPS)
        with self.step("modelApply: installations, instances, daemons"):
            self.apply()
        with self.step(f"Database {DATABASE}"):
            self.make_database()


def addresses_of(number: int) -> tuple[str, ...]:
    """-internalAddress and -externalAddress of a host."""
    name = host_name(number)
    internal, external = address_of(name, INTERNAL), address_of(name, EXTERNAL)
    return ("-internalAddress", internal, "-externalAddress", external)


def exists(folder: Path) -> bool:
    """Whether there is a lab."""
    return (folder / "hosts").exists()
