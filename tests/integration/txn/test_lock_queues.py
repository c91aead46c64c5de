"""Fair waiting at one lead: transactions and autocommit statements in one queue."""

from __future__ import annotations

import asyncio

import pytest

from data.txn.locks import Mode
from protocol.errors import DeadlockError, LockTimeoutError
from protocol.messages.sql import LockTable, SelectRows, TakeKeys
from protocol.messages.txn import RollBack
from tests.support.lead import DB, Lead, T, add, insert, txn, update

ROW_1 = 'SELECT ID, V FROM "U.T" WHERE ID = 1'


def _lock(mode: Mode, row: int = 1) -> TakeKeys:
    return TakeKeys(T, 0, [(row,)], int(mode))


async def _turns() -> None:
    for _ in range(5):  # turns of the loop in which a batch is sent, committed and worked off
        await asyncio.sleep(0)


async def test_a_writer_that_waits_is_not_overtaken_by_readers(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)), commit=True)
    await lead.run(txn(2), 1, _lock(Mode.SHARED))
    writer = lead.run(txn(3), 1, update(1, 3))
    reader = lead.run(txn(4), 1, _lock(Mode.SHARED))
    await _turns()
    assert not reader.done()
    await lead.commit(txn(2), 1)
    await writer
    assert not reader.done()
    await lead.commit(txn(3), 1)
    await reader
    await lead.commit(txn(4), 1)


async def test_autocommit_statements_queue_up_like_everybody(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 0)), commit=True)
    await lead.run(txn(2), 1, add(1, 1))
    order: list[int] = []
    waiting = []
    for n in range(3, 9):  # autocommit statements and transactions by turns
        future = lead.run(txn(n), 1, add(1, 1), commit=n % 2 == 0)
        future.add_done_callback(lambda _, n=n: order.append(n))  # type: ignore[misc]
        waiting.append(future)
    await lead.commit(txn(2), 1)
    for n, future in zip(range(3, 9), waiting, strict=True):
        await future
        if n % 2:
            await lead.commit(txn(n), 1)
    assert order == list(range(3, 9))
    assert lead.rows() == [(1, 7)]


async def test_a_stream_of_autocommit_writes_does_not_starve_a_transaction(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 0)), commit=True)
    await lead.run(txn(2), 1, add(1, 1))
    waiting = lead.run(txn(3), 1, add(1, 1), wait_ms=60_000)
    stream = [lead.run(txn(n), 1, add(1, 1), commit=True, wait_ms=60_000) for n in range(10, 40)]
    await lead.commit(txn(2), 1)
    await waiting
    more = [lead.run(txn(n), 1, add(1, 1), commit=True, wait_ms=60_000) for n in range(40, 70)]
    await _turns()
    assert not any(f.done() for f in (*stream, *more))  # it has the row, they come after it
    await lead.commit(txn(3), 1)
    await asyncio.gather(*stream, *more)
    assert lead.rows() == [(1, 62)]


async def test_autocommit_writes_of_one_row_that_waited_share_batches(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 0)), commit=True)
    await lead.run(txn(2), 1, add(1, 1))
    waiting = [lead.run(txn(n), 1, add(1, 1), commit=True) for n in range(10, 60)]
    batches = len(lead.copies.batches)
    await lead.commit(txn(2), 1)
    await asyncio.gather(*waiting)
    assert lead.rows() == [(1, 51)]
    assert len(lead.copies.batches) - batches <= 3


async def test_an_update_beside_the_key_lets_rows_be_referred_to(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)), commit=True)
    await lead.run(txn(2), 1, _lock(Mode.KEY_SHARED))
    await lead.run(txn(3), 1, update(1, 3), commit=True)
    await lead.run(txn(4), 1, update(1, 4))
    await lead.run(txn(5), 1, _lock(Mode.KEY_SHARED))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(6), 1, _lock(Mode.SHARED), wait_ms=0)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(7), 1, _lock(Mode.EXCLUSIVE), wait_ms=0)


