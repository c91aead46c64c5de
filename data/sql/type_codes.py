"""SqlType ↔ the short text by which SQLite functions are told of it: "5.10.2.0.0". Pure."""

from __future__ import annotations

from functools import lru_cache

from data.distribution.hashing import bucket_of
from data.distribution.keys import key_bytes
from protocol.sqltypes import Kind, SqlType, StorageValue


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


def bucket_of_key(key: tuple[StorageValue, ...], codes: str) -> int:
    """The bucket of a distribution key whose columns have these types; of no row for a NULL: 0."""
    if None in key:
        return 0
    return bucket_of(key_bytes(key, [type_of_code(code) for code in codes.split(",")]))
