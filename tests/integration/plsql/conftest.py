"""A client of the grid that a module of tests has made."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio

from tests.support.memory_grid import MemoryGrid


@pytest_asyncio.fixture(loop_scope="module")
async def client(grid: MemoryGrid) -> AsyncIterator[asyncpg.Connection]:
    """The test user, at the first data instance."""
    made = await grid.connect()
    yield made
    await made.close()
