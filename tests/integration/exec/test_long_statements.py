"""Long statements: compiled in a process of their own, while the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from data.exec import compiling
from data.exec.compiling import INLINE_CHARS_MAX
from tests.support.memory_grid import MemoryGrid, running_grid


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Two replica sets and a table."""
    async with running_grid(
        tmp_path, "CREATE TABLE t (id TT_INTEGER PRIMARY KEY, name VARCHAR2(40))", k=1, sets=2
    ) as grid:
        yield grid


def _rows(first: int, count: int) -> str:
    return ", ".join(f"({n}, 'name {n}')" for n in range(first, first + count))


@pytest.mark.timeout(60)
async def test_long_statements_in_every_protocol(grid: MemoryGrid) -> None:
    client = await grid.connect()
    insert = "INSERT INTO t VALUES " + _rows(0, 500)
    assert len(insert) > INLINE_CHARS_MAX
    assert await client.execute(insert) == "INSERT 0 500"  # simple
    wanted = ", ".join(str(n) for n in range(3000))
    query = f"SELECT count(*) FROM t WHERE id IN ({wanted})"
    assert await client.fetchval(query) == 500  # extended
    assert await client.fetchval(query) == 500  # cached
    async with client.transaction():
        await client.execute("INSERT INTO t VALUES " + _rows(500, 500))
        assert await client.fetchval(query) == 1000
    script = "; ".join(f"INSERT INTO t VALUES {_rows(1000 + n * 400, 400)}" for n in range(3))
    await client.execute(script)  # several in one message: one transaction
    assert await client.fetchval("SELECT count(*) FROM t") == 2200
    await client.close()


@pytest.mark.timeout(60)
async def test_errors_in_long_statements(grid: MemoryGrid) -> None:
    client = await grid.connect()
    filler = ", ".join(["1"] * 2000)
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.execute(f"SELECT * FROM nosuch WHERE 1 IN ({filler})")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await client.fetch(f"SELECT * FROM t WHERE id IN ({filler}) WHERE")
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO t VALUES " + _rows(0, 500) + ", (0, 'again')")
    with pytest.raises(asyncpg.StatementTooComplexError):
        await client.execute(f"SELECT {'(' * 500}{filler[:1]}{')' * 500}, {filler}")
    with pytest.raises(asyncpg.ProgramLimitExceededError):
        await client.execute(f"SELECT '{'x' * 500_000}'")
    with pytest.raises(asyncpg.ProgramLimitExceededError):
        await client.execute(f"PREPARE p AS SELECT * FROM t WHERE id IN ({filler})")
    assert await client.fetchval("SELECT count(*) FROM t") == 0
    await client.close()


@pytest.mark.timeout(60)
async def test_cancel_and_loss_while_a_statement_is_compiled(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is stopped with the statement; the next one gets another child."""
    client, other = await grid.connect(), await grid.connect()
    query = "SELECT " + "1" + " + 1" * 60_000
    asking = asyncio.create_task(client.execute(query))
    await _compiling(grid)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asking, 0.01)  # asyncpg sends a cancel request
    assert await client.fetchval("SELECT count(*) FROM t") == 0

    asking = asyncio.create_task(other.execute(query))
    await _compiling(grid)
    other.terminate()
    with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
        await asking

    monkeypatch.setattr(compiling, "COMPILE_TIMEOUT_S", 0.01)
    with pytest.raises(asyncpg.StatementTooComplexError, match="was not compiled within"):
        await client.execute(query)
    monkeypatch.undo()
    wanted = ", ".join(["1"] * 3000)
    assert await client.fetchval(f"SELECT count(*) FROM t WHERE id IN ({wanted})") == 0
    await client.close()


async def _compiling(grid: MemoryGrid) -> None:
    instance = grid.nodes[0].instance
    assert instance is not None
    process = instance._databases["database1"].space.compile_process
    async with asyncio.timeout(20):
        while not process.busy:
            await asyncio.sleep(0.005)  # polls: the start of a child is announced to nobody


@pytest.mark.timeout(60)
async def test_a_statement_that_outlives_its_schema(grid: MemoryGrid) -> None:
    client = await grid.connect()
    wanted = ", ".join(str(n) for n in range(2000))
    statement = await client.prepare(f"SELECT count(*) FROM t WHERE id IN ({wanted})")
    assert await statement.fetchval() == 0
    await client.execute("CREATE TABLE another (id TT_INTEGER PRIMARY KEY)")
    assert await statement.fetchval() == 0  # it was compiled anew, elsewhere
    starred = await client.prepare(f"SELECT * FROM t WHERE id IN ({wanted})")
    await client.execute("ALTER TABLE t ADD (more TT_INTEGER)")
    with pytest.raises(asyncpg.exceptions.InvalidCachedStatementError):
        await starred.fetch()
    again = await client.prepare(f"SELECT * FROM t WHERE id IN ({wanted})")
    assert await again.fetch() == []
    await client.close()
