"""A long statement that was planned before a table was made is planned again by itself."""

from __future__ import annotations

import pytest

from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(60)
ROWS = 600  # of one INSERT: long enough to be compiled in another process


async def test_a_long_insert_and_another_table(grid: MemoryGrid) -> None:
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
