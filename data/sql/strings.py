"""Oracle's string functions over Python strings; "" is NULL: None is given back. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from protocol.errors import ParameterError


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
    return str(text).replace(wanted, by or "") or None


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


@lru_cache(maxsize=512)
def _pattern(pattern: str, flags: str) -> re.Pattern[str]:
    options = 0
    for flag in flags:
        if flag == "i":
            options |= re.IGNORECASE
        elif flag == "n":
            options |= re.DOTALL
        elif flag == "m":
            options |= re.MULTILINE
        elif flag == "x":
            options |= re.VERBOSE
        elif flag not in "cg":
            raise ParameterError(f'unknown flag "{flag}" of a regular expression')
    for name, chars in _CLASSES.items():
        pattern = pattern.replace(f"[:{name}:]", chars)
    try:
        return re.compile(pattern, options)
    except re.error as error:
        raise ParameterError(f"invalid regular expression: {error}") from None


_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f",
}


def regexp_like(text: str, pattern: str, flags: str = "") -> int:
    """1 if the pattern is found somewhere."""
    return int(_pattern(pattern, flags).search(text) is not None)


def _nth(text: str, pattern: str, start: Any, occurrence: Any, flags: str) -> re.Match[str] | None:
    found = None
    matches = _pattern(pattern, flags).finditer(text, _number(start) - 1)
    for _ in range(_number(occurrence)):
        found = next(matches, None)
        if found is None:
            return None
    return found


def regexp_substr(
    text: str, pattern: str, start: Any = 1, occurrence: Any = 1, flags: str = "", group: Any = 0
) -> str | None:
    """The text of the n-th match."""
    found = _nth(text, pattern, start, occurrence, flags)
    return found.group(_number(group)) or None if found else None


def regexp_instr(
    text: str, pattern: str, start: Any = 1, occurrence: Any = 1, after: Any = 0, flags: str = ""
) -> int:
    """Where the n-th match starts (or, `after`, where it ends), 0 if there is none."""
    found = _nth(text, pattern, start, occurrence, flags)
    if found is None:
        return 0
    return (found.end() if _number(after) else found.start()) + 1


def regexp_replace(
    text: str, pattern: str, by: str = "", start: Any = 1, occurrence: Any = 0, flags: str = ""
) -> str | None:
    """All matches (occurrence 0), or the n-th, replaced; \\1 … are groups."""
    begin, wanted = _number(start) - 1, _number(occurrence)
    template = re.sub(r"\\(?!\d)", r"\\\\", by)
    compiled = _pattern(pattern, flags)
    if not wanted:
        return text[:begin] + compiled.sub(template, text[begin:]) or None
    found = _nth(text, pattern, start, occurrence, flags)
    if found is None:
        return text
    return text[: found.start()] + found.expand(template) + text[found.end() :] or None


def regexp_count(text: str, pattern: str, start: Any = 1, flags: str = "") -> int:
    """How many matches there are."""
    return sum(1 for _ in _pattern(pattern, flags).finditer(text, _number(start) - 1))


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
    "tg_repeat": lambda text, n: text * max(_number(n), 0) or None,
    "tg_left": lambda text, n: text[: _number(n)] or None,
    "tg_right": lambda text, n: text[-_number(n) :] or None if _number(n) else None,
    "tg_split_part": split_part,
    "tg_md5": lambda text: hashlib.md5(text.encode()).hexdigest(),
    "tg_hextoraw": bytes.fromhex,
    "tg_regexp_like": regexp_like,
    "tg_regexp_substr": regexp_substr,
    "tg_regexp_instr": regexp_instr,
    "tg_regexp_replace": regexp_replace,
    "tg_regexp_count": regexp_count,
}
