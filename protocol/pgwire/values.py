"""SQL values between storage form and the PostgreSQL wire, by type and format (0 text, 1 binary).

Nothing here looks at the network. Decoders turn one parameter's bytes into a storage value; a row
encoder turns rows of storage values into finished DataRow messages. Both are built once per types
and formats and cached; the built functions are the hot path of every statement.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

from protocol.errors import (
    DatetimeError,
    GridError,
    InvalidEncodingError,
    InvalidTextError,
    OutOfRangeError,
    PeerProtocolError,
    TooLargeError,
)
from protocol.limits import RESULT_COLUMNS_MAX
from protocol.pgwire import array_values, numeric, plain_rows
from protocol.pgwire import datetimes as dt
from protocol.pgwire.row_code import CellCode, compiled
from protocol.pgwire.uuids import canonical_uuid
from protocol.sqltypes import (
    ANY_SCALE,
    BOOLEAN,
    BYTES_KINDS,
    MICROSECOND_KINDS,
    OID_ARRAY,
    PADDED_KINDS,
    REF_CURSOR,
    TEXT_KINDS,
    Kind,
    SqlType,
    StorageRow,
    StorageValue,
    array_of,
    element_type,
)

Decoder = Callable[[bytes], StorageValue]
CellEncoder = Callable[[StorageValue], bytes]  # value, not None → bytes without a length

TEXT_FORMAT = 0
BINARY_FORMAT = 1
# Interpreted, a loop over columns takes longer than the functions that row_code makes.
_PLAIN_ROWS_COMPILED = not str(plain_rows.__file__).endswith(".py")


class ResultColumn(NamedTuple):
    """One column of a result, as RowDescription shows it."""

    name: str
    type: SqlType
    table_oid: int = 0  # 0: not a plain column of a table
    column_number: int = 0


# -- types and OIDs -------------------------------------------------------------------------------
_OIDS: dict[Kind, tuple[int, int]] = {  # kind → (OID, size in bytes, -1 varying)
    Kind.UNKNOWN: (25, -1),
    Kind.TINYINT: (21, 2),
    Kind.SMALLINT: (21, 2),
    Kind.INTEGER: (23, 4),
    Kind.BIGINT: (20, 8),
    Kind.NUMBER: (1700, -1),
    Kind.BINARY_FLOAT: (700, 4),
    Kind.BINARY_DOUBLE: (701, 8),
    Kind.CHAR: (1042, -1),
    Kind.VARCHAR: (1043, -1),
    Kind.NCHAR: (1042, -1),
    Kind.NVARCHAR: (1043, -1),
    Kind.DATE: (1114, 8),
    Kind.TIMESTAMP: (1114, 8),
    Kind.TT_DATE: (1082, 4),
    Kind.TT_TIME: (1083, 8),
    Kind.TT_TIMESTAMP: (1114, 8),
    Kind.BINARY: (17, -1),
    Kind.VARBINARY: (17, -1),
    Kind.BOOLEAN: (16, 1),
    Kind.CLOB: (25, -1),
    Kind.BLOB: (17, -1),
    Kind.TIMESTAMPTZ: (1184, 8),
    Kind.INTERVAL_DS: (1186, 16),
    Kind.INTERVAL_YM: (1186, 16),
    Kind.JSON: (114, -1),
    Kind.UUID: (2950, 16),
    Kind.ARRAY: (1009, -1),  # of texts; oid() knows the others
}
assert set(_OIDS) == set(Kind)

_VARCHAR = SqlType(Kind.VARCHAR)
_TYPES: dict[int, SqlType] = {  # what a client may declare a parameter as
    16: BOOLEAN,
    17: SqlType(Kind.VARBINARY),
    18: _VARCHAR,  # "char"
    19: _VARCHAR,  # name
    20: SqlType(Kind.BIGINT),
    21: SqlType(Kind.SMALLINT),
    23: SqlType(Kind.INTEGER),
    25: _VARCHAR,  # text
    26: SqlType(Kind.BIGINT),  # oid
    114: SqlType(Kind.JSON),
    700: SqlType(Kind.BINARY_FLOAT),
    701: SqlType(Kind.BINARY_DOUBLE),
    1042: SqlType(Kind.CHAR),
    1043: _VARCHAR,
    1082: SqlType(Kind.TT_DATE),
    1083: SqlType(Kind.TT_TIME),
    1114: SqlType(Kind.TIMESTAMP, precision=6),
    1184: SqlType(Kind.TIMESTAMPTZ, precision=6),
    1186: SqlType(Kind.INTERVAL_DS),
    1700: SqlType(Kind.NUMBER),
    2950: SqlType(Kind.UUID),
    3802: SqlType(Kind.JSON),  # jsonb
}
_TYPES |= {array: array_of(_TYPES[element]) for array, element in array_values.ELEMENT_OIDS.items()}


def oid(type: SqlType) -> int:
    """The PostgreSQL type a value of `type` is shown as."""
    if type.kind is Kind.ARRAY:
        element = 26 if type == OID_ARRAY else oid(element_type(type))
        return array_values.ARRAY_OIDS[element]
    if type == REF_CURSOR:
        return 1790  # refcursor
    return _OIDS[type.kind][0]


def size(type: SqlType) -> int:
    """Its width in bytes as PostgreSQL counts it, -1 if it varies."""
    return _OIDS[type.kind][1]


def typmod(type: SqlType) -> int:
    """PostgreSQL's type modifier: precision and scale, length, fractional digits; -1 for none."""
    kind = type.kind
    if kind is Kind.NUMBER:
        if not type.precision:
            return -1
        scale = 0 if type.scale == ANY_SCALE else type.scale
        return ((type.precision << 16) | (scale & 0x7FF)) + 4
    if kind in PADDED_KINDS or kind in (Kind.VARCHAR, Kind.NVARCHAR):
        return type.length + 4 if type.length else -1
    if kind is Kind.DATE:
        return 0
    if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ) and type.precision < 6:
        return type.precision
    return -1


