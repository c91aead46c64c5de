"""Makes the function that turns rows into DataRow messages, as Python source fitted to its columns.

A loop over per-column functions costs a call and a list per value; the generated function has the
columns in local variables and their conversions in line, and takes half the time (docs: DESIGN.md).
The source is put together from the fixed expressions of this package only, never from client data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

from protocol.sqltypes import StorageRow

EncodeRows = Callable[[Iterable[StorageRow]], bytes]

_NULL = b"\xff\xff\xff\xff"
_BODY_AT = 7  # of a DataRow: behind its kind, length and count of columns
INLINE_COLUMNS_MAX = 100
_LENGTHS = tuple(length.to_bytes(4, "big") for length in range(1024))


class CellCode(NamedTuple):
    """How one column is encoded.

    `expression` is Python for the bytes of a value that is not NULL: `{v}` stands for the value,
    `{f}` for `function`. With `is_whole` the bytes begin with their own length.
    """

    expression: str
    function: Callable[..., Any] | None = None
    is_whole: bool = False


def source_of(cells: Sequence[CellCode]) -> str:
    """The source of a function encode(rows) for these columns."""
    names = [f"c{number}" for number in range(len(cells))]
    lines = ["def encode(rows):", " out = []"]
    lines.append(f" for {''.join(name + ',' for name in names) or '_'} in rows:")
    for number, (name, cell) in enumerate(zip(names, cells, strict=True)):
        expression = cell.expression.format(v=name, f=f"f{number}")
        lines.append(f"  if {name} is None: {name} = NULL")
        if cell.is_whole:
            lines.append(f"  else: {name} = {expression}")
        else:
            lines.append("  else:")
            lines.append(f"   {name} = {expression}")
            lines.append(f"   n = len({name})")
            lines.append(f"   {name} = (LENGTHS[n] if n < 1024 else n.to_bytes(4, 'big')) + {name}")
    lines.append(f"  body = {' + '.join(names) if 0 < len(names) < 3 else _joined(names)}")
    lines.append("  n = len(body) + 6")
    lines.append("  head = LENGTHS[n] if n < 1024 else n.to_bytes(4, 'big')")
    lines.append("  out.append(b'D' + head + COUNT + body)")
    lines.append(" return out[0] if len(out) == 1 else b''.join(out)")
    return "\n".join(lines)


def _joined(names: list[str]) -> str:
    return f"b''.join(({', '.join(names)}))" if names else "b''"


def _looped(cells: Sequence[CellCode]) -> EncodeRows:
    """A loop over per-column functions: compiling a long function takes longer than it saves."""
    made: dict[CellCode, EncodeRows] = {}
    for cell in cells:
        if cell not in made:
            made[cell] = compiled([cell])
    functions = [made[cell] for cell in cells]
    count = len(cells).to_bytes(2, "big")

    def encode(rows: Iterable[StorageRow]) -> bytes:
        out = bytearray()
        for row in rows:
            values = zip(functions, row, strict=True)
            body = b"".join([_NULL if v is None else one([(v,)])[_BODY_AT:] for one, v in values])
            out += b"D" + (len(body) + 6).to_bytes(4, "big") + count + body
        return bytes(out)

    return encode


def compiled(cells: Sequence[CellCode]) -> EncodeRows:
    """The function itself: rows (one value per column) → finished DataRow messages."""
    if len(cells) > INLINE_COLUMNS_MAX:
        return _looped(cells)
    scope: dict[str, Any] = {
        "NULL": _NULL,
        "LENGTHS": _LENGTHS,
        "COUNT": len(cells).to_bytes(2, "big"),
    }
    for number, cell in enumerate(cells):
        scope[f"f{number}"] = cell.function
    exec(compile(source_of(cells), "<row encoder>", "exec"), scope)
    return cast(EncodeRows, scope["encode"])
