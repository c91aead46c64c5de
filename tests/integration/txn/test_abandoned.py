"""Whose coordinator is gone, or forgot to say good-bye: locks do not stay for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import data.database
from data.exec.router import OnReply
from protocol.messages.txn import CommitSingle, RollBack
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid

ROWS = 20


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    monkeypatch.setattr(data.database, "UNUSED_S", 0.2)
    monkeypatch.setattr(data.database, "HOUSEKEEPING_S", 0.1)
    async with running_grid(tmp_path) as made:
        client = await made.connect()
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10))")
        for row in range(ROWS):
            await client.execute("INSERT INTO t VALUES ($1, 0)", row)
        await client.close()
        yield made


async def _update_all(grid: MemoryGrid, at: int) -> None:
    """Waits for the locks of whoever holds rows; fails after LockWait, which is longer."""
    client = await grid.connect(at)
    async with asyncio.timeout(8):
        assert await client.execute("UPDATE t SET n = n + 1") == f"UPDATE {ROWS}"
    await client.close()


async def test_a_rollback_that_got_lost_is_found_out(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grid.nodes[0].instance is not None
    router = grid.nodes[0].instance.database(DATABASE).space.router
    lost = []
    send = router.send

    def lose(rs: int, message: object, on_reply: OnReply, timeout_s: float) -> None:
        if isinstance(message, RollBack):
            lost.append(message)
        else:
            send(rs, message, on_reply, timeout_s)

    monkeypatch.setattr(router, "send", lose)
    client = await grid.connect(0)
    await client.execute("BEGIN")
    await client.execute("UPDATE t SET n = 100")
    await client.execute("ROLLBACK")
    assert len(lost) == 2
    await _update_all(grid, 1)
    assert await client.fetchval("SELECT sum(n) FROM t") == ROWS
    await client.close()


async def test_a_silent_transaction_that_goes_on_keeps_its_locks(grid: MemoryGrid) -> None:
    client, other = await grid.connect(0), await grid.connect(1)
    await client.execute("BEGIN")
    await client.execute("UPDATE t SET n = 7")
    waiting = asyncio.create_task(other.execute("UPDATE t SET n = n + 1"))
    await asyncio.sleep(1.0)  # several rounds of asking, to which there is an answer
    assert not waiting.done()
    await client.execute("COMMIT")
    await waiting
    assert await client.fetchval("SELECT sum(n) FROM t") == ROWS * 8
    await client.close()
    await other.close()


async def test_prepared_transactions_of_a_dead_coordinator_are_resolved(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after PREPARE and before the decision: aborted everywhere, at once."""
    node = grid.nodes[3]  # leads nothing
    assert node.instance is not None
    router = node.instance.database(DATABASE).space.router
    prepared = asyncio.Event()
    send = router.send

    def but_the_decision(rs: int, message: object, *rest: Any) -> None:
        if isinstance(message, CommitSingle):
            prepared.set()
        else:
            send(rs, message, *rest)

    monkeypatch.setattr(router, "send", but_the_decision)
    client = await grid.connect(3)
    await client.execute("BEGIN")
    await client.execute("UPDATE t SET n = 100")
    commit = asyncio.create_task(client.execute("COMMIT"))
    async with asyncio.timeout(5):
        await prepared.wait()
    await grid.stop_node(node)
    with pytest.raises(Exception, match=r"."):  # whatever the end of the connection looks like
        await commit
    await _update_all(grid, 0)
    reader = await grid.connect(1)
    assert await reader.fetchval("SELECT sum(n) FROM t") == ROWS
    await reader.close()
