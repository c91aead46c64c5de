"""Messages of the PostgreSQL protocol 3.0: the client's as values, the server's as bytes.

The server's messages are built straight into wire form: those that never change are constants,
those that repeat are cached. Layouts: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from protocol.errors import GridError
from protocol.pgwire.values import ResultColumn, oid, size, typmod

PROTOCOL_3_0: Final = 3 << 16
SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102

AUTH_OK: Final = b"R\0\0\0\x08\0\0\0\0"
AUTH_SASL: Final = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"
PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
EMPTY_QUERY: Final = b"I\0\0\0\x04"
COPY_DONE: Final = b"c\0\0\0\x04"
SSL_YES: Final = b"S"
SSL_NO: Final = b"N"
READY: Final = {status: b"Z\0\0\0\x05" + status for status in (b"I", b"T", b"E")}

_INT: Final = struct.Struct("!i").pack
_COLUMN: Final = struct.Struct("!ihihih")


# -- what a client sends before it is authenticated ----------------------------------------------
class SslRequest(NamedTuple):
    """Asks for TLS; answered by one byte."""


class GssEncRequest(NamedTuple):
    """Asks for GSSAPI encryption; answered by one byte."""


class CancelRequest(NamedTuple):
    """On a connection of its own: cancel what runs on another one. Never answered."""

    pid: int
    secret: int


class StartupMessage(NamedTuple):
    """The first message proper."""

    version: int  # major << 16 | minor
    parameters: dict[str, str]


Startup = SslRequest | GssEncRequest | CancelRequest | StartupMessage


# -- what the server sends ------------------------------------------------------------------------
def message(kind: bytes, payload: bytes) -> bytes:
    """A message of one type byte, its length and its payload."""
    return b"%b%b%b" % (kind, _INT(len(payload) + 4), payload)


def authentication_sasl_continue(data: bytes) -> bytes:
    """AuthenticationSASLContinue."""
    return message(b"R", _INT(11) + data)


def authentication_sasl_final(data: bytes) -> bytes:
    """AuthenticationSASLFinal."""
    return message(b"R", _INT(12) + data)


def parameter_status(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return message(b"S", name.encode() + b"\0" + value.encode() + b"\0")


def backend_key_data(pid: int, secret: int) -> bytes:
    """BackendKeyData; both are unsigned 32-bit numbers."""
    return message(b"K", struct.pack("!II", pid, secret))


def negotiate_protocol_version(unknown_options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: the newest minor version is 0, and these options are unknown."""
    names = b"".join(name.encode() + b"\0" for name in unknown_options)
    return message(b"v", struct.pack("!ii", PROTOCOL_3_0, len(unknown_options)) + names)


_COMPLETE: Final[dict[str, bytes]] = {}  # by tag
_COMPLETE_MAX: Final = 4096


def command_complete(tag: str) -> bytes:
    """CommandComplete."""
    found = _COMPLETE.get(tag)
    if found is None:
        found = message(b"C", tag.encode() + b"\0")
        if len(_COMPLETE) >= _COMPLETE_MAX:
            _COMPLETE.clear()
        _COMPLETE[tag] = found
    return found


def row_description(columns: Sequence[ResultColumn], formats: Sequence[int]) -> bytes:
    """RowDescription; one format per column."""
    parts = [len(columns).to_bytes(2, "big")]
    for column, format in zip(columns, formats, strict=True):
        kind = column.type
        parts.append(column.name.encode() + b"\0")
        parts.append(
            _COLUMN.pack(
                column.table_oid,
                column.column_number,
                oid(kind),
                size(kind),
                typmod(kind),
                format,
            )
        )
    return message(b"T", b"".join(parts))


def parameter_description(oids: Sequence[int]) -> bytes:
    """ParameterDescription."""
    return message(b"t", struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def copy_in_response(binary: bool, columns: int) -> bytes:
    """CopyInResponse: send the data now."""
    return message(b"G", struct.pack(f"!bh{columns}h", binary, columns, *[int(binary)] * columns))


def copy_out_response(binary: bool, columns: int) -> bytes:
    """CopyOutResponse: the data follows."""
    return message(b"H", struct.pack(f"!bh{columns}h", binary, columns, *[int(binary)] * columns))


def shown_text(error: GridError) -> str:
    """The message as clients see it: TimesTen's number in front where there is one, "TT0907: …"."""
    if error.tt_number:
        return f"TT{error.tt_number:04d}: {error.message}"
    return error.message


def _fields(fields: Sequence[tuple[bytes, str]]) -> bytes:
    parts = [code + text.replace("\0", " ").encode(errors="replace") for code, text in fields]
    return b"\0".join([*parts, b"\0"])


_NAME_FIELDS: Final = (b"s", b"t", b"c", b"n")  # of Names, in its order


def error_response(error: GridError, severity: str = "ERROR", position: int = 0) -> bytes:
    """ErrorResponse. Field R (routine) carries our stable code, or the routine of PostgreSQL that
    drivers know the error by; position counts characters from 1."""
    fields = [
        (b"S", severity),
        (b"V", severity),
        (b"C", error.sqlstate),
        (b"M", shown_text(error)),
    ]
    if detail := error.remedy.added_to(error.detail):
        fields.append((b"D", detail))
    if hint := error.hint or error.remedy.hint:
        fields.append((b"H", hint))
    if position or error.position:
        fields.append((b"P", str(position or error.position)))
    if error.names is not None:
        fields += [field for field in zip(_NAME_FIELDS, error.names, strict=True) if field[1]]
    fields.append((b"R", error.routine or error.code))
    return message(b"E", _fields(fields))


def notice_response(severity: str, text: str, sqlstate: str) -> bytes:
    """NoticeResponse."""
    return message(
        b"N", _fields([(b"S", severity), (b"V", severity), (b"C", sqlstate), (b"M", text)])
    )
