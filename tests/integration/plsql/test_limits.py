"""What a block may hold, and what is left of it when its client goes away."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio
from greenlet import greenlet

from data.exec import blocks
from data.plsql.memory import MB, Memory
from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLE = "TYPE a IS TABLE OF VARCHAR2(32767) INDEX BY PLS_INTEGER"
RUNAWAY = {
    "texts": f"DECLARE {TABLE}; c a; i NUMBER := 0; BEGIN "
    "LOOP i := i + 1; c(i) := RPAD('x', 32000); END LOOP; END;",
    "numbers": "DECLARE TYPE a IS TABLE OF NUMBER; c a := a(); BEGIN "
    "LOOP c.EXTEND; c(c.LAST) := 1; END LOOP; END;",
    "EXTEND": "DECLARE TYPE a IS TABLE OF NUMBER; c a := a(); BEGIN c.EXTEND(9000000); END;",
    "fields": "DECLARE TYPE r IS RECORD (x VARCHAR2(32767)); "
    "TYPE a IS TABLE OF r INDEX BY PLS_INTEGER; c a; i NUMBER := 0; BEGIN "
    "LOOP i := i + 1; c(i).x := RPAD('x', 32000); END LOOP; END;",
    "copies": f"DECLARE {TABLE}; TYPE b IS TABLE OF a INDEX BY PLS_INTEGER; c a; d b; "
    "i NUMBER := 0; BEGIN FOR k IN 1..100 LOOP c(k) := RPAD('x', 32000); END LOOP; "
    "LOOP i := i + 1; d(i) := c; END LOOP; END;",
    "BULK COLLECT": "DECLARE TYPE a IS TABLE OF VARCHAR2(4000); c a; BEGIN "
    "SELECT RPAD('x', 4000) BULK COLLECT INTO c FROM t a, t b, t c, t d; END;",
}
WAITING = {
    "a loop": "BEGIN LOOP NULL; END LOOP; END;",
    "a sleep": "BEGIN DBMS_LOCK.SLEEP(3000); END;",
    "a lock": "BEGIN UPDATE t SET v = v + 1 WHERE id = 1; END;",
    "a cursor": "DECLARE n NUMBER; BEGIN FOR r IN (SELECT a.id FROM t a, t b, t c) LOOP "
    "DBMS_LOCK.SLEEP(3000); END LOOP; END;",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path_factory.mktemp("limits")) as made:
        client = await made.connect()
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER)")
        await client.executemany("INSERT INTO t VALUES ($1, 0)", [(n,) for n in range(1, 17)])
        await client.close()
        yield made


@pytest.mark.parametrize("name", RUNAWAY)
async def test_a_runaway_block_gets_an_error(
    grid: MemoryGrid, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Memory] = []
    run = blocks.run_compiled

    def watched(session: blocks.Session, *rest: object) -> object:
        seen.append(session.packages.memory)
        return run(session, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(blocks, "run_compiled", watched)
    client = await grid.connect()
    await client.execute("SET plsql_conn_mem_limit = 20")
    with pytest.raises(asyncpg.PostgresError, match="ORA-04030"):
        await asyncio.wait_for(client.execute(RUNAWAY[name]), 20)
    assert seen[0].limit == 20 * MB
    gc.collect()
    assert seen[0].used == 0
    caught = RUNAWAY[name].removesuffix("END;") + "EXCEPTION WHEN STORAGE_ERROR THEN NULL; END;"
    await asyncio.wait_for(client.execute(caught), 20)
    assert await client.fetchval("SELECT COUNT(*) FROM t") == 16
    await client.close()


async def test_the_limit_is_a_setting(grid: MemoryGrid) -> None:
    client = await grid.connect()
    assert await client.fetchval("SHOW plsql_conn_mem_limit") == "100"
    with pytest.raises(asyncpg.PostgresError):
        await client.execute("SET plsql_conn_mem_limit = 'much'")
    await client.close()


def _alive() -> int:
    return sum(1 for found in gc.get_objects() if isinstance(found, greenlet) and not found.dead)


@pytest.mark.parametrize("name", WAITING)
async def test_a_block_ends_with_its_client(
    grid: MemoryGrid, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    run = blocks.on_greenlet

    async def watched(function: Callable[[], object]) -> object:
        waits: Awaitable[object] = run(function)
        begun.set()
        try:
            return await waits
        finally:
            ended.set()

    monkeypatch.setattr(blocks, "on_greenlet", watched)
    gc.collect()
    before = _alive()
    holder = await grid.connect()
    held = holder.transaction()
    await held.start()
    await holder.execute("UPDATE t SET v = 5 WHERE id = 1")
    client = await grid.connect()
    await client.execute("SET lock_wait = 600")
    running = asyncio.create_task(client.execute(WAITING[name]))
    await begun.wait()
    client.terminate()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await running
    await asyncio.wait_for(ended.wait(), 20)
    gc.collect()
    assert _alive() == before
    await held.rollback()
    assert await holder.execute("UPDATE t SET v = 0 WHERE id = 1") == "UPDATE 1"
    await holder.close()
