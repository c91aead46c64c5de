"""Installations in the model, and which of them are in place."""

from __future__ import annotations

import msgspec

from mgmt.api import schema
from mgmt.model.names import check_name, host_of, installation_at
from mgmt.model.types import Installation, Model
from mgmt.service.context import Edit, Management
from mgmt.service.hosts import new_guid
from mgmt.transport.installation import split_source
from protocol.errors import DuplicateModelObjectError, ModelError, ParameterError


def create(management: Management, request: schema.InstallationCreate) -> schema.Done:
    """installationCreate."""
    split_source(request.source)
    return schema.Done(
        messages=management.models.edit(lambda m: added(m, request, management.software))
    )


def added(model: Model, request: schema.InstallationCreate, release: str) -> Edit:
    """The model with the installation."""
    host = host_of(model, request.host)
    check_name(request.name, "installation")
    if model.installation(host.name, request.name):
        raise DuplicateModelObjectError(
            f"installation {request.name} on host {host.name} exists already"
        )
    check_location(request.location)
    installation = Installation(
        host=host.name,
        name=request.name,
        guid=new_guid(),
        location=request.location.rstrip("/") or "/",
        release=release,
        source=request.source,
        comment=request.comment,
    )
    changed = msgspec.structs.replace(model, installations=(*model.installations, installation))
    return changed, (f"Installation {request.name} on Host {host.name} created in Model",)


def check_location(location: str) -> None:
    """Raises ParameterError unless it is an absolute path."""
    if not location.startswith("/"):
        raise ParameterError(f"-location {location}: an absolute path is needed")


def delete(management: Management, request: schema.InstallationDelete) -> schema.Done:
    """installationDelete."""
    return schema.Done(messages=management.models.edit(lambda m: removed(m, request.address)))


def removed(model: Model, address: str) -> Edit:
    """The model without the installation. Raises ModelError while an instance uses it."""
    gone = installation_at(model, address)
    users = [
        i.full_name for i in model.instances if (i.host, i.installation) == (gone.host, gone.name)
    ]
    if users:
        raise ModelError(
            f"installation {gone.name} on host {gone.host} is used by {', '.join(users)}",
            hint="Delete the instances first, or move them with instanceModify -installation.",
        )
    changed = msgspec.structs.replace(
        model, installations=tuple(i for i in model.installations if i is not gone)
    )
    return changed, (f"Installation {gone.name} on Host {gone.host} deleted from Model",)


def rows(model: Model) -> schema.InstallationListReply:
    """installationList."""
    return schema.InstallationListReply(
        installations=tuple(
            schema.InstallationRow(
                host=i.host,
                name=i.name,
                location=i.path,
                comment=i.comment,
                instances=tuple(
                    x.name for x in model.instances if (x.host, x.installation) == (i.host, i.name)
                ),
            )
            for i in model.installations
        )
    )


def status(management: Management) -> schema.InstallationStatusReply:
    """installationStatus: what modelApply put in place; DelPend when the model lost it."""
    latest = management.models.latest()
    found = []
    for placed in management.placed.installations().values():
        wanted = latest.installation(placed.host.name, placed.name)
        found.append(
            schema.InstallationStatusRow(
                host=placed.host.name,
                name=placed.name,
                usable=placed.usable,
                delete_pending=wanted is None,
                message=placed.message,
                when_us=placed.when_us,
            )
        )
    return schema.InstallationStatusReply(installations=tuple(found))
