"""Columns of the relations of pg_catalog, information_schema and SYS, and the built-in types. Pure.

The lists stand in pg_relations.txt and pg_types.txt beside this file; SYS's in sys_relations.txt.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple


class Relation(NamedTuple):
    """`columns`: (name, type) with types bool, int2, int4, int8, oid, name, char, text, array, …"""

    schema: str
    name: str
    oid: int
    columns: tuple[tuple[str, str], ...]


class BuiltinType(NamedTuple):
    """A row of pg_type that is the same in every database."""

    oid: int
    name: str
    length: int
    by_value: int
    kind: str
    category: str
    preferred: int
    element: int
    array: int
    collation: int
    input: str
    output: str
    align: str
    storage: str


def _lines(name: str) -> list[list[str]]:
    text = files("data.catalog").joinpath(name).read_text(encoding="utf-8")
    return [line.split("|") for line in text.splitlines() if line and not line.startswith("#")]


def _relations(name: str) -> list[Relation]:
    found = []
    for schema, relation, oid, columns in _lines(name):
        pairs = (column.split(" ") for column in columns.split(","))
        typed = tuple((column, kind) for column, kind in pairs)
        found.append(Relation(schema, relation, int(oid), typed))
    return found


PG_RELATIONS: tuple[Relation, ...] = tuple(_relations("pg_relations.txt"))
_SYS_BASE = _relations("sys_relations.txt")


_DBA_ONLY = frozenset({"dba_profiles"})
_OF_ALL_USERS = frozenset({"username", "user_id", "created"})


def _sys_views() -> list[Relation]:
    """ALL_X and USER_X for each DBA_X, GV$X (with the element) for each V$X."""
    made = []
    for relation in _SYS_BASE:
        name, columns = relation.name, relation.columns
        if name in _DBA_ONLY:
            continue
        if name.startswith("dba_"):
            own = columns if owner_column(relation) in ("", "grantee") else columns[1:]
            if name == "dba_sys_privs":
                own = (("username", "text"), *columns[1:])
            else:
                seen = tuple(c for c in columns if c[0] in _OF_ALL_USERS)
                wide = seen if name == "dba_users" else columns
                made.append(Relation("sys", "all_" + name[4:], relation.oid + 200, wide))
            if name == "dba_users":
                own = tuple(c for c in columns if c[0] not in ("profile", "authentication_type"))
            made.append(Relation("sys", "user_" + name[4:], relation.oid + 400, own))
        elif name.startswith("v__"):
            element = (*columns, ("elementid", "int4"))
            wide = columns if ("elementid", "int4") in columns else element
            made.append(Relation("sys", "g" + name, relation.oid + 200, wide))
    return made


def owner_column(relation: Relation) -> str:
    """The column of a DBA_ view that says whose the row is; "" if none does."""
    name = relation.columns[0][0]
    owners = ("owner", "index_owner", "sequence_owner", "grantee")
    return name if name in owners else ""


SYS_RELATIONS: tuple[Relation, ...] = (*_SYS_BASE, *_sys_views())

BUILTIN_TYPES: tuple[BuiltinType, ...] = tuple(
    BuiltinType(
        int(f[0]), f[1], int(f[2]), int(f[3]), f[4], f[5], int(f[6]), int(f[7]), int(f[8]),
        int(f[9]), f[10], f[11], f[12], f[13],
    )
    for f in _lines("pg_types.txt")
)  # fmt: skip

RELATION_OIDS: dict[str, int] = {r.name: r.oid for r in PG_RELATIONS if r.schema == "pg_catalog"}

# By column name alone: good enough to guess what a parameter or a 't' is compared with.
COLUMN_TYPES: dict[str, str] = {
    name: kind
    for relation in (*SYS_RELATIONS, *PG_RELATIONS)
    for name, kind in relation.columns
    if relation.schema != "information_schema"
}
BOOLEAN_COLUMNS: frozenset[str] = frozenset(
    name for name, kind in COLUMN_TYPES.items() if kind == "bool"
)

_PG_NAMES = frozenset(r.name for r in PG_RELATIONS if r.schema == "pg_catalog")
_INFORMATION_NAMES = frozenset(r.name for r in PG_RELATIONS if r.schema == "information_schema")
_SYS_NAMES = frozenset(r.name for r in SYS_RELATIONS)
_SHORT_SYS_NAMES = frozenset(
    name for name in _SYS_NAMES if name.startswith(("all_", "user_", "dba_", "v__", "gv__"))
)


def is_catalog_relation(schema: str, name: str) -> bool:
    """Is a (perhaps unqualified: schema "") relation one of ours? Names in any case.

    Unqualified SYS names count only when they cannot be meant otherwise: ALL_…, USER_…, DBA_…, V$….
    """
    schema, name = schema.lower(), name.lower().replace("v$", "v__")
    if schema == "pg_catalog":
        return name in _PG_NAMES
    if schema == "information_schema":
        return name in _INFORMATION_NAMES
    if schema == "sys":
        return name in _SYS_NAMES
    if schema:
        return False
    return name in _PG_NAMES or name in _SHORT_SYS_NAMES


# Functions that only catalog queries call; a query without relations that calls one is one too.
CATALOG_FUNCTIONS: frozenset[str] = frozenset(
    """version current_database current_schema current_schemas current_setting set_config
    pg_backend_pid pg_is_in_recovery pg_postmaster_start_time pg_conf_load_time inet_server_addr
    inet_server_port inet_client_addr inet_client_port format_type pg_get_userbyid pg_get_expr
    pg_get_viewdef pg_get_indexdef pg_get_constraintdef pg_get_functiondef
    pg_get_serial_sequence pg_table_is_visible pg_type_is_visible pg_encoding_to_char
    pg_char_to_encoding getdatabaseencoding has_table_privilege has_schema_privilege
    has_database_privilege has_column_privilege has_sequence_privilege has_function_privilege
    pg_has_role pg_size_pretty pg_table_size pg_relation_size pg_total_relation_size
    pg_indexes_size pg_database_size pg_tablespace_size obj_description col_description
    shobj_description to_regclass to_regtype to_regnamespace quote_ident
    pg_advisory_lock pg_advisory_unlock pg_advisory_unlock_all pg_try_advisory_lock
    pg_cancel_backend pg_terminate_backend txid_current pg_my_temp_schema pg_export_snapshot
    pg_client_encoding pg_tablespace_location pg_relation_is_publishable
    pg_get_statisticsobjdef_columns pg_notify pg_current_xact_id""".split()  # noqa: SIM905
)
REG_TYPES: frozenset[str] = frozenset(
    {"regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"}
)
