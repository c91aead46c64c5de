"""An element's folder: locks, marks, restarts, damage, snapshots."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, encode_epoch
from data.storage.files import FILE, FORMAT
from data.storage.settings import StorageSettings
from protocol.errors import (
    CorruptElementError,
    DuplicateObjectError,
    ElementInUseError,
    FormatTooNewError,
)
from tests.support.elements import (
    commit_entry,
    contents,
    customer,
    identity_of,
    new_element,
    prepare_entry,
    write,
)

BOOT_1 = StorageSettings(boot_id="boot-1")
BOOT_2 = StorageSettings(boot_id="boot-2")
FORCED_1 = StorageSettings(boot_id="boot-1", durability=1)
FORCED_2 = StorageSettings(boot_id="boot-2", durability=1)


def needs_recovery(path: Path, settings: StorageSettings) -> bool:
    """Opens and closes it as if the process was killed."""
    element = Element.open(path, settings)
    element.close(clean=False)
    return element.needs_recovery


def test_an_element_knows_who_it_is(tmp_path: Path) -> None:
    element = Element.create(tmp_path / "e", identity_of(3), StorageSettings())
    assert element.needs_recovery, "a new element has nothing of its replica set yet"
    element.set_place(replica_set=5, data_space=2)
    element.close(clean=True)
    element = Element.open(tmp_path / "e", StorageSettings())
    assert (element.identity.element, element.identity.replica_set) == (3, 5)
    assert element.read("SELECT tg_element_id(), tg_replica_set_id(), tg_data_space_id()") == [
        (3, 5, 2)
    ]
    element.close(clean=True)
    with pytest.raises(DuplicateObjectError):
        Element.create(tmp_path / "e", identity_of(3), StorageSettings())
    Element.destroy(tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_another_process_cannot_open_the_folder(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    code = (
        "import sys\nfrom pathlib import Path\nfrom data.storage.element import Element\n"
        "from data.storage.settings import StorageSettings\n"
        "Element.open(Path(sys.argv[1]), StorageSettings())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(element.path)], capture_output=True, text=True, timeout=30
    )
    assert "ElementInUseError" in done.stderr
    with pytest.raises(ElementInUseError):
        Element.destroy(element.path)
    element.close(clean=True)


def test_an_element_is_trusted_as_long_as_nothing_can_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "e"
    element = new_element(path, settings=BOOT_1)
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    element.close(clean=False)
    assert not needs_recovery(path, BOOT_1), "the kernel still has what was written"
    assert needs_recovery(path, BOOT_2), "power may have been lost"
    assert needs_recovery(path, BOOT_2), "asking again changes nothing"
    assert needs_recovery(path, BOOT_1)
    element = Element.open(path, BOOT_2)
    element.mark_in_sync()
    assert not element.needs_recovery
    element.close(clean=True)
    assert not needs_recovery(path, BOOT_1), "a clean stop flushed everything"
    assert not needs_recovery(path, BOOT_1)
    assert needs_recovery(path, BOOT_2), "the mark of the clean stop is gone"


def test_forced_commits_need_no_recovery_after_a_power_cut(tmp_path: Path) -> None:
    path = tmp_path / "e"
    element = new_element(path, settings=FORCED_1)
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    element.close(clean=False)
    assert not needs_recovery(path, FORCED_2)
    assert not needs_recovery(path, FORCED_1)
    element = Element.open(path, BOOT_1)
    element.set_force_sync(True)
    element.close(clean=False)
    assert not needs_recovery(path, BOOT_2), "forced until the end of that life"
    assert needs_recovery(path, BOOT_1), "and not in the next one"


def test_forcing_can_be_switched_inside_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "e"
    element = new_element(path, settings=BOOT_1)
    for forced in (True, False, True):
        element.begin()
        element.set_force_sync(forced)
        element.append(
            commit_entry(
                element, element.insert_rows("TERRY.CUSTOMERS", [customer(element.tail.lsn)])
            )
        )
        element.commit()
    element.begin()
    element.set_force_sync(False)
    element.rollback()
    element.set_force_sync(True)
    assert len(contents(element)["TERRY.CUSTOMERS"]) == 3
    element.close(clean=False)
    assert not needs_recovery(path, BOOT_2)


async def test_what_is_flushed_is_there(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    epoch = LogEntry(1, element.tail.lsn + 1, EntryKind.EPOCH, None, encode_epoch(12))
    element.begin()
    element.apply_entry(epoch)
    element.commit()
    await element.flush()
    assert element.epochs() == [(12, element.tail)]
    element.close(clean=True)


def test_a_damaged_file_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    write(element, "TERRY.CUSTOMERS", [customer(n, f"{n}@x") for n in range(5000)])
    element.close(clean=True)
    file = tmp_path / "e" / FILE
    whole = file.read_bytes()
    half = len(whole) // 2
    for damaged in (
        whole[:half] + b"\xff" * 8192 + whole[half + 8192 :],
        b"not a database at all" * 500,
        b"",
        whole[: half // 4096 * 4096],
    ):
        file.write_bytes(damaged)
        with pytest.raises(CorruptElementError):
            Element.open(tmp_path / "e", StorageSettings())
    file.unlink()
    with pytest.raises(CorruptElementError):
        Element.open(tmp_path / "e", StorageSettings())


def test_a_file_of_newer_software_is_refused(tmp_path: Path) -> None:
    new_element(tmp_path / "e").close(clean=True)
    connection = sqlite3.connect(tmp_path / "e" / FILE)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(FormatTooNewError):
        Element.open(tmp_path / "e", StorageSettings())


def test_a_snapshot_becomes_another_element_of_the_replica_set(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(100)])
    element.begin()
    element.append(prepare_entry(element, [], 5))
    element.commit()
    element.begin()
    element.insert_rows("TERRY.CUSTOMERS", [customer(1000)])  # not committed: not in the snapshot
    position = element.snapshot_to(tmp_path / "snapshot")
    element.rollback()
    assert position == element.tail
    copy = Element.install_snapshot(
        tmp_path / "snapshot", tmp_path / "copy", identity_of(2), StorageSettings()
    )
    assert not (tmp_path / "snapshot").exists()
    assert (copy.identity, copy.needs_recovery) == (identity_of(2), True)
    assert (copy.tail, contents(copy)) == (element.tail, contents(element))
    assert (copy.prepared(), copy.catalog.version) == (element.prepared(), element.schema_version)
    entry = write(element, "TERRY.CUSTOMERS", [customer(2000)])
    copy.begin()
    copy.apply_entry(entry)
    copy.commit()
    assert contents(copy) == contents(element)
    element.close(clean=True)
    copy.close(clean=True)


def test_a_snapshot_is_whole_while_writers_go_on(tmp_path: Path) -> None:
    element = new_element(tmp_path / "e")
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(30_000)])
    done = threading.Event()
    found = []

    def copy() -> None:
        found.append(element.snapshot_to(tmp_path / "snapshot"))
        done.set()

    thread = threading.Thread(target=copy)
    thread.start()
    while not done.is_set():  # one transaction: every row gets the same number
        element.begin()
        changes = element.run(
            'UPDATE "TERRY.CUSTOMERS" SET CREDIT = ?1 WHERE ID < 50', (element.tail.lsn + 1,)
        ).changes
        element.append(commit_entry(element, changes))
        element.commit()
    thread.join()
    copy_of = Element.install_snapshot(
        tmp_path / "snapshot", tmp_path / "copy", identity_of(2), StorageSettings()
    )
    (position,) = found
    assert copy_of.tail == position
    assert copy_of.read('SELECT DISTINCT CREDIT FROM "TERRY.CUSTOMERS" WHERE ID < 50') in (
        [(position.lsn,)],
        [(10 * n,) for n in range(50)],  # before the first of them
    )
    element.close(clean=True)
    copy_of.close(clean=True)


def test_an_open_element_takes_a_snapshot_in(tmp_path: Path) -> None:
    lead, copy = new_element(tmp_path / "1"), new_element(tmp_path / "2", 2)
    write(copy, "TERRY.CUSTOMERS", [customer(77)])
    write(lead, "TERRY.CUSTOMERS", [customer(1)])
    lead.snapshot_to(tmp_path / "snapshot")
    copy.load_snapshot(tmp_path / "snapshot")
    assert contents(copy)["TERRY.CUSTOMERS"] == [customer(1)]
    assert (copy.identity, copy.tail, copy.needs_recovery) == (identity_of(2), lead.tail, True)
    entry = write(lead, "TERRY.CUSTOMERS", [customer(2)])
    copy.begin()
    copy.apply_entry(entry)
    copy.commit()
    copy.mark_in_sync()
    copy.close(clean=False)
    copy = Element.open(copy.path, copy.settings)
    assert not copy.needs_recovery
    assert contents(copy) == contents(lead)
    lead.close(clean=True)
    copy.close(clean=True)


def test_a_snapshot_that_is_not_fit_changes_nothing(tmp_path: Path) -> None:
    other = Element.create(tmp_path / "1", identity_of(1, "db-2"), StorageSettings())
    other.snapshot_to(tmp_path / "snapshot")
    other.close(clean=True)
    (tmp_path / "torn").write_bytes((tmp_path / "snapshot").read_bytes()[:20_000])
    copy = new_element(tmp_path / "2", 2)
    write(copy, "TERRY.CUSTOMERS", [customer(77)])
    with pytest.raises(CorruptElementError, match="db-2"):
        copy.load_snapshot(tmp_path / "snapshot")
    with pytest.raises(CorruptElementError):
        copy.load_snapshot(tmp_path / "torn")
    assert contents(copy)["TERRY.CUSTOMERS"] == [customer(77)]
    copy.close(clean=False)
    copy = Element.open(copy.path, copy.settings)
    assert not copy.needs_recovery
    copy.close(clean=True)


def test_a_file_that_is_being_replaced_is_not_trusted(tmp_path: Path) -> None:
    """As if the process was killed just before the rename."""
    lead, copy = new_element(tmp_path / "1"), new_element(tmp_path / "2", 2)
    lead.snapshot_to(tmp_path / "snapshot")
    lead.close(clean=True)
    incoming = copy.prepare_snapshot(tmp_path / "snapshot")
    incoming.unlink()
    with pytest.raises(FileNotFoundError):
        copy.load_snapshot(incoming)
    copy = Element.open(copy.path, copy.settings)
    assert copy.needs_recovery
    copy.close(clean=True)


def test_the_sqlite_wal_is_started_over_under_a_steady_load(tmp_path: Path) -> None:
    """A background checkpoint alone never gets there: something is always committed meanwhile."""
    settings = StorageSettings(wal_bytes_checkpoint=1 << 18, wal_bytes_max=1 << 20)
    element = new_element(tmp_path / "e", settings=settings)
    write(element, "TERRY.CUSTOMERS", [customer(n) for n in range(5000)])
    started = b""
    times = number = 0
    with (tmp_path / "e" / (FILE + "-wal")).open("rb", buffering=0) as wal:
        while times < 4:  # the test's timeout ends it if that never happens
            number += 1
            element.begin()
            changes = element.run(
                'UPDATE "TERRY.CUSTOMERS" SET CREDIT = CREDIT + 1 WHERE ID = ?1',
                (number * 37 % 5000,),
            ).changes
            element.append(commit_entry(element, changes))
            element.commit()
            wal.seek(16)
            header = wal.read(8)  # salts: new ones each time SQLite starts the file over
            times += header != started
            started = header
    element.close(clean=True)
