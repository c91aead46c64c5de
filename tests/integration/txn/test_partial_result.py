"""TT_PartialResult: queries give what there is while a replica set is down, and say so."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.exec import running
from data.txn import manager
from protocol.messages.admin import INTENT_CREATED
from tests.support.memory_grid import MemoryGrid, running_grid
from tests.support.power import set_intent

ROWS = 60
HINT = "/*+ TT_PartialResult(1) */"


class Client:
    """A connection that keeps its warnings."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.warnings: list[asyncpg.PostgresLogMessage] = []
        connection.add_log_listener(lambda _, message: self.warnings.append(message))

    async def partial(self, text: str) -> list[tuple[object, ...]]:
        """The rows of a query that warns of replica set 1."""
        self.warnings.clear()
        rows = await self.connection.fetch(text)
        assert len(self.warnings) == 1, text
        assert self.warnings[0].sqlstate == "01000"
        assert "replica set 1 of database1" in self.warnings[0].message
        return [tuple(row) for row in rows]

    async def refused(self, text: str) -> None:
        with pytest.raises(asyncpg.PostgresError) as failed:
            await self.connection.execute(text)
        assert failed.value.sqlstate == "57P04", text
        assert "replica set" in str(failed.value)


@pytest.fixture
async def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MemoryGrid]:
    for module in (running, manager):  # how long a statement waits for a lead
        monkeypatch.setattr(module, "FAILOVER_WAIT_S", 0.5)
    async with running_grid(tmp_path, k=1, sets=3) as made:
        yield made
        await set_intent(made, INTENT_CREATED)


@pytest.fixture
async def client(grid: MemoryGrid) -> AsyncIterator[Client]:
    connection = await grid.connect(2, server_settings={"lock_wait": "0"})
    for text in (
        "CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v NUMBER(10), name VARCHAR2(9) UNIQUE)",
        "CREATE TABLE kinds (id NUMBER(10) PRIMARY KEY) DUPLICATE",
        f"INSERT INTO t VALUES {','.join(f'({n}, {n % 7}, {n})' for n in range(ROWS))}",
        "INSERT INTO kinds VALUES (0), (1), (2)",
    ):
        await connection.execute(text)
    yield Client(connection)
    await connection.close()


def ids(grid: MemoryGrid, *at: int) -> set[int]:
    """The keys that these elements hold."""
    return {int(str(row[0])) for n in at for row in grid.contents(grid.nodes[n], "TERRY.T")}


async def test_the_rows_of_the_others(grid: MemoryGrid, client: Client) -> None:
    up, down = ids(grid, 1, 2), ids(grid, 0)
    assert up | down == set(range(ROWS))
    assert up
    assert down
    text = f"SELECT {HINT} id FROM t"
    assert len(await client.connection.fetch(text)) == ROWS
    assert not client.warnings
    await grid.stop_node(grid.nodes[0])
    await client.refused("SELECT id FROM t")
    assert {row[0] for row in await client.partial(text)} == up  # streamed
    total = f"SELECT {HINT} COUNT(*), SUM(v) FROM t"  # each by itself, then merged
    assert await client.partial(total) == [(len(up), sum(n % 7 for n in up))]
    joined = f"SELECT {HINT} COUNT(*) FROM t a, t b WHERE a.v = b.id AND a.v < 7"  # gathered
    assert await client.partial(joined) == [(sum(n % 7 in up for n in up),)]
    scalar = f"SELECT {HINT} id FROM t WHERE v = (SELECT MAX(v) FROM t)"
    top = max(n % 7 for n in up)
    assert {row[0] for row in await client.partial(scalar)} == {n for n in up if n % 7 == top}
    copies = "SELECT /*+ TT_GridQueryExec(GLOBAL) TT_PartialResult(1) */ COUNT(*) FROM t"
    assert await client.partial(copies) == [(len(up),)]
    several = f"SELECT {HINT} id FROM t WHERE id IN ({min(up)}, {min(down)})"
    assert await client.partial(several) == [(min(up),)]
    async with client.connection.transaction():  # rows one by one: told before the first
        client.warnings.clear()
        cursor = await client.connection.cursor(text)
        assert await cursor.fetchrow() is not None
        assert len(client.warnings) == 1
    await grid.start_node(grid.nodes[0])
    await grid.ready(grid.nodes[0])
    client.warnings.clear()
    while (await client.connection.fetchval(total)) != ROWS:
        await asyncio.sleep(0.01)  # until this instance knows that it leads again
    client.warnings.clear()
    assert len(await client.connection.fetch(text)) == ROWS
    assert not client.warnings


