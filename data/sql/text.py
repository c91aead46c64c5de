"""SQL text before it is parsed: statements of a simple query; literals out for the plan cache.

Pure. `normalise` is on the hot path of clients that send literals (simple protocol): one compiled
regular expression cuts the text at literals; what is left is looked up. A statement seen for the
first time is cut at comments and the few words after which a literal must stay as it is, too.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from data.sql.block_end import BlockEnd
from protocol.errors import InvalidTextError, TooLargeError
from protocol.limits import SCRIPT_CHARS_MAX
from protocol.sqltypes import ANY_SCALE, UNKNOWN, Kind, SqlType, StorageValue, canonical_number

LITERALS_MAX = 64  # statements with more are compiled as they are: hardly sent twice

_STRING = r"'[^']*(?:''[^']*)*'"
_TOKENS = re.compile(
    rf"""(
      (?<![\w$\#'"]){_STRING}(?!')
    | (?<![\w$\#.])(?<![\d.][eE][+-])\d+(?:\.\d+)?(?![\w$\#.])
    | "[^"]*"
    | --[^\n]*
    | /\*.*?\*/
    | ['$?:\[]
    | (?<![\w$\#.])\d
    | (?<![\w$\#."])(?:group|order|limit|offset|fetch|first|rows|over|cast|interval|escape|with
        |union|minus|except|intersect)(?![\w$\#"])
    | (?:date|time|timestamp)\s*'
    )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_STOP_WORDS = frozenset({"order", "limit", "offset", "fetch"})  # literals after these stay
_DML = re.compile(r"\s*(?:select|insert|update|delete)\b", re.IGNORECASE)
# few classes of digits, so that statements share plans and money times a literal stays an int
_TINY = tuple(SqlType(Kind.NUMBER, 4, s) for s in range(5))
_SMALL = tuple(SqlType(Kind.NUMBER, 9, s) for s in range(10))
_LARGE = tuple(SqlType(Kind.NUMBER, 18, s) for s in range(19))
_UNSCALED = SqlType(Kind.NUMBER, 0, ANY_SCALE)


_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def unescaped(text: str) -> str:
    """The content of E'…', its quotes already single. Raises InvalidTextError."""
    out = bytearray()
    done = 0
    try:
        for match in _ESCAPE.finditer(text):
            out += text[done : match.start()].encode()
            done = match.end()
            byte16, byte8, short, long, plain = match.groups()
            if byte16 or byte8:
                out.append(int(byte16, 16) if byte16 else int(byte8, 8) % 256)
            elif short or long:
                out += chr(int(short or long, 16)).encode()
            else:
                out += _ESCAPED.get(plain, plain).encode()
        found = (out + text[done:].encode()).decode()
    except (ValueError, OverflowError):
        found = "\0"
    if "\0" in found:
        raise InvalidTextError(f"E'{text[:60]}' is not a text: its bytes are no UTF-8, or zero")
    return found


class Normalised(NamedTuple):
    """`key`: the text with $1..$n for its literals; `values` are storage values of `types`.

    A string literal has type UNKNOWN: it takes the type of its context, and its value has to be
    converted to `CompiledStatement.param_types[i]` (data.sql.convert.adapt).
    """

    key: str
    values: tuple[StorageValue, ...]
    types: tuple[SqlType, ...]


def number_literal(text: str) -> tuple[StorageValue, SqlType]:
    """Storage value and type of a number without sign and exponent, by classes of digits."""
    whole, _, fraction = text.partition(".")
    scale = len(fraction)
    digits = max(len(whole), 1) + scale
    if digits <= 4:
        return int(whole + fraction), _TINY[scale]
    if digits <= 9:
        return int(whole + fraction), _SMALL[scale]
    if digits <= 18:
        return int(whole + fraction), _LARGE[scale]
    from decimal import Decimal

    return canonical_number(Decimal(text)), _UNSCALED


# Words after which a literal may have to stay, or that make the quick scan unsafe. Found anywhere,
# even inside a name, they only mean that the careful scan is used.
_CAREFUL = [
    "order",
    "group",
    "limit",
    "offset",
    "fetch",
    "first",
    "rows",
    "over",
    "cast",
    "interval",
    "escape",
    "with",
    "union",
    "minus",
    "except",
    "intersect",
    '"',
    "--",
    "/*",
    "$",
    "?",
    ":",
    "[",
    "''",
]
# A string or a number without sign and exponent. Its first character is a plain set, which makes
# the search skip what cannot begin one.
_QUICK = re.compile(
    r"""(['0-9](?:
      (?<=')[^']*'
    | (?<=[0-9])(?<![\w.#][0-9])(?<![\d.][eE][+-][0-9])[0-9]*(?:\.[0-9]+)?(?![\w.#])
    ))""",
    re.VERBOSE,
)
_BEFORE_STRING = frozenset(
    [
        "like",
        "select",
        "and",
        "or",
        "then",
        "else",
        "when",
        "between",
        "returning",
        "in",
        "set",
        "not",
        "values",
    ]
)


_AS_IT_IS, _CAREFULLY = "-", ""  # instead of a key
_SKELETONS_MAX = 2000
_SKELETON_PARTS_MAX = 40  # longer ones are worked out each time
_skeletons: dict[tuple[object, ...], str] = {}


def normalise(text: str) -> Normalised:
    """Take the literals out of a SELECT, INSERT, UPDATE or DELETE.

    Where that could change the meaning (grouping, ordinals, typed literals, existing parameters, …)
    the text comes back as it is, without values.

    What is to be done follows from the *skeleton*: the text with types in place of its literals. It
    is remembered, so that other literals in the same statement cost one split and one look-up.
    """
    parts: list[Any] = _QUICK.split(text, LITERALS_MAX + 1)
    if len(parts) == 1 or len(parts) > 2 * LITERALS_MAX:
        return _normalise_carefully(text) if _needs_care(text) else Normalised(text, (), ())
    values: list[StorageValue] = []
    types: list[SqlType] = []
    for i in range(1, len(parts), 2):
        token: str = parts[i]
        if token[0] == "'":
            values.append(token[1:-1])
            type_ = UNKNOWN
        elif "." not in token and len(token) <= 9:
            values.append(int(token))
            type_ = _TINY[0] if len(token) <= 4 else _SMALL[0]
        else:
            value, type_ = number_literal(token)
            values.append(value)
        types.append(type_)
        parts[i] = type_
    skeleton = tuple(parts)
    key = _skeletons.get(skeleton)
    if key is None:
        key = _key_of(parts)
        if len(parts) <= _SKELETON_PARTS_MAX and len(text) <= SCRIPT_CHARS_MAX // 1000:
            if len(_skeletons) >= _SKELETONS_MAX:
                _skeletons.clear()
            _skeletons[skeleton] = key
    if key == _CAREFULLY:
        return _normalise_carefully(text)
    if key == _AS_IT_IS:
        return Normalised(text, (), ())
    return Normalised(key, tuple(values), tuple(types))


def _key_of(parts: list[Any]) -> str:
    """The key for a skeleton: text and types in turn; or what has to be done with it."""
    texts: list[str] = parts[::2]
    if _needs_care("\n".join(texts)) or "" in texts[1:-1]:
        return _CAREFULLY
    for before, type_, after in zip(texts, parts[1::2], texts[1:], strict=False):
        if type_ is UNKNOWN and (_is_prefixed(before) or after[:1].isalnum()):
            return _CAREFULLY
    if "'" in "".join(texts) or not _DML.match(texts[0]):
        return _AS_IT_IS  # a string that does not end
    numbered = [f"${i // 2 + 1}" if i % 2 else part for i, part in enumerate(parts)]
    return "".join(numbered)


def _needs_care(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in _CAREFUL)


def _is_prefixed(before: str) -> bool:
    """Does a word that belongs to the string stand before it: DATE '…', N'…'?"""
    last = before[-1:]
    if last.isalnum() or last in "_'":
        return True
    word = before.rstrip()[-12:]
    return word[-1:].isalnum() and word.split()[-1].lower() not in _BEFORE_STRING


def _normalise_carefully(text: str) -> Normalised:
    """The same by the full scan."""
    parts = _TOKENS.split(text, LITERALS_MAX + 1)
    if len(parts) == 1 or len(parts) > 2 * LITERALS_MAX or not _DML.match(text):
        return Normalised(text, (), ())
    values: list[StorageValue] = []
    types: list[SqlType] = []
    for i in range(1, len(parts), 2):
        token = parts[i]
        first = token[0]
        if first == "'":
            if len(token) < 2:
                return Normalised(text, (), ())
            value: StorageValue = token[1:-1]
            if "''" in token:
                value = token[1:-1].replace("''", "'")
            values.append(value)
            types.append(UNKNOWN)
        elif "0" <= first <= "9":
            before = parts[i - 1]
            if len(token) == 1 and parts[i + 1][:1].isalnum():
                return Normalised(text, (), ())  # 1e5, 2f
            if before.endswith((".", "e")):
                return Normalised(text, (), ())
            number, kind = number_literal(token)
            values.append(number)
            types.append(kind)
        elif first in '"-/':
            continue
        elif token.lower() in _STOP_WORDS:
            break
        else:
            return Normalised(text, (), ())
        parts[i] = f"${len(values)}"
    return Normalised("".join(parts), tuple(values), tuple(types))


_SPLIT = re.compile(
    r"""(?:[eE](?=')(?P<escaped>'(?:[^'\\]|\\.|'')*(?:'|$)))
    | [qQ]'(?:\[.*?\]'|\{.*?\}'|\(.*?\)'|<.*?>'|(?P<q>[^\s\[{(<]).*?(?P=q)')
    | '[^']*(?:'|$)
    | "[^"]*(?:"|$)
    | --[^\n]*
    | /\*
    | \$(?P<tag>[A-Za-z_]\w*|)\$.*?(?:\$(?P=tag)\$|$)
    | [A-Za-z_][\w$\#]*
    | ;
    | \n\s*/\s*(?:\n|$)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(
    r"\s*(?:select|insert|update|delete|begin|commit|end|rollback)\b", re.IGNORECASE
)
_UNIT_WORDS = frozenset({"PROCEDURE", "FUNCTION", "PACKAGE", "TRIGGER"})
_BEGIN_TAILS = frozenset({"", ";", "WORK", "TRANSACTION", "ISOLATION", "READ", "NOT", "DEFERRABLE"})

_BLANK = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_FOLLOWS = re.compile(rf"{_BLANK}(;|\w+|[^\s\w]|$)", re.DOTALL)
_LABEL = re.compile(rf"{_BLANK}(?:<<\s*\w+\s*>>{_BLANK})+", re.DOTALL)
PLAIN_DECLARE = re.compile(
    r"\s*(?:\w+|\"[^\"]+\")\s+(?:(?:BINARY|ASENSITIVE|INSENSITIVE|NO|SCROLL)\s+)*CURSOR\b", re.I
)


_BLOCK = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:<<|DECLARE\b|BEGIN\b(?!\s*(?:;|WORK\b|TRANSACTION\b))|"
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:PROCEDURE|FUNCTION|PACKAGE)\b)",
    re.IGNORECASE | re.DOTALL,
)


def split(text: str) -> list[str]:
    """The statements of one simple query, without their semicolons; empty ones are left out.

    Comments, quoted names, strings ('…', E'…', q'[…]', $tag$…$tag$), PL/SQL blocks are respected.
    A block (BEGIN …, DECLARE …, CREATE PROCEDURE …) ends with its last END; or a line of "/".
    Raises TooLargeError.
    """
    if ";" not in text and "\n/" not in text:
        return [text] if _has_content(text) else []
    if text.find(";") == len(text) - 1 and _PLAIN.match(text):
        return [text[:-1]]
    if len(text) > SCRIPT_CHARS_MAX:
        raise TooLargeError(
            f"{len(text)} characters of SQL in one message, limit {SCRIPT_CHARS_MAX}",
            hint="Send the statements one by one (psql -f does), and many rows with COPY.",
        )
    statements: list[str] = []
    start = position = 0
    while position <= len(text):
        end, position = _statement_end(text, start)
        piece = text[start:end]
        if _has_content(piece):
            statements.append(piece.strip())
        start = position
        if end >= len(text):
            break
    return statements


def is_several(text: str) -> bool:
    """True: more than one statement. A block is one, whatever its semicolons: where one ends is for
    its parser to say, `split` goes by its words."""
    return ";" in text[:-1] and _BLOCK.match(text) is None and len(split(text)) > 1


def _has_content(piece: str) -> bool:
    stripped = piece.strip()
    if not stripped:
        return False
    if stripped[0] not in "-/":
        return True
    return bool(_strip_comments(stripped).strip())


def _strip_comments(text: str) -> str:
    out: list[str] = []
    position = 0
    for match in _SPLIT.finditer(text):
        if match.start() < position:
            continue
        token = match.group()
        if token == "/*":
            end = _comment_end(text, match.start())
        elif token.startswith("--"):
            end = match.end()
        else:
            continue
        out.append(text[position : match.start()])
        position = end
    out.append(text[position:])
    return " ".join(out)


def _comment_end(text: str, start: int) -> int:
    """Where the comment that starts at `start` ends; PostgreSQL's comments nest, hints do not."""
    end = text.find("*/", start + 2)
    return len(text) if end < 0 else end + 2


def _statement_end(text: str, start: int) -> tuple[int, int]:
    """(end of the statement that starts at `start`, start of the next)."""
    words: list[str] = []
    block: BlockEnd | None = None
    word_ended = start
    label = _LABEL.match(text, start)
    position = start if label is None else label.end()
    while match := _SPLIT.search(text, position):
        token = match.group()
        position = match.end()
        if token == "/*":
            position = _comment_end(text, match.start())
        if token[:2] in ("/*", "--"):
            if not text[word_ended : match.start()].strip():
                word_ended = position
        elif token == ";":
            if block is None:
                return match.start(), position
            if block.semicolon():
                return match.end(), position
        elif token[0] == "\n":
            return match.start(), position
        elif token[0].isalpha() or token[0] == "_":
            if token[-1] == "'":
                continue
            word = token.upper()
            if block is not None and text[word_ended : match.start()].strip():
                block.apart()
            word_ended = match.end()
            if len(words) < 8:
                words.append(word)
                if block is None and _opens_block(words, text, position):
                    block = BlockEnd()
            if block is not None:
                block.word(word)
    return len(text), len(text) + 1


def _opens_block(words: list[str], text: str, position: int) -> bool:
    head = words[0]
    if head == "DECLARE" and len(words) == 1:
        return PLAIN_DECLARE.match(text, position) is None  # DECLARE name CURSOR FOR … is plain
    if head == "BEGIN" and len(words) == 1:
        follow = _FOLLOWS.match(text, position)
        return follow is not None and follow.group(1).upper() not in _BEGIN_TAILS
    return head == "CREATE" and words[-1] in _UNIT_WORDS and len(words) <= 4
