"""Clients that count up rows, one by one, while a grid changes; and what they know in the end."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from protocol.errors import GridError
from tests.support.growing_grid import GrowingGrid

ROWS = 200


async def refused(grid: GrowingGrid, **options: object) -> GridError:
    with pytest.raises(GridError) as caught:
        await grid.distribute(**options)
    return caught.value


async def fill(grid: GrowingGrid) -> None:
    client = await grid.connect(3)
    await client.execute("CREATE TABLE t (a NUMBER(9) PRIMARY KEY, b NUMBER(9))")
    await client.executemany("INSERT INTO t VALUES ($1, $2)", [(n, n) for n in range(ROWS)])
    await client.execute("CREATE TABLE d (a NUMBER(9) PRIMARY KEY, b VARCHAR2(20)) DUPLICATE")
    await client.executemany("INSERT INTO d VALUES ($1, $2)", [(n, str(n)) for n in range(3)])
    await client.close()


class Writers:
    """Clients that count up rows one by one, and go to another instance when they are sent away."""

    def __init__(self, grid: GrowingGrid, hosts: list[int]) -> None:
        self.grid = grid
        self.hosts = hosts
        self.counts = dict.fromkeys(range(ROWS), 0)  # acknowledged additions to b
        self.unknown: set[int] = set()
        self.errors: list[BaseException] = []
        self.done = 0
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def learn(self) -> None:
        """Begin with the counts that are there."""
        client = await self.grid.connect(self.hosts[0])
        found = dict(await client.fetch("SELECT a, b FROM t"))
        await client.close()
        self.counts = {key: int(found[key]) - key for key in self.counts}

    def start(self, count: int = 4) -> None:
        self._tasks = [asyncio.create_task(self._write(n, count)) for n in range(count)]

    async def stop(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _write(self, number: int, count: int) -> None:
        turn, keys = number, [k for k in range(ROWS) if k % count == number]
        while not self._stop:
            turn += 1
            try:
                client = await self.grid.connect(self.hosts[turn % len(self.hosts)])
                await self._write_over(client, keys)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if getattr(error, "sqlstate", "57P01")[:2] not in ("57", "40", "08"):
                    self.errors.append(error)
                    return
                await asyncio.sleep(0.01)  # a pace, nothing is awaited by it

    async def _write_over(self, client: asyncpg.Connection, keys: list[int]) -> None:
        try:
            for key in keys:
                if self._stop:
                    break
                try:
                    await client.execute("UPDATE t SET b = b + 1 WHERE a = $1", key)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                    state = getattr(error, "sqlstate", "08006") or "08006"
                    if state[:2] == "08" or isinstance(error, asyncpg.InterfaceError | OSError):
                        self.unknown.add(key)
                    raise
                self.counts[key] += 1
                self.done += 1
        finally:
            await client.close(timeout=5)

    async def check(self, host: int) -> None:
        """Every acknowledged addition is there, and nothing else."""
        assert not self.errors
        client = await self.grid.connect(host)
        found = dict(await client.fetch("SELECT a, b FROM t"))
        await client.close()
        assert len(found) == ROWS
        for key, count in self.counts.items():
            assert found[key] - key >= count
            assert found[key] - key == count or key in self.unknown
