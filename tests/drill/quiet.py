"""Moments without load, after each fault: are the copies equal, is anything left behind?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.drill.clients import ANSWER_S, Connection, connect
from tests.drill.history import Verdict
from tests.support.copies import equal_copies
from tests.support.real_grid import RealGrid

IDLE_S = 40.0  # more than the longest wait of an operation
EQUAL_S = 30.0
LOG_RECORDS = 1000  # of each log that are compared between faults; all of them at the end
# So long may a lock of a client whose connection is gone be held: what a coordinator did not roll
# back its lead finds when it asks, once nothing was heard of the transaction for 5 s.
FREE_S = 12.0
AGAIN_S = 0.1


class Gate:
    """Clients take turns through it; closed, it waits until none is under way."""

    def __init__(self) -> None:
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = 0
        self.held: list[tuple[float, float]] = []  # from when to when it was closed

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Around one operation."""
        await self._is_open.wait()
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    @contextlib.asynccontextmanager
    async def closed(self, timeout_s: float = IDLE_S) -> AsyncIterator[None]:
        """Nobody is under way inside. Raises TimeoutError."""
        self._is_open.clear()
        from_s = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
            yield
        finally:
            self.held.append((from_s, time.monotonic()))
            self._is_open.set()


@dataclass
class Looker:
    """Looks at the grid between faults and keeps what is wrong."""

    grid: RealGrid
    gate: Gate
    tables: Sequence[str]
    last_fault: Callable[[], str]
    looks: int = 0
    unequal: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)

    async def look(self) -> None:
        """Once, without load."""
        self.looks += 1
        after = self.last_fault()
        try:
            async with self.gate.closed():
                try:
                    await asyncio.to_thread(equal_copies, self.grid, EQUAL_S, LOG_RECORDS)
                except AssertionError as error:
                    self.unequal += [f"after {after}: {line}" for line in str(error).splitlines()]
                await self._look_for_locks(after)
        except TimeoutError:
            self.locked.append(f"after {after}: a client waits for more than {IDLE_S:.0f} s")

    async def _look_for_locks(self, after: str) -> None:
        """Nobody works: whoever wants a row gets it."""
        try:
            async with asyncio.timeout(FREE_S):
                connection = await self._connected()
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            self.locked.append(f"after {after}: no connection to a whole grid: {error!r}")
            return
        try:
            for table in self.tables:
                await self._lock_all(connection, table, after)
        finally:
            connection.terminate()

    async def _connected(self) -> Connection:
        """The others may have healed the grid while this instance was still loading its element."""
        while True:
            try:
                return await connect(self.grid, self.grid.addresses()[0])
            except asyncpg.CannotConnectNowError:
                await asyncio.sleep(AGAIN_S)  # nothing tells a client when it is loaded

    async def _lock_all(self, connection: object, table: str, after: str) -> None:
        assert isinstance(connection, asyncpg.Connection)
        try:
            async with asyncio.timeout(FREE_S + ANSWER_S):
                await connection.execute("BEGIN")
                await connection.execute(f"SELECT * FROM {table} FOR UPDATE WAIT {FREE_S:.0f}")
                await connection.execute("ROLLBACK")
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            self.locked.append(f"after {after}: the rows of {table} cannot be locked: {error!r}")
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError):
                await connection.execute("ROLLBACK", timeout=FREE_S)

    def verdicts(self) -> list[Verdict]:
        """What it found."""
        return [
            Verdict("after each fault: copies are equal", self.looks, tuple(self.unequal)),
            Verdict("after each fault: no lock is left", self.looks, tuple(self.locked)),
        ]
