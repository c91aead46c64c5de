"""Deadlocks over replica sets and over coordinators: found within a second, one victim each."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.memory_grid import DATABASE, MemoryGrid

FOUND_S = 1.5  # the promise is one second; two busy cores are allowed a little more
Victim = asyncpg.exceptions.DeadlockDetectedError


@pytest.fixture
async def clients(grid: MemoryGrid) -> AsyncIterator[list[asyncpg.Connection]]:
    """Three clients at three coordinators; T has a row in each replica set, row n in set n."""
    made = [await grid.connect(at) for at in range(3)]
    await made[0].execute("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v NUMBER(10))")
    await made[0].executemany("INSERT INTO t VALUES ($1, 0)", [(n,) for n in range(60)])
    yield made
    for client in made:
        await client.close()


def _rows_by_set(grid: MemoryGrid) -> list[list[int]]:
    found = []
    for node in grid.nodes:
        assert node.instance is not None
        rows = node.instance.database(DATABASE).element.read('SELECT ID FROM "TERRY.T" ORDER BY ID')
        found.append([int(row[0] or 0) for row in rows])
    return found


async def _outcome(work: object) -> str:
    try:
        await work  # type: ignore[misc]
    except Victim:
        return "victim"
    return "done"


@pytest.mark.parametrize("members", [2, 3])
async def test_a_cycle_over_replica_sets_and_coordinators(
    grid: MemoryGrid, clients: list[asyncpg.Connection], members: int
) -> None:
    rows = [some[0] for some in _rows_by_set(grid)][:members]
    ring = clients[:members]
    for client, row in zip(ring, rows, strict=True):
        await client.execute("BEGIN")
        await client.execute("UPDATE t SET v = v + 1 WHERE id = $1", row)
    started = time.monotonic()

    async def second(at: int) -> str:
        row = rows[(at + 1) % members]
        outcome = await _outcome(ring[at].execute("UPDATE t SET v = v + 10 WHERE id = $1", row))
        if outcome == "victim":
            assert time.monotonic() - started < FOUND_S
        await ring[at].execute("ROLLBACK" if outcome == "victim" else "COMMIT")
        return outcome

    outcomes = await asyncio.gather(*(second(at) for at in range(members)))
    assert outcomes == ["done"] * (members - 1) + ["victim"]  # the youngest began last
    total = await clients[0].fetchval("SELECT SUM(v) FROM t")
    assert total == 11 * (members - 1)


async def test_select_for_update_takes_part(
    grid: MemoryGrid, clients: list[asyncpg.Connection]
) -> None:
    one, other = (some[0] for some in _rows_by_set(grid)[:2])
    await clients[0].execute("BEGIN")
    await clients[0].fetch("SELECT v FROM t WHERE id = $1 FOR UPDATE", one)
    await clients[1].execute("BEGIN")
    await clients[1].fetch("SELECT v FROM t WHERE id = $1 FOR SHARE", other)
    first = asyncio.create_task(
        _outcome(clients[0].execute("UPDATE t SET v = 1 WHERE id = $1", other))
    )
    second = await _outcome(clients[1].fetch("SELECT v FROM t WHERE id < 100 FOR UPDATE"))
    assert second == "victim"
    await clients[1].execute("ROLLBACK")
    assert await first == "done"
    await clients[0].execute("COMMIT")


async def test_an_autocommit_statement_in_the_cycle_only_waits_longer(
    grid: MemoryGrid, clients: list[asyncpg.Connection]
) -> None:
    here = _rows_by_set(grid)[0][:2]
    there = _rows_by_set(grid)[1][0]
    one, two, three = clients
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET v = 1 WHERE id = $1", here[0])
    await two.execute("BEGIN")
    await two.execute("UPDATE t SET v = 1 WHERE id = $1", there)
    holder = await grid.connect(2)
    await holder.execute("BEGIN")
    await holder.execute("UPDATE t SET v = 1 WHERE id = $1", here[1])
    # it waits for the holder, is given that row, waits for the row of the first transaction then
    both = asyncio.create_task(
        three.execute(f"UPDATE t SET v = v + 100 WHERE id IN ({here[1]}, {here[0]})")
    )
    await asyncio.sleep(0.05)  # time for it to queue up; without it the test shows less
    await holder.execute("COMMIT")
    mine = asyncio.create_task(_outcome(one.execute("UPDATE t SET v = 2 WHERE id = $1", there)))
    assert await _outcome(two.execute("UPDATE t SET v = 2 WHERE id = $1", here[1])) == "done"
    await two.execute("COMMIT")
    assert await mine == "done"
    await one.execute("COMMIT")
    assert await both == "UPDATE 2"
    await holder.close()


async def test_random_transactions_never_wait_to_the_end(
    grid: MemoryGrid, clients: list[asyncpg.Connection]
) -> None:
    """No deadlock goes unseen (no 6003), and work gets done; all are counted."""
    workers = [*clients, *[await grid.connect(at % 3) for at in range(5)]]
    rows = [row for some in _rows_by_set(grid) for row in some[:3]]
    done = [0] * len(workers)
    victims = 0
    until_s = time.monotonic() + 4

    async def work(number: int) -> None:
        nonlocal victims
        chance = random.Random(number)
        client = workers[number]
        while time.monotonic() < until_s:
            some = chance.sample(rows, 3)
            if chance.random() < 0.2:
                await client.execute("UPDATE t SET v = v + 1 WHERE id = $1", some[0])
                done[number] += 1
                continue
            await client.execute("BEGIN")
            try:
                for row in some:
                    if chance.random() < 0.3:
                        await client.fetch("SELECT v FROM t WHERE id = $1 FOR UPDATE", row)
                    await client.execute("UPDATE t SET v = v + 1 WHERE id = $1", row)
                await client.execute("COMMIT")
                done[number] += len(some)
            except Victim:
                victims += 1
                await client.execute("ROLLBACK")

    await asyncio.gather(*(work(n) for n in range(len(workers))))
    assert await clients[0].fetchval("SELECT SUM(v) FROM t") == sum(done)
    assert victims
    assert min(done) > 0
    for client in workers[3:]:
        await client.close()


async def test_a_long_wait_alone_is_no_deadlock(
    grid: MemoryGrid, clients: list[asyncpg.Connection]
) -> None:
    row = _rows_by_set(grid)[0][0]
    await clients[0].execute("BEGIN")
    await clients[0].execute("UPDATE t SET v = 1 WHERE id = $1", row)
    waiting = [
        asyncio.create_task(_outcome(c.execute("UPDATE t SET v = v + 1 WHERE id = $1", row)))
        for c in clients[1:]
    ]
    await asyncio.sleep(0.6)  # two looks at least
    assert not any(task.done() for task in waiting)
    await clients[0].execute("COMMIT")
    assert await asyncio.gather(*waiting) == ["done", "done"]
