"""What an element knows of COMMITs that were cut from its log: the newest one by one."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from data.storage import changes as row_changes
from data.storage import past
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_payload, encode_txn
from data.storage.files import FILE, FORMAT
from data.storage.settings import StorageSettings
from protocol.ids import TxnId
from tests.support.elements import new_element

OLD_TABLE = (
    "CREATE TABLE _past(lsn INTEGER PRIMARY KEY, txn BLOB NOT NULL, changes INTEGER NOT NULL)"
)


def log(element: Element, txn: TxnId | None, rows: int = 1) -> None:
    """An entry by itself: a COMMIT of so many rows, or an EPOCH."""
    element.begin()
    lsn = element.tail.lsn + 1
    if txn is None:
        element.append(LogEntry(1, lsn, EntryKind.EPOCH, None, b"\x01"))
    else:
        changes = row_changes.encode([RowChange("T", None, (n,)) for n in range(rows)])
        payload = encode_payload(TxnPayload(changes))
        element.append(LogEntry(1, lsn, EntryKind.COMMIT, txn, payload))
    element.commit()


def reopen(element: Element) -> Element:
    element.close(clean=False)
    return Element.open(element.path, StorageSettings())


class Model:
    """All COMMITs by LSN, and what is to be known of each."""

    def __init__(self) -> None:
        self.commits: dict[int, tuple[TxnId, int]] = {}

    def check(self, element: Element, *others: TxnId) -> None:
        oldest = element.log_start.lsn - past.PAST_MAX
        highest: dict[tuple[int, str], int] = {}
        for lsn, (txn, rows) in self.commits.items():
            if lsn > oldest:
                assert (element.outcome(txn), element.changes_of(txn)) == ("committed", rows)
            else:
                assert (element.outcome(txn), element.changes_of(txn)) == ("forgotten", -1)
                name = (txn.element, txn.incarnation)
                highest[name] = max(highest.get(name, 0), txn.counter)
        for txn in others:
            old = txn.counter <= highest.get((txn.element, txn.incarnation), -1)
            assert element.outcome(txn) == ("forgotten" if old else None)


@pytest.mark.parametrize("seed", range(6))
def test_the_newest_positions_are_known_one_by_one_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Random logs, cuts of all sizes, cuts that are rolled back, restarts."""
    draw = random.Random(seed)
    monkeypatch.setattr(past, "PAST_MAX", draw.randint(1, 30))
    element, model = new_element(tmp_path / "e"), Model()
    model.commits[1] = (TxnId(1, "incarnation-1", 1), 0)  # the tables are made
    assert element.tail.lsn == 1
    counters = {(e, i): 0 for e in (1, 200) for i in ("life", "life2")}
    skipped: list[TxnId] = []
    for _ in range(60):
        for _ in range(draw.randint(0, 8)):
            name = draw.choice(list(counters))
            counters[name] += draw.choice((1, 1, 2, 100, 40_000))
            txn = TxnId(*name, counters[name])
            match draw.randrange(8):
                case 0:
                    log(element, None)
                case 1:
                    skipped.append(txn)  # never here
                case _:
                    rows = draw.choice((1, 1, 0, 2, 15, 16, 200))
                    log(element, txn, rows)
                    model.commits[element.tail.lsn] = (txn, rows)
        element.begin()
        element.cut_log(draw.randint(0, element.tail.lsn + 1), draw.randint(1, 20))
        if draw.random() < 0.2:
            element.rollback()
        else:
            element.commit()
        if draw.random() < 0.2:
            element = reopen(element)
        model.check(element, *skipped[-5:], TxnId(1, "life3", 0))
    assert element.log_start.lsn > past.PAST_MAX + 30
    model.check(element, *skipped)
    (rows_left,) = element.read("SELECT COUNT(*) FROM _past WHERE lsn <= ?", (_oldest(element),))
    assert rows_left == (0,)
    element.close(clean=True)


def _oldest(element: Element) -> int:
    return element.log_start.lsn - past.PAST_MAX


