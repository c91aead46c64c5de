"""What the collections and records of one session's blocks hold: counted, and bounded. Pure.

An estimate: each element has a fixed size, texts their length. What is dropped is counted off when
Python drops it, so copies that nobody keeps cost nothing for long. The session's count is found
through a context variable: a block runs in a context of its own (data/exec/blocks.py).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from data.plsql.errors import predefined

MB = 1 << 20
LIMIT_MB = 100  # PLSQL_CONN_MEM_LIMIT, its default
ELEMENT_BYTES = 100  # an element of a collection with its index
FIELD_BYTES = 16  # a field of a record
LONG_CHARS = 64  # shorter texts are a part of ELEMENT_BYTES


class Memory:
    """Of one session, in bytes."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = LIMIT_MB * MB) -> None:
        self.limit = limit  # 0: none
        self.used = 0

    def take(self, count: int) -> None:
        """Raises STORAGE_ERROR, and takes nothing, if it is too much."""
        if count > 0 and self.limit and self.used + count > self.limit:
            raise predefined(
                "STORAGE_ERROR",
                f": ORA-04030: out of process memory when trying to allocate {count} bytes;"
                f" PLSQL_CONN_MEM_LIMIT is {self.limit // MB} MB",
            )
        self.used += count

    def give(self, count: int) -> None:
        """It is free again."""
        self.used -= count


MEMORY: ContextVar[Memory] = ContextVar("plsql_memory")
_UNBOUNDED = Memory(0)


def present() -> Memory:
    """Of the session whose block runs."""
    return MEMORY.get(_UNBOUNDED)


def long_text(value: Any) -> int:
    """Bytes of a text or RAW that is more than what an element has anyway."""
    if isinstance(value, str | bytes) and len(value) > LONG_CHARS:
        return len(value)
    return 0


def rows_bytes(rows: list[Any]) -> int:
    """Of rows that were fetched."""
    return sum(ELEMENT_BYTES + FIELD_BYTES * len(row) + sum(map(long_text, row)) for row in rows)
