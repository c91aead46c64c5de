"""Rows that a coordinator sends along with a fragment, as JSON for SQLite's json_each. Pure.

JSON holds what SQLite stores but for REALs, which would be rounded: those are never sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from protocol.limits import MIB
from protocol.sqltypes import StorageRow, StorageValue

SHIP_BYTES_MAX = MIB  # of one list; what is larger is fetched instead
SHIP_KEYS_MAX = 50_000


def encoded_rows(rows: Sequence[StorageRow]) -> str | None:
    """The rows as arrays, separated by commas; None if a value cannot be sent."""
    if not rows:
        return ""
    try:
        text = json.dumps(rows, ensure_ascii=False, allow_nan=False, default=_other)
    except (TypeError, ValueError):
        return None
    return None if "\\u0000" in text else text[1:-1]


def _other(value: StorageValue) -> str:
    """BINARY in hex digits; the fragment turns them back."""
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError
