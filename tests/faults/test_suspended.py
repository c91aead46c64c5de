"""Processes that hang for longer than the lease: nothing old, no commit that is none."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from tests.faults.counters import check_counters, make_counters
from tests.support.load import RETRIABLE, Connection, LoadClient, check_errors, under_load
from tests.support.load import longest_gaps as gaps_of
from tests.support.real_grid import Observer, RealGrid

CLIENTS = 8
HANGS_S = 3.5  # longer than a lease; the drill's suspensions are up to 10 s
SERVED_S = 6.0  # within this time the others have taken over what a sleeping instance held
ROWS = range(100_000, 100_020)  # beside the rows of the load, in both replica sets
RETRY = tuple(RETRIABLE)


@contextlib.asynccontextmanager
async def client_at(grid: RealGrid, host: int) -> AsyncIterator[Connection]:
    """A connection to one data instance."""
    connection = await psycopg.AsyncConnection.connect(**grid.words(grid.address(host)))
    try:
        yield connection
    finally:
        await connection.close()


async def add_rows(grid: RealGrid, watch: Observer, host: int, table: str) -> dict[int, list[int]]:
    """ROWS with value 0; the rows of each replica set."""
    async with client_at(grid, host) as one:
        for row in ROWS:
            await one.execute(f"INSERT INTO {table} VALUES ({row}, 0)".encode())
        found: dict[int, list[int]] = {}
        for rs in watch.replica_sets:
            sql = (
                f"SELECT id FROM {table} WHERE id >= {ROWS.start}"
                f" AND replicasetid# = {rs} ORDER BY id"
            )
            rows = await (await one.execute(sql.encode())).fetchall()
            found[rs] = [int(row) for (row,) in rows]
    assert all(found.values())
    return found


async def values(connection: Connection, table: str, rows: list[int]) -> list[int]:
    """What they hold, in this order, by one statement."""
    sql = f"SELECT id, n FROM {table} WHERE id IN ({','.join(map(str, rows))})"
    found = dict(await (await connection.execute(sql.encode())).fetchall())
    return [int(found[row]) for row in rows]


async def told(work: Any) -> str:
    """ "" if it succeeded, else the SQLSTATE; the lost connection is 08006."""
    try:
        await work
    except psycopg.OperationalError as error:
        state = error.sqlstate or "08006"
        assert state.startswith(RETRY), f"{state} {error}"
        return state
    return ""


def others(clients: list[LoadClient], address: str) -> list[LoadClient]:
    """Clients that never were at an instance since it hangs."""
    return [client for client in clients if client.address != address]


@pytest.mark.timeout(90)
async def test_a_suspended_copy_that_coordinates_open_transactions(
    grid: RealGrid, watch: Observer
) -> None:
    """Its transactions are over for the others: locks free. When it wakes its clients hear so."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    host = watch.copy(1)
    lead = watch.lead(1)
    of_set = await add_rows(grid, watch, lead, table)
    pair = [of_set[1][0], of_set[2][0]]
    async with (
        under_load(grid, CLIENTS, work) as clients,
        client_at(grid, host) as idle,
        client_at(grid, host) as committing,
        client_at(grid, lead) as other,
    ):
        for connection, rows in ((idle, pair), (committing, [of_set[1][1], of_set[2][1]])):
            await connection.execute("BEGIN")
            for row in rows:
                await connection.execute(f"UPDATE {table} SET n = 1 WHERE id = {row}".encode())
        at_s = time.monotonic()
        grid.suspend(host)
        commit = asyncio.create_task(told(committing.execute("COMMIT")))
        async with asyncio.timeout(SERVED_S):  # waits for their locks, and gets them
            for row in pair:
                await other.execute(f"UPDATE {table} SET n = 2 WHERE id = {row}".encode())
        freed_s = time.monotonic() - at_s
        await asyncio.sleep(max(0.0, HANGS_S - freed_s))  # as long as the test's name says
        asked = asyncio.create_task(told(idle.execute("COMMIT")))
        grid.resume(host)
        async with asyncio.timeout(SERVED_S):
            assert await asked, "a commit that was none"
            outcome = await commit
        await watch.whole()
        assert await values(other, table, pair) == [2, 2]
        found = await values(other, table, [of_set[1][1], of_set[2][1]])
        if outcome == "":
            assert found == [1, 1]
        elif not outcome.startswith("08"):
            assert found == [0, 0], outcome
        assert found[0] == found[1]
    pause_s = max(gaps_of(others(clients, grid.address(host)), at_s, at_s + HANGS_S))
    print(f"\nlocks free after {freed_s:.2f} s, commit {outcome or 'done'}, pause {pause_s:.2f} s")
    assert pause_s < SERVED_S / 2
    check_errors(clients)
    await check_counters(grid, table, clients)


