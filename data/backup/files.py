"""Files of a collection: written and read in pieces on a thread, with checksums and a speed limit.

A file is written beside its name and renamed when it is whole and flushed. What is read is not
trusted before its checksum was compared: the caller throws away what was made of it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import xxhash

from data.backup.jobs import Told
from data.storage.files import sync_folder
from protocol.clock import boottime_s
from protocol.errors import CollectionError, DiskFullError
from protocol.limits import MIB
from protocol.messages.backup import FileFacts

T = TypeVar("T")
PIECE_BYTES = MIB
RAW_BYTES_MAX = 4 * MIB  # of a piece when it is unpacked
LEVEL = 1  # of zlib: about 100 MB/s, half the size for rows


class FileWriter:
    """One file of a collection, written in order. `await close()` or `abandon()` it."""

    def __init__(self, folder: Path, path: str, *, packed: bool) -> None:
        """Blocking: makes the folders. Raises DiskFullError, CollectionError."""
        self._target = folder / path
        self._part = self._target.with_name(self._target.name + ".part")
        self._path = path
        self._hash = xxhash.xxh3_128()
        self._packer: Any = zlib.compressobj(LEVEL) if packed else None
        self.raw_size = 0
        self.size = 0
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file: BinaryIO = self._opened()
        except OSError as error:
            raise _refused("write", self._target, error) from error

    def _opened(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.fdopen(os.open(self._part, flags, 0o600), "wb", buffering=0)

    def write(self, data: bytes) -> int:
        """Blocking. The bytes that went to the file. Raises DiskFullError, CollectionError."""
        self.raw_size += len(data)
        return self._put(self._packer.compress(data) if self._packer else data)

    def _put(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise _refused("write", self._part, error) from error
        return len(data)

    def close(self) -> FileFacts:
        """Blocking: flush, and give the file its name."""
        if self._packer:
            self._put(self._packer.flush())
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, self._target)
            sync_folder(self._target.parent)
        except OSError as error:
            raise _refused("write", self._target, error) from error
        return FileFacts(
            self._path, self.size, self.raw_size, self._hash.hexdigest(), bool(self._packer)
        )

    def abandon(self) -> None:
        """Remove what was written."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


