"""What a large statement finds or changes, encoded in a file; memory holds where the pieces are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from protocol.errors import DiskFullError


class PieceFile:
    """Pieces of bytes in order, each with a count. Closed when it is dropped."""

    def __init__(self, folder: Path | None) -> None:
        """`folder`: where the unnamed file is; None: where the system has such.

        Raises DiskFullError.
        """
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`, or when dropped
        except OSError as error:
            raise _full(error) from error
        self._pieces: list[tuple[int, int, int]] = []  # offset, bytes, count
        self._end = 0
        self.count = 0

    def put(self, data: bytes, count: int) -> None:
        """Append a piece with `count` things in it. Raises DiskFullError."""
        try:
            self._file.seek(self._end)
            self._file.write(data)
        except OSError as error:
            raise _full(error) from error
        self._pieces.append((self._end, len(data), count))
        self._end += len(data)
        self.count += count

    def __len__(self) -> int:
        """How many pieces there are."""
        return len(self._pieces)

    def piece(self, number: int) -> bytes:
        """One piece. Raises DiskFullError (the file is broken)."""
        offset, size, _ = self._pieces[number]
        try:
            self._file.seek(offset)
            return self._file.read(size)
        except OSError as error:
            raise _full(error) from error

    def length(self, number: int) -> int:
        """How many things are in a piece."""
        return self._pieces[number][2]

    def close(self) -> None:
        """Drop it."""
        self._file.close()


class Spool(PieceFile):
    """Row changes on their way from SQLite to the log, as `changes.encode` gives them."""

    def add(self, changes: list[RowChange]) -> None:
        """Append some changes as a piece. Raises DiskFullError."""
        self.put(row_changes.encode(changes), len(changes))

    def changes(self) -> Iterator[list[RowChange]]:
        """Everything, piece by piece."""
        for number in range(len(self)):
            yield row_changes.decode(self.piece(number))


def _full(error: OSError) -> DiskFullError:
    return DiskFullError(f"no room for the rows of a large statement: {error}")
