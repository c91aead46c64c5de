"""DBMS_LOB on CLOB and BLOB values. They are values, not places in the database: what changes one
takes it as IN OUT, and an UPDATE stores it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from data.plsql import values
from data.plsql.errors import PlError, predefined
from data.plsql.scope import Builtin, PackageSymbol
from data.plsql.values import Value
from data.sql import strings

if TYPE_CHECKING:
    from data.plsql.context import Context

LOB_LENGTH_MAX = 4 << 20
CHUNK = 32_767
_ALL = 18_446_744_073_709_551_615  # LOBMAXSIZE


def _lob(value: Value) -> Any:
    if value is None or isinstance(value, bytes):
        return value
    return values.text(value)


def _whole(value: Value, default: int) -> int:
    number = values.number(value)
    return default if number is None else int(number)


def _at(given: list[Value], place: int, default: int) -> int:
    return _whole(given[place], default) if len(given) > place else default


def _offset(given: list[Value], place: int) -> int:
    offset = _at(given, place, 1)
    if offset < 1:
        raise PlError("", -21560, "argument 3 is null, invalid, or out of range")
    return offset - 1


def _length(context: Context, given: list[Value]) -> Value:
    lob = _lob(given[0])
    return None if lob is None else len(lob)


def _substr(context: Context, given: list[Value]) -> Value:
    lob, amount, offset = _lob(given[0]), _at(given, 1, CHUNK), _at(given, 2, 1)
    if lob is None or amount < 1 or offset < 1:
        return None
    return lob[offset - 1 : offset - 1 + min(amount, CHUNK)] or None


def _instr(context: Context, given: list[Value]) -> Value:
    lob, pattern = _lob(given[0]), _lob(given[1])
    if lob is None or pattern is None:
        return None
    offset, nth = _at(given, 2, 1), _at(given, 3, 1)
    if isinstance(lob, str):
        return strings.instr(lob, values.text(pattern) or "", offset, nth)
    at = offset - 1
    for _ in range(nth):
        at = lob.find(pattern, at) + 1
        if not at:
            return 0
    return at


def _compare(context: Context, given: list[Value]) -> Value:
    a, b, amount = _lob(given[0]), _lob(given[1]), _at(given, 2, _ALL)
    first, second = _at(given, 3, 1) - 1, _at(given, 4, 1) - 1
    if a is None or b is None or first < 0 or second < 0:
        return None
    a, b = a[first : first + amount], b[second : second + amount]
    return (a > b) - (a < b)


def _checked(lob: Any) -> list[Value]:
    if len(lob) > LOB_LENGTH_MAX:
        raise predefined("VALUE_ERROR", f": a LOB holds at most {LOB_LENGTH_MAX >> 20} MiB")
    return [lob or None]


def _both(given: list[Value], place: int) -> tuple[Any, Any]:
    """The LOB that is changed, and what comes into it; NULL is empty."""
    lob, more = _lob(given[0]), _lob(given[place])
    if isinstance(lob, bytes) and isinstance(more, str):
        more = bytes.fromhex(more)
    empty: Any = b"" if isinstance(lob, bytes) or isinstance(more, bytes) else ""
    return (empty if lob is None else lob), (empty if more is None else more)


def _append(context: Context, given: list[Value]) -> list[Value]:
    lob, more = _both(given, 1)
    return _checked(lob + more)


def _put(lob: Any, at: int, more: Any) -> list[Value]:
    fill = b"\0" if isinstance(lob, bytes) else " "
    padded = lob + fill * (at - len(lob))
    return _checked(padded[:at] + more + padded[at + len(more) :])


def _write(context: Context, given: list[Value]) -> list[Value]:
    lob, more = _both(given, 3)
    return _put(lob, _offset(given, 2), more[: _at(given, 1, 0)])


def _write_append(context: Context, given: list[Value]) -> list[Value]:
    lob, more = _both(given, 2)
    return _checked(lob + more[: _at(given, 1, 0)])


def _copy(context: Context, given: list[Value]) -> list[Value]:
    lob, more = _both(given, 1)
    source = _offset(given, 4)
    return _put(lob, _offset(given, 3), more[source : source + _at(given, 2, _ALL)])


def _erase(context: Context, given: list[Value]) -> list[Value]:
    lob, _ = _both(given, 0)
    at = _offset(given, 2)
    gone = len(lob[at : at + _at(given, 1, 0)])
    fill = b"\0" if isinstance(lob, bytes) else " "
    return [*_put(lob, at, fill * gone), gone]


def _trim(context: Context, given: list[Value]) -> list[Value]:
    lob, _ = _both(given, 0)
    length = _at(given, 1, 0)
    if length > len(lob):
        raise PlError(
            "", -22926, "specified trim length is greater than current LOB value's length"
        )
    return [lob[:length] or None]


def _read(context: Context, given: list[Value]) -> list[Value]:
    lob, _ = _both(given, 0)
    at = _offset(given, 2)
    some = lob[at : at + min(_at(given, 1, 0), CHUNK)]
    if not some:
        raise predefined("NO_DATA_FOUND")
    return [len(some), some]


def _function(name: str, call: Callable[[Any, list[Value]], Any], least: int, most: int) -> Builtin:
    return Builtin(name, call, least, most)


def _procedure(
    name: str, call: Callable[[Any, list[Value]], Any], least: int, most: int, *outs: int
) -> Builtin:
    return Builtin(name, call, least, most, False, outs)


_ROUTINES = (
    _function("GETLENGTH", _length, 1, 1),
    _function("SUBSTR", _substr, 1, 3),
    _function("INSTR", _instr, 2, 4),
    _function("COMPARE", _compare, 2, 5),
    _function("ISTEMPORARY", lambda c, g: 1, 1, 1),
    _function("ISOPEN", lambda c, g: 0, 1, 1),
    _function("GETCHUNKSIZE", lambda c, g: CHUNK, 1, 1),
    _procedure("APPEND", _append, 2, 2, 0),
    _procedure("WRITE", _write, 4, 4, 0),
    _procedure("WRITEAPPEND", _write_append, 3, 3, 0),
    _procedure("COPY", _copy, 3, 5, 0),
    _procedure("ERASE", _erase, 2, 3, 0, 1),
    _procedure("TRIM", _trim, 2, 2, 0),
    _procedure("READ", _read, 4, 4, 1, 3),
    _procedure("CREATETEMPORARY", lambda c, g: [None], 1, 3, 0),
    _procedure("FREETEMPORARY", lambda c, g: [None], 1, 1, 0),
    _procedure("OPEN", lambda c, g: None, 2, 2),
    _procedure("CLOSE", lambda c, g: None, 1, 1),
)
DBMS_LOB = PackageSymbol(
    "DBMS_LOB",
    {
        **{routine.name: routine for routine in _ROUTINES},
        **{
            name: Builtin(name, lambda c, g, n=number: n, 0, 0)  # type: ignore[misc]
            for name, number in (
                ("LOBMAXSIZE", _ALL),
                ("LOB_READONLY", 0),
                ("LOB_READWRITE", 1),
                ("CALL", 12),
                ("SESSION", 10),
            )
        },
    },
)
