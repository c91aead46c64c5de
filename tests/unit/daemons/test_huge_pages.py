"""A daemon's memory in huge pages: which blocks, and that they hold what they held."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import pytest

from daemons import huge_pages
from daemons.huge_pages import BLOCK_BYTES, HugePages

MIB = 1024 * 1024
MAPS = """\
00400000-00a00000 r--p 00000000 fe:00 260811                             /usr/bin/python3.11
00a00000-00f00000 rw-p 00545000 fe:00 260811                             /usr/bin/python3.11
00f00000-01500000 rw-p 00000000 00:00 0
18c0d000-19271000 rw-p 00000000 00:00 0                                  [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
7f0000300000-7f00006fffff rw-p 00000000 00:00 0
7f0001000000-7f0001200000 r--p 00000000 00:00 0
7f0002000000-7f0002400000 rw-s 00000000 00:01 77                         /dev/zero (deleted)
7f0003000000-7f0003400000 rw-s 00000000 fe:00 4711                       /tmp/a file-shm
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
""".splitlines(keepends=True)
BLOCKS = [0x1000000, 0x1200000, 0x18E00000, 0x19000000, 0x7F0000000000, 0x7F0000400000]


def test_whole_blocks_of_private_anonymous_memory_are_taken() -> None:
    assert list(huge_pages.blocks(MAPS)) == BLOCKS


def test_a_block_is_taken_once_when_it_is_in_use() -> None:
    used = {BLOCKS[0], BLOCKS[2]}
    taken: list[int] = []

    def collapse(address: int) -> bool:
        taken.append(address)
        return address != BLOCKS[2]

    pages = HugePages(collapse, used.__contains__)
    assert pages.look(MAPS) == 1
    assert taken == [BLOCKS[0], BLOCKS[2]]
    used.add(BLOCKS[5])
    assert pages.look(MAPS) == 2
    assert taken[2:] == [BLOCKS[2], BLOCKS[5]], "what could not be taken is tried again, no other"
    assert pages.look(MAPS[:2]) == 0, "what is not mapped any more is forgotten"
    used.discard(BLOCKS[2])
    assert pages.look(MAPS) == 2
    assert taken[4:] == [BLOCKS[0], BLOCKS[5]]


@pytest.mark.parametrize(
    ("enabled", "wanted"),
    [
        ("always [madvise] never", True),
        ("[always] madvise never", True),
        ("always madvise [never]", False),
        ("", False),
    ],
)
def test_the_owner_of_the_machine_decides(enabled: str, wanted: bool) -> None:
    assert huge_pages.allowed(enabled) is wanted


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(huge_pages.VARIABLE, "off")
    assert huge_pages.of_this_process() is None


def test_memory_in_huge_pages_holds_what_it_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    pages = huge_pages.of_this_process()
    if pages is None or not _has_collapse():
        pytest.skip("this machine has no huge pages for those who ask")
    with mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE) as memory:
        block = bytes(range(256)) * (MIB // 256)
        for _ in range(7):  # the last one is not in use
            memory.write(block)
        before = _huge_bytes()
        assert pages.look_here() >= 3
        assert _huge_bytes() - before >= 2 * BLOCK_BYTES
        assert memory[: 7 * MIB] == block * 7
        assert memory[7 * MIB :] == bytes(MIB)
        memory[3 * MIB] = 77
        assert memory[3 * MIB] == 77


def _huge_bytes() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("AnonHugePages:"))


def _has_collapse() -> bool:
    """Linux 6.1 or later; tried with a block of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(-1, 4 * MIB, flags=mmap.MAP_PRIVATE) as memory:
        memory.write(bytes(4 * MIB))
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        address = -(-address // BLOCK_BYTES) * BLOCK_BYTES
        return int(libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(BLOCK_BYTES), 25)) == 0
