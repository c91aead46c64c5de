"""A consistent copy of an element's file while its writer goes on."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from data.storage.faults import grid_error
from data.storage.sqlite import connect, tail_of
from protocol.errors import DiskFullError
from protocol.ids import LogPosition

PAGES_PER_STEP = 4096  # the GIL is free within a step


def copy_file(source: Path, target: Path) -> LogPosition:
    """Write the last committed state of `source` to the new file `target`, flushed.

    Returns the position of its newest log entry. SQLite's backup reads inside one read transaction,
    so commits meanwhile neither disturb nor restart it. Raises DiskFullError, other GridErrors; the
    target is removed then.
    """
    connection = connect(source, cache_bytes=1 << 22, mmap_bytes=1 << 31, read_only=True)
    try:
        connection.execute("BEGIN")
        position = tail_of(connection)
        copy = apsw.Connection(str(target))
        try:
            copy.pragma("journal_mode", "off")
            copy.pragma("synchronous", "off")
            with copy.backup("main", connection, "main") as backup:
                while not backup.done:
                    backup.step(PAGES_PER_STEP)
        finally:
            copy.close(True)
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except apsw.Error as error:
        target.unlink(missing_ok=True)
        raise grid_error(error) from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise DiskFullError(f"cannot write the snapshot {target}: {error}") from error
    finally:
        connection.close(True)
    return position
