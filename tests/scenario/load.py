"""The clients of the scenario: the drill's, but few, since the machine has many hosts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drill import workloads
from tests.drill.clients import Client, Recorder, connect
from tests.drill.history import Operation, Outcome, Verdict
from tests.drill.quiet import Gate
from tests.scenario.netns_grid import NetnsGrid
from tests.support.copies import equal_copies, read_elements

WORK = (
    workloads.transfer,
    workloads.transfer,
    workloads.read_sum,
    workloads.use_register,
    workloads.use_register,
    workloads.use_list,
    workloads.count,
    workloads.race,
)
EQUAL_S = 90.0
SECONDS = 900.0  # as many registers and lists as that needs


class Running:
    """A load that works; its history at the end."""

    def __init__(self, grid: NetnsGrid, load: workloads.Load, recorder: Recorder) -> None:
        self._grid = grid
        self._load = load
        self.recorder = recorder
        self.backup_s = (0.0, 0.0)  # from when to when one was made, if there was one

    def since(self, time_s: float) -> tuple[int, int, float]:
        """Operations that began since then: acknowledged, not so, and the longest pause, in s."""
        some = [o for o in self.recorder.history if o.start_s >= time_s]
        done = sorted(o.end_s for o in some if o.outcome is Outcome.OK)
        pauses = [b - a for a, b in itertools.pairwise(done)]
        return len(done), len(some) - len(done), max(pauses, default=0.0)

    def judge(self) -> list[Verdict]:
        """All checkers; the load must have ended."""
        real = self._grid.as_real()
        wrong: tuple[str, ...] = ()
        try:
            elements = equal_copies(real, EQUAL_S)
        except AssertionError as error:
            wrong = tuple(str(error).splitlines())
            elements = read_elements(real)
        equal = Verdict("copies are equal, nothing is in doubt", len(elements), wrong)
        return [equal, *workloads.judge(self.recorder, elements, self._load)]

    async def works(self, timeout_s: float = 60) -> None:
        """Wait until something new was acknowledged. Raises TimeoutError."""
        begin_s = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while not self._is_new(begin_s):
                await asyncio.sleep(0.1)  # the history is a list of other tasks

    def _is_new(self, begin_s: float) -> bool:
        last: list[Operation] = self.recorder.history[-20:]
        return any(o.outcome is Outcome.OK and o.start_s >= begin_s for o in last)


@asynccontextmanager
async def clients(grid: NetnsGrid, seed: int) -> AsyncIterator[Running]:
    """The load works inside."""
    recorder, stop = Recorder(), asyncio.Event()
    setup = await connect(grid.as_real(), grid.addresses()[0])
    try:
        epochs = await workloads.make_tables(setup, SECONDS)
        levels = await workloads.known_levels(setup)
    finally:
        await setup.close()
    load = workloads.Load(time.monotonic(), levels, epochs, Gate())
    works = [
        asyncio.create_task(
            workloads.run(Client(n, grid.as_real(), recorder, seed), load, work, stop)
        )
        for n, work in enumerate(WORK)
    ]
    try:
        yield Running(grid, load, recorder)
    finally:
        stop.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.gather(*works)
