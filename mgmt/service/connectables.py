"""Connectables in the model, and the file of all of them for clients."""

from __future__ import annotations

import random

import msgspec

from mgmt.api import schema
from mgmt.model import attributes
from mgmt.model.names import check_name, instance_at
from mgmt.model.types import Connectable, Instance, Model
from mgmt.service.context import Edit, Management
from mgmt.service.dbdefs import definition_of
from mgmt.service.hosts import new_guid
from protocol.errors import (
    DuplicateModelObjectError,
    ModelError,
    ParameterError,
    UnknownModelObjectError,
)

WHAT = "connectable"


def create(management: Management, request: schema.ConnectableCreate) -> schema.Done:
    """connectableCreate."""
    check_name(request.name, WHAT)
    found = attributes.parse(request.text, name=request.name, what=WHAT)
    attributes.check_connectable(found, name=request.name)

    def change(model: Model) -> Edit:
        if model.connectable(request.name):
            raise DuplicateModelObjectError(f"connectable {request.name} exists already")
        connectable = Connectable(
            name=request.name,
            guid=new_guid(),
            database=definition_of(model, request.database).name,
            kind="cs" if request.client_server else "direct",
            only=check_only(model, request.only),
            attributes=found,
        )
        changed = msgspec.structs.replace(model, connectables=(*model.connectables, connectable))
        return changed, (f"Connectable {request.name} created.",)

    return schema.Done(messages=management.models.edit(change))


def check_only(model: Model, names: tuple[str, ...]) -> tuple[str, ...]:
    """The data instances by their full names. Raises ParameterError, UnknownModelObjectError."""
    found = []
    for name in names:
        instance = instance_at(model, name)
        if instance.kind != "data":
            raise ParameterError(f"-only {name}: {instance.full_name} is not a data instance")
        found.append(instance.full_name)
    return tuple(dict.fromkeys(found))


def modify(management: Management, request: schema.ConnectableModify) -> schema.Done:
    """connectableModify."""
    found = attributes.parse(request.text, name=request.name, what=WHAT)
    attributes.check_connectable(found, name=request.name)

    def change(model: Model) -> Edit:
        old = connectable_of(model, request.name)
        only = check_only(model, request.only) if request.only else old.only
        new = msgspec.structs.replace(old, attributes=found, only=only)
        connectables = tuple(new if c is old else c for c in model.connectables)
        lines = (f"Connectable {old.name} modified.",)
        return msgspec.structs.replace(model, connectables=connectables), lines

    return schema.Done(messages=management.models.edit(change))


def delete(management: Management, request: schema.ConnectableDelete) -> schema.Done:
    """connectableDelete."""

    def change(model: Model) -> Edit:
        gone = connectable_of(model, request.name)
        if gone.kind == "direct" and gone.name == gone.database:
            raise ModelError(
                f"connectable {gone.name} belongs to its database definition",
                hint=f"ttGridAdmin dbdefDelete {gone.database} deletes both.",
            )
        connectables = tuple(c for c in model.connectables if c is not gone)
        lines = (f"Connectable {gone.name} deleted.",)
        return msgspec.structs.replace(model, connectables=connectables), lines

    return schema.Done(messages=management.models.edit(change))


def export(model: Model, name: str) -> schema.TextFile:
    """connectableExport."""
    found = connectable_of(model, name)
    comment = f"Connectable GUID {found.guid} of database {found.database}"
    text = attributes.render(found.attributes, name=found.name, comment=comment)
    return schema.TextFile(text=text, messages=(f"Connectable {found.name} exported to {{file}}",))


def rows(model: Model) -> schema.ConnectableListReply:
    """connectableList."""
    return schema.ConnectableListReply(
        connectables=tuple(
            schema.ConnectableRow(name=c.name, database=c.database, kind=c.kind, only=c.only)
            for c in model.connectables
        )
    )


def connectable_of(model: Model, name: str) -> Connectable:
    """The connectable of that name. Raises UnknownModelObjectError."""
    found = model.connectable(name)
    if found is None:
        raise UnknownModelObjectError(
            f"connectable {name} does not exist in the model",
            hint="ttGridAdmin connectableList shows the connectables.",
        )
    return found


# -- files for clients ----------------------------------------------------------------------------
def client_ini(model: Model, release: str) -> str:
    """TimesTen's sys.odbc.ini: a section per client/server connectable, every server in it."""
    wanted = [c for c in model.connectables if c.kind == "cs"]
    driver = f"TimesTen {'.'.join(release.split('.')[:2])} Client Driver"
    lines = ["[ODBC Data Sources]", *(f"{c.name}={driver}" for c in wanted)]
    for connectable in wanted:
        lines += ["", f"[{connectable.name}]", f"TTC_SERVER_DSN={connectable.database}"]
        for number, instance in enumerate(servers(model, connectable), start=1):
            lines.append(f"# External address/port info for {instance.full_name}")
            address = external_address(model, instance)
            lines.append(f"TTC_SERVER{number}={address}/{instance.cs_port}")
        lines += [f"{a}={v}" for a, v in connectable.attributes]
    return "\n".join(lines) + "\n"


def client_service(
    model: Model, request: schema.GridClientExport, more: tuple[str, ...] = ()
) -> str:
    """libpq's pg_service.conf: the same servers, in an order that spreads the clients.

    more: lines about encryption. Only keywords that libpq 15 knows. Without client/server
    connectables the databases themselves.
    """
    if request.passfile and not request.passfile.startswith("/"):
        raise ParameterError(f"-passfile {request.passfile}: an absolute path is needed")
    sections = [(c.name, c) for c in model.connectables if c.kind == "cs"]
    sections += [(c.name, c) for c in model.connectables if c.kind == "direct"]
    if request.database:
        name = definition_of(model, request.database).name
        sections = [s for s in sections if s[1].database == name]
    lines = []
    for name, connectable in sections:
        instances = servers(model, connectable)
        random.shuffle(instances)
        hosts = ",".join(external_address(model, i) for i in instances)
        lines += [f"[{name}]", f"host={hosts}"]
        lines += ["port=" + ",".join(str(i.cs_port) for i in instances)]
        lines.append(f"dbname={connectable.database}")
        if request.user:
            lines.append(f"user={request.user}")
        if request.passfile:
            lines.append(f"passfile={request.passfile}")
        lines += [*more, "connect_timeout=5", ""]
    return "\n".join(lines)


def servers(model: Model, connectable: Connectable) -> list[Instance]:
    """The data instances a connectable leads to."""
    every = model.instances_of("data")
    return [i for i in every if not connectable.only or i.full_name in connectable.only]


def external_address(model: Model, instance: Instance) -> str:
    """Where clients reach an instance."""
    host = model.host(instance.host)
    assert host is not None, "an instance stands below its host"
    return host.external_address
