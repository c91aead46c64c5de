"""The lock table: who may, who waits in which order, who is in whose way."""

from __future__ import annotations

import itertools
import random

import pytest

from data.txn.locks import (
    INTENTION_SHARED,
    SHARED_INTENTION,
    Conflict,
    LockTable,
    Mode,
    Resource,
    Waiter,
    younger,
)
from protocol.ids import TxnId

A, B, C, D = (TxnId(1, "x", n) for n in (1, 2, 3, 4))
ROW = (7, 1, (42,))
TABLE = (7,)

# which modes go together, from PostgreSQL's manual (table 13.3) and Gray's (rows of tables)
TOGETHER = {
    frozenset({Mode.KEY_SHARED}),
    frozenset({Mode.KEY_SHARED, Mode.SHARED}),
    frozenset({Mode.KEY_SHARED, Mode.UPDATE}),
    frozenset({Mode.SHARED}),
    frozenset({INTENTION_SHARED, Mode.INTENTION}),
    frozenset({Mode.INTENTION}),
}


def _nothing() -> None:
    raise AssertionError("nobody should be woken")


def _ask(locks: LockTable, txn: TxnId, resource: Resource, mode: Mode) -> bool:
    """Take a lock, or wait for it; True: taken."""
    conflict = locks.first_conflict(txn, [(resource, mode)])
    if conflict is None:
        locks.take(txn, [(resource, mode)])
        return True
    locks.wait(Waiter(txn, conflict, _nothing))
    return False


def _names(waiters: list[Waiter]) -> list[TxnId]:
    return [waiter.txn for waiter in waiters]


@pytest.mark.parametrize("held", Mode)
@pytest.mark.parametrize("wanted", Mode)
def test_modes_go_together_as_the_books_say(held: Mode, wanted: Mode) -> None:
    locks = LockTable()
    locks.take(A, [(ROW, held)])
    together = frozenset({held, wanted}) in TOGETHER
    assert (locks.first_conflict(B, [(ROW, wanted)]) is None) == together
    assert locks.first_conflict(A, [(ROW, held)]) is None


def test_a_lock_is_never_weakened_by_taking_it_again() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE)])
    locks.take(A, [(ROW, Mode.KEY_SHARED)])
    assert locks.first_conflict(B, [(ROW, Mode.KEY_SHARED)]) is not None


def test_reading_a_table_and_writing_its_rows_leaves_room_for_readers_of_rows() -> None:
    for order in ((Mode.INTENTION, Mode.SHARED), (Mode.SHARED, Mode.INTENTION)):
        locks = LockTable()
        for mode in order:
            locks.take(A, [(TABLE, mode)])
        assert locks.held_by(A) == [(TABLE, SHARED_INTENTION)]
        assert locks.first_conflict(B, [(TABLE, INTENTION_SHARED)]) is None
        for mode in (Mode.INTENTION, Mode.SHARED):
            assert locks.first_conflict(B, [(TABLE, mode)]) is not None


# -- fairness --------------------------------------------------------------------------------------
def test_who_waits_gets_the_lock_in_the_order_of_arrival() -> None:
    locks = LockTable()
    for txn in (A, B, C):
        _ask(locks, txn, ROW, Mode.EXCLUSIVE)
    assert _names(locks.release(A)) == [B]
    assert locks.held_by(B) == [(ROW, Mode.EXCLUSIVE)]
    assert _names(locks.release(B)) == [C]
    assert locks.release(C) == []
    assert not locks


def test_readers_do_not_get_past_a_writer_that_waits() -> None:
    locks = LockTable()
    assert _ask(locks, A, ROW, Mode.SHARED)
    assert not _ask(locks, B, ROW, Mode.EXCLUSIVE)
    assert not _ask(locks, C, ROW, Mode.SHARED)
    assert _names(locks.release(A)) == [B]
    assert _names(locks.release(B)) == [C]


def test_a_free_lock_is_the_first_waiters_although_it_has_not_tried_again() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.EXCLUSIVE)
    _ask(locks, B, ROW, Mode.EXCLUSIVE)
    locks.release(A)
    assert locks.first_conflict(C, [(ROW, Mode.EXCLUSIVE)]) == Conflict(ROW, Mode.EXCLUSIVE)
    assert locks.first_conflict(B, [(ROW, Mode.EXCLUSIVE)]) is None


