"""Hosts in the model. The edits are pure: a model and a request make the next model."""

from __future__ import annotations

import uuid

import msgspec

from mgmt.api import schema
from mgmt.model.names import check_address, check_name, host_of
from mgmt.model.types import Host, Installation, Instance, Model
from mgmt.service.context import Edit, Management
from protocol.errors import DuplicateModelObjectError, ModelError, ParameterError


def new_guid() -> str:
    """A new identity for a model object."""
    return uuid.uuid4().hex.upper()


async def create(management: Management, request: schema.HostCreate) -> schema.Done:
    """hostCreate; without a name the host is asked for its own."""
    check_addresses(request)
    name = request.name
    if not name:
        probe = Host(
            name="",
            guid="",
            internal_address=request.internal_address,
            external_address=request.external_address,
        )
        name = await management.transports.to(probe).host_name()
    check_name(name, "host")
    return schema.Done(messages=management.models.edit(lambda m: added(m, name, request)))


def check_addresses(host: Host | schema.HostCreate | schema.GridCreate) -> None:
    """Raises ParameterError unless both can be addresses."""
    check_address(host.internal_address, "internalAddress")
    check_address(host.external_address, "externalAddress")


def added(model: Model, name: str, request: schema.HostCreate) -> Edit:
    """The model with the host, and with cascade its installations and instances."""
    if model.host(name):
        raise DuplicateModelObjectError(
            f"host {name} exists already",
            hint="Give the new host a name: hostCreate NAME ...",
        )
    for other in model.hosts:
        if other.internal_address == request.internal_address:
            raise DuplicateModelObjectError(
                f"internal address {request.internal_address} is that of host {other.name}"
            )
    like = host_of(model, request.like) if request.like else None
    group = request.data_space_group
    if group is None:
        group = like.data_space_group if like else 0
    comment = request.comment
    if comment is None:
        comment = like.comment if like else ""
    check_group(model, group)
    host = Host(
        name=name,
        guid=new_guid(),
        internal_address=request.internal_address,
        external_address=request.external_address,
        data_space_group=group,
        comment=comment,
    )
    model = msgspec.structs.replace(model, hosts=(*model.hosts, host))
    lines = [f"Host {name} created in Model"]
    if like is not None and request.cascade:
        model, more = _cascaded(model, like, host)
        lines += more
    return model, tuple(lines)


def _cascaded(model: Model, like: Host, host: Host) -> tuple[Model, list[str]]:
    replace = msgspec.structs.replace
    installations: list[Installation] = [
        replace(i, host=host.name, guid=new_guid())
        for i in model.installations
        if i.host == like.name
    ]
    instances: list[Instance] = [
        replace(i, host=host.name, guid=new_guid()) for i in model.instances_of(host=like.name)
    ]
    for instance in instances:
        check_management_count(model, instance)
        if instance.kind == "data" and not host.data_space_group:
            raise needs_group(host)
    lines = [f"Installation {i.name} created in Model" for i in installations]
    lines += [f"Instance {i.name} created in Model" for i in instances]
    changed = replace(
        model,
        installations=(*model.installations, *installations),
        instances=(*model.instances, *instances),
    )
    return changed, lines


def check_group(model: Model, group: int) -> None:
    """Raises ParameterError unless it is 0 or one of the K groups."""
    if not 0 <= group <= model.data_space_groups:
        raise ParameterError(
            f"data space group {group} does not exist: there are 1 to {model.data_space_groups}"
        )


def check_management_count(model: Model, instance: Instance) -> None:
    """Raises ModelError for a third management instance."""
    if instance.kind == "mgmt" and len(model.instances_of("mgmt")) >= 2:
        raise ModelError("a grid has at most two management instances: cannot add a third")


def needs_group(host: Host) -> ModelError:
    """The error for a data instance on a host without group."""
    return ModelError(
        f"host {host.name} has no data space group and cannot hold a data instance",
        hint=f"ttGridAdmin hostModify {host.name} -dataSpaceGroup N assigns it to one.",
    )


def modify(management: Management, request: schema.HostModify) -> schema.Done:
    """hostModify."""
    current = management.models.current().host(request.name)

    def change(model: Model) -> Edit:
        host = host_of(model, request.name)
        if request.data_space_group is not None:
            check_group(model, request.data_space_group)
            was_applied = current is not None and current.data_space_group
            if was_applied and request.data_space_group != host.data_space_group:
                raise ModelError(
                    f"the data space group of host {host.name} was applied and cannot change",
                    hint="Replace the host by a new one in the other group.",
                )
            if not request.data_space_group and model.instances_of("data", host.name):
                raise needs_group(host)
            host = msgspec.structs.replace(host, data_space_group=request.data_space_group)
        if request.comment is not None:
            host = msgspec.structs.replace(host, comment=request.comment)
        hosts = tuple(host if h.name == host.name else h for h in model.hosts)
        lines = (f"Host {host.name} modified in Model",)
        return msgspec.structs.replace(model, hosts=hosts), lines

    return schema.Done(messages=management.models.edit(change))


def delete(management: Management, request: schema.HostDelete) -> schema.Done:
    """hostDelete."""
    latest = management.models.latest()
    host_of(latest, request.name)
    for instance in latest.instances_of(host=request.name):
        management.guard("instanceDelete", instance.full_name)
    return schema.Done(
        messages=management.models.edit(
            lambda model: removed(model, request, own=management.settings.name)
        )
    )


def removed(model: Model, request: schema.HostDelete, *, own: str) -> Edit:
    """The model without the host. Raises ModelError when something stands below it."""
    name = host_of(model, request.name).name
    instances = model.instances_of(host=name)
    installations = [i for i in model.installations if i.host == name]
    if (instances or installations) and not request.cascade:
        raise ModelError(
            f"host {name} has {len(installations)} installations and {len(instances)} instances",
            hint="Delete them first, or use -cascade.",
        )
    if any(instance.full_name == own for instance in instances):
        raise ModelError(f"host {name} carries the active management instance")
    lines = [f"Instance {i.name} on Host {name} deleted from Model" for i in instances]
    lines += [f"Installation {i.name} on Host {name} deleted from Model" for i in installations]
    lines.append(f"Host {name} deleted from Model")
    changed = msgspec.structs.replace(
        model,
        hosts=tuple(h for h in model.hosts if h.name != name),
        installations=tuple(i for i in model.installations if i.host != name),
        instances=tuple(i for i in model.instances if i.host != name),
    )
    return changed, tuple(lines)


def rows(model: Model) -> schema.HostListReply:
    """hostList."""
    return schema.HostListReply(
        hosts=tuple(
            schema.HostRow(
                name=h.name,
                internal_address=h.internal_address,
                external_address=h.external_address,
                data_space_group=h.data_space_group,
                comment=h.comment,
            )
            for h in model.hosts
        )
    )
