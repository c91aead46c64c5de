"""Instances in the model, and which of them are members."""

from __future__ import annotations

from typing import cast

import msgspec

from mgmt.api import schema
from mgmt.model.names import check_name, host_of, instance_at
from mgmt.model.types import Host, Instance, InstanceKind, Model
from mgmt.service.context import Edit, Management
from mgmt.service.hosts import check_management_count, needs_group, new_guid
from mgmt.service.installations import check_location
from protocol.errors import (
    DuplicateModelObjectError,
    ModelError,
    ParameterError,
    UnknownModelObjectError,
)


def create(management: Management, request: schema.InstanceCreate) -> schema.Done:
    """instanceCreate."""
    return schema.Done(messages=management.models.edit(lambda m: added(m, request)))


def added(model: Model, request: schema.InstanceCreate) -> Edit:
    """The model with the instance."""
    host = host_of(model, request.host)
    check_name(request.name, "instance")
    if request.kind not in ("data", "mgmt"):
        raise ParameterError(f"-type {request.kind}: use data or management")
    if model.instance(f"{host.name}.{request.name}"):
        raise DuplicateModelObjectError(
            f"instance {request.name} on host {host.name} exists already"
        )
    check_location(request.location)
    instance = Instance(
        host=host.name,
        name=request.name,
        guid=new_guid(),
        kind=cast(InstanceKind, request.kind),
        installation=_installation(model, host, request.installation),
        location=request.location.rstrip("/") or "/",
        daemon_port=request.daemon_port,
        cs_port=request.cs_port,
        mgmt_port=request.mgmt_port if request.kind == "mgmt" else 0,
        comment=request.comment,
    )
    if instance.kind == "data" and not host.data_space_group:
        raise needs_group(host)
    check_management_count(model, instance)
    changed = msgspec.structs.replace(model, instances=(*model.instances, instance))
    check_ports(changed, instance)
    return changed, (f"Instance {instance.name} on Host {host.name} created in Model",)


def _installation(model: Model, host: Host, name: str) -> str:
    found = [i.name for i in model.installations if i.host == host.name]
    if name:
        if name not in found:
            raise UnknownModelObjectError(f"host {host.name} has no installation {name}")
        return name
    if not found:
        raise ModelError(
            f"host {host.name} has no installation",
            hint=f"Create one first: ttGridAdmin installationCreate {host.name} -location PATH",
        )
    if len(found) > 1:
        raise ModelError(
            f"host {host.name} has {len(found)} installations: name one with -installation"
        )
    return found[0]


def check_ports(model: Model, instance: Instance) -> None:
    """Raises on ports out of range, or taken by an instance of the same host."""
    ports = _ports(instance)
    for option, port in ports.items():
        if not 1 <= port <= 65535:
            raise ParameterError(f"-{option} {port}: a port is 1 to 65535")
    if len(set(ports.values())) != len(ports):
        raise ParameterError(f"instance {instance.full_name}: its ports must differ")
    for other in model.instances_of(host=instance.host):
        if other.name == instance.name:
            continue
        for option, port in ports.items():
            if port in _ports(other).values():
                raise ModelError(
                    f"port {port} on host {instance.host} is taken by instance {other.name}",
                    hint=f"Choose another -{option}.",
                )


def _ports(instance: Instance) -> dict[str, int]:
    ports = {"daemonPort": instance.daemon_port, "csPort": instance.cs_port}
    if instance.kind == "mgmt":
        ports["mgmtPort"] = instance.mgmt_port
    return ports


def modify(management: Management, request: schema.InstanceModify) -> schema.Done:
    """instanceModify."""

    def change(model: Model) -> Edit:
        old = instance_at(model, request.address)
        host = host_of(model, old.host)
        new = msgspec.structs.replace(
            old,
            daemon_port=_or(request.daemon_port, old.daemon_port),
            cs_port=_or(request.cs_port, old.cs_port),
            mgmt_port=_or(request.mgmt_port, old.mgmt_port) if old.kind == "mgmt" else 0,
            comment=old.comment if request.comment is None else request.comment,
            installation=old.installation
            if request.installation is None
            else _installation(model, host, request.installation),
        )
        check_ports(model, new)
        instances = tuple(new if i is old else i for i in model.instances)
        lines = (f"Instance {old.name} on Host {old.host} modified in Model",)
        return msgspec.structs.replace(model, instances=instances), lines

    return schema.Done(messages=management.models.edit(change))


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def delete(management: Management, request: schema.InstanceDelete) -> schema.Done:
    """instanceDelete; refused while its elements are in a distribution map."""
    gone = instance_at(management.models.latest(), request.address)
    if gone.full_name == management.settings.name:
        raise ModelError(f"{gone.full_name} is the active management instance")
    management.guard("instanceDelete", gone.full_name)

    def change(model: Model) -> Edit:
        instances = tuple(i for i in model.instances if i.full_name != gone.full_name)
        lines = (f"Instance {gone.name} on Host {gone.host} deleted from Model",)
        return msgspec.structs.replace(model, instances=instances), lines

    return schema.Done(messages=management.models.edit(change))


def rows(model: Model, kind: str) -> schema.InstanceListReply:
    """instanceList."""
    return schema.InstanceListReply(
        instances=tuple(
            schema.InstanceRow(
                host=i.host,
                name=i.name,
                kind=i.kind,
                home=i.home,
                daemon_port=i.daemon_port,
                cs_port=i.cs_port,
                mgmt_port=i.mgmt_port,
                installation=i.installation,
                comment=i.comment,
            )
            for i in model.instances
            if kind in ("all", i.kind)
        )
    )


def status(management: Management, kind: str) -> schema.InstanceStatusReply:
    """instanceStatus: the current model against the membership service."""
    model = management.models.current()
    nodes = []
    for host in model.hosts:
        installations = []
        for installation in model.installations:
            if installation.host != host.name:
                continue
            members = tuple(
                _status_row(management, i)
                for i in model.instances_of(host=host.name)
                if i.installation == installation.name and kind in ("all", i.kind)
            )
            installations.append(
                schema.InstallationStatusNode(
                    name=installation.name,
                    location=installation.path,
                    release=installation.release,
                    instances=members,
                )
            )
        nodes.append(
            schema.HostStatusNode(
                name=host.name,
                internal_address=host.internal_address,
                external_address=host.external_address,
                installations=tuple(installations),
            )
        )
    return schema.InstanceStatusReply(hosts=tuple(nodes))


def _status_row(management: Management, instance: Instance) -> schema.InstanceStatusRow:
    info = None
    if management.membership is not None:
        view = management.membership.view()
        info = view.instances.get(instance.full_name)
        if info is not None and info.incarnation in view.dead:
            info = None
    return schema.InstanceStatusRow(
        name=instance.name,
        guid=instance.guid,
        instance_type="management" if instance.kind == "mgmt" else "data",
        instance_home=instance.home,
        daemon_port=instance.daemon_port,
        cs_port=instance.cs_port,
        mgmt_port=instance.mgmt_port,
        member=info is not None,
        incarnation=info.incarnation if info else "",
        version=info.version if info else "",
    )