def test_who_does_not_disturb_the_waiter_gets_past_it() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.UPDATE)
    _ask(locks, B, ROW, Mode.UPDATE)
    assert _ask(locks, C, ROW, Mode.KEY_SHARED)


def test_all_readers_at_the_front_get_the_lock_together() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.EXCLUSIVE)
    _ask(locks, B, ROW, Mode.SHARED)
    _ask(locks, C, ROW, Mode.SHARED)
    _ask(locks, D, ROW, Mode.EXCLUSIVE)
    assert _names(locks.release(A)) == [B, C]
    assert locks.release(B) == []
    assert _names(locks.release(C)) == [D]


def test_who_wants_more_of_what_it_holds_goes_first() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.SHARED)
    _ask(locks, B, ROW, Mode.SHARED)
    _ask(locks, C, ROW, Mode.EXCLUSIVE)
    assert not _ask(locks, A, ROW, Mode.EXCLUSIVE)
    assert locks.cycle(A) == []
    assert _names(locks.release(B)) == [A]
    assert _names(locks.release(A)) == [C]


def test_when_the_first_gives_up_the_next_need_not_wait() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.SHARED)
    writer = Waiter(B, Conflict(ROW, Mode.EXCLUSIVE), _nothing)
    locks.wait(writer)
    _ask(locks, C, ROW, Mode.SHARED)
    assert _names(locks.stop_waiting(writer)) == [C]
    assert locks.stop_waiting(writer) == []


def test_what_was_granted_for_a_statement_that_failed_goes_to_the_next() -> None:
    locks = LockTable()
    for txn in (A, B, C):
        _ask(locks, txn, ROW, Mode.EXCLUSIVE)
    locks.release(A)
    assert _names(locks.give_back(B)) == [C]
    assert locks.held_by(B) == []


def test_a_stronger_lock_given_back_leaves_the_weaker_one() -> None:
    locks = LockTable()
    _ask(locks, A, ROW, Mode.SHARED)
    _ask(locks, B, ROW, Mode.SHARED)
    _ask(locks, A, ROW, Mode.EXCLUSIVE)
    locks.release(B)
    assert locks.held_by(A) == [(ROW, Mode.EXCLUSIVE)]
    locks.give_back(A)
    assert locks.held_by(A) == [(ROW, Mode.SHARED)]


def test_a_lock_that_is_not_needed_after_all_goes_back_when_the_statement_is_done() -> None:
    other = (7, 1, (43,))
    locks = LockTable()
    for txn in (A, B, C):
        _ask(locks, txn, ROW, Mode.EXCLUSIVE)
    locks.release(A)
    assert _names(locks.take(B, [(other, Mode.EXCLUSIVE)])) == [C]
    assert locks.held_by(B) == [(other, Mode.EXCLUSIVE)]


def test_what_a_transaction_holds_can_be_taken_again_elsewhere() -> None:
    locks, other = LockTable(), LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE), (TABLE, Mode.INTENTION)])
    other.take(A, locks.held_by(A))
    assert other.held_by(A) == locks.held_by(A)
    assert other.first_conflict(B, [(ROW, Mode.KEY_SHARED)]) is not None


# -- cycles ----------------------------------------------------------------------------------------
def test_a_cycle_of_three_is_found_and_a_chain_is_not() -> None:
    locks = LockTable()
    for txn, row in ((A, "a"), (B, "b"), (C, "c")):
        locks.take(txn, [(row, Mode.EXCLUSIVE)])
    _ask(locks, A, "b", Mode.EXCLUSIVE)
    _ask(locks, B, "c", Mode.EXCLUSIVE)
    assert locks.cycle(A) == locks.cycle(B) == []
    _ask(locks, C, "a", Mode.EXCLUSIVE)
    assert sorted(locks.cycle(C)) == [A, B, C]


