"""Types of the result columns of catalog queries, as far as the tree tells. Pure."""

from __future__ import annotations

from typing import NamedTuple

from sqlglot import exp

from data.catalog.pg_schema import COLUMN_TYPES
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Kind,
    SqlType,
)


class ResultShape(NamedTuple):
    """A result column. `type` None: as SQLite declares it, text if it does not. `array`: the OID
    of its elements' type, 0 if it is none."""

    name: str
    type: SqlType | None
    array: int = 0


_SMALLINT = SqlType(Kind.SMALLINT)
_TIMESTAMPTZ = SqlType(Kind.TIMESTAMPTZ, precision=6)

_FUNCTION_TYPES: dict[str, SqlType] = {
    "pg_backend_pid": INTEGER,
    "pg_get_userbyid": VARCHAR,
    "pg_table_is_visible": BOOLEAN,
    "pg_type_is_visible": BOOLEAN,
    "pg_function_is_visible": BOOLEAN,
    "pg_collation_is_visible": BOOLEAN,
    "pg_is_in_recovery": BOOLEAN,
    "has_table_privilege": BOOLEAN,
    "has_schema_privilege": BOOLEAN,
    "has_database_privilege": BOOLEAN,
    "has_column_privilege": BOOLEAN,
    "has_sequence_privilege": BOOLEAN,
    "has_function_privilege": BOOLEAN,
    "pg_has_role": BOOLEAN,
    "pg_relation_is_publishable": BOOLEAN,
    "pg_try_advisory_lock": BOOLEAN,
    "pg_advisory_unlock": BOOLEAN,
    "pg_cancel_backend": BOOLEAN,
    "pg_terminate_backend": BOOLEAN,
    "bool_and": BOOLEAN,
    "bool_or": BOOLEAN,
    "array_upper": INTEGER,
    "array_lower": INTEGER,
    "array_length": INTEGER,
    "array_position": INTEGER,
    "cardinality": INTEGER,
    "char_length": INTEGER,
    "length": INTEGER,
    "strpos": INTEGER,
    "pg_table_size": BIGINT,
    "pg_relation_size": BIGINT,
    "pg_total_relation_size": BIGINT,
    "pg_indexes_size": BIGINT,
    "pg_database_size": BIGINT,
    "pg_tablespace_size": BIGINT,
    "pg_my_temp_schema": BIGINT,
    "txid_current": BIGINT,
    "to_regclass": BIGINT,
    "pg_char_to_encoding": INTEGER,
    "pg_postmaster_start_time": _TIMESTAMPTZ,
    "pg_conf_load_time": _TIMESTAMPTZ,
    "now": _TIMESTAMPTZ,
    "clock_timestamp": _TIMESTAMPTZ,
    "statement_timestamp": _TIMESTAMPTZ,
    "transaction_timestamp": _TIMESTAMPTZ,
    "json_build_object": SqlType(Kind.JSON),
    "row_number": BIGINT,
}
_ARRAY_FUNCTIONS = frozenset(
    {
        "acldefault",
        "array_append",
        "array_cat",
        "array_remove",
        "current_schemas",
        "string_to_array",
    }
)
_TEXT = 25  # OIDs of PostgreSQL's types: of the elements of arrays
_ELEMENTS = {"bool": 16, "int2": 21, "int4": 23, "int8": 20, "oid": 26}
_OF_COLUMNS = {
    "bool": BOOLEAN,
    "int2": _SMALLINT,
    "int4": INTEGER,
    "int8": BIGINT,
    "oid": BIGINT,
}
_OF_KINDS = {Kind.BOOLEAN: 16, Kind.SMALLINT: 21, Kind.INTEGER: 23, Kind.BIGINT: 20}
_ARRAYS_OF_NUMBERS = {  # columns of catalog tables; the others are of text
    "conkey": 21,
    "confkey": 21,
    "stxkeys": 21,
    "conpfeqop": 26,
    "conppeqop": 26,
    "conffeqop": 26,
    "conexclop": 26,
    "proallargtypes": 26,
    "polroles": 26,
    "setrole": 26,
}
_CASTS: dict[str, SqlType] = {
    "OID": BIGINT,
    "BIGINT": BIGINT,
    "INT": INTEGER,
    "INTEGER": INTEGER,
    "SMALLINT": _SMALLINT,
    "BOOLEAN": BOOLEAN,
    "REAL": DOUBLE,
    "DOUBLE PRECISION": DOUBLE,
}
BOOLEAN_NODES = (
    exp.Predicate,
    exp.And,
    exp.Or,
    exp.Not,
    exp.In,
    exp.Exists,
    exp.Between,
    exp.Boolean,
    exp.LogicalAnd,
    exp.LogicalOr,
    exp.RegexpLike,
    exp.RegexpILike,
)


