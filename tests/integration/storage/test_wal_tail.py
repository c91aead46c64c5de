"""A WAL that lost a piece in the middle is found out when the element is opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.storage.element import Element
from data.storage.settings import StorageSettings
from protocol.errors import CorruptElementError
from tests.support.elements import customer, new_element, write

PAGE_BYTES = 4096
FRAME_BYTES = PAGE_BYTES + 24
COMMITS = 12


def crashed(folder: Path) -> Path:
    """The files of an element as they were while it was open, in sync, after some commits."""
    new_element(folder / "element").close(clean=True)  # what the file itself says is: clean
    element = Element.open(folder / "element", StorageSettings())
    for number in range(COMMITS):
        write(element, "TERRY.CUSTOMERS", [customer(number)])
    left = folder / "left"
    left.mkdir()
    for name in ("element.db", "element.db-wal"):
        shutil.copyfile(folder / "element" / name, left / name)
    element.close(clean=True)
    return left


def test_a_crash_is_no_damage(tmp_path: Path) -> None:
    left = crashed(tmp_path)
    wal = left / "element.db-wal"
    whole = wal.stat().st_size
    for shorter in (0, 10, FRAME_BYTES - 10, FRAME_BYTES):  # the last commit, unfinished
        folder = tmp_path / f"shorter{shorter}"
        shutil.copytree(left, folder)
        with (folder / "element.db-wal").open("r+b") as file:
            file.truncate(whole - shorter)
        element = Element.open(folder, StorageSettings())
        assert not element.needs_recovery
        rows = element.read('SELECT COUNT(*) FROM "TERRY.CUSTOMERS"')[0][0]
        assert rows == COMMITS - (shorter > 0)
        element.close(clean=True)


@pytest.mark.parametrize("back", [4, 10])  # frames from the end
def test_a_hole_in_the_middle_is_found(tmp_path: Path, back: int) -> None:
    left = crashed(tmp_path)
    wal = left / "element.db-wal"
    with wal.open("r+b") as file:
        file.seek(wal.stat().st_size - back * FRAME_BYTES + 1000)
        file.write(b"lost")
    with pytest.raises(CorruptElementError, match="newer ones follow"):
        Element.open(left, StorageSettings())


def test_a_damaged_header_is_found(tmp_path: Path) -> None:
    left = crashed(tmp_path)
    with (left / "element.db-wal").open("r+b") as file:
        file.seek(17)
        file.write(b"\x55")
    with pytest.raises(CorruptElementError, match="header"):
        Element.open(left, StorageSettings())


def test_after_a_loss_of_power_any_choice_of_frames_may_be_there(tmp_path: Path) -> None:
    """Not flushed commit by commit: the element does not trust itself anyway."""
    left = crashed(tmp_path)
    wal = left / "element.db-wal"
    with wal.open("r+b") as file:
        file.seek(wal.stat().st_size - 10 * FRAME_BYTES + 1000)
        file.write(b"lost")
    element = Element.open(left, StorageSettings(boot_id="another boot"))
    assert element.needs_recovery
    element.close(clean=False)
