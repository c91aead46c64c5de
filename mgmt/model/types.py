"""The objects of the grid model as frozen values. No I/O."""

from __future__ import annotations

from typing import Literal

import msgspec

InstanceKind = Literal["data", "mgmt"]
ConnectableKind = Literal["direct", "cs"]


class GridFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What gridCreate fixed and gridModify may change; not part of the model's versions."""

    name: str
    grid_id: str
    k: int
    created_us: int
    release: str
    admin_user: str
    admin_uid: int
    admin_group: str
    admin_gid: int
    retain_days: int = 30
    retain_versions: int = 10
    warn_threshold_pct: int = 90
    mgmt_failover: str = "automatic"  # or "manual": a standby becomes active only by command
    replace_after_s: int = 0  # a data instance dead for so long is replaced by a spare; 0: never
    internal_encryption: str = "off"  # "required" | "off", for ever
    server_encryption: str = "rejected"  # "accepted" | "rejected" | "requested" | "required"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A machine. Name and addresses never change."""

    name: str
    guid: str
    internal_address: str
    external_address: str
    data_space_group: int = 0  # 1..K; 0: none
    comment: str = ""


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """The software of one release on a host. `location` may hold !!HOST_NAME!!."""

    host: str
    name: str
    guid: str
    location: str  # the directory that holds, or is, tengrid-<version>
    release: str
    source: str = ""
    comment: str = ""

    @property
    def path(self) -> str:
        """The installation's own directory."""
        location = expand(self.location, host=self.host)
        last = location.rstrip("/").rsplit("/", 1)[-1]
        is_itself = last.startswith("tengrid-") or last in (".venv", "venv")
        return location if is_itself else f"{location}/tengrid-{self.release}"


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A management or data instance. `location` may hold !!HOST_NAME!!."""

    host: str
    name: str
    guid: str
    kind: InstanceKind
    installation: str
    location: str
    daemon_port: int
    cs_port: int
    mgmt_port: int = 0  # management only
    comment: str = ""

    @property
    def full_name(self) -> str:
        """As users write it: host3.instance1."""
        return f"{self.host}.{self.name}"

    @property
    def home(self) -> str:
        """Absolute path of the instance home."""
        return f"{expand(self.location, host=self.host, instance=self.name)}/{self.name}"


class DatabaseDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A .dbdef file: attributes in the order and spelling of the file."""

    name: str
    guid: str
    changed_us: int
    attributes: tuple[tuple[str, str], ...]

    def get(self, attribute: str, default: str = "") -> str:
        """The value of an attribute; names are case-insensitive."""
        wanted = attribute.lower()
        return next((v for name, v in self.attributes if name.lower() == wanted), default)


class Connectable(msgspec.Struct, frozen=True, kw_only=True):
    """A named way to connect to a database."""

    name: str
    guid: str
    database: str
    kind: ConnectableKind
    only: tuple[str, ...] = ()  # full instance names; empty: all data instances
    attributes: tuple[tuple[str, str], ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the grid model. The order of objects is the order of their creation."""

    data_space_groups: int
    hosts: tuple[Host, ...] = ()
    installations: tuple[Installation, ...] = ()
    instances: tuple[Instance, ...] = ()
    databases: tuple[DatabaseDefinition, ...] = ()
    connectables: tuple[Connectable, ...] = ()
    membership_servers: tuple[str, ...] = ()  # "address!port"

    def host(self, name: str) -> Host | None:
        """The host of that name."""
        return next((host for host in self.hosts if host.name == name), None)

    def instances_of(self, kind: InstanceKind | None = None, host: str = "") -> list[Instance]:
        """Instances, filtered by kind and host where given."""
        return [
            instance
            for instance in self.instances
            if kind in (None, instance.kind) and host in ("", instance.host)
        ]

    def instance(self, full_name: str) -> Instance | None:
        """The instance with that full name."""
        return next((i for i in self.instances if i.full_name == full_name), None)

    def installation(self, host: str, name: str) -> Installation | None:
        """An installation by host and name."""
        return next((i for i in self.installations if (i.host, i.name) == (host, name)), None)

    def database(self, name: str) -> DatabaseDefinition | None:
        """A database definition; names match whatever the case."""
        return next((d for d in self.databases if d.name.lower() == name.lower()), None)

    def connectable(self, name: str) -> Connectable | None:
        """A connectable by name."""
        return next((c for c in self.connectables if c.name == name), None)


def expand(text: str, *, host: str, instance: str = "") -> str:
    """Replace !!HOST_NAME!! and !!INSTANCE_NAME!! (which stands for host.instance).

    The same marks serve in DataStore and LogDir, so that one path fits every instance.
    """
    full_name = f"{host}.{instance}" if instance else host
    return text.replace("!!HOST_NAME!!", host).replace("!!INSTANCE_NAME!!", full_name)
