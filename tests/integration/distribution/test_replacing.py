"""Elements outside the map, and elements that take the place of others, with rows and clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from mgmt.api import schema
from mgmt.api import schema_databases as requests
from mgmt.api.schema_databases import Going
from mgmt.service.redistribution import AWAIT_JOINED
from protocol.errors import GridError
from tests.support.growing_grid import DATABASE, growing_grid
from tests.support.writers import ROWS, Writers, fill, refused


async def test_a_late_instance_waits_outside_the_map(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({5: 1})
        shown = await grid.element(5)
        assert (shown.loaded, shown.in_cur_dist_map, shown.sync_replica_set) == (True, False, 0)
        with pytest.raises(asyncpg.CannotConnectNowError, match="not in the distribution map"):
            await grid.connect(5)
        assert [e.replica_set for e in grid.map().elements] == [1, 1, 0]
        assert (await grid.status()).overall.summary == ("created", "loaded-complete", "open")


async def test_a_lead_is_replaced_while_clients_write(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({7: 1, 8: 2})
        other_group = await refused(grid, remove=(Going("host6", "host7"),), apply=True)
        assert "group 1 and cannot replace host6.instance1 of group 2" in other_group.message
        assert (await grid.element(6)).role == "lead"
        writers = Writers(grid, [3, 4, 5, 6])
        writers.start()
        await grid.until(lambda: writers.done > 100)
        listed = await grid.distribute(remove=(Going("host6", "host8.instance1"),))
        assert listed.messages == (
            "Element host6.instance1 is removed and replaced by host8.instance1",
        )
        assert (await grid.element(6)).remove_in_next_dist_map
        assert (await grid.element(8)).add_in_next_dist_map
        rows = (await grid.distribute(list=True)).elements
        assert [r.change for r in rows if r.host == "host6"] == [
            "Remove (replaced by host8.instance1)"
        ]
        events: list[str] = []
        reply = await grid.distribute(events, apply=True)
        assert reply.messages == ("Distribution map updated",)
        assert [e for e in events if e.startswith("step")] == [
            "step Adding the replacements to their replica sets",
            "step Waiting until the replacements have all rows",
            "step Taking the replaced elements out",
            "step Updating the distribution map",
        ]
        before = writers.done
        await grid.until(lambda: writers.done > before + 100)
        await writers.stop()
        await writers.check(8)
        assert [e.element for e in grid.map().replica_sets()[1]] == [1, 2]
        assert [e.element for e in grid.map().replica_sets()[2]] == [3, 6]
        assert grid.nodes[8].rows("TERRY.T") == grid.nodes[5].rows("TERRY.T")
        gone, new = await grid.element(6), await grid.element(8)
        assert (gone.state, gone.in_cur_dist_map, gone.in_prev_dist_map) == (
            "unloaded", False, True,
        )  # fmt: skip
        assert (new.in_cur_dist_map, new.in_prev_dist_map, new.sync_replica_set) == (True, False, 2)
        assert not new.add_in_next_dist_map

        # what was taken out stays out, also after a restart, until it is destroyed
        await grid.nodes[6].stop()
        await grid.nodes[6].start()
        old = await refused(grid, add=("host6",))
        assert "was removed: its files are old" in old.message
        assert grid.nodes[6].state() == "unloaded"
        await grid.managed.call(requests.DbDestroy(name=DATABASE, instance="host6", wait_s=30))
        await grid.until(lambda: grid.nodes[6].state() == "opened")
        assert (await grid.element(6)).element_number == 7


async def test_dead_elements_are_replaced_and_replacements_taken_back(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({5: 1, 6: 1})
        not_dead = await refused(grid, evict=(Going("host3", "host5"),), apply=True)
        assert "not permanently failed" in not_dead.message
        alone = await refused(grid, remove=(Going("host3"),), apply=True)
        assert "see host4.instance1" in alone.message
        whole = await refused(grid, remove=(Going("host3"), Going("host4")), apply=True)
        assert "last replica set" in whole.message

        await grid.nodes[3].stop()
        await grid.nodes[5].stop()  # the replacement does not run: nobody can make it a copy
        away = await refused(grid, evict=(Going("host3", "host5"),), apply=True)
        assert "must be loaded: host5.instance1 is not" in away.message
        await grid.distribute(evict=(Going("host3", "host6"),), apply=True)
        assert (await grid.element(3)).evict_in_next_dist_map is False
        assert (await grid.element(3)).state == "evicted"
        assert grid.nodes[6].rows("TERRY.T") == grid.nodes[4].rows("TERRY.T")
        await grid.nodes[3].start()
        await grid.until(lambda: grid.nodes[3].state() == "unloaded")
        assert (await grid.element(3)).state == "evicted (unloaded)"

        # cancelled while the replacement catches up: -reset takes it out again
        await grid.nodes[5].start()
        await grid.until(lambda: grid.nodes[5].state() == "opened")
        joined = asyncio.Event()
        runner = grid.managed.instance.management.runner  # type: ignore[union-attr]

        async def never(body: dict[str, object], context: object) -> str:
            joined.set()
            await asyncio.Event().wait()
            raise AssertionError

        real = runner._performers[AWAIT_JOINED]
        runner._performers[AWAIT_JOINED] = never
        work = asyncio.create_task(grid.distribute(remove=(Going("host6", "host5"),), apply=True))
        await joined.wait()
        runner.cancel(max(record.id for record in runner.list()))
        with pytest.raises(GridError):
            await work
        runner._performers[AWAIT_JOINED] = real
        assert (await grid.element(5)).sync_replica_set == 1
        await grid.distribute(reset=True)
        assert [e.element for e in grid.map().replica_sets()[1]] == [4, 2]
        assert (await grid.element(5)).state == "unloaded"
        assert not (await grid.element(6)).remove_in_next_dist_map
        assert (await grid.distribute(resync=True)).messages == ("Distribution map is in step",)
        client = await grid.connect(6)
        assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
        await client.close()


@pytest.mark.slow
async def test_a_spare_takes_the_place_of_a_dead_element_if_told_so(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        await fill(grid)
        await grid.add_late({5: 1, 6: 2})
        await grid.managed.call(schema.GridModify(replace_after_s=1))
        await grid.nodes[4].stop()
        await grid.until(lambda: [e.element for e in grid.map().replica_sets()[1]] == [1, 4])
        await grid.until(lambda: grid.nodes[6].rows("TERRY.T") == grid.nodes[3].rows("TERRY.T"))
        assert (await grid.element(4)).state == "evicted"
        await grid.nodes[3].stop()
        await grid.until(lambda: [e.element for e in grid.map().replica_sets()[1]] == [3, 4])
        client = await grid.connect(5)
        assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
        await client.close()
