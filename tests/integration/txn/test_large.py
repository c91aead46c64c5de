"""Transactions with very many rows: in the log while they are open, written in slices."""

from __future__ import annotations

import asyncio

import pytest

from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry
from data.txn.parts import PART_CHANGES
from data.txn.workspace import OwnChanges, Workspace
from protocol.errors import (
    CorruptElementError,
    DeadlockError,
    DiskFullError,
    GridError,
    LockTimeoutError,
    NotLeadError,
    OutcomeUnknownError,
    OutOfPermSizeError,
    UniqueViolationError,
    WorkspaceLostError,
)
from protocol.messages.sql import RunSql, SelectRows
from protocol.messages.txn import AskOutcome, Decide, Prepare, RollBack, UndoStatement
from tests.support.elements import contents
from tests.support.lead import DB, Lead, T, insert, txn, update

ROWS = [(n, n) for n in range(12_000)]
STEP = 1500


@pytest.fixture
def in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """COMMITs take effect as a whole, as those of less than 10,000 changes do."""
    monkeypatch.setattr("data.txn.later.LATER_PARTS", 1000)


async def fill(lead: Lead, n: int = 1) -> int:
    """One transaction that inserts ROWS in some statements; returns how many."""
    statements = 0
    for at in range(0, len(ROWS), STEP):
        statements += 1
        await lead.run(txn(n), statements, insert(*ROWS[at : at + STEP]))
    await at_rest(lead, n)
    return statements


async def at_rest(lead: Lead, n: int = 1) -> Workspace:
    """What the transaction changed has moved to the log."""
    workspace = lead.writer._workspaces[txn(n)]
    while workspace.shrinking or lead.writer._batch:
        await asyncio.sleep(0)
    return workspace


async def serving(lead: Lead) -> None:
    """The locks of what is prepared are there again."""
    while not lead.writer.leading:
        await asyncio.sleep(0)


async def until_released(lead: Lead) -> None:
    while lead.element.open_parts:
        await asyncio.sleep(0)
    while lead.writer._batch:
        await asyncio.sleep(0)


def add_all(more: int) -> RunSql:
    return RunSql(T, 'UPDATE "U.T" SET V = V + ?1', (more,))


@pytest.mark.usefixtures("in_one_piece")
async def test_a_large_transaction_is_not_kept_in_memory(lead: Lead) -> None:
    statements = await fill(lead)
    workspace = lead.writer._workspaces[txn(1)]
    assert len(workspace.changes) < PART_CHANGES
    assert workspace.rows == len(ROWS)
    assert lead.rows() == []
    longest = max(len(entry.payload) for batch in lead.copies.batches for entry in batch)
    assert longest < 64 * 1024, "no entry is large"
    commit = lead.commit(txn(1), statements)
    turns = 0
    late = lead.run(txn(3), 1, insert((-2, 2)), commit=True)
    while not commit.done():
        await asyncio.sleep(0)
        turns += 1
        assert len(lead.rows()) in (0, len(ROWS), len(ROWS) + 1)
    await late
    assert turns > 10
    assert len(lead.rows()) == len(ROWS) + 1
    assert lead.element.changes_of(txn(1)) == len(ROWS)
    assert not lead.element.open_parts


async def test_rows_come_without_those_before_being_brought_in_again(lead: Lead) -> None:
    """Another transaction takes the writer between any two statements."""
    await lead.run(txn(9), 1, insert((-1, 0)), commit=True)
    calls, apply_part = [], lead.element.apply_part

    def counted(lsn: int) -> None:
        calls.append(lsn)
        apply_part(lsn)

    lead.element.apply_part = counted  # type: ignore[method-assign]
    for number, at in enumerate(range(0, len(ROWS), STEP), 1):
        await lead.run(txn(1), number, insert(*ROWS[at : at + STEP]))
        await lead.run(txn(100 + number), 1, update(-1, number), commit=True)
    assert not calls
    # a key of its own, and one of somebody else: both are found
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(1), 9, insert((5, 5)))
    assert calls
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(1), 9, insert((-1, 5)))
    await lead.run(txn(1), 9, insert((-5, 5)))
    await lead.commit(txn(1), 9)
    assert len(lead.rows()) == len(ROWS) + 2