def result_shapes(tree: exp.Expr) -> tuple[ResultShape, ...] | None:
    """Shapes of the query's columns, None when it has a `*`."""
    select = tree
    while isinstance(select, (exp.SetOperation, exp.Subquery)):
        select = select.this
    if not isinstance(select, exp.Select):
        return None
    shapes = []
    for projection in select.expressions:
        if projection.is_star:
            return None
        kind, array = _type_of(projection, 0)
        shapes.append(ResultShape(projection.alias_or_name, kind, array))
    return tuple(shapes)


def elements_of(column: str) -> int:
    """OID of the elements of a catalog table's array column."""
    return _ARRAYS_OF_NUMBERS.get(column.lower(), _TEXT)


def _element(node: exp.Expr, depth: int) -> int:
    """OID of the type of a value that is an element of an array."""
    while isinstance(node, (exp.Order, exp.Distinct, exp.Paren, exp.Alias)):
        node = node.expressions[0] if isinstance(node, exp.Distinct) else node.this
    if isinstance(node, exp.Subquery | exp.Select):
        select = node.this if isinstance(node, exp.Subquery) else node
        return _element(select.expressions[0], depth + 1) if depth < 20 else _TEXT
    if isinstance(node, exp.Cast) and node.to.sql("postgres").upper() == "OID":
        return _ELEMENTS["oid"]
    if isinstance(node, exp.Column):
        kind, _ = _column(node, depth)
        if kind is None:
            return _ELEMENTS.get(COLUMN_TYPES.get(node.name.lower(), ""), _TEXT)
        return _OF_KINDS.get(kind.kind, _TEXT)
    kind, _ = _type_of(node, depth + 1)
    return _OF_KINDS.get(kind.kind, _TEXT) if kind is not None else _TEXT


def _type_of(node: exp.Expr, depth: int) -> tuple[SqlType | None, int]:
    if depth > 20:
        return None, 0
    if isinstance(node, (exp.Alias, exp.Paren)):
        return _type_of(node.this, depth + 1)
    if isinstance(node, exp.Cast):
        target = node.to.sql("postgres").upper()
        of = _OF_KINDS.get(_CASTS.get(target[:-2], VARCHAR).kind, _TEXT)
        return _CASTS.get(target, VARCHAR), of if target.endswith("[]") else 0
    if isinstance(node, exp.CurrentSchemas):
        return VARCHAR, _TEXT
    if isinstance(node, exp.ArrayAgg):
        return VARCHAR, _element(node.this, depth)
    if isinstance(node, exp.Array):
        return VARCHAR, _element(node.expressions[0], depth) if node.expressions else _TEXT
    if isinstance(node, (exp.Case, exp.Coalesce)):
        return _first_known(_branches(node), depth)
    if isinstance(node, exp.Subquery):
        inner = node.this
        if isinstance(inner, exp.Select) and inner.expressions:
            return _type_of(inner.expressions[0], depth + 1)
    if isinstance(node, exp.Column):
        return _column(node, depth)
    if isinstance(node, exp.Dot):
        if isinstance(node.expression, exp.Func):
            return _type_of(node.expression, depth + 1)
        return (INTEGER if node.expression.name.lower() in ("n", "x") else None), 0
    return _simple(node, depth)


