"""Refuses what a deposed management instance asks for.

An active that was paused or cut off may wake up and go on with what it had in hand, before it sees
that another one took over. Membership numbers the actives (`MgmtState.term`); who is not the newest
one that this instance knows of changes nothing here. The other side treats the refusal as what it
is: it is not active now, and its operation goes on under whoever is.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from membership.port import ClusterView, MgmtState
from protocol.errors import NotActiveManagementError
from protocol.rpc.server import AsyncHandler, Request, from_management

log = structlog.get_logger(__name__)

SEEN_S = 1.0  # how long the view here may be behind an active that has just begun


class ManagementFence:
    """One per data instance."""

    def __init__(self) -> None:
        self._newest: MgmtState | None = None
        self._changed = asyncio.Event()

    def seen(self, view: ClusterView) -> None:
        """A view of membership has come."""
        if view.mgmt is not None and (self._newest is None or view.mgmt.term >= self._newest.term):
            self._newest = view.mgmt
            self._changed.set()

    def for_active(self, handler: AsyncHandler) -> AsyncHandler:
        """The handler, for the active management instance alone."""
        return from_management(self.not_for_deposed(handler))

    def not_for_deposed(self, handler: AsyncHandler) -> AsyncHandler:
        """The handler, for everybody but management instances that are not active."""

        async def checked(message: Any, request: Request) -> Any:
            if request.peer_kind == "mgmt" and not self._is_newest(request):
                await self._check(message, request)
            return await handler(message, request)

        return checked

    def _is_newest(self, request: Request) -> bool:
        newest = self._newest  # None: nobody has ever been active, so nobody is deposed
        return newest is None or newest.incarnation == request.peer_incarnation

    async def _check(self, message: Any, request: Request) -> None:
        try:
            async with asyncio.timeout(SEEN_S):
                while not self._is_newest(request):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            newest = self._newest
            assert newest is not None
            log.warning("management.refused", peer=request.peer_name, active=newest.name,
                        term=newest.term, message=type(message).__name__)  # fmt: skip
            raise NotActiveManagementError(
                f"{request.peer_name} is not the active management instance: {newest.name} is,"
                f" by term {newest.term}"
            ) from None
