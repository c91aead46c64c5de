"""The 22 queries of TPC-H give PostgreSQL's answers, at a tiny scale; larger ones by command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sql.tpch import queries, reference, run
from tests.support.memory_grid import MemoryGrid

SCALE = 0.002  # 12,000 lineitems


@pytest.mark.timeout(120)
async def test_all_queries_answer_like_postgresql(tmp_path: Path) -> None:
    expected = reference.kept(SCALE)
    assert expected is not None
    assert all(expected.values())  # an empty answer shows nothing
    grid = MemoryGrid(tmp_path, k=1)
    await grid.start()
    try:
        client = await grid.connect()
        await run.load(client, SCALE)
        found = [
            await run.ask(client, name, text, expected[name])
            for name, text in queries.texts(SCALE).items()
        ]
        await client.close()
    finally:
        await grid.stop()
    assert [(r.name, r.problem) for r in found if r.problem] == []
    assert {r.kind for r in found} == {"co-located", "general"}
