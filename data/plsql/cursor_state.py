"""A cursor of a block while it is open."""

from __future__ import annotations

from data.plsql import values
from data.plsql.context import Rows
from data.plsql.errors import of_grid_error, predefined
from data.plsql.values import Value
from protocol.errors import GridError
from protocol.sqltypes import StorageRow

FETCH_ROWS = 100  # at a time, whatever is asked for


class CursorState:
    """An open cursor."""

    __slots__ = ("_ended", "_hidden", "_rows", "_waiting", "count", "found", "is_open", "key")

    def __init__(self, rows: Rows, hidden: int = 0) -> None:
        self._hidden = hidden  # columns at the end: the key
        self.key: StorageRow = ()  # of the row that was fetched last
        self._rows = rows
        self._waiting: list[StorageRow] = []
        self._ended = False
        self.count = 0
        self.found: bool | None = None
        self.is_open = True

    @property
    def columns(self) -> tuple[object, ...]:
        """Of its rows."""
        columns = self._rows.columns
        return columns[: len(columns) - self._hidden]

    def next(self, count: int) -> list[StorageRow]:
        """The next rows, up to `count`; fewer: these are the last. Raises INVALID_CURSOR."""
        if not self.is_open:
            raise predefined("INVALID_CURSOR")
        while len(self._waiting) < count and not self._ended:
            asked = max(count - len(self._waiting), FETCH_ROWS)
            try:
                got = self._rows.fetch(asked)
            except GridError as error:
                raise of_grid_error(error) from error
            self._ended = len(got) < asked
            self._waiting = self._waiting + got if self._waiting else got
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self.count += len(taken)
        self.found = bool(taken)
        if self._hidden:
            self.key = taken[-1][-self._hidden :] if taken else ()
            taken = [row[: -self._hidden] for row in taken]
        return taken

    def key_part(self, number: int) -> Value:
        """Of the present row. Raises INVALID_CURSOR."""
        if not self.is_open or not self.key:
            raise predefined("INVALID_CURSOR", ": it is on no row")
        column = self._rows.columns[number - self._hidden]
        return values.reader(column.type)(self.key[number])

    def attribute(self, name: str) -> Value:
        """%FOUND, %NOTFOUND, %ROWCOUNT."""
        if name == "ROWCOUNT":
            return self.count
        if self.found is None:
            return None
        return self.found if name == "FOUND" else not self.found

    def close(self) -> None:
        """CLOSE."""
        self.is_open = False
        self._rows.close()
