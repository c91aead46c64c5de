"""A replica set that is down blocks what touches it and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.exec import running
from data.txn import manager
from protocol.messages.admin import INTENT_CREATED
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid
from tests.support.power import set_intent

ROWS = 20


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    for module in (running, manager):  # how long a statement waits for a lead
        monkeypatch.setattr(module, "FAILOVER_WAIT_S", 0.5)
    async with running_grid(tmp_path) as made:
        yield made
        await set_intent(made, INTENT_CREATED)


async def test_the_others_go_on(grid: MemoryGrid) -> None:
    client = await grid.connect(2, server_settings={"lock_wait": "0"})
    await client.execute("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v NUMBER(10))")
    rows = ",".join(f"({n}, 0)" for n in range(ROWS))
    await client.execute(f"INSERT INTO t VALUES {rows}")
    here = {int(row[0]) for row in grid.contents(grid.nodes[2], "TERRY.T")}
    down, up = min(set(range(ROWS)) - here), min(here)
    for node in grid.nodes[:2]:
        await grid.stop_node(node)
    for text in (
        f"SELECT v FROM t WHERE id = {down}",
        f"UPDATE t SET v = 1 WHERE id = {down}",
        "SELECT SUM(v) FROM t",
    ):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await client.execute(text)
        assert failed.value.sqlstate == "57P04"  # worth a retry
        assert "replica set" in str(failed.value)
    await client.execute(f"UPDATE t SET v = 5 WHERE id = {up}")
    assert await client.fetchval(f"SELECT v FROM t WHERE id = {up}") == 5
    for node in grid.nodes[:2]:
        await grid.start_node(node)
    for node in grid.nodes:
        await grid.ready(node)
    assert await client.fetchval("SELECT SUM(v) FROM t") == 5
    await client.close()
    assert grid.nodes[0].instance is not None
    assert grid.nodes[0].instance.database(DATABASE).member.in_sync
