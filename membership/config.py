"""Settings of a membership server: the file conf/membership.toml of its home. Pure."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import msgspec

CLIENT_PORT = 2181
PEER_PORT = 2888
ELECTION_PORT = 3888
TLS_ROOT_FILE, TLS_SERVER_FILE = "root.crt", "server.pem"  # in conf/tls of a server's home
TICK_MS = 250  # with it a session timeout may be 0.5 to 5 s (2 to 20 ticks)


class BadSettingsError(ValueError):
    """Settings that cannot be; the message names the one."""


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one server of the ensemble listens."""

    id: int  # 1 to 255, unique in the ensemble
    address: str
    client_port: int = CLIENT_PORT
    peer_port: int = PEER_PORT
    election_port: int = ELECTION_PORT


class MembershipServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ZooKeeper server of an ensemble."""

    id: int  # which of `servers` this is
    servers: tuple[ServerAddress, ...]
    tick_ms: int = TICK_MS
    init_limit_ticks: int = 40
    sync_limit_ticks: int = 12
    heap_mb: int = 64
    stop_timeout_s: float = 5.0  # SIGTERM, then SIGKILL
    tls: bool = False  # with the files in conf/tls; membership/tls.py

    @property
    def own(self) -> ServerAddress:
        """The address of this server."""
        return next(server for server in self.servers if server.id == self.id)


def parse_config(text: bytes | str) -> MembershipServerConfig:
    """Settings from TOML. Raises BadSettingsError."""
    try:
        config = msgspec.toml.decode(text, type=MembershipServerConfig)
    except msgspec.DecodeError as problem:
        raise BadSettingsError(str(problem)) from problem
    check(config)
    return config


def load_config(path: Path) -> MembershipServerConfig:
    """Settings from a file. Raises BadSettingsError."""
    try:
        return parse_config(path.read_text())
    except OSError as problem:
        raise BadSettingsError(f"{path}: {problem.strerror}") from problem
    except BadSettingsError as problem:
        raise BadSettingsError(f"{path}: {problem}") from problem


def check(config: MembershipServerConfig) -> None:
    """Raise BadSettingsError for settings that contradict each other."""
    ids = [server.id for server in config.servers]
    if len(set(ids)) != len(ids) or not all(1 <= number <= 255 for number in ids):
        raise BadSettingsError("servers: ids must be unique and from 1 to 255")
    if config.id not in ids:
        raise BadSettingsError(f"id {config.id} is not among the servers {ids}")
    if len(ids) % 2 == 0:
        raise BadSettingsError(f"{len(ids)} servers: an ensemble needs an odd number")
    taken: set[tuple[str, int]] = set()
    for server in config.servers:
        for port in (server.client_port, server.peer_port, server.election_port):
            if not 1 <= port <= 65535:
                raise BadSettingsError(f"server {server.id}: port {port} is not 1 to 65535")
            if (server.address, port) in taken:
                raise BadSettingsError(f"{server.address}:{port} is used twice")
            taken.add((server.address, port))
    if not 16 <= config.heap_mb <= 65536:
        raise BadSettingsError(f"heap_mb {config.heap_mb} is not 16 to 65536")
    if not 50 <= config.tick_ms <= 10_000:
        raise BadSettingsError(f"tick_ms {config.tick_ms} is not 50 to 10000")


def parse_servers(text: str) -> tuple[ServerAddress, ...]:
    """From "host!client[!peer!election],..."; ids are 1, 2, 3 in that order.

    The words are those of TimesTen's membership file, with two more ports. Raises BadSettingsError.
    """
    servers = []
    for number, item in enumerate(text.replace(" ", "").split(","), start=1):
        host, *ports = item.split("!")
        if not host or len(ports) not in (0, 1, 3) or not all(p.isdecimal() for p in ports):
            raise BadSettingsError(f'"{item}" is not HOST!CLIENTPORT[!PEERPORT!ELECTIONPORT]')
        default = (CLIENT_PORT, PEER_PORT, ELECTION_PORT)
        client, peer, election = (*(int(p) for p in ports), *default[len(ports) :])
        servers.append(
            ServerAddress(
                id=number,
                address=host,
                client_port=client,
                peer_port=peer,
                election_port=election,
            )
        )
    return tuple(servers)


def client_file(servers: tuple[ServerAddress, ...]) -> str:
    """The one-line file that `gridCreate -membershipConfig` reads (row MEM-06)."""
    return "Servers " + ",".join(f"{s.address}!{s.client_port}" for s in servers) + "\n"


def render_config(config: MembershipServerConfig) -> str:
    """The TOML text that parse_config reads."""
    lines = [
        f"id = {config.id}",
        f"tick_ms = {config.tick_ms}",
        f"init_limit_ticks = {config.init_limit_ticks}",
        f"sync_limit_ticks = {config.sync_limit_ticks}",
        f"heap_mb = {config.heap_mb}",
        f"stop_timeout_s = {config.stop_timeout_s}",
        f"tls = {str(config.tls).lower()}",
    ]
    for server in config.servers:
        lines += [
            "",
            "[[servers]]",
            f"id = {server.id}",
            f"address = {json.dumps(server.address)}",
            f"client_port = {server.client_port}",
            f"peer_port = {server.peer_port}",
            f"election_port = {server.election_port}",
        ]
    return "\n".join(lines) + "\n"


def is_loopback(address: str) -> bool:
    """Whether an address, as written, is reachable from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
