"""A daemon's memory in huge pages: the processor looks up one address for 2 MiB instead of 512.

An interpreter goes all over its heap for every statement, and the processes of a grid take turns on
the cores, so the processor's table of addresses (TLB) seldom has what is wanted; in a virtual
machine each look-up that fails costs twice. madvise(MADV_COLLAPSE), Linux 6.1 or later, moves what
is there already into a huge page, at the expense of a copy. Nothing changes for who reads and
writes it. What it gives: benchmarks/NOTES.md.

Taken are blocks of private memory of which nearly all is in use, so that hardly more memory is used
than before. Not where the machine's owner said `never` (transparent_hugepage/enabled), nor with
TENGRID_HUGE_PAGES=off; an older kernel refuses, and all stays as it is.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

VARIABLE = "TENGRID_HUGE_PAGES"
ENABLED = Path("/sys/kernel/mm/transparent_hugepage/enabled")
BLOCK_BYTES = 2 * 1024 * 1024  # of a huge page on x86-64, and on ARM with pages of 4 KiB
PAGE_BYTES = 4096
RESIDENT_MIN = 7 / 8  # of a block's pages: a huge page costs at most 256 KiB that nobody asked for
AGAIN_S = 10.0  # what has grown in between
_MADV_COLLAPSE = 25  # linux/mman.h

Collapse = Callable[[int], bool]  # a block at this address; whether it is a huge page now


class HugePages:
    """Of this process; blocks are looked for again and again, memory grows."""

    def __init__(self, collapse: Collapse, is_used: Callable[[int], bool]) -> None:
        self._collapse = collapse
        self._is_used = is_used
        self._huge: set[int] = set()

    def look(self, maps: Iterable[str]) -> int:
        """Take the blocks that are in use by now; how many huge pages there are after it.

        maps: lines of /proc/self/maps. A block that was split since then counts as huge.
        """
        there = set(blocks(maps))
        self._huge &= there
        for address in sorted(there - self._huge):
            if self._is_used(address) and self._collapse(address):
                self._huge.add(address)
        return len(self._huge)

    async def keep(self) -> None:
        """Until cancelled. Off the event loop: a block takes up to 5 ms on a busy machine."""
        log.info("daemon.huge_pages", count=await asyncio.to_thread(self.look_here))
        while True:
            await asyncio.sleep(AGAIN_S)
            await asyncio.to_thread(self.look_here)

    def look_here(self) -> int:
        """`look` at the memory of this process."""
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return self.look(maps)


def of_this_process() -> HugePages | None:
    """None where there are none, or they are not wanted."""
    if os.environ.get(VARIABLE, "") == "off" or os.sysconf("SC_PAGE_SIZE") != PAGE_BYTES:
        return None
    try:
        if not allowed(ENABLED.read_text(encoding="ascii")):
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        madvise, mincore = libc.madvise, libc.mincore
    except (OSError, AttributeError):
        return None
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    pages = BLOCK_BYTES // PAGE_BYTES

    def collapse(address: int) -> bool:
        return int(madvise(address, BLOCK_BYTES, _MADV_COLLAPSE)) == 0

    def is_used(address: int) -> bool:
        resident = ctypes.create_string_buffer(pages)
        if mincore(address, BLOCK_BYTES, resident) != 0:
            return False  # it went away in between
        return sum(byte & 1 for byte in resident.raw) >= RESIDENT_MIN * pages

    return HugePages(collapse, is_used)


def allowed(enabled: str) -> bool:
    """What the kernel's file says: `always [madvise] never`, the words in brackets being chosen."""
    return "[" in enabled and "[never]" not in enabled


def blocks(maps: Iterable[str]) -> Iterator[int]:
    """Addresses of the whole blocks in private anonymous memory that may be written.

    maps: lines of /proc/<pid>/maps (proc(5)).
    """
    for line in maps:
        span, rights, _, device, *rest = line.split(maxsplit=5)
        file = rest[1].strip() if len(rest) > 1 else ""
        if rights != "rw-p" or device != "00:00" or file not in ("", "[heap]"):
            continue
        first, end = (int(word, 16) for word in span.split("-"))
        begin = -(-first // BLOCK_BYTES) * BLOCK_BYTES
        yield from range(begin, end - BLOCK_BYTES + 1, BLOCK_BYTES)