def test_what_is_cut_at_once_is_one_row(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    element.cut_log(10**9)
    assert element.read("SELECT lsn FROM _past") == [(1,)]
    for number in range(100):
        log(element, TxnId(2, "life", number))
    element.cut_log(10**9)
    assert element.read("SELECT lsn FROM _past ORDER BY lsn") == [(1,), (101,)]
    log(element, None)
    element.cut_log(10**9)
    assert element.read("SELECT COUNT(*) FROM _past") == [(2,)], "an EPOCH alone is no row"
    element.close(clean=True)


def test_bytes_of_another_transaction_are_no_hit(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    looks_alike, asked = TxnId(1, "i", 0x9301A16905), TxnId(1, "i", 5)
    assert encode_txn(asked) in encode_txn(looks_alike)
    log(element, looks_alike, 3)
    element.cut_log(10**9)
    assert element.outcome(asked) is None
    assert (element.outcome(looks_alike), element.changes_of(looks_alike)) == ("committed", 3)
    log(element, asked, 2)
    element.cut_log(10**9)
    assert (element.outcome(asked), element.changes_of(asked)) == ("committed", 2)
    element.close(clean=True)


def test_rows_of_large_entries_and_of_entries_with_parts_are_not_counted(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    large, parts = TxnId(2, "life", 1), TxnId(2, "life", 2)
    log(element, large, 20_000)
    element.begin()
    payload = encode_payload(TxnPayload(parts=(2,)))
    element.append(LogEntry(1, element.tail.lsn + 1, EntryKind.COMMIT, parts, payload))
    element.commit()
    element.cut_log(10**9)
    assert [(element.outcome(t), element.changes_of(t)) for t in (large, parts)] == [
        ("committed", -1),
        ("committed", -1),
    ]
    element.close(clean=True)


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_older_format_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """It has one row for each COMMIT that was cut, and gaps between them."""
    monkeypatch.setattr(past, "PAST_MAX", 4000)
    element, model = new_element(tmp_path / "e"), Model()
    for number in range(1, 60):
        log(element, None if number % 7 == 0 else TxnId(2, "life", number))
    element.cut_log(50)
    cut = element.log_start.lsn
    element.close(clean=True)
    connection = sqlite3.connect(tmp_path / "e" / FILE)
    connection.execute("DROP TABLE _past")
    connection.execute(OLD_TABLE)
    connection.execute("INSERT INTO _highest VALUES (3, 'before', 77)")
    # as if the log had begun 9,000 positions earlier
    moved = 9000
    for statement in (
        "UPDATE _log SET lsn = -lsn",
        f"UPDATE _log SET lsn = {moved} - lsn",
        f"UPDATE _meta SET value = '1 {cut + moved}' WHERE key = 'cut'",
        "UPDATE _catalog_undo SET lsn = -lsn",
    ):
        connection.execute(statement)
    for lsn in range(cut + moved - past.PAST_MAX + 1, cut + moved + 1):
        if lsn % 3 and not 7000 < lsn < 7050:
            model.commits[lsn] = (TxnId(3, "before", lsn), lsn % 5 - 1)
            key = encode_txn(TxnId(3, "before", lsn))
            connection.execute("INSERT INTO _past VALUES (?, ?, ?)", (lsn, key, lsn % 5 - 1))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    element = Element.open(tmp_path / "e", StorageSettings())
    for _ in range(2):
        model.check(element)
        assert element.outcome(TxnId(3, "before", 77)) == "forgotten"
        assert element.outcome(TxnId(3, "before", 7020)) is None
        assert element.read("PRAGMA user_version") == [(FORMAT,)]
        ((rows,),) = element.read("SELECT COUNT(*) FROM _past")
        assert 2 <= rows <= 4
        element = reopen(element)
    while element.cut_log(10**9):
        pass
    assert any(lsn <= _oldest(element) for lsn in model.commits)
    model.check(element, TxnId(3, "before", 7020))
    assert element.outcome(TxnId(3, "before", 77)) == "forgotten"
    element.close(clean=True)


def test_a_file_from_before_there_was_such_a_table_is_taken_over(tmp_path: Path) -> None:
    new_element(tmp_path / "e").close(clean=True)
    connection = sqlite3.connect(tmp_path / "e" / FILE)
    connection.execute("DROP TABLE _past")
    connection.execute("DROP TABLE _highest")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    element = Element.open(tmp_path / "e", StorageSettings())
    element.cut_log(10**9)
    assert element.outcome(TxnId(1, "incarnation-1", 1)) == "committed"
    element.close(clean=True)
