"""Statements and DDL beside other DDL."""

from __future__ import annotations

import asyncpg
import pytest

from protocol.messages.sql import LockTable
from tests.support.memory_grid import DATABASE, MemoryGrid

pytestmark = pytest.mark.timeout(60)
ROWS = 600  # of one INSERT: long enough to be compiled in another process


async def test_a_long_insert_and_another_table(grid: MemoryGrid) -> None:
    """Planned before the table was made, it is planned again by itself."""
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY, v VARCHAR2(20))")
    rows = ", ".join(f"({n}, 'row {n}')" for n in range(ROWS))
    insert = await client.prepare(f"INSERT INTO t VALUES {rows}")
    other = await grid.connect(1)
    for name in ("beside", "beneath"):
        await other.execute(f"CREATE TABLE {name} (id NUMBER(9) NOT NULL PRIMARY KEY)")
        await insert.fetch()
        assert await client.execute("DELETE FROM t") == f"DELETE {ROWS}"
    await other.close()
    await client.close()


async def test_ddl_that_other_ddl_keeps_out(grid: MemoryGrid) -> None:
    """TimesTen's TT6016, with a hint; when the other one is done it succeeds."""
    instance = grid.nodes[0].instance
    assert instance is not None
    space = instance.database(DATABASE).space
    manager, schema = space.manager, space.schema_version
    ddl = manager.begin(0)
    await manager.run(ddl, 1, (LockTable(0),), schema)
    client = await grid.connect(1, server_settings={"lock_wait": "0"})
    create = "CREATE TABLE t (id NUMBER(9) NOT NULL PRIMARY KEY)"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await client.execute(create)
    assert refused.value.sqlstate == "55P03"
    assert str(refused.value).startswith("TT6016: ")
    assert "57007" in refused.value.detail
    assert refused.value.hint
    await manager.roll_back(ddl)
    await client.execute("ALTER SESSION SET LOCK_WAIT = 10")  # a roll-back is told one way
    await client.execute(create)
    await client.close()
