"""Snapshot copy: the lead's side gives chunks of a file, the copy's side fetches and loads them.

The copy pulls, so a slow one slows only itself. Each chunk carries its xxHash64.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

import structlog
import xxhash

from data.storage.element import Element
from protocol.clock import Clock
from protocol.errors import CorruptElementError, UnknownObjectError
from protocol.ids import LogPosition
from protocol.limits import MIB
from protocol.messages.replication import (
    Chunk,
    FetchChunk,
    OpenSnapshot,
    SnapshotOpened,
)
from protocol.rpc.client import RpcPeer

log = structlog.get_logger(__name__)

CHUNK_BYTES = MIB
OPEN_TIMEOUT_S = 600.0  # to write the snapshot file of a large element
CHUNK_TIMEOUT_S = 10.0
FORGOTTEN_S = 30.0  # a snapshot nobody fetched from for so long is removed
SNAPSHOTS_MAX = 2  # at a time, per element


class _Given:
    """One snapshot file being fetched."""

    def __init__(self, path: Path, tail: LogPosition, now_s: float) -> None:
        self.path = path
        self.tail = tail
        self.used_s = now_s
        self.file: BinaryIO = path.open("rb")
        self.size_bytes = path.stat().st_size

    def close(self) -> None:
        """Remove the file."""
        self.file.close()
        self.path.unlink(missing_ok=True)


class SnapshotGiver:
    """Makes snapshots of the own element and hands out their chunks."""

    def __init__(self, element: Element, clock: Clock) -> None:
        self._element = element
        self._clock = clock
        self._given: dict[int, _Given] = {}
        self._next = 1
        self._awaited: dict[int, tuple[int, float]] = {}  # element -> LSN it goes on from, until
        for old in element.path.glob("snapshot-out-*"):  # of a process that died
            old.unlink(missing_ok=True)

    def keep_from(self) -> int | None:
        """LSN after which the log is needed by those who fetch or have just fetched; None: nobody.

        Without this a snapshot could be out of date before its reader can go on from it.
        """
        return min((lsn for lsn, _ in self._awaited.values()), default=None)

    def reached(self, element: int) -> None:
        """This element has caught up."""
        self._awaited.pop(element, None)

    async def open(self, message: OpenSnapshot) -> SnapshotOpened:
        """Write a snapshot file. Raises UnknownObjectError when too many are open."""
        self.forget_old()
        if len(self._given) >= SNAPSHOTS_MAX:
            raise UnknownObjectError("too many snapshots are being fetched", hint="Try again.")
        number = self._next
        self._next += 1
        path = self._element.path / f"snapshot-out-{number}"
        path.unlink(missing_ok=True)
        tail = await asyncio.to_thread(self._element.snapshot_to, path)
        given = self._given[number] = _Given(path, tail, self._clock.now_s())
        self._awaited[message.sender] = (tail.lsn, given.used_s + FORGOTTEN_S)
        log.info("snapshot.opened", db=message.db, rs=message.rs, bytes=given.size_bytes)
        position = (tail.term, tail.lsn)
        return SnapshotOpened(message.db, message.rs, number, given.size_bytes, position)

    def chunk(self, message: FetchChunk) -> Chunk:
        """Bytes at an offset; at the end: none, and the file is removed."""
        given = self._given.get(message.snapshot)
        if given is None:
            raise UnknownObjectError("this snapshot is no longer there")
        given.used_s = self._clock.now_s()
        for element, (lsn, _) in self._awaited.items():
            if lsn == given.tail.lsn:
                self._awaited[element] = (lsn, given.used_s + FORGOTTEN_S)
        if message.offset >= given.size_bytes:
            del self._given[message.snapshot]
            given.close()
            data = b""
        else:
            given.file.seek(message.offset)
            data = given.file.read(CHUNK_BYTES)
        checksum = xxhash.xxh64_intdigest(data)
        return Chunk(message.db, message.rs, message.snapshot, message.offset, data, checksum)

    def forget_old(self) -> None:
        """Remove what nobody fetches any more."""
        now_s = self._clock.now_s()
        for element, (_, until_s) in list(self._awaited.items()):
            if now_s > until_s:
                del self._awaited[element]
        for number, given in list(self._given.items()):
            if now_s - given.used_s > FORGOTTEN_S:
                del self._given[number]
                given.close()

    def close(self) -> None:
        """Remove everything."""
        for given in self._given.values():
            given.close()
        self._given.clear()


async def fetch_snapshot(peer: RpcPeer, request: OpenSnapshot, folder: Path) -> Path:
    """Copy a snapshot of the peer's element into a file. Raises GridError, OSError."""
    target = folder / "snapshot-in"
    target.unlink(missing_ok=True)
    opened = await peer.call(request, OPEN_TIMEOUT_S)
    assert isinstance(opened, SnapshotOpened)
    offset = 0
    try:
        with target.open("wb") as file:
            while True:
                ask = FetchChunk(request.db, request.rs, opened.snapshot, offset)
                chunk = await peer.call(ask, CHUNK_TIMEOUT_S)
                assert isinstance(chunk, Chunk)
                if xxhash.xxh64_intdigest(chunk.data) != chunk.checksum:
                    raise CorruptElementError("a chunk of the snapshot was damaged on its way")
                if not chunk.data:
                    break
                file.write(chunk.data)
                offset += len(chunk.data)
        if offset != opened.size_bytes:
            raise CorruptElementError(f"{offset} of {opened.size_bytes} bytes of the snapshot came")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target
