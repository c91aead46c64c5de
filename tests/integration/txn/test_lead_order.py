"""The lead's writer under bad luck: cancels, lost batches, lost terms, repeated messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from data.storage.element import Element
from protocol.errors import (
    CorruptElementError,
    GridError,
    LockTimeoutError,
    NotLeadError,
    OutcomeUnknownError,
    UniqueViolationError,
    WorkspaceLostError,
)
from protocol.messages.sql import InsertRows, RunStatement
from protocol.messages.txn import AskOutcome, Decide, Prepare, RollBack, UndoStatement
from tests.support.lead import DB, Answer, Lead, T, add, insert, txn, update


def undo(lead: Lead, n: int, number: int, term: int = 1) -> asyncio.Future[Any]:
    return lead.call(lead.writer.undo_statement, UndoStatement(DB, 1, term, txn(n), number))


async def settled(future: asyncio.Future[Any]) -> GridError | None:
    """Wait for the end; the error, None if there was none."""
    await asyncio.wait([future])
    error = future.exception()
    assert error is None or isinstance(error, GridError)
    return error


# -- statements that are taken back while they wait for a batch ------------------------------------
async def test_an_undo_never_overtakes_its_statement(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    other = lead.run(txn(9), 1, insert((9, 9)), commit=True)  # a batch gathers
    cancelled = lead.run(txn(1), 2, insert((2, 2)))  # waits for its end
    await undo(lead, 1, 1)
    await asyncio.wait([other, cancelled])
    await lead.run(txn(1), 2, insert((3, 3)))
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 1), (3, 3), (9, 9)]


async def test_a_rollback_never_overtakes_a_statement(lead: Lead) -> None:
    other = lead.run(txn(9), 1, insert((9, 9)), commit=True)
    statement = lead.run(txn(1), 1, insert((1, 1)))
    lead.writer.roll_back(RollBack(DB, 1, txn(1)))
    await asyncio.wait([other, statement])
    assert lead.writer.transactions() == ()
    await lead.run(txn(2), 1, insert((1, 5)), commit=True, wait_ms=0)
    assert lead.rows() == [(1, 5), (9, 9)]


async def test_an_undone_statement_is_not_answered_from_memory(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.run(txn(1), 2, insert((2, 2)))
    await undo(lead, 1, 1)
    with pytest.raises(WorkspaceLostError):
        await lead.run(txn(1), 1, insert((7, 7)))  # a repetition that comes too late
    await lead.run(txn(1), 2, insert((3, 3)))
    await lead.commit(txn(1), 2)
    assert lead.rows() == [(1, 1), (3, 3)]


async def test_undo_of_the_first_statement_works_without_its_answer(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))  # the coordinator never heard this answer
    await undo(lead, 1, 0, term=0)
    assert lead.writer.transactions() == ()
    await lead.run(txn(2), 1, insert((1, 2)), commit=True, wait_ms=0)


async def test_a_first_statement_that_fails_leaves_no_workspace(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, update(1, 2))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, update(1, 3), wait_ms=10)
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(3), 1, insert((1, 9)))
    assert [t.txn for t in lead.writer.transactions()] == [txn(1)]


async def test_locks_that_are_waited_for_again_and_again_end_with_the_first_limit(
    lead: Lead,
) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, update(1, 2))
    waiting = lead.run(txn(99), 1, update(1, 7), commit=True, wait_ms=150)
    queued = [lead.run(txn(n), 1, update(1, n), wait_ms=60_000) for n in range(2, 6)]
    started = asyncio.get_running_loop().time()
    await lead.commit(txn(1), 1)  # the autocommit statement is first in the queue: it gets its turn
    assert await settled(waiting) is None
    for n, got in zip(range(2, 6), queued, strict=True):
        await got
        await lead.commit(txn(n), 1)
    assert asyncio.get_running_loop().time() - started < 2.0
    blocked = lead.run(txn(50), 1, update(1, 0))
    await blocked
    late = lead.run(txn(51), 1, update(1, 0), commit=True, wait_ms=80)
    for n in range(60, 64):  # others release and take the lock while it waits
        following = lead.run(txn(n), 1, add(1, 1), wait_ms=60_000)
        await asyncio.sleep(0.03)  # time must pass: it is what the test is about
        previous = txn(50) if n == 60 else txn(n - 1)
        await lead.commit(previous, 1)
        await asyncio.wait([following])
    assert late.done()


# -- records that cannot be written ----------------------------------------------------------------
async def test_a_statement_whose_transaction_was_given_up_leaves_nothing(lead: Lead) -> None:
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(5)))
    assert outcome.state == "aborted"
    first = lead.run(txn(6), 1, insert((6, 6)), commit=True)
    late = lead.run(txn(5), 1, insert((5, 5)), commit=True)  # on its way for a long time
    await first
    with pytest.raises(WorkspaceLostError):
        await late
    await lead.run(txn(7), 1, insert((7, 7)), commit=True)
    assert lead.rows() == [(6, 6), (7, 7)]


async def test_a_record_that_fails_takes_its_rows_along(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    append = lead.element.append

    def full(entry: Any, participants: tuple[int, ...] = ()) -> None:
        if entry.txn in (txn(1), txn(2)):
            raise CorruptElementError("no room")
        append(entry, participants)

    monkeypatch.setattr(lead.element, "append", full)
    with pytest.raises(CorruptElementError):
        await lead.commit(txn(1), 1)
    with pytest.raises(CorruptElementError):
        await lead.run(txn(2), 1, insert((2, 2)), commit=True)
    await lead.run(txn(3), 1, insert((3, 3)), commit=True)
    assert lead.rows() == [(3, 3)]


async def test_a_workspace_that_does_not_fit_is_given_up_and_never_committed(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.run(txn(2), 1, insert((2, 2)))  # parks the first
    apply = Element.apply_changes

    def unfit(element: Element, changes: Any) -> None:
        if changes and changes[0].new[0] == 1:
            raise CorruptElementError("a row change does not fit")
        apply(element, changes)

    monkeypatch.setattr(Element, "apply_changes", unfit)
    with pytest.raises(WorkspaceLostError):
        await lead.run(txn(1), 2, insert((3, 3)))
    with pytest.raises(WorkspaceLostError):
        await lead.commit(txn(1), 1)
    await lead.commit(txn(2), 1)
    assert lead.rows() == [(2, 2)]


async def test_one_answer_that_cannot_be_sent_does_not_keep_others_waiting(lead: Lead) -> None:
    class Broken(Answer):
        def reply(self, message: Any) -> None:
            raise RuntimeError("too large")

    lead.writer.run(
        RunStatement(
            DB, 1, lead.element.schema_version, 0, txn(1), 0, 1, True, (insert((1, 1)),), 0
        ),
        Broken(),
    )
    good = lead.run(txn(2), 1, insert((2, 2)), commit=True)
    between = lead.run(txn(3), 1, insert((3, 3)))
    async with asyncio.timeout(2):
        await good
        await between
    assert lead.rows() == [(1, 1), (2, 2)]


# -- lost terms ------------------------------------------------------------------------------------
async def test_nothing_is_answered_after_a_batch_that_failed(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, insert((2, 2)))
    lead.copies.hold = True
    sent = lead.run(txn(2), 1, update(1, 5), commit=True)
    await asyncio.sleep(0)  # one turn: the batch is on its way
    await asyncio.sleep(0)
    queued = [
        lead.run(txn(3), 1, update(1, 6), commit=True),
        lead.run(txn(1), 2, update(1, 7)),
        lead.run(txn(4), 1, add(99, 1), commit=True),  # changes nothing: no record is needed
    ]
    (done,) = lead.copies.waiting
    done(OutcomeUnknownError("the term is over"))
    assert isinstance(await settled(sent), OutcomeUnknownError)
    for future in queued:
        assert isinstance(await settled(future), NotLeadError)
    assert lead.rows() == [(1, 1)]


async def test_what_was_never_sent_may_be_repeated_at_the_next_lead(lead: Lead) -> None:
    gathered = lead.run(txn(1), 1, insert((1, 1)), commit=True)
    lead.writer.lost_lead()
    assert isinstance(await settled(gathered), NotLeadError)


async def test_statements_that_changed_nothing_need_the_lease(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, update(1, 2))
    lead.copies.ok = False
    assert isinstance(await settled(lead.run(txn(2), 1, add(5, 1), commit=True)), NotLeadError)
    assert isinstance(await settled(lead.run(txn(1), 2, add(5, 1))), NotLeadError)
    lead.copies.ok = True
    assert (await lead.run(txn(1), 2, add(1, 1))).counts == (1,)


async def test_open_transactions_travel_with_a_hand_over(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((1, 1)), commit=True)
    await lead.run(txn(1), 1, update(1, 2))
    await lead.run(txn(1), 2, insert((3, 3)))
    luggage = lead.writer.pack()
    lead.writer.lost_lead()
    lead.copies.term = 2
    lead.writer.unpack(luggage)
    lead.writer.became_lead(2)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, update(1, 9), commit=True, wait_ms=0)
    answer = Answer()
    version = lead.element.schema_version
    lead.writer.run(
        RunStatement(DB, 1, version, 0, txn(1), 1, 3, False, (insert((4, 4)),), 0), answer
    )
    assert (await answer.future).term == 1  # its transaction goes on naming the first term
    await undo(lead, 1, 2)
    assert lead.rows() == [(1, 1)]
    message = Prepare(DB, 1, 1, txn(1), 2, (1, 2))
    await lead.call(lead.writer.prepare, message)
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    assert lead.rows() == [(1, 2), (3, 3)]


# -- two-phase commit ------------------------------------------------------------------------------
async def test_an_abort_that_overtakes_prepare_is_final(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), False, (1, 2)))
    with pytest.raises(WorkspaceLostError):
        await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    with pytest.raises(WorkspaceLostError):
        await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    assert lead.rows() == []
    await lead.run(txn(2), 1, insert((1, 2)), commit=True, wait_ms=0)


async def test_a_failed_statement_of_a_batch_keeps_the_prepares_in_it(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((8, 8)), commit=True)
    await lead.run(txn(1), 1, insert((1, 1)))
    prepared = lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(2), 1, InsertRows(T, [(7, 7, 0), (8, 8, 0)]), commit=True)
    await prepared
    assert [p.txn for p in lead.element.prepared()] == [txn(1)]
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    assert lead.rows() == [(1, 1), (8, 8)]
