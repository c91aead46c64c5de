# ruff: noqa: E501 - queries stand on one line each
"""Plans on a grid: EXPLAIN, statistics, hints, time limits and memory in every kind of plan."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import asyncpg
import pytest

from data.exec import coordination
from protocol.messages.admin import INTENT_CREATED
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid
from tests.support.power import set_intent

TABLES = """
CREATE TABLE big (id TT_INTEGER NOT NULL PRIMARY KEY, part TT_INTEGER, txt VARCHAR2(2000))
  DISTRIBUTE BY HASH (id);
CREATE TABLE small (id TT_INTEGER NOT NULL PRIMARY KEY, kind CHAR(1), num NUMBER(8,2))
  DISTRIBUTE BY HASH (id);
CREATE INDEX big_part ON big (part)
"""
ROWS = 4000


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(
        tmp_path, k=1, attributes=(("PermSize", "64"), ("TempSize", "64"))
    ) as made:
        client = await made.connect()
        for text in TABLES.split(";"):
            await client.execute(text)
        big = [(n, n % 50, "x" * 50) for n in range(ROWS)]
        await client.copy_records_to_table("big", records=big)
        small = [(n, "abc"[n % 3], None if n % 4 else n) for n in range(100)]
        await client.copy_records_to_table("small", records=small)
        await client.close()
        yield made


@pytest.fixture
async def client(grid: MemoryGrid) -> AsyncIterator[asyncpg.Connection]:
    made = await grid.connect(statement_cache_size=0)  # hints count when a statement is prepared
    yield made
    await made.close()


async def _lines(client: asyncpg.Connection, text: str) -> str:
    return "\n".join(row[0] for row in await client.fetch(text))


SENT = "SELECT count(*) FROM big b, small s WHERE b.part = s.id AND s.kind = 'a'"
MERGED = "SELECT part, count(*) FROM big GROUP BY part"
SINGLE = "SELECT txt FROM big WHERE id = 7"
GENERAL = "SELECT b.id, s.id FROM big b FULL JOIN small s ON b.part = s.num"


async def test_explain_tells_where_each_step_runs(client: asyncpg.Connection) -> None:
    single = await _lines(client, f"EXPLAIN {SINGLE}")
    assert single.startswith("Query, single plan")
    assert "local: replica set" in single or "remote: replica set" in single
    merged = await _lines(client, f"EXPLAIN {MERGED}")
    assert "Query, co-located plan" in merged
    assert "global: every replica set: big" in merged
    assert "Finish, local: at the coordinator" in merged
    assert "SQL:" not in merged
    assert "SQL: SELECT" in await _lines(client, f"EXPLAIN VERBOSE {MERGED}")
    sent = await _lines(client, f"EXPLAIN {SENT}")
    assert "First a query (of s), its rows are sent along" in sent
    assert "Not more local because: the rows of s are not placed with those of b" in sent
    assert "If the rows to send are too many: general plan" in sent


async def test_explain_analyze_counts_rows_and_bytes(client: asyncpg.Connection) -> None:
    text = await _lines(client, f"EXPLAIN ANALYZE {SENT}")
    assert "actual rows 34," in text  # of small
    ((plan,),) = await client.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {SENT}")
    top = json.loads(plan)[0]["Plan"]
    assert top["Actual Rows"] == 1
    gathered = next(step for step in top["Plans"] if step["Node Type"].startswith("Gather"))
    assert gathered["Actual Rows"] == 2  # a count per replica set
    assert gathered["Bytes"] > 0
    with pytest.raises(asyncpg.FeatureNotSupportedError):
        await client.fetch("EXPLAIN ANALYZE DELETE FROM small")
    assert await client.fetchval("SELECT count(*) FROM small") == 100


async def test_statistics_are_taken_across_the_grid(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    before = await _lines(client, "EXPLAIN SELECT * FROM big FULL JOIN small ON 1 = 1")
    assert "about 10000 rows" in before
    await client.execute("CALL ttOptUpdateStats('big', 1)")
    await client.execute("ANALYZE small (num)")
    other = await grid.connect(1)  # what one instance counted all know
    after = await _lines(other, "EXPLAIN SELECT * FROM big FULL JOIN small ON 1 = 1")
    await other.close()
    assert "about 4000 rows" in after
    assert "about 100 rows" in after
    node = grid.nodes[0].instance
    assert node is not None
    catalog = node.database("database1").element.catalog
    big = catalog.stats[catalog.table("TERRY", "BIG").id]
    assert big.rows == ROWS
    part, number = big.column("PART"), big.column("ID")
    assert part is not None and (part.distinct, part.low, part.high) == (50, 0, 49)
    assert number is not None and number.distinct == ROWS
    small = catalog.stats[catalog.table("TERRY", "SMALL").id]
    num = small.column("NUM")
    assert num is not None and num.null_share == 0.75
    shown = await client.fetch("SELECT * FROM user_tab_col_statistics WHERE table_name = 'SMALL'")
    assert {(r["column_name"], r["num_nulls"], r["high_value"]) for r in shown} == {
        ("ID", 0, "99"),
        ("KIND", 0, "c"),
        ("NUM", 75, "96"),
    }
    assert (
        await client.fetchval("SELECT num_rows FROM user_tables WHERE table_name = 'BIG'") == ROWS
    )
    assert await client.fetchval("SELECT count(*) FROM sys.col_stats WHERE uniq = 50") == 1
    await client.execute("CALL ttOptClearStats()")
    assert "about 10000 rows" in await _lines(
        client, "EXPLAIN SELECT * FROM big FULL JOIN small ON 1 = 1"
    )
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.execute("CALL ttOptUpdateStats('nothing')")


async def test_hints_of_statement_transaction_and_connection(client: asyncpg.Connection) -> None:
    hinted = "EXPLAIN (VERBOSE) SELECT /*+ TT_INDEX(big, big_part, 1) */ id FROM big WHERE part = 3"
    assert "INDEXED BY" in await _lines(client, hinted)
    not_hinted = "EXPLAIN (VERBOSE) SELECT id FROM big WHERE part = 3"
    assert "INDEXED" not in await _lines(client, not_hinted)
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        await client.execute("CALL ttOptUseIndex('big, big_part, 0')")
    async with client.transaction():
        await client.execute("CALL ttOptUseIndex('big', 'big_part', 0)")
        assert "NOT INDEXED" in await _lines(client, not_hinted)
        assert "INDEXED BY" in await _lines(client, hinted)  # the statement's own counts
        await client.execute("CALL ttOptSetOrder('s b')")
        ordered = await _lines(
            client, "EXPLAIN (VERBOSE) SELECT count(*) FROM big b, small s WHERE s.id = b.id"
        )
        assert "AS t2 CROSS JOIN" in ordered
    assert "INDEXED" not in await _lines(client, not_hinted)  # over with the transaction
    await client.execute("SET OptimizerHint = 'TT_INDEX(big, big_part, 1) TT_Nonsense(1)'")
    text = await _lines(client, not_hinted)
    assert "INDEXED BY" in text
    assert "Hint TT_NONSENSE ignored: it is not known" in text
    async with client.transaction():
        await client.execute("CALL ttOptUseIndex('big, big_part, 0')")
        assert "NOT INDEXED" in await _lines(client, not_hinted)  # before the connection's
    assert await client.fetchval("SELECT count(*) FROM big WHERE part = 3") == ROWS // 50
    useless = "EXPLAIN SELECT /*+ TT_INDEX(big, big_part, 1) TT_MergeJoin(1) */ id FROM big"
    text = await _lines(client, useless)
    assert "no condition compares the first column of big_part" in text
    assert "SQLite joins by nested loops" in text


LONG = {  # minutes of work in each kind of plan
    "single": "SELECT /*+ TT_GridQueryExec(LOCAL) */ count(*) FROM big a, big b, big c WHERE a.txt <> b.txt || c.txt",
    "co-located": "SELECT count(*) FROM big a JOIN big b ON a.id = b.id, generate_series(1, 100000) x WHERE a.txt <> b.txt || x.x",
    "general": "SELECT count(*) FROM big a FULL JOIN big b ON a.txt <> b.txt || 'x' FULL JOIN big c ON c.txt <> a.txt || b.txt",
}  # fmt: skip


@pytest.mark.timeout(60)
async def test_a_time_limit_and_a_cancel_end_every_kind_of_plan(
    grid: MemoryGrid, client: asyncpg.Connection
) -> None:
    for kind, text in LONG.items():
        assert f"{kind} plan" in await _lines(client, f"EXPLAIN {text}")
        await client.execute("SET statement_timeout = '200ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await client.fetch(text)
        await client.execute("SET statement_timeout = 0")
        with pytest.raises(asyncio.TimeoutError):  # asyncpg sends a cancel request
            await client.fetch(text, timeout=0.3)
        assert await client.fetchval("SELECT count(*) FROM small") == 100
    await client.close()
    await grid.stop()  # nothing goes on at the leads: it would be waited for


async def test_a_client_that_wants_few_rows_gets_few(client: asyncpg.Connection) -> None:
    for text in (MERGED, GENERAL, "SELECT id FROM big"):
        async with client.transaction():
            cursor = await client.cursor(text)
            assert len(await cursor.fetch(3)) == 3
        assert await client.fetchval("SELECT count(*) FROM small") == 100


async def test_gathered_rows_do_not_stay_in_memory(
    client: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the cache they go to a file; SQLite's memory grows by the cache, not by the rows."""
    monkeypatch.setattr(coordination, "SCRATCH_CACHE_MB", 1)
    await client.execute("UPDATE big SET txt = RPAD('x', 2000, 'x')")
    text = "SELECT count(*) FROM big a FULL JOIN big b ON a.part = b.id AND a.txt <= b.txt"
    assert "general plan" in await _lines(client, f"EXPLAIN {text}")
    assert await client.fetchval(text) == 2 * ROWS - 50  # and the elements' caches are full
    before = apsw.memory_used()
    apsw.memory_high_water(True)
    assert await client.fetchval(text) == 2 * ROWS - 50
    gathered = 2 * ROWS * 2000
    assert apsw.memory_high_water() - before < gathered / 2


async def test_statistics_are_taken_while_leads_are_handed_over(tmp_path: Path) -> None:
    """Reading at leads waits for the next one: no replica set is down."""
    async with running_grid(tmp_path, "CREATE TABLE t (id TT_INTEGER PRIMARY KEY)") as grid:
        client = await grid.connect()
        await client.execute("INSERT INTO t VALUES (1)")
        databases = [n.instance.database(DATABASE) for n in grid.nodes if n.instance is not None]
        taken = 0
        for _ in range(4):
            lead = next(d for d in databases if d.writer.rs == 2 and d.writer.leading)
            giving = asyncio.create_task(lead.member._hand_over())
            while not giving.done():
                assert await client.execute("CALL ttOptUpdateStats('t')") == "CALL"
                taken += 1
            await giving
        assert taken
        await client.close()
        await set_intent(grid, INTENT_CREATED)  # nobody hands over: that would take its time
