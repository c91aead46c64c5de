"""PL/SQL text → tokens. Pure. One regular expression; SQL inside a block is tokens too."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from protocol.errors import NotSupportedError, SqlSyntaxError

NAME, QUOTED, NUMBER, STRING, OPERATOR, BIND, END = (
    "name",
    "quoted",
    "number",
    "string",
    "operator",
    "bind",
    "end",
)

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<q>[nN]?[qQ]'(?:\[.*?\]'|\{.*?\}'|\(.*?\)'|<.*?>'|(?P<mark>[^\s\[{(<]).*?(?P=mark)'))
    | (?P<string>[nN]?'(?:[^']|'')*')
    | (?P<quoted>"[^"]+")
    | (?P<number>(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?(?![A-Za-z_]))
    | (?P<name>[A-Za-z_][\w$\#]*)
    | (?P<bind>:[A-Za-z_]\w*|:\d+|\$\d+|\?)
    | (?P<operator>:=|=>|\.\.|\*\*|\|\||<>|!=|\^=|~=|<=|>=|<<|>>|[-+*/=<>().,;%@])
    """,
    re.VERBOSE | re.DOTALL,
)


_MARK = re.compile(  # a placeholder, or what only looks like one
    r"""--[^\n]*|/\*.*?\*/|[nN]?'(?:[^']|'')*'|"[^"]*"
    | [nN]?[qQ]'(?:\[.*?\]'|\{.*?\}'|\(.*?\)'|<.*?>'|(?P<mark>[^\s\[{(<]).*?(?P=mark)')
    | ::|[\w$\#]+|(?P<bind>:(?:[A-Za-z_][\w$\#]*|\d+))
    """,
    re.VERBOSE | re.DOTALL,
)
_CONDITIONAL = re.compile(r"\$(?:\$?[A-Za-z])")


class Token(NamedTuple):
    """`text`: names in upper case (quoted ones as they are), strings by value, others as written.

    `start` and `end` are offsets in the text.
    """

    kind: str
    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """All tokens, an END token last. Raises SqlSyntaxError."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            if _CONDITIONAL.match(text, position):
                raise NotSupportedError(
                    "conditional compilation ($IF, $$NAME, $ERROR) is not supported",
                    position=position + 1,
                )
            shown = text[position : position + 20].split("\n")[0]
            raise SqlSyntaxError(f'syntax error at or near "{shown}"', position=position + 1)
        kind = match.lastgroup or ""
        if kind == "mark":
            kind = "q"
        raw, start, position = match.group(), position, match.end()
        if kind == "space":
            continue
        found.append(Token(*_meaning(kind, raw), start, position))
    found.append(Token(END, "", len(text), len(text)))
    return found


def _meaning(kind: str, raw: str) -> tuple[str, str]:
    if kind == "name":
        return NAME, raw.upper()
    if kind == "quoted":
        return QUOTED, raw[1:-1]
    if kind == "string":
        return STRING, raw[raw.index("'") + 1 : -1].replace("''", "'")
    if kind == "q":
        return STRING, raw[raw.index("'") + 2 : -2]
    return kind, raw


@lru_cache(maxsize=256)
def by_position(sql: str) -> tuple[str, int]:
    """SQL with $1, $2, … for :a, :b, … in the order they stand in, and how many.

    As Oracle binds dynamic SQL: a name that comes twice takes two values.
    """
    count = 0

    def number(match: re.Match[str]) -> str:
        nonlocal count
        if match["bind"] is None:
            return match[0]
        count += 1
        return f"${count}"

    return _MARK.sub(number, sql), count


def line_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1
