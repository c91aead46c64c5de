"""Where real code asks the machine, patched while a world runs: clocks, threads, boot, disk."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock
from zlib import crc32

import structlog

import data.exec.shard
import data.replication.ahead
import data.replication.catch_up
import data.replication.copier
import data.replication.later
import data.storage.changes
import data.storage.element
import data.storage.files
import data.storage.scratch
import data.storage.sqlite
import data.txn.later
import data.txn.lead
import data.txn.luggage
import data.txn.manager
import data.txn.parts
import data.txn.settling
from data.storage.sqlite import WalKeeper
from protocol.rpc.connection import Connection
from tests.sim.loop import Scheduler, SimExecutor, finish_now

WALL_S = 1_700_000_000.0  # when a world begins
MEMORY_ROOM_BYTES = 1 << 30  # less in /dev/shm (64 MiB in many containers): worlds lie on disk


def memory_folder() -> str | None:
    """Where worlds keep files: in memory if there is much room, else None (the usual place)."""
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return None
    return "/dev/shm" if room.f_bavail * room.f_frsize > MEMORY_ROOM_BYTES else None


_clock_gettime = time.clock_gettime


def _virtual_s(_which: int = 0) -> float:
    scheduler = Scheduler.current
    return _clock_gettime(time.CLOCK_BOOTTIME) if scheduler is None else scheduler.now


def _wall_ns() -> int:
    return int((WALL_S + _virtual_s()) * 1e9)


Limit = tuple[Any, str, int]
SMALL: dict[str, tuple[Limit, ...]] = {  # limits of the real code, and how small they may be
    "parts": (
        (data.txn.lead, "PART_CHANGES", 2),
        (data.txn.parts, "PART_CHANGES", 2),
        (data.storage.changes, "PIECE", 2),
        (data.storage.changes, "WHOLE_MAX", 2),
    ),
    "later": (
        (data.txn.lead, "PART_CHANGES", 2),
        (data.txn.parts, "PART_CHANGES", 2),
        (data.storage.changes, "PIECE", 1),
        (data.txn.later, "LATER_PARTS", 0),
        (data.txn.later, "UNITS_AT_ONCE", 1),
        (data.replication.later, "UNITS_AT_ONCE", 1),
    ),
    "slices": (
        (data.replication.ahead, "LARGE_BYTES", 150),
        (data.storage.element, "FEW_PAGES", 0),
    ),
    "bodies": (
        (data.replication.copier, "BODY_BYTES_MAX", 400),
        (data.replication.copier, "PART_BYTES", 150),
    ),
    "chunks": ((data.replication.copier, "CHUNK_BYTES", 300),),
    "snapshots": ((data.replication.catch_up, "CHUNK_BYTES", 50_000),),
    "luggage": ((data.txn.luggage, "LUGGAGE_BYTES_MAX", 500),),
    "settling": ((data.txn.settling, "KEEP_S", 3),),
}


@contextmanager
def small_limits(chosen: list[str]) -> Generator[None]:
    """What is rare in real life because limits are generous happens often."""
    with ExitStack() as stack:
        for limits in chosen:
            for module, name, value in SMALL[limits]:
                stack.enter_context(mock.patch.object(module, name, value))
        yield


class Disk:
    """What of each SQLite WAL a power cut would spare: the bytes that were flushed."""

    def __init__(self) -> None:
        self.flushed: dict[int, int] = {}  # inode -> bytes

    def note(self, handle: int) -> None:
        """All that is written is on disk."""
        status = os.fstat(handle)
        self.flushed[status.st_ino] = status.st_size


@contextmanager
def patched(
    boot_id: Callable[[], str], disk: Disk, on_log: Callable[[str, str, dict[str, Any]], None]
) -> Generator[None]:
    """Real code sees virtual time, and no machine."""

    def flush_now(keeper: WalKeeper) -> None:
        disk.note(keeper._wal)

    async def flush(keeper: WalKeeper) -> None:
        disk.note(keeper._wal)

    def no_sync(_folder: Any) -> None:
        pass

    def capture(_logger: Any, method: str, event: dict[str, Any]) -> Any:
        on_log(method, event.pop("event"), event)
        raise structlog.DropEvent

    set_ = mock.patch.object
    with ExitStack() as stack:
        for patch in (
            set_(time, "clock_gettime", _virtual_s),  # machine code has the module in hand
            set_(time, "time_ns", _wall_ns),
            set_(data.storage.sqlite, "ThreadPoolExecutor", SimExecutor),
            set_(data.storage.element, "wait", finish_now),
            set_(data.storage.files, "boot_id", boot_id),
            set_(data.storage.files, "sync_folder", no_sync),
            set_(WalKeeper, "flush_now", flush_now),
            set_(WalKeeper, "flush", flush),
            set_(data.txn.manager, "_newest", 0),
            set_(data.exec.shard, "_CURSOR_NUMBERS", itertools.count(1)),
            set_(data.storage.scratch, "_idle", {}),
            set_(Connection, "__hash__", lambda c: crc32(c.peer_name.encode())),
        ):
            stack.enter_context(patch)
        before = structlog.get_config()
        stack.callback(lambda: structlog.configure(**before))
        structlog.configure(processors=[capture], cache_logger_on_first_use=False)
        random.seed(0)
        yield
