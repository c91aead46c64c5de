"""Routes of connectables."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import connectables
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """connectableCreate, -Modify, -Export, -List, -Delete."""

    async def create(request: schema.ConnectableCreate, progress: Progress) -> schema.Reply:
        return connectables.create(management, request)

    async def modify(request: schema.ConnectableModify, progress: Progress) -> schema.Reply:
        return connectables.modify(management, request)

    async def export(request: schema.ConnectableExport, progress: Progress) -> schema.Reply:
        return connectables.export(management.models.chosen(request.version), request.name)

    async def rows(request: schema.ConnectableList, progress: Progress) -> schema.Reply:
        return connectables.rows(management.models.chosen(request.version))

    async def delete(request: schema.ConnectableDelete, progress: Progress) -> schema.Reply:
        return connectables.delete(management, request)

    return [
        Route(schema.ConnectableCreate, create),
        Route(schema.ConnectableModify, modify),
        Route(schema.ConnectableExport, export),
        Route(schema.ConnectableList, rows),
        Route(schema.ConnectableDelete, delete),
    ]
