"""A block repeats its transaction after an error that passes (TimesTen's -57005)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.memory_grid import running_grid

BLOCK = """
DECLARE
  again EXCEPTION; PRAGMA EXCEPTION_INIT(again, -57005);
  tries NUMBER := 0; seen NUMBER;
BEGIN
  LOOP
    tries := tries + 1;
    BEGIN
      SELECT v INTO seen FROM t WHERE id = 1;
      DBMS_OUTPUT.PUT_LINE('read');
      UPDATE t SET v = v + 1 WHERE id = 1;
      EXIT;
    EXCEPTION WHEN again THEN
      ROLLBACK;
    END;
  END LOOP;
  COMMIT;
  :tries := tries;
END;
"""


async def test_a_block_repeats_what_another_one_was_in_the_way_of(tmp_path: Path) -> None:
    async with running_grid(tmp_path, k=1, sets=2) as grid:
        client, other = await grid.connect(0), await grid.connect(1)
        read = asyncio.Event()
        client.add_log_listener(lambda *_: read.set())
        await other.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER)")
        await other.execute("INSERT INTO t VALUES (1, 0)")
        await client.execute(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        )
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE t SET v = 100 WHERE id = 1")
        running = asyncio.create_task(client.fetchval(BLOCK, None))
        await read.wait()
        await transaction.commit()  # the block's snapshot is older, so its UPDATE cannot be
        assert await running == 2
        assert await other.fetchval("SELECT v FROM t WHERE id = 1") == 101
        await client.close()
        await other.close()
