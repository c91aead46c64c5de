"""Oracle's string functions over Python strings; "" is NULL: None is given back. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from data.sql.regexps import REGEXP_FUNCTIONS
from protocol.errors import InvalidTextError, ParameterError
from protocol.limits import check_value_length

_HEX = re.compile(r"[0-9A-Fa-f]*")


def _number(value: Any) -> int:
    return value if type(value) is int else int(Decimal(value))


def substr(text: str, start: Any, length: Any = None) -> str | None:
    """Positions count from 1; 0 is taken as 1; negative ones count from the end."""
    begin = _number(start)
    if begin > 0:
        begin -= 1
    elif begin < 0:
        begin += len(text)
        if begin < 0:
            return None
    if length is None:
        return text[begin:] or None
    count = _number(length)
    return text[begin : begin + count] or None if count > 0 else None


def substring(text: str, start: Any, length: Any = None) -> str | None:
    """The SQL standard's SUBSTRING(text FROM start FOR length)."""
    begin = _number(start)
    if length is None:
        return text[max(begin - 1, 0) :] or None
    end = begin + _number(length) - 1
    return text[max(begin - 1, 0) : max(end, 0)] or None


def substrb(text: str, start: Any, length: Any = None) -> str | None:
    """SUBSTR in bytes of UTF-8; broken characters at the edges are left out."""
    data = text.encode("utf-8").decode("latin-1")
    part = substr(data, start, length)
    return None if part is None else part.encode("latin-1").decode("utf-8", "ignore") or None


def instr(text: str, wanted: str, start: Any = 1, occurrence: Any = 1) -> int:
    """Position of the n-th occurrence, 0 if there is none; a negative start searches backwards."""
    begin, left = _number(start), _number(occurrence)
    if left < 1:
        raise ParameterError("INSTR: the occurrence must be 1 or more")
    if begin == 0 or not wanted:
        return 0
    if begin > 0:
        at = begin - 2
        while left:
            at = text.find(wanted, at + 1)
            if at < 0:
                return 0
            left -= 1
        return at + 1
    at = len(text) + begin + 1  # one past the last start allowed
    while left:
        at = text.rfind(wanted, 0, at - 1 + len(wanted)) if at > 0 else -1
        if at < 0:
            return 0
        left -= 1
    return at + 1


def pad(text: str, length: Any, fill: str = " ", *, left: bool) -> str | None:
    """LPAD and RPAD; longer texts are cut."""
    width = _number(length)
    if width <= 0 or not fill:
        return None
    if len(text) >= width:
        return text[:width]
    check_value_length(width)
    filling = (fill * (width // len(fill) + 1))[: width - len(text)]
    return filling + text if left else text + filling


def translate(text: str, source: str, target: str) -> str | None:
    """Each character of `source` becomes that of `target` in the same place, or nothing."""
    table: dict[int, str | None] = {}
    for i, char in enumerate(source):
        table.setdefault(ord(char), target[i] if i < len(target) else None)
    return text.translate(table) or None


def initcap(text: str) -> str:
    """First letter of each word upper, the others lower."""
    return re.sub(r"[^\W_]+", lambda m: m.group()[0].upper() + m.group()[1:].lower(), text)


def replace(*args: Any) -> str | None:
    """REPLACE(text, wanted [, by]); NULL `wanted` changes nothing, NULL `by` deletes."""
    text, wanted, by = args[0], args[1], args[2] if len(args) > 2 else None
    if text is None:
        return None
    if not wanted:
        return str(text)
    text, by = str(text), by or ""
    if len(by) > len(wanted):
        check_value_length(len(text) + text.count(wanted) * (len(by) - len(wanted)))
    return text.replace(wanted, by) or None


def repeat(text: str, times: Any) -> str | None:
    """REPEAT."""
    count = max(_number(times), 0)
    check_value_length(len(text) * count)
    return text * count or None


def trim(text: str, characters: str = " ", side: str = "both") -> str | None:
    """TRIM, LTRIM, RTRIM of any of `characters`."""
    if side != "right":
        text = text.lstrip(characters)
    if side != "left":
        text = text.rstrip(characters)
    return text or None


def to_chr(code: Any) -> str:
    """CHR(n): the character with that Unicode number."""
    try:
        return chr(_number(code))
    except (ValueError, OverflowError):
        raise ParameterError("CHR: no such character") from None


def split_part(text: str, separator: str, number: Any) -> str | None:
    """PostgreSQL's split_part."""
    parts = text.split(separator)
    index = _number(number)
    index = index - 1 if index > 0 else len(parts) + index
    return parts[index] or None if 0 <= index < len(parts) else None


def hex_to_raw(text: str) -> bytes:
    """HEXTORAW; an odd number of digits has a 0 before it. Raises InvalidTextError."""
    if not _HEX.fullmatch(text):
        raise InvalidTextError(f'"{text[:60]}" is not hexadecimal')
    return bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}")


STRING_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tg_substr": substr,
    "tg_substring": substring,
    "tg_substrb": substrb,
    "tg_instr": instr,
    "tg_position": lambda wanted, text: text.find(wanted) + 1,
    "tg_lpad": lambda text, n, fill=" ": pad(text, n, fill, left=True),
    "tg_rpad": lambda text, n, fill=" ": pad(text, n, fill, left=False),
    "tg_char_pad": lambda text, n: text.ljust(n),
    "tg_ltrim": lambda text, chars=" ": trim(text, chars, "left"),
    "tg_rtrim": lambda text, chars=" ": trim(text, chars, "right"),
    "tg_trim": lambda text, chars=" ": trim(text, chars),
    "tg_upper": lambda text: text.upper(),
    "tg_lower": lambda text: text.lower(),
    "tg_initcap": initcap,
    "tg_translate": translate,
    "tg_reverse": lambda text: text[::-1],
    "tg_length": lambda text: len(text),
    "tg_lengthb": lambda text: len(text.encode()),
    "tg_ascii": lambda text: ord(text[0]),
    "tg_chr": to_chr,
    "tg_repeat": repeat,
    "tg_left": lambda text, n: text[: _number(n)] or None,
    "tg_right": lambda text, n: text[-_number(n) :] or None if _number(n) else None,
    "tg_split_part": split_part,
    "tg_md5": lambda text: hashlib.md5(text.encode()).hexdigest(),
    "tg_hextoraw": hex_to_raw,
    **REGEXP_FUNCTIONS,
}
