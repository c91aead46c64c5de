"""The lead's writer on a real element: transactions, locks, two-phase commit, lost leadership."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import (
    DeadlockError,
    GridError,
    LockTimeoutError,
    OutcomeUnknownError,
    StaleSchemaError,
    UniqueViolationError,
    WorkspaceLostError,
)
from protocol.messages.sql import LockTable, RunStatement, TakeKeys
from protocol.messages.txn import AskOutcome, Decide, Prepare, RollBack, UndoStatement
from tests.support.lead import DB, Answer, Lead, T, add, insert, txn, update


async def test_autocommit_statements_of_one_turn_share_a_batch(lead: Lead) -> None:
    before = len(lead.copies.batches)
    answers = [lead.run(txn(n), 1, insert((n, n)), commit=True) for n in range(5)]
    for answer in answers:
        assert (await answer).counts == (1,)
    assert len(lead.copies.batches) == before + 1
    assert lead.rows() == [(n, n) for n in range(5)]


async def test_nothing_is_visible_before_the_copies_have_it(lead: Lead) -> None:
    lead.copies.hold = True
    answer = lead.run(txn(1), 1, insert((1, 1)), commit=True)
    await asyncio.sleep(0)  # one turn: the batch is on its way
    await asyncio.sleep(0)
    assert not answer.done()
    assert lead.rows() == []
    lead.copies.acknowledge()
    await answer
    assert lead.rows() == [(1, 1)]


async def test_a_failing_statement_of_a_batch_leaves_the_others(lead: Lead) -> None:
    good = lead.run(txn(1), 1, insert((1, 1)), commit=True)
    bad = lead.run(txn(2), 1, insert((2, 2), (1, 9)), commit=True)
    also_good = lead.run(txn(3), 1, insert((3, 3)), commit=True)
    await good
    with pytest.raises(UniqueViolationError):
        await bad
    await also_good
    assert lead.rows() == [(1, 1), (3, 3)]


async def test_open_transactions_do_not_see_each_other_and_take_turns(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.run(txn(2), 1, insert((2, 2)))
    assert lead.rows() == []
    await lead.run(txn(1), 2, update(1, 10))
    assert (await lead.run(txn(2), 2, update(1, 99))).counts == (0,)
    await lead.commit(txn(2), 2)
    assert lead.rows() == [(2, 2)]
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 10), (2, 2)]


async def test_a_first_statement_that_fails_leaves_nothing_and_the_next_goes_on(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, insert((5, 5)))
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(2), 1, insert((2, 2), (1, 9)))  # a part of it was done
    assert (await lead.run(txn(3), 1, update(2, 7))).counts == (0,)
    assert (await lead.run(txn(1), 2, update(5, 50))).counts == (1,)
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 1), (5, 50)]


async def test_a_first_statement_that_waits_is_undone_and_runs_again(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(1), 1, add(1, 10))
    waiting = lead.run(txn(2), 1, add(1, 100))
    await lead.run(txn(3), 1, add(2, 1000))  # its turn is between
    assert not waiting.done()
    await lead.commit(txn(1), 1)
    assert (await waiting).counts == (1,)
    await lead.commit(txn(2), 1)
    await lead.commit(txn(3), 1)
    assert lead.rows() == [(1, 111), (2, 1002)]


async def test_a_writer_waits_for_the_row_and_works_on_what_was_committed(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 100)), commit=True)
    await lead.run(txn(1), 1, add(1, 1))
    waiting = lead.run(txn(2), 1, add(1, 10), commit=True)
    await asyncio.sleep(0)  # it had its turn and waits
    assert not waiting.done()
    await lead.commit(txn(1), 1)
    await waiting
    assert lead.rows() == [(1, 111)]


async def test_a_lock_wait_ends_with_6003_and_only_the_statement_is_undone(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(1), 1, update(1, 5))
    await lead.run(txn(2), 1, update(2, 6))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 2, update(1, 7), wait_ms=20)
    await lead.commit(txn(2), 1)
    assert lead.rows() == [(1, 1), (2, 6)]
    await lead.commit(txn(1), 1)


async def test_a_deadlock_is_found_at_once(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(1), 1, update(1, 5))
    await lead.run(txn(2), 1, update(2, 6))
    first = lead.run(txn(1), 2, update(2, 7), wait_ms=60_000)
    second = lead.run(txn(2), 2, update(1, 8), wait_ms=60_000)
    with pytest.raises(DeadlockError):
        await second
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    await first
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 5), (2, 7)]


async def test_undo_goes_back_to_a_statement_and_frees_nothing_else(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.run(txn(1), 2, insert((2, 2)))
    await lead.call(lead.writer.undo_statement, UndoStatement(DB, 1, 1, txn(1), 1))
    await lead.run(txn(1), 2, insert((3, 3)))
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 1), (3, 3)]


async def test_a_repeated_statement_gets_the_stored_answer(lead: Lead) -> None:
    first = await lead.run(txn(1), 1, insert((1, 1)))
    assert await lead.run(txn(1), 1, insert((1, 1))) == first
    with pytest.raises(WorkspaceLostError):
        await lead.run(txn(1), 3, insert((3, 3)))


async def test_prepared_transactions_keep_their_locks_until_the_decision(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    assert lead.rows() == []
    waiting = lead.run(txn(2), 1, insert((1, 9)), commit=True)
    await asyncio.sleep(0)
    assert not waiting.done()
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    with pytest.raises(UniqueViolationError):
        await waiting
    assert lead.rows() == [(1, 1)]
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))  # a repeat


async def test_a_new_lead_takes_over_prepared_transactions_and_their_locks(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    lead.writer.lost_lead()
    lead.copies.term = 2
    lead.writer.became_lead(2)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, insert((1, 9)), commit=True, wait_ms=0)
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), False, (1, 2)))
    assert (await lead.run(txn(3), 1, insert((1, 7)), commit=True)).counts == (1,)
    assert lead.rows() == [(1, 7)]


async def test_when_an_anchor_goes_back_its_word_alone_counts(lead: Lead) -> None:
    """The coordinator may have heard COMMIT from it before its power was lost."""
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (2, 1)))
    lead.writer.ask_anchor_about((3,))
    lead.writer.ask_anchor_about((2,))
    with pytest.raises(WorkspaceLostError):
        await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (2, 1)))
    assert lead.element.outcome(txn(1)) == "prepared"
    lead.writer.anchor_decided(txn(1))
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (2, 1)))
    assert lead.rows() == [(1, 1)]


@pytest.mark.parametrize("lock", [LockTable(T, 1), TakeKeys(T, 0, [(1,)], 1)])
async def test_locks_alone_are_prepared_and_survive_a_change_of_lead(
    lead: Lead, lock: LockTable | TakeKeys
) -> None:
    await lead.run(txn(1), 1, lock)  # of what a SERIALIZABLE transaction has read
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    lead.writer.lost_lead()
    lead.copies.term = 2
    lead.writer.became_lead(2)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, insert((1, 9)), commit=True, wait_ms=0)
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    await lead.run(txn(3), 1, insert((1, 7)), commit=True, wait_ms=0)


async def test_a_lead_that_loses_its_term_says_unknown_for_what_was_sent(lead: Lead) -> None:
    lead.copies.hold = True
    sent = lead.run(txn(1), 1, insert((1, 1)), commit=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    queued = lead.run(txn(2), 1, insert((2, 2)), commit=True)
    lead.writer.lost_lead()
    with pytest.raises(OutcomeUnknownError):
        await sent
    with pytest.raises(GridError) as refused:
        await queued
    assert refused.value.code == "NOT_LEAD"
    assert lead.rows() == []
    lead.copies.acknowledge()  # too late: nothing happens


async def test_a_workspace_does_not_outlive_the_term(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    lead.writer.lost_lead()
    lead.writer.became_lead(2)
    with pytest.raises(WorkspaceLostError):
        await lead.commit(txn(1), 1)


async def test_asking_for_an_unknown_outcome_writes_abort_first(lead: Lead) -> None:
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(5)))
    assert outcome.state == "aborted"
    assert lead.element.outcome(txn(5)) == "aborted"
    await lead.run(txn(6), 1, insert((1, 1), (2, 2)), commit=True)
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(6)))
    assert (outcome.state, outcome.changes) == ("committed", 2)


async def test_a_statement_of_another_schema_version_is_refused(lead: Lead) -> None:
    answer = Answer()
    lead.writer.run(RunStatement(DB, 1, 77, 0, txn(1), 0, 1, True, (), 0), answer)
    with pytest.raises(StaleSchemaError):
        await answer.future
