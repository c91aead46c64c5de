"""Large UPDATEs and DELETEs in slices: what others do between them, and what must not show."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.catalog.objects import Column, Distribution, Index, Table
from data.storage.entry import EntryKind
from data.txn.facts import UniqueKey
from data.txn.manager import TransactionManager
from protocol.errors import (
    DeadlockError,
    GridError,
    LockTimeoutError,
    WorkspaceLostError,
)
from protocol.messages.sql import Keyed, Match, Ran, RunSql, StillRuns
from protocol.messages.txn import AskOutcome, Prepare, RollBack, UndoStatement
from tests.support.lead import (
    DB,
    NUMBER10,
    DirectRoutes,
    Lead,
    T,
    add,
    insert,
    make_lead,
    txn,
    update,
)

N = 100
SLICE = 10


@pytest.fixture(autouse=True)
def many_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement that is not by key is a large one."""
    monkeypatch.setattr("data.storage.element.FEW_PAGES", 0)
    monkeypatch.setattr("data.txn.sliced.SLICE", SLICE)
    for module in ("parts", "sliced"):
        monkeypatch.setattr(f"data.txn.{module}.PART_CHANGES", SLICE)
    monkeypatch.setattr("data.storage.changes.PIECE", SLICE // 2)


def sliced(verb: str, where: str = "", *params: int) -> RunSql:
    """UPDATE … SET or DELETE FROM, as the planner would send it."""
    sql = f"{verb}{where and ' WHERE ' + where}"
    find = Match(f'SELECT ID FROM "U.T"{where and " WHERE " + where}', params, ("ID",))
    keyed = f"{sql}{' AND ' if where else ' WHERE '}ID = ?{len(params) + 1}"
    return RunSql(T, sql, params, keyed=Keyed(find, keyed))


def whole(step: RunSql) -> RunSql:
    """The same in one go."""
    return RunSql(step.table_id, step.sql, step.params)


def add_all(more: int) -> RunSql:
    return sliced(f'UPDATE "U.T" SET V = V + {more}')


async def fill(lead: Lead) -> None:
    await lead.run(txn(900), 1, insert(*[(n, n) for n in range(N)]), commit=True)


def at_slice(
    lead: Lead, number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]
) -> list[list[Any]]:
    """Do something when slice `number` (from 0) has ended; returns the slices as they come."""
    seen: list[list[Any]] = []
    run_by_key = lead.element.run_by_key
    loop = asyncio.get_running_loop()

    def watched(sql: str, params: Any, keys: Any) -> Any:
        seen.append([key[0] for key in keys])
        if len(seen) == number + 1:
            loop.call_soon_threadsafe(action)
        return run_by_key(sql, params, keys)

    monkeypatch.setattr(lead.element, "run_by_key", watched)
    return seen


async def at_rest(lead: Lead) -> None:
    while lead.writer._batch or lead.writer._slices or lead.element.open_parts:
        await asyncio.sleep(0)


def outside(lead: Lead, number: int) -> int:
    """A transaction's changes, as its lead counts them."""
    return lead.writer._workspaces[txn(number)].rows


STATEMENTS = [
    add_all(1),
    sliced('UPDATE "U.T" SET V = V * 3', "V % 2 = ?1", 1),
    sliced('UPDATE "U.T" SET V = ID', "ID BETWEEN ?1 AND ?2", 20, 77),
    sliced('UPDATE "U.T" SET V = 0', "V > ?1", 10_000),
    sliced('DELETE FROM "U.T"', "V % 7 = ?1", 3),
    sliced('DELETE FROM "U.T"', "ID > 95"),
    sliced('UPDATE "U.T" SET V = CASE WHEN V = 50 THEN abs(-9223372036854775807 - 1) ELSE 5 END'),
    insert((500, 5), (501, 6)),
    insert((3, 3)),
    update(5, 50),
    add(7, 70),
]