async def test_statements_see_what_is_in_the_log(lead: Lead) -> None:
    statements = await fill(lead)
    ran = await lead.run(txn(1), statements + 1, add_all(10))
    assert ran.counts == (len(ROWS),)
    select = SelectRows('SELECT COUNT(*), SUM(V) FROM "U.T"', (), ())
    ran = await lead.run(txn(1), statements + 2, select)
    assert ran.rows == [(len(ROWS), sum(v + 10 for _, v in ROWS))]
    read: list[OwnChanges] = []

    def count(element: Element) -> None:
        raise AssertionError("it would keep others from writing")

    await at_rest(lead)
    version = lead.element.schema_version
    lead.writer.read_in_txn(txn(1), 1, version, "", count, read.append, _Nobody())
    while not read:
        await asyncio.sleep(0)
    assert sum(p.length for p in read[0].parts) + len(read[0].changes) == 2 * len(ROWS)
    delete = RunSql(T, 'DELETE FROM "U.T" WHERE ID >= 10', ())
    await lead.run(txn(1), statements + 3, delete)
    await lead.commit(txn(1), statements + 3)
    assert lead.rows() == [(n, n + 10) for n in range(10)]


class _Nobody:
    def reply(self, message: object) -> None:
        raise AssertionError

    def fail(self, error: GridError) -> None:
        raise error


@pytest.mark.parametrize("number", range(9))
async def test_undo_goes_back_into_the_log(lead: Lead, number: int) -> None:
    await fill(lead)
    workspace = lead.writer._workspaces[txn(1)]
    undo = UndoStatement(DB, 1, 1, txn(1), number)
    await lead.call(lead.writer.undo_statement, undo)
    assert workspace.rows == number * STEP
    await lead.run(txn(1), number + 1, insert((-1, -1)))
    await lead.commit(txn(1), number + 1)
    assert lead.rows() == [(-1, -1), *ROWS[: number * STEP]]


async def test_rollback_releases_the_log(lead: Lead) -> None:
    await fill(lead)
    lead.writer.roll_back(RollBack(DB, 1, txn(1)))
    await until_released(lead)
    assert lead.element.outcome(txn(1)) == "aborted"
    await lead.run(txn(2), 1, insert((1, 1)), commit=True)
    while lead.element.cut_log(10**9):
        pass
    assert lead.element.log_bytes == 0
    assert lead.rows() == [(1, 1)]


async def test_a_new_lead_releases_what_it_finds_open(lead: Lead) -> None:
    statements = await fill(lead)
    lead.writer.lost_lead()
    assert lead.element.open_parts
    lead.writer.became_lead(2)
    await until_released(lead)
    with pytest.raises(GridError):
        await lead.commit(txn(1), statements)
    assert (await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(1)))).state == "aborted"
    assert lead.rows() == []


async def test_a_planned_hand_over_takes_large_transactions_along(lead: Lead) -> None:
    statements = await fill(lead)
    packed = lead.writer.pack()
    lead.writer.lost_lead()
    lead.writer.unpack(packed)
    lead.writer.became_lead(2)
    lead.writer._workspaces[txn(1)].term = 2  # what the coordinator would learn
    await serving(lead)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, insert(ROWS[-1]), wait_ms=0)
    await lead.run(txn(1), statements + 1, insert((-1, -1)))
    await lead.commit(txn(1), statements + 1)
    assert len(lead.rows()) == len(ROWS) + 1


@pytest.mark.usefixtures("in_one_piece")
async def test_a_large_commit_that_loses_its_term_leaves_nothing(lead: Lead) -> None:
    statements = await fill(lead)
    commit = lead.commit(txn(1), statements)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not commit.done()
    lead.writer.lost_lead()
    lead.writer.became_lead(2)
    await lead.run(txn(3), 1, insert((5, 5)), commit=True)
    assert lead.rows() == [(5, 5)]
    with pytest.raises(OutcomeUnknownError):  # it was sent: the next lead is asked what became
        await commit
    await until_released(lead)


async def sent(lead: Lead, kind: EntryKind) -> None:
    while lead.copies.batches[-1][-1].kind != kind:
        await asyncio.sleep(0)


@pytest.mark.usefixtures("in_one_piece")
@pytest.mark.parametrize("copies_first", [True, False])
async def test_the_copies_get_a_large_commit_before_the_lead_has_it(
    lead: Lead, copies_first: bool
) -> None:
    statements = await fill(lead)
    lead.copies.hold = True
    await lead.run(txn(2), 1, insert((-1, -1)))
    batched = lead.run(txn(3), 1, insert((-3, -3)), commit=True)  # of the same loop turn
    commit = lead.commit(txn(1), statements)
    await sent(lead, EntryKind.COMMIT)
    assert len(lead.copies.batches[-1]) == 2
    assert lead.writer._slices is not None, "it is not in effect here yet"
    late = lead.run(txn(4), 1, insert((-4, -4)), commit=True)
    if copies_first:
        lead.copies.acknowledge()
    while lead.writer._slices is not None:
        assert lead.rows() == []
        assert not commit.done()
        await asyncio.sleep(0)
    while "lead" in lead.copies.missing:
        await asyncio.sleep(0)
    if not copies_first:
        assert lead.rows() == []
        lead.copies.acknowledge()
    await asyncio.gather(batched, commit)
    assert lead.rows() == [(-3, -3), *ROWS]
    lead.copies.hold = False
    while lead.copies.waiting:
        lead.copies.acknowledge()
    await late
    await lead.commit(txn(2), 1)
    assert len(lead.rows()) == len(ROWS) + 3


