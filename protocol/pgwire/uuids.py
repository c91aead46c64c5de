"""The one text of a UUID: 36 characters, lower case. Pure."""

from __future__ import annotations

import re

from protocol.errors import InvalidTextError

_UUID = re.compile(r"\s*(\{)?((?:[0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4})(?(1)\})\s*")


def canonical_uuid(text: str) -> str:
    """Any form PostgreSQL takes: capitals, braces, hyphens elsewhere. Raises InvalidTextError."""
    match = _UUID.fullmatch(text)
    if match is None:
        raise InvalidTextError(f'invalid input syntax for type UUID: "{text[:60]}"')
    digits = match.group(2).replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
