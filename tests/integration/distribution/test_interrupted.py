"""Redistributions that are cancelled, or lose management or a data instance on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mgmt.api.schema_databases import Going
from protocol.errors import GridError
from tests.support.growing_grid import GrowingGrid, growing_grid
from tests.support.writers import ROWS, Writers, fill

SLOW = 15  # rows per second: some seconds for a third of the rows


def owned(grid: GrowingGrid, number: int) -> int:
    """Buckets of a replica set."""
    return grid.map().bucket_table().count(number)


async def until_some_moved(grid: GrowingGrid, number: int) -> None:
    """Some buckets are there, and not yet all."""
    await grid.until(lambda: owned(grid, number) > 100)
    assert grid.map().moving()[1] > 0


async def lose_management(grid: GrowingGrid, work: asyncio.Task[object]) -> None:
    """Management ends in the middle of its operation; the journal says that it runs."""
    assert grid.managed.instance is not None
    await grid.managed.instance.management.runner.stop()
    await grid.managed.stop()
    assert isinstance((await asyncio.gather(work, return_exceptions=True))[0], GridError)


def rows_of(grid: GrowingGrid, *hosts: int) -> int:
    return sum(len(grid.nodes[host].rows("TERRY.T")) for host in hosts)


async def test_cancelled_moves_stay_and_the_rest_follows_later(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 1) as grid:
        await fill(grid)
        await grid.add_late({5: 1})
        work = asyncio.create_task(grid.distribute(add=("host5",), apply=True, rows_per_s=SLOW))
        await until_some_moved(grid, 3)
        shown = (await grid.status()).redistribution
        assert shown is not None
        assert (shown.buckets, 0 < shown.percent < 100) == (1365, True)
        assert shown.words().startswith(f"{shown.percent} % (")
        management = grid.managed.instance
        assert management is not None
        management.management.runner.cancel(
            max(record.id for record in management.management.runner.list())
        )
        with pytest.raises(GridError, match="cancelled"):
            await work
        moved = owned(grid, 3)
        assert 0 < moved < 1365
        client = await grid.connect(3)
        assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
        await client.execute("UPDATE t SET b = b + 1")
        shown = (await grid.status()).redistribution
        assert shown is not None
        assert 0 < shown.percent < 100
        seen = await client.fetchrow("CALL ttDistributionProgress")
        assert seen["buckets"] == 1365
        assert 0 < seen["moved"] < 1365
        assert seen["percent"] == 100 * seen["moved"] // 1365
        states = await client.fetch("SELECT status, buckets FROM sys.v$distribution_map")
        assert {row["status"] for row in states} == {"current", "previous", "next"}
        assert sum(row["buckets"] for row in states) == 3 * 4096
        await grid.distribute(apply=True)  # nothing is marked: the rest of the same
        assert owned(grid, 3) == 1365
        assert (await grid.status()).redistribution is None
        assert await client.fetchval("SELECT SUM(b - a) FROM t") == ROWS
        assert rows_of(grid, 3, 4, 5) == ROWS
        await client.close()


async def test_moves_go_on_when_management_comes_back(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 1) as grid:
        await fill(grid)
        await grid.add_late({5: 1})
        writers = Writers(grid, [3, 4])
        writers.start(2)
        work: asyncio.Task[object] = asyncio.create_task(
            grid.distribute(add=("host5",), apply=True, rows_per_s=SLOW)
        )
        await until_some_moved(grid, 3)
        await lose_management(grid, work)
        await grid.managed.start()
        await grid.until(lambda: owned(grid, 3) == 1365 and not grid.map().next_ranges)
        await writers.stop()
        await writers.check(5)
        assert rows_of(grid, 3, 4, 5) == ROWS
        assert not (await grid.element(5)).add_in_next_dist_map
        # the other way round, and stopped when the set owns nothing: what is left is its leaving
        work = asyncio.create_task(
            grid.distribute(remove=(Going("host5"),), apply=True, rows_per_s=SLOW)
        )
        await grid.until(lambda: owned(grid, 3) < 1000)
        await lose_management(grid, work)
        assert 3 in grid.map().replica_sets()
        await grid.managed.start()
        await grid.until(lambda: 3 not in grid.map().replica_sets())
        client = await grid.connect(3)
        assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
        await client.close()


@pytest.mark.slow
async def test_moves_go_on_when_a_lead_is_lost(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({5: 1, 6: 2})
        writers = Writers(grid, [3, 4, 5, 6])
        writers.start()
        request = grid.distribute(add=("host5", "host6"), apply=True, rows_per_s=SLOW)
        work = asyncio.create_task(request)
        await until_some_moved(grid, 2)
        lead = next(n for n in (3, 4) if grid.nodes[n].leads())
        await grid.nodes[lead].stop()
        await grid.nodes[lead].start()
        taker = next(n for n in (5, 6) if grid.nodes[n].leads())
        await grid.nodes[taker].stop()
        await work
        other = await grid.connect(3)
        down = "SELECT stateelementid, state, elementid FROM sys.gv$distribution_state"
        seen = {tuple(row) for row in await other.fetch(down)}
        assert len(seen) == 4 * 3
        assert {(e, s) for e, s, _ in seen if s != "Active"} == {(taker - 2, "Down")}
        versions = await other.fetch("SELECT * FROM sys.gv$distribution_version")
        assert {row["ptversion"] for row in versions} == {grid.map().version}
        where = await other.fetch("SELECT * FROM sys.v$distribution_current WHERE repset = 2")
        assert {row["serverport"] for row in where} == {
            None, grid.nodes[11 - taker].settings.cs_port,
        }  # fmt: skip
        await other.close()
        await grid.nodes[taker].start()
        await grid.until(lambda: all(n.state() == "opened" for n in grid.nodes.values()))
        await writers.stop()
        await writers.check(6)
        assert owned(grid, 1) == owned(grid, 2) == 2048
        await grid.until(lambda: grid.nodes[5].rows("TERRY.T") == grid.nodes[6].rows("TERRY.T"))
        assert rows_of(grid, 3, 5) == ROWS
