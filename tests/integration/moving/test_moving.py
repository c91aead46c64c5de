"""Adding and removing replica sets while clients work: every row is always exactly once there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.errors import ElementStateError
from protocol.messages import moving as m
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid
from tests.support.moving import (
    add_set,
    ask,
    check_rows,
    drop_set,
    move,
    owned,
    seed,
)
from tests.support.moving_load import Load, make_tables

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """One replica set of one element."""
    async with running_grid(tmp_path, k=1, sets=1, session_timeout_s=5.0) as made:  # nobody dies
        yield made


async def test_a_set_comes_and_another_goes(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute(
        "CREATE TABLE a (id INT NOT NULL PRIMARY KEY, n INT, u INT) DISTRIBUTE BY HASH"
    )
    await client.execute("CREATE TABLE d (id INT NOT NULL PRIMARY KEY, n INT) DUPLICATE")
    await client.execute(
        "CREATE TABLE c (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, "
        "CONSTRAINT ca FOREIGN KEY (a) REFERENCES a (id)) DISTRIBUTE BY REFERENCE (ca)"
    )
    await client.execute("CREATE UNIQUE GLOBAL INDEX au ON a (u)")
    await client.execute("CREATE SEQUENCE s")
    for n in range(200):
        await client.execute("INSERT INTO a VALUES ($1, $1, $2)", n, n + 1000)
        await client.execute("INSERT INTO c VALUES ($1, $2)", n + 5000, n)
    await client.execute("INSERT INTO d VALUES (1, 1), (2, 2)")
    assert await client.fetchval("SELECT s.nextval FROM dual") == 1
    await add_set(grid, 2)
    done = await seed(grid, 2)
    assert done.rows == 2
    assert len(await owned(grid, 1)) == 4096
    moved = await move(grid, 1, 2, (await owned(grid, 1))[::2])
    assert moved > 200
    totals = check_rows(grid)
    assert totals["TERRY.A"] == totals["TERRY.C"] == 200
    assert totals["TERRY.D"] == 2
    assert await client.fetchval("SELECT COUNT(*) FROM a") == 200
    for n in range(200):
        assert await client.fetchval("SELECT n FROM a WHERE id = $1", n) == n
        assert await client.fetchval("SELECT id FROM a WHERE u = $1", n + 1000) == n
    await client.execute("INSERT INTO d VALUES (3, 3)")
    await client.execute("CREATE TABLE later (id INT NOT NULL PRIMARY KEY)")
    other = await grid.connect(1)
    await other.execute("INSERT INTO later VALUES (1)")
    assert await other.fetchval("SELECT COUNT(*) FROM d") == 3
    assert await other.fetchval("SELECT COUNT(*) FROM c") == 200
    # and the first one goes
    await move(grid, 1, 2, await owned(grid, 1))
    await ask(grid, 2, m.RetireReplicaSet(DATABASE, 1))
    assert await other.fetchval("SELECT s.nextval FROM dual") > 1
    await other.execute("INSERT INTO d VALUES (4, 4)")
    assert await other.fetchval("SELECT COUNT(*) FROM a") == 200
    totals = check_rows(grid)
    assert totals["TERRY.A"] == totals["TERRY.C"] == 200
    assert totals["TERRY.D"] == 4
    await client.close()
    await drop_set(grid, 1)
    assert await other.fetchval("SELECT COUNT(*) FROM a, c WHERE a.id = c.a") == 200
    await other.close()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Two replica sets of two elements each."""
    async with running_grid(tmp_path, k=2, sets=2, session_timeout_s=5.0) as made:
        yield made