def type_of_oid(type_oid: int, modifier: int = -1) -> SqlType | None:
    """The type of a parameter that a client declared by OID; None: unknown or unspecified (0,
    705)."""
    found = _TYPES.get(type_oid)
    if found is None or modifier < 0:
        return found
    if type_oid == 1700 and modifier >= 4:
        packed = modifier - 4
        scale = packed & 0x7FF
        return SqlType(Kind.NUMBER, packed >> 16, scale - 0x800 if scale & 0x400 else scale)
    if type_oid in (1042, 1043) and modifier >= 4:
        return found._replace(length=modifier - 4)
    if type_oid in (1114, 1184):
        return found._replace(precision=min(modifier, 6))
    return found


# -- decoding parameters --------------------------------------------------------------------------
_INTEGER_RANGES = {
    Kind.TINYINT: (0, 255, "TT_TINYINT"),
    Kind.SMALLINT: (-(2**15), 2**15 - 1, "TT_SMALLINT"),
    Kind.INTEGER: (-(2**31), 2**31 - 1, "TT_INTEGER"),
    Kind.BIGINT: (-(2**63), 2**63 - 1, "TT_BIGINT"),
}
_FLOAT4 = struct.Struct("!f")
_FLOAT8 = struct.Struct("!d")
_INTERVAL = struct.Struct("!qii")  # microseconds, days, months
_TRUE_TEXTS = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE_TEXTS = frozenset({"f", "false", "n", "no", "off", "0"})


