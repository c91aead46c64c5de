"""Definitions as PostgreSQL's tools print them: types, constraints, indexes, columns. Pure."""

from __future__ import annotations

from data.catalog.catalog import Catalog, shown
from data.catalog.objects import Check, Distribution, ForeignKey, Index, Table
from data.catalog.pg_schema import BUILTIN_TYPES
from protocol.pgwire import values
from protocol.sqltypes import SqlType

_LONG_NAMES: dict[str, str] = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bpchar": "character",
    "varchar": "character varying",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "char": '"char"',
    "varbit": "bit varying",
}
TYPE_BY_OID = {t.oid: t for t in BUILTIN_TYPES}
TYPE_BY_NAME = {t.name: t for t in BUILTIN_TYPES} | {
    _LONG_NAMES[t.name]: t for t in BUILTIN_TYPES if t.name in _LONG_NAMES
}
TYPE_BY_NAME["int"] = TYPE_BY_NAME["int4"]
TYPE_BY_NAME["decimal"] = TYPE_BY_NAME["numeric"]
_VARLENA_HEADER = 4
_RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create current_date current_role current_time current_timestamp current_user default
    deferrable desc distinct do else end except false fetch for foreign from grant group having in
    initially intersect into lateral leading limit localtime localtimestamp not null offset on only
    or order placing primary references returning select session_user some symmetric table then to
    trailing true union unique user using variadic when where window with""".split()  # noqa: SIM905
)


def quote_ident(name: str) -> str:
    """A shown name as it must be written in SQL."""
    plain = name.replace("_", "a").replace("$", "a")
    safe = plain.isascii() and plain.isalnum() and not plain[0].isdigit() and name == name.lower()
    if safe and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def ident(name: str) -> str:
    """A stored name as PostgreSQL's tools would write it."""
    return quote_ident(shown(name))


def format_type(oid: int | None, modifier: int | None) -> str | None:
    """PostgreSQL's format_type(oid, typmod)."""
    if oid is None:
        return None
    if oid == 0:
        return "-"
    found = TYPE_BY_OID.get(oid)
    if found is None:
        return "???"
    if found.name.startswith("_"):
        element = format_type(found.element, modifier)
        return f"{element}[]"
    name = _LONG_NAMES.get(found.name, found.name)
    if modifier is None or modifier < 0:
        return "character" if found.name == "bpchar" and modifier is None else name
    if found.name in ("varchar", "bpchar"):
        return f"{name}({modifier - _VARLENA_HEADER})"
    if found.name == "numeric":
        packed = modifier - _VARLENA_HEADER
        scale = packed & 0x7FF
        return f"numeric({packed >> 16},{scale - 0x800 if scale & 0x400 else scale})"
    if found.name in ("timestamp", "timestamptz", "time"):
        head, _, tail = name.partition(" ")
        return f"{head}({modifier}) {tail}"
    return name


def type_oid(sql_type: SqlType) -> int:
    """The oid of the type the wire shows for a column."""
    return values.oid(sql_type)


def type_modifier(sql_type: SqlType) -> int:
    """Its atttypmod."""
    return values.typmod(sql_type)


def column_list(names: tuple[str, ...]) -> str:
    """a, b, "C d" """
    return ", ".join(ident(name) for name in names)


def qualified(schema: str, name: str, path: tuple[str, ...]) -> str:
    """The name with its schema unless that is searched."""
    return ident(name) if schema in path else f"{ident(schema)}.{ident(name)}"


def foreign_key_text(catalog: Catalog, key: ForeignKey, path: tuple[str, ...]) -> str:
    """FOREIGN KEY (…) REFERENCES …"""
    parent = catalog.table_by_id(key.parent_id)
    actions = {"cascade": " ON DELETE CASCADE", "set null": " ON DELETE SET NULL"}
    return (
        f"FOREIGN KEY ({column_list(key.columns)}) "
        f"REFERENCES {qualified(parent.schema, parent.name, path)}"
        f"({column_list(key.parent_columns)}){actions.get(key.on_delete, '')}"
    )


def constraint_text(
    catalog: Catalog, constraint: Index | ForeignKey | Check, path: tuple[str, ...]
) -> str:
    """pg_get_constraintdef."""
    match constraint:
        case Index():
            kind = "PRIMARY KEY" if constraint.primary else "UNIQUE"
            return f"{kind} ({column_list(constraint.columns)})"
        case ForeignKey():
            return foreign_key_text(catalog, constraint, path)
        case Check():
            return f"CHECK (({constraint.sql}))"


def index_text(table: Table, index: Index, path: tuple[str, ...], column: int = 0) -> str:
    """pg_get_indexdef; `column` from 1: only that column's name."""
    if column:
        names = (*index.columns, *index.include)
        return ident(names[column - 1]) if column <= len(names) else ""
    descending = index.descending or (False,) * len(index.columns)
    columns = ", ".join(
        ident(name) + (" DESC" if down else "")
        for name, down in zip(index.columns, descending, strict=True)
    )
    unique = "UNIQUE " if index.unique else ""
    method = "hash" if index.hash else "btree"
    include = f" INCLUDE ({column_list(index.include)})" if index.include else ""
    where = qualified(table.schema, table.name, path)
    return (
        f"CREATE {unique}INDEX {ident(index.name)} ON {where} USING {method} ({columns}){include}"
    )


def distribution_text(table: Table) -> str:
    """DISTRIBUTE BY HASH (CUST_ID), DUPLICATE and so on: as DESCRIBE shows it."""
    match table.distribution:
        case Distribution.DUPLICATE:
            return "DUPLICATE"
        case Distribution.REFERENCE:
            return f"DISTRIBUTE BY REFERENCE ({table.reference_key})"
    key = f" ({', '.join(table.distribution_key)})" if table.distribution_key else ""
    return f"DISTRIBUTE BY HASH{key}"


def storage_option(table: Table) -> str:
    """The same as a storage option, name=value, which PostgreSQL's tools show."""
    if table.distribution is Distribution.DUPLICATE:
        return "distribute_by=duplicate"
    if table.distribution is Distribution.REFERENCE:
        return f"distribute_by=reference ({ident(table.reference_key)})"
    key = f" ({column_list(table.distribution_key)})" if table.distribution_key else ""
    return f"distribute_by=hash{key}"