async def test_skip_locked_counts_only_what_it_gets(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*((n, n) for n in range(1, 6))), commit=True)
    await lead.run(txn(2), 1, update(1, 0), update(3, 0))
    sql = 'SELECT ID, V FROM "U.T" ORDER BY ID'
    step = SelectRows(sql, (), ((T, 0, 1),), int(Mode.EXCLUSIVE), True, 2)
    ran = await lead.run(txn(3), 1, step)
    assert [row[0] for row in ran.rows] == [2, 4]
    ran = await lead.run(txn(4), 1, step)
    assert [row[0] for row in ran.rows] == [5]


async def test_a_failed_statement_keeps_no_lock_that_was_granted_for_it(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(2), 1, update(1, 5))
    await lead.run(txn(3), 1, update(2, 6))
    both = lead.run(txn(4), 1, update(1, 7), update(2, 7), wait_ms=50)
    await lead.commit(txn(2), 1)  # it gets the first row, and waits for the second
    with pytest.raises(LockTimeoutError):
        await both
    await lead.run(txn(5), 1, update(1, 8), wait_ms=0, commit=True)
    await lead.commit(txn(3), 1)


async def test_autocommit_statements_never_are_the_victims(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(2), 1, update(1, 20))
    await lead.run(txn(3), 1, update(2, 30))
    both = lead.run(txn(9), 1, add(1, 1), add(2, 1), commit=True, wait_ms=60_000)
    await lead.commit(txn(2), 1)  # the autocommit statement has row 1 and waits for row 2
    third = lead.run(txn(3), 2, update(1, 31), wait_ms=60_000)  # a cycle, without the giving way
    await third
    await lead.commit(txn(3), 2)
    await both
    assert lead.rows() == [(1, 32), (2, 31)]


async def test_three_in_a_circle_end_with_the_youngest_of_them(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1), (2, 2), (3, 3)), commit=True)
    for n in (2, 3, 4):
        await lead.run(txn(n), 1, update(n - 1, 0))
    waiting = {
        4: lead.run(txn(4), 2, update(1, 0), wait_ms=60_000),
        2: lead.run(txn(2), 2, update(2, 0), wait_ms=60_000),
        3: lead.run(txn(3), 2, update(3, 0), wait_ms=60_000),  # closes it
    }
    with pytest.raises(DeadlockError):
        await waiting[4]
    assert not waiting[2].done()
    lead.writer.roll_back(RollBack(DB, 1, txn(4)))
    await waiting[3]
    await lead.commit(txn(3), 2)
    await waiting[2]
    await lead.commit(txn(2), 2)


async def test_a_table_lock_waits_for_writers_and_keeps_later_ones_waiting(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(2), 1, update(1, 5))
    table = lead.run(txn(3), 1, LockTable(T), wait_ms=60_000)
    later = lead.run(txn(4), 1, update(2, 6), commit=True, wait_ms=60_000)
    await lead.run(txn(2), 2, update(2, 7))  # it has begun before the table lock was asked for
    await _turns()
    assert not table.done()
    assert not later.done()
    await lead.commit(txn(2), 2)
    await table
    assert not later.done()
    await lead.commit(txn(3), 1)
    await later
    assert lead.rows() == [(1, 5), (2, 6)]


async def test_a_statement_that_is_sent_again_while_it_waits_waits_once(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)), commit=True)
    await lead.run(txn(2), 1, update(1, 5))
    first = lead.run(txn(3), 1, add(1, 1), wait_ms=60_000)
    again = lead.run(txn(3), 1, add(1, 1), wait_ms=60_000)
    await lead.commit(txn(2), 1)
    assert (await again).counts == (1,)
    await lead.commit(txn(3), 1)
    assert isinstance(first.exception(), Exception)
    assert lead.rows() == [(1, 6)]
