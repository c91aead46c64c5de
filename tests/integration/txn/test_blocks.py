"""Very many new rows in encoded blocks: the same rows, locks and errors as rows of their own."""

from __future__ import annotations

import asyncio

import pytest

from data.storage import changes as row_changes
from data.storage.entry import EntryKind, decode_payload
from data.txn import parts
from protocol.errors import (
    InternalError,
    LockTimeoutError,
    NotNullError,
    StaleMapError,
    UniqueViolationError,
)
from protocol.messages.sql import InsertBlock, RunSql, SelectRows
from protocol.messages.txn import RollBack, UndoStatement
from tests.support.elements import contents
from tests.support.lead import DB, Lead, T, insert, txn, update
from tests.support.new_rows import encoded

SIZE = 600


def block(*rows: tuple[int | None, int], name: str = "U.T") -> InsertBlock:
    return InsertBlock(T, encoded(name, [(*row, 0) for row in rows]))


def some(first: int) -> list[tuple[int, int]]:
    return [(n, n) for n in range(first, first + SIZE)]


async def at_rest(lead: Lead) -> None:
    while lead.writer._batch or any(w.shrinking for w in lead.writer._workspaces.values()):
        await asyncio.sleep(0)


async def test_blocks_are_committed_and_reach_the_log_as_they_came(lead: Lead) -> None:
    for number in range(1, 4):
        ran = await lead.run(txn(1), number, block(*some(number * SIZE)))
        assert ran.counts == (SIZE,)
    await at_rest(lead)
    workspace = lead.writer._workspaces[txn(1)]
    assert not workspace.changes
    assert len(workspace.queue) == 3  # few bytes wait for more, or for the COMMIT
    assert lead.rows() == []
    await lead.commit(txn(1), 3)
    written = [e for b in lead.copies.batches for e in b if e.kind == EntryKind.PART]
    sent = [decode_payload(entry.payload).changes for entry in written]
    assert sent == [block(*some(number * SIZE)).rows for number in range(1, 4)]
    assert lead.rows() == [(n, n) for n in range(SIZE, 4 * SIZE)]
    assert lead.element.changes_of(txn(1)) == 3 * SIZE
    assert not lead.writer.locks


async def test_many_blocks_leave_memory_before_the_commit(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = len(block(*some(SIZE)).rows)
    monkeypatch.setattr(parts, "HELD_BYTES_MAX", 3 * each)
    for number in range(1, 10):
        await lead.run(txn(1), number, block(*some(number * SIZE)))
        await at_rest(lead)
        workspace = lead.writer._workspaces[txn(1)]
        assert len(workspace.queue) == number % 3
        assert len(workspace.parts) == number // 3 * 3
    monkeypatch.setattr(parts, "BATCH_BYTES_MAX", 2 * each)
    monkeypatch.setattr(parts, "HELD_BYTES_MAX", 5 * each)
    before = len(lead.copies.batches)
    for number in range(10, 15):
        await lead.run(txn(1), number, block(*some(number * SIZE)))
    await at_rest(lead)
    assert [len(batch) for batch in lead.copies.batches[before:]] == [2, 2, 1]
    await lead.commit(txn(1), 14)
    assert lead.rows() == [(n, n) for n in range(SIZE, 15 * SIZE)]


async def test_redo_and_undo_of_the_log_as_a_copy_does_them(lead: Lead) -> None:
    await lead.run(txn(1), 1, block(*some(0)))
    await at_rest(lead)
    before, tail = contents(lead.element), lead.element.tail.lsn
    await lead.run(txn(1), 2, insert((-1, 5)), update(3, 33))
    await lead.commit(txn(1), 2)
    after = contents(lead.element)
    assert len(lead.rows()) == SIZE + 1
    lead.undo_to(tail)
    assert contents(lead.element) == before
    lead.redo_from(tail)
    assert contents(lead.element) == after


async def test_a_key_that_exists_fails_the_block_alone(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((SIZE + 7, 0)), commit=True)
    await lead.run(txn(1), 1, block(*some(0)))
    with pytest.raises(UniqueViolationError) as caught:
        await lead.run(txn(1), 2, block(*some(SIZE)))
    assert caught.value.detail == f"Key (ID)=({SIZE + 7}) already exists in table U.T."
    await lead.commit(txn(1), 1)
    assert len(lead.rows()) == SIZE + 1


async def test_a_key_of_an_earlier_block_is_found_though_that_is_not_in_place(lead: Lead) -> None:
    await lead.run(txn(1), 1, block(*some(0)))
    await at_rest(lead)
    await lead.run(txn(2), 1, insert((-1, 0)), commit=True)  # takes the writer
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(1), 2, block(*some(SIZE), (5, 5)))
    await lead.run(txn(1), 2, block(*some(SIZE)))
    await lead.commit(txn(1), 2)
    assert len(lead.rows()) == 2 * SIZE + 1


async def test_a_row_deleted_before_may_come_back_in_a_block(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((5, 0)), commit=True)
    await lead.run(txn(1), 1, RunSql(T, 'DELETE FROM "U.T" WHERE ID = 5', ()))
    await lead.run(txn(1), 2, block(*some(0)))
    await lead.commit(txn(1), 2)
    assert lead.rows() == some(0)


@pytest.mark.parametrize("first", ["block", "row"])
async def test_keys_that_others_have_not_committed_are_waited_for(lead: Lead, first: str) -> None:
    await lead.run(txn(1), 1, block(*some(0)) if first == "block" else insert((5, 5)))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, block(*some(0)), wait_ms=0)
    waiting = lead.run(txn(2), 1, block(*some(0)), wait_ms=5000)
    await asyncio.sleep(0)
    assert not waiting.done()
    lead.writer.roll_back(RollBack(DB, 1, txn(1)))
    await waiting
    other = lead.run(txn(3), 1, insert((5, 1)), wait_ms=5000)
    await lead.commit(txn(2), 1)
    with pytest.raises(UniqueViolationError):
        await other
    assert lead.rows() == some(0)


