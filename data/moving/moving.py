"""Moving of one database on this instance, assembled; what management asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from data.admin.fence import ManagementFence
from data.exec.coordination import Coordination
from data.moving.adoption import Adoption
from data.moving.mover import Mover
from data.moving.publisher import Publisher
from data.moving.seeding import Seeding
from data.txn.lead import LeadWriter
from membership.port import Membership
from protocol.errors import NotLeadError, NotServingError
from protocol.messages import moving as m
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request
from protocol.topology import runs_of

T = TypeVar("T")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Moving:
    """Has work while the element leads its replica set."""

    def __init__(self, space: Coordination, membership: Membership, writer: LeadWriter) -> None:
        self._space = space
        self._writer = writer
        self.publisher = Publisher(
            space.name,
            space.router,
            membership,
            writer,
            space.manager,
            lambda: space.schema_version,
        )
        self.mover = Mover(space, space.element, writer, self.publisher)
        self.seeding = Seeding(space, writer, self.publisher)
        self.adoption = Adoption(space, writer, self.publisher)
        self._look: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Called about once a second."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._turn(), name="moving")
            self._space.background.add(self._look)
            self._look.add_done_callback(self._space.background.discard)

    async def _turn(self) -> None:
        await self.publisher.look_quietly()
        await self.mover.look()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something that management asked for; it ends when the database is unloaded."""
        task = asyncio.ensure_future(work)
        self._space.background.add(task)  # type: ignore[arg-type]
        task.add_done_callback(self._space.background.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise NotServingError(f"{self._space.name} is being unloaded here") from None
            raise

    def owned(self, rs: int) -> m.Owned:
        """What this lead's replica set owns."""
        self.check_lead(rs)
        own = self._writer.ownership
        return m.Owned(
            rs,
            tuple(runs_of(own.buckets())),
            own.version,
            self._space.router.map.version,
            own.known,
        )

    def check_lead(self, rs: int) -> None:
        """Raises NotLeadError."""
        if not self._writer.leading or (rs and self._writer.rs != rs):
            raise NotLeadError(f"this element does not lead replica set {rs} of {self._space.name}")


class Loaded(Protocol):
    """A database on this instance (data/database.py)."""

    moving: Moving


def register(rpc: RpcNode, find: Callable[[str], Loaded], fence: ManagementFence) -> None:
    """Answer the messages of protocol/messages/moving.py; `find` raises UnknownDatabaseError."""

    async def seed(message: m.SeedReplicaSet, _request: Request) -> m.Seeded:
        moving = find(message.db).moving
        return await moving.run(moving.seeding.seed(message.rs))

    async def retire(message: m.RetireReplicaSet, _request: Request) -> m.Retired:
        moving = find(message.db).moving
        return await moving.run(moving.seeding.retire(message.rs))

    async def adopt(message: m.AdoptBuckets, _request: Request) -> m.Adopted:
        moving = find(message.db).moving
        moving.check_lead(message.rs)
        return m.Adopted(await moving.run(moving.publisher.adopt(message.buckets)))

    async def take_over(message: m.TakeOver, _request: Request) -> m.TakenOver:
        moving = find(message.db).moving
        return await moving.run(moving.adoption.take_over(dict(message.owners)))

    async def plan(message: m.PlanMove, _request: Request) -> m.Planned:
        moving = find(message.db).moving
        moving.check_lead(message.source)
        return await moving.run(moving.mover.plan(message.buckets))

    async def move(message: m.MoveBuckets, _request: Request) -> m.Moved:
        moving = find(message.db).moving
        moving.check_lead(message.source)
        return await moving.run(moving.mover.move(message))

    async def owned(message: m.OwnedBuckets, _request: Request) -> m.Owned:
        return find(message.db).moving.owned(message.rs)

    handlers: dict[type, Any] = {
        m.SeedReplicaSet: seed,
        m.RetireReplicaSet: retire,
        m.AdoptBuckets: adopt,
        m.TakeOver: take_over,
        m.PlanMove: plan,
        m.MoveBuckets: move,
        m.OwnedBuckets: owned,
    }
    for message_type, handler in handlers.items():
        rpc.handle_async(message_type, fence.not_for_deposed(handler))