def test_two_readers_that_want_to_write_are_a_cycle() -> None:
    locks = LockTable()
    for txn in (A, B):
        _ask(locks, txn, ROW, Mode.SHARED)
    _ask(locks, A, ROW, Mode.EXCLUSIVE)
    _ask(locks, B, ROW, Mode.EXCLUSIVE)
    assert sorted(locks.cycle(B)) == [A, B]


def test_a_cycle_through_a_place_in_the_queue_is_found() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.SHARED)])
    locks.take(C, [("c", Mode.EXCLUSIVE)])
    _ask(locks, B, ROW, Mode.EXCLUSIVE)  # waits for A
    _ask(locks, C, ROW, Mode.SHARED)  # only the queue keeps it from the row
    _ask(locks, A, "c", Mode.EXCLUSIVE)
    assert sorted(locks.cycle(A)) == [A, B, C]


def test_an_autocommit_statement_in_a_cycle_lets_the_others_pass() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.SHARED)])
    locks.take(C, [("c", Mode.EXCLUSIVE)])
    locks.wait(Waiter(B, Conflict(ROW, Mode.EXCLUSIVE), _nothing, gives_way=True))
    _ask(locks, C, ROW, Mode.SHARED)
    _ask(locks, A, "c", Mode.EXCLUSIVE)
    waiter = locks.waiter_of(B)
    assert waiter is not None
    before = waiter.number
    assert _names(locks.give_way(waiter)) == [C]
    assert locks.cycle(A) == locks.cycle(B) == []
    assert waiter.number != before
    assert _names(locks.release(C)) == [A]
    assert _names(locks.release(A)) == [B]


def test_a_long_chain_of_waiters_is_no_cycle_and_no_recursion() -> None:
    locks = LockTable()
    txns = [TxnId(1, "x", n) for n in range(5000)]
    for n, txn in enumerate(txns):
        locks.take(txn, [((7, 1, (n,)), Mode.EXCLUSIVE)])
    for n, txn in enumerate(txns[1:], 1):
        _ask(locks, txn, (7, 1, (n - 1,)), Mode.EXCLUSIVE)
    assert locks.cycle(txns[-1]) == []
    _ask(locks, txns[0], (7, 1, (4999,)), Mode.EXCLUSIVE)
    assert len(locks.cycle(txns[0])) == 5000


def test_age_is_one_order_for_all() -> None:
    txns = [TxnId(e, i, n) for e, i, n in itertools.product((1, 2), "ab", (5, 6))]
    assert len({younger(t) for t in txns}) == len(txns)
    assert max(txns, key=younger).counter == 6


# -- anything may happen ---------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(30))
def test_random_traffic_keeps_the_rules(seed: int) -> None:
    """No two locks that exclude each other, nobody waits for nothing, no cycle goes unseen."""
    chance = random.Random(seed)
    locks = LockTable()
    txns = [TxnId(1, "x", n) for n in range(8)]
    rows: list[Resource] = [(7, 1, (n,)) for n in range(4)]
    for _ in range(400):
        txn = chance.choice(txns)
        waiter = locks.waiter_of(txn)
        if waiter is None and chance.random() < 0.75:
            _ask(locks, txn, chance.choice(rows), chance.choice(list(Mode)))
            while cycle := locks.cycle(txn):
                victim = locks.waiter_of(max(cycle, key=younger))
                assert victim is not None
                locks.stop_waiting(victim)
                locks.release(victim.txn)
        elif waiter is not None:
            if chance.random() < 0.1:
                locks.stop_waiting(waiter)
            elif chance.random() < 0.1:
                locks.give_way(waiter)
        elif chance.random() < 0.2:
            locks.give_back(txn)
        else:
            locks.release(txn)
        _check(locks, txns)


def _check(locks: LockTable, txns: list[TxnId]) -> None:
    held = [(txn, resource, mode) for txn in txns for resource, mode in locks.held_by(txn)]
    for (one, row, mode), (other, its_row, its_mode) in itertools.combinations(held, 2):
        if row == its_row and one != other:
            assert frozenset({mode, its_mode}) in TOGETHER
    for waiter in locks.waiters():
        assert locks.blockers(waiter), "waits for nobody"
        assert waiter.txn not in locks.blockers(waiter)
        assert locks.cycle(waiter.txn) == []