async def test_a_row_that_is_being_deleted_is_waited_for(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((5, 0)), commit=True)
    await lead.run(txn(1), 1, RunSql(T, 'DELETE FROM "U.T" WHERE ID = 5', ()))
    waiting = lead.run(txn(2), 1, block(*some(0)), wait_ms=5000)
    await asyncio.sleep(0)
    assert not waiting.done()
    await lead.commit(txn(1), 1)
    await waiting
    await lead.commit(txn(2), 1)
    assert lead.rows() == some(0)


async def test_rows_of_a_block_are_locked_until_the_end(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((-1, 0)), commit=True)
    await lead.run(txn(1), 1, block(*some(0)))
    await at_rest(lead)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, insert((SIZE - 1, 0)), wait_ms=0)
    await lead.run(txn(2), 1, update(-1, 1), commit=True)
    await lead.commit(txn(1), 1)
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(2), 1, insert((SIZE - 1, 0)), wait_ms=0)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_undo_takes_whole_blocks_back(lead: Lead, number: int) -> None:
    for n in range(3):
        await lead.run(txn(1), n + 1, block(*some(n * SIZE)))
    await at_rest(lead)
    await lead.call(lead.writer.undo_statement, UndoStatement(DB, 1, 1, txn(1), number))
    await lead.run(txn(1), number + 1, block(*some(-SIZE)))
    await lead.commit(txn(1), number + 1)
    assert lead.rows() == [(n, n) for n in range(-SIZE, number * SIZE)]


async def test_a_planned_hand_over_takes_blocks_and_their_locks_along(lead: Lead) -> None:
    await lead.run(txn(1), 1, block(*some(0)))
    packed = lead.writer.pack()
    lead.writer.lost_lead()
    lead.writer.unpack(packed)
    lead.writer.became_lead(2)
    lead.writer._workspaces[txn(1)].term = 2  # what the coordinator would learn
    while not lead.writer.leading:
        await asyncio.sleep(0)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, block(*some(SIZE - 1)), wait_ms=0)
    await lead.commit(txn(1), 1)
    assert lead.rows() == some(0)


async def test_the_transaction_sees_its_blocks(lead: Lead) -> None:
    await lead.run(txn(1), 1, block(*some(0)))
    select = SelectRows('SELECT COUNT(*), SUM(V) FROM "U.T"', (), ())
    ran = await lead.run(txn(1), 2, select)
    assert ran.rows == [(SIZE, sum(range(SIZE)))]
    await lead.run(txn(1), 3, RunSql(T, 'UPDATE "U.T" SET V = 0 WHERE ID < 10', ()))
    await lead.commit(txn(1), 3)
    assert lead.rows() == [(n, 0 if n < 10 else n) for n in range(SIZE)]


async def test_what_a_block_must_not_hold(lead: Lead) -> None:
    with pytest.raises(NotNullError):
        await lead.run(txn(1), 1, block(*some(0), (None, 1)))
    with pytest.raises(InternalError):
        await lead.run(txn(1), 1, block(*some(0), name="U.OTHER"))
    ownership = lead.writer.ownership
    ownership.load([(n, 1 if n else 2) for n in range(4096)] + [(-1, 0)], 1)
    with pytest.raises(StaleMapError):
        await lead.run(txn(1), 1, block(*some(0)))
    ownership.load([], 1)
    await lead.run(txn(1), 1, block(*some(0)), commit=False)
    await lead.commit(txn(1), 1)
    assert lead.rows() == some(0)


async def test_a_block_does_not_come_with_its_commit(lead: Lead) -> None:
    beside = lead.run(txn(2), 1, insert((-1, 0)), commit=True)
    with pytest.raises(InternalError):
        await lead.run(txn(1), 1, block(*some(0)), commit=True)
    await beside
    assert lead.rows() == [(-1, 0)]


async def test_no_block_sees_half_of_a_large_commit(lead: Lead) -> None:
    """While a COMMIT takes effect later its keys are locked, and its table may be added to."""
    for n in range(14):
        await lead.run(txn(1), n + 1, block(*some(n * SIZE)))
    await at_rest(lead)
    commit = lead.commit(txn(1), 14)
    beside = lead.run(txn(2), 1, block(*some(-SIZE)))
    against = lead.run(txn(3), 1, block(*some(13 * SIZE)), wait_ms=5000)
    await commit
    await beside
    await lead.commit(txn(2), 1)
    with pytest.raises(UniqueViolationError):
        await against
    assert lead.rows() == [(n, n) for n in range(-SIZE, 14 * SIZE)]


def test_pieces_and_blocks_are_counted_and_read_alike() -> None:
    rows = [(n, str(n), None, 1.5, b"x") for n in range(1500)]
    one = encoded("T", rows)
    plain = row_changes.encode([row_changes.RowChange("T", None, row) for row in rows])
    assert row_changes.decode(one) == row_changes.decode(plain)
    both = row_changes.joined([one, plain])
    assert row_changes.count(both) == 3000
    assert row_changes.decode(both) == row_changes.decode(plain) * 2
    kept = row_changes.decode_inserts(one)
    assert list(kept[3:5]) == row_changes.decode(one)[3:5]
    assert row_changes.invert(kept) == row_changes.invert(row_changes.decode(one))
