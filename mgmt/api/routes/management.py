"""Routes of the management instance itself: its role and its operations."""

from __future__ import annotations

from typing import Protocol

from mgmt.api import schema
from mgmt.api.app import Route
from mgmt.api.schema_management import MgmtActiveSwitch, MgmtStandbyStart, MgmtStandbyStop
from mgmt.ha.role import Role
from mgmt.ops.runner import Progress
from mgmt.service import management as service
from mgmt.service.context import Management
from protocol.instance_file import InstanceSettings


class Roles(Protocol):
    """What the routes need of the management instance."""

    @property
    def role(self) -> Role:
        """Its present role."""
        ...

    async def join(self, settings: InstanceSettings) -> None:
        """gridCreate: become active under new settings. Raises GridError and leaves nothing."""
        ...

    async def start_active(self) -> None:
        """mgmtActiveStart. Raises ModelError."""
        ...

    async def stop_active(self) -> None:
        """mgmtActiveStop. Raises ModelError."""
        ...

    async def switch(self, *, force: bool) -> tuple[str, ...]:
        """mgmtActiveSwitch; returns lines for the user. Raises ModelError."""
        ...

    async def start_standby(self) -> None:
        """mgmtStandbyStart. Raises ModelError."""
        ...

    async def stop_standby(self) -> None:
        """mgmtStandbyStop. Raises ModelError."""
        ...


def routes(management: Management, roles: Roles) -> list[Route]:
    """mgmtStatus, mgmtActiveStart ... mgmtStandbyStop, operationList, operationCancel."""

    async def status(request: schema.MgmtStatus, progress: Progress) -> schema.Reply:
        return await service.status(management, roles.role)

    async def start(request: schema.MgmtActiveStart, progress: Progress) -> schema.Reply:
        await roles.start_active()
        return schema.Done(messages=("This management instance is now the active",))

    async def stop(request: schema.MgmtActiveStop, progress: Progress) -> schema.Reply:
        await roles.stop_active()
        return schema.Done(messages=("Active management instance stopped",))

    async def switch(request: MgmtActiveSwitch, progress: Progress) -> schema.Reply:
        return schema.Done(messages=await roles.switch(force=request.force))

    async def follow(request: MgmtStandbyStart, progress: Progress) -> schema.Reply:
        await roles.start_standby()
        return schema.Done(messages=("Standby management instance started",))

    async def leave(request: MgmtStandbyStop, progress: Progress) -> schema.Reply:
        await roles.stop_standby()
        return schema.Done(messages=("Standby management instance stopped",))

    async def operations(request: schema.OperationList, progress: Progress) -> schema.Reply:
        return service.operations(management)

    async def cancel(request: schema.OperationCancel, progress: Progress) -> schema.Reply:
        management.runner.cancel(request.id)
        return schema.Done(messages=(f"Operation {request.id} is being cancelled",))

    return [
        Route(schema.MgmtStatus, status, anywhere=True),
        Route(schema.MgmtActiveStart, start, anywhere=True),
        Route(schema.MgmtActiveStop, stop, anywhere=True),
        Route(MgmtActiveSwitch, switch, anywhere=True),
        Route(MgmtStandbyStart, follow, anywhere=True),
        Route(MgmtStandbyStop, leave, anywhere=True),
        Route(schema.OperationList, operations),
        Route(schema.OperationCancel, cancel),
    ]
