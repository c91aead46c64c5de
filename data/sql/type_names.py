"""Names of SQL types ↔ SqlType: TimesTen's, Oracle's, and PostgreSQL's where its tools send them.

Pure. Where both worlds use a name: INTEGER, SMALLINT, BIGINT are the fixed-width integers (in
TimesTen's Oracle mode NUMBER(38)), DATE has a time of day, FLOAT is a NUMBER.
"""

from __future__ import annotations

from protocol.errors import DefinitionError, NotSupportedError, SqlSyntaxError, UnknownObjectError
from protocol.sqltypes import ANY_SCALE, Kind, SqlType, element_type

TypeArg = int | str  # "*" in NUMBER(*,2); BYTE or CHAR after a length

NUMBER_DIGITS_MAX = 38
STRING_LENGTH_MAX = 4_194_304  # VARCHAR2, NVARCHAR2, VARBINARY
CHAR_LENGTH_MAX = 8_300
INLINE_LENGTH_MAX = 128  # variable-length columns up to here are stored inline unless told

_FIXED: dict[str, SqlType] = {
    "TT_TINYINT": SqlType(Kind.TINYINT),
    "TINYINT": SqlType(Kind.TINYINT),
    "TT_SMALLINT": SqlType(Kind.SMALLINT),
    "SMALLINT": SqlType(Kind.SMALLINT),
    "INT2": SqlType(Kind.SMALLINT),
    "TT_INTEGER": SqlType(Kind.INTEGER),
    "TT_INT": SqlType(Kind.INTEGER),
    "INTEGER": SqlType(Kind.INTEGER),
    "INT": SqlType(Kind.INTEGER),
    "INT4": SqlType(Kind.INTEGER),
    "TT_BIGINT": SqlType(Kind.BIGINT),
    "BIGINT": SqlType(Kind.BIGINT),
    "INT8": SqlType(Kind.BIGINT),
    "OID": SqlType(Kind.BIGINT),
    "BINARY_FLOAT": SqlType(Kind.BINARY_FLOAT),
    "REAL": SqlType(Kind.BINARY_FLOAT),
    "FLOAT4": SqlType(Kind.BINARY_FLOAT),
    "BINARY_DOUBLE": SqlType(Kind.BINARY_DOUBLE),
    "DOUBLE PRECISION": SqlType(Kind.BINARY_DOUBLE),
    "DOUBLE": SqlType(Kind.BINARY_DOUBLE),
    "FLOAT8": SqlType(Kind.BINARY_DOUBLE),
    "BOOLEAN": SqlType(Kind.BOOLEAN),
    "BOOL": SqlType(Kind.BOOLEAN),
    "DATE": SqlType(Kind.DATE),
    "ORA_DATE": SqlType(Kind.DATE),
    "TT_DATE": SqlType(Kind.TT_DATE),
    "TT_TIMESTAMP": SqlType(Kind.TT_TIMESTAMP, precision=6),
    "TEXT": SqlType(Kind.VARCHAR),
    "STRING": SqlType(Kind.VARCHAR),
    "NAME": SqlType(Kind.VARCHAR, length=63),
    "BYTEA": SqlType(Kind.VARBINARY),
    "CLOB": SqlType(Kind.CLOB, length=STRING_LENGTH_MAX),
    "NCLOB": SqlType(Kind.CLOB, length=STRING_LENGTH_MAX),
    "LONG": SqlType(Kind.CLOB, length=STRING_LENGTH_MAX),
    "BLOB": SqlType(Kind.BLOB, length=STRING_LENGTH_MAX),
    "LONG RAW": SqlType(Kind.BLOB, length=STRING_LENGTH_MAX),
    "UUID": SqlType(Kind.UUID),
    "JSON": SqlType(Kind.JSON),
    "JSONB": SqlType(Kind.JSON),
    "INTERVAL DAY TO SECOND": SqlType(Kind.INTERVAL_DS),
    "INTERVAL YEAR TO MONTH": SqlType(Kind.INTERVAL_YM),
    "INTERVAL": SqlType(Kind.INTERVAL_DS),
}

