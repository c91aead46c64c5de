"""SqlType ↔ the short text by which SQLite functions are told of it: "5.10.2.0.0". Pure."""

from __future__ import annotations

from functools import lru_cache

from protocol.sqltypes import Kind, SqlType


@lru_cache(maxsize=1024)
def type_code(sql_type: SqlType) -> str:
    """kind.precision.scale.length.byte_length"""
    return (
        f"{int(sql_type.kind)}.{sql_type.precision}.{sql_type.scale}"
        f".{sql_type.length}.{int(sql_type.byte_length)}"
    )


@lru_cache(maxsize=1024)
def type_of_code(code: str) -> SqlType:
    """The type of a code."""
    kind, precision, scale, length, by_bytes = (int(part) for part in code.split("."))
    return SqlType(Kind(kind), precision, scale, length, bool(by_bytes))