class FileReader:
    """The content of a file of a collection, piece by piece. Blocking."""

    def __init__(self, folder: Path, facts: FileFacts) -> None:
        """Raises CollectionError if it is not there or has another size."""
        self._path = folder / facts.path
        self._facts = facts
        self._hash = xxhash.xxh3_128()
        self._unpacker: Any = zlib.decompressobj() if facts.packed else None
        self._raw_size = 0
        self._unread = b""  # packed bytes that are waiting
        try:
            self._file: BinaryIO = self._path.open("rb", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
        except FileNotFoundError:
            raise CollectionError(f"{self._path} is missing") from None
        except OSError as error:
            raise _refused("read", self._path, error) from error
        if size != facts.size:
            self._file.close()
            raise CollectionError(
                f"{self._path} is damaged: it has {size} bytes, {facts.size} were written"
            )

    def read(self) -> bytes:
        """The next piece; b"" when the whole file was read and its checksum is right.

        Raises CollectionError naming the file.
        """
        while True:
            data = self._unread
            if not data:
                try:
                    data = self._file.read(PIECE_BYTES)
                except OSError as error:
                    raise _refused("read", self._path, error) from error
                self._hash.update(data)
            if not data:
                self._check_end()
                return b""
            raw = self._unpacked(data)
            self._raw_size += len(raw)
            if raw:
                return raw

    def _unpacked(self, data: bytes) -> bytes:
        if self._unpacker is None:
            return data
        try:
            raw: bytes = self._unpacker.decompress(data, RAW_BYTES_MAX)
        except zlib.error as error:
            raise CollectionError(f"{self._path} is damaged: {error}") from error
        self._unread = self._unpacker.unconsumed_tail
        return raw

    def _check_end(self) -> None:
        if self._hash.hexdigest() != self._facts.checksum:
            raise CollectionError(f"{self._path} is damaged: its checksum is wrong")
        if self._raw_size != self._facts.raw_size:
            raise CollectionError(
                f"{self._path} is damaged: it holds {self._raw_size} bytes instead of"
                f" {self._facts.raw_size}"
            )

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class Pace:
    """Bytes per second, on the average since the beginning."""

    def __init__(self, bytes_per_s: int, now: Callable[[], float] = boottime_s) -> None:
        """0: no limit."""
        self._rate = bytes_per_s
        self._now = now
        self._began_s = now()
        self._bytes = 0

    def pause_s(self, written: int) -> float:
        """So long nothing more may be written."""
        self._bytes += written
        if not self._rate:
            return 0.0
        return max(0.0, self._bytes / self._rate - (self._now() - self._began_s))

    async def keep(self, written: int) -> None:
        """Wait for it."""
        pause_s = self.pause_s(written)
        if pause_s > 0:
            await asyncio.sleep(pause_s)


async def on_thread(work: Callable[..., T], *args: Any) -> T:
    """Do blocking work on a thread; who is cancelled waits until it has ended."""
    future = asyncio.ensure_future(asyncio.to_thread(work, *args))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


async def pack(
    source: Path, folder: Path, path: str, *, packed: bool, bytes_per_s: int, told: Told
) -> FileFacts:
    """Copy a file into a collection. Raises DiskFullError, CollectionError."""
    writer = await on_thread(partial(FileWriter, folder, path, packed=packed))
    pace = Pace(bytes_per_s)
    try:
        with source.open("rb", buffering=0) as file:
            told.total_bytes = os.fstat(file.fileno()).st_size

            def piece() -> tuple[int, int]:
                data = file.read(PIECE_BYTES)
                return len(data), writer.write(data) if data else 0

            while True:
                read, written = await on_thread(piece)
                if not read:
                    return await on_thread(writer.close)
                told.done_bytes += read
                await pace.keep(written)
    except BaseException:
        writer.abandon()
        raise


async def unpack(folder: Path, facts: FileFacts, target: Path, told: Told) -> None:
    """Copy a file of a collection to a new file. Raises CollectionError, DiskFullError.

    `target` is removed when it is not whole.
    """
    told.total_bytes = facts.raw_size
    reader = await on_thread(FileReader, folder, facts)
    try:
        with target.open("wb", buffering=0) as file:

            def piece() -> int:
                data = reader.read()
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                return len(data)

            while count := await on_thread(piece):
                told.done_bytes += count
            await on_thread(os.fsync, file.fileno())
    except OSError as error:
        await on_thread(partial(target.unlink, missing_ok=True))
        raise _refused("write", target, error) from error
    except BaseException:
        await on_thread(partial(target.unlink, missing_ok=True))
        raise
    finally:
        reader.close()


def read_part(file: Path, offset: int, size: int) -> bytes:
    """Blocking: bytes at an offset, fewer at the end. Raises CollectionError."""
    try:
        with file.open("rb", buffering=0) as source:
            source.seek(offset)
            return source.read(size) or b""
    except OSError as error:
        raise _refused("read", file, error) from error


def write_part(file: Path, offset: int, data: bytes) -> None:
    """Blocking: write the end of a file. Raises DiskFullError, CollectionError."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as target:
            target.truncate(offset)
            target.seek(offset)
            view = memoryview(data)
            while view:
                view = view[target.write(view) :]
    except OSError as error:
        raise _refused("write", file, error) from error


def _refused(action: str, path: Path, error: OSError) -> DiskFullError | CollectionError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFullError(
            f"cannot {action} {path}: {error.strerror}", hint="Make room there and try again."
        )
    return CollectionError(f"cannot {action} {path}: {error.strerror}")
