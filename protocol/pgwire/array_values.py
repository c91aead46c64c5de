"""Arrays on the wire, text and binary, one dimension. Pure.

As storage value an array is the JSON text of its elements' storage values; bytes are hexadecimal.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from protocol.errors import InvalidEncodingError, NotSupportedError, PeerProtocolError
from protocol.pgwire.arrays import array_text, split_array
from protocol.sqltypes import BYTES_KINDS, SqlType, StorageValue

Decode = Callable[[bytes], StorageValue]
_HEAD = struct.Struct("!iiI")  # dimensions, has NULLs, OID of the elements
_DIMENSION = struct.Struct("!ii")  # length, lower bound
_LENGTH = struct.Struct("!i")

# OID of the elements → OID of the array
ARRAY_OIDS = {
    16: 1000, 17: 1001, 18: 1002, 19: 1003, 20: 1016, 21: 1005, 23: 1007, 25: 1009, 26: 1028,
    114: 199, 700: 1021, 701: 1022, 1042: 1014, 1043: 1015, 1082: 1182, 1083: 1183, 1114: 1115,
    1184: 1185, 1186: 1187, 1700: 1231, 2950: 2951, 3802: 3807,
}  # fmt: skip
ELEMENT_OIDS = {array: element for element, array in ARRAY_OIDS.items()}
_TEXT = 25
# results: drivers know text[] by themselves, varchar[] not all
ARRAY_OIDS |= {1042: ARRAY_OIDS[_TEXT], 1043: ARRAY_OIDS[_TEXT]}


def stored(values: list[StorageValue]) -> str:
    """Elements as storage values → the array's."""
    return json.dumps([v.hex() if type(v) is bytes else v for v in values])


def elements(value: StorageValue, element: SqlType) -> list[StorageValue]:
    """The elements of an array's storage value."""
    found: list[StorageValue] = json.loads(str(value))
    if element.kind in BYTES_KINDS:
        return [bytes.fromhex(v) if type(v) is str else v for v in found]
    return found


def decoder(of_element: Decode, format: int) -> Decode:
    """Bytes of a parameter → the array's storage value. Raises InvalidTextError, …"""

    def from_text(data: bytes) -> str:
        try:
            items = split_array(data.decode())
        except UnicodeDecodeError:
            raise InvalidEncodingError("invalid byte sequence for UTF8") from None
        return stored([None if i is None else of_element(i.encode()) for i in items])

    def from_binary(data: bytes) -> str:
        try:
            return stored(_binary_elements(data, of_element))
        except struct.error:
            raise PeerProtocolError("a binary array that ends too early") from None

    return from_binary if format else from_text


def _binary_elements(data: bytes, of_element: Decode) -> list[StorageValue]:
    dimensions, _, _ = _HEAD.unpack_from(data)
    if dimensions == 0:
        return []
    if dimensions != 1:
        raise NotSupportedError("arrays of more than one dimension are not supported")
    count, _ = _DIMENSION.unpack_from(data, _HEAD.size)
    at = _HEAD.size + _DIMENSION.size
    if not 0 <= count <= len(data):
        raise PeerProtocolError("a binary array of a wrong length")
    found: list[StorageValue] = []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(data, at)
        at += 4
        if length < 0:
            found.append(None)
            continue
        if at + length > len(data):
            raise PeerProtocolError("a binary array that ends too early")
        found.append(of_element(data[at : at + length]))
        at += length
    return found


def text_encoder(
    element: SqlType, as_text: Callable[[StorageValue], str]
) -> Callable[[StorageValue], str]:
    """Storage value → {…}."""
    return lambda value: array_text(
        None if v is None else as_text(v) for v in elements(value, element)
    )


def binary_encoder(
    element: SqlType, element_oid: int, as_binary: Callable[[StorageValue], bytes]
) -> Callable[[StorageValue], bytes]:
    """Storage value → PostgreSQL's binary form."""

    def encode(value: StorageValue) -> bytes:
        items = elements(value, element)
        if not items:
            return _HEAD.pack(0, 0, element_oid)
        parts = [
            _HEAD.pack(1, int(None in items), element_oid),
            _DIMENSION.pack(len(items), 1),
        ]
        for item in items:
            if item is None:
                parts.append(_LENGTH.pack(-1))
                continue
            data = as_binary(item)
            parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)

    return encode
