"""Routes of the grid itself."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.api.routes.management import Roles
from mgmt.ops.runner import Progress
from mgmt.service import grids
from mgmt.service.context import Management


def routes(management: Management, roles: Roles) -> list[Route]:
    """gridCreate, gridDisplay, gridModify, gridClientExport."""

    async def create(request: schema.GridCreate, progress: Progress) -> schema.Reply:
        return await grids.create(management, request, roles.join)

    async def display(request: schema.GridDisplay, progress: Progress) -> schema.Reply:
        return grids.display(management)

    async def modify(request: schema.GridModify, progress: Progress) -> schema.Reply:
        return await grids.modify(management, request)

    async def client_export(request: schema.GridClientExport, progress: Progress) -> schema.Reply:
        return grids.client_export(management, request)

    return [
        Route(schema.GridCreate, create, anywhere=True),
        Route(schema.GridDisplay, display),
        Route(schema.GridModify, modify),
        Route(schema.GridClientExport, client_export),
    ]
