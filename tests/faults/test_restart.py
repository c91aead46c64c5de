"""Everything is stopped and started again."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from tests.faults.acceptance import WHOLE, fill
from tests.support.copies import equal_copies
from tests.support.real_grid import RealGrid, wait_for_summary


@pytest.mark.timeout(120)
async def test_data_is_there_after_a_restart_of_the_whole_grid(grid: RealGrid) -> None:
    """make grid-stop, make grid-start."""
    await fill(grid)
    before = await asyncio.to_thread(equal_copies, grid)
    await asyncio.to_thread(grid.restart)
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)
    async with grid.observer() as watch:
        await watch.whole()
    after = await asyncio.to_thread(equal_copies, grid)
    for old, new in zip(before, after, strict=True):
        assert old.tables == new.tables
    for address in grid.addresses():
        async with await psycopg.AsyncConnection.connect(**grid.words(address)) as connection:
            cursor = await connection.execute("SELECT COUNT(*) FROM customers")
            assert await cursor.fetchone() == (
                sum(e.tables["TERRY.CUSTOMERS"].total() for e in after) // 2,
            )
            await connection.execute("UPDATE customers SET zipcode = '2' WHERE cust_id < 10")
