"""New rows as blocks, for tests that have them as rows."""

from __future__ import annotations

from collections.abc import Sequence

from data.storage.changes import encode_inserts
from protocol.sqltypes import StorageRow


def encoded(table: str, rows: Sequence[StorageRow]) -> bytes:
    """A block of full rows; at least one."""
    return encode_inserts(table, list(zip(*rows, strict=True)))
