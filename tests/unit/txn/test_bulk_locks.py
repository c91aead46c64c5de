"""The keys of very many new rows at once: the same answers as one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.txn.bulk_locks import BulkLocks, KeyBlock
from data.txn.locks import LockTable, Mode, Resource, Waiter
from protocol.ids import TxnId

A, B, C = (TxnId(1, "x", n) for n in (1, 2, 3))
TABLE = (7,)
ROWS: list[Resource] = [(7, 1, (n,)) for n in range(12)]
SOME = st.lists(st.sampled_from(ROWS), unique=True, max_size=4)
TAKEN = st.lists(st.tuples(st.sampled_from([A, B, C]), SOME, st.booleans()), max_size=6)


def _nothing() -> None:
    raise AssertionError("nobody should be woken")


def block_of(resources: Sequence[Any]) -> KeyBlock:
    """Keys of one table, as they are told one by one."""
    keys: dict[int, list[tuple[Any, ...]]] = {}
    for _, index, key in resources:
        keys.setdefault(index, []).append(key)
    return KeyBlock(7, [(index, list(zip(*some, strict=True))) for index, some in keys.items()])


def _table(taken: list[tuple[TxnId, list[Resource], bool]]) -> LockTable:
    """Locks taken one by one, as they could be; `large`: in few bytes."""
    locks = LockTable()
    for txn, rows, large in taken:
        wanted = [(row, Mode.EXCLUSIVE) for row in rows]
        if locks.first_conflict(txn, wanted) is None:
            locks.take(txn, [(TABLE, Mode.INTENTION)], wanted if large else ())
            locks.take(txn, () if large else wanted)
    return locks


@settings(deadline=None)
@given(TAKEN, SOME)
def test_a_block_meets_what_its_keys_meet_one_by_one(
    taken: list[tuple[TxnId, list[Resource], bool]], rows: list[Resource]
) -> None:
    locks = _table(taken)
    wanted = [(row, Mode.EXCLUSIVE) for row in rows]
    block = block_of(rows)
    assert locks.block_conflict(A, block) == locks.first_conflict(A, wanted)
    touched = any(locks.touched(A, row, Mode.EXCLUSIVE) for row in rows)
    assert locks.block_touched(A, block) == touched


@settings(deadline=None)
@given(TAKEN, SOME)
def test_a_block_is_held_as_its_keys_are(
    taken: list[tuple[TxnId, list[Resource], bool]], rows: list[Resource]
) -> None:
    one, other = _table(taken), _table(taken)
    wanted = [(row, Mode.EXCLUSIVE) for row in rows]
    if one.first_conflict(A, wanted) is not None:
        return
    one.take_some(A, wanted)
    other.take_block(A, block_of(rows))
    for table in (one, other):
        table.take(A, [(TABLE, Mode.INTENTION)])
    for row in ROWS:
        for mode in (Mode.EXCLUSIVE, Mode.SHARED, Mode.UPDATE):
            assert one.first_conflict(B, [(row, mode)]) == other.first_conflict(B, [(row, mode)])
            assert one.touched(A, row, mode) == other.touched(A, row, mode)
    assert one.held_by(A) == other.held_by(A)
    for table in (one, other):
        assert not table.release(A)
        assert A not in table._held
        assert A not in table._bulk


def test_who_waits_for_a_key_of_a_block_gets_it_at_the_end() -> None:
    locks = LockTable()
    locks.take_block(A, block_of(ROWS))
    locks.take(A, [(TABLE, Mode.INTENTION)])
    conflict = locks.block_conflict(B, block_of(ROWS[5:6]))
    assert conflict == (ROWS[5], Mode.EXCLUSIVE)
    waiter = Waiter(B, conflict, _nothing)
    locks.wait(waiter)
    assert locks.blockers(waiter) == {A}
    assert locks.block_conflict(C, block_of(ROWS[5:7])) == (ROWS[5], Mode.EXCLUSIVE)
    assert locks.release(A) == [waiter]
    assert locks.block_conflict(B, block_of(ROWS)) is None  # granted: its own
    assert locks.block_conflict(C, block_of(ROWS[5:7])) == (ROWS[5], Mode.EXCLUSIVE)


ONE_INTEGER: list[Any] = [(7, 1, (n,)) for n in range(5000)]
TWO_VALUES: list[Any] = [(7, 1, (n, str(n))) for n in range(5000)]
TEXTS: list[Any] = [(7, 1, (f"name {n}",)) for n in range(5000)]


@pytest.mark.parametrize("keys", [ONE_INTEGER, TWO_VALUES, TEXTS])
@pytest.mark.parametrize("size", [1, 100, 2500])
def test_blocks_hold_what_was_put_in_whatever_their_order(keys: list[Any], size: int) -> None:
    every = keys[0:1000] + keys[2000:5000]
    absent = keys[1000:2000] + [(7, 2, key) for _, _, key in keys[:1000]]
    for order in (1, -1):
        many = BulkLocks()
        for at in range(0, 4000, size)[::order]:
            many.add_all(block_of(every[at : at + size]))
            many.add_all(block_of(every[at : at + 1]))  # overlaps
        many.add((7, 9, "x", 1))
        assert all(key in many for key in every)
        assert not any(key in many for key in absent)
        assert (7, 9, "x", 1) in many
        assert (7,) not in many
        assert many.meets(block_of(absent[:10] + every[77:78]))
        assert not many.meets(block_of(absent))


def test_blocks_that_do_not_overlap_are_kept_as_they_are() -> None:
    locks = BulkLocks()
    for at in (4000, 0, 2000):
        locks.add_all(block_of(ONE_INTEGER[at : at + 1000]))
    assert locks._buckets is None
    assert not locks.meets(block_of(ONE_INTEGER[1000:2000]))
    assert locks.meets(block_of(ONE_INTEGER[1000:2001]))
    locks.add_all(block_of(ONE_INTEGER[1500:2500]))
    assert locks._buckets is not None
    assert all(key in locks for key in ONE_INTEGER[1500:3000])


def test_a_block_among_few_and_among_many_others() -> None:
    block = block_of(ONE_INTEGER[:100])
    few: list[Any] = [(7,), (7, 2, (5,)), (8, 1, (5,)), "x", (7, "key", (5,)), (7, 1, "5")]
    assert not block.is_among(set(few))
    assert not block.is_among(set(few) | set(ONE_INTEGER[100:300]))
    assert block.is_among({*few, ONE_INTEGER[99]})
    assert block.is_among(set(few) | set(ONE_INTEGER[99:300]))


def test_keys_that_come_twice_are_noticed() -> None:
    assert not block_of(ONE_INTEGER).has_twice
    assert block_of([*ONE_INTEGER, ONE_INTEGER[17]]).has_twice
    assert block_of([*TEXTS, TEXTS[17]]).has_twice
    assert not KeyBlock(7, [(1, [])]).has_twice
    assert len(KeyBlock(7, [(1, [[]])])) == 0


@pytest.mark.parametrize("blocks", [1, 4, 50])
def test_a_wide_block_meets_one_key_of_many_blocks(blocks: int) -> None:
    locks, size = BulkLocks(), 5000 // blocks
    for at in range(0, 5000, size):
        locks.add_all(block_of(ONE_INTEGER[at : at + size : 2]))
    assert not locks.meets(block_of(ONE_INTEGER[1::2]))
    for at in (0, 2500, 4998):
        assert locks.meets(block_of([*ONE_INTEGER[1::2], ONE_INTEGER[at]]))
        assert locks.meets(block_of(ONE_INTEGER[at : at + 1]))
