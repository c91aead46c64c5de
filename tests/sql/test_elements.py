"""DDL while an element is down: it is there when the element is back."""

from __future__ import annotations

from pathlib import Path

from tests.support.memory_grid import MemoryGrid, running_grid


async def test_ddl_reaches_an_element_that_was_down(tmp_path: Path) -> None:
    async with running_grid(tmp_path, k=2, sets=1) as grid:
        first = await grid.connect(0)
        await first.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR2(10))")
        await first.execute("INSERT INTO t VALUES (1, 'a')")
        await grid.stop_node(grid.nodes[1])
        await first.execute("ALTER TABLE t ADD (w VARCHAR2(10) DEFAULT 'new' NOT NULL)")
        await first.execute("CREATE TABLE u (id INT PRIMARY KEY)")
        await first.execute("CREATE INDEX by_v ON t (v)")
        await first.execute("INSERT INTO u VALUES (5)")
        await grid.start_node(grid.nodes[1])
        await grid.ready(grid.nodes[1])
        second = await grid.connect(1)
        assert [tuple(row) for row in await second.fetch("SELECT * FROM t")] == [(1, "a", "new")]
        names = await second.fetch("SELECT index_name FROM user_indexes WHERE table_name = 'T'")
        assert "BY_V" in {row[0] for row in names}
        assert (
            grid.contents(grid.nodes[1], "TERRY.U") == grid.contents(grid.nodes[0], "TERRY.U") != []
        )
        for client in (first, second):
            await client.close()


async def test_data_at_rest_is_as_it_is(tmp_path: Path) -> None:
    grid = MemoryGrid(tmp_path, k=1, sets=1)
    await grid.start()
    client = await grid.connect()
    await client.execute("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR2(40))")
    await client.execute("INSERT INTO t VALUES (1, 'who reads the disk reads this')")
    await client.close()
    await grid.stop()
    assert is_in_a_file(tmp_path, b"who reads the disk")


def is_in_a_file(folder: Path, text: bytes) -> bool:
    """Somewhere below a folder."""
    return any(text in path.read_bytes() for path in folder.rglob("*") if path.is_file())
