"""Text → tokens with their places, for statements sqlglot does not know (DDL, GRANT). Pure."""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from data.sql.text import unescaped
from protocol.errors import SqlSyntaxError
from protocol.names import folded_quoted


class TokenKind(Enum):
    """What a token is."""

    WORD = "word"  # keyword or unquoted name; value: folded to upper case
    QUOTED = "quoted"  # "name"; value: as written
    STRING = "string"  # 'text'; value: its content
    NUMBER = "number"
    OP = "op"
    END = "end"


class Token(NamedTuple):
    """`start`, `end`: 0-based places in the text."""

    kind: TokenKind
    value: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<escape>[eE]'(?:[^'\\]|\\.|'')*')
  | (?P<string>[nN]?'(?:[^']|'')*')
  | (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)?\$)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d][\w$\#]*)
  | (?P<op>::|<>|!=|<=|>=|\|\||[-+*/%(),.;=<>:?$@\[\]&|^~!{}\#\\])
    """,
    re.VERBOSE | re.DOTALL,
)


def _unescape(text: str) -> str:
    return unescaped(re.sub(r"(\\.)|''", lambda m: m[1] or "'", text, flags=re.DOTALL))


def tokenize(text: str) -> list[Token]:
    """All tokens, an END last. Raises SqlSyntaxError."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SqlSyntaxError(f'syntax error at or near "{text[at]}"', position=at + 1)
        end = match.end()
        group = match.lastgroup
        if match["dollar"] is not None:
            tag = match["tag"] or ""
            skip = len(tag) + 2
            tokens.append(Token(TokenKind.STRING, text[at + skip : end - skip], at, end))
        elif group == "word":
            tokens.append(Token(TokenKind.WORD, match[0].upper(), at, end))
        elif group == "quoted":
            name = folded_quoted(match[0][1:-1].replace('""', '"'))
            tokens.append(Token(TokenKind.QUOTED, name, at, end))
        elif group == "string":
            body = match[0][match[0].index("'") + 1 : -1].replace("''", "'")
            tokens.append(Token(TokenKind.STRING, body, at, end))
        elif group == "escape":
            tokens.append(Token(TokenKind.STRING, _unescape(match[0][2:-1]), at, end))
        elif group == "number":
            tokens.append(Token(TokenKind.NUMBER, match[0], at, end))
        elif group == "op":
            tokens.append(Token(TokenKind.OP, match[0], at, end))
        at = end
    tokens.append(Token(TokenKind.END, "", len(text), len(text)))
    return tokens


class Cursor:
    """A place in a token list, with the steps a recursive-descent parser takes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.at = 0

    @property
    def token(self) -> Token:
        """The token ahead."""
        return self.tokens[self.at]

    @property
    def position(self) -> int:
        """1-based place of the token ahead, as errors carry it."""
        return self.token.start + 1

    def error(self, expected: str = "") -> SqlSyntaxError:
        """The error for what stands ahead."""
        token = self.token
        seen = self.text[token.start : token.end]
        where = f'at or near "{seen}"' if seen else "at end of input"
        wanted = f", expected {expected}" if expected else ""
        return SqlSyntaxError(f"syntax error {where}{wanted}", position=self.position)

    def at_word(self, *words: str) -> bool:
        """Do these keywords stand ahead, one after the other?"""
        ahead = self.tokens[self.at : self.at + len(words)]
        return len(ahead) == len(words) and all(
            t.kind is TokenKind.WORD and t.value == w for t, w in zip(ahead, words, strict=True)
        )

    def take_word(self, *words: str) -> bool:
        """Step over these keywords if they stand ahead."""
        if self.at_word(*words):
            self.at += len(words)
            return True
        return False

    def take_any(self, *words: str) -> str:
        """Step over one of the keywords; "" if none stands ahead."""
        if self.token.kind is TokenKind.WORD and self.token.value in words:
            return self.next().value
        return ""

    def need_word(self, *words: str) -> None:
        """Raises SqlSyntaxError."""
        for word in words:
            if not self.take_word(word):
                raise self.error(word)

    def at_op(self, op: str) -> bool:
        """Does this operator stand ahead?"""
        return self.token.kind is TokenKind.OP and self.token.value == op

    def take_op(self, op: str) -> bool:
        """Step over an operator if it stands ahead."""
        if self.at_op(op):
            self.at += 1
            return True
        return False

    def need_op(self, op: str) -> None:
        """Raises SqlSyntaxError."""
        if not self.take_op(op):
            raise self.error(f'"{op}"')

    def next(self) -> Token:
        """The token ahead, stepped over."""
        token = self.token
        if token.kind is not TokenKind.END:
            self.at += 1
        return token

    def name(self) -> str:
        """One folded name. Raises SqlSyntaxError."""
        if self.token.kind in (TokenKind.WORD, TokenKind.QUOTED) and self.token.value:
            return self.next().value
        raise self.error("a name")

    def name_parts(self) -> tuple[str, ...]:
        """A name with its qualifiers."""
        parts = [self.name()]
        while self.take_op("."):
            parts.append(self.name())
        return tuple(parts)

    def names_in_parens(self) -> tuple[str, ...]:
        """(a, b, c)"""
        self.need_op("(")
        names = [self.name()]
        while self.take_op(","):
            names.append(self.name())
        self.need_op(")")
        return tuple(names)

    def string(self) -> str:
        """A string literal. Raises SqlSyntaxError."""
        if self.token.kind is not TokenKind.STRING:
            raise self.error("a string")
        return self.next().value

    def integer(self) -> int:
        """A whole number, perhaps negative. Raises SqlSyntaxError."""
        sign = -1 if self.take_op("-") else 1
        self.take_op("+")
        if self.token.kind is not TokenKind.NUMBER or not self.token.value.isdigit():
            raise self.error("an integer")
        return sign * int(self.next().value)

    def slice_from(self, start: int) -> str:
        """The text from token number `start` up to the token ahead."""
        if start >= self.at:
            return ""
        return self.text[self.tokens[start].start : self.tokens[self.at - 1].end]

    def skip_parens(self) -> str:
        """Step over (…) and give the text inside."""
        self.need_op("(")
        start, depth = self.at, 1
        while True:
            token = self.next()
            if token.kind is TokenKind.END:
                raise self.error('")"')
            if token.kind is TokenKind.OP:
                depth += {"(": 1, ")": -1}.get(token.value, 0)
            if depth == 0:
                break
        inner = self.tokens[start : self.at - 1]
        return self.text[inner[0].start : inner[-1].end] if inner else ""

    def rest(self) -> str:
        """The text from here to the end, without a final semicolon; steps to the end."""
        start = self.at
        while self.token.kind is not TokenKind.END and not (
            self.at_op(";") and self.tokens[self.at + 1].kind is TokenKind.END
        ):
            self.at += 1
        return self.slice_from(start)

    def need_end(self) -> None:
        """Raises SqlSyntaxError unless only a semicolon follows."""
        self.take_op(";")
        if self.token.kind is not TokenKind.END:
            raise self.error()
