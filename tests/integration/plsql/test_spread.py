"""A package is made through one data instance, and is there for all: after a restart, and on
elements that are added later."""

from __future__ import annotations

from pathlib import Path

from tests.support.growing_grid import GrowingGrid, growing_grid

SPEC = """CREATE PACKAGE visits AS
  PROCEDURE note(p_id NUMBER);
  FUNCTION seen RETURN NUMBER;
END;"""
BODY = """CREATE PACKAGE BODY visits AS
  PROCEDURE note(p_id NUMBER) IS BEGIN INSERT INTO v VALUES (p_id); END;
  FUNCTION seen RETURN NUMBER IS n NUMBER; BEGIN SELECT COUNT(*) INTO n FROM v; RETURN n; END;
END;"""


async def _visit(grid: GrowingGrid, host: int, number: int) -> int:
    client = await grid.connect(host)
    try:
        await client.execute("CALL visits.note($1)", number)
        return int(await client.fetchval("CALL visits.seen()"))
    finally:
        await client.close()


async def test_a_package_is_everywhere(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        client = await grid.connect(3)
        await client.execute("CREATE TABLE v (id NUMBER(10) NOT NULL PRIMARY KEY)")
        await client.execute(SPEC)
        await client.execute(BODY)
        await client.close()
        assert [await _visit(grid, host, host) for host in (3, 4, 5, 6)] == [1, 2, 3, 4]
        await grid.add_late({7: 1, 8: 2})
        await grid.distribute(add=("host7", "host8"), apply=True)
        assert await _visit(grid, 7, 7) == 5
        assert await _visit(grid, 8, 8) == 6
        stopped = grid.nodes[5]
        await stopped.stop()
        await stopped.start()
        await grid.until(lambda: stopped.state() == "opened")
        assert await _visit(grid, 5, 50) == 7


async def test_units_are_made_while_an_element_is_away_and_comes_back(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2, 1, 2) as grid:
        away = grid.nodes[4]
        await away.stop()
        client = await grid.connect(3)
        await client.execute("CREATE FUNCTION one RETURN NUMBER IS BEGIN RETURN 1; END;")
        await away.start()
        await client.execute("CREATE FUNCTION two RETURN NUMBER IS BEGIN RETURN 2; END;")
        await client.close()
        await grid.until(lambda: away.state() == "opened")
        back = await grid.connect(4)
        assert [await back.fetchval(f"CALL {name}()") for name in ("one", "two")] == [1, 2]
        await back.close()
