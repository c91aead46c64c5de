"""Addresses, ports, folders and files of a grid on one machine. Pure but for `taken_ports`."""

from __future__ import annotations

import errno
import json
import shlex
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from protocol.errors import ParameterError
from protocol.limits import K_MAX

DATABASE = "database1"
GRID = "grid1"
INSTANCE = "instance1"
FIRST_DATA_HOST = 3  # host1 manages, host2 stands by
DATA_MAX = 60
MGMT_PORT = 3754  # with PORT_BASE 6600
DEFAULT_BASE = 6600
SOCKET_PATH_BYTES_MAX = 107  # of a Unix socket's path
PERM_SIZE_MB = 256
SERVERS = (1, 2, 3)


class GridPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One grid."""

    folder: Path  # absolute
    k: int = 2
    data: int = 4  # data instances
    port_base: int = DEFAULT_BASE
    encryption: str = "off"  # "on": TLS between instances and for clients
    standby: str = "off"  # "on": host2 has the standby management instance

    # -- ports and addresses
    @property
    def daemon_port(self) -> int:
        """Of every instance, on its internal address."""
        return self.port_base + 24

    @property
    def cs_port(self) -> int:
        """SQL, on the external address of every data instance."""
        return self.port_base + 25

    @property
    def mgmt_port(self) -> int:
        """The management API."""
        return MGMT_PORT + self.port_base - DEFAULT_BASE

    def hosts(self) -> list[int]:
        """Numbers of the data hosts."""
        return [FIRST_DATA_HOST + index for index in range(self.data)]

    def management_hosts(self) -> list[int]:
        """Numbers of the hosts with a management instance; the first one makes the grid."""
        return [1, 2] if self.standby == "on" else [1]

    def console(self) -> str:
        """Where the first management instance serves it; a standby sends browsers on."""
        scheme = "http" if self.encryption == "off" else "https"
        return f"{scheme}://{internal(1)}:{self.mgmt_port}/console/"

    def external_addresses(self) -> list[str]:
        """Where SQL clients connect."""
        return [external(number) for number in self.hosts()]

    def listeners(self) -> Iterator[tuple[str, str, int]]:
        """(what it is, address, port) of everything that will listen."""
        for number in SERVERS:
            for offset, what in ((80, "client"), (83, "peer"), (86, "election")):
                port = self.port_base + offset + number
                yield f"{what} port of membership server {number}", "127.0.0.1", port
        for number in self.management_hosts():
            yield f"daemonPort of host{number}", internal(number), self.daemon_port
            yield f"mgmtPort of host{number}", internal(number), self.mgmt_port
        for number in self.hosts():
            yield f"daemonPort of host{number}", internal(number), self.daemon_port
            yield f"csPort of host{number}", external(number), self.cs_port

    # -- folders
    def membership_homes(self) -> tuple[Path, ...]:
        """Of the three membership servers."""
        return tuple(self.folder / "membership" / f"membership{number}" for number in SERVERS)

    def membership_tls(self) -> Path:
        """Certificates of the membership servers, when encryption is on."""
        return self.folder / "membership" / "tls"

    def membership_servers(self) -> str:
        """As ttMembership wants them."""
        base = self.port_base
        return ",".join(
            f"127.0.0.1!{base + 80 + n}!{base + 83 + n}!{base + 86 + n}" for n in SERVERS
        )

    def membership_words(self, number: int) -> list[str]:
        """Of `ttMembership create`."""
        location = str(self.folder / "membership")
        words = ["-location", location, "-id", str(number), "-servers", self.membership_servers()]
        return [*words, "-tls", str(self.membership_tls())] if self.encryption == "on" else words

    def management_home(self) -> Path:
        """Of the management instance that makes the grid."""
        return self.management_homes()[0]

    def management_homes(self) -> tuple[Path, ...]:
        """Of the management instances."""
        return tuple(self.folder / f"host{n}" / INSTANCE for n in self.management_hosts())

    def data_homes(self) -> tuple[Path, ...]:
        """Of the data instances."""
        return tuple(self.folder / f"host{number}" / INSTANCE for number in self.hosts())

    def entries(self) -> list[str]:
        """Everything that is made in the folder."""
        hosts = [f"host{number}" for number in (*self.management_hosts(), *self.hosts())]
        files = ["env.sh", "pg_service.conf", "pgpass", "root.crt", *self.files(Path("/"))]
        return ["membership", "install", "databases", *hosts, *files]

    # -- files
    def files(self, installation: Path) -> dict[str, str]:
        """What ttGridRollout needs, by name."""
        attributes = {
            "DataStore": f"{self.folder}/databases/!!INSTANCE_NAME!!/{DATABASE}",
            "DatabaseCharacterSet": "AL32UTF8",
            "PermSize": PERM_SIZE_MB,
            "TempSize": 128,
        }
        settings = {
            "grid_name": GRID,
            "k": self.k,
            "zoo_conf": str(self.membership_homes()[0] / "conf" / "membership.conf"),
            "instance_location": str(self.folder),
            "mgmt_location": str(self.folder / "host1"),
            "install_location": str(installation),
            "dbdef_file": f"{DATABASE}.dbdef",
            "cs_connect_files": f"{DATABASE}client.connect",
            "internal_encryption": "required" if self.encryption == "on" else "off",
            "server_encryption": "accepted" if self.encryption == "on" else "rejected",
        }
        if self.encryption == "on":
            settings["membership_tls"] = str(self.membership_tls())
        management = [
            {
                "host": f"host{number}",
                "instance": INSTANCE,
                "internalAddress": internal(number),
                "externalAddress": external(number),
                "daemonport": self.daemon_port,
                "csport": self.cs_port,
                "mgmtport": self.mgmt_port,
            }
            for number in self.management_hosts()
        ]
        lists = {"mgmt_instances": management, "data_instances": self._data_instances()}
        lines = [f"{key} = {value}" for key, value in settings.items()]
        lines += [f"{key} = {json.dumps(value, indent=2)}" for key, value in lists.items()]
        return {
            f"{DATABASE}.dbdef": "".join(f"{a}={v}\n" for a, v in attributes.items()),
            f"{DATABASE}client.connect": "ConnectionCharacterSet=AL32UTF8\n",
            "rollout.conf": "\n".join(["# Read by ttGridRollout.", *lines]) + "\n",
        }

    def _data_instances(self) -> list[dict[str, object]]:
        return [
            {
                "host": f"host{number}",
                "instance": INSTANCE,
                "internalAddress": internal(number),
                "externalAddress": external(number),
                "dataspacegroup": index % self.k + 1,
                "daemonport": self.daemon_port,
                "csport": self.cs_port,
            }
            for index, number in enumerate(self.hosts())
        ]

    def environment_script(self) -> str:
        """To be sourced by a shell."""
        service = shlex.quote(str(self.folder / "pg_service.conf"))
        script = shlex.quote(str(self.management_home() / "bin" / "ttenv.sh"))
        return (
            f"# Source this file: the tools of this grid, and psql service={DATABASE}.\n"
            f". {script}\nPGSERVICEFILE={service}\nexport PGSERVICEFILE\n"
        )

    def differences(self, other: GridPlan) -> str:
        """In words; "" for none."""
        names = {"k": "K", "data": "DATA", "port_base": "PORT_BASE"}
        names |= {"encryption": "ENCRYPTION", "standby": "STANDBY"}
        return ", ".join(
            f"{name}={getattr(other, field)} (not {getattr(self, field)})"
            for field, name in names.items()
            if getattr(other, field) != getattr(self, field)
        )


def internal(number: int) -> str:
    """Internal address of host<number>."""
    return f"127.0.0.{10 + number}"


def external(number: int) -> str:
    """External address of host<number>."""
    return f"127.0.1.{10 + number}"


def from_environment(environment: Mapping[str, str]) -> GridPlan:
    """The plan that GRID_DIR, K, DATA, PORT_BASE ... ask for. Raises ParameterError."""
    folder = Path(environment.get("GRID_DIR") or ".grid").absolute()
    k = _number(environment, "K", 2, 1, K_MAX)
    data = _number(environment, "DATA", 4, 1, DATA_MAX)
    base = _number(environment, "PORT_BASE", DEFAULT_BASE, 1100, 65000)
    if data % k:
        raise ParameterError(f"DATA={data} is not a multiple of K={k}: every row has K copies")
    plan = GridPlan(
        folder=folder,
        k=k,
        data=data,
        port_base=base,
        encryption=_switch(environment, "ENCRYPTION", "off"),
        standby=_switch(environment, "STANDBY", "on"),
    )
    if not 1024 <= plan.mgmt_port <= 65535:
        raise ParameterError(f"PORT_BASE={base}: the management port would be {plan.mgmt_port}")
    longest = f"{plan.data_homes()[-1]}/info/.s.PGSQL.{plan.cs_port}"
    if len(longest.encode()) > SOCKET_PATH_BYTES_MAX:
        spare = len(longest.encode()) - SOCKET_PATH_BYTES_MAX
        raise ParameterError(
            f"the path {folder} is {spare} bytes too long: Unix sockets are made in it",
            hint="Choose a shorter GRID_DIR.",
        )
    return plan


def taken_ports(plan: GridPlan) -> list[str]:
    """A line per port that something else listens on."""
    lines = []
    for what, address, port in plan.listeners():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                why = "is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
                lines.append(f"{address}:{port} ({what}) {why}")
    return lines


def _switch(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name) or default
    if value not in ("on", "off"):
        raise ParameterError(f"{name}={value}: on or off")
    return value


def _number(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit() or not low <= int(text) <= high:
        raise ParameterError(f"{name}={text}: a number from {low} to {high} is wanted")
    return int(text)
