"""V$XACT_ID, V$TRANSACTION, GV$… and dbTransactions while transactions are open, wait, in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from data.txn.manager import TransactionManager
from mgmt.api.schema_databases import DbTransactionsReply, TransactionRow
from mgmt.cli.command import Arguments
from mgmt.cli.nouns.transactions import transactions_text
from protocol.messages.txn import CommitSingle, ListTransactions
from tests.support.memory_grid import MemoryGrid, running_grid


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Two replica sets and a table whose rows 1 to 8 are in both."""
    async with running_grid(
        tmp_path,
        "CREATE TABLE t (id TT_INTEGER PRIMARY KEY, n TT_INTEGER)",
        "INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(1, 9)),
        k=1,
        sets=2,
    ) as grid:
        yield grid


def _manager(grid: MemoryGrid, at: int) -> TransactionManager:
    instance = grid.nodes[at].instance
    assert instance is not None
    return instance._databases["database1"].space.manager


async def _rows(client: asyncpg.Connection, view: str) -> list[dict[str, Any]]:
    return [dict(r) for r in await client.fetch(f"SELECT * FROM sys.{view}")]


@pytest.mark.timeout(60)
async def test_open_and_waiting(grid: MemoryGrid) -> None:
    one, two, asking = await grid.connect(0), await grid.connect(1), await grid.connect(0)
    assert await _rows(asking, "gv$transaction") == []
    assert await _rows(asking, "gv$xact_id") == []
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 1")
    mine = await one.fetchrow("SELECT elementId, xactId, counter FROM sys.v$xact_id")
    shown = ".".join(str(part) for part in mine)
    assert mine[0] == 1
    (element, *_, counter) = (await asking.fetchrow("SELECT * FROM gv$xact_id"))[:3]
    assert (element, counter) == (1, mine[2])

    rows = await _rows(asking, "gv$transaction")
    assert {r["elementid"] for r in rows} == {1, 2}
    for row in rows:
        assert (row["xactid"], row["state"], row["coordinator"]) == (shown, "open", 1)
        assert row["locks"] >= row["rows_changed"] > 0
        assert row["waits_for"] is None
    assert sum(row["rows_changed"] for row in rows) == 8
    assert len(await _rows(asking, "v$transaction")) == 1

    await two.execute("BEGIN")
    waiting = asyncio.create_task(two.execute("UPDATE t SET n = 2 WHERE id = 1"))
    async with asyncio.timeout(10):
        while not (found := [r for r in await _rows(asking, "gv$transaction") if r["waits_for"]]):
            await asyncio.sleep(0.01)  # polls: waiting is announced to nobody
    assert {(r["waits_for"], r["coordinator"]) for r in found} == {(shown, 2)}
    assert "(1,)" in found[0]["waits_on"]
    await one.execute("COMMIT")
    await waiting
    assert {r["coordinator"] for r in await _rows(asking, "gv$transaction")} == {2}
    await two.execute("ROLLBACK")
    async with asyncio.timeout(10):
        while await _rows(asking, "gv$transaction"):
            await asyncio.sleep(0.01)  # polls: a roll-back is told one way
    for client in (one, two, asking):
        await client.close()


@pytest.mark.timeout(60)
async def test_prepared_and_in_doubt(grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator is held between PREPARE and its decision; then it forgets the transaction."""
    one, asking = await grid.connect(0), await grid.connect(1)
    manager = _manager(grid, 0)
    prepared, held = asyncio.Event(), list[Any]()
    router = manager.routes
    send = router.send

    def but_the_decision(rs: int, message: object, *rest: Any) -> None:
        if isinstance(message, CommitSingle):
            held.append((rs, message, *rest))
            prepared.set()
        else:
            send(rs, message, *rest)

    monkeypatch.setattr(router, "send", but_the_decision)
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 1")
    committing = asyncio.create_task(one.execute("COMMIT"))
    await prepared.wait()
    rows = await _rows(asking, "gv$transaction")
    # the anchor, element 2, has not been told yet who else takes part
    assert {(r["state"], r["participants"]) for r in rows} == {
        ("prepared", "1, 2"),
        ("prepared", "2"),
    }
    assert {r["elementid"] for r in rows} == {1, 2}

    kept = dict(manager.open)
    manager.open.clear()  # as a coordinator that was started again
    rows = await _rows(asking, "gv$transaction")
    assert {r["state"] for r in rows} == {"in doubt"}
    manager.open.update(kept)
    monkeypatch.setattr(router, "send", send)
    send(*held[0])
    await committing
    assert await asking.fetchval("SELECT sum(n) FROM t") == 8
    assert await _rows(asking, "gv$transaction") == []
    await one.close()
    await asking.close()


@pytest.mark.timeout(60)
async def test_who_does_not_answer_is_named(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance that hangs keeps nobody waiting: the others' rows come, and a warning."""
    one, asking = await grid.connect(0), await grid.connect(0)
    monkeypatch.setattr("data.exec.transactions.ANSWER_TIMEOUT_S", 0.05)
    instance = grid.nodes[0].instance
    assert instance is not None
    router = instance._databases["database1"].space.router
    call = router.call_instance
    silent: list[asyncio.Future[Any]] = []

    def hanging(name: str, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        if name == router.instance or not isinstance(message, ListTransactions):
            return call(name, message, timeout_s)
        silent.append(asyncio.get_running_loop().create_future())
        return silent[-1]

    monkeypatch.setattr(router, "call_instance", hanging)
    warnings: list[str] = []
    asking.add_log_listener(lambda _, message: warnings.append(message.message))
    await one.execute("BEGIN")
    await one.execute("UPDATE t SET n = 1")
    assert {r["elementid"] for r in await _rows(asking, "gv$transaction")} == {1}
    assert len(silent) == 1
    assert silent[0].cancelled()
    assert ["element 2" in w and grid.nodes[1].name in w for w in warnings] == [True]
    assert len(await _rows(asking, "v$transaction")) == 1
    assert len(warnings) == 1
    await one.close()
    await asking.close()


def test_the_text_of_db_transactions() -> None:
    row = TransactionRow(
        transaction="3.1.148",
        incarnation="x",
        coordinator=3,
        state="in doubt",
        age_ms=61_240,
        prepared_ms=60_000,
        participants=(1, 2),
        prepared_at=(2,),
        rows=8,
        locks=9,
        waits_for="",
        waits_on="",
    )
    reply = DbTransactionsReply(
        name="database1", as_of=0, transactions=(row,), silent=("host3.instance1",)
    )
    lines = transactions_text(reply, Arguments({}, {})).splitlines()
    assert lines[0].startswith("Database database1 transactions as of ")
    assert lines[2:5] == [
        "Transaction Elem State    Age(s) Prepared(s) RS   Rows Locks Waits for",
        "----------- ---- -------- ------ ----------- ---- ---- ----- ---------",
        "3.1.148        3 in doubt 61.2   60.0        1,2*    8     9",
    ]
    assert lines[-1] == "No answer from: host3.instance1"
    empty = DbTransactionsReply(name="database1", as_of=0, transactions=())
    assert transactions_text(empty, Arguments({}, {})).endswith("\n\nNo transactions")
