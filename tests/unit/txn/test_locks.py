"""The lock table: who may, who waits, who is in whose way."""

from __future__ import annotations

from data.txn.locks import LockTable, Mode, Waiter
from protocol.ids import TxnId

A, B, C = (TxnId(1, "x", n) for n in (1, 2, 3))
ROW = (7, 1, (42,))


def _nothing() -> None:
    raise AssertionError("nobody should be woken")


def test_exclusive_locks_exclude_each_other_but_not_their_holder() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE)])
    assert locks.first_conflict(A, [(ROW, Mode.EXCLUSIVE)]) is None
    assert locks.first_conflict(B, [(ROW, Mode.SHARED)]) == (ROW, {A})
    assert locks.first_conflict(None, [(ROW, Mode.EXCLUSIVE)]) == (ROW, {A})


def test_shared_and_intention_locks_go_together_with_their_like_only() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.SHARED), ((7,), Mode.INTENTION)])
    assert locks.first_conflict(B, [(ROW, Mode.SHARED), ((7,), Mode.INTENTION)]) is None
    assert locks.first_conflict(B, [((7,), Mode.SHARED)]) == ((7,), {A})
    assert locks.first_conflict(B, [((7,), Mode.EXCLUSIVE)]) == ((7,), {A})


def test_a_lock_is_never_weakened_by_taking_it_again() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE)])
    locks.take(A, [(ROW, Mode.SHARED)])
    assert locks.first_conflict(B, [(ROW, Mode.SHARED)]) is not None


def test_release_wakes_waiters_in_the_order_they_came() -> None:
    locks = LockTable()
    woken: list[str] = []
    locks.take(A, [(ROW, Mode.EXCLUSIVE)])
    locks.wait(Waiter(B, ROW, {A}, lambda: woken.append("b")))
    locks.wait(Waiter(C, ROW, {A}, lambda: woken.append("c")))
    for waiter in locks.release(A):
        waiter.wake()
    assert woken == ["b", "c"]
    assert not locks


def test_a_waiter_that_left_is_not_woken() -> None:
    locks = LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE)])
    waiter = Waiter(B, ROW, {A}, _nothing)
    locks.wait(waiter)
    locks.stop_waiting(waiter)
    assert locks.release(A) == []


def test_a_cycle_of_three_is_found_and_a_chain_is_not() -> None:
    locks = LockTable()
    locks.wait(Waiter(A, "b", {B}, _nothing))
    locks.wait(Waiter(B, "c", {C}, _nothing))
    assert locks.cycle(A) == []
    locks.wait(Waiter(C, "a", {A}, _nothing))
    assert sorted(locks.cycle(C)) == sorted([A, B, C])


def test_what_a_transaction_holds_can_be_taken_again_elsewhere() -> None:
    locks, other = LockTable(), LockTable()
    locks.take(A, [(ROW, Mode.EXCLUSIVE), ((7,), Mode.INTENTION)])
    other.take(A, locks.held_by(A))
    assert other.first_conflict(B, [(ROW, Mode.EXCLUSIVE)]) == (ROW, {A})


def test_intention_and_shared_together_exclude_everybody() -> None:
    for first, second in (
        (Mode.INTENTION, Mode.SHARED),
        (Mode.SHARED, Mode.INTENTION),
    ):
        locks = LockTable()
        locks.take(A, [((7,), first)])
        locks.take(A, [((7,), second)])
        assert locks.first_conflict(B, [((7,), Mode.SHARED)]) is not None
        assert locks.first_conflict(B, [((7,), Mode.INTENTION)]) is not None


def test_a_cycle_through_a_holder_that_came_later_is_found() -> None:
    other = (7, 1, (43,))
    locks = LockTable()
    locks.take(A, [(ROW, Mode.SHARED)])
    locks.take(B, [(other, Mode.EXCLUSIVE)])
    locks.wait(Waiter(B, ROW, {A}, _nothing))  # B wants it alone
    locks.take(C, [(ROW, Mode.SHARED)])
    locks.wait(Waiter(C, other, {B}, _nothing))
    assert set(locks.cycle(C)) == {B, C}
    assert locks.cycle(A) == []


def test_a_long_chain_of_waiters_is_no_cycle_and_no_recursion() -> None:
    locks = LockTable()
    txns = [TxnId(1, "x", n) for n in range(5000)]
    for n, txn in enumerate(txns):
        locks.take(txn, [((7, 1, (n,)), Mode.EXCLUSIVE)])
    for n, txn in enumerate(txns[1:], 1):
        locks.wait(Waiter(txn, (7, 1, (n - 1,)), {txns[n - 1]}, _nothing))
    assert locks.cycle(txns[-1]) == []
    locks.wait(Waiter(txns[0], (7, 1, (4999,)), {txns[-1]}, _nothing))
    assert len(locks.cycle(txns[0])) == 5000