def _simple(node: exp.Expr, depth: int) -> tuple[SqlType | None, int]:
    if isinstance(node, exp.Literal):
        if node.is_string:
            return VARCHAR, 0
        return (INTEGER if node.this.isdigit() else DOUBLE), 0
    if isinstance(node, exp.Null):
        return VARCHAR, 0
    if isinstance(node, BOOLEAN_NODES):
        return BOOLEAN, 0
    if isinstance(node, (exp.Count, exp.Sum, exp.RowNumber)):
        return BIGINT, 0
    if isinstance(node, (exp.Min, exp.Max, exp.Window, exp.Filter)):
        kind, array = _type_of(node.this, depth + 1)
        if kind is None and isinstance(node.this, exp.Column):
            kind = _OF_COLUMNS.get(COLUMN_TYPES.get(node.this.name.lower(), ""))
        return kind, array
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.Neg, exp.BitwiseAnd)):
        return BIGINT, 0
    if isinstance(node, exp.CurrentTimestamp):
        return _TIMESTAMPTZ, 0
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        if name in ("unnest", "generate_subscripts"):
            return INTEGER, 0
        return _FUNCTION_TYPES.get(name, VARCHAR), _TEXT if name in _ARRAY_FUNCTIONS else 0
    if isinstance(node, (exp.Explode, exp.ExplodingGenerateSeries, exp.GenerateSeries)):
        return INTEGER, 0
    if isinstance(node, exp.Bracket):
        return None, 0
    if isinstance(node, exp.Func):
        name = str(node.sql_name()).lower()
        return _FUNCTION_TYPES.get(name, VARCHAR), _TEXT if name in _ARRAY_FUNCTIONS else 0
    return VARCHAR, 0


def _branches(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.Coalesce):
        return [node.this, *node.expressions]
    branches = [branch.args["true"] for branch in node.args.get("ifs") or []]
    default = node.args.get("default")
    return [*branches, default] if default is not None else branches


def _first_known(nodes: list[exp.Expr], depth: int) -> tuple[SqlType | None, int]:
    for node in nodes:
        if isinstance(node, exp.Null):
            continue
        kind, array = _type_of(node, depth + 1)
        if kind is not None and not (isinstance(node, exp.Literal) and node.is_string):
            return kind, array
    return VARCHAR, 0


def _column(node: exp.Column, depth: int) -> tuple[SqlType | None, int]:
    """The type a derived table's column has; None: a column of a catalog table."""
    select = node.parent_select
    if not isinstance(select, exp.Select):
        return None, 0
    for source in _sources(select):
        if node.table and source.alias_or_name.lower() != node.table.lower():
            continue
        inner, names = _derived(source)
        while isinstance(inner, (exp.SetOperation, exp.Subquery)):
            inner = inner.this
        if not isinstance(inner, exp.Select):
            continue
        for number, projection in enumerate(inner.expressions):
            name = names[number] if number < len(names) else projection.alias_or_name
            if name.lower() == node.name.lower():
                return _type_of(projection, depth + 1)
    return None, 0


def _sources(select: exp.Select) -> list[exp.Expr]:
    start = select.args.get("from_")
    joins = [join.this for join in select.args.get("joins") or []]
    return [start.this, *joins] if start is not None else joins


def _derived(source: exp.Expr) -> tuple[exp.Expr | None, list[str]]:
    """The query a derived table, LATERAL or common table expression stands for; column names
    given in its alias."""
    if isinstance(source, exp.Lateral):
        return source.this, _alias_columns(source)
    if isinstance(source, exp.Subquery):
        return source, _alias_columns(source)
    if not isinstance(source, exp.Table) or source.db:
        return None, []
    ancestor: exp.Expr | None = source
    while ancestor is not None:
        clause = ancestor.args.get("with_")
        for item in clause.expressions if clause is not None else []:
            if item.alias.lower() == source.name.lower():
                return item.this, _alias_columns(item)
        ancestor = ancestor.parent
    return None, []


def _alias_columns(node: exp.Expr) -> list[str]:
    alias = node.args.get("alias")
    return [c.name for c in (alias.args.get("columns") or [])] if alias is not None else []
