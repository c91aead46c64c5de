"""Images of one element: exactly at the epoch, whatever its log has behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from data.backup import image, rows
from data.catalog.catalog import CreateTable
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, encode_epoch
from data.storage.images import ElementBuilder, ImageRows
from data.storage.settings import StorageSettings
from protocol.errors import CollectionError, CorruptElementError, LogGapError, OutOfPermSizeError
from protocol.ids import LogPosition
from protocol.messages.admin import ElementSpec
from tests.support.elements import (
    CUSTOMERS,
    NOTES,
    PARTS,
    apply_ddl,
    contents,
    customer,
    decision_entry,
    new_element,
    prepare_entry,
    txn,
    write,
)

EPOCH = 5
SETTINGS = StorageSettings(check_on_open=False)


def log(element: Element, entry: LogEntry) -> None:
    element.begin()
    element.apply_entry(entry)
    element.commit()


def epoch(element: Element, number: int) -> None:
    lsn = element.tail.lsn + 1
    log(element, LogEntry(1, lsn, EntryKind.EPOCH, None, encode_epoch(number)))


def opened(folder: Path) -> Element:
    return Element.open(folder, SETTINGS)


def spec(path: Path, element: int = 9) -> ElementSpec:
    return ElementSpec("restored", "db-2", element, 1, 1, str(path), "", ())


def test_rows_schema_and_decisions_behind_the_epoch_are_undone(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e", tables=(CUSTOMERS, NOTES))
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(50)])
    log(element, prepare_entry(element, [RowChange("TERRY.CUSTOMERS", None, customer(5000))], 100))
    epoch(element, EPOCH)
    before = contents(element)
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(60, 1200)])
    write(element, "TERRY.NOTES", [(1, "late")])
    log(element, decision_entry(element, EntryKind.COMMIT, 100))
    apply_ddl(element, CreateTable(PARTS), tables=(PARTS,))
    epoch(element, EPOCH + 1)

    folder = image.folder_of(element, "backup-1.image1.1")
    facts = image.take(element, folder, EPOCH)
    assert [t for t, _ in facts.prepared] == [txn(100)]
    assert facts.prepared[0][1] == (1, 2)
    copy = opened(folder)
    assert contents(copy) == before
    assert [t.name for t in copy.catalog.tables() if not t.system] == ["CUSTOMERS", "NOTES"]
    assert copy.newest_epoch()[0] == EPOCH
    copy.close(clean=True)
    assert image.committed(folder, [txn(100), txn(101)]) == ()
    assert len(contents(element)["TERRY.CUSTOMERS"]) == 50 + 1140 + 1  # it went on
    element.close(clean=True)


def test_a_prepared_transaction_takes_effect_when_it_is_committed_elsewhere(
    tmp_path: Path,
) -> None:
    element = new_element(tmp_path / "e")
    for number in (100, 101):
        log(
            element,
            prepare_entry(element, [RowChange("TERRY.CUSTOMERS", None, customer(number))], number),
        )
    epoch(element, EPOCH)
    folder = image.folder_of(element, "x")
    image.take(element, folder, EPOCH)
    image.resolve(folder, [txn(100)])
    assert image.committed(folder, [txn(100), txn(101)]) == (txn(100),)
    taken = ImageRows(folder / "element.db")
    assert list(taken.batches(CUSTOMERS, 10, 1000)) == [[customer(100)]]
    taken.close()
    element.close(clean=True)


def test_an_epoch_that_the_log_does_not_have(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    epoch(element, EPOCH)
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    with pytest.raises(LogGapError):
        image.take(element, image.folder_of(element, "a"), EPOCH + 1)
    element.cut_log(element.tail.lsn)
    with pytest.raises(LogGapError):
        image.take(element, image.folder_of(element, "b"), EPOCH)
    element.close(clean=True)


def test_an_element_of_another_database_is_made_from_an_image(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(9)])
    epoch(element, EPOCH)
    rows_there = contents(element)
    folder = image.folder_of(element, "x")
    image.take(element, folder, EPOCH)
    data = (folder / "element.db").read_bytes()
    element.close(clean=True)
    path = tmp_path / "new"
    path.mkdir()
    identity = image.identity_of(spec(path), "host9.instance1", 3)

    def install(settings: StorageSettings, database_id: str) -> None:
        (tmp_path / "file").write_bytes(data)
        image.install(tmp_path / "file", identity, path, settings, database_id)

    with pytest.raises(CorruptElementError, match="is of database database1"):
        install(SETTINGS, "db-9")
    with pytest.raises(OutOfPermSizeError, match="PermSize 0"):
        install(StorageSettings(perm_size_mb=0, log_bytes_max=1000), "db-1")
    install(SETTINGS, "db-1")
    made = opened(path)
    assert made.identity == identity
    assert not made.needs_recovery
    assert contents(made) == rows_there
    made.close(clean=True)


def test_an_imported_element_has_its_buckets_and_a_log_of_its_own(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    write(element, "TERRY.CUSTOMERS", [customer(n, f"{n}@x") for n in range(2000)])
    write(element, "TERRY.NOTES", [(1, "in every replica set")])
    epoch(element, EPOCH)
    folder = image.folder_of(element, "x")
    image.take(element, folder, EPOCH)
    element.close(clean=True)
    files = rows.write_all(
        folder / "element.db", tmp_path, "RS1", packed=True, whole=True, written=lambda n: None
    )
    catalog = rows.read_catalog(tmp_path, next(f for f in files if not f.table))
    tables = tuple(f for f in files if f.table)
    assert {f.table: f.rows for f in tables if f.rows} == {
        "TERRY.CUSTOMERS": 2000,
        "TERRY.NOTES": 1,
    }
    path = tmp_path / "new"
    identity = image.identity_of(spec(path), "host9.instance1", 2)
    builder = ElementBuilder(tmp_path / "build", identity, SETTINGS, catalog)
    mine = frozenset(range(500, 1000))
    rows.fill(builder, tmp_path, tables, mine, 256, lambda n: None)
    image.install_built(builder.finish(), identity, path, SETTINGS, EPOCH + 1)
    made = opened(path)
    assert made.log_start == LogPosition(1, 1)
    assert made.committed_tail == LogPosition(1, 2)
    assert not made.needs_recovery
    assert contents(made)["TERRY.CUSTOMERS"] == sorted(
        (customer(n, f"{n}@x") for n in range(500, 1000)), key=repr
    )
    assert contents(made)["TERRY.NOTES"] == [(1, "in every replica set")]
    assert sorted(made.catalog.rows()) == sorted(catalog.rows())
    write(made, "TERRY.PARTS", [("note", "c", 1.5, 3, "7", 600)])
    made.close(clean=True)

    odd = tuple(f for f in tables if f.table == "TERRY.CUSTOMERS")
    other = ElementBuilder(tmp_path / "odd", identity, SETTINGS, catalog)
    with pytest.raises(CollectionError, match="does not fit the catalog"):
        rows.fill(other, tmp_path, (replace(odd[0], columns=("A",)),), mine, 9, lambda n: None)
    other.close()
