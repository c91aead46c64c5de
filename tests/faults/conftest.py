"""One grid for all fault tests of a run; each leaves it whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.real_grid import Observer, RealGrid


@pytest.fixture(scope="session")
def grid() -> Iterator[RealGrid]:
    """A short path: Unix sockets are made in it."""
    folder = Path(tempfile.mkdtemp(prefix="tgf"))
    real = RealGrid.make(folder / "g")
    yield real
    real.destroy()
    shutil.rmtree(folder)


@pytest.fixture
async def watch(grid: RealGrid) -> AsyncIterator[Observer]:
    """What ZooKeeper holds; the grid is whole before and after each test."""
    async with grid.observer() as observer:
        await observer.whole()
        yield observer
        for host in grid.hosts:  # a test that failed half-way does not spoil the next one
            grid.resume(host)
            if not grid.daemon_pid(host):
                grid.start_instance(host)
        await observer.whole()
