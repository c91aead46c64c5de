"""What became of a transaction: asked late, after the log was cut, after failures of all kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from data.replication import copier
from data.storage import past
from data.storage.element import Element
from data.txn import settling
from data.txn.manager import TransactionManager
from data.txn.settling import Settling
from protocol.errors import GridError, OutcomeUnknownError, PeerUnreachableError
from protocol.ids import TxnId
from protocol.messages.txn import AskOpen, AskOutcome, Decide, Outcome, Prepare, StillOpen
from tests.support.lead import DB, DirectRoutes, Lead, insert, make_lead, txn
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid


def cut_all(lead: Lead) -> None:
    while lead.element.cut_log(10**9):
        pass
    assert lead.element.log_bytes == 0


def restarted(lead: Lead) -> Lead:
    """The same element in another process, which takes over."""
    lead.writer.lost_lead()
    lead.element.close(clean=False)
    again = Lead(Element.open(lead.element.path, lead.element.settings))
    again.writer.lost_lead()
    again.writer.became_lead(lead.writer.term + 1)
    return again


async def ask(lead: Lead, of: TxnId, *, in_doubt: bool = False) -> Outcome:
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, of, in_doubt))
    assert isinstance(outcome, Outcome)
    return outcome


async def test_a_lead_asked_after_its_log_was_cut_tells_the_truth(tmp_path: Path) -> None:
    lead = await make_lead(tmp_path)
    await lead.run(txn(1), 1, insert((1, 1), (2, 2)), commit=True)
    await lead.run(txn(2), 1, insert((3, 3)))
    await lead.commit(txn(2), 1)
    cut_all(lead)
    lead = restarted(lead)
    assert await ask(lead, txn(1)) == Outcome("committed", 2)
    assert (await ask(lead, txn(2))).state == "committed"
    assert (await ask(lead, txn(3))).state == "aborted"
    cut_all(lead)
    lead = restarted(lead)
    assert (await ask(lead, txn(3))).state == "aborted"
    lead.element.close(clean=True)


async def test_what_is_too_old_is_unknown_and_never_rolled_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past, "PAST_MAX", 2)
    lead = await make_lead(tmp_path)
    for n in range(1, 10):
        await lead.run(txn(n), 1, insert((n, n)), commit=True)
    cut_all(lead)
    lead = restarted(lead)
    routes = DirectRoutes({1: lead})
    manager = TransactionManager(DB, 1, "life", routes)
    with pytest.raises(OutcomeUnknownError):
        await manager.outcome(1, txn(3))
    with pytest.raises(OutcomeUnknownError):
        await manager.settle_autocommit(1, txn(3))
    assert (await manager.outcome(1, txn(9))).state == "committed"
    assert (await manager.outcome(1, txn(10))).state == "aborted"
    # whoever holds a PREPARE knows more: an anchor that had committed would still know it
    assert (await ask(lead, txn(4), in_doubt=True)).state == "aborted"
    # and an open workspace was not committed, however old its number
    await lead.run(txn(5), 1, insert((50, 50)))
    assert (await ask(lead, txn(5))).state == "aborted"
    lead.element.close(clean=True)


async def test_a_statement_whose_answer_is_lost_counts_its_rows_although_the_log_was_cut(
    lead: Lead,
) -> None:
    routes = DirectRoutes({1: lead})
    lost: list[Any] = []

    def lose(message: Any) -> bool:
        if not lost:
            lost.append(message)
            asyncio.get_running_loop().call_later(0.01, cut_all, lead)
            return True
        return False

    routes.lose_answer = lose
    call_until = routes.call_until

    async def late(rs: int, message: Any, deadline_s: float) -> Any:
        while lead.element.log_bytes:
            await asyncio.sleep(0)
        return await call_until(rs, message, deadline_s)

    routes.call_until = late  # type: ignore[method-assign]
    manager = TransactionManager(DB, 1, "life", routes)
    schema = lead.element.schema_version
    ran = await manager.run_autocommit(1, (insert((1, 1), (2, 2)),), schema, 1000)
    assert ran.counts == (2,)
    assert lead.rows() == [(1, 1), (2, 2)]
    assert len([m for m in routes.sent if type(m) is type(lost[0])]) == 1, "it ran once"


# -- decisions end --------------------------------------------------------------------------------
class Calls:
    """Stands for the router: the other participants, and the coordinators that live."""

    def __init__(self) -> None:
        self.open: set[TxnId] = set()
        self.silent: set[str] = set()
        self.down: set[int] = set()
        self.told: list[Decide] = []

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any:
        if rs in self.down:
            raise PeerUnreachableError("down")
        self.told.append(message)

    def call_instance(
        self, instance: str, message: AskOpen, timeout_s: float
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if instance in self.silent:
            future.set_exception(PeerUnreachableError("silent"))
        else:
            future.set_result(StillOpen(tuple(t for t in message.txns if t in self.open)))
        return future


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    monkeypatch.setattr(settling, "KEEP_S", 0.0)
    return Calls()


NAMES: Mapping[str, str] = {"life": "host1.instance1"}


async def decided(lead: Lead, of: TxnId, row: int, *, commit: bool) -> None:
    await lead.run(of, 1, insert((row, row)))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, lead.writer.term, of, 1, (1, 2, 3)))
    await lead.call(lead.writer.decide, Decide(DB, 1, of, commit, (1, 2, 3)))


async def sweep(lead: Lead, calls: Calls) -> list[TxnId]:
    """One round; returns what is still kept."""
    await Settling(DB, lead.element, lead.writer, calls).sweep(NAMES)
    await lead.run(txn(10**6), 1, commit=True)  # the records of the round are written
    return [decision.txn for decision in lead.element.decisions()]


async def test_decisions_of_dead_coordinators_end_when_everybody_has_them(
    lead: Lead, calls: Calls
) -> None:
    dead = TxnId(7, "gone", 1), TxnId(7, "gone", 2)
    await decided(lead, dead[0], 1, commit=True)
    await decided(lead, dead[1], 2, commit=False)
    calls.down = {3}
    assert await sweep(lead, calls) == [dead[0]], "a participant has not heard it"
    calls.down = set()
    assert await sweep(lead, calls) == []
    assert {(m.rs, m.txn, m.commit) for m in calls.told} == {(2, dead[0], True), (3, dead[0], True)}
    cut_all(lead)
    assert not lead.element._log.txns


async def test_decisions_stay_while_their_coordinator_may_need_them(
    lead: Lead, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    await decided(lead, txn(1), 1, commit=True)
    await decided(lead, txn(2), 2, commit=False)
    calls.silent = {"host1.instance1"}
    assert await sweep(lead, calls) == [txn(1), txn(2)]
    calls.silent = set()
    calls.open = {txn(1), txn(2)}
    assert await sweep(lead, calls) == [txn(1), txn(2)]
    calls.open = set()
    monkeypatch.setattr(settling, "KEEP_S", 60.0)
    assert await sweep(lead, calls) == [txn(1), txn(2)], "a message may still be on its way"
    assert not calls.told
    monkeypatch.setattr(settling, "KEEP_S", 0.0)
    assert await sweep(lead, calls) == []


async def test_a_long_run_of_failures_leaves_nothing(lead: Lead, calls: Calls) -> None:
    """Coordinators that die after PREPARE, after COMMIT, without a word; answers that get lost."""
    sizes = []
    for life in range(12):
        for n in range(25):
            of = TxnId(7, f"life {life}", n)
            if n % 5 == 4:
                assert (await ask(lead, of)).state == "aborted"
            else:
                await decided(lead, of, 100 * life + n, commit=n % 2 == 0)
        assert await sweep(lead, calls) == []
        cut_all(lead)
        sizes.append(len(lead.element._log.txns))
        (rows,) = lead.element.read("SELECT COUNT(*) FROM _txn")
        sizes.append(int(rows[0] or 0))
    assert max(sizes) == 0
    again = restarted(lead)
    assert not again.element._log.txns
    lead.element = again.element


# -- a fault inside -------------------------------------------------------------------------------
async def test_a_fault_while_a_batch_is_sent_ends_the_term(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead.run(txn(1), 1, insert((1, 1)))

    def broken(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(lead.copies, "replicate", broken)
    answers = [lead.run(txn(n), 1, insert((n, n)), commit=True) for n in (2, 3)]
    waiting = lead.run(txn(1), 2, insert((9, 9)))
    for answer in answers:
        with pytest.raises(OutcomeUnknownError):
            await answer
    with pytest.raises(GridError) as caught:
        await waiting
    assert caught.value.retriable
    assert (lead.copies.ended, lead.writer.leading) == (1, False)
    monkeypatch.undo()
    lead.writer.became_lead(2)
    await lead.run(txn(4), 1, insert((4, 4)), commit=True)
    assert lead.rows() == [(4, 4)]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=2, sets=1) as made:
        yield made


async def test_a_set_recovers_by_itself_from_a_fault_inside_its_lead(
    pair: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await pair.connect(0)
    await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY)")
    members = [node.instance.database(DATABASE).member for node in pair.nodes if node.instance]
    term = max(member.term for member in members)
    encode, faults = copier.encode_entries, []

    def broken(entries: Any) -> bytes:
        if not faults:
            faults.append(entries)
            raise RuntimeError("a fault of ours")
        return encode(entries)

    monkeypatch.setattr(copier, "encode_entries", broken)
    async with asyncio.timeout(20):
        await client.execute("INSERT INTO t VALUES (1)")  # asks, hears "aborted", runs again
    assert faults
    assert await client.fetchval("SELECT COUNT(*) FROM t") == 1
    assert max(member.term for member in members) > term
    await client.close()
