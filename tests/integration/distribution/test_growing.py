"""Replica sets that come, go and are given up, with rows of all kinds and clients that write."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mgmt.api.schema_databases import Going
from tests.support.growing_grid import GrowingGrid, growing_grid
from tests.support.writers import ROWS, Writers, fill, refused


def placed(grid: GrowingGrid, host: int) -> int:
    """Rows of the counted table on a host's element."""
    return len(grid.nodes[host].rows("TERRY.T"))


async def test_a_grid_grows_and_shrinks_while_clients_write(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({7: 1, 8: 2})
        half = await refused(grid, add=("host7",), apply=True)
        assert "group 1: 1, group 2: 0" in half.message
        await grid.distribute(add=("host7",))
        await grid.distribute(add=("host8",))
        assert (await grid.element(7)).add_in_next_dist_map
        writers = Writers(grid, [3, 4, 5, 6])
        writers.start()
        await grid.until(lambda: writers.done > 50)
        events: list[str] = []
        await grid.distribute(events, apply=True)
        before = writers.done
        await grid.until(lambda: writers.done > before + 50)
        await writers.stop()
        await writers.check(7)
        now = grid.map()
        assert sorted(now.replica_sets()) == [1, 2, 3]
        table = now.bucket_table()
        assert sorted(table.count(n) for n in (1, 2, 3)) == [1365, 1365, 1366]
        assert (now.idle, now.next_ranges) == ((), ())
        assert placed(grid, 3) + placed(grid, 5) + placed(grid, 7) == ROWS
        assert abs(placed(grid, 7) - ROWS // 3) < ROWS // 5
        for one, other in ((3, 4), (5, 6), (7, 8)):
            assert grid.nodes[one].rows("TERRY.T") == grid.nodes[other].rows("TERRY.T")
            assert len(grid.nodes[other].rows("TERRY.D")) == 3
        shown = await grid.element(7)
        assert (shown.sync_replica_set, shown.in_prev_dist_map) == (3, False)

        # the first replica set goes
        writers = Writers(grid, [5, 6, 7, 8])
        await writers.learn()
        writers.start()
        removed = (Going("host3"), Going("host4"))
        await grid.distribute(remove=removed, apply=True)
        before = writers.done
        await grid.until(lambda: writers.done > before + 50)
        await writers.stop()
        await writers.check(5)
        assert sorted(grid.map().replica_sets()) == [2, 3]
        assert set(grid.map().bucket_table()) == {2, 3}
        assert placed(grid, 5) + placed(grid, 7) == ROWS
        assert (await grid.element(3)).state == "unloaded"
        balanced = await refused(grid, apply=True)
        assert "no element is marked" in balanced.message


async def test_a_dead_replica_set_is_evicted(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({7: 1, 8: 2})
        lost = {int(str(row[0])) for row in grid.nodes[3].rows("TERRY.T")}
        both, said = (Going("host3"), Going("host4")), list[str]()
        alive = await refused(grid, events=said, evict=both, apply=True)
        assert "not permanently failed" in alive.message
        assert said == []  # nothing is evicted
        await asyncio.gather(grid.nodes[3].stop(), grid.nodes[4].stop())
        one = await refused(grid, evict=(Going("host3"),), apply=True)
        assert "see host4.instance1" in one.message
        await grid.distribute(said, evict=both, apply=True)
        assert said[0] == "line Element host3.instance1 is evicted"
        client = await grid.connect(5)
        left = {int(row["a"]) for row in await client.fetch("SELECT a FROM t")}
        assert left == set(range(ROWS)) - lost
        await client.executemany("INSERT INTO t VALUES ($1, $1)", [(n,) for n in sorted(lost)])
        assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
        assert (await grid.element(3)).state == "evicted"
        assert set(grid.map().bucket_table()) == {2}

        # the other set dies too, after a third one was added, and is replaced by empty elements
        await grid.distribute(add=("host7", "host8"), apply=True)
        there = placed(grid, 7)
        await client.close()
        await grid.add_late({9: 1, 10: 2})
        await asyncio.gather(grid.nodes[5].stop(), grid.nodes[6].stop())
        pairs = (Going("host5", "host9"), Going("host6", "host10"))
        await grid.distribute(evict=pairs, apply=True)
        assert sorted(grid.map().replica_sets()) == [3, 4]
        assert set(grid.map().bucket_table()) == {3, 4}
        client = await grid.connect(9)
        assert await client.fetchval("SELECT COUNT(*) FROM t") == there
        assert await client.fetchval("SELECT COUNT(*) FROM d") == 3
        await client.execute("CREATE TABLE later (a NUMBER(9) PRIMARY KEY)")
        await client.close()
