"""Types in expressions: sqlglot DataType → SqlType. Pure."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql.parse import negative_scale
from data.sql.type_names import type_from_name
from protocol.sqltypes import Kind, SqlType, array_of


def type_of_node(node: Any) -> SqlType:
    """The SqlType of a sqlglot DataType. Raises UnknownObjectError, NotSupportedError."""
    if node.this is exp.DType.ARRAY:
        return array_of(type_of_node(node.expressions[0]))
    if isinstance(node.this, exp.Interval):
        return _interval_type(node.this)
    args: list[int | str] = []
    for part in node.expressions:
        value = part.this if isinstance(part, exp.DataTypeParam) else part
        if isinstance(value, exp.Star):
            args.append("*")
            continue
        text = str(value.this if isinstance(value, exp.Expression) else value)
        args.append(negative_scale(int(text)) if text.isdigit() else text.upper())
        unit = part.args.get("expression") if isinstance(part, exp.DataTypeParam) else None
        if unit is not None:
            args.append(str(unit.name).upper())
    kind = node.args.get("kind")
    name = str(
        kind if kind is not None and not isinstance(kind, exp.Expression) else node.this.value
    )
    name = " ".join(name.upper().split()).removeprefix("PG_CATALOG.")
    name = _TYPE_WORDS.get(name, name)
    if name in ("VARCHAR2", "VARCHAR", "NVARCHAR", "NVARCHAR2") and not args:
        name = "TEXT"
    return type_from_name(name, tuple(args))


def _interval_type(node: Any) -> SqlType:
    words = node.sql("oracle").upper()
    return SqlType(Kind.INTERVAL_YM if "YEAR" in words or "MONTH" in words else Kind.INTERVAL_DS)


_TYPE_WORDS = {
    "DECIMAL": "NUMBER",
    "BIGDECIMAL": "NUMBER",
    "VARCHAR": "VARCHAR2",
    "NVARCHAR": "NVARCHAR2",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMPLTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMESTAMPNTZ": "TIMESTAMP",
    "UBIGINT": "BIGINT",
    "FLOAT": "BINARY_FLOAT",
    "DOUBLE": "BINARY_DOUBLE",
    "VARBINARY": "BYTEA",
    "DATETIME": "TIMESTAMP",
}
