"""The coordinator with two leads, when answers get lost and clients cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.storage.entry import EntryKind
from data.txn import manager as manager_module
from data.txn import settling
from data.txn.manager import Transaction, TransactionManager
from data.txn.ports import Reply
from data.txn.settling import Settling
from protocol.errors import (
    DiskFullError,
    GridError,
    NotLeadError,
    OutcomeUnknownError,
    TransientError,
)
from protocol.messages.sql import LockTable, RunStatement
from protocol.messages.txn import AskOutcome, CommitSingle, Decide, Prepare, RollBack
from tests.support.lead import DB, DirectRoutes, Lead, T, add, insert, make_lead, update


@dataclass
class Grid:
    """Two replica sets and a coordinator."""

    leads: dict[int, Lead]
    routes: DirectRoutes
    manager: TransactionManager

    async def run(self, txn: Transaction, rs: int, *steps: Any) -> tuple[int, ...]:
        schema = self.leads[rs].element.schema_version
        return (await self.manager.run(txn, rs, steps, schema)).counts

    def once(self, kind: type) -> Any:
        """A filter that catches the first message of a kind."""
        seen: list[Any] = []

        def caught(message: Any) -> bool:
            if type(message) is kind and not seen:
                seen.append(message)
                return True
            return False

        return caught


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[Grid]:
    leads = {rs: await make_lead(tmp_path, rs) for rs in (1, 2)}
    routes = DirectRoutes(leads)
    manager = TransactionManager(DB, 7, "life", routes)
    yield Grid(leads, routes, manager)
    await manager.close()
    for lead in leads.values():
        lead.writer.lost_lead()
        lead.element.close(clean=True)


async def cancelled(task: asyncio.Task[Any]) -> bool:
    await asyncio.wait([task])
    return task.cancelled()


async def test_a_cancelled_statement_is_undone_although_its_answer_never_came(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    mark = txn.mark()
    grid.routes.passes = lambda message: type(message) is not RunStatement
    task = asyncio.ensure_future(grid.run(txn, 1, insert((2, 2))))
    await asyncio.sleep(0)  # it is on its way
    task.cancel()
    assert await cancelled(task)
    grid.routes.passes = lambda message: True
    grid.routes.release()  # it arrives and runs
    await grid.manager.undo(txn, mark)
    assert await grid.run(txn, 1, insert((3, 3))) == (1,)
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(1, 1), (3, 3)]


async def test_a_statement_nobody_waited_for_is_undone_before_the_next(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    grid.routes.passes = lambda message: type(message) is not RunStatement
    task = asyncio.ensure_future(grid.run(txn, 1, insert((2, 2))))
    await asyncio.sleep(0)  # it is on its way
    task.cancel()
    assert await cancelled(task)
    grid.routes.passes = lambda message: True
    grid.routes.release()
    await grid.run(txn, 1, insert((3, 3)))
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(3, 3)]


async def test_a_lost_answer_is_asked_for_again(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    grid.routes.lose_answer = grid.once(RunStatement)
    assert await grid.run(txn, 1, insert((1, 1))) == (1,)
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(1, 1)]


async def test_a_cancelled_autocommit_statement_tells_the_truth(grid: Grid) -> None:
    schema = grid.leads[1].element.schema_version
    grid.leads[1].copies.hold = True
    task = asyncio.ensure_future(grid.manager.run_autocommit(1, (insert((1, 1)),), schema, 1000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # its batch is on its way to the copies
    task.cancel()
    await asyncio.sleep(0)
    grid.leads[1].copies.hold = False
    grid.leads[1].copies.acknowledge()
    assert (await task).counts == (1,)  # it was committed: "cancelled" would be a lie
    assert grid.leads[1].rows() == [(1, 1)]


async def test_a_cancel_ends_the_wait_for_a_lock(grid: Grid) -> None:
    schema = grid.leads[1].element.schema_version
    await grid.manager.run_autocommit(1, (insert((1, 1)),), schema, 1000)
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, update(1, 2))
    task = asyncio.ensure_future(grid.manager.run_autocommit(1, (update(1, 3),), schema, 60_000))
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(2):
        assert await cancelled(task)
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(1, 2)]


async def test_an_autocommit_statement_that_is_never_answered_ends(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager_module, "FAILOVER_WAIT_S", 0.05)
    grid.routes.lose_answer = lambda message: type(message) is RunStatement
    schema = grid.leads[1].element.schema_version
    async with asyncio.timeout(5):
        with pytest.raises(GridError) as caught:
            await grid.manager.run_autocommit(1, (add(1, 1),), schema, 10)
    assert caught.value.code == "REPLICA_SET_DOWN"


async def test_commit_goes_on_when_its_client_cancels(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.routes.passes = lambda message: type(message) is not Decide
    task = asyncio.ensure_future(grid.manager.finish(grid.manager.commit(txn)))
    while not grid.routes.held:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    grid.routes.passes = lambda message: True
    grid.routes.release()
    await task
    assert grid.leads[1].rows() == [(1, 1)]
    assert grid.leads[2].rows() == [(2, 2)]


async def test_commit_follows_a_lead_that_is_handed_over(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    grid.routes.lose_request = grid.once(CommitSingle)
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(1, 1)]


async def test_a_lost_vote_is_asked_for_again(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.routes.lose_answer = grid.once(Prepare)
    await grid.manager.commit(txn)
    assert grid.leads[1].rows() == [(1, 1)]
    assert grid.leads[2].rows() == [(2, 2)]


async def test_a_decision_that_finds_no_room_is_told_until_it_does(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    element = grid.leads[2].element
    apply, failed = element.apply_entry, []

    def full(entry: Any) -> None:
        if entry.txn == txn.id and len(failed) < 2:
            failed.append(entry)
            raise DiskFullError("no room")
        apply(entry)

    monkeypatch.setattr(element, "apply_entry", full)
    await grid.manager.commit(txn)
    assert len(failed) == 2
    assert grid.leads[2].rows() == [(2, 2)]


async def test_a_refused_vote_ends_the_transaction_everywhere(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.leads[2].writer.roll_back(RollBack(DB, 2, txn.id))
    with pytest.raises(GridError) as caught:
        await grid.manager.commit(txn)
    assert caught.value.sqlstate.startswith("40")
    schema = grid.leads[1].element.schema_version
    await grid.manager.run_autocommit(1, (insert((1, 5)),), schema, 2000)
    assert grid.leads[1].rows() == [(1, 5)]
    assert grid.leads[2].rows() == []


async def test_a_refused_commit_of_the_anchor_aborts_everywhere_and_the_lead_forgets_it(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.leads[1].writer.roll_back(RollBack(DB, 1, txn.id))
    with pytest.raises(GridError) as caught:
        await grid.manager.commit(txn)
    assert caught.value.sqlstate.startswith("40")
    schema = grid.leads[2].element.schema_version
    await grid.manager.run_autocommit(2, (insert((2, 5)),), schema, 2000)
    assert grid.leads[2].rows() == [(2, 5)]
    while grid.manager._background:  # the abort is told in the background
        await asyncio.sleep(0)
    grid.manager.forget_now()
    lead = grid.leads[2]
    (kept,) = lead.element.decisions()
    assert (kept.txn, kept.committed) == (txn.id, False), "a late message must find it"
    monkeypatch.setattr(settling, "KEEP_S", 0.0)
    await Settling(DB, lead.element, lead.writer, grid.routes).sweep({})
    while lead.element.decisions():
        await asyncio.sleep(0)


async def test_the_anchor_commits_without_a_prepare_and_remembers_the_decision(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.routes.sent.clear()
    await grid.manager.commit(txn)
    assert [type(m) for m in grid.routes.sent] == [Prepare, CommitSingle, Decide]
    assert [m.rs for m in grid.routes.sent] == [2, 1, 2]
    kinds = [e.kind for e in grid.leads[1].element.entries(0, 1 << 20) if e.txn == txn.id]
    assert kinds == [EntryKind.COMMIT]
    (kept,) = grid.leads[1].element.decisions()
    assert (kept.txn, kept.committed, kept.participants) == (txn.id, True, (1, 2))
    assert grid.leads[1].writer.view(1000).commits == ((txn.id, (1, 2)),)
    assert (grid.leads[1].rows(), grid.leads[2].rows()) == ([(1, 1)], [(2, 2)])
    grid.manager.forget_now()
    while grid.manager._background:
        await asyncio.sleep(0)
    assert not grid.leads[1].element.decisions()


async def test_the_answer_of_the_anchor_is_lost(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.routes.lose_answer = grid.once(CommitSingle)
    await grid.manager.commit(txn)
    assert (grid.leads[1].rows(), grid.leads[2].rows()) == ([(1, 1)], [(2, 2)])


async def test_an_anchor_that_was_asked_before_it_committed_has_aborted(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    await grid.run(txn, 2, insert((2, 2)))
    grid.routes.passes = lambda message: type(message) is not CommitSingle
    commit = asyncio.ensure_future(grid.manager.commit(txn))
    while not grid.routes.held:
        await asyncio.sleep(0)
    assert [w.txn for w in grid.leads[2].writer.prepared()] == [txn.id]
    ask = AskOutcome(DB, 1, txn.id, in_doubt=True)  # as the participant does that is in doubt
    assert (await grid.routes.call(1, ask, 1.0)).state == "aborted"
    grid.routes.release()
    with pytest.raises(GridError) as caught:
        await commit
    assert caught.value.sqlstate.startswith("40")
    while grid.manager._background:
        await asyncio.sleep(0)
    assert not grid.leads[2].writer.prepared()
    assert (grid.leads[1].rows(), grid.leads[2].rows()) == ([], [])


async def test_an_anchor_that_only_locked_something_decides(grid: Grid) -> None:
    schema = grid.leads[1].element.schema_version
    await grid.manager.run_autocommit(1, (insert((1, 1)),), schema, 1000)
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, LockTable(T))
    await grid.run(txn, 2, insert((2, 2)))
    await grid.manager.commit(txn)
    assert grid.leads[1].element.outcome(txn.id) == "committed"
    assert not grid.leads[1].writer.locks
    assert grid.leads[2].rows() == [(2, 2)]


async def test_a_large_transaction_is_prepared_at_its_anchor_too(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert(*((n, n) for n in range(3000))))
    await grid.run(txn, 2, insert((2, 2)))
    await grid.manager.commit(txn)
    (kept,) = grid.leads[1].element.decisions()
    assert (kept.txn, kept.committed, kept.participants) == (txn.id, True, (1, 2))
    assert (len(grid.leads[1].rows()), grid.leads[2].rows()) == (3000, [(2, 2)])


async def test_ids_are_never_given_twice_in_a_process(grid: Grid) -> None:
    again = TransactionManager(DB, 7, "life", grid.routes)  # unloaded and loaded
    assert again.new_id() != TransactionManager(DB, 7, "life", grid.routes).new_id()


async def test_commit_of_a_transaction_that_lost_its_changes_is_class_40(grid: Grid) -> None:
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    grid.leads[1].writer.lost_lead()
    grid.leads[1].writer.became_lead(2)
    with pytest.raises(GridError):
        await grid.run(txn, 1, insert((2, 2)))
    with pytest.raises(TransientError):
        await grid.manager.commit(txn)
    assert grid.leads[1].rows() == []


async def test_a_last_statement_whose_answer_is_lost_is_not_run_twice(grid: Grid) -> None:
    schema = grid.leads[1].element.schema_version
    txn = grid.manager.begin(1000)
    grid.routes.lose_answer = grid.once(RunStatement)
    ran = await grid.manager.run_and_commit(txn, 1, (insert((1, 1), (2, 2)),), schema)
    assert ran.counts == (2,)
    assert not grid.manager.open
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, add(1, 1))
    grid.routes.lose_answer = grid.once(RunStatement)
    with pytest.raises(OutcomeUnknownError):  # committed, but nobody knows the number of rows
        await grid.manager.run_and_commit(txn, 1, (add(1, 1),), schema)
    assert grid.leads[1].rows() == [(1, 3), (2, 2)]
    txn = grid.manager.begin(1000)
    grid.routes.lose_answer = grid.once(RunStatement)
    grid.routes.passes = lambda message: type(message) is not RunStatement
    last = asyncio.ensure_future(grid.manager.run_and_commit(txn, 1, (add(1, 5),), schema))
    while not grid.routes.held:
        await asyncio.sleep(0)
    grid.leads[1].writer.roll_back(RollBack(DB, 1, txn.id))
    await grid.manager.outcome(1, txn.id)  # ABORT is written before the statement arrives
    grid.routes.release()
    with pytest.raises(TransientError):
        await last
    assert grid.leads[1].rows() == [(1, 3), (2, 2)]


async def test_a_roll_back_reaches_whoever_leads(
    grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lead hands over: what it hears then it does not do, and its successor has the locks."""
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    writer, refused = grid.leads[1].writer, []
    roll_back = writer.roll_back

    def hand_over(message: RollBack, reply: Reply) -> None:
        if len(refused) < 3:
            refused.append(message)
            reply.fail(NotLeadError("this element does not lead"))
        else:
            roll_back(message, reply)

    monkeypatch.setattr(writer, "roll_back", hand_over)
    await grid.manager.roll_back(txn)
    assert len(refused) == 3
    assert not writer.transactions()
    assert grid.leads[1].rows() == []


async def test_a_roll_back_waits_a_moment_only(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a set that is down it is told later, in the background."""
    monkeypatch.setattr(manager_module, "ROLL_BACK_WAIT_S", 0.01)
    txn = grid.manager.begin(1000)
    await grid.run(txn, 1, insert((1, 1)))
    grid.routes.passes = lambda message: type(message) is not RollBack
    await grid.manager.roll_back(txn)
    assert grid.leads[1].writer.transactions()
    grid.routes.passes = lambda message: True
    grid.routes.release()
    while grid.manager._background:
        await asyncio.sleep(0)
    assert not grid.leads[1].writer.transactions()
