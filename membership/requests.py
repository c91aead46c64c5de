"""Requests of one session with the membership servers: sent by kazoo, answered in the event loop.

A request may have to go alone: ZooKeeper answers `add_auth` before what was asked earlier, kazoo
takes the answer for that of its oldest request, finds that the next one does not fit, and ends the
connection with the session. So it is sent while nothing else is under way, and what comes meanwhile
waits for its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any


class Requests:
    """Those of one kazoo client, all of them, by one event loop."""

    def __init__(self) -> None:
        # kazoo has them, whether or not somebody still waits for the answer
        self._under_way: set[asyncio.Future[Any]] = set()
        self._alone = False  # one goes, or wants to go, while no other is under way
        self._changed = asyncio.Event()

    async def answer(
        self, send: Callable[[], Any], timeout_s: float | None = None, *, alone: bool = False
    ) -> Any:
        """Send, and wait for the answer. `send` calls a method of kazoo's that ends in _async.

        Raises TimeoutError (waiting for others counts), or what kazoo says.
        """
        async with asyncio.timeout(timeout_s):
            await self._turn(alone)
            return await self._sent(send, alone)

    async def _turn(self, alone: bool) -> None:
        """Return when the request may be sent, which is to be done at once."""
        await self._until(lambda: not self._alone)
        if not alone:
            return
        self._alone = True
        try:
            await self._until(lambda: not self._under_way)
        except BaseException:
            self._let_others_go()
            raise

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()

    async def _sent(self, send: Callable[[], Any], alone: bool) -> Any:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            handle = send()
        except BaseException:
            if alone:
                self._let_others_go()
            raise
        self._under_way.add(answered)
        handle.rawlink(lambda done: self._from_thread(answered, done, alone))
        return await answered

    def _from_thread(self, answered: asyncio.Future[Any], done: Any, alone: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            answered.get_loop().call_soon_threadsafe(self._settle, answered, done, alone)

    def _settle(self, answered: asyncio.Future[Any], done: Any, alone: bool) -> None:
        if answered not in self._under_way:
            return  # kazoo says so twice when it is closed meanwhile
        self._under_way.remove(answered)
        if alone:
            self._alone = False
        self._changed.set()
        if answered.done():  # nobody waits for it any more
            return
        if done.exception is not None:
            answered.set_exception(done.exception)
        else:
            answered.set_result(done.value)

    def _let_others_go(self) -> None:
        self._alone = False
        self._changed.set()
