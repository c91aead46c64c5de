"""Routes of database definitions."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import dbdefs
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """dbdefCreate, dbdefModify, dbdefExport, dbdefList, dbdefDelete."""

    async def create(request: schema.DbdefCreate, progress: Progress) -> schema.Reply:
        return dbdefs.create(management, request)

    async def modify(request: schema.DbdefModify, progress: Progress) -> schema.Reply:
        return dbdefs.modify(management, request)

    async def export(request: schema.DbdefExport, progress: Progress) -> schema.Reply:
        return dbdefs.export(management.models.chosen(request.version), request.name)

    async def names(request: schema.DbdefList, progress: Progress) -> schema.Reply:
        model = management.models.chosen(request.version)
        return schema.NamesReply(names=tuple(d.name for d in model.databases))

    async def delete(request: schema.DbdefDelete, progress: Progress) -> schema.Reply:
        return dbdefs.delete(management, request)

    return [
        Route(schema.DbdefCreate, create),
        Route(schema.DbdefModify, modify),
        Route(schema.DbdefExport, export),
        Route(schema.DbdefList, names),
        Route(schema.DbdefDelete, delete),
    ]
