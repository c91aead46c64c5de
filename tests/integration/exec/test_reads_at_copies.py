"""Reads at a copy on a whole grid: who answers, and that nobody sees less than was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.database import Database
from data.exec.copy_reads import CopyReads
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid

READ = "SELECT v FROM r WHERE id = $1"


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=2, sets=2) as made:
        client = await made.connect()
        await client.execute("CREATE TABLE r (id TT_INTEGER PRIMARY KEY, v TT_INTEGER)")
        await client.executemany("INSERT INTO r VALUES ($1, $1)", [(n,) for n in range(40)])
        await client.close()
        yield made


def database(grid: MemoryGrid, number: int) -> Database:
    instance = grid.nodes[number].instance
    assert instance is not None
    return instance.database(DATABASE)


def copies(grid: MemoryGrid) -> list[int]:
    return [n for n in range(4) if database(grid, n).member.role == "copy"]


def reads(grid: MemoryGrid, at: int) -> CopyReads:
    return database(grid, at).space.copy_reads


async def value(client: asyncpg.Connection, number: int) -> object:
    """Of one row, by Execute with a limit of one."""
    return await client.fetchval(READ, number)


async def read_until_answered_here(grid: MemoryGrid, client: asyncpg.Connection, at: int) -> None:
    """The first reads go to the lead; the copy asks for leave meanwhile."""
    before = reads(grid, at).answered
    async with asyncio.timeout(20):
        while reads(grid, at).answered == before:
            for number in range(40):
                assert await value(client, number) == number


async def test_a_copy_answers_and_sees_what_was_acknowledged_elsewhere(grid: MemoryGrid) -> None:
    at = copies(grid)[0]
    here, elsewhere = await grid.connect(at), await grid.connect((at + 2) % 4)
    await read_until_answered_here(grid, here, at)
    for turn in range(50):
        await elsewhere.execute("UPDATE r SET v = $2 WHERE id = $1", turn % 40, -turn)
        assert await value(here, turn % 40) == -turn
        assert await value(elsewhere, turn % 40) == -turn
    await here.close()
    await elsewhere.close()


async def test_own_changes_and_locking_reads_are_not_answered_by_a_copy(grid: MemoryGrid) -> None:
    at = copies(grid)[0]
    client = await grid.connect(at)
    await read_until_answered_here(grid, client, at)
    async with client.transaction():
        for number in range(40):
            await client.execute("UPDATE r SET v = 7 WHERE id = $1", number)
            assert await value(client, number) == 7
    before = reads(grid, at).answered
    async with client.transaction(isolation="serializable"):
        for number in range(40):
            assert await value(client, number) == 7
    async with client.transaction(isolation="repeatable_read"):
        for number in range(40):
            assert await value(client, number) == 7
    assert reads(grid, at).answered == before
    await client.close()


async def test_a_schema_change_and_a_taken_over_lead_are_noticed(grid: MemoryGrid) -> None:
    at = copies(grid)[0]
    client = await grid.connect(at)
    await read_until_answered_here(grid, client, at)
    other = await grid.connect((at + 2) % 4)
    await other.execute("ALTER TABLE r ADD (w TT_INTEGER DEFAULT 5)")
    assert await client.fetchval("SELECT w FROM r WHERE id = 1") == 5
    await other.close()
    mine = database(grid, at).writer.rs
    lead = next(
        n
        for n in range(4)
        if database(grid, n).writer.rs == mine and database(grid, n).member.lead_ok()
    )
    await grid.stop_node(grid.nodes[lead])
    assert [await value(client, n) for n in range(40)] == list(range(40))
    assert database(grid, at).member.role == "lead"
    assert not database(grid, at).member.copy_ok(0)
    await client.close()


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with running_grid(
        tmp_path, k=2, sets=1, attributes=(("PermSize", "64"), ("ReadAtCopies", "0"))
    ) as grid:
        (at,) = [n for n in range(2) if database(grid, n).member.role == "copy"]
        client = await grid.connect(at)
        await client.execute("CREATE TABLE r (id TT_INTEGER PRIMARY KEY, v TT_INTEGER)")
        await client.execute("INSERT INTO r VALUES (1, 1)")
        for _ in range(50):
            assert await value(client, 1) == 1
        assert reads(grid, at).answered == 0
        await client.close()
