"""What instances count and measure: asked over RPC as management does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from protocol import metric_names
from protocol.messages.metrics import AskFigures, DatabaseFigures, Figures
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=2, sets=1) as made:
        yield made


async def ask(grid: MemoryGrid, at: int = 0, statements: int = 0) -> Figures:
    """Of the instance number `at`, asked by another one."""
    asker = grid.nodes[1 - at].rpc
    assert asker is not None
    answer = await asker.peer(grid.nodes[at].name).call(AskFigures(DATABASE, statements), 5.0)
    assert isinstance(answer, Figures)
    return answer


def of(figures: Figures) -> DatabaseFigures:
    """Of the one database."""
    (database,) = figures.databases
    return database


def count(database: DatabaseFigures, kind: str) -> int:
    """Statements of a kind."""
    times = database.statements.get(kind)
    return sum(times.slots) if times is not None else 0


async def test_a_block_counts_as_one_and_each_of_its_statements_too(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY, b INT)")
    before = of(await ask(grid))
    block = """
        DECLARE n NUMBER;
        BEGIN
          FOR i IN 1 .. 5 LOOP INSERT INTO c VALUES (i, i); END LOOP;
          COMMIT;
          BEGIN INSERT INTO c VALUES (1, 1); EXCEPTION WHEN DUP_VAL_ON_INDEX THEN NULL; END;
          FOR r IN (SELECT a FROM c) LOOP UPDATE c SET b = 0 WHERE a = r.a; END LOOP;
          SELECT COUNT(*) INTO n FROM c;
        END;"""
    await client.execute(block)
    with pytest.raises(asyncpg.PostgresError):
        await client.execute("BEGIN INSERT INTO c VALUES (1, 1); END;")
    await client.close()

    figures = await ask(grid, statements=20)
    after = of(figures)
    more = {k: count(after, k) - count(before, k) for k in ("block", "insert", "update", "select")}
    assert more == {"block": 1, "insert": 5, "update": 5, "select": 2}
    assert sum(after.commits.slots) - sum(before.commits.slots) == 2  # COMMIT, and of the block
    assert {code: n for code, _, n in after.errors} == {"UNIQUE": 1}  # the other was handled
    changed = [one for one in after.cache if one.kind in ("insert", "update")]
    assert sum(one.errors for one in changed) == 2
    assert sum(one.rows for one in changed) == 10


async def test_statements_commits_rows_and_errors_are_counted(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY, b INT)")
    before = of(await ask(grid))
    for number in range(10):
        await client.execute("INSERT INTO c VALUES ($1, $2)", number, 0)
    async with client.transaction():
        await client.execute("UPDATE c SET b = 1")
    transaction = client.transaction()
    await transaction.start()
    await client.execute("DELETE FROM c WHERE a = $1", 3)
    await transaction.rollback()
    assert len(await client.fetch("SELECT * FROM c WHERE b = $1", 1)) == 10
    with pytest.raises(asyncpg.UniqueViolationError):
        await client.execute("INSERT INTO c VALUES ($1, $2)", 1, 0)
    with pytest.raises(asyncpg.UndefinedTableError):
        await client.execute("SELECT * FROM missing")
    await client.close()

    figures = await ask(grid, statements=10)
    after = of(figures)
    assert count(after, "insert") - count(before, "insert") == 10
    assert count(after, "update") == 1
    assert count(after, "delete") == 1
    assert count(after, "rollback") == 1
    assert sum(after.commits.slots) - sum(before.commits.slots) == 11  # 10 by themselves, COMMIT
    assert {(code, state): n for code, state, n in after.errors} == {
        ("UNIQUE", "23505"): 1,
        ("UNKNOWN_TABLE", "42P01"): 1,
    }
    by_text = {statement.text: statement for statement in after.cache}
    insert = by_text["INSERT INTO c VALUES ($1, $2)"]
    assert (insert.kind, insert.plan, insert.rows, insert.errors) == ("insert", "single", 10, 1)
    assert sum(insert.times.slots) == 10
    assert insert.longest_ns <= insert.times.total_ns
    assert by_text["SELECT * FROM c WHERE b = $1"].rows == 10
    assert by_text["SELECT * FROM c WHERE b = $1"].plan == "co-located"


async def test_the_statement_cache_in_sql(grid: MemoryGrid) -> None:
    client, admin = await grid.connect(), await grid.connect_admin()
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY, b INT)")
    before = dict(map(tuple, await admin.fetch("CALL ttSQLExecutionTimeHistogram")))
    for number in range(6):
        await client.execute("INSERT INTO c VALUES ($1, $2)", number, 0)
    info = [
        row
        for row in await admin.fetch("CALL ttSQLCmdCacheInfo()")
        if row["querytext"] == "INSERT INTO c VALUES ($1, $2)"
    ]
    assert [(r["executions"], r["fetchcount"], r["plan"], r["owner"]) for r in info] == [
        (6, 6, "single", "TERRY")
    ]
    assert 0 < info[0]["p50executetime"] <= info[0]["maxexecutetime"] * 1.42
    number = info[0]["sqlcmdid"]
    assert len(await admin.fetch(f"CALL ttSQLCmdCacheInfo({number})")) == 1
    one = await admin.fetch(f"CALL ttSQLExecutionTimeHistogram({number})")
    assert [row[0] for row in one][:4] == [1.5625e-05, 0.000125, 0.001, 0.008]
    assert len(one) == 10
    assert sum(row[1] for row in one) == 6
    after = dict(map(tuple, await admin.fetch("CALL ttSQLExecutionTimeHistogram")))
    assert sum(after.values()) > sum(before.values()) + 6
    (sums,) = await admin.fetch("CALL ttSqlCmdCacheInfoGet")
    assert sums["cmdcount"] > 0
    text = "SELECT executions FROM sys.gv$sql_cmd_cache_info WHERE querytext = $1"
    assert await admin.fetchval(text, "INSERT INTO c VALUES ($1, $2)") == 6
    with pytest.raises(asyncpg.PostgresError, match="number of a statement"):
        await admin.execute("CALL ttSQLCmdCacheInfo('x')")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await client.execute("CALL ttSQLCmdCacheInfo")
    await client.close()
    await admin.close()


async def test_a_portal_read_in_pieces_counts_once(grid: MemoryGrid) -> None:
    client = await grid.connect()
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY)")
    await client.executemany("INSERT INTO c VALUES ($1)", [(n,) for n in range(10)])
    async with client.transaction():
        cursor = await client.cursor("SELECT a FROM c WHERE a >= $1", 0)
        assert len(await cursor.fetch(4)) == 4
        assert len(await cursor.fetch(20)) == 6
    (statement,) = [s for s in of(await ask(grid, statements=10)).cache if "a >=" in s.text]
    assert sum(statement.times.slots) == 1
    assert statement.rows == 4
    await client.close()


async def test_every_number_has_a_name_and_a_meaning(grid: MemoryGrid) -> None:
    lead, copy = await ask(grid, 0), await ask(grid, 1)
    if of(lead).role != "lead":
        lead, copy = copy, lead
    assert of(lead).role == "lead"
    assert set(lead.numbers) <= set(metric_names.INSTANCE)
    assert set(of(lead).numbers) == set(metric_names.DATABASE)
    assert of(copy).numbers.keys() <= of(lead).numbers.keys()
    assert lead.numbers["rpc_requests_total"] > 0
    assert lead.numbers["rpc_received_bytes_total"] > 0
    assert lead.numbers["membership_connected"] == 1
    assert of(lead).numbers["perm_allocated_bytes"] == 64 << 20
    assert of(lead).numbers["perm_in_use_bytes"] > 0
    assert of(lead).numbers["replica_set_in_sync"] == 2
    assert of(lead).numbers["replica_set_copies"] == 2
    assert of(copy).numbers["replication_lag_seconds"] == 0


async def test_the_lead_tells_how_far_a_lost_copy_is_behind(grid: MemoryGrid) -> None:
    at = 0 if of(await ask(grid, 0)).role == "lead" else 1
    client = await grid.connect(at)
    await client.execute("CREATE TABLE c (a INT PRIMARY KEY)")
    (level,) = of(await ask(grid, at)).copies
    assert (level.phase, level.entries, level.seconds) == ("synced", 0, 0.0)
    await grid.stop_node(grid.nodes[1 - at])
    await client.executemany("INSERT INTO c VALUES ($1)", [(n,) for n in range(5)])
    instance = grid.nodes[at].instance
    assert instance is not None
    (behind,) = of(instance.measures.figures(AskFigures())).copies
    assert behind.phase != "synced"
    assert behind.seconds > 0
    assert of(instance.measures.figures(AskFigures())).numbers["replica_set_in_sync"] == 1
    await client.close()


async def test_locks_waits_and_failed_logins(grid: MemoryGrid) -> None:
    at = 0 if of(await ask(grid, 0)).role == "lead" else 1
    one = await grid.connect(at)
    await one.execute("CREATE TABLE c (a INT PRIMARY KEY, b INT)")
    await one.execute("INSERT INTO c VALUES (1, 1)")
    transaction = one.transaction()
    await transaction.start()
    await one.execute("UPDATE c SET b = 2 WHERE a = 1")
    other = await grid.connect(at)
    await other.execute("SET lock_wait = 0.1")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await other.execute("UPDATE c SET b = 3 WHERE a = 1")
    numbers = of(await ask(grid, at)).numbers
    assert numbers["locks_held"] > 0
    assert numbers["lock_timeouts_total"] == 1
    assert numbers["transactions_open"] >= 1
    await transaction.rollback()
    node = grid.nodes[at]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host="127.0.0.1",
            port=node.settings.cs_port,
            user="terry",
            password="wrong",
            database=DATABASE,
        )
    assert of(await ask(grid, at)).numbers["logins_failed_total"] == 1
    await one.close()
    await other.close()