_NUMBERS = frozenset({"NUMBER", "NUMERIC", "DECIMAL", "DEC", "TT_DECIMAL", "ORA_NUMBER"})

_STRINGS: dict[str, Kind] = {
    "CHAR": Kind.CHAR,
    "CHARACTER": Kind.CHAR,
    "BPCHAR": Kind.CHAR,
    "TT_CHAR": Kind.CHAR,
    "ORA_CHAR": Kind.CHAR,
    "NCHAR": Kind.NCHAR,
    "TT_NCHAR": Kind.NCHAR,
    "ORA_NCHAR": Kind.NCHAR,
    "NATIONAL CHARACTER": Kind.NCHAR,
    "VARCHAR2": Kind.VARCHAR,
    "VARCHAR": Kind.VARCHAR,
    "CHARACTER VARYING": Kind.VARCHAR,
    "CHAR VARYING": Kind.VARCHAR,
    "TT_VARCHAR": Kind.VARCHAR,
    "ORA_VARCHAR2": Kind.VARCHAR,
    "NVARCHAR2": Kind.NVARCHAR,
    "NVARCHAR": Kind.NVARCHAR,
    "TT_NVARCHAR": Kind.NVARCHAR,
    "ORA_NVARCHAR2": Kind.NVARCHAR,
}

_BYTES: dict[str, Kind] = {
    "BINARY": Kind.BINARY,
    "VARBINARY": Kind.VARBINARY,
    "RAW": Kind.VARBINARY,
}

_MOMENTS: dict[str, Kind] = {
    "TIMESTAMP": Kind.TIMESTAMP,
    "ORA_TIMESTAMP": Kind.TIMESTAMP,
    "TIMESTAMP WITHOUT TIME ZONE": Kind.TIMESTAMP,
    "TIMESTAMPTZ": Kind.TIMESTAMPTZ,
    "TIMESTAMP WITH TIME ZONE": Kind.TIMESTAMPTZ,
    "TT_TIME": Kind.TT_TIME,
    "TIME": Kind.TT_TIME,
    "TIME WITHOUT TIME ZONE": Kind.TT_TIME,
}

_REFUSED: dict[str, str] = {
    "BFILE": "use VARBINARY",
    "SERIAL": "use BIGINT with a sequence",
    "BIGSERIAL": "use BIGINT with a sequence",
    "SMALLSERIAL": "use SMALLINT with a sequence",
    "TIMETZ": "use TT_TIME",
    "TIME WITH TIME ZONE": "use TT_TIME",
    "TIMESTAMP WITH LOCAL TIME ZONE": "use TIMESTAMP",
    "XML": "use VARCHAR2",
    "XMLTYPE": "use VARCHAR2",
    "MONEY": "use NUMBER(18,2)",
    "ROWID": "use the primary key",
    "UROWID": "use the primary key",
}


