"""An element's folder: its files, the lock on it, its marks and what they say after a restart."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from data.storage import log, schema
from data.storage.faults import grid_error
from data.storage.settings import ElementIdentity, StorageSettings
from data.storage.sqlite import connect, register_functions
from protocol.errors import (
    CorruptElementError,
    DiskFullError,
    ElementInUseError,
    FormatTooNewError,
    GridError,
)

FORMAT = 3  # PRAGMA user_version; raised when older software could not read the file
APPLICATION_ID = 0x54475244  # "TGRD", PRAGMA application_id
FILE = "element.db"
LOCK = "lock"
INCOMING = "incoming.db"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_ID_VARIABLE = "TENGRID_BOOT_ID_FILE"  # tests of power losses name another file
_encode = msgspec.msgpack.Encoder().encode
_decode_identity = msgspec.msgpack.Decoder(ElementIdentity).decode


def boot_id() -> str:
    """Names this start of the machine's kernel."""
    named = os.environ.get(_BOOT_ID_VARIABLE)
    return (Path(named) if named else _BOOT_ID).read_text().strip()


class FolderLock:
    """The exclusive lock on an element's folder, from construction to `release`."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise ElementInUseError(f"the element in {folder} is in use") from error

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)


# which buckets are whose, as far as this replica set knows (data/txn/ownership.py)
OWN = "CREATE TABLE IF NOT EXISTS _own(bucket INTEGER PRIMARY KEY, owner INTEGER NOT NULL)"


def sync_folder(folder: Path) -> None:
    """Make creations and renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_writer(file: Path, settings: StorageSettings) -> apsw.Connection:
    """The writer's connection, without functions."""
    return connect(
        file,
        cache_bytes=(settings.perm_size_mb << 20) + settings.log_bytes_max,
        mmap_bytes=4 * (settings.perm_size_mb << 20),
        read_only=False,
    )


def make_file(folder: Path, identity: ElementIdentity, settings: StorageSettings) -> None:
    """A new element's file, flushed. Raises DiskFullError and other GridErrors."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).touch(mode=0o600)
        connection = open_writer(folder / FILE, settings)
        try:
            register_functions(connection)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", FORMAT)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            with connection:
                connection.execute("CREATE TABLE _meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID")
                for text in (*log.SCHEMA, *schema.SCHEMA):
                    connection.execute(text)
                put_mark(connection.execute, "identity", _encode(identity))
                schema.create(connection.execute)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            connection.close(True)
        sync_folder(folder)
    except apsw.Error as error:
        raise grid_error(error) from error
    except OSError as error:
        raise DiskFullError(f"cannot make an element in {folder}: {error}") from error


def check_file(connection: apsw.Connection, file: Path, *, whole: bool) -> None:
    """Raises CorruptElementError, FormatTooNewError. The connection has the SQL functions."""
    try:
        if connection.pragma("application_id") != APPLICATION_ID:
            raise CorruptElementError(f"{file} is not an element's file")
        version = connection.pragma("user_version")
        if version > FORMAT:
            raise FormatTooNewError(
                f"{file} has format {version}, this software knows up to {FORMAT}",
                hint="Start this instance with the newer installation.",
            )
        if whole:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise CorruptElementError(f"{file} is damaged: {found[0] if found else 'empty'}")
    except apsw.Error as error:
        problem = grid_error(error)
        raise CorruptElementError(f"{file} cannot be read: {problem.message}") from error


# -- marks -----------------------------------------------------------------------------------------
def mark(execute: Any, key: str) -> Any:
    """A value of `_meta`, None if it is not there."""
    row = execute("SELECT value FROM _meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def put_mark(execute: Any, key: str, value: Any) -> None:
    """Set a value of `_meta`."""
    execute("INSERT OR REPLACE INTO _meta VALUES (?, ?)", (key, value))


def read_identity(execute: Any) -> ElementIdentity:
    """Whose file it is. Raises CorruptElementError."""
    stored = mark(execute, "identity")
    if stored is None:
        raise CorruptElementError("the file does not say which element it is")
    return _decode_identity(stored)


def put_identity(execute: Any, identity: ElementIdentity) -> None:
    """Write it."""
    put_mark(execute, "identity", _encode(identity))


def is_trusted(execute: Any, boot: str) -> bool:
    """Does the file hold everything this element ever acknowledged?

    Only if it was in sync, and either the machine has not been started anew since (what was
    written is in the kernel, if not on disk), or everything was flushed: at a clean stop, or
    commit by commit ("forced").
    """
    in_sync = mark(execute, "in_sync")
    if not in_sync:
        return False
    return in_sync == boot or bool(mark(execute, "clean")) or bool(mark(execute, "forced"))


def prepare_snapshot(
    file: Path, folder: Path, identity: ElementIdentity, database_id: str = ""
) -> Path:
    """Check a snapshot and make it this element's; returns where it is now, in the folder, flushed.

    `database_id`: of the database it must be of, if that is another one (a backup's). Touches
    nothing else there. Takes as long as reading the file: use a thread. Raises CorruptElementError
    if it is damaged, in use or of another database.
    """
    incoming = folder / INCOMING
    if file != incoming:
        shutil.move(file, incoming)
    connection = connect(incoming, cache_bytes=1 << 22, mmap_bytes=0, read_only=False)
    try:
        register_functions(connection)
        check_file(connection, incoming, whole=True)
        theirs = read_identity(connection.execute)
        if theirs.database_id != (database_id or identity.database_id):
            raise CorruptElementError(
                f"the snapshot is of database {theirs.database} ({theirs.database_id}), "
                f"this element is of {identity.database} ({identity.database_id})"
            )
        if connection.pragma("journal_mode", "delete") != "delete":
            raise CorruptElementError(f"{incoming} is in use")
        connection.pragma("synchronous", "full")
        with connection:
            put_identity(connection.execute, identity)
            connection.execute("DELETE FROM _meta WHERE key IN ('in_sync', 'clean', 'forced')")
    except apsw.Error as error:
        raise CorruptElementError(f"the snapshot cannot be used: {error}") from error
    finally:
        connection.close(True)
    handle = os.open(incoming, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    return incoming


def put_in_place(incoming: Path, folder: Path) -> None:
    """A prepared snapshot becomes the element's file; quick.

    The folder's lock is held and its connections are closed. Crash-safe: until the rename the old
    file is there, which no longer counts itself in sync.
    """
    if (folder / FILE).exists():
        with suppress(GridError):  # damaged: perhaps that is why it is replaced
            _distrust(folder / FILE)
    for suffix in ("-wal", "-shm"):
        (folder / (FILE + suffix)).unlink(missing_ok=True)
    os.replace(incoming, folder / FILE)
    sync_folder(folder)


def _distrust(file: Path) -> None:
    """Write into a closed element's file that it must not count itself in sync, flushed."""
    connection = connect(file, cache_bytes=1 << 20, mmap_bytes=0, read_only=False)
    try:
        connection.pragma("synchronous", "full")
        connection.execute("DELETE FROM _meta WHERE key IN ('in_sync', 'clean', 'forced')")
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error as error:
        raise grid_error(error) from error
    finally:
        connection.close(True)


def remove_files(folder: Path) -> None:
    """Remove an element's files and, if nothing else is in it, the folder."""
    for name in (FILE, INCOMING):
        for suffix in ("", "-wal", "-shm", "-journal"):
            (folder / (name + suffix)).unlink(missing_ok=True)
    (folder / LOCK).unlink(missing_ok=True)
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
