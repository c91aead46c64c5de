"""New rows from value sources: parameters, constants, sequences, expressions."""

from __future__ import annotations

from collections.abc import Callable

from data.catalog.objects import Sequence as NumberSequence
from data.catalog.objects import Table
from data.distribution.route import Const, Special
from data.exec.sequences import Sequences
from data.exec.values import Specials
from data.sql.convert import Convert
from data.sql.plan_types import (
    CurrVal,
    NextVal,
    ParamValue,
    RowValue,
    SourceColumn,
    SpecialValue,
    SqlValue,
    ValueSource,
)
from data.storage.scratch import Scratch
from protocol.clock import wall_us
from protocol.errors import InternalError
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import StorageRow, StorageValue

Values = tuple[StorageValue, ...]


class RowKeys:
    """Hidden row keys: 63 bits, unique in a database for ever, growing on one element.

    10 bits element, then milliseconds since 2020 and a counter that runs ahead under load.
    """

    def __init__(self, element: int) -> None:
        self._high = (element & 0x3FF) << 53
        self._last = 0

    def next(self) -> int:
        """A new key."""
        now = (wall_us() // 1000 - 1_577_836_800_000) << 12
        self._last = max(self._last + 1, now)
        return self._high | (self._last & ((1 << 53) - 1))


class RowMaker:
    """Makes the rows of one INSERT or COPY."""

    def __init__(
        self,
        table: Table | None,
        specials: Specials,
        sequences: Sequences,
        sequence_of: Callable[[int], NumberSequence],
        scratch: Scratch,
        row_keys: RowKeys,
    ) -> None:
        self._is_keyed = table is not None and table.row_key  # None: rows of no table
        self._specials = specials
        self._sequences = sequences
        self._sequence_of = sequence_of
        self._scratch = scratch
        self._row_keys = row_keys

    async def make(
        self, sources: tuple[ValueSource, ...], values: Values, source_row: StorageRow = ()
    ) -> StorageRow:
        """One full row without its bucket (and with a row key first, if the table has one)."""
        out: list[StorageValue] = [self._row_keys.next()] if self._is_keyed else []
        drawn: dict[int, int] = {}
        for source in sources:
            kind = type(source)
            if kind is ParamValue:
                assert isinstance(source, ParamValue)
                value = values[source.index]
                out.append(_converted(value, source.convert))
            elif kind is Const:
                assert isinstance(source, Const)
                out.append(source.value)
            elif kind is SourceColumn:
                assert isinstance(source, SourceColumn)
                out.append(source_row[source.position])
            else:
                out.append(await self._odd(source, values, drawn, source_row))
        return tuple(out)

    def at_once(self, sources: tuple[ValueSource, ...], rows: RowColumns) -> RowColumns | None:
        """`make` of many source rows, if all is columns and constants; None: make one by one."""
        if not all(isinstance(source, SourceColumn | Const) for source in sources):
            return None
        columns: list[list[StorageValue]] = []
        if self._is_keyed:
            columns.append([self._row_keys.next() for _ in rows])
        for source in sources:
            if isinstance(source, SourceColumn):
                columns.append(rows.columns[source.position])
            else:
                assert isinstance(source, Const)
                columns.append([source.value] * len(rows))
        return RowColumns(columns, len(rows))

    async def make_all(
        self, sources: tuple[ValueSource, ...], values: Values, rows: list[StorageRow]
    ) -> list[StorageRow]:
        """Rows made of the rows of a query."""
        if not rows:
            return []
        if not self._is_keyed and len(rows[0]) == len(sources) and _is_copy(sources):
            return rows
        made = self.at_once(sources, RowColumns.of_rows(rows, len(rows[0])))
        if made is not None:
            return list(made)
        return [await self.make(sources, values, row) for row in rows]

    async def _odd(
        self,
        source: ValueSource,
        values: Values,
        drawn: dict[int, int],
        source_row: StorageRow,
    ) -> StorageValue:
        value: StorageValue
        if isinstance(source, NextVal):
            value = await self._draw(source.sequence_id, drawn)
        elif isinstance(source, CurrVal):
            value = self._specials.current_value(source.sequence_id)
        elif isinstance(source, SpecialValue):
            value = self._specials(source.special)
        elif isinstance(source, SqlValue | RowValue):
            fragment = source.fragment
            for param in fragment.params:
                if isinstance(param, Special) and param.name == "nextval":
                    await self._draw(param.argument, drawn)
            self._specials.next_values.update(drawn)
            more = fragment.bind(values, self._specials)
            if isinstance(source, RowValue):
                more = (*[source_row[i] for i in source.positions], *more)
            rows = self._scratch.query(fragment.sql, more)
            return rows[0][0] if rows else None
        else:
            raise InternalError(f"unknown value source {source}")
        return _converted(value, source.convert)

    async def _draw(self, sequence_id: int, drawn: dict[int, int]) -> int:
        """The sequence's number for this row, the same however often the row names it."""
        if sequence_id not in drawn:
            number = await self._sequences.next(self._sequence_of(sequence_id))
            drawn[sequence_id] = number
            self._specials.facts.current_values[sequence_id] = number
        return drawn[sequence_id]


def _is_copy(sources: tuple[ValueSource, ...]) -> bool:
    return all(
        isinstance(source, SourceColumn) and source.position == at
        for at, source in enumerate(sources)
    )


def _converted(value: StorageValue, convert: Convert | None) -> StorageValue:
    return value if convert is None or value is None else convert(value)
