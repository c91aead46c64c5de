"""Rows kept by columns: what is done to very many at once costs less so than row by row. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from protocol.sqltypes import StorageRow, StorageValue


class RowColumns:
    """Rows of one width; a sized iterable of tuples, which are made anew each time."""

    __slots__ = ("_count", "columns")

    def __init__(self, columns: list[list[StorageValue]], count: int) -> None:
        """count: of rows, for they may have no columns."""
        self.columns = columns
        self._count = count

    @staticmethod
    def of_rows(rows: Sequence[StorageRow], width: int) -> RowColumns:
        """Rows that are tuples; width: how many values each has."""
        if not rows:
            return RowColumns([[] for _ in range(width)], 0)
        return RowColumns(list(map(list, zip(*rows, strict=True))), len(rows))

    def add(self, more: RowColumns) -> None:
        """Append rows of the same width."""
        for column, values in zip(self.columns, more.columns, strict=True):
            column += values
        self._count += len(more)

    def take(self, count: int) -> RowColumns:
        """The first rows, so many or all there are, which it has no longer then."""
        taken = RowColumns([column[:count] for column in self.columns], min(count, self._count))
        for column in self.columns:
            del column[:count]
        self._count -= len(taken)
        return taken

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[StorageRow]:
        if not self.columns:
            return iter([()] * self._count)
        return zip(*self.columns, strict=True)
