"""REGEXP_ functions and the ~ operators. Pure, apart from the clock inside the matcher.

Patterns come from clients, and a backtracking matcher can be kept busy for years by forty
characters. So the package `regex` is used instead of `re`: it stops after a given time and lets
other threads run meanwhile. On the event loop's thread the time is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from typing import Any

from protocol.errors import ParameterError, TooComplexError
from protocol.limits import VALUE_CHARS_MAX, check_value_length

PATTERN_CHARS_MAX = 8192
INLINE_TIMEOUT_S = 0.02  # of one call on the event loop
TIMEOUT_S = 1.0  # of one call on a thread; a statement is cancelled between its calls
_FLAGS = {"i": "IGNORECASE", "n": "DOTALL", "m": "MULTILINE", "x": "VERBOSE"}
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


def _number(value: Any) -> int:
    return value if type(value) is int else int(Decimal(value))


@lru_cache(maxsize=512)
def compiled(pattern: str, flags: str) -> Any:
    """The compiled pattern. Raises ParameterError, TooComplexError."""
    import regex  # here: it takes 50 ms, and few need it

    if len(pattern) > PATTERN_CHARS_MAX:
        raise TooComplexError(
            f"a regular expression of {len(pattern)} characters, limit {PATTERN_CHARS_MAX}"
        )
    options = 0
    for flag in flags:
        if flag in _FLAGS:
            options |= getattr(regex, _FLAGS[flag])
        elif flag not in "cg":
            raise ParameterError(f'unknown flag "{flag}" of a regular expression')
    for name, chars in _CLASSES.items():
        pattern = pattern.replace(f"[:{name}:]", chars)
    try:
        return regex.compile(pattern, options | regex.VERSION0)
    except (regex.error, OverflowError) as error:
        raise ParameterError(f"invalid regular expression: {error}") from None
    except (RecursionError, MemoryError):
        raise TooComplexError("a regular expression nested so deeply") from None


def _on_loop() -> bool:
    return True


is_on_loop: Callable[[], bool] = _on_loop  # data/storage/sqlite.py knows better


def _limits() -> dict[str, Any]:
    on_loop = is_on_loop()
    return {"timeout": INLINE_TIMEOUT_S if on_loop else TIMEOUT_S, "concurrent": not on_loop}


@contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise TooComplexError(
            "a regular expression takes too long on this text",
            hint="Avoid repetitions within repetitions, such as (a+)+ or .*.* .",
        ) from None


def regexp_like(text: str, pattern: str, flags: str = "") -> int:
    """1 if the pattern is found somewhere."""
    with _bounded():
        return int(compiled(pattern, flags).search(text, **_limits()) is not None)


def _nth(text: str, pattern: str, start: Any, occurrence: Any, flags: str) -> Any:
    found = None
    with _bounded():
        matches = compiled(pattern, flags).finditer(text, _number(start) - 1, **_limits())
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
    if not found:
        return None
    try:
        return found.group(_number(group)) or None
    except IndexError:
        raise ParameterError(f"the regular expression has no group {group}") from None


def regexp_instr(
    text: str, pattern: str, start: Any = 1, occurrence: Any = 1, after: Any = 0, flags: str = ""
) -> int:
    """Where the n-th match starts (or, `after`, where it ends), 0 if there is none."""
    found = _nth(text, pattern, start, occurrence, flags)
    if found is None:
        return 0
    return int(found.end() if _number(after) else found.start()) + 1


@lru_cache(maxsize=512)
def _template(by: str) -> str:
    return re.sub(r"\\(?!\d)", r"\\\\", by)


def _expanded(match: Any, template: str) -> str:
    import regex

    groups = template.count("\\")
    if groups:
        longest = max(len(group or "") for group in (match.group(), *match.groups()))
        check_value_length(len(template) + groups * longest)
    try:
        return str(match.expand(template))
    except (regex.error, IndexError) as error:
        raise ParameterError(f"invalid replacement of a regular expression: {error}") from None


def regexp_replace(
    text: str, pattern: str, by: str = "", start: Any = 1, occurrence: Any = 0, flags: str = ""
) -> str | None:
    """All matches (occurrence 0), or the n-th, replaced; \\1 … are groups."""
    begin, wanted = max(_number(start) - 1, 0), _number(occurrence)
    if not wanted:
        return replace_all(text[:begin], text[begin:], compiled(pattern, flags), by)
    found = _nth(text, pattern, start, occurrence, flags)
    if found is None:
        return text
    middle = _expanded(found, _template(by))
    check_value_length(len(text) + len(middle))
    return text[: found.start()] + middle + text[found.end() :] or None


def replace_all(before: str, text: str, pattern: Any, by: str, count: int = 0) -> str | None:
    """Each match replaced, `count` of them at most (0: all); the result has a limit."""
    parts = [before]
    length = len(before) + len(text)
    at = done = 0
    template = _template(by)
    with _bounded():
        for match in pattern.finditer(text, **_limits()):
            part = _expanded(match, template)
            parts += (text[at : match.start()], part)
            length += len(part)
            at = match.end()
            done += 1
            if done == count or length > VALUE_CHARS_MAX + len(before) + len(text):
                break  # what would be too long is not built first
    parts.append(text[at:])
    check_value_length(sum(map(len, parts)))
    return "".join(parts) or None


def regexp_count(text: str, pattern: str, start: Any = 1, flags: str = "") -> int:
    """How many matches there are."""
    with _bounded():
        found = compiled(pattern, flags).finditer(text, _number(start) - 1, **_limits())
        return sum(1 for _ in found)


REGEXP_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "tg_regexp_like": regexp_like,
    "tg_regexp_substr": regexp_substr,
    "tg_regexp_instr": regexp_instr,
    "tg_regexp_replace": regexp_replace,
    "tg_regexp_count": regexp_count,
}
