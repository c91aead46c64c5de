"""Row changes of one large statement, on their way from SQLite to the log: encoded, in a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from protocol.errors import DiskFullError


class Spool:
    """Pieces of row changes in order; memory holds where they are. Closed when it is dropped."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the unnamed file is."""
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`, or when dropped
        except OSError as error:
            raise _full(error) from error
        self._pieces: list[tuple[int, int, int]] = []  # offset, bytes, changes
        self._end = 0
        self.count = 0

    def add(self, changes: list[RowChange]) -> None:
        """Append some changes as a piece. Raises DiskFullError."""
        data = row_changes.encode(changes)
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            raise _full(error) from error
        self._pieces.append((self._end, len(data), len(changes)))
        self._end += len(data)
        self.count += len(changes)

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._pieces)

    def piece(self, number: int) -> bytes:
        """One piece, as `changes.encode` gives it. Raises DiskFullError (the file is broken)."""
        offset, size, _ = self._pieces[number]
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise _full(error) from error

    def length(self, number: int) -> int:
        """How many changes are in a piece."""
        return self._pieces[number][2]

    def changes(self) -> Iterator[list[RowChange]]:
        """Everything, piece by piece."""
        for number in range(len(self._pieces)):
            yield row_changes.decode(self.piece(number))

    def close(self) -> None:
        """Drop it."""
        self._file.close()


def _full(error: OSError) -> DiskFullError:
    return DiskFullError(f"no room for the row changes of a large statement: {error}")
