"""PL/SQL: loops, and single-row SQL in a block, in a database of one element in this process.

`python -m benchmarks.plsql [--times 3]` prints seconds of CPU (the median): the client, the data
instance and its writer are one process, so others on the machine hardly disturb.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import tempfile
import time
from pathlib import Path

import asyncpg
import structlog

from tests.support.memory_grid import MemoryGrid

BLOCKS = {
    "1,000,000 additions": """
DECLARE n PLS_INTEGER := 0;
BEGIN FOR i IN 1..1000000 LOOP n := n + 1; END LOOP; END;""",
    "1,000,000 of WHILE, IF, MOD": """
DECLARE i NUMBER := 0; n NUMBER := 0;
BEGIN WHILE i < 1000000 LOOP i := i + 1;
IF MOD(i, 3) = 0 THEN n := n + i; END IF; END LOOP; END;""",
    "1,000,000 of two decimals": """
DECLARE n NUMBER(12,2) := 0;
BEGIN FOR i IN 1..1000000 LOOP n := n + 0.25; END LOOP; END;""",
    "1,000,000 elements of an array": """
DECLARE TYPE a IS TABLE OF NUMBER INDEX BY PLS_INTEGER; l a;
BEGIN FOR i IN 1..1000000 LOOP l(MOD(i, 1000)) := i; END LOOP; END;""",
    "100,000 calls of a function": """
DECLARE n NUMBER := 0; FUNCTION f(a NUMBER) RETURN NUMBER IS BEGIN RETURN a + 1; END;
BEGIN FOR i IN 1..100000 LOOP n := f(n); END LOOP; END;""",
    "10,000 INSERT": """
BEGIN FOR i IN 1..10000 LOOP INSERT INTO bench VALUES (i, 'x', 0); END LOOP; END;""",
    "10,000 SELECT INTO by key": """
DECLARE n VARCHAR2(30);
BEGIN FOR i IN 1..10000 LOOP SELECT name INTO n FROM bench WHERE id = i; END LOOP; END;""",
    "10,000 UPDATE by key": """
BEGIN FOR i IN 1..10000 LOOP UPDATE bench SET v = v + i WHERE id = i; END LOOP; END;""",
    "10,000 rows of a cursor loop": """
DECLARE n NUMBER := 0; BEGIN FOR r IN (SELECT id FROM bench) LOOP n := n + r.id; END LOOP; END;""",
    "10,000 rows by FORALL": """
DECLARE TYPE l IS TABLE OF NUMBER; ids l;
BEGIN SELECT id BULK COLLECT INTO ids FROM bench;
FORALL i IN 1..ids.COUNT UPDATE bench SET v = 1 WHERE id = ids(i); END;""",
}


async def measured(client: asyncpg.Connection, block: str, times: int) -> float:
    """Seconds of CPU, the median."""
    taken = []
    for _ in range(times):
        if "INSERT" in block:
            await client.execute("DELETE FROM bench")
        begun_s = time.process_time()
        await client.execute(block)
        taken.append(time.process_time() - begun_s)
    return statistics.median(taken)


async def main(times: int) -> None:
    """Run all of them."""
    with tempfile.TemporaryDirectory() as folder:
        grid = MemoryGrid(Path(folder), k=1, sets=1)
        await grid.start()
        client = await grid.connect()
        await client.execute(
            "CREATE TABLE bench (id NUMBER(10) NOT NULL PRIMARY KEY, name VARCHAR2(30), v NUMBER)"
        )
        for name, block in BLOCKS.items():
            print(f"{name:32} {await measured(client, block, times):6.2f} s", flush=True)
        await client.close()
        await grid.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="runs of each")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(main(parser.parse_args().times))
