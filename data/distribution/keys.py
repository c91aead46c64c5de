"""Distribution-key columns → canonical bytes. Pure; what it gives is stored on disk by its hash.

Equal numbers give equal bytes whatever their numeric types and scales, so that 5 in a NUMBER(10,2),
in a TT_BIGINT and in a NUMBER are in one bucket, and so are all kinds of moments in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from protocol.sqltypes import (
    BYTES_KINDS,
    FLOAT_KINDS,
    PADDED_KINDS,
    TEXT_KINDS,
    Kind,
    SqlType,
    StorageValue,
    canonical_number,
)

Encoder = Callable[[StorageValue], bytes]


def key_bytes(values: Sequence[StorageValue], types: Sequence[SqlType]) -> bytes:
    """Canonical bytes of a key. No value may be None: NULL is in no bucket."""
    if len(values) == 1:
        return column_encoder(types[0])(values[0])
    parts = [column_encoder(t)(v) for v, t in zip(values, types, strict=True)]
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def key_encoder(types: Sequence[SqlType]) -> Callable[[Sequence[StorageValue]], bytes]:
    """`key_bytes` for fixed types."""
    encoders = tuple(column_encoder(t) for t in types)
    if len(encoders) == 1:
        only = encoders[0]
        return lambda values: only(values[0])

    def encode(values: Sequence[StorageValue]) -> bytes:
        parts = [e(v) for e, v in zip(encoders, values, strict=True)]
        return b"".join(b"%d:%b" % (len(part), part) for part in parts)

    return encode


def is_plain_integer(sql_type: SqlType) -> bool:
    """True: the storage value is an int and is the number itself."""
    if sql_type.kind is Kind.NUMBER:
        return sql_type.is_scaled and sql_type.scale == 0
    return sql_type.kind in (Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT)


def key_family(sql_type: SqlType) -> str:
    """Columns of one family give equal bytes for values that compare equal."""
    kind = sql_type.kind
    if kind in FLOAT_KINDS:
        return "float"
    if kind is Kind.NUMBER or is_plain_integer(sql_type):
        return "number"
    if kind in (Kind.CHAR, Kind.NCHAR):
        return "char"
    if kind in TEXT_KINDS:
        return "text"
    if kind in BYTES_KINDS:
        return "bytes"
    if kind in (Kind.TT_TIME, Kind.INTERVAL_DS, Kind.INTERVAL_YM, Kind.BOOLEAN):
        return kind.name
    return "moment"


def column_encoder(sql_type: SqlType) -> Encoder:
    """Storage value of that type → its bytes."""
    kind = sql_type.kind
    if kind in PADDED_KINDS:
        return _padded
    if kind in TEXT_KINDS:
        return _text
    if kind in BYTES_KINDS:
        return _bytes
    if kind in FLOAT_KINDS:
        return _float
    if kind is Kind.NUMBER and not is_plain_integer(sql_type):
        if not sql_type.is_scaled:
            return _decimal_text
        scale = sql_type.scale
        return lambda value: _scaled(value, scale)
    return _integer


def _integer(value: StorageValue) -> bytes:
    assert type(value) is int
    return b"n%d" % value


def _text(value: StorageValue) -> bytes:
    assert type(value) is str
    return b"s" + value.encode()


def _padded(value: StorageValue) -> bytes:
    assert type(value) is str
    return b"s" + value.rstrip(" ").encode()  # a parameter may come with its blanks


def _bytes(value: StorageValue) -> bytes:
    assert type(value) is bytes
    return b"b" + value


def _decimal_text(value: StorageValue) -> bytes:
    assert type(value) is str
    return b"n" + value.encode()


def _scaled(value: StorageValue, scale: int) -> bytes:
    assert type(value) is int
    whole, rest = divmod(value, 10**scale)
    if not rest:
        return b"n%d" % whole
    return b"n" + canonical_number(Decimal(value).scaleb(-scale)).encode()


def _float(value: StorageValue) -> bytes:
    if value == "NaN":
        return b"fnan"
    assert isinstance(value, float | int)
    if value != value or value in (float("inf"), float("-inf")):
        return b"f" + repr(value).encode()
    return b"n" + canonical_number(Decimal(repr(value))).encode()
