"""Routes of installations."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import installations
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """installationCreate, installationDelete, installationList, installationStatus."""

    async def create(request: schema.InstallationCreate, progress: Progress) -> schema.Reply:
        return installations.create(management, request)

    async def delete(request: schema.InstallationDelete, progress: Progress) -> schema.Reply:
        return installations.delete(management, request)

    async def rows(request: schema.InstallationList, progress: Progress) -> schema.Reply:
        return installations.rows(management.models.chosen(request.version))

    async def status(request: schema.InstallationStatus, progress: Progress) -> schema.Reply:
        return installations.status(management)

    return [
        Route(schema.InstallationCreate, create),
        Route(schema.InstallationDelete, delete),
        Route(schema.InstallationList, rows),
        Route(schema.InstallationStatus, status),
    ]
