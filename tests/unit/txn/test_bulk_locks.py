"""The keys of very many new rows at once: the same answers as one by one."""

from __future__ import annotations

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
    block = KeyBlock(list(rows))
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
    other.take_block(A, KeyBlock(list(rows)))
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
    locks.take_block(A, KeyBlock(ROWS))
    locks.take(A, [(TABLE, Mode.INTENTION)])
    conflict = locks.block_conflict(B, KeyBlock(ROWS[5:6]))
    assert conflict == (ROWS[5], Mode.EXCLUSIVE)
    waiter = Waiter(B, conflict, _nothing)
    locks.wait(waiter)
    assert locks.blockers(waiter) == {A}
    assert locks.block_conflict(C, KeyBlock(ROWS[5:7])) == (ROWS[5], Mode.EXCLUSIVE)
    assert locks.release(A) == [waiter]
    assert locks.block_conflict(B, KeyBlock(ROWS)) is None  # granted: its own
    assert locks.block_conflict(C, KeyBlock(ROWS[5:7])) == (ROWS[5], Mode.EXCLUSIVE)


def test_fingerprints_of_many_are_those_of_one() -> None:
    one, many = BulkLocks(), BulkLocks()
    keys: list[Resource] = [(7, 1, (n, str(n))) for n in range(5000)]
    for key in keys:
        one.add(key)
    many.add_all(KeyBlock(list(keys)))
    many.add_all(KeyBlock(list(keys[:10])))
    assert all(key in many for key in keys)
    assert one._buckets == many._buckets
    assert many.meets(KeyBlock([(7, 1, (-1, "")), keys[77]]))
    assert not many.meets(KeyBlock([(7, 2, (n, str(n))) for n in range(50)]))
