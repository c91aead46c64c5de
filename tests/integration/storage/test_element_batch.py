"""The batch of an element: statements, capture, errors, savepoints, room."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind
from data.storage.settings import StorageSettings
from protocol.errors import (
    CancelledError,
    CheckViolationError,
    CorruptElementError,
    DiskFullError,
    LogGapError,
    NotNullError,
    OutOfPermSizeError,
    TransactionStateError,
    UniqueViolationError,
)
from tests.support.elements import (
    commit_entry,
    contents,
    customer,
    decision_entry,
    new_element,
    prepare_entry,
    txn,
    write,
)

UPDATE = 'UPDATE "TERRY.CUSTOMERS" SET NAME = ?2 WHERE ID = ?1'


@pytest.fixture
def element(tmp_path: Path) -> Iterator[Element]:
    element = new_element(tmp_path / "element")
    yield element
    element.close(clean=False)


def names(element: Element) -> list[object]:
    return [r[0] for r in element.read_in_batch('SELECT NAME FROM "TERRY.CUSTOMERS" ORDER BY ID')]


def test_a_statement_gives_the_whole_rows_before_and_after(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1), customer(2)])
    element.begin()
    done = element.run(UPDATE, (1, "new"))
    assert done.rowcount == 1
    assert done.changes == [
        RowChange("TERRY.CUSTOMERS", (1, "name 1", None, 10, 1), (1, "new", None, 10, 1))
    ]
    done = element.run('DELETE FROM "TERRY.CUSTOMERS" RETURNING ID, NAME', (), want_rows=True)
    assert sorted(done.rows) == [(1, "new"), (2, "name 2")]
    assert [change.new for change in done.changes] == [None, None]
    assert element.run(UPDATE, (1, "nobody")).rowcount == 0
    element.rollback()
    assert len(contents(element)["TERRY.CUSTOMERS"]) == 2


def test_readers_see_a_batch_only_after_its_commit(element: Element) -> None:
    element.begin()
    element.insert_rows("TERRY.CUSTOMERS", [customer(1)])
    count = 'SELECT COUNT(*) FROM "TERRY.CUSTOMERS"'
    assert element.read(count) == [(0,)]
    assert element.read_in_batch(count) == [(1,)]
    assert element.row_exists("TERRY.CUSTOMERS", ("ID",), (1,))
    element.commit()
    assert element.read(count) == [(1,)]
    assert not element.row_exists("TERRY.CUSTOMERS", ("NAME", "ID"), ("name 1", 2))


def test_unique_violations_name_the_constraint_and_the_key(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1, "a@x")])
    element.begin()
    element.insert_rows("TERRY.CUSTOMERS", [customer(2, "b@x")])
    with pytest.raises(UniqueViolationError) as caught:
        element.insert_rows("TERRY.CUSTOMERS", [customer(3), customer(4, "a@x"), customer(5)])
    assert "TERRY.CUSTOMERS_EMAIL_UK" in caught.value.message
    assert "(EMAIL)=(a@x)" in caught.value.detail
    with pytest.raises(UniqueViolationError, match=r"TERRY\.CUSTOMERS_PK"):
        element.insert_rows("TERRY.CUSTOMERS", [customer(2)])
    with pytest.raises(UniqueViolationError, match=r"TERRY\.CUSTOMERS_EMAIL_UK"):
        element.run("UPDATE \"TERRY.CUSTOMERS\" SET EMAIL = 'a@x'")
    assert names(element) == ["name 1", "name 2"], "nothing of a failed statement stays"


def test_a_violation_in_a_key_of_several_columns_is_named_too(element: Element) -> None:
    row = ("n", "C1", 1.5, 7, "2.5", 0)
    write(element, "TERRY.PARTS", [row])
    element.begin()
    with pytest.raises(UniqueViolationError, match=r"TERRY\.PARTS_PK") as caught:
        element.insert_rows("TERRY.PARTS", [row])
    assert "(LOT, CODE)=(7, C1)" in caught.value.detail


def test_null_and_check_violations_name_column_and_constraint(element: Element) -> None:
    element.begin()
    with pytest.raises(NotNullError, match=r"column NAME of table TERRY\.CUSTOMERS"):
        element.insert_rows("TERRY.CUSTOMERS", [(1, None, None, 0, 1)])
    with pytest.raises(NotNullError, match="column ID"):
        element.insert_rows("TERRY.CUSTOMERS", [(None, "x", None, 0, 1)])
    with pytest.raises(CheckViolationError, match=r"TERRY\.CREDIT_POSITIVE"):
        element.insert_rows("TERRY.CUSTOMERS", [(1, "x", None, -1, 1)])
    assert names(element) == []


def test_rows_whose_key_exists_can_be_left_out(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1, "a@x")])
    element.begin()
    done = element.insert_new_rows(
        "TERRY.CUSTOMERS", [customer(1), customer(2, "a@x"), customer(3)]
    )
    assert [change.new for change in done] == [customer(3)]


def test_a_savepoint_takes_back_rows_and_entries(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    before = element.tail
    element.begin()
    element.savepoint("statement")
    element.append(commit_entry(element, element.run(UPDATE, (1, "x")).changes))
    element.savepoint("statement")
    element.run(UPDATE, (1, "y"))
    element.rollback_to("statement")
    assert names(element) == ["x"]
    element.release("statement")
    element.rollback_to("statement")
    assert (names(element), element.tail) == (["name 1"], before)
    element.release("statement")
    with pytest.raises(TransactionStateError):
        element.rollback_to("statement")


def test_nothing_can_be_written_outside_a_batch(element: Element) -> None:
    entry = commit_entry(element, [])
    for work in (
        lambda: element.run(UPDATE, (1, "x")),
        lambda: element.insert_rows("TERRY.CUSTOMERS", [customer(1)]),
        lambda: element.append(entry),
        element.commit,
    ):
        with pytest.raises(TransactionStateError):
            work()
    element.begin()
    with pytest.raises(TransactionStateError):
        element.begin()


def test_a_change_that_does_not_find_its_image_is_refused_whole(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1), customer(2)])
    good = RowChange("TERRY.CUSTOMERS", customer(1), None)
    bad = [
        RowChange("TERRY.CUSTOMERS", (2, "other", None, 20, 2), None),
        RowChange("TERRY.CUSTOMERS", (2, "other", None, 20, 2), (2, "x", None, 20, 2)),
        RowChange("TERRY.CUSTOMERS", (2, "other", None, 20, 2), (2, "other", None, 20, 2)),
        RowChange("TERRY.CUSTOMERS", None, customer(2)),
        RowChange("TERRY.NOTHING", None, (1,)),
        RowChange("TERRY.CUSTOMERS", None, (1,)),
    ]
    for change in bad:
        element.begin()
        with pytest.raises(CorruptElementError):
            element.apply_changes([good, change])
        assert len(names(element)) == 2
        element.rollback()


def test_entries_must_follow_the_tail(element: Element) -> None:
    element.begin()
    entry = commit_entry(element, [], term=3)
    element.append(entry)
    with pytest.raises(LogGapError):
        element.append(entry)
    with pytest.raises(LogGapError):
        element.append(commit_entry(element, [], term=2))
    element.rollback()
    assert element.tail.term == 1


def test_an_interrupted_statement_leaves_the_batch_as_it_was(element: Element) -> None:
    """SQLite drops the whole transaction then; the batch is made again."""
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(20000)])
    element.begin()
    element.savepoint("outer")
    entry = commit_entry(element, element.run(UPDATE, (1, "kept")).changes)
    element.append(entry)
    element.savepoint("inner")
    element.run(UPDATE, (2, "kept too"))
    timer = threading.Timer(0.02, element.interrupt_writer)
    timer.start()
    with pytest.raises(CancelledError):
        for _ in range(1000):
            element.run(
                "UPDATE \"TERRY.CUSTOMERS\" SET NAME = NAME || 'x', EMAIL = ID || ?1", ("",)
            )
    timer.join()
    assert element.tail.lsn == entry.lsn
    assert element.entry_at(entry.lsn) == entry
    element.rollback_to("inner")
    assert element.read_in_batch('SELECT NAME FROM "TERRY.CUSTOMERS" WHERE ID IN (1, 2)') == [
        ("kept",),
        ("name 2",),
    ]
    element.release("inner")
    element.commit()
    assert element.read("SELECT COUNT(*) FROM \"TERRY.CUSTOMERS\" WHERE NAME LIKE '%x'") == [(0,)]
    assert element.committed_tail.lsn == entry.lsn


def test_a_full_element_says_so_and_goes_on(tmp_path: Path) -> None:
    settings = StorageSettings(perm_size_mb=1, log_bytes_max=1 << 20)
    element = new_element(tmp_path / "small", settings=settings)
    big = "x" * 3000
    element.begin()
    kept: list[RowChange] = []
    with pytest.raises(OutOfPermSizeError, match="PermSize is 1 MB"):
        for number in range(2000):
            kept += element.insert_rows("TERRY.CUSTOMERS", [(number, big, None, 0, 0)])
    assert len(names(element)) == len(kept) > 100
    with pytest.raises(OutOfPermSizeError):
        element.insert_rows("TERRY.CUSTOMERS", [(10_000 + n, big, None, 0, 0) for n in range(50)])
    assert len(names(element)) == len(kept)
    with pytest.raises(OutOfPermSizeError):
        element.run('UPDATE "TERRY.CUSTOMERS" SET EMAIL = ID || NAME || NAME || NAME')
    assert len(names(element)) == len(kept)
    entry = commit_entry(element, kept)  # as large as the rows: uses the reserve
    element.append(entry)
    element.commit()
    assert element.read('SELECT COUNT(*) FROM "TERRY.CUSTOMERS"') == [(len(kept),)]
    copy = new_element(tmp_path / "copy", 2, settings)
    copy.begin()
    copy.apply_entry(entry)
    copy.commit()
    assert contents(copy) == contents(element)
    element.begin()
    with pytest.raises(OutOfPermSizeError):
        element.insert_rows("TERRY.CUSTOMERS", [(20_000, big * 10, None, 0, 0)])
    element.run('DELETE FROM "TERRY.CUSTOMERS" WHERE ID < 50')
    element.insert_rows("TERRY.CUSTOMERS", [(20_000, big, None, 0, 0)])
    element.rollback()
    element.close(clean=True)
    copy.close(clean=True)


def test_a_full_disk_fails_the_commit_and_nothing_else(element: Element) -> None:
    """No file may grow any further: what a full file system does, without one."""
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    before = contents(element)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal_bytes = (element.path / "element.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal_bytes + 30_000, limits[1]))
    try:
        element.begin()
        element.append(
            commit_entry(
                element,
                element.insert_rows("TERRY.CUSTOMERS", [customer(n) for n in range(2, 2000)]),
            )
        )
        with pytest.raises(DiskFullError):
            element.commit()
        assert not element.in_batch
        assert contents(element) == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    write(element, "TERRY.CUSTOMERS", [customer(2)])
    assert len(contents(element)["TERRY.CUSTOMERS"]) == 2
    assert element.tail == element.committed_tail


def test_prepared_transactions_keep_the_room_they_will_need(tmp_path: Path) -> None:
    settings = StorageSettings(perm_size_mb=8, log_bytes_max=1 << 20)
    element = new_element(tmp_path / "small", settings=settings)
    big = "x" * 3000
    rows = [(n, big, None, 0, 0) for n in range(400)]
    element.begin()
    changes = element.insert_rows("TERRY.CUSTOMERS", rows)
    element.rollback()
    element.begin()
    element.append(prepare_entry(element, changes, 7))
    element.commit()

    def fill(start: int) -> int:
        element.begin()
        done = 0
        with pytest.raises(OutOfPermSizeError):
            for number in range(start, start + 5000):
                done += len(element.insert_rows("TERRY.CUSTOMERS", [(number, big, None, 0, 0)]))
        element.commit()
        return done

    held_back = fill(10_000)
    element.begin()
    element.apply_entry(decision_entry(element, EntryKind.COMMIT, 7))
    element.commit()
    assert element.read('SELECT COUNT(*) FROM "TERRY.CUSTOMERS" WHERE ID < 400') == [(400,)]
    assert 500 < held_back < 2000
    file_bytes = (element.path / "element.db").stat().st_size
    assert file_bytes <= 9 << 20, "the COMMIT used the room that had been kept for it"
    element.begin()
    with pytest.raises(OutOfPermSizeError):
        changes = [RowChange("TERRY.CUSTOMERS", None, (n, big, None, 0, 0)) for n in range(900)]
        element.append(prepare_entry(element, changes, 8))
    assert element.outcome(prepare_entry(element, [], 8).txn or txn(0)) is None
    element.append(prepare_entry(element, [], 8))
    element.commit()
    element.close(clean=True)
