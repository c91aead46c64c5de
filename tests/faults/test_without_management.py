"""No management instance at all: SQL, failover and the rejoin of a restarted instance go on.

Better than TimesTen (row GAP-07): there a failed data instance stays out until management is back.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.acceptance import WHOLE
from tests.faults.counters import check_counters, make_counters
from tests.support.load import check_errors, under_load
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

CLIENTS = 4


@pytest.mark.timeout(120)
async def test_failover_and_rejoin_without_management(grid: RealGrid, watch: Observer) -> None:
    table, work = await make_counters(grid, CLIENTS)
    grid.kill_management(supervisor=True)
    try:
        async with under_load(grid, CLIENTS, work) as clients:
            first = watch.lead(1)
            grid.kill_instance(first)
            await watch.new_lead(1, first)
            second = watch.lead(1)
            await asyncio.to_thread(grid.start_instance, first)
            await watch.whole()  # it is in sync again, by what it and membership know
            grid.kill_instance(second)  # and good enough to lead
            await watch.new_lead(1, second)
            assert watch.lead(1) == first
            await asyncio.to_thread(grid.start_instance, second)
            await watch.whole()
        print(dict(check_errors(clients)))
        await check_counters(grid, table, clients)
    finally:
        await asyncio.to_thread(grid.start_management)
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)
