"""Row changes: full images before and after, their bytes, inverse and keys. Pure.

A *full row* is the tuple of a SQLite table's columns in order, hidden ones included. Changes are
ordered: applied first to last, undone last to first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import msgspec

from protocol.sqltypes import StorageRow, StorageValue

_Images = tuple[int, tuple[Any, ...] | None, tuple[Any, ...] | None]  # number of the table's name
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[tuple[str, ...], list[_Images]]).decode
_decode_raw = msgspec.msgpack.Decoder(tuple[tuple[str, ...], list[msgspec.Raw]]).decode
_decode_pieces = msgspec.msgpack.Decoder(list[bytes]).decode

PIECE = 1000  # changes: a few milliseconds of work
WHOLE_MAX = 4 * PIECE  # more than this are encoded in pieces
_SLICED = b"\xc1"  # before the pieces; no msgpack value begins so
_INSERTS = b"\x94\x01"  # how (1, table, number of rows, columns) begins
_INSERTS_BY_ROWS = b"\x93"  # how (table, number of rows, rows) begins: the older form
_ONE_TABLE = b"\x92\x91"  # how the changes of one table begin
_NULL = b"\xc0"  # msgpack's; also a byte of some numbers and lengths
_decode_inserts = msgspec.msgpack.Decoder(tuple[int, str, int, list[msgspec.Raw]]).decode
_decode_column = msgspec.msgpack.Decoder(list[Any]).decode
_decode_number = msgspec.msgpack.Decoder(tuple[int, str, int, msgspec.Raw]).decode
_decode_by_rows = msgspec.msgpack.Decoder(tuple[str, int, list[tuple[Any, ...]]]).decode


class RowChange(NamedTuple):
    """One row of SQLite table `table`: old None: inserted; new None: deleted; else updated."""

    table: str
    old: StorageRow | None
    new: StorageRow | None


class Inserted(Sequence[RowChange]):
    """New rows of one table, kept by columns, each of which is decoded when it is asked for."""

    __slots__ = ("_columns", "_count", "_raw", "_rows", "table")

    def __init__(self, table: str, count: int, raw: Sequence[msgspec.Raw]) -> None:
        """raw: the columns of so many rows, encoded."""
        self.table = table
        self._count = count
        self._raw = raw
        self._columns: list[list[Any] | None] = [None] * len(raw)
        self._rows: list[StorageRow] | None = None

    def column(self, at: int) -> list[Any]:
        """The values of one column (-1: of the last one)."""
        found = self._columns[at]
        if found is None:
            found = self._columns[at] = _decode_column(self._raw[at])
        return found

    def has_null(self, at: int) -> bool:
        """One of the values of a column is NULL."""
        return _NULL in bytes(self._raw[at]) and None in self.column(at)

    def flat(self) -> list[Any]:
        """All values, row after row."""
        width = len(self._raw)
        values: list[Any] = [None] * (self._count * width)
        for at in range(width):
            values[at::width] = self.column(at)
        return values

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self._raw)

    @property
    def rows(self) -> list[StorageRow]:
        """The rows."""
        if self._rows is None:
            self._rows = list(zip(*map(self.column, range(self.width)), strict=True))
        return self._rows

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> RowChange: ...
    @overload
    def __getitem__(self, at: slice) -> list[RowChange]: ...
    def __getitem__(self, at: int | slice) -> RowChange | list[RowChange]:
        if isinstance(at, slice):
            return [RowChange(self.table, None, row) for row in self.rows[at]]
        return RowChange(self.table, None, self.rows[at])

    def __iter__(self) -> Iterator[RowChange]:
        for row in self.rows:
            yield RowChange(self.table, None, row)


def encode_inserts(table: str, columns: Sequence[Sequence[StorageValue]]) -> bytes:
    """New rows of a table as bytes, a piece of changes; they need not be encoded again."""
    return _encode((1, table, len(columns[0]), columns))


def decode_inserts(data: bytes) -> Inserted:
    """What `encode_inserts` made. Raises msgspec.DecodeError on other bytes."""
    _, table, count, raw = _decode_inserts(data)
    return Inserted(table, count, raw)


def encode(changes: Sequence[RowChange]) -> bytes:
    """Changes as bytes, each table name once; b"" for none."""
    if len(changes) > WHOLE_MAX:
        return joined(list(encode_slices(changes)))
    return _encode_piece(changes)


def encode_slices(changes: Sequence[RowChange]) -> Iterator[bytes]:
    """The pieces of many changes, so that others get their turn in between; see `joined`."""
    for at in range(0, len(changes), PIECE):
        yield _encode_piece(changes[at : at + PIECE])


def joined(pieces: Sequence[bytes]) -> bytes:
    """The pieces as one: what `encode` gives."""
    if len(pieces) == 1:
        return pieces[0]
    return _SLICED + _encode(pieces) if pieces else b""


def _encode_piece(changes: Sequence[RowChange]) -> bytes:
    if not changes:
        return b""
    first = changes[0].table
    if len(changes) == 1:  # most transactions of an OLTP load
        return _encode(((first,), ((0, changes[0][1], changes[0][2]),)))
    numbers: dict[str, int] = {}
    images = [(numbers.setdefault(table, len(numbers)), old, new) for table, old, new in changes]
    return _encode((tuple(numbers), images))


def decode(data: bytes) -> list[RowChange]:
    """The changes in bytes from `encode`. Raises msgspec.DecodeError, IndexError on other bytes."""
    if data[:1] == _SLICED:
        return [change for piece in decode_slices(data) for change in piece]
    return list(_decode_piece(data))


def decode_slices(data: bytes) -> Iterator[Sequence[RowChange]]:
    """The changes in bytes from `encode`, piece by piece."""
    if data[:1] != _SLICED:
        if data:
            yield _decode_piece(data)
        return
    for piece in _decode_pieces(memoryview(data)[1:]):
        yield _decode_piece(piece)


def count(data: bytes) -> int:
    """How many changes there are in bytes from `encode`; much cheaper than `decode`."""
    if data[:1] == _SLICED:
        return sum(map(count, _decode_pieces(memoryview(data)[1:])))
    if data[:2] == _INSERTS:
        return _decode_number(data)[2]
    if data[:1] == _INSERTS_BY_ROWS:
        return _decode_by_rows(data)[1]
    if not data:
        return 0
    if data[:2] == _ONE_TABLE:  # most transactions: no need to decode
        images = 3 + data[2] - 0xA0
        if 3 <= images < 35 and 0x90 < data[images] < 0xA0:  # a short name, up to 15 changes
            return data[images] - 0x90
    return len(_decode_raw(data)[1])


def _decode_piece(data: bytes) -> Sequence[RowChange]:
    if not data:
        return []
    if data[:2] == _INSERTS:
        return decode_inserts(data)
    if data[:1] == _INSERTS_BY_ROWS:
        table, _, rows = _decode_by_rows(data)
        return [RowChange(table, None, row) for row in rows]
    names, images = _decode(data)
    return [RowChange(names[number], old, new) for number, old, new in images]


def invert(changes: Sequence[RowChange]) -> list[RowChange]:
    """The changes that undo these, in the order in which to apply them."""
    return [RowChange(table, new, old) for table, old, new in reversed(changes)]


def key_of(row: StorageRow, key_positions: Iterable[int]) -> StorageRow:
    """The values of a row's key columns."""
    return tuple(row[position] for position in key_positions)


def keys_of(change: RowChange, key_positions: Sequence[int]) -> tuple[StorageRow, ...]:
    """The distinct keys a change touches: one, or two when an update changed the key."""
    _, old, new = change
    if old is None:
        assert new is not None
        return (key_of(new, key_positions),)
    old_key = key_of(old, key_positions)
    if new is None:
        return (old_key,)
    new_key = key_of(new, key_positions)
    return (old_key,) if new_key == old_key else (old_key, new_key)
