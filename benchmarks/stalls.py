"""How long callbacks of the event loop take while a database is backed up and clients write.

    python -m benchmarks.stalls [--rows 200000]

Management and two data instances in one process, on one loop. What is measured is the CPU time of
each callback (CLOCK_THREAD_CPUTIME_ID), so that other work on the machine does not count; time in
which a thread holds the interpreter does not show either, the updates per second show it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import structlog

from mgmt.api import schema_backups as requests
from tests.support.growing_grid import DATABASE, GrowingGrid, growing_grid

LIMIT_S = 0.010  # design §4, the event loop rule
COPY_ROWS = 20_000
CLIENTS = 4
QUIET_S = 10.0
WAIT_S = 600


class Watch:
    """Every callback of every loop in this process."""

    def __init__(self) -> None:
        self.longest_s, self.over, self.updates = 0.0, 0, 0
        original = asyncio.events.Handle._run

        def run(handle: asyncio.Handle) -> Any:
            began_s = time.thread_time()
            try:
                return original(handle)
            finally:
                took_s = time.thread_time() - began_s
                self.longest_s = max(self.longest_s, took_s)
                self.over += took_s > LIMIT_S

        asyncio.events.Handle._run = run  # type: ignore[method-assign, assignment]

    async def phase(self, name: str, work: Awaitable[object]) -> None:
        """Await it and say what was seen meanwhile."""
        self.longest_s, self.over, self.updates = 0.0, 0, 0
        began_s = time.monotonic()
        await work
        seconds = time.monotonic() - began_s
        print(
            f"{name:<18} {seconds:5.1f} s, longest callback {self.longest_s * 1000:4.1f} ms,"
            f" {self.over} over {LIMIT_S * 1000:.0f} ms, {self.updates / seconds:5.0f} updates/s",
            flush=True,
        )


async def measure(folder: Path, rows: int) -> None:
    """One run."""
    (folder / "repository").mkdir()
    watch = Watch()
    async with growing_grid(folder, 1, 2) as grid:
        client = await grid.connect(3)
        await client.execute(
            "CREATE TABLE t (a NUMBER(9) PRIMARY KEY, b NUMBER(9), p VARCHAR2(100))"
        )
        for at in range(0, rows, COPY_ROWS):
            some = [(n, n, "x" * 60) for n in range(at, min(rows, at + COPY_ROWS))]
            await client.copy_records_to_table("t", records=some)
        await client.close()
        place = requests.RepositoryCreate(
            name="repo1", path=str(folder / "repository"), method="mount"
        )
        await grid.managed.call(place)
        stop = asyncio.Event()
        tasks = [asyncio.create_task(write(grid, n, rows, watch, stop)) for n in range(CLIENTS)]
        await watch.phase("nothing else", asyncio.sleep(QUIET_S))
        words: dict[str, Any] = {"name": DATABASE, "repository": "repo1", "wait_s": WAIT_S}
        for name, packed in (("backup", False), ("packed backup", True)):
            backup = requests.DbBackup(**words, backup=name.replace(" ", ""), compress=packed)
            await watch.phase(name, grid.managed.call(backup))
        await watch.phase("export", grid.managed.call(requests.DbExport(**words, export="e")))
        stop.set()
        await asyncio.gather(*tasks)


async def write(
    grid: GrowingGrid, number: int, rows: int, watch: Watch, stop: asyncio.Event
) -> None:
    """A client that counts up row after row."""
    client = await grid.connect(3)
    statement = await client.prepare("UPDATE t SET b = b + 1 WHERE a = $1")
    while not stop.is_set():
        number = (number + 97) % rows
        await statement.fetch(number)
        watch.updates += 1
    await client.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="tgst-") as folder:
        asyncio.run(measure(Path(folder), arguments.rows))


if __name__ == "__main__":
    main()
