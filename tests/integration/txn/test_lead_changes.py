"""A transaction whose lead is lost between two statements: class 40, and only ROLLBACK works.

K = 2; with the transaction at one replica set and at two, with and without a savepoint. The
changes of a transaction live in the lead's memory (data/txn/DESIGN.md): its copy takes over without
them, so nothing of it may be committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.support.load import Connection
from tests.support.memory_grid import ADDRESS, DATABASE, PASSWORD, USER, MemoryGrid, running_grid

KEYS = range(20)  # in both replica sets
AFTER = {  # what the client says next; all of it is refused, with the SQLSTATE
    "a statement": "SELECT n FROM t WHERE id = {key}",
    "a change": "UPDATE t SET n = 3 WHERE id = {key}",
    "a savepoint": "SAVEPOINT more",
    "back to the savepoint": "ROLLBACK TO SAVEPOINT s",
    "release": "RELEASE SAVEPOINT s",
}


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Replica set 1 is led by node 0 (its copy: node 1), set 2 by node 3 (its copy: node 2)."""
    async with running_grid(tmp_path) as made:
        client = await made.connect(2)
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10))")
        for key in KEYS:
            await client.execute("INSERT INTO t VALUES ($1, 0)", key)
        await client.close()
        await _until(
            lambda: [_role(made, at) for at in range(4)] == ["lead", "copy", "copy", "lead"]
        )
        yield made


def _role(grid: MemoryGrid, at: int) -> str:
    instance = grid.nodes[at].instance
    assert instance is not None
    return instance.database(DATABASE).member.role


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_true():
            await asyncio.sleep(0.01)  # looks at states of several machines


async def _client(grid: MemoryGrid, at: int) -> Connection:
    return await psycopg.AsyncConnection.connect(
        host=ADDRESS,
        port=grid.nodes[at].settings.cs_port,
        user=USER,
        password=PASSWORD,
        dbname=DATABASE,
        autocommit=True,
    )


async def _lose_lead_of_set_1(grid: MemoryGrid) -> None:
    """It is dead, as its supervisor says; the copy leads."""
    dead, copy = grid.nodes[0], grid.nodes[1].membership
    assert copy is not None
    await copy.report_death(f"{dead.name}-{dead.lives}")
    await _until(lambda: _role(grid, 1) == "lead")


async def _refused(client: Connection, sql: str) -> psycopg.Error:
    with pytest.raises(psycopg.Error) as caught:
        await client.execute(sql.encode())
    return caught.value


async def _numbers(client: Connection) -> set[int]:
    rows = await (await client.execute("SELECT DISTINCT n FROM t")).fetchall()
    return {int(n) for (n,) in rows}


async def _begun(grid: MemoryGrid, keys: list[int]) -> Connection:
    """A client in a transaction that changed these rows, before and after SAVEPOINT s."""
    client = await _client(grid, 2)
    await client.execute("BEGIN")
    for n in (1, 2):
        for key in keys:
            await client.execute(f"UPDATE t SET n = {n} WHERE id = {key}".encode())
        if n == 1:
            await client.execute("SAVEPOINT s")
    return client


@pytest.mark.timeout(60)
async def test_a_transaction_whose_lead_is_lost(grid: MemoryGrid) -> None:
    """At one replica set and at two: all but ROLLBACK is refused, and COMMIT is none. The sessions
    go on, the locks are free everywhere, and the same work succeeds again."""
    here = sorted(int(row[0]) for row in grid.contents(grid.nodes[1], "TERRY.T"))
    there = sorted(set(KEYS) - set(here))
    works = ([here[0]], [here[1], there[1]])
    commits = ([here[2]], [here[3], there[3]])
    working = [(await _begun(grid, keys), keys) for keys in works]
    committing = [(await _begun(grid, keys), keys) for keys in commits]
    other = await _client(grid, 2)
    await _lose_lead_of_set_1(grid)
    for client, keys in working:
        await _only_rollback_works(client, keys)
    for client, keys in committing:
        _check_class_40(await _refused(client, "COMMIT"), keys)
        assert client.info.transaction_status is TransactionStatus.IDLE, keys
    assert await _numbers(other) == {0}, "no part of any is there"
    async with asyncio.timeout(5):
        await other.execute("UPDATE t SET n = 5")
    for client, keys in (*working, *committing):
        await client.execute("BEGIN")
        for key in keys:
            await client.execute(f"UPDATE t SET n = n + 2 WHERE id = {key}".encode())
        await client.execute("COMMIT")
        await client.close()
    assert await _numbers(other) == {5, 7}
    await other.close()


async def _only_rollback_works(client: Connection, keys: list[int]) -> None:
    error = await _refused(client, f"UPDATE t SET n = 3 WHERE id = {keys[0]}")
    _check_class_40(error, keys)
    assert str(error).startswith("TT1207"), keys
    assert client.info.transaction_status is TransactionStatus.INERROR
    for what, sql in AFTER.items():
        refused = await _refused(client, sql.format(key=keys[-1]))
        assert refused.sqlstate in ("25P02", "40001"), what
        assert refused.diag.message_hint, what
        assert client.info.transaction_status is TransactionStatus.INERROR, what
    await client.execute("ROLLBACK")
    assert client.info.transaction_status is TransactionStatus.IDLE


def _check_class_40(error: psycopg.Error, keys: list[int]) -> None:
    """As drivers know it, as TimesTen's programs know it, and as people read it."""
    assert error.sqlstate == "40001", keys
    assert "57005" in f"{error} {error.diag.message_detail}", keys
    assert "again" in (error.diag.message_hint or ""), keys


@pytest.mark.timeout(60)
async def test_a_lead_that_hands_over_gives_the_transaction_along(grid: MemoryGrid) -> None:
    """It lost membership, not its copy: savepoints and all go on at the new lead.

    Its session lives on, so that the copy can only be given the lead, never take it.
    """
    client, other = await _client(grid, 2), await _client(grid, 2)
    await client.execute("BEGIN")
    await client.execute("UPDATE t SET n = 1")
    await client.execute("SAVEPOINT s")
    await client.execute("UPDATE t SET n = 2")
    grid.ensemble.silence(grid.nodes[0].name)
    await _until(lambda: _role(grid, 1) == "lead")
    await client.execute("ROLLBACK TO SAVEPOINT s")
    assert await _numbers(client) == {1}
    assert await _numbers(other) == {0}
    await client.execute("COMMIT")
    assert await _numbers(other) == {1}
    grid.ensemble.heal(grid.nodes[0].name)
    await client.close()
    await other.close()


async def test_a_lead_that_hands_over_does_not_hide_how_far_sequences_are(tmp_path: Path) -> None:
    async with running_grid(tmp_path, k=2, sets=1, session_timeout_s=5.0) as grid:
        client = await grid.connect(1)
        await client.execute("CREATE SEQUENCE counted BATCH 10")
        assert await client.fetchval("SELECT counted.NEXTVAL FROM dual") == 1
        text = "SELECT last_number FROM user_sequences"
        seen, stopping = set(), asyncio.create_task(grid.stop_node(grid.nodes[0]))
        while not stopping.done():
            seen.add(await client.fetchval(text))
        await stopping
        assert seen == {10}
