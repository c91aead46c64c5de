"""Children of parents that change: only a DELETE of the parent cascades."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.support.memory_grid import running_grid


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[asyncpg.Connection]:
    async with running_grid(tmp_path, session_timeout_s=5.0) as grid:
        connection = await grid.connect(0)
        try:
            yield connection
        finally:
            await connection.close()


WITH_PARENT, ELSEWHERE, EVERYWHERE = (
    "DISTRIBUTE BY REFERENCE (f)",  # its key columns are NOT NULL: never SET NULL
    "DISTRIBUTE BY HASH (id)",
    "DUPLICATE",
)


@pytest.mark.parametrize(
    ("place", "action"),
    [
        (WITH_PARENT, "CASCADE"),
        (ELSEWHERE, "CASCADE"),
        (ELSEWHERE, "SET NULL"),
        (EVERYWHERE, "CASCADE"),
        (EVERYWHERE, "SET NULL"),
    ],
)
async def test_a_parent_that_changes_its_key_keeps_its_children(
    client: asyncpg.Connection, place: str, action: str
) -> None:
    nullable = "" if action == "SET NULL" else "NOT NULL"
    await client.execute(
        "CREATE TABLE p (id NUMBER(10) NOT NULL PRIMARY KEY, d NUMBER(10) NOT NULL, u NUMBER(10)"
        " NOT NULL UNIQUE) DISTRIBUTE BY HASH (id)"
    )
    await client.execute(
        f"CREATE TABLE c (id NUMBER(10) NOT NULL PRIMARY KEY, pid NUMBER(10) {nullable},"
        f" CONSTRAINT f FOREIGN KEY (pid) REFERENCES p (id) ON DELETE {action}) {place}"
    )
    await client.execute("INSERT INTO p VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)")
    await client.execute("INSERT INTO c VALUES (10, 1), (11, 1), (12, 2), (13, 3)")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await client.execute("UPDATE p SET id = 100 WHERE id = 1")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await client.execute("UPDATE p SET id = id + 100")
    assert await client.fetchval("SELECT COUNT(pid) FROM c") == 4
    assert await client.execute("UPDATE p SET id = 101 WHERE id = 4") == "UPDATE 1"
    assert await client.execute("UPDATE p SET d = d + 1, u = u + 100") == "UPDATE 4"
    assert await client.execute("DELETE FROM p WHERE id = 1") == "DELETE 1"
    left = [(row[0], row[1]) for row in await client.fetch("SELECT id, pid FROM c ORDER BY id")]
    kept = [(12, 2), (13, 3)]
    assert left == (kept if action == "CASCADE" else [(10, None), (11, None), *kept])