@pytest.mark.usefixtures("in_one_piece")
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("problem", [DiskFullError("no room"), CorruptElementError("a fault")])
async def test_a_commit_that_the_copies_have_and_the_lead_cannot_do_ends_the_term(
    lead: Lead, prepared: bool, problem: GridError, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = await fill(lead)
    if prepared:
        await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), statements, (1, 2)))
    apply_part, parts = lead.element.apply_part, []

    def failing(lsn: int) -> None:
        parts.append(lsn)
        if len(parts) == 5:
            raise problem
        apply_part(lsn)

    monkeypatch.setattr(lead.element, "apply_part", failing)
    decide = Decide(DB, 1, txn(1), True, (1, 2))
    if prepared:
        commit = lead.call(lead.writer.decide, decide)
    else:
        commit = lead.commit(txn(1), statements)
    late = lead.run(txn(4), 1, insert((-4, -4)), commit=True)
    with pytest.raises(OutcomeUnknownError):
        await commit
    with pytest.raises(NotLeadError):
        await late
    assert lead.copies.ended == 1
    assert not lead.writer.leading
    assert not lead.element.in_batch
    assert lead.writer.no_room == isinstance(problem, DiskFullError)
    lead.writer.no_room = False
    lead.writer.became_lead(2)
    await serving(lead)
    assert lead.rows() == []
    if prepared:
        await lead.call(lead.writer.decide, decide)
        assert lead.rows() == ROWS
    else:
        await until_released(lead)
        await lead.run(txn(5), 1, insert((5, 5)), commit=True)


async def test_a_commit_that_came_too_late_is_not_sent(lead: Lead) -> None:
    statements = await fill(lead)
    workspace = lead.writer._workspaces[txn(1)]
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(1)))
    assert outcome.state == "aborted"
    lead.writer._workspaces[txn(1)] = workspace  # as if it had not been dropped
    batches = len(lead.copies.batches)
    with pytest.raises(WorkspaceLostError):
        await lead.commit(txn(1), statements)
    assert len(lead.copies.batches) == batches
    await lead.run(txn(5), 1, insert((5, 5)), commit=True)
    assert lead.rows() == [(5, 5)]


async def test_a_large_prepared_transaction_outlives_its_lead(lead: Lead) -> None:
    statements = await fill(lead)
    prepare = Prepare(DB, 1, 1, txn(1), statements, (1, 2))
    await lead.call(lead.writer.prepare, prepare)
    lead.writer.lost_lead()
    lead.writer.became_lead(2)
    await serving(lead)
    for row in (ROWS[0], ROWS[7777], ROWS[-1]):
        with pytest.raises(LockTimeoutError):
            await lead.run(txn(2), 1, insert(row), commit=True, wait_ms=0)
    while lead.element.cut_log(10**9):
        pass
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    assert len(lead.rows()) == len(ROWS)
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(2), 1, insert((7, 7)), commit=True)


async def test_one_statement_that_changes_very_many_rows(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*ROWS), commit=True)
    assert lead.rows() == ROWS
    waiting = [
        lead.run(txn(2), 1, add_all(1), commit=True, wait_ms=30_000),
        lead.run(txn(3), 1, update(3, 0), commit=True, wait_ms=30_000),
        lead.run(txn(4), 1, add_all(1), commit=True, wait_ms=30_000),
    ]
    assert [(await answer).counts for answer in waiting] == [(len(ROWS),), (1,), (len(ROWS),)]
    assert sum(int(v) for _, v in lead.rows()) in (
        sum(n for n, _ in ROWS) + 2 * len(ROWS) - 3 - moved for moved in (0, 1, 2)
    )
    failing = RunSql(T, 'UPDATE "U.T" SET ID = ID + 1', ())
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(5), 1, failing, commit=True)
    await lead.run(txn(6), 1, RunSql(T, 'DELETE FROM "U.T"', ()), commit=True)
    assert lead.rows() == []
    assert not lead.element.open_parts


