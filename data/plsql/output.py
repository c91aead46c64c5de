"""DBMS_OUTPUT: lines go to the client at once, as notices; GET_LINE and GET_LINES give them again.

TimesTen keeps them in a buffer until the client asks. Here the newest are kept too, as many
characters as ENABLE says, so that programs that ask find them; nobody has to, so a full buffer
loses its oldest lines and is no error.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from data.plsql import values
from data.plsql.errors import PlError, predefined
from data.plsql.scope import Builtin, PackageSymbol, TypeSymbol
from data.plsql.types import Collection, CollectionType, Scalar
from data.plsql.values import Value
from protocol.sqltypes import BIGINT, VARCHAR, Kind, SqlType

if TYPE_CHECKING:
    from data.plsql.context import Context

LINE_CHARS_MAX = 32_767
BUFFER_CHARS = 20_000  # TimesTen's default
BUFFER_CHARS_MAX = 1_000_000
_LINES = CollectionType("CHARARR", "index by", Scalar(VARCHAR), Scalar(BIGINT), 0)
_LINES_ARRAY = CollectionType(
    "DBMSOUTPUT_LINESARRAY", "varray", Scalar(SqlType(Kind.VARCHAR)), None, 2**31 - 1
)


class OutputBuffer:
    """The newest lines of one session."""

    __slots__ = ("_asked", "_chars", "_lines", "limit")

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._chars = 0
        self._asked = False
        self.limit = BUFFER_CHARS

    def put(self, line: str) -> None:
        """One more. What was not taken when somebody had begun to take is dropped."""
        if self._asked:
            self.clear()
        self._lines.append(line)
        self._chars += len(line)
        while self._chars > self.limit and len(self._lines) > 1:
            self._chars -= len(self._lines.popleft())

    def take(self, count: int) -> list[str]:
        """The oldest, up to `count`."""
        self._asked = True
        taken = [self._lines.popleft() for _ in range(min(count, len(self._lines)))]
        self._chars -= sum(map(len, taken))
        return taken

    def clear(self) -> None:
        """Nothing is kept."""
        self._lines.clear()
        self._chars, self._asked = 0, False


def _put(context: Context, given: list[Value]) -> None:
    if context.packages.output_on:
        context.line += values.text(given[0]) or ""
        if len(context.line) > LINE_CHARS_MAX:
            context.line = ""
            raise PlError("", -20000, "ORU-10028: line length overflow, limit of 32767 bytes")


def _new_line(context: Context, given: list[Value]) -> None:
    if context.packages.output_on:
        line, context.line = context.line, ""
        context.packages.output.put(line)
        context.host.notice(line)


def _put_line(context: Context, given: list[Value]) -> None:
    _put(context, given)
    _new_line(context, [])


def _enable(context: Context, given: list[Value]) -> None:
    context.packages.output_on = True
    size = values.number(given[0]) if given else BUFFER_CHARS
    wanted = BUFFER_CHARS_MAX if size is None else int(size)
    context.packages.output.limit = min(max(wanted, 2000), BUFFER_CHARS_MAX)


def _disable(context: Context, given: list[Value]) -> None:
    context.packages.output_on = False
    context.line = ""
    context.packages.output.clear()


def _get_line(context: Context, given: list[Value]) -> list[Value]:
    taken = context.packages.output.take(1)
    return [taken[0] or None, 0] if taken else [None, 1]


def _get_lines(context: Context, given: list[Value]) -> list[Value]:
    wanted = values.number(given[1])
    if wanted is None or wanted < 0:
        raise predefined("VALUE_ERROR", ": NUMLINES is how many lines are wanted")
    taken = context.packages.output.take(int(wanted))
    kind = given[0].type if isinstance(given[0], Collection) else _LINES
    made = Collection(kind)
    made.fill([line or None for line in taken])
    return [made, len(taken)]


def _procedure(name: str, call: object, least: int, most: int, *parameters: str) -> Builtin:
    return Builtin(name, call, least, most, is_function=False, parameters=parameters)  # type: ignore[arg-type]


DBMS_OUTPUT = PackageSymbol(
    "DBMS_OUTPUT",
    {
        "CHARARR": TypeSymbol(_LINES),
        "DBMSOUTPUT_LINESARRAY": TypeSymbol(_LINES_ARRAY),
        "PUT": _procedure("PUT", _put, 1, 1, "A"),
        "PUT_LINE": _procedure("PUT_LINE", _put_line, 1, 1, "A"),
        "NEW_LINE": _procedure("NEW_LINE", _new_line, 0, 0),
        "ENABLE": _procedure("ENABLE", _enable, 0, 1, "BUFFER_SIZE"),
        "DISABLE": _procedure("DISABLE", _disable, 0, 0),
        "GET_LINE": Builtin(
            "GET_LINE", _get_line, 2, 2, False, outs=(0, 1), parameters=("LINE", "STATUS")
        ),
        "GET_LINES": Builtin(
            "GET_LINES", _get_lines, 2, 2, False, outs=(0, 1), parameters=("LINES", "NUMLINES")
        ),
    },
)