@pytest.mark.parametrize("seed", range(12))
async def test_as_in_one_go(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    leads = [await make_lead(tmp_path / name) for name in ("slices", "whole")]
    seen = at_slice(leads[0], -2, monkeypatch, lambda: None)
    for lead in leads:
        await fill(lead)
    for n in range(1, 8):
        done = 0
        for _ in range(dice.randint(1, 4)):
            step = dice.choice(STATEMENTS)
            answers: list[object] = []
            for lead in leads:
                sent = step if lead is leads[0] or not isinstance(step, RunSql) else whole(step)
                try:
                    answers.append((await lead.run(txn(n), done + 1, sent)).counts)
                except GridError as error:
                    answers.append(type(error))
            assert answers[0] == answers[1], step
            done += isinstance(answers[0], tuple)
            if done and dice.random() < 0.2:
                done = dice.randrange(done)
                for lead in leads:
                    undo = UndoStatement(DB, 1, 1, txn(n), done)
                    await lead.call(lead.writer.undo_statement, undo)
        for lead in leads:
            if done:
                await lead.commit(txn(n), done)
            else:
                lead.writer.roll_back(RollBack(DB, 1, txn(n)))
            await at_rest(lead)
        assert leads[0].rows() == leads[1].rows()
        assert not leads[0].writer._sliced
        assert not leads[0].writer.locks
    assert len(seen) > N // SLICE
    for lead in leads:
        lead.writer.lost_lead()
        lead.element.close(clean=True)


async def test_others_write_between_slices(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(lead)
    small: list[asyncio.Future[Ran]] = []

    def write() -> None:
        small.append(lead.run(txn(2), 1, insert((1000, 1)), commit=True))
        small.append(lead.run(txn(3), 1, insert((1001, 1))))

    seen = at_slice(lead, 2, monkeypatch, write)
    batches = len(lead.copies.batches)
    order: list[str] = []
    large = lead.run(txn(1), 1, add_all(1))
    large.add_done_callback(lambda _: order.append("large"))
    while not small:
        await asyncio.sleep(0)
    for answer in small:
        answer.add_done_callback(lambda _: order.append("small"))
    await asyncio.gather(large, *small)
    assert order == ["small", "small", "large"]
    assert len(seen) == N // SLICE
    entries = [(e.kind, e.txn) for batch in lead.copies.batches[batches:] for e in batch]
    parts = [n for n, (kind, _) in enumerate(entries) if kind == EntryKind.PART]
    assert parts[0] < entries.index((EntryKind.COMMIT, txn(2))) < parts[-1]
    assert (1000, 1) in lead.rows()
    assert (await large).counts == (N,), "rows that come later are not its rows"
    await lead.commit(txn(1), 1)
    await lead.commit(txn(3), 1)
    assert lead.rows() == [(n, n + 1) for n in range(N)] + [(1000, 1), (1001, 1)]


async def test_a_writer_without_end_does_not_keep_it_from_its_end(lead: Lead) -> None:
    await fill(lead)
    large = lead.run(txn(1), 1, add_all(1))
    count = 0
    while not large.done():
        count += 1
        await lead.run(txn(100 + count), 1, insert((1000 + count, 1)), commit=True)
    assert count > 5
    await lead.commit(txn(1), 1)


async def test_rows_are_looked_at_again(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    """READ COMMITTED: found in one state, tested and changed in the newest."""
    await fill(lead)
    others: list[asyncio.Future[Ran]] = []

    def write() -> None:
        others.extend(
            lead.run(txn(row), 1, step, commit=True)
            for row, step in (
                (90, update(90, -1)),  # does not match any more
                (91, update(91, 500)),  # matches still
                (92, RunSql(T, 'DELETE FROM "U.T" WHERE ID = 92', ())),
                (10, update(10, 60)),  # matches now, but was not found
            )
        )

    at_slice(lead, 0, monkeypatch, write)
    ran = await lead.run(txn(1), 1, sliced('UPDATE "U.T" SET V = V + 1000', "V >= ?1", 50))
    await asyncio.gather(*others)
    assert ran.counts == (48,)
    await lead.commit(txn(1), 1)
    rows = dict(lead.rows())
    assert (rows[90], rows[91], rows[10]) == (-1, 1500, 60)
    assert 92 not in rows
    assert all(rows[n] == n + 1000 for n in range(50, 90))


async def test_a_lock_in_the_middle_is_waited_for(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, add(45, 100))
    seen = at_slice(lead, 99, monkeypatch, lambda: None)
    large = lead.run(txn(1), 1, add_all(1), wait_ms=30_000)
    while not list(lead.writer.locks.waiters()):
        await asyncio.sleep(0)
    assert outside(lead, 1) == 40
    await lead.run(txn(3), 1, insert((1000, 1)), commit=True)
    with pytest.raises(LockTimeoutError):  # the slices before it keep their locks
        await lead.run(txn(4), 1, update(0, 0), commit=True, wait_ms=0)
    waiting = lead.run(txn(5), 1, add(99, 7), commit=True)  # not its row yet
    await waiting
    await lead.commit(txn(2), 1)
    await large
    assert len(seen) == N // SLICE + 1, "one slice came twice"
    await lead.commit(txn(1), 1)
    rows = dict(lead.rows())
    assert (rows[45], rows[99], rows[0]) == (146, 107, 1)


@pytest.mark.parametrize("earlier", [0, 1])
async def test_a_failure_in_the_middle_undoes_the_statement_alone(lead: Lead, earlier: int) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, update(45, 100))
    if earlier:
        await lead.run(txn(1), 1, RunSql(T, 'UPDATE "U.T" SET V = V WHERE ID = -5', ()))
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(1), earlier + 1, add_all(1), wait_ms=1)
    assert not lead.writer._sliced
    failing = 'UPDATE "U.T" SET V = CASE ID WHEN 57 THEN abs(-9223372036854775807 - 1) ELSE 0 END'
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    with pytest.raises(GridError, match="overflow"):
        await lead.run(txn(1), earlier + 1, sliced(failing))
    if earlier:
        assert outside(lead, 1) == 0
    await lead.run(txn(1), earlier + 1, insert((1000, 1)))
    await lead.commit(txn(1), earlier + 1)
    assert lead.rows() == [(n, n) for n in range(N)] + [(1000, 1)]
    await lead.run(txn(3), 1, update(0, 5), commit=True, wait_ms=0)


@pytest.mark.parametrize("moment", ["find", "slice", "wait"])
@pytest.mark.parametrize("end", ["roll back", "undo", "undo all", "outcome"])
async def test_it_is_given_up_in_the_middle(
    lead: Lead, monkeypatch: pytest.MonkeyPatch, moment: str, end: str
) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, add(45, 100))
    reached = asyncio.Event()
    at_slice(lead, 2, monkeypatch, reached.set)
    await lead.run(txn(1), 1, RunSql(T + 0, 'UPDATE "U.T" SET V = 1 WHERE ID = -5', ()))
    large = lead.run(txn(1), 2, add_all(1), wait_ms=30_000)
    if moment == "slice":
        await reached.wait()
    elif moment == "wait":
        while not list(lead.writer.locks.waiters()):
            await asyncio.sleep(0)
    with pytest.raises(WorkspaceLostError):
        await lead.commit(txn(1), 1)
    if end == "roll back":
        lead.writer.roll_back(RollBack(DB, 1, txn(1)))
    elif end == "outcome":
        outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(1)))
        assert outcome.state == "aborted"
    else:
        undo = UndoStatement(DB, 1, 1, txn(1), 1 if end == "undo" else 0)
        await lead.call(lead.writer.undo_statement, undo)
    with pytest.raises(WorkspaceLostError):
        await large
    assert not lead.writer._sliced
    if end == "undo":
        assert outside(lead, 1) == 0
        await lead.run(txn(1), 2, insert((1000, 1)))
        await lead.commit(txn(1), 2)
    elif end == "undo all":
        await lead.run(txn(1), 1, insert((1000, 1)))
        await lead.commit(txn(1), 1)
    await lead.commit(txn(2), 1)
    await at_rest(lead)
    assert not lead.writer.locks
    wanted = [(n, n + 100 * (n == 45)) for n in range(N)]
    assert lead.rows() == wanted + [(1000, 1)] * end.startswith("undo")


