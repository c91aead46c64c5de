"""More than one thing is lost: all daemons, the quorum of membership servers, an element's file."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from tests.faults.acceptance import WHOLE
from tests.faults.counters import check_counters, make_counters
from tests.support.load import RETRIABLE, check_errors, pauses_after, under_load
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

CLIENTS = 6
AFTER_S = 1.0  # the load goes on for a while after the fault is over
LEASE_S = 2.0  # the session timeout: nobody answers longer without a quorum


@pytest.mark.timeout(90)
async def test_all_daemons_are_killed_at_once(grid: RealGrid, watch: Observer) -> None:
    """Their files have everything that was acknowledged."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        for host in grid.hosts:
            grid.kill_daemon(host)
        await asyncio.gather(*(watch.gone(host) for host in grid.hosts))
        await watch.whole()
        await asyncio.gather(*(c.successes_after(time.monotonic(), 25) for c in clients))
    pauses = pauses_after(clients, at_s, 15.0)
    print(f"\nall daemons killed: {pauses}, {dict(check_errors(clients))}")
    await check_counters(grid, table, clients)
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)


@pytest.mark.timeout(90)
async def test_without_a_quorum_nothing_is_answered(grid: RealGrid, watch: Observer) -> None:
    """A clear error that is worth a retry; when the servers are back, so is the database."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        for server in (1, 2):
            grid.kill_membership_server(server)
        words = grid.words(grid.addresses()[0])
        async with await psycopg.AsyncConnection.connect(**words) as connection:
            await _refused(connection, f"SELECT n FROM {table} WHERE id = 1")
        for server in (1, 2):
            await asyncio.to_thread(grid.start_membership_server, server)
        back_s = time.monotonic()
        await asyncio.gather(*(c.successes_after(back_s, 25) for c in clients))
        print(f"\nwith a quorum again: all served after {time.monotonic() - back_s:.2f} s")
    check_errors(clients)
    await watch.whole()
    await check_counters(grid, table, clients)


async def _refused(connection: psycopg.AsyncConnection[object], sql: str) -> None:
    """Until the lease is over there are answers, then errors of the retriable class."""
    deadline_s = time.monotonic() + LEASE_S + 1.0
    while time.monotonic() < deadline_s:
        try:
            await connection.execute(sql.encode())
        except psycopg.Error as error:
            assert (error.sqlstate or "08").startswith(RETRIABLE)
            return
    raise AssertionError("still answered without a quorum")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("damage", ["gone", "overwritten"])
async def test_an_element_without_its_file(grid: RealGrid, watch: Observer, damage: str) -> None:
    """It is filled again by the copy that has everything."""
    table, work = await make_counters(grid, CLIENTS)
    async with under_load(grid, CLIENTS, work) as clients:
        host = watch.copy(1)
        file = grid.element_file(host)
        grid.kill_instance(host)
        if damage == "gone":
            for part in file.parent.glob("element.db*"):
                part.unlink()
        else:
            for part in file.parent.glob("element.db-*"):
                part.unlink()  # the WAL may hold the pages that are overwritten, and mend them
            with file.open("r+b") as opened:
                opened.write(b"no SQLite file" * 1000)
        await watch.gone(host)
        await asyncio.to_thread(grid.start_instance, host)
        await watch.whole()
        await asyncio.sleep(AFTER_S)  # the load goes on
    check_errors(clients)
    await check_counters(grid, table, clients)
    assert (file.parent / "damaged").exists() == (damage == "overwritten")
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)
