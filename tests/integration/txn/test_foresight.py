"""UPDATEs of open transactions that are worked out by reading their row (data/txn/foresight.py)."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from data.storage.changes import RowChange
from data.storage.element import Element
from data.txn.facts import FactsCache
from data.txn.foresight import foresee, met_by
from protocol.errors import LockTimeoutError
from protocol.messages.sql import LockTable, Look, RunSql
from protocol.messages.txn import UndoStatement
from tests.support.lead import DB, Lead, T, add, insert, txn
from tests.support.memory_grid import MemoryGrid

_LOOK = 'SELECT ID, V, _BUCKET, {} FROM "U.T" WHERE ID = ?1'


def seen(row: int, more: int) -> RunSql:
    """V = V + more, as a coordinator sends it in a transaction."""
    return _with_look(row, more, "V + ?2")


def _with_look(row: int, value: object, new: str) -> RunSql:
    text = f'UPDATE "U.T" SET V = {new} WHERE ID = ?1'
    return RunSql(T, text, (row, value), look=Look(_LOOK.format(new), (1,)))


async def _start(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 10), (2, 20)), commit=True)


async def test_it_is_answered_while_a_batch_is_on_its_way(lead: Lead) -> None:
    await _start(lead)
    lead.copies.hold = True
    other = lead.run(txn(2), 1, add(2, 5), commit=True)
    await asyncio.sleep(0)  # one turn: the batch is on its way
    await asyncio.sleep(0)
    assert lead.copies.waiting
    answer = lead.run(txn(3), 1, seen(1, 7))
    assert answer.done()
    assert (await answer).counts == (1,)
    lead.copies.hold = False
    lead.copies.acknowledge()
    await other
    assert lead.rows() == [(1, 10), (2, 25)]
    await lead.commit(txn(3), 1)
    assert lead.rows() == [(1, 17), (2, 25)]


async def test_it_waits_for_an_autocommit_statement_that_changes_its_row(lead: Lead) -> None:
    await _start(lead)
    lead.copies.hold = True
    other = lead.run(txn(2), 1, add(1, 5), commit=True)
    answer = lead.run(txn(3), 1, seen(1, 7))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not answer.done()
    lead.copies.hold = False
    lead.copies.acknowledge()
    await asyncio.gather(other, answer)
    await lead.commit(txn(3), 1)
    assert lead.rows() == [(1, 22), (2, 20)]


async def test_it_waits_for_the_lock_of_an_open_transaction(lead: Lead) -> None:
    await _start(lead)
    await lead.run(txn(2), 1, seen(1, 5))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(4), 1, seen(1, 1), wait_ms=0)
    answer = lead.run(txn(3), 1, seen(1, 7))
    assert not answer.done()
    await lead.commit(txn(2), 1)
    await answer
    await lead.commit(txn(3), 1)
    assert lead.rows() == [(1, 22), (2, 20)]


async def test_it_sees_what_its_transaction_did_before(lead: Lead) -> None:
    await _start(lead)
    steps = [seen(1, 1), seen(1, 2), seen(2, 3), insert((3, 30)), seen(3, 4), seen(2, 5), add(1, 6)]
    for number, step in enumerate(steps, 1):
        assert (await lead.run(txn(2), number, step)).counts == (1,)
    await lead.run(txn(2), len(steps) + 1, RunSql(T, 'DELETE FROM "U.T" WHERE ID = ?1', (3,)))
    assert (await lead.run(txn(2), len(steps) + 2, seen(3, 1))).counts == (0,)
    await lead.commit(txn(2), len(steps) + 2)
    assert lead.rows() == [(1, 19), (2, 28)]


async def test_it_is_undone_and_a_row_that_is_not_there_counts_none(lead: Lead) -> None:
    await _start(lead)
    assert (await lead.run(txn(2), 1, seen(9, 1))).counts == (0,)
    await lead.run(txn(2), 2, seen(1, 1))
    await lead.run(txn(2), 3, seen(2, 1))
    await lead.call(lead.writer.undo_statement, UndoStatement(DB, 1, 1, txn(2), 2))
    await lead.run(txn(2), 3, seen(2, 2))
    await lead.commit(txn(2), 3)
    assert lead.rows() == [(1, 11), (2, 22)]


async def test_a_table_that_is_locked_keeps_it_waiting(lead: Lead) -> None:
    await _start(lead)
    await lead.run(txn(2), 1, LockTable(T, 2))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(3), 1, seen(1, 1), wait_ms=0)


async def test_without_the_lease_it_is_not_answered(lead: Lead) -> None:
    await _start(lead)
    lead.copies.ok = False
    answer = lead.run(txn(2), 1, seen(1, 1))
    assert isinstance(answer.exception(), Exception)


async def test_what_sqlite_would_store_otherwise_is_run(lead: Lead) -> None:
    await _start(lead)
    facts = FactsCache(lead.element.catalog).by_id(T)
    element: Element = lead.element
    assert foresee(element, facts, seen(1, 1)) == [("U.T", (1, 10, 0), (1, 11, 0))]
    assert foresee(element, facts, _with_look(1, None, "?2")) == [("U.T", (1, 10, 0), (1, None, 0))]
    for other in ("5", 5.0, b"5"):  # the column's affinity would change them, or not
        assert foresee(element, facts, _with_look(1, other, "?2")) is None
    assert foresee(element, facts, _with_look(1, 1, "no_such(?2)")) is None
    await lead.run(txn(2), 1, _with_look(1, "5", "?2"))
    await lead.commit(txn(2), 1)
    assert lead.rows() == [(1, 5), (2, 20)]


async def test_a_row_is_met_by_its_key(lead: Lead) -> None:
    await _start(lead)
    facts = FactsCache(lead.element.catalog).by_id(T)
    change = RowChange("U.T", (1, 10, 0), (1, 11, 0))
    assert met_by([RowChange("U.T", None, (1, 9, 0))], facts, change)
    assert met_by([RowChange("U.T", (1, 9, 0), (3, 9, 0))], facts, change)
    assert met_by([RowChange("U.T", (3, 9, 0), (1, 9, 0))], facts, change)
    assert not met_by([RowChange("U.T", (2, 9, 0), (3, 9, 0))], facts, change)
    assert not met_by([RowChange("U.S", (1, 9, 0), None)], facts, change)


async def test_coordinators_send_it(grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    foreseen: list[int] = []
    whole = foresee

    def counted(*args: object) -> object:
        found = whole(*args)  # type: ignore[arg-type]
        foreseen.append(-1 if found is None else len(found))
        return found

    monkeypatch.setattr("data.txn.lead.foresee", counted)
    client = await grid.connect(0)
    await client.execute(
        "CREATE TABLE t (id TT_INTEGER NOT NULL PRIMARY KEY, v TT_BIGINT NOT NULL, c VARCHAR2(9), "
        "n NUMBER, CHECK (v < 1000)) DISTRIBUTE BY HASH"
    )
    await client.execute(
        "CREATE TABLE s (id TT_INTEGER NOT NULL PRIMARY KEY, v TT_BIGINT NOT NULL, c VARCHAR2(9), "
        "n NUMBER) DISTRIBUTE BY HASH"
    )
    for n in range(8):
        await client.execute(f"INSERT INTO t VALUES ({n}, {n}, 'abc', 1.5)")
        await client.execute(f"INSERT INTO s VALUES ({n}, {n}, 'abc', 1.5)")
    async with client.transaction():
        for n in range(8):
            await client.execute("UPDATE s SET v = v + $2, c = 'x' WHERE id = $1", n, n)
    assert foreseen == [1] * 8
    async with client.transaction():
        for n in range(8):
            await client.execute("UPDATE t SET v = v + 1 WHERE id = $1", n)  # CHECK: not told
            await client.execute("UPDATE s SET v = v + 1 WHERE id = $1", n)  # brought in by now
    assert foreseen == [1] * 8
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        async with client.transaction():
            await client.execute("UPDATE s SET v = v + 9223372036854775807 WHERE id = 1")
    async with client.transaction():
        for n in range(8):
            await client.execute("UPDATE s SET c = c || 'longer' WHERE id = $1", n)
    assert foreseen[8:] == [-1] * (len(foreseen) - 8)
    rows = await client.fetch("SELECT id, v, c FROM s ORDER BY id")
    assert [tuple(r) for r in rows] == [(n, 2 * n + 1, "xlonger") for n in range(8)]
    await client.close()
