"""String functions beyond the everyday ones: Oracle's and TimesTen's, then PostgreSQL's. Pure.

The first half does the work (an empty result is None: NULL), TEXT_CALLS at the end says how each
is called.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from data.sql.builders import BYTES, Entry, Runtime, fn
from data.sql.ir import Call, Expr
from data.sql.operators import call, settle, to_text
from data.sql.regexps import compiled
from data.sql.strings import instr, replace, substr
from data.sql.type_codes import type_code, type_of_code
from protocol.errors import InvalidTextError, ParameterError
from protocol.limits import check_value_length
from protocol.sqltypes import (
    BOOLEAN,
    BYTES_KINDS,
    INTEGER,
    MICROSECOND_KINDS,
    NUMERIC_KINDS,
    PADDED_KINDS,
    VARCHAR,
    Kind,
    SqlType,
)

# -- Oracle ----------------------------------------------------------------------------------------
_SOUNDEX = {
    letter: digit
    for digit, letters in enumerate(("BFPV", "CGJKQSXZ", "DT", "L", "MN", "R"), 1)
    for letter in letters
}


def soundex(text: str) -> str | None:
    """Knuth's code: the first letter and three digits; H and W do not part equal codes."""
    letters = [c for c in text.upper() if "A" <= c <= "Z"]
    if not letters:
        return None
    out = letters[0]
    before = _SOUNDEX.get(letters[0])
    for letter in letters[1:]:
        digit = _SOUNDEX.get(letter)
        if digit is not None and digit != before:
            out += str(digit)
        if letter not in "HW":
            before = digit
    return out[:4].ljust(4, "0")


def ascii_text(text: str) -> str:
    """ASCIISTR: what is not ASCII, and the backslash, as \\XXXX of UTF-16."""
    out: list[str] = []
    for char in text:
        if char < "\x80" and char != "\\":
            out.append(char)
            continue
        units = char.encode("utf-16-be").hex().upper()
        out += [f"\\{units[i : i + 4]}" for i in range(0, len(units), 4)]
    return "".join(out)


_UNISTR = re.compile(r"\\(?:([0-9A-Fa-f]{4})|(\\)|)")


def unicode_text(text: str) -> str | None:
    """UNISTR: \\XXXX is a unit of UTF-16, \\\\ a backslash. Raises ParameterError."""
    units = b""
    at = 0
    for match in _UNISTR.finditer(text):
        units += text[at : match.start()].encode("utf-16-be")
        if match.group(1) is None and match.group(2) is None:
            raise ParameterError("UNISTR: a backslash takes four hexadecimal digits or another one")
        units += bytes.fromhex(match.group(1)) if match.group(1) else b"\0\\"
        at = match.end()
    units += text[at:].encode("utf-16-be")
    try:
        return units.decode("utf-16-be") or None
    except UnicodeDecodeError:
        raise ParameterError("UNISTR: half of a surrogate pair") from None


def instrb(text: str, wanted: str, start: Any = 1, occurrence: Any = 1) -> int:
    """INSTR in bytes of UTF-8."""
    as_bytes = text.encode().decode("latin-1"), wanted.encode().decode("latin-1")
    return instr(*as_bytes, start, occurrence)


def _utf16(text: str) -> str:
    """The text with one character per unit of UTF-16 (surrogates stay apart)."""
    units = text.encode("utf-16-be")
    return "".join(chr(int.from_bytes(units[i : i + 2], "big")) for i in range(0, len(units), 2))


def substr2(text: str, start: Any, length: Any = None) -> str | None:
    """SUBSTR2: in units of UTF-16; a half of a pair that is cut off is left out."""
    part = substr(_utf16(text), start, length)
    if part is None:
        return None
    units = b"".join(ord(c).to_bytes(2, "big") for c in part)
    return units.decode("utf-16-be", "ignore") or None


