"""The lead's writer on a real element: transactions, locks, two-phase commit, lost leadership."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from data.catalog.catalog import CatalogChange, CreateTable, row_of
from data.catalog.objects import Column, Distribution, Index, Table
from data.storage.element import Element
from data.storage.entry import LogEntry
from data.storage.settings import ElementIdentity, StorageSettings
from data.txn.lead import LeadWriter
from protocol.errors import (
    DeadlockError,
    GridError,
    LockTimeoutError,
    OutcomeUnknownError,
    StaleSchemaError,
    UniqueViolationError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages.sql import InsertRows, Ran, RunSql, RunStatement
from protocol.messages.txn import (
    AskOutcome,
    CommitSingle,
    Decide,
    Prepare,
    RollBack,
    UndoStatement,
)
from protocol.sqltypes import Kind, SqlType

T = 1000
NUMBER10 = SqlType(Kind.NUMBER, 10, 0)
DB = "db1"


class Copies:
    """Stands for replication: acknowledges at once, or when told."""

    term = 1

    def __init__(self) -> None:
        self.hold = False
        self.waiting: list[Callable[[GridError | None], None]] = []
        self.batches: list[list[LogEntry]] = []

    def next_lsn(self) -> int:
        raise NotImplementedError

    def lead_ok(self) -> bool:
        return True

    def replicate(
        self, entries: list[LogEntry], on_done: Callable[[GridError | None], None]
    ) -> None:
        self.batches.append(entries)
        if self.hold:
            self.waiting.append(on_done)
        else:
            on_done(None)

    def acknowledge(self) -> None:
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(None)


class Answer:
    """A reply that can be awaited."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, message: Any) -> None:
        self.future.set_result(message)

    def fail(self, error: GridError) -> None:
        self.future.set_exception(error)


class Lead:
    """A leading writer and shorthand for talking to it."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.copies = Copies()
        self.writer = LeadWriter(element, DB, 1)
        self.writer.attach(self.copies)
        self.writer.became_lead(1)

    def run(
        self, txn: TxnId, number: int, *steps: Any, commit: bool = False, wait_ms: int = 500
    ) -> asyncio.Future[Ran]:
        answer = Answer()
        self.writer.run(
            RunStatement(
                DB, 1, self.element.schema_version, 1, txn, 0, number, commit, steps, wait_ms
            ),
            answer,
        )
        return answer.future

    def call(self, method: Callable[[Any, Any], None], message: Any) -> asyncio.Future[Any]:
        answer = Answer()
        try:
            method(message, answer)
        except GridError as error:
            answer.fail(error)
        return answer.future

    def commit(self, txn: TxnId, statements: int) -> asyncio.Future[Any]:
        return self.call(
            self.writer.commit_single, CommitSingle(DB, 1, self.writer.term, txn, statements)
        )

    def rows(self) -> list[tuple[Any, ...]]:
        return self.element.read('SELECT ID, V FROM "U.T" ORDER BY ID')


def _table() -> Table:
    return Table(
        id=T,
        schema="U",
        name="T",
        columns=(Column("ID", NUMBER10, nullable=False), Column("V", NUMBER10)),
        distribution=Distribution.HASH,
        distribution_key=("ID",),
        indexes=(Index(T + 1, "PK_T", ("ID",), unique=True, primary=True, constraint=True),),
    )


@pytest.fixture
async def lead(tmp_path: Path) -> AsyncIterator[Lead]:
    identity = ElementIdentity(database=DB, database_id="1", element=1, instance="host3.instance1")
    element = Element.create(tmp_path / "element", identity, StorageSettings())
    element.set_place(1, 1)
    made = Lead(element)
    table = _table()
    change = CatalogChange(
        element.schema_version + 1, puts=(row_of(table),), actions=(CreateTable(table),)
    )
    txn = TxnId(1, "ddl", 1)
    answer = Answer()
    made.writer.run(
        RunStatement(DB, 1, element.schema_version, 1, txn, 0, 1, False, (), 500), answer
    )
    await answer.future
    await made.call(made.writer.commit_single, CommitSingle(DB, 1, 1, txn, 1, change.encode()))
    assert element.catalog.table("U", "T").id == T
    yield made
    made.writer.lost_lead()
    element.close(clean=True)


def txn(n: int) -> TxnId:
    return TxnId(1, "life", n)


def insert(*rows: tuple[int, int]) -> InsertRows:
    return InsertRows(T, [(*row, 0) for row in rows])


def update(row: int, value: int) -> RunSql:
    return RunSql(T, 'UPDATE "U.T" SET V = ?2 WHERE ID = ?1', (row, value))


def add(row: int, more: int) -> RunSql:
    return RunSql(T, 'UPDATE "U.T" SET V = V + ?2 WHERE ID = ?1', (row, more))


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
    lead.writer.run(RunStatement(DB, 1, 77, 1, txn(1), 0, 1, True, (), 0), answer)
    with pytest.raises(StaleSchemaError):
        await answer.future
