"""SQL types and how a value of each is stored: shared by the wire, the SQL layer and the elements.

*Storage values* are what SQLite holds and what travels between instances, by kind:

| kind | storage value |
|---|---|
| TINYINT SMALLINT INTEGER BIGINT | int |
| NUMBER with precision ≤ 18 and 0 ≤ scale ≤ 18 | int: the value times 10**scale (*scaled*) |
| other NUMBER | str: canonical decimal text (no exponent, no trailing zeros, no "-0") |
| BINARY_FLOAT BINARY_DOUBLE | float |
| CHAR NCHAR | str without its padding (trailing spaces removed; padded to length on output) |
| VARCHAR NVARCHAR CLOB JSON UUID UNKNOWN | str |
| DATE TIMESTAMP TT_DATE TT_TIMESTAMP TIMESTAMPTZ | int: µs since 1970-01-01 (TIMESTAMPTZ: UTC) |
| TT_TIME | int: microseconds since midnight |
| INTERVAL_DS | int: microseconds; INTERVAL_YM: int: months |
| BINARY VARBINARY BLOB | bytes |
| BOOLEAN | int 0 or 1 |
| ARRAY | str: JSON array of the elements' storage values (parameters and results, no columns) |

SQL NULL is None for every kind.
"""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

StorageValue = int | float | str | bytes | None
StorageRow = tuple[StorageValue, ...]


class Kind(IntEnum):
    """The family of a type. Values are stored in catalogs: they never change."""

    UNKNOWN = 0  # an untyped literal or parameter: takes the type of its context
    TINYINT = 1  # TT_TINYINT 0..255
    SMALLINT = 2
    INTEGER = 3
    BIGINT = 4
    NUMBER = 5
    BINARY_FLOAT = 6
    BINARY_DOUBLE = 7
    CHAR = 8
    VARCHAR = 9
    NCHAR = 10
    NVARCHAR = 11
    DATE = 12  # Oracle's: with time of day in seconds
    TIMESTAMP = 13
    TT_DATE = 14  # a day
    TT_TIME = 15
    TT_TIMESTAMP = 16
    BINARY = 17
    VARBINARY = 18
    BOOLEAN = 19
    CLOB = 20
    BLOB = 21
    TIMESTAMPTZ = 22
    INTERVAL_DS = 23
    INTERVAL_YM = 24
    JSON = 25
    ARRAY = 26  # `length` is the Kind of the elements; see array_of
    UUID = 27  # 36 characters, lower case


ANY_SCALE = -128  # NUMBER without declared scale
SCALED_DIGITS_MAX = 18  # so that every scaled value fits a signed 64-bit integer


class SqlType(NamedTuple):
    """A type as declared or derived.

    `precision`: digits of NUMBER (0: not declared), fractional digits of TIMESTAMP/TT_TIME.
    `scale`: of NUMBER, ANY_SCALE if not declared. `length`: of strings and binaries in characters
    (or bytes if `byte_length`), 0: unbounded.
    """

    kind: Kind
    precision: int = 0
    scale: int = ANY_SCALE
    length: int = 0
    byte_length: bool = False

    @property
    def is_scaled(self) -> bool:
        """True: the storage value is an int, the number times 10**scale."""
        return (
            self.kind is Kind.NUMBER
            and 0 < self.precision <= SCALED_DIGITS_MAX
            and 0 <= self.scale <= SCALED_DIGITS_MAX
        )


INTEGER_KINDS = frozenset({Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT})
FLOAT_KINDS = frozenset({Kind.BINARY_FLOAT, Kind.BINARY_DOUBLE})
NUMERIC_KINDS = INTEGER_KINDS | FLOAT_KINDS | {Kind.NUMBER}
TEXT_KINDS = frozenset(
    {
        Kind.CHAR,
        Kind.VARCHAR,
        Kind.NCHAR,
        Kind.NVARCHAR,
        Kind.CLOB,
        Kind.JSON,
        Kind.UUID,
        Kind.UNKNOWN,
    }
)
PADDED_KINDS = frozenset({Kind.CHAR, Kind.NCHAR})
MICROSECOND_KINDS = frozenset(
    {Kind.DATE, Kind.TIMESTAMP, Kind.TT_DATE, Kind.TT_TIMESTAMP, Kind.TIMESTAMPTZ}
)
BYTES_KINDS = frozenset({Kind.BINARY, Kind.VARBINARY, Kind.BLOB})

NUMBER = SqlType(Kind.NUMBER)
VARCHAR = SqlType(Kind.VARCHAR)
BIGINT = SqlType(Kind.BIGINT)
INTEGER = SqlType(Kind.INTEGER)
REF_CURSOR = SqlType(Kind.VARCHAR, precision=1)  # the name of a cursor, as it goes to a client
DOUBLE = SqlType(Kind.BINARY_DOUBLE)
BOOLEAN = SqlType(Kind.BOOLEAN)
DATE = SqlType(Kind.DATE)
TIMESTAMP = SqlType(Kind.TIMESTAMP, precision=6)
UNKNOWN = SqlType(Kind.UNKNOWN)


def array_of(element: SqlType) -> SqlType:
    """The type of an array of such elements, their lengths left out."""
    return SqlType(Kind.ARRAY, element.precision, element.scale, int(element.kind))


def element_type(array: SqlType) -> SqlType:
    """The type of an array's elements."""
    return SqlType(Kind(array.length), array.precision, array.scale)


# oid[] of PostgreSQL's catalog queries: drivers ask for array types with it, and know it only
OID_ARRAY = array_of(BIGINT)._replace(byte_length=True)


def canonical_number(value: Decimal) -> str:
    """The one text of a number: no exponent, no trailing zeros after the point, no "-0"."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
