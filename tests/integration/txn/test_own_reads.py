"""A large transaction reads what it wrote, without keeping others from writing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from data.exec.shard import Shard
from data.storage.element import Element
from data.storage.sqlite import Params
from protocol.sqltypes import StorageRow
from tests.support.large import grid_for
from tests.support.memory_grid import DATABASE, MemoryGrid

ROWS = 6000  # more than stay in memory


def shards(grid: MemoryGrid) -> list[Shard]:
    return [n.instance.database(DATABASE).shard for n in grid.nodes if n.instance]


@pytest.mark.timeout(120)
async def test_reads_see_every_change_so_far_and_what_others_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_batch = Element.read_in_batch

    def in_place(element: Element, sql: str, params: Params = ()) -> list[StorageRow]:
        assert "BIG" not in sql, "it would keep others from writing"
        return read_in_batch(element, sql, params)

    monkeypatch.setattr(Element, "read_in_batch", in_place)
    async with grid_for(tmp_path, ROWS, 2) as grid:
        one, two = await grid.connect(0), await grid.connect(1)
        await one.execute("CREATE INDEX by_n ON big(n)")
        await one.execute("INSERT INTO big VALUES (-1, 'before', 1)")
        model = {-1: ("before", 1)}

        async def look() -> None:
            found = await one.fetch("SELECT id, a, n FROM big ORDER BY id")
            assert {r[0]: (r[1], int(r[2])) for r in found} == model
            total = await one.fetchrow("SELECT COUNT(*), SUM(n) FROM big WHERE n >= 0")
            assert tuple(map(int, total)) == (len(model), sum(n for _, n in model.values()))
            for key in (-2, -1, 0, 7, ROWS - 1):
                row = await one.fetchrow("SELECT a, n FROM big WHERE id = $1", key)
                assert (None if row is None else (row[0], int(row[1]))) == model.get(key)

        await one.execute("BEGIN")
        records = [(n, "x", n) for n in range(ROWS)]
        await one.copy_records_to_table("big", records=records)
        model |= {n: ("x", n) for n in range(ROWS)}
        await look()
        assert any(shard._own for shard in shards(grid))
        views = [view for shard in shards(grid) for view in shard._own.values()]
        await two.execute("INSERT INTO big VALUES (-2, 'others', 2)")
        await two.execute("UPDATE small SET n = 5 WHERE id = 5")
        model[-2] = ("others", 2)
        await look()
        again = [view for shard in shards(grid) for view in shard._own.values()]
        assert again == views, "only what is new is laid on top"
        joined = await one.fetchval("SELECT s.n FROM big b, small s WHERE b.id = 5 AND s.id = b.id")
        assert joined == 5
        hint = "SELECT /*+ TT_INDEX(big, by_n, 1) */ a FROM big WHERE n = $1"
        assert await one.fetchval(hint, 7) == "x", "what is laid on top has no index of that name"
        await one.execute("SAVEPOINT here")
        kept = dict(model)
        await one.execute("UPDATE big SET n = n + 1, a = 'y' WHERE id >= 3000")
        model |= {k: ("y", n + 1) for k, (_, n) in model.items() if k >= 3000}
        await look()
        await one.execute("DELETE FROM big WHERE id < 10")
        await one.execute("INSERT INTO big VALUES (7, 'again', 77)")
        model = {k: v for k, v in model.items() if k >= 10} | {7: ("again", 77)}
        await look()
        await one.execute("ROLLBACK TO SAVEPOINT here")
        model = kept
        await look()
        await one.execute("DELETE FROM big WHERE id >= 5990")
        model = {k: v for k, v in model.items() if k < 5990}
        await look()
        await one.execute("COMMIT")
        await look()
        async with asyncio.timeout(10):
            while any(shard._own for shard in shards(grid)):
                await asyncio.sleep(0.01)  # stands for the housekeeping
        await one.close()
        await two.close()
