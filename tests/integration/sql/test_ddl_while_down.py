"""DDL while an element is down: it has it all when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.memory_grid import MemoryGrid, running_grid

DDL = (
    "CREATE TABLE p (id NUMBER(10) PRIMARY KEY, name VARCHAR2(30)) DISTRIBUTE BY HASH",
    "CREATE TABLE c (id NUMBER(10) PRIMARY KEY, p NUMBER(10) NOT NULL, CONSTRAINT f FOREIGN KEY (p)"
    " REFERENCES p ON DELETE CASCADE) DISTRIBUTE BY REFERENCE (f)",
    "CREATE TABLE d (a INT PRIMARY KEY, b VARCHAR2(10)) DUPLICATE",
    "INSERT INTO p SELECT id + 10, name FROM old",
    "INSERT INTO c SELECT id, id FROM p",
    "INSERT INTO d VALUES (1, 'x')",
    "CREATE GLOBAL INDEX by_name ON p (name)",
    "CREATE MATERIALIZED VIEW mv DISTRIBUTE BY HASH (name) AS SELECT name, id FROM p",
    "CREATE GLOBAL TEMPORARY TABLE tmp (a INT) ON COMMIT PRESERVE ROWS",
    "CREATE SEQUENCE s BATCH 10",
    "ALTER TABLE old ADD (note VARCHAR2(10) DEFAULT 'n')",
    "ALTER TABLE old DISTRIBUTE BY HASH (name)",
    "CREATE VIEW v AS SELECT name FROM p",
    "UPDATE p SET name = 'z' WHERE id = 11",
)
DESCRIBE = (
    "SELECT table_name FROM user_tables ORDER BY 1",
    "SELECT table_name, column_name, data_type FROM user_tab_columns ORDER BY 1, column_id",
    "SELECT index_name, table_name FROM user_indexes ORDER BY 1",
    "SELECT constraint_name, table_name FROM user_constraints ORDER BY 1",
    "SELECT name FROM sys.sequences",
)
TABLES = ("P", "C", "D", "MV", "OLD")


def same_copies(grid: MemoryGrid, table: str) -> bool:
    one, other = [grid.contents(node, table) for node in grid.nodes[2:]]
    return one == other


async def test_an_element_that_was_down_gets_the_ddl(tmp_path: Path) -> None:
    async with running_grid(tmp_path) as grid:
        client = await grid.connect(0)
        await client.execute("CREATE TABLE old (id NUMBER(10) PRIMARY KEY, name VARCHAR2(30))")
        await client.execute("INSERT INTO old VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
        await grid.stop_node(grid.nodes[3])
        for statement in DDL:
            await client.execute(statement)
        await grid.start_node(grid.nodes[3])
        await grid.ready(grid.nodes[3])
        there = await grid.connect(3)
        for query in DESCRIBE:
            assert await there.fetch(query) == await client.fetch(query)
            assert await there.fetch(query)
        await there.execute("INSERT INTO tmp VALUES (s.NEXTVAL)")
        assert [tuple(row) for row in await there.fetch("SELECT id FROM mv WHERE name = 'z'")] == [
            (11,)
        ]
        await there.execute("DELETE FROM p WHERE id = 12")
        assert await client.fetchval("SELECT COUNT(*) FROM c") == 3
        async with asyncio.timeout(10):
            for table in TABLES:
                while not same_copies(grid, f"TERRY.{table}"):
                    await asyncio.sleep(0.01)  # copies apply a moment later
        await client.close()
        await there.close()
