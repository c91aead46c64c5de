"""Large COMMITs that take effect bit by bit: what others see, and what is left when it is cut."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from data.replication.later import LaterApplier
from data.storage.before import unhinted
from data.storage.element import Element
from data.storage.entry import EntryKind
from data.storage.settings import ElementIdentity, StorageSettings
from protocol.errors import OutcomeUnknownError, UniqueViolationError
from protocol.messages.sql import RunSql
from protocol.messages.txn import AskOutcome, Decide, PeekOutcomes, Prepare, RollBack
from tests.support.elements import contents
from tests.support.lead import DB, Lead, T, add, insert, txn, update

SIZE = 4000
BEFORE = [(n, n) for n in range(SIZE)]
# keys move by one: every key is that of another row for a while
AFTER = sorted([(n + 1, n + 10_000) for n in range(SIZE - 1, SIZE // 2, -1)] + [(-7, 7)])
OTHER = 9999  # a row that the large transaction has nothing to do with


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.txn.later.LATER_PARTS", 1)
    monkeypatch.setattr("data.txn.later.UNITS_AT_ONCE", 1)
    monkeypatch.setattr("data.storage.changes.PIECE", 100)


async def change_all(lead: Lead) -> int:
    """Rows to begin with, and an open transaction that makes AFTER of them."""
    for at in range(0, SIZE, 1000):  # none of them is large
        await lead.run(txn(at), 1, insert(*BEFORE[at : at + 1000]), commit=True)
    await lead.run(txn(1), 1, insert((OTHER, 0)), commit=True)
    half = SIZE // 2
    steps = [RunSql(T, 'DELETE FROM "U.T" WHERE ID <= ?1', (half,))]
    # largest key first, one statement each: no two rows have the same key
    moves = [(n, n + 1, n + 10_000) for n in range(SIZE - 1, half, -1)]
    await lead.run(txn(2), 1, *steps)
    number = 1
    for at in range(0, len(moves), 500):
        number += 1
        text = 'UPDATE "U.T" SET ID = ?2, V = ?3 WHERE ID = ?1'
        await lead.run(txn(2), number, *[RunSql(T, text, move) for move in moves[at : at + 500]])
    number += 1
    await lead.run(txn(2), number, insert((-7, 7)))
    workspace = lead.writer._workspaces[txn(2)]
    while workspace.shrinking or lead.writer._batch:
        await asyncio.sleep(0)
    assert lead.rows() == [*BEFORE, (OTHER, 0)]
    return number


def test_a_hint_does_not_name_an_index_of_a_view() -> None:
    text = 'SELECT V FROM "U.T" AS t0 INDEXED BY "IX.12" WHERE t0.V = ?1'
    assert unhinted(text) == 'SELECT V FROM "U.T" AS t0 WHERE t0.V = ?1'
    assert unhinted('SELECT V FROM "U.T" NOT INDEXED') == 'SELECT V FROM "U.T" NOT INDEXED'


def no_traces(element: Element) -> bool:
    """Nothing of what was before is left."""
    return not element.read("SELECT 1 FROM sqlite_master WHERE substr(name, 1, 4) = '_was'")


async def half_done(lead: Lead) -> None:
    """Some of it is in effect, and some is not."""
    for _ in range(1000):
        later = lead.element.later
        if later is not None and 1 < later.at < later.total:
            return
        await asyncio.sleep(0)
    raise AssertionError([(b[-1].kind, len(b)) for b in lead.copies.batches])


async def test_others_commit_in_between_and_readers_see_all_or_nothing(lead: Lead) -> None:
    commit = lead.commit(txn(2), await change_all(lead))
    await half_done(lead)
    held, scan = await lead.element.hold(), await lead.element.snapshot()
    seen: list[list[tuple[int, int]]] = []
    while not commit.done():
        if len(seen) < 3:
            number = 100 + len(seen)
            ran = await lead.run(txn(number), 1, add(OTHER, 1), commit=True)
            assert ran.counts == (1,)
            assert not commit.done(), "it was committed before the large one ended"
        seen.append(lead.rows())
        assert seen[-1][:-1] == BEFORE
        await asyncio.sleep(0)
        if lead.element.later is None:
            await commit
    assert len(seen) > 10
    assert seen[2][-1] == (OTHER, 3)
    assert lead.rows() == [*AFTER, (OTHER, 3)]
    # what was opened before still shows what was there then
    text = 'SELECT ID, V FROM "U.T" ORDER BY ID'
    assert held.read(text)[:-1] == BEFORE
    assert scan.read(text)[:-1] == BEFORE
    await held.close()
    await scan.close()
    kinds = [entry.kind for batch in lead.copies.batches for entry in batch]
    assert kinds.index(EntryKind.APPLIED) - kinds.index(EntryKind.PART) > 3
    assert lead.element.later is None
    names = lead.element.read(
        "SELECT name FROM sqlite_master WHERE name LIKE '\\_was%' ESCAPE '\\'"
    )
    assert names == []


async def test_a_transaction_of_that_time_lays_its_changes_over_what_was_before(lead: Lead) -> None:
    commit = lead.commit(txn(2), await change_all(lead))
    await half_done(lead)
    held = await lead.element.hold()
    await lead.run(txn(5), 1, update(OTHER, 5))
    await held.lay(lead.writer.changes_of(txn(5), 1))
    rows = held.read('SELECT ID, V FROM "U.T" ORDER BY ID')
    assert rows == [*BEFORE, (OTHER, 5)]
    await commit
    assert held.read('SELECT ID, V FROM "U.T" ORDER BY ID') == rows
    await held.close()
    await lead.commit(txn(5), 1)
    assert lead.rows() == [*AFTER, (OTHER, 5)]


async def test_a_statement_that_may_meet_a_part_of_it_waits_for_the_end(lead: Lead) -> None:
    commit = lead.commit(txn(2), await change_all(lead))
    await half_done(lead)
    assert lead.element.changing
    gone = lead.run(txn(10), 1, update(6, 1), commit=True, wait_ms=60_000)  # deleted
    moved = lead.run(txn(11), 1, update(SIZE - 1, 1), commit=True, wait_ms=60_000)
    exists = lead.run(txn(12), 1, insert((SIZE, 1)), commit=True, wait_ms=60_000)
    again = lead.run(txn(13), 1, insert((5, 55)), commit=True, wait_ms=60_000)
    text = f'UPDATE "U.T" SET V = (SELECT SUM(1) FROM "U.T") WHERE ID = {OTHER}'
    counted = RunSql(T, text, ())
    total = lead.run(txn(14), 1, counted, commit=True, wait_ms=60_000)
    every = lead.run(
        txn(15), 1, RunSql(T, 'UPDATE "U.T" SET V = 0 WHERE V = 7', ()), wait_ms=60_000
    )
    waiting = [gone, moved, exists, again, total, every]
    while lead.element.later is not None:
        assert not any(future.done() for future in waiting)
        await asyncio.sleep(0)
    await commit
    assert (await gone).counts == (0,)
    assert (await moved).counts == (1,)
    with pytest.raises(UniqueViolationError):
        await exists
    assert (await again).counts == (1,)
    assert (await every).counts == (1,)
    await lead.commit(txn(15), 1)
    await total
    rows = dict(lead.rows())
    assert rows[5] == 55
    assert rows[-7] == 0
    assert rows[OTHER] in (len(AFTER) + 1, len(AFTER) + 2)


@pytest.mark.parametrize("prepared", [True, False])
async def test_nothing_takes_it_back(lead: Lead, prepared: bool) -> None:
    statements = await change_all(lead)
    decide = Decide(DB, 1, txn(2), True, (1, 2))
    if prepared:
        await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(2), statements, (1, 2)))
        commit = lead.call(lead.writer.decide, decide)
    else:
        commit = lead.commit(txn(2), statements)
    await half_done(lead)
    lead.writer.roll_back(RollBack(DB, 1, txn(2)))
    outcome = lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(2)))
    decided = lead.call(lead.writer.decide, decide) if prepared else outcome
    peeked = await lead.call(lead.writer.peek_outcomes, PeekOutcomes(DB, 1, (txn(2),)))
    assert peeked.txns == (), "nobody sees it yet"
    assert lead.writer.prepared() == []
    view = lead.writer.view(1000)
    assert [t for t, *_ in view.undecided] == ([txn(2)] if prepared else [])
    assert lead.writer.drop_orphans(lambda txn: False)
    assert not outcome.done()
    await asyncio.gather(commit, outcome, decided)
    assert outcome.result().state == "committed"
    assert lead.rows() == [*AFTER, (OTHER, 0)]
    assert txn(2) not in lead.writer._workspaces
    assert lead.writer.view(1000).commits[:1] == (((txn(2), (1, 2)),) if prepared else ())


async def test_the_next_lead_ends_it_before_it_serves(lead: Lead) -> None:
    commit = lead.commit(txn(2), await change_all(lead))
    await half_done(lead)
    lead.writer.lost_lead()
    with pytest.raises(OutcomeUnknownError):
        await commit
    lead.writer.became_lead(2)
    assert not lead.writer.leading
    while not lead.writer.leading:
        await asyncio.sleep(0)
    assert lead.rows() == [*AFTER, (OTHER, 0)]
    outcome = await lead.call(lead.writer.ask_outcome, AskOutcome(DB, 1, txn(2)))
    assert outcome.state == "committed"
    assert lead.element.later is None, "its APPLIED entry is the first of the term"
    await lead.run(txn(3), 1, update(SIZE, 3), commit=True)


@pytest.mark.parametrize("serves", [True, False])
async def test_a_crash_leaves_the_rest_to_be_done(lead: Lead, tmp_path: Path, serves: bool) -> None:
    lead.commit(txn(2), await change_all(lead)).add_done_callback(lambda f: f.exception())
    await half_done(lead)
    shutil.copytree(lead.element.path, tmp_path / "crashed")
    (tmp_path / "crashed" / "lock").unlink(missing_ok=True)
    element = Element.open(tmp_path / "crashed", StorageSettings())
    try:
        assert element.later is not None
        assert 1 < element.later.at < element.later.total
        if serves:
            after = Lead(element)
            while not after.writer.leading:
                await asyncio.sleep(0)
            assert element.later is None
        else:
            applier = LaterApplier(element, lambda: True, lambda error: pytest.fail(str(error)))
            applier.kick()
            while element.later.at < element.later.total:
                await asyncio.sleep(0)
        assert no_traces(element)
        assert element.read('SELECT ID, V FROM "U.T" ORDER BY ID') == [*AFTER, (OTHER, 0)]
    finally:
        element.close(clean=False)


async def test_a_copy_does_it_at_its_own_pace_and_takes_it_back(lead: Lead, tmp_path: Path) -> None:
    commit = lead.commit(txn(2), await change_all(lead))
    while not commit.done():
        await asyncio.sleep(0)
    entries = lead.element.entries(0, 1 << 30)
    copy = Element.create(
        tmp_path / "copy",
        ElementIdentity(database=DB, database_id="1", element=2, instance="host4.instance1"),
        StorageSettings(),
    )
    try:
        at = next(i for i, e in enumerate(entries) if e.kind == EntryKind.APPLIED)
        for entry in entries[:at]:
            copy.begin()
            copy.apply_entry(entry)
            copy.commit()
        assert copy.later is not None
        total = copy.later.total
        for units in range(total + 1):
            copy.begin()
            for _ in copy.later_slices():
                if copy.later.at >= units:
                    break
            copy.commit()
            copy.begin()
            copy.undo_entry(entries[at - 1])  # the COMMIT
            copy.commit()
            assert copy.read('SELECT ID, V FROM "U.T" ORDER BY ID')[:-1] == BEFORE
            assert copy.later is None
            copy.begin()
            copy.apply_entry(entries[at - 1])
            copy.commit()
        copy.begin()
        for entry in entries[at:]:
            copy.apply_entry(entry)
        copy.commit()
        assert contents(copy) == contents(lead.element)
        copy.begin()
        for entry in reversed(entries[at:]):
            copy.undo_entry(entry)
        assert copy.later is not None
        assert copy.later.at == copy.later.total
        copy.undo_entry(entries[at - 1])
        copy.commit()
        assert copy.read('SELECT ID, V FROM "U.T" ORDER BY ID')[:-1] == BEFORE
    finally:
        copy.close(clean=False)


async def test_two_large_commits_take_effect_one_after_the_other(lead: Lead) -> None:
    first = await change_all(lead)
    more = [(n, n) for n in range(20_000, 26_000)]
    for number, at in enumerate(range(0, len(more), 1500), 1):
        await lead.run(txn(3), number, insert(*more[at : at + 1500]))
    commits = [lead.commit(txn(2), first), lead.commit(txn(3), 4)]
    await asyncio.gather(*commits)
    assert lead.rows() == sorted([*AFTER, (OTHER, 0), *more])
    kinds = [entry.kind for batch in lead.copies.batches for entry in batch]
    assert kinds.count(EntryKind.APPLIED) == 2
    while lead.element.cut_log(10**9):
        pass
    assert lead.element.log_bytes == 0
