"""Rows of numbers and texts in text format as DataRow messages, and plain numbers out of
parameters: what reads by key consist of. Hot; made for machine code (daemons/compiled.py).

`row_code.py` is the reference, serves everything else, and all rows where nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.sqltypes import SqlType, StorageRow

_NULL: Final = b"\xff\xff\xff\xff"
_SHORT: Final = 1024  # bytes; lengths below are ready made
_LENGTHS: Final = tuple([n.to_bytes(4, "big") for n in range(_SHORT)])
_HEADS: Final = tuple([b"D" + n.to_bytes(4, "big") for n in range(_SHORT)])
_BLANKS: Final = tuple([b" " * n for n in range(_SHORT)])


class PlainRows:
    """A RowEncoder for columns whose values are their own text, or CHAR filled with blanks.

    `widths`, one per column: 0, or to how many characters (negative: bytes) blanks are added.
    """

    def __init__(
        self, types: tuple[SqlType, ...], formats: tuple[int, ...], widths: tuple[int, ...]
    ) -> None:
        self.types = types
        self.formats = formats
        self._widths = list(widths)
        self._columns = len(widths)
        self._count = len(widths).to_bytes(2, "big")

    def __call__(self, rows: Iterable[StorageRow], /) -> bytes:
        """See RowEncoder. Raises ValueError for a row of another number of columns."""
        columns, widths = self._columns, self._widths
        out: list[bytes] = []
        for row in rows:
            if len(row) != columns:
                raise ValueError(f"a row of {len(row)} values for {columns} columns")
            head = len(out)
            out.append(_NULL)  # the place of kind and length
            out.append(self._count)
            size = 6
            for at in range(columns):
                value = row[at]
                if value is None:
                    out.append(_NULL)
                    size += 4
                    continue
                text = value if isinstance(value, str) else str(value)
                data = text.encode()
                length, width = len(data), widths[at]
                blanks = 0
                if width:
                    blanks = width - len(text) if width > 0 else -width - length
                    blanks = max(blanks, 0)
                    length += blanks
                out.append(_LENGTHS[length] if length < _SHORT else length.to_bytes(4, "big"))
                out.append(data)
                if blanks:
                    out.append(_BLANKS[blanks] if blanks < _SHORT else b" " * blanks)
                size += 4 + length
            out[head] = _HEADS[size] if size < _SHORT else b"D" + size.to_bytes(4, "big")
        return b"".join(out)


def plain_number(data: bytes, digits: int) -> int:
    """What 1 to `digits` decimal digits say; -1: `data` is something else."""
    length = len(data)
    if not 0 < length <= digits:
        return -1
    number = 0
    for at in range(length):
        digit = data[at] - 48
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number
