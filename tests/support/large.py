"""How large transactions go, and what others feel of them meanwhile; also a command.

    python -m tests.support.large --rows 1000000 --sets 2

makes a grid in this process (K = 2), runs transactions of so many rows, while one client updates
one row and another reads one row all the time, and prints a line for each step.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from protocol.limits import MIB
from tests.support.memory_grid import DATABASE, MemoryGrid

CHUNK_BYTES = 64 * 1024
SESSION_TIMEOUT_S = 2.0


async def _turn() -> None:
    await asyncio.sleep(0.001)  # how long the loop takes for it is what is measured


@dataclass
class Figures:
    """One step. Pauses are in seconds, the longest ones."""

    name: str
    took_s: float
    loop_s: float  # the event loop was blocked
    update_s: float  # an UPDATE of one row, committed at once
    read_s: float  # a SELECT of one row
    rss_mib: int  # of the whole process, at its highest so far
    error: str = ""

    def line(self) -> str:
        """For people."""
        return (
            f"{self.name:<28} {self.took_s:7.2f} s   loop {1000 * self.loop_s:5.0f} ms   "
            f"update {self.update_s:6.2f} s   read {1000 * self.read_s:5.0f} ms   "
            f"memory {self.rss_mib:5d} MiB {self.error}"
        )


class Watch:
    """Clients that do small things all the time, and a look at the loop."""

    def __init__(self, grid: MemoryGrid) -> None:
        self._grid = grid
        self._longest = {"loop": 0.0, "update": 0.0, "read": 0.0}
        self._began: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[asyncpg.Connection] = []

    async def start(self) -> None:
        """Table SMALL must be there."""
        for at in (1, 1):
            self._clients.append(await self._grid.connect(at))
        one, two = self._clients
        update = await one.prepare("UPDATE small SET n = n + 1 WHERE id = $1")
        read = await two.prepare("SELECT n FROM small WHERE id = $1")
        self._tasks = [
            asyncio.create_task(self._go("update", lambda: update.fetch(1))),
            asyncio.create_task(self._go("read", lambda: read.fetch(2))),
            asyncio.create_task(self._go("loop", _turn)),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            client.terminate()

    async def _go(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            self._began[name] = time.perf_counter()
            await work()
            took_s = time.perf_counter() - self._began[name]
            self._longest[name] = max(self._longest[name], took_s)
            await asyncio.sleep(0.002)  # its pace

    async def step(self, name: str, work: Awaitable[object]) -> Figures:
        """Do something; what was felt meanwhile."""
        for task in self._tasks:
            assert not task.done(), task
        now_s = time.perf_counter()
        self._longest = dict.fromkeys(self._longest, 0.0)
        error = ""
        try:
            await work
        except asyncpg.PostgresError as problem:
            error = f"{problem.sqlstate} {problem}"
        took_s = time.perf_counter() - now_s
        for which, began_s in self._began.items():  # what still waits
            waited_s = time.perf_counter() - max(began_s, now_s)
            self._longest[which] = max(self._longest[which], waited_s)
        rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        longest = self._longest
        return Figures(
            name, took_s, longest["loop"], longest["update"], longest["read"], rss_mib, error
        )


@contextlib.asynccontextmanager
async def grid_for(folder: Path, rows: int, sets: int) -> AsyncIterator[MemoryGrid]:
    """A grid with room for so many rows of table BIG."""
    perm_mb = 64 + rows * 1000 // MIB
    made = MemoryGrid(
        folder,
        k=2,
        sets=sets,
        session_timeout_s=SESSION_TIMEOUT_S,
        attributes=(("PermSize", str(perm_mb)),),
    )
    await made.start()
    client = await made.connect(0)
    await client.execute(
        "CREATE TABLE big (id NUMBER(9) NOT NULL PRIMARY KEY, a VARCHAR2(40), n NUMBER(10,2))"
    )
    await client.execute("CREATE TABLE small (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(10))")
    for row in range(10):
        await client.execute("INSERT INTO small VALUES ($1, 0)", row)
    await client.close()
    await _moved(made)
    yield made
    await made.stop()


async def _moved(grid: MemoryGrid) -> None:
    """Until every set is led by its preferred element: no planned move comes later."""
    async with asyncio.timeout(60):
        for node in grid.nodes:
            assert node.instance is not None
            machine = node.instance.database(DATABASE).member.machine
            assert machine is not None
            while (machine.situation.preferred == machine.situation.me) != machine.leads:
                await asyncio.sleep(0.01)  # stands for a change of the view


async def _copy(client: asyncpg.Connection, rows: int) -> None:
    async def source() -> AsyncIterator[bytes]:
        chunk = bytearray()
        for n in range(rows):
            chunk += b"%d\tname %d\t%d\n" % (n, n, n)
            if len(chunk) > CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        yield bytes(chunk)

    await client.copy_to_table("big", source=source(), format="text")


async def run(grid: MemoryGrid, rows: int) -> list[Figures]:
    """All steps, with what each has to leave behind checked."""
    watch = Watch(grid)
    await watch.start()
    client = await grid.connect(0)
    figures: list[Figures] = []

    async def step(name: str, work: Awaitable[object]) -> None:
        figures.append(await watch.step(name, work))
        print(figures[-1].line(), flush=True)

    async def expect(count: int, total: int) -> None:
        found = await client.fetchrow("SELECT COUNT(*), SUM(n) FROM big")
        assert (found[0], found[1] or 0) == (count, total), (found, count, total)

    execute = client.execute
    total = rows * (rows - 1) // 2
    try:
        await step("nothing", asyncio.sleep(0.5))  # quiet
        await execute("BEGIN")
        await step("COPY, one transaction", _copy(client, rows))
        await step("ROLLBACK", execute("ROLLBACK"))
        await expect(0, 0)
        await execute("BEGIN")
        await step("COPY, one transaction", _copy(client, rows))
        await step("COMMIT", execute("COMMIT"))
        await expect(rows, total)
        await execute("BEGIN")
        await step("UPDATE", execute("UPDATE big SET n = n + 1"))
        await step("SELECT in it", client.fetchval("SELECT SUM(n) FROM big"))
        await step("COMMIT", execute("COMMIT"))
        await expect(rows, total + rows)
        await step("UPDATE, autocommit", execute("UPDATE big SET n = n - 1"))
        await expect(rows, total)
        await execute("BEGIN")
        await step("DELETE", execute("DELETE FROM big"))
        await step("ROLLBACK", execute("ROLLBACK"))
        await expect(rows, total)
        await step("DELETE, autocommit", execute("DELETE FROM big"))
        await expect(0, 0)
        await step("nothing", asyncio.sleep(0.5))  # quiet
    finally:
        await client.close()
        await watch.stop()
    return figures


def terms(grid: MemoryGrid) -> list[int]:
    """Of all members, which are in sync: none has lost a lease if they stay."""
    found = []
    for node in grid.nodes:
        assert node.instance is not None
        member = node.instance.database(DATABASE).member
        assert member.role in ("lead", "copy"), member.role
        assert len(member.status().in_sync) == grid.k
        found.append(member.term)
    return found


async def _main(rows: int, sets: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)  # as the daemons do
    with tempfile.TemporaryDirectory(prefix="large") as folder:
        async with grid_for(Path(folder), rows, sets) as grid:
            before = terms(grid)
            await run(grid, rows)
            print("terms before and after:", before, terms(grid))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--sets", type=int, default=1)
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.rows, arguments.sets))
