"""A replica set is lost and evicted: what the others know of its rows is put right."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from data.admin.element_state import Verb
from data.exec.distribution_views import word_of
from mgmt.api.schema_databases import Going
from tests.support.growing_grid import GrowingGrid, growing_grid

ROWS = 1200


async def fill(grid: GrowingGrid) -> None:
    client = await grid.connect(3)
    await client.execute(
        "CREATE TABLE t (a NUMBER(9) PRIMARY KEY, u VARCHAR2(20) UNIQUE, v NUMBER(9), w NUMBER)"
    )
    await client.execute("CREATE GLOBAL INDEX tv ON t (v)")
    await client.execute("CREATE SEQUENCE s")
    await client.execute(
        "CREATE TABLE child (id NUMBER(9) PRIMARY KEY, t NUMBER(9), "
        "CONSTRAINT of_t FOREIGN KEY (t) REFERENCES t (a)) DISTRIBUTE BY HASH (id)"
    )
    rows = [(n, f"u{n}", n % 40, n) for n in range(ROWS)]
    await client.copy_records_to_table("t", records=rows)
    await client.execute("INSERT INTO t VALUES (-1, NULL, NULL, NULL)")  # has no entries
    await client.close()


def entries(grid: GrowingGrid, host: int) -> dict[str, list[tuple[object, ...]]]:
    """Of all global indexes in one element: table -> rows."""
    element = grid.nodes[host].database().element
    names = element.read("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'GI.*'")
    return {str(name): grid.nodes[host].rows(str(name)) for (name,) in names}


async def states(client: asyncpg.Connection) -> dict[int, str]:
    """What this element sees, after all elements see the same."""
    rows = await client.fetch("SELECT stateelementid, state, elementid FROM gv$distribution_state")
    here = await client.fetch("SELECT stateelementid, state FROM v$distribution_state")
    seen = {int(number): str(state) for number, state in here}
    assert {(int(number), str(state)) for number, state, _ in rows} == set(seen.items())
    return seen


@pytest.mark.parametrize("replaced", [False, True], ids=["given up", "replaced"])
async def test_global_indexes_are_whole_after_an_eviction(tmp_path: Path, replaced: bool) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        await fill(grid)
        if replaced:
            await grid.add_late({7: 1, 8: 2})
        lost = {int(str(row[0])) for row in grid.nodes[3].rows("TERRY.T")} - {-1}
        left = set(range(ROWS)) - lost
        assert lost
        client = await grid.connect(3)
        children = [(5000 + n, n) for n in range(40)]
        await client.executemany("INSERT INTO child VALUES ($1, $2)", children)
        await client.close()
        assert all(entries(grid, 3).values())
        await asyncio.gather(grid.nodes[3].stop(), grid.nodes[4].stop())
        client = await grid.connect(5)
        new = {5: "Active", 6: "Active"} if replaced else {}
        assert await states(client) == {1: "Down", 2: "Down", 3: "Active", 4: "Active"}
        await client.close()
        events: list[str] = []
        by = ("host7", "host8") if replaced else ("", "")
        evicted = (Going("host3", by[0]), Going("host4", by[1]))
        await grid.distribute(events, evict=evicted, apply=True)
        told = [e for e in events if "entries made anew" in e]
        assert len(told) == 1, events
        assert "sequences begin anew: TERRY.S" in told[0]
        assert "look at foreign keys: TERRY.CHILD.OF_T to TERRY.T" in told[0]

        client = await grid.connect(5)
        gone = {1: "Evicted", 2: "Evicted"}
        assert await states(client) == {**gone, 3: "Active", 4: "Active", **new}
        for n in sorted(left):
            assert await client.fetchval("SELECT a FROM t WHERE u = $1", f"u{n}") == n
        for v in range(40):
            found = await client.fetch("SELECT a FROM t WHERE v = $1", v)
            assert {int(row["a"]) for row in found} == {n for n in left if n % 40 == v}
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute("INSERT INTO t VALUES (-2, $1, 0, 0)", f"u{min(left)}")
        orphans = (
            "FROM child c WHERE t IS NOT NULL AND NOT EXISTS (SELECT 1 FROM t WHERE t.a = c.t)"
        )
        remain = {int(r["t"]) for r in await client.fetch("SELECT t FROM child")}
        there = remain & left
        assert {int(r["t"]) for r in await client.fetch(f"SELECT t {orphans}")} == remain - left
        assert there != remain
        await client.execute(f"DELETE {orphans}")
        assert {int(r["t"]) for r in await client.fetch("SELECT t FROM child")} == there
        rows = [(n, f"u{n}", n % 40) for n in sorted(lost)]
        await client.executemany("INSERT INTO t VALUES ($1, $2, $3, 0)", rows)
        await client.execute("DELETE FROM t WHERE a = $1", min(left))
        await client.execute("INSERT INTO t VALUES ($1, $2, 0, 0)", min(left), f"u{min(left)}")
        await client.close()
        assert entries(grid, 5) == entries(grid, 6)
        there_too = entries(grid, 7) if replaced else {}
        for name, one in entries(grid, 5).items():
            assert len(one) + len(there_too.get(name, ())) == ROWS
        if replaced:
            assert there_too == entries(grid, 8)
            assert all(there_too.values())


async def test_the_view_of_states_knows_what_elements_say_of_themselves(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        client = await grid.connect(3)
        other = grid.nodes[4].instance
        assert other is not None
        spec = other.keeper.reports()[0]
        await other.keeper.perform("database1", spec.database_id, Verb.CLOSE)
        await other.keeper.perform("database1", spec.database_id, Verb.UNLOAD)
        assert await states(client) == {1: "Active", 2: "Unloaded"}
        await other.keeper.perform("database1", spec.database_id, Verb.LOAD)
        await grid.until(lambda: grid.nodes[4].database().member.in_sync)
        assert await states(client) == {1: "Active", 2: "Active"}
        await client.close()


def test_words_of_the_keeper() -> None:
    assert [word_of(s) for s in ("load failed", "create failed", "unloaded", "created")] == [
        "Failed", "Failed", "Unloaded", "Unloaded",
    ]  # fmt: skip
    assert [word_of(s) for s in ("opened", "loaded", "open failed", "loading")] == [""] * 4
