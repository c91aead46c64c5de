"""A model as the JSON document of modelExport, and back. Pure.

The hierarchy is the one users know: hosts > installations > instances, database definitions >
connectables. Import checks everything a command would have checked.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mgmt.model.names import check_name
from mgmt.model.types import (
    Connectable,
    DatabaseDefinition,
    Host,
    Installation,
    Instance,
    Model,
)
from protocol.errors import ModelError, ParameterError

FORMAT = 1


class _Base(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    pass


class InstanceNode(_Base, frozen=True, kw_only=True):
    """One instance below its installation."""

    name: str
    guid: str
    type: str
    location: str
    daemon_port: int
    cs_port: int
    mgmt_port: int = 0
    comment: str = ""


class InstallationNode(_Base, frozen=True, kw_only=True):
    """One installation below its host."""

    name: str
    guid: str
    location: str
    release: str
    source: str = ""
    comment: str = ""
    instances: tuple[InstanceNode, ...] = ()


class HostNode(_Base, frozen=True, kw_only=True):
    """One host."""

    name: str
    guid: str
    internal_address: str
    external_address: str
    data_space_group: int | None = None
    comment: str = ""
    installations: tuple[InstallationNode, ...] = ()


class ConnectableNode(_Base, frozen=True, kw_only=True):
    """One connectable below its database definition."""

    name: str
    guid: str
    type: str
    only: tuple[str, ...] = ()
    attributes: dict[str, str] = {}


class DatabaseNode(_Base, frozen=True, kw_only=True):
    """One database definition."""

    name: str
    guid: str
    changed_us: int
    attributes: dict[str, str]
    connectables: tuple[ConnectableNode, ...] = ()


class Document(_Base, frozen=True, kw_only=True):
    """The whole file."""

    format: int
    grid: str
    k: int
    version: int
    data_space_groups: tuple[int, ...]
    hosts: tuple[HostNode, ...]
    database_definitions: tuple[DatabaseNode, ...]
    membership_servers: tuple[str, ...]
    repositories: tuple[Any, ...] = ()


def to_text(model: Model, *, grid: str, k: int, version: int) -> str:
    """The JSON text of a version."""
    document = Document(
        format=FORMAT,
        grid=grid,
        k=k,
        version=version,
        data_space_groups=tuple(range(1, model.data_space_groups + 1)),
        hosts=tuple(_host(model, host) for host in model.hosts),
        database_definitions=tuple(_database(model, d) for d in model.databases),
        membership_servers=model.membership_servers,
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _host(model: Model, host: Host) -> HostNode:
    return HostNode(
        name=host.name,
        guid=host.guid,
        internal_address=host.internal_address,
        external_address=host.external_address,
        data_space_group=host.data_space_group or None,
        comment=host.comment,
        installations=tuple(
            InstallationNode(
                name=i.name,
                guid=i.guid,
                location=i.location,
                release=i.release,
                source=i.source,
                comment=i.comment,
                instances=tuple(
                    _instance(x)
                    for x in model.instances_of(host=host.name)
                    if x.installation == i.name
                ),
            )
            for i in model.installations
            if i.host == host.name
        ),
    )


def _instance(instance: Instance) -> InstanceNode:
    return InstanceNode(
        name=instance.name,
        guid=instance.guid,
        type="management" if instance.kind == "mgmt" else "data",
        location=instance.location,
        daemon_port=instance.daemon_port,
        cs_port=instance.cs_port,
        mgmt_port=instance.mgmt_port,
        comment=instance.comment,
    )


def _database(model: Model, definition: DatabaseDefinition) -> DatabaseNode:
    return DatabaseNode(
        name=definition.name,
        guid=definition.guid,
        changed_us=definition.changed_us,
        attributes=dict(definition.attributes),
        connectables=tuple(
            ConnectableNode(
                name=c.name, guid=c.guid, type=c.kind, only=c.only, attributes=dict(c.attributes)
            )
            for c in model.connectables
            if c.database == definition.name
        ),
    )


def from_text(text: str) -> tuple[Model, Document]:
    """The model in a document. Raises ParameterError, or ModelError when it contradicts itself."""
    try:
        document = msgspec.json.decode(text, type=Document)
    except msgspec.MsgspecError as error:
        raise ParameterError(f"this is not an exported model: {error}") from error
    if document.format != FORMAT:
        raise ParameterError(f"the file has format {document.format}; this release reads {FORMAT}")
    model = Model(
        data_space_groups=document.k,
        hosts=tuple(_host_back(h) for h in document.hosts),
        installations=tuple(
            Installation(
                host=h.name,
                name=i.name,
                guid=i.guid,
                location=i.location,
                release=i.release,
                source=i.source,
                comment=i.comment,
            )
            for h in document.hosts
            for i in h.installations
        ),
        instances=tuple(
            _instance_back(h.name, i.name, x)
            for h in document.hosts
            for i in h.installations
            for x in i.instances
        ),
        databases=tuple(
            DatabaseDefinition(
                name=d.name,
                guid=d.guid,
                changed_us=d.changed_us,
                attributes=tuple(d.attributes.items()),
            )
            for d in document.database_definitions
        ),
        connectables=tuple(
            _connectable_back(d.name, c)
            for d in document.database_definitions
            for c in d.connectables
        ),
        membership_servers=document.membership_servers,
    )
    _check(model)
    return model, document


def is_faithful(read: Model, written: Model) -> bool:
    """Did hosts and instances come back as they were written?

    The document has instances below their hosts, so those of several hosts may change places.
    """
    before, after = (sorted(m.instances, key=lambda i: i.full_name) for m in (written, read))
    return before == after and read.hosts == written.hosts


def _host_back(node: HostNode) -> Host:
    return Host(
        name=node.name,
        guid=node.guid,
        internal_address=node.internal_address,
        external_address=node.external_address,
        data_space_group=node.data_space_group or 0,
        comment=node.comment,
    )


def _instance_back(host: str, installation: str, node: InstanceNode) -> Instance:
    if node.type not in ("data", "management"):
        raise ParameterError(f"instance {host}.{node.name}: unknown type {node.type}")
    return Instance(
        host=host,
        name=node.name,
        guid=node.guid,
        kind="mgmt" if node.type == "management" else "data",
        installation=installation,
        location=node.location,
        daemon_port=node.daemon_port,
        cs_port=node.cs_port,
        mgmt_port=node.mgmt_port,
        comment=node.comment,
    )


def _connectable_back(database: str, node: ConnectableNode) -> Connectable:
    if node.type not in ("direct", "cs"):
        raise ParameterError(f"connectable {node.name}: unknown type {node.type}")
    return Connectable(
        name=node.name,
        guid=node.guid,
        database=database,
        kind="cs" if node.type == "cs" else "direct",
        only=node.only,
        attributes=tuple(node.attributes.items()),
    )


def _check(model: Model) -> None:
    named: list[tuple[str, list[str]]] = [
        ("host", [h.name for h in model.hosts]),
        ("installation", [f"{i.host}.{i.name}" for i in model.installations]),
        ("instance", [i.full_name for i in model.instances]),
        ("database definition", [d.name.lower() for d in model.databases]),
        ("connectable", [c.name for c in model.connectables]),
        ("internal address", [h.internal_address for h in model.hosts]),
    ]
    for kind, names in named:
        if len(set(names)) != len(names):
            raise ModelError(f"the imported model has two objects with the same {kind}")
        for name in names:
            if kind != "internal address":
                for part in name.split("."):
                    check_name(part, kind)
    for host in model.hosts:
        if not 0 <= host.data_space_group <= model.data_space_groups:
            raise ModelError(f"host {host.name}: no data space group {host.data_space_group}")
        if model.instances_of("data", host.name) and not host.data_space_group:
            raise ModelError(f"host {host.name} has a data instance but no data space group")
    if not model.membership_servers:
        raise ModelError("the imported model has no membership servers")