async def test_no_room_for_a_large_transaction_fails_it_alone(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = lead.element.append

    def full(entry: LogEntry, participants: tuple[int, ...] = ()) -> None:
        if entry.kind == EntryKind.PART:
            raise OutOfPermSizeError("no room")
        append(entry, participants)

    monkeypatch.setattr(lead.element, "append", full)
    await lead.run(txn(1), 1, insert(*ROWS[:STEP]))
    await lead.run(txn(1), 2, insert(*ROWS[STEP : 2 * STEP]))
    with pytest.raises(OutOfPermSizeError):
        await lead.run(txn(1), 3, insert((-1, 1)))
    with pytest.raises(OutOfPermSizeError):
        await lead.commit(txn(1), 2)
    with pytest.raises(OutOfPermSizeError):
        await lead.run(txn(2), 1, insert(*ROWS), commit=True)
    await lead.run(txn(3), 1, insert((1, 1)), commit=True)
    assert lead.rows() == [(1, 1)]
    assert not lead.writer._workspaces


async def test_a_copy_of_the_log_has_the_same_rows(lead: Lead, tmp_path_factory: object) -> None:
    """Redo and undo of what the log holds, as a copy does them."""
    statements = await fill(lead)
    before = contents(lead.element)
    tail = lead.element.tail.lsn
    await lead.commit(txn(1), statements)
    after = contents(lead.element)
    lead.undo_to(tail)
    assert contents(lead.element) == before
    assert lead.element.open_parts
    lead.redo_from(tail)
    assert contents(lead.element) == after
    assert not lead.element.open_parts


async def test_very_many_locks_are_kept_and_released(lead: Lead) -> None:
    await lead.run(txn(9), 1, insert((-1, 1), (-5, 5)), commit=True)
    await lead.run(txn(2), 1, update(-5, 6))
    statements = await fill(lead)
    held = len(lead.writer.locks._held[txn(1)])
    assert held < len(ROWS) / 2
    order = []
    waiting = []
    for row in (ROWS[0], ROWS[5000], ROWS[-1]):
        answer = lead.run(txn(100 + row[0]), 1, insert(row), commit=True, wait_ms=30_000)
        answer.add_done_callback(lambda _: order.append("woken"))
        waiting.append(answer)
    update_both = RunSql(T, 'UPDATE "U.T" SET V = 0 WHERE ID < 0', ())
    mine = lead.run(txn(1), statements + 1, update_both, wait_ms=30_000)
    await lead.run(txn(3), 1, insert((-7, 7)), commit=True)
    assert not order
    assert not mine.done()
    deadlock = lead.run(txn(2), 2, insert(ROWS[6000]), wait_ms=30_000)
    with pytest.raises(DeadlockError):  # found through locks that have no names any more
        await asyncio.gather(mine, deadlock)
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    lead.writer.roll_back(RollBack(DB, 1, txn(1)))
    for answer in waiting:
        assert (await answer).counts == (1,)
    assert lead.rows() == [(-7, 7), (-5, 5), (-1, 1), ROWS[0], ROWS[5000], ROWS[-1]]


async def test_a_statement_that_may_be_long_leaves_the_loop(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*ROWS * 1), commit=True)
    for at in range(1, 8):
        more = [(n + at * 100_000, n) for n, _ in ROWS]
        await lead.run(txn(10 + at), 1, insert(*more), commit=True)
    assert not lead.element.is_short('UPDATE "U.T" SET V = V + ?1', (1,))
    assert lead.element.is_short('UPDATE "U.T" SET V = 1 WHERE ID = ?1', (1,))
    assert not lead.element.is_short('DELETE FROM "U.T"')
    running = lead.run(txn(2), 1, add_all(1), commit=True)
    turns, read = 0, 0
    while not running.done():
        await asyncio.sleep(0)
        turns += 1
        read += len(lead.element.read('SELECT 1 FROM "U.T" WHERE ID = 5'))
    assert (await running).counts == (8 * len(ROWS),)
    assert turns == read > 50
    # the term ends in the middle: nothing stays
    running = lead.run(txn(3), 1, add_all(1), commit=True)
    while not lead.element.busy:
        await asyncio.sleep(0)
    lead.writer.lost_lead()
    assert not lead.element.busy
    lead.writer.became_lead(2)
    with pytest.raises(NotLeadError):
        await running
    ((total,),) = lead.element.read('SELECT SUM(V) FROM "U.T"')
    assert total == 8 * (sum(n for n, _ in ROWS) + len(ROWS))
    # an error in the middle undoes the statement alone
    await lead.run(txn(4), 1, update(7, -7))
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(4), 2, RunSql(T, 'UPDATE "U.T" SET ID = ID + 1', ()))
    await lead.commit(txn(4), 1)
    assert lead.element.read('SELECT V FROM "U.T" WHERE ID = 7') == [(-7,)]
