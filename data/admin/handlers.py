"""RPC handlers of messages/admin.py: management's commands to this data instance. Cold paths."""

from __future__ import annotations

from data.admin.element_state import Verb
from data.admin.fence import ManagementFence
from data.admin.keeper import ElementKeeper
from protocol import trace
from protocol.messages import admin
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request, from_management


def register(rpc: RpcNode, keeper: ElementKeeper, fence: ManagementFence) -> None:
    """Answer the administration messages from now on."""

    async def create(message: admin.CreateElement, request: Request) -> admin.ElementDone:
        return admin.ElementDone(await keeper.create(message.spec))

    async def load(message: admin.LoadElement, request: Request) -> admin.ElementDone:
        if trace.steps.listener is not None:
            trace.step("data/admin/handlers.py", message)
        state = await keeper.perform(
            message.database, message.database_id, Verb.LOAD, message.attributes
        )
        return admin.ElementDone(state)

    async def keep_attributes(message: admin.SetAttributes, request: Request) -> admin.ElementDone:
        state = keeper.keep_attributes(message.database, message.database_id, message.attributes)
        return admin.ElementDone(state)

    async def open_(message: admin.OpenElement, request: Request) -> admin.ElementDone:
        return admin.ElementDone(
            await keeper.perform(message.database, message.database_id, Verb.OPEN)
        )

    async def close(message: admin.CloseElement, request: Request) -> admin.ElementDone:
        return admin.ElementDone(
            await keeper.perform(message.database, message.database_id, Verb.CLOSE)
        )

    async def unload(message: admin.UnloadElement, request: Request) -> admin.ElementDone:
        return admin.ElementDone(
            await keeper.perform(message.database, message.database_id, Verb.UNLOAD)
        )

    async def destroy(message: admin.DestroyElement, request: Request) -> admin.ElementDone:
        return admin.ElementDone(
            await keeper.perform(message.database, message.database_id, Verb.DESTROY)
        )

    async def status(message: admin.InstanceStatus, request: Request) -> admin.InstanceReport:
        elements = keeper.reports(message.database)
        return admin.InstanceReport(keeper.me, keeper.incarnation, elements)

    rpc.handle_async(admin.CreateElement, fence.for_active(create))
    rpc.handle_async(admin.LoadElement, fence.for_active(load))
    rpc.handle_async(admin.SetAttributes, fence.for_active(keep_attributes))
    rpc.handle_async(admin.OpenElement, fence.for_active(open_))
    rpc.handle_async(admin.CloseElement, fence.for_active(close))
    rpc.handle_async(admin.UnloadElement, fence.for_active(unload))
    rpc.handle_async(admin.DestroyElement, fence.for_active(destroy))
    rpc.handle_async(admin.InstanceStatus, from_management(status))
