"""UTL_RAW. NUMBER has Oracle's own bytes there; here its bytes are its digits as text."""

from __future__ import annotations

import struct
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from data.plsql import values
from data.plsql.errors import predefined
from data.plsql.scope import Builtin, PackageSymbol
from data.plsql.values import Value

if TYPE_CHECKING:
    from data.plsql.context import Context

RAW_LENGTH_MAX = 32_767


def raw(value: Value) -> bytes:
    """As bytes: texts are hexadecimal. Raises VALUE_ERROR."""
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value if len(value) % 2 == 0 else f"0{value}")
        except ValueError:
            raise predefined("VALUE_ERROR", ": hex to raw conversion error") from None
    return bytes(value)


def _whole(value: Value) -> int:
    number = values.number(value)
    if number is None:
        raise predefined("VALUE_ERROR", ": a number is needed")
    return int(number)


def _substr(context: Context, given: list[Value]) -> Value:
    found, start = raw(given[0]), _whole(given[1])
    begin = start - 1 if start > 0 else len(found) + start
    end = len(found) if len(given) < 3 or given[2] is None else begin + _whole(given[2])
    return found[begin:end] or None


def _bits(operation: Callable[[int, int], int]) -> Callable[[Any, list[Value]], Value]:
    def run(context: Context, given: list[Value]) -> Value:
        a, b = raw(given[0]), raw(given[1])
        short = min(len(a), len(b))
        both = bytes(operation(x, y) for x, y in zip(a[:short], b[:short], strict=True))
        return both + (a if len(a) > short else b)[short:] or None

    return run


def _compare(context: Context, given: list[Value]) -> Value:
    """0 if equal, else the place of the first byte that differs; the shorter one is padded."""
    a, b = raw(given[0]), raw(given[1])
    pad = raw(given[2])[:1] if len(given) > 2 and given[2] is not None else b"\0"
    length = max(len(a), len(b))
    a, b = a.ljust(length, pad), b.ljust(length, pad)
    return next((at + 1 for at in range(length) if a[at] != b[at]), 0)


def _copies(context: Context, given: list[Value]) -> Value:
    found, count = raw(given[0]), _whole(given[1])
    if count < 0 or len(found) * count > RAW_LENGTH_MAX:
        raise predefined("VALUE_ERROR", ": raw variable length too long")
    return found * count or None


def _xrange(context: Context, given: list[Value]) -> Value:
    low = raw(given[0])[0] if given and given[0] is not None else 0
    high = raw(given[1])[0] if len(given) > 1 and given[1] is not None else 255
    return bytes(n % 256 for n in range(low, (high if high >= low else high + 256) + 1))


def _overlay(context: Context, given: list[Value]) -> Value:
    over, target = raw(given[0]), raw(given[1])
    at = (_whole(given[2]) if len(given) > 2 and given[2] is not None else 1) - 1
    length = _whole(given[3]) if len(given) > 3 and given[3] is not None else len(over)
    pad = raw(given[4])[:1] if len(given) > 4 and given[4] is not None else b"\0"
    if at < 0 or length < 0 or at + length > RAW_LENGTH_MAX:
        raise predefined("VALUE_ERROR", ": OVERLAY beyond the value")
    target = target.ljust(at, pad)
    return target[:at] + over[:length].ljust(length, pad) + target[at + length :] or None


def _translate(context: Context, given: list[Value]) -> Value:
    found, old, new = (raw(value) for value in given)
    table = {byte: new[at : at + 1] for at, byte in reversed(list(enumerate(old)))}
    return b"".join(table.get(byte, bytes([byte])) for byte in found) or None


def _from_number(context: Context, given: list[Value]) -> Value:
    number = values.number(given[0])
    return None if number is None else (values.text(number) or "").encode()


def _to_number(context: Context, given: list[Value]) -> Value:
    if given[0] is None:
        return None
    try:
        return values.whole(Decimal(raw(given[0]).decode()))
    except (ArithmeticError, UnicodeDecodeError):
        raise predefined("VALUE_ERROR", ": these bytes are no number") from None


def _packed(form: str) -> tuple[Callable[..., Value], Callable[..., Value]]:
    """CAST_FROM and CAST_TO of a fixed form; the second argument: 2, 3 is little-endian."""
    size = struct.calcsize(form)

    def order(given: list[Value]) -> str:
        return "<" if len(given) > 1 and given[1] in (2, 3) else ">"

    def make(context: Context, given: list[Value]) -> Value:
        value = values.number(given[0])
        if value is None:
            return None
        plain = int(value) if form == "i" else float(value)
        return struct.pack(order(given) + form, plain)

    def read(context: Context, given: list[Value]) -> Value:
        if given[0] is None:
            return None
        found = raw(given[0])
        if len(found) > size:
            raise predefined("VALUE_ERROR", f": at most {size} bytes")
        pad = found.rjust(size, b"\0") if order(given) == ">" else found.ljust(size, b"\0")
        return struct.unpack(order(given) + form, pad)[0]

    return make, read


_FROM_INT, _TO_INT = _packed("i")
_FROM_FLOAT, _TO_FLOAT = _packed("f")
_FROM_DOUBLE, _TO_DOUBLE = _packed("d")
_ROUTINES: tuple[tuple[str, Callable[[Any, list[Value]], Any], int, int], ...] = (
    ("BIT_AND", _bits(lambda a, b: a & b), 2, 2),
    ("BIT_COMPLEMENT", lambda c, g: bytes(255 - b for b in raw(g[0])) or None, 1, 1),
    ("BIT_OR", _bits(lambda a, b: a | b), 2, 2),
    ("BIT_XOR", _bits(lambda a, b: a ^ b), 2, 2),
    ("CAST_FROM_BINARY_DOUBLE", _FROM_DOUBLE, 1, 2),
    ("CAST_FROM_BINARY_FLOAT", _FROM_FLOAT, 1, 2),
    ("CAST_FROM_BINARY_INTEGER", _FROM_INT, 1, 2),
    ("CAST_FROM_NUMBER", _from_number, 1, 1),
    ("CAST_TO_BINARY_DOUBLE", _TO_DOUBLE, 1, 2),
    ("CAST_TO_BINARY_FLOAT", _TO_FLOAT, 1, 2),
    ("CAST_TO_BINARY_INTEGER", _TO_INT, 1, 2),
    ("CAST_TO_NUMBER", _to_number, 1, 1),
    ("CAST_TO_NVARCHAR2", lambda c, g: raw(g[0]).decode(errors="replace") or None, 1, 1),
    ("CAST_TO_RAW", lambda c, g: (values.text(g[0]) or "").encode() or None, 1, 1),
    ("CAST_TO_VARCHAR2", lambda c, g: raw(g[0]).decode(errors="replace") or None, 1, 1),
    ("COMPARE", _compare, 2, 3),
    ("CONCAT", lambda c, g: b"".join(raw(v) for v in g) or None, 1, 12),
    ("COPIES", _copies, 2, 2),
    ("LENGTH", lambda c, g: len(raw(g[0])) or None, 1, 1),
    ("OVERLAY", _overlay, 2, 5),
    ("REVERSE", lambda c, g: raw(g[0])[::-1] or None, 1, 1),
    ("SUBSTR", _substr, 2, 3),
    ("TRANSLATE", _translate, 3, 3),
    ("XRANGE", _xrange, 0, 2),
)
UTL_RAW = PackageSymbol(
    "UTL_RAW", {name: Builtin(name, call, least, most) for name, call, least, most in _ROUTINES}
)
