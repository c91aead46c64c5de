"""Large UPDATEs and DELETEs at REPEATABLE READ: on the writer's thread, with the same verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.txn.snapshot_check import Touched
from tests.support.memory_grid import MemoryGrid, running_grid

ROWS = 300


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    """Every statement that is not by key is a large one."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    monkeypatch.setattr("data.storage.changes.PIECE", 50)
    async with running_grid(tmp_path, k=1, sets=2, session_timeout_s=5.0) as made:
        client = await made.connect()
        await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, n NUMBER(9))")
        await client.copy_records_to_table("t", records=[(n, n) for n in range(ROWS)])
        await client.close()
        yield made


async def begin(grid: MemoryGrid, at: int = 0) -> asyncpg.Connection:
    """A transaction that has its snapshot."""
    client = await grid.connect(at)
    await client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert await client.fetchval("SELECT COUNT(*) FROM t") == ROWS
    return client


async def test_what_nobody_changed_is_changed(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = Touched.look

    def counted(*args: object) -> None:
        nonlocal looks
        looks += 1
        look(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Touched, "look", counted)
    client, other = await begin(grid), await grid.connect(1)
    await other.execute("INSERT INTO t VALUES (1000, 1000)")
    assert await client.execute("UPDATE t SET n = n + 1 WHERE id < 200") == "UPDATE 200"
    assert looks >= 4  # some rows at a time
    assert await client.execute("UPDATE t SET n = n + 1 WHERE id < 100") == "UPDATE 100"
    assert await client.execute("DELETE FROM t WHERE id >= 250 AND id < 300") == "DELETE 50"
    total = sum(n + (n < 200) + (n < 100) for n in range(250))
    assert await client.fetchval("SELECT SUM(n) FROM t") == total
    await client.execute("COMMIT")
    assert await other.fetchval("SELECT SUM(n) FROM t") == total + 1000
    for connection in (client, other):
        await connection.close()


@pytest.mark.parametrize("change", [
    "UPDATE t SET n = -1 WHERE id = 7",
    "DELETE FROM t WHERE id = 7",
    "INSERT INTO t VALUES (1000, 5)",
    "UPDATE t SET n = 5 WHERE id = 290",  # so it comes to be one of them
])  # fmt: skip
async def test_what_somebody_changed_is_not(grid: MemoryGrid, change: str) -> None:
    client, other = await begin(grid), await grid.connect(1)
    await other.execute(change)
    with pytest.raises(asyncpg.SerializationError):
        await client.execute("UPDATE t SET n = n + 1 WHERE n < 280")
    await client.execute("ROLLBACK")
    async with asyncio.timeout(10):  # nothing of it is left
        assert await other.execute("UPDATE t SET n = n WHERE n < 280") != "UPDATE 0"
    for connection in (client, other):
        await connection.close()


async def test_its_client_hangs_up_in_the_middle(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The locks go, and so does the snapshot."""
    client, other = await begin(grid), await grid.connect(1)
    loop, look, came = asyncio.get_running_loop(), Touched.look, asyncio.Event()

    def looks(*args: object) -> None:
        loop.call_soon_threadsafe(came.set)
        look(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(Touched, "look", looks)
    running = asyncio.create_task(client.execute("UPDATE t SET n = n + 1"))
    await came.wait()
    client.terminate()
    with pytest.raises(Exception, match=r"."):  # whatever the end of the connection looks like
        await running
    async with asyncio.timeout(10):
        assert await other.execute("UPDATE t SET n = n + 1") == f"UPDATE {ROWS}"
    assert await other.fetchval("SELECT SUM(n) FROM t") == sum(range(ROWS)) + ROWS
    await other.close()
