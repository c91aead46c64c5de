"""Coordinators that die with open and prepared transactions, and the loss of the quorum."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import psycopg
import pytest

from deploy.grid_plan import DATABASE
from tests.faults.counters import check_counters, make_counters
from tests.faults.test_suspended import add_rows, client_at, told, values
from tests.support.copies import ElementRows
from tests.support.load import Connection, check_errors, longest_gaps, under_load
from tests.support.real_grid import Observer, RealGrid

CLIENTS = 8
AT_ONCE_S = 1.5  # the supervisor reports the death; nothing waits for a lease
LEASE_S = 2.0
STOPPED_S = LEASE_S + 1.0  # by then every instance knows that there is no quorum
BACK_S = 25.0  # two JVMs start, sessions begin anew
MEANWHILE = "UPDATE {} SET n = 9 WHERE id = {}"


@pytest.mark.timeout(90)
async def test_coordinator_killed_with_an_open_transaction(grid: RealGrid, watch: Observer) -> None:
    """Who waits for its locks gets them at once; other instances' clients see nothing else."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    host, lead = watch.copy(1), watch.lead(1)
    of_set = await add_rows(grid, watch, lead, table)
    pair = [of_set[1][0], of_set[2][0]]
    gone = grid.address(host)
    async with (
        under_load(grid, CLIENTS, work) as clients,
        client_at(grid, host) as mine,
        client_at(grid, lead) as first,
        client_at(grid, lead) as second,
    ):
        await mine.execute("BEGIN")
        for row in pair:
            await mine.execute(f"UPDATE {table} SET n = 1 WHERE id = {row}".encode())
        for one in (first, second):
            await one.execute("BEGIN")  # a transaction shows whom it waits for
        waiting = [
            asyncio.create_task(told(one.execute(MEANWHILE.format(table, row).encode())))
            for one, row in zip((first, second), pair, strict=True)
        ]
        await _both_wait(grid, watch.copy(2))
        before = watch.incarnation(host)
        at_s = time.monotonic()
        grid.kill_daemon(host)
        async with asyncio.timeout(AT_ONCE_S):
            assert await asyncio.gather(*waiting) == ["", ""]
        freed_s = time.monotonic() - at_s
        assert await told(mine.execute("COMMIT")), "a commit that was none"
        for one in (first, second):
            await one.execute("COMMIT")
        assert await values(first, table, pair) == [9, 9]
        await watch.reborn(host, before)
        await watch.whole()
    there = [client for client in clients if client.address != gone]
    pause_s = max(longest_gaps(there, at_s, at_s + 3.0))
    print(f"\nlocks free after {freed_s:.2f} s, others paused for {pause_s:.2f} s")
    assert pause_s < AT_ONCE_S
    check_errors(clients)
    await check_counters(grid, table, clients)


@pytest.mark.timeout(120)
async def test_coordinator_killed_with_a_prepared_transaction(
    grid: RealGrid, watch: Observer
) -> None:
    """Prepared at replica set 2, and nobody of replica set 1, which decides, answers: in doubt, as
    dbTransactions says. The others go on; when replica set 1 is back it is resolved: committed if
    the coordinator's last message had left it, else not, and the same at both."""
    table, _ = await make_counters(grid, 1)
    await watch.settled()
    host, asked = watch.copy(2), watch.lead(2)  # the coordinator leads nothing
    of_set = await add_rows(grid, watch, asked, table)
    pair = [of_set[1][0], of_set[2][0]]
    before = watch.incarnation(host)
    async with client_at(grid, host) as mine:
        await mine.execute("BEGIN")
        for row in pair:
            await mine.execute(f"UPDATE {table} SET n = 1 WHERE id = {row}".encode())
        (row,) = await _transactions(grid, lambda found: len(found) == 1)
        assert (row["state"], row["participants"], row["preparedAt"]) == ("open", [1, 2], [])
        for one in watch.replica_sets[1]:
            grid.suspend(one)
        commit = asyncio.create_task(told(mine.execute("COMMIT")))
        async with asyncio.timeout(LEASE_S):
            while not ElementRows(grid.element_file(asked), 1).prepared:
                await asyncio.sleep(0.01)  # a file of another process: nothing tells of changes
        grid.kill_daemon(host)
        assert (await commit).startswith("08"), "nobody may know the outcome"
    for one in watch.replica_sets[1]:
        await watch.gone(one)  # until then the others cannot tell who is cut off
    (row,) = await _transactions(grid, lambda found: _states(found) == {"in doubt"})
    text = await asyncio.to_thread(grid.admin, "dbTransactions", DATABASE, "-inDoubt")
    (line,) = [one for one in text.splitlines() if one.startswith(row["transaction"])]
    assert " in doubt " in line
    assert "1,2*" in line
    async with client_at(grid, asked) as other:
        async with asyncio.timeout(AT_ONCE_S):  # what it does not hold is free
            await other.execute(MEANWHILE.format(table, of_set[2][1]).encode())
        locked = f"UPDATE {table} SET n = n + 9 WHERE id = {pair[1]}".encode()
        await other.execute("ALTER SESSION SET LOCK_WAIT = 0")
        assert await told(other.execute(locked)) == "55P03", "it may be decided yet"
        await other.execute("ALTER SESSION SET LOCK_WAIT = 15")
        at_s = time.monotonic()
        waiting = asyncio.create_task(told(other.execute(locked)))
        for one in watch.replica_sets[1]:
            grid.resume(one)
        assert await waiting == ""
        print(f"\nresolved after {time.monotonic() - at_s:.2f} s")
        await watch.reborn(host, before)
        await watch.whole()
        assert not await _transactions(grid, lambda found: not found)
        assert await values(other, table, pair) in ([0, 9], [1, 10]), "whole or not at all"
    text = await asyncio.to_thread(grid.admin, "dbTransactions", DATABASE)
    assert row["transaction"] not in text


