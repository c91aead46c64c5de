"""Killed processes and files copied in the middle of the work: log and data always agree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.storage.element import Element
from data.storage.entry import LogEntry
from data.storage.settings import StorageSettings
from tests.support.elements import commit_entry, contents, customer, identity_of, new_element

SETTINGS = StorageSettings(wal_bytes_checkpoint=1 << 18)
WRITER = """
import sys
from pathlib import Path
from data.storage.element import Element
from data.storage.settings import StorageSettings
from tests.support.elements import commit_entry, customer, prepare_entry

element = Element.open(Path(sys.argv[1]), StorageSettings(wal_bytes_checkpoint=1 << 18))
number = 0
while True:
    element.begin()
    for _ in range(3):
        number += 1
        changes = element.insert_rows("TERRY.CUSTOMERS", [customer(number)])
        changes += element.run(
            'UPDATE "TERRY.CUSTOMERS" SET CREDIT = CREDIT + 1 WHERE ID < ?1', (number % 7,)
        ).changes
        element.append(commit_entry(element, changes))
    number += 1
    element.append(prepare_entry(element, changes, 10**6 + number))
    element.commit()
    print(element.tail.lsn, flush=True)
"""


def check_agreement(element: Element, path: Path) -> None:
    """The log, run again on an empty element, gives exactly the data."""
    again = new_element(path, 2)
    again.begin()
    entries: list[LogEntry] = element.entries(again.tail.lsn, 1 << 30)
    for entry in entries:
        again.apply_entry(entry)
    again.commit()
    assert contents(again) == contents(element)
    assert again.prepared() == element.prepared()
    again.close(clean=True)


@pytest.mark.parametrize("acknowledged", [1, 40, 333])
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, acknowledged: int) -> None:
    new_element(tmp_path / "e", settings=SETTINGS).close(clean=True)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "e")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lsn = 0
        for _ in range(acknowledged):
            lsn = int(process.stdout.readline())
        process.kill()
    element = Element.open(tmp_path / "e", SETTINGS)
    assert element.tail.lsn >= lsn
    assert len(element.prepared()) == (element.tail.lsn - 1) // 4
    assert not element.needs_recovery
    check_agreement(element, tmp_path / "again")
    element.close(clean=True)


def test_files_copied_at_any_moment_hold_whole_commits(tmp_path: Path) -> None:
    """As after a power cut: the file and its WAL as they stand between two commits."""
    element = new_element(tmp_path / "e", settings=SETTINGS)
    tails = []
    for moment in range(6):
        for _ in range(20):
            element.begin()
            number = element.tail.lsn
            changes = element.insert_rows("TERRY.CUSTOMERS", [customer(number)])
            element.append(commit_entry(element, changes))
            element.commit()
        tails.append(element.tail)
        element.begin()  # not committed
        element.insert_rows("TERRY.CUSTOMERS", [customer(10**6 + n) for n in range(3000)])
        shutil.copytree(tmp_path / "e", tmp_path / f"copy{moment}")
        element.rollback()
    element.close(clean=True)
    for moment, tail in enumerate(tails):
        found = Element.open(tmp_path / f"copy{moment}", SETTINGS)
        assert found.tail == tail
        check_agreement(found, tmp_path / f"again{moment}")
        found.close(clean=True)


@pytest.mark.parametrize("cut_at", [0.2, 0.5, 0.9, 0.99])
def test_a_torn_sqlite_wal_ends_at_a_whole_commit(tmp_path: Path, cut_at: float) -> None:
    element = new_element(tmp_path / "e", settings=StorageSettings())
    for number in range(50):
        element.begin()
        element.append(
            commit_entry(element, element.insert_rows("TERRY.CUSTOMERS", [customer(number)]))
        )
        element.commit()
    shutil.copytree(tmp_path / "e", tmp_path / "torn")
    end = element.tail
    element.close(clean=True)
    wal = tmp_path / "torn" / "element.db-wal"
    content = wal.read_bytes()
    wal.write_bytes(content[: int(len(content) * cut_at)] + b"\0" * 100)
    (tmp_path / "torn" / "element.db-shm").unlink()
    found = Element.open(tmp_path / "torn", StorageSettings())
    assert found.tail < end
    assert found.identity == identity_of(1)
    if found.tail.lsn:
        check_agreement(found, tmp_path / "again")
    found.close(clean=True)
