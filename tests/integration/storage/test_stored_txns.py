"""What an element knows of transactions: from its log, and from `_txn` for what was cut."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry
from data.storage.files import FILE, FORMAT
from data.storage.log import TxnState
from data.storage.settings import StorageSettings
from protocol.ids import TxnId
from tests.support.elements import (
    apply,
    customer,
    decision_entry,
    forget_entry,
    new_element,
    prepare_entry,
    reopen,
    txn,
    undo,
    write,
)

ROWS = "SELECT prepare_lsn, decided_lsn, committed, forgotten_lsn FROM _txn"


def known(element: Element) -> tuple[object, ...]:
    log = element._log
    return (dict(log.txns), dict(log._prepare_bytes), dict(log.open_parts), element.decisions())


def test_a_file_of_format_1_is_taken_over(tmp_path: Path) -> None:
    """It had every transaction of the log in `_txn`, and what entries not yet cut say of them."""
    element = new_element(tmp_path / "e")
    prepare = prepare_entry(element, [], 5)
    apply(element, prepare)
    other = prepare_entry(element, [], 6)
    apply(element, other)
    abort = decision_entry(element, EntryKind.ABORT, 5)
    apply(element, abort)
    forget = forget_entry(element, 5)
    apply(element, forget)
    before = known(element)
    element.close(clean=True)
    connection = sqlite3.connect(tmp_path / "e" / FILE)
    assert connection.execute(ROWS).fetchall() == []
    keys = connection.execute("SELECT txn FROM _log WHERE kind = 2 ORDER BY lsn").fetchall()
    lsns = ((prepare.lsn, abort.lsn, forget.lsn), (other.lsn, 0, 0))
    for (key,), (prepared, decided, forgotten) in zip(keys, lsns, strict=True):
        row = (key, prepared, decided, b"\x92\x01\x02", forgotten)
        connection.execute("INSERT INTO _txn VALUES (?, ?, ?, 0, ?, ?, 0)", row)
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    element = Element.open(tmp_path / "e", StorageSettings())
    assert known(element) == before
    undo(element, forget, abort, other)
    assert [p.txn for p in element.prepared()] == [txn(5)]
    apply(element, decision_entry(element, EntryKind.ABORT, 5))
    element.cut_log(10**9)
    assert element.read(ROWS) == [(prepare.lsn, other.lsn, 0, 0)], "and no row of transaction 6"
    assert element.read("PRAGMA user_version") == [(FORMAT,)]
    element.close(clean=True)


def test_only_what_somebody_may_ask_for_is_stored(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")  # of replica set 1
    apply(element, decision_entry(element, EntryKind.COMMIT, 1, (1, 2)))  # the anchor is here
    apply(element, decision_entry(element, EntryKind.COMMIT, 2, (1, 2)))
    apply(element, prepare_entry(element, [], 3, participants=(2, 1)))
    apply(element, decision_entry(element, EntryKind.COMMIT, 3, (2, 1)))  # the anchor is elsewhere
    apply(element, decision_entry(element, EntryKind.ABORT, 4))
    cut = element.tail.lsn + 1
    apply(element, forget_entry(element, 2))
    assert element.read(ROWS) == []
    element.cut_log(cut, undo_after=element.tail.lsn)
    assert {d.txn for d in element.decisions()} == {txn(1), txn(4)} == set(element._log.txns)
    element = reopen(element)
    assert set(element._log.txns) == {txn(1), txn(4)}
    assert len(element.read(ROWS)) == 2
    apply(element, forget_entry(element, 1, 4))
    element.cut_log(10**9)
    assert (element.read(ROWS), known(element)) == ([], ({}, {}, {}, []))
    assert element.outcome(txn(1)) == "committed"
    element.close(clean=True)


def test_a_cut_that_is_rolled_back_stores_nothing(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    apply(element, decision_entry(element, EntryKind.ABORT, 1))
    before = known(element)
    element.begin()
    element.cut_log(10**9)
    element.rollback()
    assert (known(element), element.read(ROWS)) == (before, [])
    element.cut_log(10**9)
    assert len(element.read(ROWS)) == 1
    element = reopen(element)
    assert known(element) == before
    element.close(clean=True)


@pytest.mark.parametrize("seed", range(8))
def test_an_element_opened_again_knows_what_it_knew(tmp_path: Path, seed: int) -> None:
    """Random entries, undone ones, rollbacks and cuts; and what it has to look after is what a
    copy looks after that never cuts its log.
    """
    draw = random.Random(seed)
    element, twin = new_element(tmp_path / "e"), new_element(tmp_path / "twin")

    def both(entry: LogEntry) -> None:
        apply(element, entry)
        apply(twin, entry)

    newest, final, checked = 0, element.tail.lsn, 0
    for _ in range(200):
        states: dict[TxnId, TxnState] = element._log.txns
        prepared = [t.counter for t, s in states.items() if not s.decided_lsn]
        decided = [t.counter for t, s in states.items() if s.decided_lsn and not s.forgotten_lsn]
        sets = draw.choice(((1, 2), (2, 1)))
        match draw.randrange(9):
            case 0 | 1:
                newest += 1
                both(prepare_entry(element, [], newest, participants=sets))
            case 2 | 3 if prepared:
                kind = draw.choice((EntryKind.COMMIT, EntryKind.COMMIT, EntryKind.ABORT))
                number = draw.choice(prepared)
                both(decision_entry(element, kind, number, states[txn(number)].participants))
            case 4:
                newest += 1
                kind = draw.choice((EntryKind.COMMIT, EntryKind.ABORT))
                sets = (1, 2) if kind == EntryKind.COMMIT else ()
                both(decision_entry(element, kind, newest, sets))
            case 5 if decided:
                both(forget_entry(element, *draw.sample(decided, (len(decided) + 1) // 2)))
            case 6:
                for _ in range(min(draw.randint(1, 6), element.tail.lsn - final)):
                    newest_entry = element.entry_at(element.tail.lsn)
                    assert newest_entry is not None
                    undo(element, newest_entry)
                    undo(twin, newest_entry)
            case 7:
                row = customer(10_000 + element.tail.lsn)
                for one in (element, twin):
                    write(one, "TERRY.CUSTOMERS", [row], number=1_000_000 + newest)
                newest += 1
            case 8:
                final = max(final, draw.randint(element.log_start.lsn, element.tail.lsn))
                element.begin()
                element.cut_log(final + 1, draw.randint(1, 9), draw.choice((None, final)))
                if draw.random() < 0.2:
                    element.rollback()
                else:
                    element.commit()
        assert element.decisions() == twin.decisions()
        assert element.prepared() == twin.prepared()
        if draw.random() < 0.3:
            before, checked = known(element), checked + 1
            element = reopen(element)
            assert known(element) == before
    assert checked > 20
    assert element.log_start.lsn > 3
    element.close(clean=True)
    twin.close(clean=True)