@pytest.mark.timeout(120)
async def test_loss_and_return_of_the_quorum(grid: RealGrid, watch: Observer) -> None:
    """SQL stops within the lease with an error that says why; the same processes go on after it."""
    table, work = await make_counters(grid, CLIENTS)
    await watch.settled()
    of_set = await add_rows(grid, watch, watch.lead(1), table)
    row = of_set[1][0]
    async with contextlib.AsyncExitStack() as stack:
        clients = await stack.enter_async_context(under_load(grid, CLIENTS, work))
        sessions = [await stack.enter_async_context(client_at(grid, h)) for h in grid.hosts]
        daemons = {host: grid.daemon_pid(host) for host in grid.hosts}
        for number in (1, 2):
            grid.kill_membership_server(number)
        at_s = time.monotonic()
        try:
            stops = [_until_refused(one, table, row) for one in sessions]
            async with asyncio.timeout(STOPPED_S):
                errors = await asyncio.gather(*stops)
            stopped_s = time.monotonic() - at_s
            for error in errors:
                assert error.sqlstate == "57P03", error
                assert "membership" in str(error)
                assert error.diag.message_hint
            for one in sessions:  # it stays so
                for sql in (
                    f"SELECT n FROM {table} WHERE id = {row}",
                    MEANWHILE.format(table, row),
                ):
                    with pytest.raises(psycopg.OperationalError) as refused:
                        await one.execute(sql.encode())
                    assert refused.value.sqlstate == "57P03"
            done = [len(client.ledger.acknowledged) for client in clients]
            await asyncio.sleep(0.5)  # nothing is done meanwhile
            assert done == [len(client.ledger.acknowledged) for client in clients]
        finally:
            starts = [asyncio.to_thread(grid.start_membership_server, n) for n in (1, 2)]
            await asyncio.gather(*starts)
        back_s = time.monotonic()
        async with asyncio.timeout(BACK_S):
            await asyncio.gather(*(client.successes_after(back_s, 3) for client in clients))
        print(f"\nstopped within {stopped_s:.2f} s, back after {time.monotonic() - back_s:.2f} s")
        for host in grid.hosts:
            await _serves_again(grid, host, table, row)
        assert daemons == {host: grid.daemon_pid(host) for host in grid.hosts}
    check_errors(clients)
    await check_counters(grid, table, clients)


async def _until_refused(connection: Connection, table: str, row: int) -> psycopg.OperationalError:
    """Reads until it is refused; until then it is told the truth."""
    while True:
        try:
            assert await values(connection, table, [row]) == [0]
        except psycopg.OperationalError as error:
            return error
        await asyncio.sleep(0.02)  # leaves the machine to the load


async def _serves_again(grid: RealGrid, host: int, table: str, row: int) -> None:
    """An instance whose session comes back later than those of others sends clients to them."""
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                async with client_at(grid, host) as one:
                    assert await values(one, table, [row]) == [0]
                    return
            except psycopg.OperationalError as error:
                assert (error.sqlstate or "08").startswith(("57P03", "08")), error
            await asyncio.sleep(0.05)  # polls, as a client that tries again


async def _both_wait(grid: RealGrid, host: int) -> None:
    """Until two transactions wait for a lock."""
    sql = b"SELECT count(*) FROM sys.gv$transaction WHERE waits_for IS NOT NULL"
    async with client_at(grid, host) as one, asyncio.timeout(10):
        while (await (await one.execute(sql)).fetchone()) != (2,):
            await asyncio.sleep(0.02)  # polls: waiting is announced to nobody


async def _transactions(grid: RealGrid, wanted: Any) -> list[dict[str, Any]]:
    """What dbTransactions shows when it shows what is wanted."""
    deadline_s = time.monotonic() + 15
    while True:
        text = await asyncio.to_thread(grid.admin, "dbTransactions", DATABASE, "-o", "json")
        found: list[dict[str, Any]] = json.loads(text)["transactions"]
        if wanted(found):
            return found
        assert time.monotonic() < deadline_s, found


def _states(found: list[dict[str, Any]]) -> set[str]:
    return {row["state"] for row in found}
