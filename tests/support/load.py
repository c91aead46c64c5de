"""Clients that write all the time and remember what they were told: the load under faults."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.support.real_grid import RealGrid

# What a client may hear during a fault (issue 2: "errors only of the retriable class")
RETRIABLE = ("40001", "40P01", "55P03", "57P", "08")
OUTCOME_UNKNOWN = "08"
AGAIN_S = 0.02
HANGS_S = 20.0  # a statement that takes longer counts as one that never ends

Connection = psycopg.AsyncConnection[Any]


@dataclass
class Ledger:
    """What one client knows."""

    acknowledged: set[Any] = field(default_factory=set)
    maybe: set[Any] = field(default_factory=set)  # sent, then silence
    refused: set[Any] = field(default_factory=set)  # answered with an error: must not be there
    errors: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # errors of another class
    gaps: list[tuple[float, float]] = field(default_factory=list)  # (success at, since the last)


class LoadClient:
    """One connection at a time; goes to the next data instance when it is lost."""

    def __init__(self, number: int, grid: RealGrid) -> None:
        self.number = number
        self.ledger = Ledger()
        self._succeeded = asyncio.Event()
        self.began = asyncio.Event()  # something succeeded
        self._grid = grid
        self._addresses = grid.addresses()
        self._next = number % len(self._addresses)
        self._connection: Connection | None = None
        self.address = ""  # of the data instance it talks to

    async def run(
        self, stop: asyncio.Event, work: Callable[[Connection, Ledger], Awaitable[set[Any]]]
    ) -> None:
        """Work until told to stop. `work` returns what it wrote, or names it in an Attempt."""
        last_s = time.monotonic()
        try:
            while not stop.is_set():
                if await self._once(work):
                    self.began.set()
                    now_s = time.monotonic()
                    self.ledger.gaps.append((now_s, now_s - last_s))
                    last_s = now_s
                    self._succeeded.set()
        finally:
            await self.close()

    async def _once(self, work: Callable[[Connection, Ledger], Awaitable[set[Any]]]) -> bool:
        ledger = self.ledger
        attempt: set[Any] = set()
        try:
            connection = await self._connect()
            async with asyncio.timeout(HANGS_S):
                attempt = await work(connection, ledger)
        except Attempt as failed:
            self._failed(failed.keys, failed.error)
        except psycopg.Error as error:
            self._failed(set(), error)
        except TimeoutError:
            ledger.wrong.append(f"client {self.number}: no answer within {HANGS_S} s")
            await self.close()
        else:
            ledger.acknowledged |= attempt
            return True
        await self._after_error()
        return False

    def _failed(self, keys: set[Any], error: psycopg.Error) -> None:
        state = error.sqlstate or "08000"  # libpq lost the connection
        if self._connection is not None and self._connection.closed:
            state = "08006" if not error.sqlstate else error.sqlstate
        self.ledger.errors[state] += 1
        if not state.startswith(RETRIABLE):
            self.ledger.wrong.append(f"client {self.number}: {state} {error}")
        if state.startswith(OUTCOME_UNKNOWN) or error.sqlstate is None:
            self.ledger.maybe |= keys
        else:
            self.ledger.refused |= keys

    async def _after_error(self) -> None:
        connection = self._connection
        if connection is not None and not connection.closed:
            try:
                async with asyncio.timeout(HANGS_S):
                    await connection.execute("ROLLBACK")
            except (psycopg.Error, TimeoutError):
                await self.close()
        await asyncio.sleep(AGAIN_S)  # as clients do that try again

    async def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self.address = self._addresses[self._next]
            self._next = (self._next + 1) % len(self._addresses)
            words = self._grid.words(self.address)
            self._connection = await psycopg.AsyncConnection.connect(**words)
        return self._connection

    async def successes_after(self, at_s: float, count: int) -> None:
        """Wait until so many attempts have succeeded after a moment."""
        while sum(1 for when, _ in self.ledger.gaps[-count:] if when > at_s) < count:
            self._succeeded.clear()
            await self._succeeded.wait()

    async def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class Attempt(Exception):
    """An error of a statement that would have written these keys."""

    def __init__(self, keys: set[Any], error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.keys = keys
        self.error = error


@dataclass(frozen=True)
class Pauses:
    """How long clients had to wait around one event (seconds)."""

    median_s: float
    max_s: float

    def __str__(self) -> str:
        return f"median {self.median_s * 1000:.0f} ms, max {self.max_s * 1000:.0f} ms"


def pauses_after(clients: list[LoadClient], at_s: float, until_s: float = 8.0) -> Pauses:
    """Each client's longest time without a success that ended in (at, at + until)."""
    longest = longest_gaps(clients, at_s, at_s + until_s)
    return Pauses(statistics.median(longest), max(longest))


def longest_gaps(clients: list[LoadClient], from_s: float, to_s: float) -> list[float]:
    """Of each client, the longest time without a success that ended in between (seconds)."""
    return [
        max((gap for at_s, gap in c.ledger.gaps if from_s <= at_s <= to_s), default=to_s - from_s)
        for c in clients
    ]


def check_errors(clients: list[LoadClient]) -> Counter[str]:
    """Fails on an error that is not of the retriable class; the errors by SQLSTATE."""
    wrong = [text for client in clients for text in client.ledger.wrong]
    assert not wrong, f"{len(wrong)} errors: " + "\n".join(wrong[:10])
    total: Counter[str] = Counter()
    for client in clients:
        total += client.ledger.errors
    return total


def check_kept(clients: list[LoadClient], there: Counter[Any]) -> None:
    """Acknowledged keys are there once, refused ones are not."""
    twice = [key for key, count in there.items() if count > 1]
    assert not twice, f"more than once: {twice[:5]}"
    for client in clients:
        ledger = client.ledger
        lost = [key for key in ledger.acknowledged if key not in there]
        assert not lost, f"client {client.number}: {len(lost)} acknowledged, lost: {lost[:5]}"
        back = [key for key in ledger.refused if key in there]
        assert not back, f"client {client.number}: {len(back)} refused, but there: {back[:5]}"
    known: set[Any] = set()
    for client in clients:
        known |= client.ledger.acknowledged | client.ledger.maybe
    unknown = [key for key in there if key not in known]
    assert not unknown, f"nobody wrote {unknown[:5]}"


@contextlib.asynccontextmanager
async def under_load(
    grid: RealGrid,
    count: int,
    work_of: Callable[[int], Callable[[Connection, Ledger], Awaitable[set[Any]]]],
) -> AsyncIterator[list[LoadClient]]:
    """Clients that work while the body runs; all of them have succeeded once before it begins."""
    clients = [LoadClient(number, grid) for number in range(count)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(stop, work_of(client.number)))
        try:
            async with asyncio.timeout(HANGS_S):
                await asyncio.gather(*(client.began.wait() for client in clients))
            yield clients
        finally:
            stop.set()
