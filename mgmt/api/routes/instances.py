"""Routes of instances."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import instances
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """instanceCreate, instanceModify, instanceDelete, instanceList, instanceStatus."""

    async def create(request: schema.InstanceCreate, progress: Progress) -> schema.Reply:
        return instances.create(management, request)

    async def modify(request: schema.InstanceModify, progress: Progress) -> schema.Reply:
        return instances.modify(management, request)

    async def delete(request: schema.InstanceDelete, progress: Progress) -> schema.Reply:
        return instances.delete(management, request)

    async def rows(request: schema.InstanceList, progress: Progress) -> schema.Reply:
        return instances.rows(management.models.chosen(request.version), request.kind)

    async def status(request: schema.InstanceStatus, progress: Progress) -> schema.Reply:
        return instances.status(management, request.kind)

    return [
        Route(schema.InstanceCreate, create),
        Route(schema.InstanceModify, modify),
        Route(schema.InstanceDelete, delete),
        Route(schema.InstanceList, rows),
        Route(schema.InstanceStatus, status),
    ]
