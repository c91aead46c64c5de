"""What clients notice while buckets move to a new replica set.

    python benchmarks/moving.py [--rows 200000] [--clients 16] [--buckets 2048]

Both replica sets and the clients share one process and one core, so the mover's work is taken from
the clients' throughput: on hosts of their own they notice less. Half of the statements are updates,
half reads, all by key. At the end every row is checked by its bucket.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.memory_grid import MemoryGrid
from tests.support.moving import add_set, check_rows, move, owned, seed

PHASE_S = 5.0
COPY_ROWS = 20_000
RETRIABLE = ("40001", "40P01", "55P03")


class Clients:
    """They read and write single rows as fast as they can."""

    def __init__(self, grid: MemoryGrid, rows: int, count: int) -> None:
        self._grid, self._rows = grid, rows
        self._stop = False
        self.done = 0
        self.errors: list[str] = []
        self.latencies: list[float] = []
        self._tasks = [asyncio.create_task(self._run(n)) for n in range(count)]

    async def _run(self, number: int) -> None:
        client = await self._grid.connect()
        update = await client.prepare("UPDATE t SET n = n + 1 WHERE id = $1")
        select = await client.prepare("SELECT n FROM t WHERE id = $1")
        chance = random.Random(number)
        while not self._stop:
            began_s = time.perf_counter()
            statement = update if chance.random() < 0.5 else select
            try:
                await statement.fetch(chance.randrange(self._rows))
            except Exception as error:  # every error counts
                self.errors.append(f"{getattr(error, 'sqlstate', '')} {error!r}")
            self.latencies.append(time.perf_counter() - began_s)
            self.done += 1
        await client.close()

    async def phase(self, name: str, work: object = None) -> float:
        """Statements a second while something is awaited, or for PHASE_S."""
        self.latencies.clear()
        before, began_s, cpu_s = self.done, time.perf_counter(), time.process_time()
        await (work or asyncio.sleep(PHASE_S))  # type: ignore[misc]
        seconds = time.perf_counter() - began_s
        rate = (self.done - before) / seconds
        per_cpu_s = (self.done - before) / (time.process_time() - cpu_s)
        times = sorted(self.latencies) or [0.0]
        p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
        print(
            f"{name:<8} {rate:8.0f} statements/s in {seconds:6.1f} s, {per_cpu_s:.0f} for each "
            f"second of the processor, latency p50 {p50:.1f} ms, "
            f"p99 {p99:.1f} ms, longest {times[-1] * 1000:.0f} ms"
        )
        return rate

    async def end(self) -> None:
        """Stop them."""
        self._stop = True
        await asyncio.gather(*self._tasks)


async def measure(folder: Path, rows: int, count: int, buckets: int) -> None:
    """One run."""
    attributes = (("PermSize", "2048"),)
    grid = MemoryGrid(folder, k=1, sets=1, session_timeout_s=10.0, attributes=attributes)
    await grid.start()
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT, pad VARCHAR2(100)) DISTRIBUTE BY HASH"
    )
    for at in range(0, rows, COPY_ROWS):
        some = [(n, 0, "x" * 60) for n in range(at, min(rows, at + COPY_ROWS))]
        await client.copy_records_to_table("t", records=some)
    clients = Clients(grid, rows, count)
    await clients.phase("warm")
    before = await clients.phase("before")
    await add_set(grid, 2)
    await seed(grid, 2)
    began_s = time.perf_counter()
    chosen = (await owned(grid, 1))[:buckets]
    moving = asyncio.create_task(move(grid, 1, 2, chosen, for_ms=5000))
    during = await clients.phase("moving", moving)
    took_s = time.perf_counter() - began_s
    await clients.phase("after")
    await clients.end()
    print(f"{moving.result()} rows moved in {took_s:.1f} s, {moving.result() / took_s:.0f} rows/s")
    wrong = [e for e in clients.errors if not e.startswith(RETRIABLE)]
    print(f"{len(clients.errors)} errors, {len(wrong)} of them not retriable {wrong[:3]}")
    print(f"throughput while moving: {during / before:.0%} of before")
    print(f"rows, each where its bucket is owned: {check_rows(grid)['TERRY.T']} of {rows}")
    await client.close()
    await grid.stop()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--buckets", type=int, default=2048)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="tgmoving-") as folder:
        work = measure(Path(folder), arguments.rows, arguments.clients, arguments.buckets)
        uvloop.run(work)


if __name__ == "__main__":
    main()
