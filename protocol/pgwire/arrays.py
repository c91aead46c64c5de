"""Arrays as PostgreSQL writes them: {1,NULL,"a b"}; one dimension. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from protocol.errors import InvalidTextError, NotSupportedError

SPACE = " \t\n\r\v\f"  # Python knows more: the separators 0x1c to 0x1f are characters here
_ITEM = re.compile(rf'[{SPACE}]*(?:"((?:[^"\\]|\\.)*)"|([^,{{}}"]*?))[{SPACE}]*([,}}])', re.DOTALL)
_NESTED = re.compile(rf"[{SPACE}]*\{{")
_NEEDS_QUOTES = re.compile(rf'[{SPACE},{{}}"\\]|^$|^null$', re.IGNORECASE)


def split_array(text: str) -> list[str | None]:
    """The texts of the elements, None for NULL.

    Raises InvalidTextError; NotSupportedError for more than one dimension.
    """
    body = text.strip(SPACE)
    if not body.startswith("{") or not body.endswith("}"):
        raise InvalidTextError(f'malformed array literal: "{text[:60]}"')
    if not body[1:-1].strip(SPACE):
        return []
    found: list[str | None] = []
    at = 1
    while at < len(body):
        if _NESTED.match(body, at) is not None:
            raise NotSupportedError("arrays of more than one dimension are not supported")
        match = _ITEM.match(body, at)
        if match is None or (match.group(3) == "}") != (match.end() == len(body)):
            raise InvalidTextError(f'malformed array literal: "{text[:60]}"')
        quoted, bare, _ = match.groups()
        if quoted is not None:
            found.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        else:
            unescaped = re.sub(r"\\(.)", r"\1", bare)
            found.append(None if bare.upper() == "NULL" else unescaped)
        at = match.end()
    return found


def array_text(items: Iterable[str | None]) -> str:
    """The texts of elements as one array."""
    return "{" + ",".join(map(_item_text, items)) + "}"


def _item_text(item: str | None) -> str:
    if item is None:
        return "NULL"
    if _NEEDS_QUOTES.search(item):
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return item