def _number_bytes(value: Any) -> bytes:
    """A NUMBER as Oracle stores it: an exponent byte and digits to the base of 100."""
    number = Decimal(value)
    if not number:
        return b"\x80"
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits)).rstrip("0")
    power = exponent + len(digits)  # the point stands after so many digits
    if power % 2:
        text, power = "0" + text, power + 1
    text += "0" * (len(text) % 2)
    pairs = [int(text[i : i + 2]) for i in range(0, len(text), 2)]
    if not sign:
        return bytes([0xC0 + power // 2, *(p + 1 for p in pairs)])
    tail = [102] if len(pairs) < 20 else []
    return bytes([0x3F - power // 2, *(101 - p for p in pairs), *tail])


def _moment_bytes(us: int, *, with_fraction: bool) -> bytes:
    from data.sql.datetimes import DAY_US, SECOND_US, day_of

    day, rest = day_of(us // DAY_US), us % DAY_US
    seconds = rest // SECOND_US
    parts = [day.year // 100 + 100, day.year % 100 + 100, day.month, day.day]
    parts += [seconds // 3600 + 1, seconds // 60 % 60 + 1, seconds % 60 + 1]
    fraction = rest % SECOND_US * 1000
    if with_fraction and fraction:
        parts += fraction.to_bytes(4, "big")
    return bytes(parts)


_DUMP_TYPES = {
    Kind.VARCHAR: 1, Kind.NVARCHAR: 1, Kind.CHAR: 96, Kind.NCHAR: 96, Kind.NUMBER: 2,
    Kind.DATE: 12, Kind.BINARY: 23, Kind.VARBINARY: 23, Kind.BINARY_FLOAT: 100,
    Kind.BINARY_DOUBLE: 101, Kind.TIMESTAMP: 180, Kind.CLOB: 112, Kind.BLOB: 113,
}  # fmt: skip


def stored_bytes(value: Any, code: str) -> bytes:
    """The bytes Oracle would store for a value of the type with this code."""
    type_ = type_of_code(code)
    kind = type_.kind
    if kind in BYTES_KINDS:
        return bytes(value)
    if kind in (Kind.BINARY_FLOAT, Kind.BINARY_DOUBLE):
        return _float_bytes(float(value), 4 if kind is Kind.BINARY_FLOAT else 8)
    if kind in NUMERIC_KINDS:
        number = Decimal(value).scaleb(-type_.scale) if type_.is_scaled else Decimal(value)
        return _number_bytes(number)
    if kind in MICROSECOND_KINDS:
        return _moment_bytes(value, with_fraction=kind is not Kind.DATE)
    if kind in PADDED_KINDS and type_.length:
        return str(value).ljust(type_.length).encode()
    return str(value).encode()


def _float_bytes(value: float, width: int) -> bytes:
    """IEEE 754, big-endian, turned so that bytes compare as numbers do (Oracle's form)."""
    import struct

    data = struct.pack(">f" if width == 4 else ">d", value)
    if data[0] & 0x80:
        return bytes(b ^ 0xFF for b in data)
    return bytes([data[0] | 0x80]) + data[1:]


def dump(value: Any, code: str, form: Any = 10, start: Any = 1, length: Any = None) -> str:
    """DUMP(value, 8 | 10 | 16 | 17, start, length)."""
    if value is None:
        return "NULL"
    try:
        base = int(Decimal(form if form is not None else 10)) % 1000
        start, length = int(Decimal(start or 1)), None if length is None else int(Decimal(length))
    except (TypeError, ArithmeticError, ValueError):
        message = "DUMP takes a format (8, 10, 16 or 17), a start and a length"
        raise ParameterError(message) from None
    data = stored_bytes(value, code)
    shown = substr(data.decode("latin-1"), start, length) or ""
    texts: dict[int, Callable[[int], str]] = {
        8: lambda b: f"{b:o}",
        10: str,
        16: lambda b: f"{b:x}",
        17: lambda b: chr(b) if 32 <= b < 127 else f"{b:x}",
    }
    if base not in texts:
        raise ParameterError("DUMP: the format is 8, 10, 16 or 17")
    number = _DUMP_TYPES.get(type_of_code(code).kind, 2)
    listed = ",".join(texts[base](ord(c)) for c in shown)
    return f"Typ={number} Len={len(data)}: {listed}"


def _typed(function: str, result: SqlType) -> Entry:
    """A function that is told its first argument's type."""

    def build(args: list[Expr]) -> Expr:
        value = settle(args[0], VARCHAR)
        rest = "".join(f", {{{i}}}" for i in range(1, len(args)))
        return Call(
            f"{function}({{0}}, '{type_code(value.type)}'{rest})", (value, *args[1:]), result
        )

    return 1, 4, build


# -- PostgreSQL ------------------------------------------------------------------------------------
def concat_ws(separator: Any, *parts: Any) -> str | None:
    """The parts that are not NULL with the separator between them; NULL for a NULL separator."""
    if separator is None:
        return None
    kept = [str(p) for p in parts if p is not None]
    check_value_length(sum(map(len, kept)) + len(separator) * len(kept))
    return str(separator).join(kept) or None


_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_$]*")
_RESERVED_WORDS = (
    "all and any as asc between by case check column create default delete desc distinct drop else"
    " end for from grant group having in insert into is join like limit not null on or order"
    " primary references select set table then to union unique update user values when where with"
)
_RESERVED = frozenset(_RESERVED_WORDS.split())


def quote_ident(text: str) -> str:
    """As a name in SQL, quoted if it must be."""
    if _PLAIN_NAME.fullmatch(text) and text not in _RESERVED:
        return text
    return '"' + text.replace('"', '""') + '"'


def quote_literal(text: Any) -> str:
    """As a string in SQL."""
    body = str(text).replace("'", "''")
    return f"E'{body}'".replace("\\", "\\\\") if "\\" in body else f"'{body}'"


_DIRECTIVE = re.compile(r"%(?:(\d+)\$)?(-)?(\d+)?([sIL%])")


def format_text(model: Any, *args: Any) -> str | None:
    """PostgreSQL's format(): %s, %I, %L, %%, positions and widths."""
    if model is None:
        return None
    used = 0

    def one(match: re.Match[str]) -> str:
        nonlocal used
        position, left, width, what = match.groups()
        if what == "%":
            return "%"
        used = int(position) if position else used + 1
        if not 1 <= used <= len(args):
            raise ParameterError("too few arguments for format()")
        value = args[used - 1]
        if value is None and what == "I":
            raise ParameterError("format(): a NULL cannot be a name")
        shown = {
            "s": lambda: "" if value is None else str(value),
            "I": lambda: quote_ident(str(value)),
            "L": lambda: "NULL" if value is None else quote_literal(value),
        }[what]()
        if not width:
            return shown
        check_value_length(int(width))
        return shown.ljust(int(width)) if left else shown.rjust(int(width))

    if re.search(r"%(?!(?:\d+\$)?-?\d*[sIL%])", str(model)):
        raise ParameterError("format(): after % comes s, I, L or %")
    return _DIRECTIVE.sub(one, str(model)) or None


def overlay(text: str, by: str, start: Any, length: Any = None) -> str | None:
    """OVERLAY(text PLACING by FROM start [FOR length])."""
    begin = int(Decimal(start))
    if begin < 1:
        raise ParameterError("OVERLAY: the place must be 1 or more")
    count = len(by) if length is None else int(Decimal(length))
    return text[: begin - 1] + by + text[begin - 1 + count :] or None


def encode(data: Any, form: str) -> str | None:
    """encode(bytes, 'hex' | 'base64' | 'escape')."""
    raw = data if type(data) is bytes else str(data).encode()
    kind = form.lower()
    if kind == "hex":
        return raw.hex() or None
    if kind == "base64":
        return base64.b64encode(raw).decode() or None
    if kind == "escape":
        out = (("\\\\" if b == 92 else chr(b)) if 0 < b < 128 else f"\\{b:03o}" for b in raw)
        return "".join(out) or None
    raise ParameterError(f'unrecognized encoding: "{form}"')


def decode(text: str, form: str) -> bytes:
    """decode(text, 'hex' | 'base64')."""
    try:
        if form.lower() == "hex":
            return bytes.fromhex(text)
        if form.lower() == "base64":
            return base64.b64decode(text)
    except ValueError:
        raise InvalidTextError(f"invalid {form} text") from None
    if form.lower() == "escape":
        from protocol.pgwire.values import decode_bytea

        return decode_bytea(text.encode())
    raise ParameterError(f'unrecognized encoding: "{form}"')


def _digest(name: str) -> Any:
    def digest(value: Any) -> bytes:
        raw = value if type(value) is bytes else str(value).encode()
        return hashlib.new(name, raw).digest()

    return digest


def similar_pattern(pattern: str, escape: str = "\\") -> str:
    """A pattern of SIMILAR TO as a regular expression."""
    out = []
    at, in_class = 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == escape and at + 1 < len(pattern):
            out.append(re.escape(pattern[at + 1]))
            at += 2
            continue
        if in_class:
            in_class = char != "]"
            out.append(char)
        elif char == "[":
            in_class = True
            out.append(char)
        else:
            out.append({"%": ".*", "_": ".", ".": r"\.", "^": r"\^", "$": r"\$"}.get(char, char))
        at += 1
    return "(?s:" + "".join(out) + r")\Z"


def similar_to(text: str, pattern: str, escape: str = "\\") -> int:
    """text SIMILAR TO pattern."""
    from data.sql.regexps import regexp_like

    return regexp_like(text, "^" + similar_pattern(pattern, escape), "")


def string_match(text: str, pattern: str) -> str | None:
    """substring(text FROM pattern): the first group, or all of the match."""
    from data.sql.regexps import regexp_substr

    has_group = compiled(pattern, "").groups > 0
    return regexp_substr(text, pattern, 1, 1, "", 1 if has_group else 0)


TEXT_RUNTIME: Runtime = {
    "tg_soundex": soundex,
    "tg_asciistr": ascii_text,
    "tg_unistr": unicode_text,
    "tg_instrb": instrb,
    "tg_substr2": substr2,
    "tg_length2": lambda text: len(text.encode("utf-16-be")) // 2,
    "tg_vsize": lambda value, code: len(stored_bytes(value, code)),
    "tg_quote_ident": quote_ident,
    "tg_quote_literal": quote_literal,
    "tg_overlay": overlay,
    "tg_encode": encode,
    "tg_decode": decode,
    "tg_similar": similar_to,
    "tg_string_match": string_match,
    "tg_starts_with": lambda text, start: int(text.startswith(start)),
    "tg_sha256": _digest("sha256"),
    "tg_sha512": _digest("sha512"),
    "tg_to_hex": lambda value: f"{int(value) & (2**64 - 1):x}" if int(value) < 0 else f"{value:x}",
    "tg_casefold": lambda text: text.casefold(),
}
TEXT_NULLABLE: Runtime = {
    "tg_concat_ws": concat_ws,
    "tg_format": format_text,
    "tg_dump": dump,
    "tg_quote_nullable": lambda text: "NULL" if text is None else quote_literal(text),
    "tg_replace": replace,
}


def _nls(name: str) -> Entry:
    """NLS_UPPER and its like: the second argument, a sort, is not looked at."""
    return 1, 2, lambda args: call(f"{name}({{0}})", to_text(args[0]), type_=VARCHAR)


_SAME_SUBSTR = fn("tg_substr", "tii?")
_SAME_LENGTH = fn("tg_length", "t", INTEGER)
_SAME_INSTR = fn("tg_instr", "tti?i", INTEGER)
TEXT_CALLS: dict[str, Entry] = {
    # Oracle and TimesTen
    "SOUNDEX": fn("tg_soundex", "t"),
    "ASCIISTR": fn("tg_asciistr", "t"),
    "UNISTR": fn("tg_unistr", "t"),
    "INSTRB": fn("tg_instrb", "tti?i", INTEGER),
    "INSTR2": _SAME_INSTR,
    "INSTR4": _SAME_INSTR,
    "INSTRC": _SAME_INSTR,
    "SUBSTR2": fn("tg_substr2", "tii?"),
    "SUBSTR4": _SAME_SUBSTR,
    "SUBSTRC": _SAME_SUBSTR,
    "LENGTH2": fn("tg_length2", "t", INTEGER),
    "LENGTH4": _SAME_LENGTH,
    "LENGTHC": _SAME_LENGTH,
    "NLS_UPPER": _nls("tg_upper"),
    "NLS_LOWER": _nls("tg_lower"),
    "NLS_INITCAP": _nls("tg_initcap"),
    "NLSSORT": (1, 2, lambda args: call("CAST({0} AS BLOB)", to_text(args[0]), type_=BYTES)),
    "DUMP": _typed("tg_dump", VARCHAR),
    "VSIZE": (1, 1, _typed("tg_vsize", INTEGER)[2]),
    # PostgreSQL
    "CONCAT_WS": fn("tg_concat_ws", "tt*"),
    "FORMAT": fn("tg_format", "tt?*"),
    "QUOTE_IDENT": fn("tg_quote_ident", "t"),
    "QUOTE_LITERAL": fn("tg_quote_literal", "t"),
    "QUOTE_NULLABLE": fn("tg_quote_nullable", "t"),
    "OVERLAY": fn("tg_overlay", "ttii?"),
    "ENCODE": fn("tg_encode", "at"),
    "TO_HEX": fn("tg_to_hex", "i"),
    "SHA256": fn("tg_sha256", "a", BYTES),
    "SHA512": fn("tg_sha512", "a", BYTES),
    "STARTS_WITH": fn("tg_starts_with", "tt", BOOLEAN),
    "STRING_MATCH": fn("tg_string_match", "tt"),
    "SIMILAR_TO": fn("tg_similar", "ttt?", BOOLEAN),
    "BIT_LENGTH": fn("(8 * tg_lengthb({0}))", "t", INTEGER),
    "CASEFOLD": fn("tg_casefold", "t"),
    "TO_CLOB": fn("{0}", "t", SqlType(Kind.CLOB)),
    "TO_NCLOB": fn("{0}", "t", SqlType(Kind.CLOB)),
    "TO_LOB": fn("{0}", "t", SqlType(Kind.CLOB)),
    "TO_BLOB": fn("{0}", "b", SqlType(Kind.BLOB)),
    "EMPTY_CLOB": (0, 0, lambda _args: Call("NULL", (), SqlType(Kind.CLOB))),
    "EMPTY_BLOB": (0, 0, lambda _args: Call("x''", (), SqlType(Kind.BLOB))),
}