def type_from_name(name: str, args: tuple[TypeArg, ...] = (), position: int = 0) -> SqlType:
    """The type of an upper-case name with single spaces, and what stood in its parentheses.

    Raises UnknownObjectError, NotSupportedError, DefinitionError (limits), SqlSyntaxError.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in _NUMBERS:
        return _number(args, position)
    if name == "FLOAT":
        return SqlType(Kind.NUMBER)
    if name in _STRINGS:
        return _string(name, _STRINGS[name], args, position)
    if name in _BYTES:
        length = _length(args, STRING_LENGTH_MAX, position)
        if not length:
            raise DefinitionError(f"type {name} needs a length", position=position)
        return SqlType(_BYTES[name], length=length)
    if name in _MOMENTS:
        digits = args[0] if args else 6
        if not isinstance(digits, int) or not 0 <= digits <= 9:
            raise DefinitionError("fractional digits must be 0 to 9", position=position)
        return SqlType(_MOMENTS[name], precision=digits)
    if name in _REFUSED:
        raise NotSupportedError(
            f"type {name} is not supported in tables", hint=_REFUSED[name], position=position
        )
    raise UnknownObjectError(f'type "{name.lower()}" does not exist', position=position)


def _number(args: tuple[TypeArg, ...], position: int) -> SqlType:
    if not args:
        return SqlType(Kind.NUMBER)
    precision = args[0]
    scale = args[1] if len(args) > 1 else 0
    if precision == "*":
        precision = NUMBER_DIGITS_MAX
    if not isinstance(precision, int) or not isinstance(scale, int):
        raise SqlSyntaxError("precision and scale must be integers", position=position)
    if not 1 <= precision <= NUMBER_DIGITS_MAX:
        message = f"precision of a NUMBER must be 1 to {NUMBER_DIGITS_MAX}"
        raise DefinitionError(message, position=position)
    if not -84 <= scale <= 127:
        raise DefinitionError("scale of a NUMBER must be -84 to 127", position=position)
    return SqlType(Kind.NUMBER, precision=precision, scale=scale)


def _length(args: tuple[TypeArg, ...], most: int, position: int) -> int:
    if not args:
        return 0
    length = args[0]
    if not isinstance(length, int):
        raise SqlSyntaxError("a length must be an integer", position=position)
    if not 1 <= length <= most:
        raise DefinitionError(f"length must be 1 to {most}", position=position)
    return length


def _string(name: str, kind: Kind, args: tuple[TypeArg, ...], position: int) -> SqlType:
    fixed = kind in (Kind.CHAR, Kind.NCHAR)
    length = _length(args, CHAR_LENGTH_MAX if fixed else STRING_LENGTH_MAX, position)
    if not length and fixed and name != "BPCHAR":
        length = 1
    if not length and name == "VARCHAR2":
        raise DefinitionError("type VARCHAR2 needs a length", position=position)
    return SqlType(kind, length=length, byte_length=len(args) > 1 and args[1] == "BYTE")


_TEXTS: dict[Kind, str] = {
    Kind.UNKNOWN: "UNKNOWN",
    Kind.TINYINT: "TT_TINYINT",
    Kind.SMALLINT: "TT_SMALLINT",
    Kind.INTEGER: "TT_INTEGER",
    Kind.BIGINT: "TT_BIGINT",
    Kind.NUMBER: "NUMBER",
    Kind.BINARY_FLOAT: "BINARY_FLOAT",
    Kind.BINARY_DOUBLE: "BINARY_DOUBLE",
    Kind.CHAR: "CHAR",
    Kind.VARCHAR: "VARCHAR2",
    Kind.NCHAR: "NCHAR",
    Kind.NVARCHAR: "NVARCHAR2",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TT_DATE: "TT_DATE",
    Kind.TT_TIME: "TT_TIME",
    Kind.TT_TIMESTAMP: "TT_TIMESTAMP",
    Kind.BINARY: "BINARY",
    Kind.VARBINARY: "VARBINARY",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.CLOB: "CLOB",
    Kind.BLOB: "BLOB",
    Kind.TIMESTAMPTZ: "TIMESTAMP WITH TIME ZONE",
    Kind.INTERVAL_DS: "INTERVAL DAY TO SECOND",
    Kind.INTERVAL_YM: "INTERVAL YEAR TO MONTH",
    Kind.JSON: "JSON",
    Kind.ARRAY: "ARRAY",
    Kind.UUID: "UUID",
}


def base_name(sql_type: SqlType) -> str:
    """TimesTen's name of the type, without length or precision."""
    return _TEXTS[sql_type.kind]


def type_text(sql_type: SqlType) -> str:
    """The type as TimesTen's DESCRIBE prints it: "NUMBER (10,2)", "VARCHAR2 (30)"."""
    text = base_name(sql_type)
    if sql_type.kind is Kind.NUMBER and sql_type.precision:
        scale = f",{sql_type.scale}" if sql_type.scale not in (0, ANY_SCALE) else ""
        return f"{text} ({sql_type.precision}{scale})"
    if sql_type.kind is Kind.ARRAY:
        return f"{type_text(element_type(sql_type))}[]"
    if sql_type.length and sql_type.kind not in (Kind.CLOB, Kind.BLOB):
        return f"{text} ({sql_type.length}{' BYTE' if sql_type.byte_length else ''})"
    if sql_type.kind is Kind.TIMESTAMP:
        return f"{text} ({sql_type.precision})"
    return text
