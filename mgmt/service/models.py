"""modelList, modelExport, modelImport, modelCompare, modelDelete, and the membership file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from mgmt.api import schema
from mgmt.model import attributes, compare, document, versions
from mgmt.model.membership_file import parse_membership
from mgmt.model.types import DatabaseDefinition, Model
from mgmt.service.connectables import WHAT, check_only
from mgmt.service.context import Edit, Management
from mgmt.service.hosts import check_addresses, check_management_count
from mgmt.service.installations import check_location
from mgmt.service.instances import check_ports
from protocol.errors import ModelError

T = TypeVar("T")


def rows(management: Management) -> schema.ModelListReply:
    """modelList."""
    register = management.models.versions
    return schema.ModelListReply(
        versions=tuple(
            schema.ModelVersionRow(
                version=entry.number,
                state=register.state_of(entry.number),
                created_us=entry.created_us,
                applied_us=entry.applied_us,
            )
            for entry in register.entries
        )
    )


def export(management: Management, choice: schema.VersionChoice) -> schema.TextFile:
    """modelExport."""
    number = management.models.number_of(choice)
    grid = management.models.grid
    model = management.models.get(number)
    text = document.to_text(model, grid=grid.name, k=grid.k, version=number)
    return schema.TextFile(text=text, messages=(f"Model version {number} exported to {{file}}",))


def import_model(management: Management, request: schema.ModelImport) -> schema.TextFile:
    """modelImport; with script the commands only."""
    model, _ = document.from_text(request.text)
    latest = management.models.latest()
    if model.data_space_groups != management.models.grid.k:
        raise ModelError(
            f"the imported model is of a grid with K={model.data_space_groups},"
            f" this one has K={management.models.grid.k}"
        )
    if request.script:
        text = compare.script(latest, model)
        return schema.TextFile(text=text, messages=("Script {file} written",))
    check_parts(latest, model, k=management.models.grid.k)
    _check_import(management, latest, model)
    lines = management.models.edit(lambda _: (model, ("Model imported",)))
    return schema.TextFile(text="", messages=lines)


def _check_import(management: Management, latest: Model, model: Model) -> None:
    """What single commands would refuse, an import must refuse too."""
    if model.instance(management.settings.name) is None:
        raise ModelError(
            f"the imported model lacks {management.settings.name}, the active management instance"
        )
    for instance in latest.instances:
        if model.instance(instance.full_name) is None:
            management.guard("instanceDelete", instance.full_name)
    for definition in latest.databases:
        if model.database(definition.name) is None:
            management.guard("dbdefDelete", definition.name)
    for definition in latest.databases:
        new_definition = model.database(definition.name)
        if new_definition is not None and attributes.changed_data_store(
            definition.attributes, new_definition.attributes
        ):
            management.guard("dbdefModify", definition.name)
    check_fixed(management.models.current(), model)


def check_fixed(current: Model, model: Model) -> None:
    """What no command changes once it was applied. Pure. Raises ModelError."""
    for installation in current.installations:
        same = model.installation(installation.host, installation.name)
        if same is not None and same.location != installation.location:
            place = f"{installation.host}.{installation.name}"
            raise ModelError(f"the location of installation {place} can never change")
    for instance in current.instances:
        other = model.instance(instance.full_name)
        if other is not None and other.location != instance.location:
            raise ModelError(f"the location of instance {instance.full_name} can never change")
        if other is not None and other.kind != instance.kind:
            raise ModelError(f"the type of instance {instance.full_name} can never change")
    for host in current.hosts:
        new = model.host(host.name)
        if new is None:
            continue
        if (new.internal_address, new.external_address) != (
            host.internal_address,
            host.external_address,
        ):
            raise ModelError(f"the addresses of host {host.name} can never change")
        if host.data_space_group and new.data_space_group != host.data_space_group:
            raise ModelError(f"the data space group of host {host.name} was applied")


def check_parts(latest: Model, model: Model, *, k: int) -> None:
    """Each object that is new or not as before, as the command that makes it checks it. Pure."""
    for host in _new(model.hosts, latest.hosts):
        check_addresses(host)
    for installation in _new(model.installations, latest.installations):
        check_location(installation.location)
    managers = msgspec.structs.replace(model, instances=())
    for instance in model.instances:
        check_management_count(managers, instance)
        managers = msgspec.structs.replace(managers, instances=(*managers.instances, instance))
    for instance in _new(model.instances, latest.instances):
        check_location(instance.location)
        check_ports(model, instance)
    for definition in _new(model.databases, latest.databases):
        _check_attributes(definition.attributes, f"database definition {definition.name}")
        attributes.check_database(definition.attributes, name=definition.name, k=k)
    for definition in model.databases:
        _check_default_connectable(model, definition)
    for connectable in _new(model.connectables, latest.connectables):
        _check_attributes(connectable.attributes, f"{WHAT} {connectable.name}")
        attributes.check_connectable(connectable.attributes, name=connectable.name)
        check_only(model, connectable.only)
    parse_membership(f"Servers {','.join(model.membership_servers)}")


def _new(objects: Sequence[T], before: Sequence[T]) -> list[T]:
    return [each for each in objects if each not in before]


def _check_attributes(found: attributes.Attributes, where: str) -> None:
    if len({attribute.lower() for attribute, _ in found}) != len(found):
        raise ModelError(f"{where}: an attribute is given twice")
    for attribute, value in found:
        attributes.check_value(attribute, value, where)


def _check_default_connectable(model: Model, definition: DatabaseDefinition) -> None:
    own = model.connectable(definition.name)
    if own is None or own.kind != "direct" or own.database != definition.name:
        raise ModelError(f"database definition {definition.name} lacks its direct connectable")


def compare_models(
    management: Management, request: schema.ModelCompare
) -> schema.ModelCompareReply:
    """modelCompare."""
    left, right = (_side(management, side) for side in (request.left, request.right))
    return schema.ModelCompareReply(
        differences=tuple(
            schema.Difference(change=d.change, kind=d.kind, name=d.name, details=d.details)
            for d in compare.compare(left, right)
        )
    )


def _side(management: Management, side: schema.ModelSide) -> Model:
    if side.text:
        return document.from_text(side.text)[0]
    return management.models.chosen(side.version)


def delete(management: Management, number: int) -> schema.Done:
    """modelDelete."""
    versions.check_writable(management.models.versions)
    management.models.delete(number)
    return schema.Done(messages=(f"Model version {number} deleted",))


def import_membership(
    management: Management, request: schema.MembershipConfigImport
) -> schema.Done:
    """membershipConfigImport."""
    servers = parse_membership(request.text)

    def change(model: Model) -> Edit:
        lines = (f"Membership configuration file {request.file} imported",)
        return msgspec.structs.replace(model, membership_servers=servers), lines

    return schema.Done(messages=management.models.edit(change))


def export_membership(model: Model) -> schema.TextFile:
    """membershipConfigExport."""
    return schema.TextFile(
        text=f"Servers {','.join(model.membership_servers)}\n",
        messages=("Membership configuration exported to {file}",),
    )