@pytest.mark.timeout(90)
async def test_readers_of_a_suspended_lead(grid: RealGrid, watch: Observer) -> None:
    """A cursor and statements on the connection that the lead serves: the moment the cursor was
    opened or an error, what is newest or an error."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    host = watch.lead(1)
    away = watch.lead(2)
    of_set = await add_rows(grid, watch, away, table)
    async with (
        under_load(grid, CLIENTS, work) as clients,
        client_at(grid, host) as reading,
        client_at(grid, host) as asking,
        client_at(grid, away) as other,
        client_at(grid, away) as register,
    ):
        await reading.execute("BEGIN")
        sql = f"SELECT n FROM {table} WHERE id >= {ROWS.start} ORDER BY id"
        await reading.execute(f"DECLARE c CURSOR FOR {sql}".encode())
        first = await (await reading.execute("FETCH 3 FROM c")).fetchall()
        assert first == [(0,)] * 3
        stop = asyncio.Event()
        watcher = asyncio.create_task(_never_older(register, other, table, of_set[1][-1], stop))
        grid.suspend(host)
        at_s = time.monotonic()
        fetched = asyncio.create_task(_rest(reading))
        await watch.new_lead(1, host)
        async with client_at(grid, away) as writer:
            for row in ROWS[:-1]:
                if row != of_set[1][-1]:
                    await writer.execute(f"UPDATE {table} SET n = 5 WHERE id = {row}".encode())
        asked = asyncio.create_task(_one(asking, table, of_set[1][0]))
        await asyncio.sleep(max(0.0, HANGS_S - (time.monotonic() - at_s)))  # it hangs
        grid.resume(host)
        async with asyncio.timeout(SERVED_S):
            old, new = await fetched, await asked
        stop.set()
        steps = await watcher
        await watch.whole()
    assert old is None or old == [(0,)] * (len(ROWS) - 3), old
    assert new in (None, 5)
    assert steps > 1
    print(f"\ncursor {'error' if old is None else 'whole'}, statement {new}, {steps} steps")
    check_errors(clients)
    await check_counters(grid, table, clients)


@pytest.mark.timeout(60)
async def test_suspended_management(grid: RealGrid, watch: Observer) -> None:
    """No statement fails and no lead changes; commands are answered again when it wakes."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    before = {rs: watch.state(rs).term for rs in watch.replica_sets}
    async with under_load(grid, CLIENTS, work) as clients:
        at_s = time.monotonic()
        grid.signal_management(signal.SIGSTOP)
        try:
            await asyncio.sleep(HANGS_S)  # it hangs
            waiting = asyncio.create_task(asyncio.to_thread(grid.summary))
        finally:
            grid.signal_management(signal.SIGCONT)
        assert await waiting == "created,loaded-complete,open"
        await asyncio.gather(*(c.successes_after(time.monotonic(), 5) for c in clients))
    assert not check_errors(clients)
    assert max(gaps_of(clients, at_s, at_s + HANGS_S + 2)) < 1.0
    assert before == {rs: watch.state(rs).term for rs in watch.replica_sets}
    await check_counters(grid, table, clients)


async def _never_older(
    writer: Connection, reader: Connection, table: str, row: int, stop: asyncio.Event
) -> int:
    """One register: each read finds what was acknowledged before it, or newer; steps done."""
    known = steps = 0
    for value in range(1, 1_000_000):
        if stop.is_set():
            break
        update = f"UPDATE {table} SET n = {value} WHERE id = {row}".encode()
        wrote = not await told(writer.execute(update))
        seen = await _one(reader, table, row)
        if seen is not None:
            assert known <= seen <= value, f"{seen} after {known} was acknowledged"
            assert not wrote or seen == value
            known, steps = seen, steps + 1
        await asyncio.sleep(0.01)  # leaves the machine to the load
    return steps


async def _one(connection: Connection, table: str, row: int) -> int | None:
    try:
        return (await values(connection, table, [row]))[0]
    except psycopg.OperationalError as error:
        assert (error.sqlstate or "08").startswith(RETRY), error
        return None


async def _rest(connection: Connection) -> list[tuple[Any, ...]] | None:
    try:
        return await (await connection.execute("FETCH ALL FROM c")).fetchall()
    except psycopg.OperationalError as error:
        assert (error.sqlstate or "08").startswith(RETRY), error
        return None
