"""Database definitions in the model; each has a direct connectable of its name."""

from __future__ import annotations

import time

import msgspec

from mgmt.api import schema
from mgmt.model import attributes
from mgmt.model.names import check_name
from mgmt.model.types import Connectable, DatabaseDefinition, Model
from mgmt.service.context import Edit, Management
from mgmt.service.hosts import new_guid
from protocol.errors import DuplicateModelObjectError, UnknownModelObjectError


def create(management: Management, request: schema.DbdefCreate) -> schema.Done:
    """dbdefCreate."""
    check_name(request.name, "database definition")
    k = management.models.grid.k
    found = attributes.parse(request.text, name=request.name, what="database definition")
    attributes.check_database(found, name=request.name, k=k)
    definition = DatabaseDefinition(
        name=request.name,
        guid=new_guid(),
        changed_us=management.clock.wall_us(),
        attributes=found,
    )
    direct = Connectable(name=request.name, guid=new_guid(), database=request.name, kind="direct")

    def change(model: Model) -> Edit:
        if model.database(request.name):
            raise DuplicateModelObjectError(
                f"database definition {request.name} exists already",
                hint="dbdefModify replaces its attributes.",
            )
        if model.connectable(request.name):
            raise DuplicateModelObjectError(f"a connectable {request.name} exists already")
        changed = msgspec.structs.replace(
            model,
            databases=(*model.databases, definition),
            connectables=(*model.connectables, direct),
        )
        return changed, (f"Database Definition {request.name} created.", *_warnings(definition))

    return schema.Done(messages=management.models.edit(change))


def modify(management: Management, request: schema.DbdefModify) -> schema.Done:
    """dbdefModify; the guards refuse data-store attributes of a created database."""
    old = definition_of(management.models.latest(), request.name)
    found = attributes.parse(request.text, name=old.name, what="database definition")
    attributes.check_database(found, name=old.name, k=management.models.grid.k)
    if attributes.changed_data_store(old.attributes, found):
        management.guard("dbdefModify", old.name)
    new = msgspec.structs.replace(old, attributes=found, changed_us=management.clock.wall_us())

    def change(model: Model) -> Edit:
        databases = tuple(new if d.name == old.name else d for d in model.databases)
        lines = (f"Database Definition {old.name} modified.", *_warnings(new))
        return msgspec.structs.replace(model, databases=databases), lines

    return schema.Done(messages=management.models.edit(change))


def export(model: Model, name: str) -> schema.TextFile:
    """dbdefExport."""
    definition = definition_of(model, name)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(definition.changed_us / 1_000_000))
    comment = f"DbDef GUID {definition.guid} Exported Mod Time {when}"
    text = attributes.render(definition.attributes, name=definition.name, comment=comment)
    message = f"Database Definition {definition.name} exported to {{file}}"
    return schema.TextFile(text=text, messages=(message,))


def delete(management: Management, request: schema.DbdefDelete) -> schema.Done:
    """dbdefDelete, with the connectables; the guards refuse while the database exists."""
    gone = definition_of(management.models.latest(), request.name).name
    management.guard("dbdefDelete", gone)

    def change(model: Model) -> Edit:
        changed = msgspec.structs.replace(
            model,
            databases=tuple(d for d in model.databases if d.name != gone),
            connectables=tuple(c for c in model.connectables if c.database != gone),
        )
        return changed, (f"Database Definition {gone} deleted",)

    return schema.Done(messages=management.models.edit(change))


def _warnings(definition: DatabaseDefinition) -> list[str]:
    return [
        f"Warning: database definition {definition.name}: {attribute} has no meaning here"
        for attribute in attributes.without_meaning(definition.attributes)
    ]


def definition_of(model: Model, name: str) -> DatabaseDefinition:
    """The definition of that name, whatever the case. Raises UnknownModelObjectError."""
    found = model.database(name)
    if found is None:
        raise UnknownModelObjectError(
            f"database definition {name} does not exist in the model",
            hint="ttGridAdmin dbdefList shows the definitions; dbdefCreate makes one.",
        )
    return found
