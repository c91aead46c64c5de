"""What clients see when something dies, stops, or hangs while they write."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest

from tests.faults.acceptance import WHOLE
from tests.faults.counters import check_counters, make_counters
from tests.support.load import Connection, check_errors, pauses_after, under_load
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

CLIENTS = 8
AFTER_S = 1.0  # the load goes on for a while after the fault is over


@pytest.mark.timeout(90)
async def test_daemon_killed_supervisor_lives(grid: RealGrid, watch: Observer) -> None:
    """The supervisor saw it die: no lease is waited for."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        host = watch.lead(1)
        grid.kill_daemon(host)
        await watch.new_lead(1, host)
        await watch.whole()
        await asyncio.sleep(AFTER_S)  # the load goes on
    pauses = pauses_after(clients, at_s)
    print(f"\ndaemon killed: {pauses}, {dict(check_errors(clients))}")
    assert pauses.max_s < 1.5
    await check_counters(grid, table, clients)
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)


@pytest.mark.timeout(90)
async def test_planned_stop_of_a_lead(grid: RealGrid, watch: Observer) -> None:
    """Leads are handed over; clients of the instance are told to go elsewhere."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        host = watch.lead(2)
        await asyncio.to_thread(grid.stop_instance, host)
        assert watch.lead(2) != host
        await asyncio.sleep(AFTER_S)  # the load goes on
        await asyncio.to_thread(grid.start_instance, host)
        await watch.whole()
    pauses = pauses_after(clients, at_s, 4.0)
    errors = check_errors(clients)
    print(f"\nplanned stop: {pauses}, {dict(errors)}")
    assert not [state for state in errors if state.startswith("08")], "outcome unknown"
    assert pauses.max_s < 1.0
    await check_counters(grid, table, clients)


@pytest.mark.timeout(90)
async def test_loss_of_one_membership_server(grid: RealGrid, watch: Observer) -> None:
    """Nothing happens."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    before = {rs: watch.state(rs).term for rs in watch.replica_sets}
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        grid.kill_membership_server(1)
        await asyncio.sleep(4.0)  # longer than a session lives
        await asyncio.to_thread(grid.start_membership_server, 1)
        await asyncio.sleep(AFTER_S)  # the load goes on
    assert not check_errors(clients)
    pauses = pauses_after(clients, at_s)
    print(f"\nmembership server lost: {pauses}")
    assert pauses.max_s < 1.0
    assert before == {rs: watch.state(rs).term for rs in watch.replica_sets}
    await check_counters(grid, table, clients)


@pytest.mark.timeout(90)
async def test_suspended_lead(grid: RealGrid, watch: Observer) -> None:
    """A lead that sleeps for 5 s: nothing is lost, and it answers nothing old when it wakes up."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        host = watch.lead(1)
        hanging = grid.address(host)
        others = [grid.words(a) for a in grid.addresses() if a != hanging]
        async with await psycopg.AsyncConnection.connect(**grid.words(hanging)) as old:
            grid.suspend(host)
            await watch.new_lead(1, host)
            served_s = time.monotonic() - at_s
            rows = await _write_elsewhere(others[0], table)
            asked = asyncio.create_task(_read(old, table, rows))
            await asyncio.sleep(max(0.0, 5.0 - (time.monotonic() - at_s)))  # as the issue asks
            grid.resume(host)
            found = await asked
        await watch.whole()
        await asyncio.sleep(AFTER_S)  # the load goes on
    assert found is None or found == dict.fromkeys(rows, -1), found
    pauses = pauses_after([c for c in clients if c.address != hanging], at_s)
    print(f"\nsuspended lead: led again after {served_s:.2f} s, {pauses},"
          f" {dict(check_errors(clients))}")  # fmt: skip
    await check_counters(grid, table, clients)


async def _write_elsewhere(words: dict[str, Any], table: str) -> list[int]:
    """Rows of their own in both replica sets, written through an instance that is awake."""
    rows = list(range(10_000, 10_020))
    async with await psycopg.AsyncConnection.connect(**words) as other:
        for row in rows:
            await other.execute(f"INSERT INTO {table} VALUES (%s, -1)".encode(), (row,))
    return rows


async def _read(connection: Connection, table: str, rows: list[int]) -> dict[int, int] | None:
    """What a session of the sleeping instance is told; None: an error."""
    sql = f"SELECT n FROM {table} WHERE id = %s".encode()
    found: dict[int, int] = {}
    try:
        for row in rows:
            value = await (await connection.execute(sql, (row,))).fetchone()
            found[row] = value[0] if value else None
    except psycopg.OperationalError:
        return None
    return found
