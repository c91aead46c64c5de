"""Bodies of client messages: bytes ↔ values. Every function raises PeerProtocolError and nothing
else.

Bind is not here: it is on the hot path and is read in place by connection.py.
"""

from __future__ import annotations

import struct

from protocol.errors import PeerProtocolError
from protocol.pgwire.messages import (
    CANCEL_REQUEST,
    GSSENC_REQUEST,
    SSL_REQUEST,
    CancelRequest,
    GssEncRequest,
    SslRequest,
    Startup,
    StartupMessage,
)
from protocol.pgwire.values import decode_text

_STARTUP_PARAMETERS_MAX = 200


def c_string(data: bytes, start: int, stop: int) -> tuple[bytes, int]:
    """The bytes up to the next NUL before `stop`, and where to go on after it."""
    end = data.find(b"\0", start, stop)
    if end < 0:
        raise PeerProtocolError("string is not terminated")
    return data[start:end], end + 1


def startup(body: bytes) -> Startup:
    """The first packet of a connection, without its length."""
    if len(body) < 4:
        raise PeerProtocolError("startup packet is too short")
    code = int.from_bytes(body[:4], "big")
    if code == SSL_REQUEST:
        return SslRequest()
    if code == GSSENC_REQUEST:
        return GssEncRequest()
    if code == CANCEL_REQUEST:
        if len(body) != 12:
            raise PeerProtocolError("cancel request has a wrong length")
        return CancelRequest(*struct.unpack_from("!II", body, 4))
    return StartupMessage(code, _startup_parameters(body) if code >> 16 == 3 else {})


def _startup_parameters(body: bytes) -> dict[str, str]:
    if body[-1:] != b"\0":
        raise PeerProtocolError("startup packet is not terminated")
    parameters: dict[str, str] = {}
    at = 4
    while at < len(body) - 1:
        name, at = c_string(body, at, len(body))
        value, at = c_string(body, at, len(body))
        if len(parameters) >= _STARTUP_PARAMETERS_MAX:
            raise PeerProtocolError("too many startup parameters")
        parameters[decode_text(name)] = decode_text(value)
    return parameters


def parse(data: bytes, start: int, stop: int) -> tuple[bytes, str, tuple[int, ...]]:
    """Parse: statement name, SQL text, declared parameter OIDs. Also raises
    InvalidEncodingError."""
    name, at = c_string(data, start, stop)
    sql, at = c_string(data, at, stop)
    if stop - at < 2:
        raise PeerProtocolError("Parse message is too short")
    count = int.from_bytes(data[at : at + 2], "big")
    if stop - at != 2 + 4 * count:
        raise PeerProtocolError("Parse message has a wrong length")
    return name, decode_text(sql), struct.unpack_from(f"!{count}I", data, at + 2)


def target(data: bytes, start: int, stop: int) -> tuple[int, bytes]:
    """Describe and Close: ord("S") or ord("P"), and the name."""
    if stop - start < 2 or data[start] not in b"SP":
        raise PeerProtocolError("Describe or Close of neither statement nor portal")
    name, at = c_string(data, start + 1, stop)
    if at != stop:
        raise PeerProtocolError("Describe or Close message has a wrong length")
    return data[start], name


def execute(data: bytes, start: int, stop: int) -> tuple[bytes, int]:
    """Execute: portal name and row limit (0: none)."""
    name, at = c_string(data, start, stop)
    if stop - at != 4:
        raise PeerProtocolError("Execute message has a wrong length")
    return name, max(0, int.from_bytes(data[at:stop], "big", signed=True))


def query(data: bytes, start: int, stop: int) -> str:
    """Query: the SQL text. Also raises InvalidEncodingError."""
    text, at = c_string(data, start, stop)
    if at != stop:
        raise PeerProtocolError("Query message has a wrong length")
    return decode_text(text)


def sasl_initial(data: bytes, start: int, stop: int) -> tuple[str, bytes]:
    """SASLInitialResponse: mechanism and client-first-message."""
    mechanism, at = c_string(data, start, stop)
    if stop - at < 4:
        raise PeerProtocolError("SASL message is too short")
    length = int.from_bytes(data[at : at + 4], "big", signed=True)
    body = data[at + 4 : stop]
    if length != len(body):
        raise PeerProtocolError("SASL message has a wrong length")
    return mechanism.decode("ascii", "replace"), body


def formats_of(section: bytes) -> tuple[int, ...]:
    """A counted list of format codes, as Bind carries two of them."""
    count = int.from_bytes(section[:2], "big")
    if len(section) != 2 + 2 * count:
        raise PeerProtocolError("format codes have a wrong length")
    return struct.unpack_from(f"!{count}H", section, 2)