async def test_what_is_not_partial(grid: MemoryGrid, client: Client) -> None:
    """One key is there or not; writes and locks fail; tables that are everywhere are complete."""
    up, down = min(ids(grid, 1, 2)), min(ids(grid, 0))
    await grid.stop_node(grid.nodes[0])
    await client.refused(f"SELECT {HINT} v FROM t WHERE id = {down}")
    await client.refused(f"SELECT {HINT} COUNT(*) FROM t WHERE id = {down}")
    await client.refused(f"UPDATE {HINT} t SET v = 0")
    await client.refused(f"SELECT {HINT} v FROM t FOR UPDATE")
    assert await client.connection.fetchval(f"SELECT {HINT} id FROM t WHERE id = {up}") == up
    assert len(await client.connection.fetch(f"SELECT {HINT} * FROM kinds")) == 3
    assert len(await client.connection.fetch("SELECT * FROM kinds")) == 3
    assert not client.warnings


@pytest.mark.parametrize("hint", [HINT, ""])
async def test_a_copy_of_a_query(grid: MemoryGrid, client: Client, hint: str) -> None:
    up = ids(grid, 1, 2)
    await grid.stop_node(grid.nodes[0])
    if not hint:
        await client.connection.execute("SET tt_partialresult = 1")
    found = io.BytesIO()
    client.warnings.clear()
    await client.connection.copy_from_query(f"SELECT {hint} id FROM t", output=found)
    assert {int(line) for line in found.getvalue().split()} == up
    assert ["replica set 1 of database1" in w.message for w in client.warnings] == [True]
    if hint:
        with pytest.raises(asyncpg.PostgresError):
            await client.connection.copy_from_query("SELECT id FROM t", output=io.BytesIO())


async def test_as_a_setting_of_the_session(grid: MemoryGrid, client: Client) -> None:
    up = ids(grid, 1, 2)
    await grid.stop_node(grid.nodes[0])
    text = "SELECT COUNT(*) FROM t"
    await client.connection.execute("SET TT_PartialResult = 1")
    assert await client.connection.fetchval("SHOW tt_partialresult") == "1"
    assert await client.partial(text) == [(len(up),)]
    await client.refused("SELECT /*+ TT_PartialResult(0) */ COUNT(*) FROM t")  # the hint counts
    await client.connection.execute("RESET tt_partialresult")
    await client.refused(text)
    with pytest.raises(asyncpg.PostgresError):
        await client.connection.execute("SET tt_partialresult = 2")
    await client.connection.execute("SET optimizer_hint = 'TT_PartialResult(1)'")
    assert await client.partial(f"{text} -- with a remark") == [(len(up),)]  # first prepared now
    await client.refused("SELECT /*+ TT_PartialResult(0) */ COUNT(*) FROM t")
    await client.connection.execute("RESET optimizer_hint")
    await client.refused(text)
    with pytest.raises(asyncpg.PostgresError, match="OptimizerHint"):
        await client.connection.execute("SET optimizer_hint = 'TT_PartialResult(1)*/ + 1 /*'")
    other = Client(await grid.connect(1, server_settings={"tt_partialresult": "1"}))
    assert await other.partial(text) == [(len(up),)]
    await other.connection.close()


@pytest.mark.parametrize("isolation", ["repeatable_read", "serializable"])
async def test_in_transactions(grid: MemoryGrid, client: Client, isolation: str) -> None:
    up = ids(grid, 1, 2)
    await grid.stop_node(grid.nodes[0])
    text = f"SELECT {HINT} COUNT(*) FROM t"
    joined = f"SELECT {HINT} COUNT(*) FROM t a, t b WHERE a.id = b.v + a.id"
    zeroes = sum(n % 7 == 0 for n in up)
    async with client.connection.transaction(isolation=isolation):
        assert await client.partial(text) == [(len(up),)]
        assert await client.partial(joined) == [(len(up) * zeroes,)]
        if isolation == "repeatable_read":  # at the other level a try to lock there ends it all
            await client.refused("SELECT COUNT(*) FROM t")
            await client.refused("UPDATE t SET v = 1")
        changed = f"UPDATE t SET v = 0 WHERE id = {max(up)}"
        assert await client.connection.execute(changed) == "UPDATE 1"
    zero = await client.connection.fetchval(f"SELECT v FROM t WHERE id = {max(up)}")
    assert zero == 0


async def test_whole_transactions_of_the_others(grid: MemoryGrid, client: Client) -> None:
    """Reads without one replica set see all of a transfer between the others, or nothing."""
    first, second = min(ids(grid, 1)), min(ids(grid, 2))
    await grid.stop_node(grid.nodes[0])
    total = f"SELECT {HINT} SUM(v) FROM t"
    (expected,) = (await client.partial(total))[0]
    writer = await grid.connect(1)

    async def transfer() -> None:
        for _ in range(60):
            async with writer.transaction():
                await writer.execute(f"UPDATE t SET v = v - 1 WHERE id = {first}")
                await writer.execute(f"UPDATE t SET v = v + 1 WHERE id = {second}")

    task = asyncio.create_task(transfer())
    reads = 0
    while not task.done():
        assert await client.partial(total) == [(expected,)]
        reads += 1
    await task
    assert reads > 5
    await writer.close()
