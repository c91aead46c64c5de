"""Files of a collection: what was written comes back, and no damage goes unseen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from data.backup.files import FileReader, FileWriter, Pace
from protocol.errors import CollectionError
from protocol.messages.backup import FileFacts


def write(folder: Path, data: bytes, *, packed: bool) -> FileFacts:
    writer = FileWriter(folder, "RS1/file", packed=packed)
    for at in range(0, len(data), 1000):
        writer.write(data[at : at + 1000])
    return writer.close()


def read(folder: Path, facts: FileFacts) -> bytes:
    reader = FileReader(folder, facts)
    try:
        return b"".join(iter(reader.read, b""))
    finally:
        reader.close()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("data", [b"", b"x", b"abc" * 5000, bytes(9_000_000)])
def test_what_was_written_comes_back(tmp_path: Path, data: bytes, packed: bool) -> None:
    facts = write(tmp_path, data, packed=packed)
    assert facts.raw_size == len(data)
    assert facts.size == (tmp_path / "RS1/file").stat().st_size
    assert read(tmp_path, facts) == data


@settings(max_examples=60, deadline=None)
@given(packed=st.booleans(), bit=st.integers(min_value=0), cut=st.integers(0, 5))
def test_every_changed_bit_and_every_cut_is_seen(
    tmp_path_factory: pytest.TempPathFactory, packed: bool, bit: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    facts = write(folder, bytes(range(256)) * 40, packed=packed)
    file = folder / "RS1/file"
    data = bytearray(file.read_bytes())
    if cut:
        del data[-cut:]
    else:
        at = bit % (8 * len(data))
        data[at // 8] ^= 1 << at % 8
    file.write_bytes(data)
    with pytest.raises(CollectionError, match="is damaged") as caught:
        read(folder, facts)
    assert str(file) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    facts = write(tmp_path, b"data", packed=False)
    with pytest.raises(CollectionError, match="other is missing"):
        read(tmp_path, replace(facts, path="other"))


def test_an_abandoned_file_leaves_nothing(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path, "RS1/file", packed=True)
    writer.write(b"data")
    writer.abandon()
    assert not list((tmp_path / "RS1").iterdir())


def test_the_pace_is_the_average_since_the_beginning() -> None:
    now_s = 10.0
    pace = Pace(1000, now=lambda: now_s)
    assert pace.pause_s(500) == 0.5
    now_s = 10.5
    assert pace.pause_s(0) == 0
    now_s = 11.5
    assert pace.pause_s(2000) == 1.0
    assert Pace(0, now=lambda: now_s).pause_s(10**12) == 0
