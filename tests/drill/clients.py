"""A client: one connection at its own data instance, to the next one when that is lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg

from tests.drill.checks import UNDEFINED_TABLE, UNIQUE_VIOLATION
from tests.drill.history import Operation, Outcome
from tests.support.real_grid import RealGrid

# Rolled back, lock not available, not serving: the same again may succeed, and nothing was done.
REFUSED = ("40", "55P03", "57")
LOST = "08"
DISK_FULL = "53100"
CONNECT_S = 5.0
ANSWER_S = 30.0  # longer than every wait that an instance promises to end
AGAIN_S = 0.05
ROLL_BACK_S = 5.0
HOME_AGAIN_S = 4.0  # after so long elsewhere a client looks whether its own instance is back

Connection: TypeAlias = Any  # asyncpg.Connection, which has no types
Body = Callable[["Client", Connection], Awaitable[Any]]
# asyncpg's InternalClientError: a statement is sent between the last message of a server that
# stops (57P01, while the connection is idle) and the end of the connection.
_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


def is_allowed(where: str, state: str, *, is_disk_full: bool = False) -> bool:
    """What a client may hear while things fail; connecting may also find nobody there."""
    if is_disk_full and state == DISK_FULL:
        return True
    if where == "connect":
        return state.startswith((*REFUSED, LOST, "53300")) or state in ("lost", "silent")
    if where == "tables" and state == UNDEFINED_TABLE:
        return True  # its checker knows when
    return state.startswith((*REFUSED, LOST)) or state in ("lost", UNIQUE_VIOLATION)


def state_of(error: BaseException) -> str:
    """The SQLSTATE the server sent; `lost` if the connection went, `silent` for no answer."""
    if isinstance(error, TimeoutError):
        return "silent"
    # asyncpg makes errors with a state of its own when a connection ends
    if isinstance(error, asyncpg.PostgresConnectionError | OSError) and not _was_sent(error):
        return "lost"
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate)
    is_lost = isinstance(error, asyncpg.InternalClientError) or "clos" in str(error)
    return "lost" if is_lost else type(error).__name__


def _was_sent(error: BaseException) -> bool:
    """Whether the server sent this error: those that asyncpg makes have no severity."""
    return getattr(error, "severity", None) is not None


def outcome_of(state: str, *, may_have_committed: bool) -> Outcome:
    """What an error says about a request, if that could commit something."""
    is_refusal = len(state) == 5 and not state.startswith((LOST, "XX"))
    return Outcome.FAILED if is_refusal or not may_have_committed else Outcome.UNKNOWN


@dataclass
class Recorder:
    """What all clients of a drill did."""

    history: list[Operation] = field(default_factory=list)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)  # (where, SQLSTATE)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)  # the first of each

    def error(self, where: str, state: str, error: BaseException) -> None:
        """Count one."""
        self.errors[(where, state)] += 1
        detail = getattr(error, "detail", None) or ""
        self.texts.setdefault((where, state), f"{type(error).__name__}: {error} {detail}".strip())


class Client:
    """One operation after the other, each recorded with what became of it."""

    def __init__(self, number: int, grid: RealGrid, recorder: Recorder, seed: int) -> None:
        self.number = number
        self.chance = random.Random(f"{seed} {number}")
        self.server = ""
        self._addresses = grid.addresses()
        self._words = [_words(grid, address) for address in self._addresses]
        self._home = self._next = number % len(self._addresses)
        self._look_home_s = 0.0
        self._recorder = recorder
        self._connection: Connection | None = None
        self._may_commit = False

    async def operate(
        self, workload: str, action: str, key: Any, value: Any, body: Body
    ) -> Operation | None:
        """One operation; None if there was no data instance to ask. `body` gives the result."""
        connection = await self._connected()
        if connection is None:
            await asyncio.sleep(AGAIN_S)  # as clients do that try again
            return None
        self._may_commit = False
        result, outcome, state = None, Outcome.OK, ""
        start_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                result = await body(self, connection)
        except _ERRORS as error:
            state = state_of(error)
            outcome = outcome_of(state, may_have_committed=self._may_commit)
            self._recorder.error(workload, state, error)
        end_s = time.monotonic()
        operation = Operation(
            *(self.number, action, key, value, result, start_s, end_s, outcome),
            *(workload, state, self.server),
        )
        self._recorder.history.append(operation)
        if state:
            await self._after_error(state)
        return operation

    # -- what bodies are made of ------------------------------------------------------------------
    async def change(self, sql: str, *values: Any) -> int:
        """A statement that commits by itself; the number of rows."""
        assert self._connection is not None
        self._may_commit = True
        return _count(await self._connection.execute(sql, *values))

    async def transaction(self, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Several statements, each of which must find a row, and COMMIT."""
        assert self._connection is not None
        await self._connection.execute("BEGIN")
        for sql, values in statements:
            if not _count(await self._connection.execute(sql, *values)):
                raise asyncpg.DataError(f"no row: {sql} {values}")
        self._may_commit = True
        await self._connection.execute("COMMIT")

    def committing(self) -> None:
        """From here on an error without an answer leaves the outcome unknown."""
        self._may_commit = True

    # -- connection -------------------------------------------------------------------------------
    async def _connected(self) -> Connection | None:
        if self.server != self._addresses[self._home] and time.monotonic() > self._look_home_s:
            await self.close()
            self._next = self._home
            self._look_home_s = time.monotonic() + self.chance.uniform(0.5, 1.5) * HOME_AGAIN_S
        if self._connection is None or self._connection.is_closed():
            words = self._words[self._next]
            self.server = self._addresses[self._next]
            self._next = (self._next + 1) % len(self._words)
            try:
                self._connection = await asyncpg.connect(**words)
            except _ERRORS as error:
                self._connection = None
                self._recorder.error("connect", state_of(error), error)
        return self._connection

    async def _after_error(self, state: str) -> None:
        connection = self._connection
        assert connection is not None
        if state in ("lost", "silent") or state.startswith(LOST) or connection.is_closed():
            self._drop()
        else:
            try:
                await connection.execute("ROLLBACK", timeout=ROLL_BACK_S)
            except _ERRORS:
                self._drop()
        if state.startswith("57") and self.chance.random() < 0.5:
            self._drop()  # "connect to another one"
        await asyncio.sleep(AGAIN_S)  # as clients do that try again

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """The connection ends."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close(timeout=ROLL_BACK_S)
        except _ERRORS:
            connection.terminate()


def _words(grid: RealGrid, address: str) -> dict[str, Any]:
    """What asyncpg needs."""
    words = grid.words(address)
    return {
        "host": words["host"],
        "port": words["port"],
        "user": words["user"],
        "password": words["password"],
        "database": words["dbname"],
        "ssl": False,
        "timeout": CONNECT_S,
    }


def _count(tag: str) -> int:
    """UPDATE 3 is 3, INSERT 0 1 is 1."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


async def connect(grid: RealGrid, address: str) -> Connection:
    """A connection for what is not part of the load."""
    return await asyncpg.connect(**_words(grid, address))
