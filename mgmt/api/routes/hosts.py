"""Routes of hosts, and of commands run on them."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.ops.runner import Progress
from mgmt.service import execs, hosts
from mgmt.service.context import Management


def routes(management: Management) -> list[Route]:
    """hostCreate, hostModify, hostDelete, hostList; hostExec, installationExec, instanceExec."""

    async def create(request: schema.HostCreate, progress: Progress) -> schema.Reply:
        return await hosts.create(management, request)

    async def modify(request: schema.HostModify, progress: Progress) -> schema.Reply:
        return hosts.modify(management, request)

    async def delete(request: schema.HostDelete, progress: Progress) -> schema.Reply:
        return hosts.delete(management, request)

    async def rows(request: schema.HostList, progress: Progress) -> schema.Reply:
        return hosts.rows(management.models.chosen(request.version))

    async def execute(request: schema.Execute, progress: Progress) -> schema.Reply:
        return await execs.execute(management, request)

    return [
        Route(schema.HostCreate, create),
        Route(schema.HostModify, modify),
        Route(schema.HostDelete, delete),
        Route(schema.HostList, rows),
        Route(schema.Execute, execute),
    ]
