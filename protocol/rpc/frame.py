"""Bytes ↔ frames. A frame is a 4-byte big-endian body length, then the body. No I/O."""

from __future__ import annotations

import struct
from typing import Final

from protocol.errors import PeerProtocolError
from protocol.limits import RPC_FRAME_BYTES_MAX

_LENGTH: Final = struct.Struct(">I")
# A body of the open connection is one msgpack array (array32: 0xdd, count) of envelopes.
_BATCH_HEADER: Final = struct.Struct(">IBI")
_ARRAY32: Final = 0xDD
BATCH_HEADER_BYTES: Final = _BATCH_HEADER.size


def frame(body: bytes) -> bytes:
    """One whole frame around a body."""
    return _LENGTH.pack(len(body)) + body


def batch_header(items_bytes: int, count: int) -> bytes:
    """What goes before `count` encoded envelopes of `items_bytes` together to make one frame."""
    return _BATCH_HEADER.pack(items_bytes + 5, _ARRAY32, count)


class FrameReader:
    """Cuts a byte stream into frame bodies; holds at most one incomplete frame."""

    def __init__(self, bytes_max: int = RPC_FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []  # of the incomplete frame; joined once, when it is whole
        self._held_bytes = 0
        self._needed_bytes = 4

    def receive(self, chunk: bytes) -> list[memoryview]:
        """Return the bodies that are whole now. Raises PeerProtocolError for a too long frame.

        The bodies are views of the received bytes: decode them before the next call or copy them.
        """
        if self._parts:
            self._parts.append(chunk)
            self._held_bytes += len(chunk)
            if self._held_bytes < self._needed_bytes:
                return []
            chunk = b"".join(self._parts)
            self._parts.clear()
        bodies: list[memoryview] = []
        view = memoryview(chunk)
        start, end = 0, len(chunk)
        needed = 4
        while end - start >= 4:
            body_bytes = _LENGTH.unpack_from(chunk, start)[0]
            if body_bytes > self._bytes_max:
                raise PeerProtocolError(f"frame of {body_bytes} bytes, limit {self._bytes_max}")
            stop = start + 4 + body_bytes
            if stop > end:
                needed = 4 + body_bytes
                break
            bodies.append(view[start + 4 : stop])
            start = stop
        if start < end:
            self._parts.append(chunk[start:] if start else chunk)
            self._held_bytes = end - start
            self._needed_bytes = needed
        return bodies

    def rest(self) -> bytes:
        """Take the bytes of the incomplete frame out, for whoever reads the stream next."""
        held = b"".join(self._parts)
        self._parts.clear()
        self._held_bytes = 0
        return held
