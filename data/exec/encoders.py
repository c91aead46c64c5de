"""Wire row encoders by a short byte key, so that a lead can encode rows for a client elsewhere.

The key is the msgpack of the columns' types and formats: made once per prepared statement, sent
with each read, looked up here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import msgspec

from protocol.pgwire.values import RowEncoder, row_encoder
from protocol.sqltypes import SqlType, StorageRow

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(tuple[tuple[SqlType, ...], tuple[int, ...]])
_ROWS = msgspec.msgpack.Decoder(list[tuple])  # type: ignore[type-arg]

EncodeRows = Callable[[Sequence[StorageRow]], bytes]

STORAGE_ROWS = b""  # the key that asks for storage rows in msgpack


@lru_cache(maxsize=4096)
def key_of(types: tuple[SqlType, ...], formats: tuple[int, ...]) -> bytes:
    """The key under which any instance finds the encoder for these columns."""
    return _ENCODER.encode((types, formats))


@lru_cache(maxsize=4096)
def by_key(key: bytes) -> RowEncoder:
    """The encoder for a key. Raises msgspec.DecodeError for bytes that are none."""
    types, formats = _DECODER.decode(key)
    return row_encoder(types, formats)


def encode_storage_rows(rows: Iterable[StorageRow]) -> bytes:
    """Storage rows as bytes."""
    return _ENCODER.encode(rows)


def decode_storage_rows(data: bytes) -> list[StorageRow]:
    """The rows in bytes from `encode_storage_rows`."""
    return _ROWS.decode(data)
