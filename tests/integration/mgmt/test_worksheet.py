"""What the console asks of a database: SQL, balance, activity, statements, throttle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mgmt.api.schema_activity import DbActivity, DbActivityReply, DbStatements, DbStatementsReply
from mgmt.api.schema_picture import GridPicture, Picture
from mgmt.api.schema_worksheet import (
    DbBalance,
    DbBalanceReply,
    DbThrottle,
    SqlCancel,
    SqlRun,
    SqlRunReply,
)
from protocol.errors import ParameterError, UnknownModelObjectError
from tests.support.whole_grid import DATABASE, WholeGrid, whole_grid

ENDLESS = (
    "SELECT COUNT(*) FROM terry.t a, terry.t b, terry.t c, terry.t d"
    " WHERE a.id + b.id + c.id + d.id = -1"
)


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[WholeGrid]:
    """Two replica sets, a table with rows."""
    async with whole_grid(tmp_path, k=1, data=2) as whole:
        await whole.create()
        client = await whole.nodes[0].connect()
        await client.execute("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, word VARCHAR2(20))")
        await client.executemany(
            "INSERT INTO t VALUES ($1, $2)", [(n, f"w{n}") for n in range(200)]
        )
        await client.close()
        yield whole


async def run(grid: WholeGrid, text: str, **more: object) -> SqlRunReply:
    reply = await grid.call(SqlRun(name=DATABASE, text=text, **more), SqlRunReply)
    assert isinstance(reply, SqlRunReply)
    return reply


async def test_statements_answer_as_a_client_is_answered(grid: WholeGrid) -> None:
    found = await run(grid, "SELECT id, word FROM t WHERE id = 7;", schema="TERRY", explain=True)
    assert (found.columns, found.rows, found.tag) == (("id", "word"), (("7", "w7"),), "SELECT 1")
    assert any("replica set" in line for line in found.plan)
    few = await run(grid, "SELECT id FROM terry.t", rows_max=10)
    assert (len(few.rows), few.more) == (10, True)
    changed = await run(grid, "UPDATE terry.t SET word = NULL WHERE id < 3")
    assert changed.tag == "UPDATE 3"
    assert (await run(grid, "SELECT word FROM terry.t WHERE id = 1")).rows == ((None,),)
    wrong = await run(grid, "SELECT nope FROM dual")
    assert wrong.error is not None
    assert (wrong.error.sqlstate, wrong.error.position) == ("42703", 8)
    with pytest.raises(ParameterError):
        await run(grid, "  ;")


async def test_a_statement_ends_at_its_time_or_when_it_is_cancelled(grid: WholeGrid) -> None:
    late = await run(grid, ENDLESS, timeout_s=0.2)
    assert late.error is not None and late.error.sqlstate == "57014"
    running = asyncio.create_task(run(grid, ENDLESS, number="n1"))
    while not running.done():  # it is cancelled as soon as it has begun
        reply = await grid.call(SqlCancel(number="n1"))
        if reply.messages == ("The statement is being cancelled",):
            break
    ended = await running
    assert ended.error is not None and ended.error.sqlstate == "57014"


async def test_rows_are_counted_where_they_are(grid: WholeGrid) -> None:
    reply = await grid.call(DbBalance(name=DATABASE), DbBalanceReply)
    (table,) = reply.tables
    assert (table.owner, table.table, table.error) == ("terry", "t", "")
    assert [rs for rs, _ in table.rows] == [1, 2]
    assert sum(rows for _, rows in table.rows) == 200


async def test_activity_and_statements_add_up_over_the_instances(grid: WholeGrid) -> None:
    first = await grid.call(DbActivity(name=DATABASE), DbActivityReply)
    assert first.statements.per_s == -1.0, "one look tells no rate"
    before = first.statements.total
    await run(grid, "SELECT COUNT(*) FROM terry.t")
    async with asyncio.timeout(10):
        while True:
            reply = await grid.call(DbActivity(name=DATABASE), DbActivityReply)
            if reply.statements.per_s > 0:
                break
            await asyncio.sleep(0.1)  # it looks once a second, whoever asks
    assert reply.statements.total > before
    assert reply.silent == ()
    kept = await grid.call(DbStatements(name=DATABASE), DbStatementsReply)
    row = next(row for row in kept.statements if row.text == "SELECT COUNT(*) FROM terry.t")
    assert (row.plan, row.count) == ("co-located", 1)


async def test_the_picture_shows_elements_and_their_memory(grid: WholeGrid) -> None:
    picture = await grid.call(GridPicture(), Picture)
    (database,) = picture.databases
    assert [s.state for s in database.sets] == ["ok", "ok"]
    assert sum(s.buckets for s in database.sets) == 4096
    assert [e.size_kb for e in database.elements] == [64 * 1024] * 2
    assert all(0 < e.used_kb < e.size_kb and e.role == "lead" for e in database.elements)


async def test_there_is_nothing_to_throttle_while_nothing_moves(grid: WholeGrid) -> None:
    with pytest.raises(UnknownModelObjectError, match="no buckets"):
        await grid.call(DbThrottle(name=DATABASE, rows_per_s=5))
