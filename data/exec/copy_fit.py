"""What an assignment does to values that COPY has decoded: declared lengths, and '' is NULL.

The decoders of protocol/pgwire give values of the column's type, numbers and moments rounded and
checked, but know nothing of lengths. Here whole columns are looked at, and only those that have
something to change, or to refuse, value by value with what INSERT uses (data/sql/convert.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from data.catalog.objects import Column
from data.sql.convert import converter
from protocol.errors import GridError
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import BYTES_KINDS, TEXT_KINDS, Kind, SqlType

Values = Sequence[Any]
UTF8_BYTES_MAX = 4  # of a character


class CopyFit:
    """Fits the rows of one COPY into the columns they are for."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._line = 0
        self._checks = [
            (at, column.name, _plain(column.type), convert)
            for at, column in enumerate(columns)
            if column.type.kind in TEXT_KINDS or column.type.kind in BYTES_KINDS
            if (convert := converter(column.type, column.type)) is not None
        ]

    def fit(self, rows: RowColumns) -> None:
        """Fit the rows that follow. Raises StringTooLongError; its detail names line and column."""
        before = self._line
        self._line += len(rows)
        columns = rows.columns
        for at, name, plain, convert in self._checks:
            if plain(columns[at]):
                continue
            made: list[Any] = []
            try:
                for value in columns[at]:
                    made.append(None if value is None else convert(value))
            except GridError as error:
                error.detail = f"COPY, line {before + len(made) + 1}, column {name}"
                raise
            columns[at] = made


def _plain(type: SqlType) -> Callable[[Values], bool]:
    """Surely nothing to change in a column of values or None."""
    length = type.length
    if type.kind is Kind.BINARY:
        return lambda values: False  # filled up
    if type.kind in BYTES_KINDS:
        return lambda values: not length or _longest(values) <= length

    def plain(values: Values) -> bool:
        if all(values):  # most columns have neither NULL nor ''
            longest = max(map(len, values), default=0)
        elif "" in values:
            return False
        else:
            longest = _longest(values)
        if not length:
            return True
        if longest > length:
            return False
        if not type.byte_length or longest * UTF8_BYTES_MAX <= length:
            return True
        return "".join(filter(None, values)).isascii()

    return plain


def _longest(values: Values) -> int:
    return max(map(len, filter(None, values)), default=0)