def decode_text(data: bytes) -> str:
    """UTF-8 without NUL. Raises InvalidEncodingError."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidEncodingError(f"invalid byte sequence for UTF8: {error.reason}") from None
    if "\0" in text:
        raise InvalidEncodingError('invalid byte sequence for encoding "UTF8": 0x00')
    return text


def _wrong_length(what: str, data: bytes) -> PeerProtocolError:
    return PeerProtocolError(f"binary {what} of {len(data)} bytes")


def _integer_decoder(kind: Kind, format: int) -> Decoder:
    low, high, name = _INTEGER_RANGES[kind]

    def from_text(data: bytes) -> int:
        try:
            value = int(data)
        except ValueError:
            raise _not_an_integer(data, name) from None
        if low <= value <= high and b"_" not in data:
            return value
        if b"_" in data:
            raise _not_an_integer(data, name)
        raise OutOfRangeError(f"value {data[:40].decode()} is out of range for type {name}")

    def from_binary(data: bytes) -> int:
        if len(data) not in (2, 4, 8):
            raise _wrong_length("integer", data)
        value = int.from_bytes(data, "big", signed=True)
        if low <= value <= high:
            return value
        raise OutOfRangeError(f"value {value} is out of range for type {name}")

    return from_binary if format else from_text


def _not_an_integer(data: bytes, name: str) -> GridError:
    shown = data[:60].decode(errors="replace")
    if data.strip().lstrip(b"+-").isdigit():
        return OutOfRangeError(f'value "{shown}" is out of range for type {name}')
    return InvalidTextError(f'invalid input syntax for type {name}: "{shown}"')


def _scaled_decoder(type: SqlType, format: int) -> Decoder:
    wanted, limit = type.scale, 10**type.precision

    def fitted(units: int, scale: int) -> int:
        value = numeric.rescale(units, scale, wanted)
        if -limit < value < limit:
            return value
        raise OutOfRangeError(f"value does not fit NUMBER({type.precision},{type.scale})")

    def from_text(data: bytes) -> int:
        if wanted == 0 and data.isdigit() and len(data) <= 18:
            return fitted(int(data), 0)
        return fitted(*numeric.text_to_units(decode_text(data)))

    def from_binary(data: bytes) -> int:
        return fitted(*numeric.decode_numeric(data))

    return from_binary if format else from_text


def _number_decoder(type: SqlType, format: int) -> Decoder:
    if type.is_scaled:
        return _scaled_decoder(type, format)
    if type.precision and type.scale != ANY_SCALE:
        return _rounded_decoder(type, format)

    def from_text(data: bytes) -> str:
        return numeric.canonical_from_decimal(numeric.parse_decimal(decode_text(data)))

    def from_binary(data: bytes) -> str:
        return numeric.canonical_from_units(*numeric.decode_numeric(data))

    return from_binary if format else from_text


def _rounded_decoder(type: SqlType, format: int) -> Decoder:
    """NUMBER(p > 18, s) and NUMBER(p, s < 0): text storage with a fixed scale."""
    limit = 10**type.precision

    def fitted(units: int, scale: int) -> str:
        value = numeric.rescale(units, scale, type.scale)
        if not -limit < value < limit:
            raise OutOfRangeError(f"value does not fit NUMBER({type.precision},{type.scale})")
        if type.scale < 0:
            return numeric.canonical_from_units(value * 10**-type.scale, 0)
        return numeric.canonical_from_units(value, type.scale)

    if format:
        return lambda data: fitted(*numeric.decode_numeric(data))
    return lambda data: fitted(*numeric.text_to_units(decode_text(data)))


NAN = "NaN"  # as storage value: SQLite knows no NaN


def _float_decoder(kind: Kind, format: int) -> Decoder:
    def from_text(data: bytes) -> float | str:
        text = decode_text(data)
        try:
            if "_" in text:
                raise ValueError
            value = float(text)
        except ValueError:
            raise InvalidTextError(f'invalid input syntax for a float: "{text[:60]}"') from None
        if value != value:
            return NAN
        if kind is Kind.BINARY_DOUBLE:
            return value
        try:
            return float(_FLOAT4.unpack(_FLOAT4.pack(value))[0])
        except OverflowError:
            raise OutOfRangeError(f'"{text[:60]}" is out of range for BINARY_FLOAT') from None

    def from_binary(data: bytes) -> float | str:
        if len(data) == 8 and kind is Kind.BINARY_DOUBLE:
            value = float(_FLOAT8.unpack(data)[0])
            return NAN if value != value else value
        if len(data) == 4:
            value = float(_FLOAT4.unpack(data)[0])
            return NAN if value != value else value
        raise _wrong_length("float", data)

    return from_binary if format else from_text


def _decode_boolean(data: bytes) -> int:
    text = decode_text(data).strip().lower()
    if text in _TRUE_TEXTS:
        return 1
    if text in _FALSE_TEXTS:
        return 0
    raise InvalidTextError(f'invalid input syntax for type boolean: "{text[:60]}"')


def _decode_boolean_binary(data: bytes) -> int:
    if len(data) != 1:
        raise _wrong_length("boolean", data)
    return 1 if data[0] else 0


def decode_bytea(data: bytes) -> bytes:
    """bytea text, hex or escape form. Raises InvalidTextError."""
    if data[:2] == b"\\x":
        try:
            return bytes.fromhex(data[2:].decode("ascii"))
        except ValueError:
            raise InvalidTextError("invalid hexadecimal data for type bytea") from None
    if b"\\" not in data:
        return data
    return _BYTEA_ESCAPE.sub(_unescaped, data)


_BYTEA_ESCAPE = re.compile(rb"\\(?:(\\)|([0-3][0-7]{2}))?")


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return b"\\"
    if match[2]:
        return bytes((int(match[2], 8),))
    raise InvalidTextError("invalid escape in text of type bytea")


def _whole_seconds(us: int) -> int:
    """Oracle's DATE has seconds: a fraction is rounded half up."""
    return (us + dt.US_PER_SECOND // 2) // dt.US_PER_SECOND * dt.US_PER_SECOND


def _to_precision(us: int, precision: int) -> int:
    unit = int(10 ** (6 - precision))
    return (us + unit // 2) // unit * unit


def _timestamp_decoder(type: SqlType, format: int) -> Decoder:
    kind, precision = type.kind, min(type.precision, 6)
    with_zone = kind is Kind.TIMESTAMPTZ

    def fitted(us: int) -> int:
        if kind is Kind.DATE:
            return _whole_seconds(us)
        if kind is Kind.TT_DATE:
            return us - us % dt.US_PER_DAY
        if precision < 6 and kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
            return _to_precision(us, precision)
        return us

    def from_text(data: bytes) -> int:
        return fitted(dt.parse_timestamp(decode_text(data), with_zone=with_zone))

    def from_binary(data: bytes) -> int:
        if len(data) == 8:
            us = int.from_bytes(data, "big", signed=True) + dt.POSTGRES_EPOCH_US
        elif len(data) == 4:  # a date
            days = int.from_bytes(data, "big", signed=True) + dt.POSTGRES_EPOCH_DAYS
            us = days * dt.US_PER_DAY
        else:
            raise _wrong_length("timestamp", data)
        return fitted(dt.check_timestamp(us))

    return from_binary if format else from_text


def _decode_time(data: bytes) -> int:
    return dt.parse_time(decode_text(data))


def _decode_time_binary(data: bytes) -> int:
    if len(data) not in (8, 12):  # 12: with a zone, which is dropped
        raise _wrong_length("time", data)
    us = int.from_bytes(data[:8], "big", signed=True)
    if not 0 <= us <= dt.US_PER_DAY:
        raise DatetimeError("time is out of range")
    return us


def _interval_decoder(kind: Kind, format: int) -> Decoder:
    def fitted(months: int, us: int) -> int:
        if kind is Kind.INTERVAL_YM:
            if us:
                raise InvalidTextError("INTERVAL YEAR TO MONTH has no days or time")
            return months
        if months:
            raise InvalidTextError("INTERVAL DAY TO SECOND has no years or months")
        if not -(2**63) <= us < 2**63:
            raise DatetimeError("interval is out of range")
        return us

    def from_binary(data: bytes) -> int:
        if len(data) != 16:
            raise _wrong_length("interval", data)
        us, days, months = _INTERVAL.unpack(data)
        return fitted(months, us + days * dt.US_PER_DAY)

    def from_text(data: bytes) -> int:
        return fitted(*dt.parse_interval(decode_text(data)))

    return from_binary if format else from_text


def _identity(data: bytes) -> bytes:
    return data


def _decode_padded(data: bytes) -> str:
    return decode_text(data).rstrip(" ")


def _decode_uuid(data: bytes) -> str:
    if len(data) != 16:
        raise _wrong_length("uuid", data)
    return canonical_uuid(data.hex())


def _decode_jsonb(data: bytes) -> str:
    if data[:1] != b"\x01":
        raise PeerProtocolError("binary jsonb of an unknown version")
    return _decode_json(data[1:])


def _decode_json_binary(data: bytes) -> str:
    """Drivers that know jsonb send its version, in COPY too; no JSON text begins with that byte."""
    return _decode_json(data.removeprefix(b"\x01"))


def _decode_json(data: bytes) -> str:
    text = decode_text(data)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        message = f'invalid input syntax for type JSON: "{text[:60]}"'
        raise InvalidTextError(message) from None
    return text


def _decode_oid(data: bytes) -> int:
    if len(data) != 4:
        raise _wrong_length("oid", data)
    return int.from_bytes(data, "big")


_BINARY_BY_OID: dict[int, Decoder] = {26: _decode_oid, 2950: _decode_uuid, 3802: _decode_jsonb}


@lru_cache(maxsize=2048)
def decoder(type: SqlType, format: int, declared_oid: int = 0) -> Decoder:
    """How to turn one parameter's bytes into a storage value of `type`.

    declared_oid: what the client declared it as, 0 for nothing; it matters for binary forms that
    share a type of ours. Values are rounded to a declared scale and checked against a declared
    precision, as an assignment does. The decoder raises GridError of SQLSTATE class 22 or 08P01.
    """
    kind = type.kind
    if format and declared_oid in _BINARY_BY_OID:
        return _BINARY_BY_OID[declared_oid]
    if kind is Kind.ARRAY:
        declared = array_values.ELEMENT_OIDS.get(declared_oid, 0)
        return array_values.decoder(decoder(element_type(type), format, declared), format)
    if kind in _INTEGER_RANGES:
        return _integer_decoder(kind, format)
    if kind is Kind.NUMBER:
        return _number_decoder(type, format)
    if kind in (Kind.BINARY_FLOAT, Kind.BINARY_DOUBLE):
        return _float_decoder(kind, format)
    if kind in PADDED_KINDS:
        return _decode_padded
    if kind is Kind.JSON:
        return _decode_json_binary if format else _decode_json
    if kind is Kind.UUID:
        return _decode_uuid if format else lambda data: canonical_uuid(decode_text(data))
    if kind in TEXT_KINDS:
        return decode_text
    if kind in BYTES_KINDS:
        return _identity if format else decode_bytea
    if kind is Kind.BOOLEAN:
        return _decode_boolean_binary if format else _decode_boolean
    if kind is Kind.TT_TIME:
        return _decode_time_binary if format else _decode_time
    if kind in (Kind.INTERVAL_DS, Kind.INTERVAL_YM):
        return _interval_decoder(kind, format)
    return _timestamp_decoder(type, format)


def plain_digits(type: SqlType, format: int) -> int:
    """Any number of so many digits, as text, is a value of `type`; 0: there is no such rule."""
    if format:
        return 0
    if type.kind in _INTEGER_RANGES:
        return len(str(_INTEGER_RANGES[type.kind][1])) - 1
    if type.kind is Kind.NUMBER and type.is_scaled and not type.scale:
        return min(type.precision, 18)
    return 0


# -- encoding results -----------------------------------------------------------------------------
def _float_text(value: float | str) -> str:
    text = repr(float(value))
    if text.endswith(".0"):
        return text[:-2]
    if text in ("inf", "-inf", "nan"):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[text]
    return text


def _float4_text(value: float | str) -> str:
    """The shortest text that gives the same 32-bit float."""
    value = float(value)
    if value - value != 0:  # infinite or NaN
        return _float_text(value)
    stored = _FLOAT4.pack(value)
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if _FLOAT4.pack(float(text)) == stored:
            break
    return text


def padded(type: SqlType, value: str) -> str:
    """CHAR(n) as clients see it: filled with spaces to its length (bytes or characters)."""
    if type.byte_length:
        return value + " " * (type.length - len(value.encode()))
    return value.ljust(type.length)


def _text_encoder(type: SqlType) -> Callable[[StorageValue], str]:
    """How a storage value (never None) of `type` looks as text."""
    kind = type.kind
    table: dict[Kind, Callable[..., str]] = {
        Kind.BINARY_DOUBLE: _float_text,
        Kind.BINARY_FLOAT: _float4_text,
        Kind.DATE: dt.timestamp_text,
        Kind.TIMESTAMP: dt.timestamp_text,
        Kind.TT_TIMESTAMP: dt.timestamp_text,
        Kind.TIMESTAMPTZ: dt.timestamptz_text,
        Kind.TT_DATE: dt.date_text,
        Kind.TT_TIME: dt.time_text,
        Kind.INTERVAL_DS: dt.interval_ds_text,
        Kind.INTERVAL_YM: dt.interval_ym_text,
    }
    if kind in table:
        return table[kind]
    if kind is Kind.ARRAY:
        return array_values.text_encoder(element_type(type), _text_encoder(element_type(type)))
    if kind is Kind.NUMBER and type.is_scaled and type.scale:
        scale = type.scale
        return lambda value: numeric.scaled_to_text(value, scale)  # type: ignore[arg-type]
    if kind is Kind.BOOLEAN:
        return lambda value: "t" if value else "f"
    if kind in PADDED_KINDS and type.length:
        return lambda value: padded(type, value)  # type: ignore[arg-type]
    if kind in BYTES_KINDS:
        return lambda value: "\\x" + value.hex()  # type: ignore[union-attr]
    return str


@lru_cache(maxsize=1024)
def text_encoder(type: SqlType) -> Callable[[StorageValue], str]:
    """How a storage value (never None) of `type` looks as text; also for COPY."""
    return _text_encoder(type)


def _binary_integer(width: int) -> CellEncoder:
    packer = {2: struct.Struct("!h"), 4: struct.Struct("!i"), 8: struct.Struct("!q")}[width]
    return packer.pack


def _binary_number(type: SqlType) -> CellEncoder:
    if type.is_scaled:
        scale = type.scale
        return lambda value: numeric.encode_numeric(value, scale)  # type: ignore[arg-type]
    return lambda value: numeric.encode_numeric(
        *numeric.canonical_to_units(value)  # type: ignore[arg-type]
    )


def _binary_timestamp(value: StorageValue) -> bytes:
    return _BIG(value - dt.POSTGRES_EPOCH_US)  # type: ignore[operator]


def _binary_date(value: StorageValue) -> bytes:
    return _INT(value // dt.US_PER_DAY - dt.POSTGRES_EPOCH_DAYS)  # type: ignore[operator]


def _binary_interval_ds(value: StorageValue) -> bytes:
    days, us = divmod(abs(value), dt.US_PER_DAY)  # type: ignore[arg-type]
    if value < 0:  # type: ignore[operator]
        days, us = -days, -us
    return _INTERVAL.pack(us, days, 0)


_INT = struct.Struct("!i").pack
_BIG = struct.Struct("!q").pack


@lru_cache(maxsize=1024)
def binary_encoder(type: SqlType) -> CellEncoder:
    """How a storage value (never None) of `type` looks in binary."""
    kind = type.kind
    if kind in _INTEGER_RANGES:
        return _binary_integer(size(type))
    if kind is Kind.NUMBER:
        return _binary_number(type)
    if kind in BYTES_KINDS:
        return lambda value: value  # type: ignore[return-value]
    table: dict[Kind, CellEncoder] = {
        Kind.BINARY_FLOAT: lambda value: _FLOAT4.pack(float(value)),  # type: ignore[arg-type]
        Kind.BINARY_DOUBLE: lambda value: _FLOAT8.pack(float(value)),  # type: ignore[arg-type]
        Kind.BOOLEAN: lambda value: b"\1" if value else b"\0",
        Kind.UUID: lambda value: bytes.fromhex(value.replace("-", "")),  # type: ignore
        Kind.TT_DATE: _binary_date,
        Kind.TT_TIME: _BIG,
        Kind.INTERVAL_DS: _binary_interval_ds,
        Kind.INTERVAL_YM: lambda value: _INTERVAL.pack(0, 0, value),
        Kind.DATE: _binary_timestamp,
        Kind.TIMESTAMP: _binary_timestamp,
        Kind.TT_TIMESTAMP: _binary_timestamp,
        Kind.TIMESTAMPTZ: _binary_timestamp,
    }
    if kind in table:
        return table[kind]
    if kind is Kind.ARRAY:
        element = element_type(type)
        element_oid = array_values.ELEMENT_OIDS[oid(type)]
        return array_values.binary_encoder(element, element_oid, binary_encoder(element))
    as_text = text_encoder(type)
    return lambda value: as_text(value).encode()


_WHOLE = {format: struct.Struct("!i" + format).pack for format in "hiqfd"}  # length and value


def _cell_code(type: SqlType, format: int) -> CellCode:
    """How a column of `type` is encoded in `format`."""
    kind = type.kind
    if not format:
        as_text = text_encoder(type)
        if as_text is str:  # integers, and what is text already
            return CellCode("({v} if {v}.__class__ is str else str({v})).encode()")
        return CellCode("{f}({v}).encode()", as_text)
    if kind in _INTEGER_RANGES or kind is Kind.TT_TIME:
        width = size(type)
        return CellCode(f"{{f}}({width}, {{v}})", _WHOLE[{2: "h", 4: "i", 8: "q"}[width]], True)
    if kind in MICROSECOND_KINDS and kind is not Kind.TT_DATE:
        return CellCode(f"{{f}}(8, {{v}} - {dt.POSTGRES_EPOCH_US})", _WHOLE["q"], True)
    if kind is Kind.BINARY_DOUBLE:
        return CellCode("{f}(8, float({v}))", _WHOLE["d"], True)
    if kind is Kind.BINARY_FLOAT:
        return CellCode("{f}(4, float({v}))", _WHOLE["f"], True)
    if kind in BYTES_KINDS:
        return CellCode("{v}")
    if text_encoder(type) is str and kind not in (Kind.NUMBER, Kind.UUID):
        return CellCode("{v}.encode()")
    return CellCode("{f}({v})", binary_encoder(type))


class RowEncoder(Protocol):
    """Rows of storage values → finished wire messages. Call it; get one from row_encoder().

    A row must have exactly one value per type.
    """

    types: tuple[SqlType, ...]
    formats: tuple[int, ...]  # one per type, 0 text or 1 binary: travels with the fragment

    def __call__(self, rows: Iterable[StorageRow], /) -> bytes:
        """The messages, one per row."""
        ...


def plain_widths(types: tuple[SqlType, ...], formats: tuple[int, ...]) -> tuple[int, ...] | None:
    """The widths of PlainRows for these columns; None: it does not know them."""
    widths: list[int] = []
    for type, format in zip(types, formats, strict=True):
        is_padded = type.kind in PADDED_KINDS and type.length > 0
        if format or not (is_padded or text_encoder(type) is str):
            return None
        widths.append((-type.length if type.byte_length else type.length) if is_padded else 0)
    return tuple(widths)


@lru_cache(maxsize=4096)
def row_encoder(types: tuple[SqlType, ...], formats: tuple[int, ...] = ()) -> RowEncoder:
    """The encoder for these columns; formats as in Bind: none (all text), one for all, or one each.

    Raises PeerProtocolError for a wrong number of formats or an unknown one, TooLargeError.
    """
    if len(types) > RESULT_COLUMNS_MAX:
        raise TooLargeError(f"a result of {len(types)} columns, limit {RESULT_COLUMNS_MAX}")
    spread = spread_formats(formats, len(types))
    if _PLAIN_ROWS_COMPILED and (widths := plain_widths(types, spread)) is not None:
        return plain_rows.PlainRows(types, spread, widths)
    encode = compiled([_cell_code(*column) for column in zip(types, spread, strict=True)])
    made = cast(RowEncoder, encode)  # functions carry attributes: no call in between
    made.types, made.formats = types, spread
    return made


def spread_formats(formats: Sequence[int], count: int) -> tuple[int, ...]:
    """One format per value from the abbreviated forms of Bind. Raises PeerProtocolError."""
    if any(format not in (TEXT_FORMAT, BINARY_FORMAT) for format in formats):
        raise PeerProtocolError("unknown format code")
    if not formats:
        return (TEXT_FORMAT,) * count
    if len(formats) == 1:
        return (formats[0],) * count
    if len(formats) != count:
        raise PeerProtocolError(f"{len(formats)} format codes for {count} values")
    return tuple(formats)