@pytest.mark.parametrize("moment", ["find", "slice", "wait"])
async def test_the_lead_is_lost_in_the_middle(
    lead: Lead, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, add(45, 100))
    reached = asyncio.Event()
    at_slice(lead, 2, monkeypatch, reached.set)
    large = lead.run(txn(1), 1, add_all(1), wait_ms=30_000)
    if moment == "slice":
        await reached.wait()
    elif moment == "wait":
        while not list(lead.writer.locks.waiters()):
            await asyncio.sleep(0)
    packed = lead.writer.pack()
    lead.writer.lost_lead()
    with pytest.raises(GridError) as caught:
        await large
    assert caught.value.sqlstate[:2] in ("40", "57"), caught.value
    lead.writer.unpack(packed)
    assert list(lead.writer._workspaces) == [txn(2)], "half a statement is not handed over"
    lead.writer.became_lead(2)
    if moment != "find":  # what it wrote to the log was ended
        with pytest.raises(WorkspaceLostError):
            await lead.run(txn(1), 1, add_all(1))
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    await lead.run(txn(3), 1, add_all(1))
    await lead.commit(txn(3), 1)
    await at_rest(lead)
    assert lead.rows() == [(n, n + 1) for n in range(N)]
    assert not lead.writer.locks


async def test_a_deadlock_with_it_is_found(lead: Lead) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, add(45, 100))
    large = lead.run(txn(1), 1, add_all(1), wait_ms=30_000)
    while not list(lead.writer.locks.waiters()):
        await asyncio.sleep(0)
    with pytest.raises(DeadlockError):
        await lead.run(txn(2), 2, add(3, 1), wait_ms=30_000)
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    assert (await large).counts == (N,)
    # the other way round it is the younger one
    await lead.commit(txn(1), 1)
    await lead.run(txn(5), 1, add(45, 100))
    large = lead.run(txn(6), 1, add_all(1), wait_ms=30_000)
    while not list(lead.writer.locks.waiters()):
        await asyncio.sleep(0)
    await_other = lead.run(txn(5), 2, add(3, 1), wait_ms=30_000)
    with pytest.raises(DeadlockError):
        await large
    lead.writer.roll_back(RollBack(DB, 1, txn(6)))
    await await_other
    await lead.commit(txn(5), 2)