async def test_materialized_views_and_temporary_tables_move_along(pair: MemoryGrid) -> None:
    """A view's rows are moved by its own buckets while its table is written; a session's temporary
    rows stay with the session."""
    grid = pair
    client, other = await grid.connect(), await grid.connect(3)
    await client.execute("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, kind INT, n INT)")
    await client.execute(
        "CREATE MATERIALIZED VIEW by_kind DISTRIBUTE BY HASH (kind) AS SELECT kind, id, n FROM t"
    )
    await client.execute(
        "CREATE GLOBAL TEMPORARY TABLE mine (id INT NOT NULL PRIMARY KEY) ON COMMIT PRESERVE ROWS"
    )
    for n in range(200):
        await client.execute("INSERT INTO t VALUES ($1, $2, 0)", n, n % 50)
    await client.execute("INSERT INTO mine VALUES (1), (2)")
    ended, writes = asyncio.Event(), 0

    async def write() -> int:
        done = 0
        while not ended.is_set():
            await other.execute("UPDATE t SET n = n + 1, kind = MOD(kind + 1, 50)")
            done += 1
        return done

    writing = asyncio.create_task(write())
    await add_set(grid, 3)
    await seed(grid, 3)
    for source in (1, 2):
        await move(grid, source, 3, (await owned(grid, source))[:1500])
    await move(grid, 1, 2, await owned(grid, 1))
    await ask(grid, 3, m.RetireReplicaSet(DATABASE, 1))
    ended.set()
    writes = await writing
    late = await grid.connect(5)  # an instance that is new
    for session in (client, late):
        for query in ("SELECT kind, id, n FROM t", "SELECT kind, id, n FROM by_kind"):
            rows = {tuple(r) for r in await session.fetch(query)}
            assert rows == {((n + writes) % 50, n, writes) for n in range(200)}
    assert await late.fetchval("SELECT COUNT(*) FROM by_kind WHERE kind = 7") == 4
    assert [r[0] for r in await client.fetch("SELECT id FROM mine ORDER BY id")] == [1, 2]
    assert await late.fetchval("SELECT COUNT(*) FROM mine") == 0
    await late.execute("INSERT INTO mine VALUES (1)")
    totals = check_rows(grid)
    assert totals["TERRY.T"] == totals["TERRY.BY_KIND"] == 200
    for connection in (client, other, late):
        await connection.close()


async def test_clients_of_every_kind_do_not_notice(pair: MemoryGrid) -> None:
    grid = pair
    client = await grid.connect()
    await make_tables(client)
    load = Load(grid, [1, 3])
    await load.start()
    await load.until(3)
    await add_set(grid, 3)
    await seed(grid, 3)
    for source in (1, 2):
        await move(grid, source, 3, (await owned(grid, source))[:700])
    await load.until(2)
    await move(grid, 1, 2, await owned(grid, 1))
    await ask(grid, 3, m.RetireReplicaSet(DATABASE, 1))
    await load.until(3)
    await load.end()
    last = await grid.connect(4)
    await load.check(last)
    await last.close()
    await client.close()
    check_rows(grid)
    print(load.done, load.errors)


async def test_a_long_transaction_in_the_way_keeps_its_own_buckets_only(grid: MemoryGrid) -> None:
    """What it has changed stays until it ends; everything else moves; it commits as ever."""
    client, writer = await grid.connect(), await grid.connect()
    await client.execute("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT) DISTRIBUTE BY HASH")
    await client.executemany("INSERT INTO t VALUES ($1, 0)", [(n,) for n in range(300)])
    await add_set(grid, 2)
    await seed(grid, 2)
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("UPDATE t SET n = 1 WHERE id < 3")
    buckets = tuple(await owned(grid, 1))
    moved: m.Moved = await ask(grid, 1, m.MoveBuckets(DATABASE, 1, 2, buckets, 0, 6000))
    assert moved.left
    assert "lock wait timed out" in moved.waits
    assert moved.rows > 0
    assert await client.fetchval("SELECT SUM(n) FROM t") == 0
    await writer.execute("UPDATE t SET n = 1 WHERE id BETWEEN 3 AND 200")  # here and there
    await transaction.commit()
    assert await client.fetchval("SELECT SUM(n) FROM t") == 201
    await move(grid, 1, 2, list(moved.left))
    assert await owned(grid, 1) == []
    assert check_rows(grid)["TERRY.T"] == 300
    await client.close()
    await writer.close()


async def test_a_repeated_question_is_answered_as_done(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, n INT) DISTRIBUTE BY HASH")
    await add_set(grid, 2)
    first = await seed(grid, 2)
    assert (await seed(grid, 2)).map_version == first.map_version
    await move(grid, 1, 2, list(range(100)))
    again: m.Moved = await ask(grid, 1, m.MoveBuckets(DATABASE, 1, 2, tuple(range(100))))
    assert (again.left, again.rows) == ((), 0)
    plan: m.Planned = await ask(grid, 1, m.PlanMove(DATABASE, 1, (5, 200)))
    assert plan.buckets == ((200, 0),)
    with pytest.raises(ElementStateError):  # it owns buckets
        await ask(grid, 2, m.RetireReplicaSet(DATABASE, 1))
    await client.close()