async def test_one_sent_again_gets_the_answer(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(lead)
    again: list[asyncio.Future[Ran]] = []
    seen = at_slice(lead, 2, monkeypatch, lambda: again.append(lead.run(txn(1), 1, add_all(1))))
    with pytest.raises(WorkspaceLostError):
        await lead.run(txn(1), 1, add_all(1))
    assert (await again[0]).counts == (N,)
    assert len(seen) == N // SLICE
    assert (await lead.run(txn(1), 1, add_all(1))).counts == (N,)
    assert len(seen) == N // SLICE
    await lead.commit(txn(1), 1)


@pytest.mark.parametrize("fails", [False, True])
async def test_the_coordinator_waits_as_long_as_it_runs(
    lead: Lead, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    await fill(lead)
    await lead.run(txn(2), 1, add(45, 100))
    monkeypatch.setattr("data.txn.sliced.STILL_RUNS_S", 0.002)
    monkeypatch.setattr("data.txn.manager.FAILOVER_WAIT_S", 0.0)
    routes = DirectRoutes({1: lead})
    manager = TransactionManager(DB, 1, "life", routes)
    running: list[Any] = []
    call = routes.call

    def counted(rs: int, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        future = call(rs, message, timeout_s)
        future.add_done_callback(
            lambda f: running.append(f) if isinstance(f.result(), StillRuns) else None
        ) if not fails else None
        return future

    monkeypatch.setattr(routes, "call", counted)
    mine = manager.begin(60 if fails else 30_000)
    large = asyncio.ensure_future(manager.run(mine, 1, (add_all(1),), lead.element.schema_version))
    if fails:
        with pytest.raises(LockTimeoutError):
            await large
    else:
        while len(running) < 5:
            await asyncio.sleep(0.001)  # its period
        await lead.commit(txn(2), 1)
        assert (await large).counts == (N,)
    assert not lead.writer._sliced
    await manager.roll_back(mine)


async def test_locks_of_few_rows_outlive_the_lead_with_their_prepare(lead: Lead) -> None:
    await fill(lead)
    await lead.run(txn(1), 1, sliced('UPDATE "U.T" SET V = 0', "V = ?1", 7))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    lead.writer.lost_lead()
    lead.writer.became_lead(2)
    with pytest.raises(LockTimeoutError):
        await lead.run(txn(2), 1, update(7, 1), commit=True, wait_ms=0)
    await lead.run(txn(2), 1, update(8, 1), commit=True, wait_ms=0)


async def test_what_was_written_before_is_found_and_changed_again(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the transaction did itself is not in the committed state; others commit in between."""
    await fill(lead)
    others: list[asyncio.Future[Ran]] = []

    def other() -> None:
        others.append(lead.run(txn(50), 1, insert((2000, 5)), commit=True))

    seen = at_slice(lead, 3, monkeypatch, other)
    await lead.run(txn(1), 1, insert((1000, 1), (1001, 1)))
    await lead.run(txn(1), 2, update(7, 700))
    await lead.run(txn(1), 3, RunSql(T, 'DELETE FROM "U.T" WHERE ID = ?1', (1001,)))
    await lead.run(txn(1), 4, RunSql(T, 'DELETE FROM "U.T" WHERE ID = ?1', (8,)))
    assert (await lead.run(txn(1), 5, add_all(1))).counts == (N,)
    assert len(seen) == N // SLICE
    assert (await others[0]).counts == (1,)
    ran = await lead.run(txn(1), 6, sliced('UPDATE "U.T" SET V = -V', "V > ?1", 600))
    assert ran.counts == (1,)
    assert (await lead.run(txn(1), 7, sliced('DELETE FROM "U.T"', "V < 10"))).counts == (10,)
    await lead.commit(txn(1), 7)
    expected = {n: n + 1 for n in range(9, N)}
    assert dict(lead.rows()) == expected


async def test_a_table_with_several_unique_keys_that_was_written_before_is_done_in_one_go(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other key of a row may be one that the transaction took from a row of another slice."""
    unique = Index(T + 2, "U_V", ("V",), unique=True, primary=False, constraint=True)
    await fill(lead)
    runner = lead.writer._runner(lead.element.schema_version)
    facts = runner.facts_of(T)
    more = (*facts.unique_keys, UniqueKey(unique.id, (1,)))
    monkeypatch.setitem(runner._facts._by_id, T, replace(facts, unique_keys=more))
    seen = at_slice(lead, 99, monkeypatch, lambda: None)
    await lead.run(txn(1), 1, insert((1000, 1000)))
    step = sliced('UPDATE "U.T" SET V = V + 0')
    assert (await lead.run(txn(1), 2, step)).counts == (N + 1,)
    assert not seen


async def test_ddl_elsewhere_does_not_end_it(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(lead)
    key = Index(2001, "PK_O", ("ID",), unique=True, primary=True, constraint=True)
    column = Column("ID", NUMBER10, nullable=False)
    other = Table(
        2000, "U", "O", (column,), Distribution.HASH, distribution_key=("ID",), indexes=(key,)
    )
    tasks: list[asyncio.Task[None]] = []
    at_slice(lead, 2, monkeypatch, lambda: tasks.append(asyncio.ensure_future(lead.define(other))))
    version = lead.element.schema_version
    assert (await lead.run(txn(1), 1, add_all(1))).counts == (N,)
    assert lead.element.schema_version > version
    await tasks[0]
    await lead.commit(txn(1), 1)
