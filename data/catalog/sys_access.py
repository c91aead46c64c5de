"""Who may read which view of SYS, and which rows of it. Pure.

PUBLIC may read the views that show each user only what it may see, and those that hold nothing of
anybody's. The others, which show all, need ADMIN or SELECT ANY TABLE, as in TimesTen.
"""

from __future__ import annotations

from collections.abc import Iterable

from data.catalog.pg_schema import SYS_RELATIONS, Relation, owner_column

_TEXTS = (
    "v__sql_cmd_cache",
    "v__cmd_cache",
    "v__sql_cmd_cache_info",
)  # statements of others, with their literals
RESTRICTED: frozenset[str] = frozenset(
    relation.name
    for relation in SYS_RELATIONS
    if relation.name.startswith("dba_") or relation.name.removeprefix("g") in _TEXTS
)
# Tables of SYS that hold all objects: users see the rows of what they may see.
FILTERS: dict[str, str] = {
    "tables": "tg_can_see(tblowner, tblname)",
    "views": "tg_can_see(owner, name)",
    "sequences": "tg_can_see(owner, name)",
    "columns": "id IN (SELECT object_id FROM dba_objects WHERE tg_can_see(owner, object_name))",
    "tbl_stats": "tblid IN (SELECT tblid FROM tables)",
    "col_stats": "has_table_privilege(tblid, 'SELECT')",  # they hold values
    "indexes": "tblid IN (SELECT tblid FROM tables)",
}
_ANYTHING = frozenset({"table_name", "name", "object_name", "sequence_name", "view_name"})


def is_public(relation: Relation) -> bool:
    """May everybody read it?"""
    return relation.name not in RESTRICTED


def restricted_in(names: Iterable[str]) -> str:
    """The first of these relations that not everybody may read, as users spell it, else ""."""
    found = sorted(RESTRICTED.intersection(names))
    return found[0].replace("v__", "v$").upper() if found else ""


def place(relation: Relation) -> str:
    """Where the rows of a relation stand: those that are filtered, beside a view of its name."""
    if relation.schema == "pg_catalog":
        return f"main.{relation.name}"
    if relation.schema == "sys" and relation.name in FILTERS:
        return f"sys.{relation.name}__all"
    return f"{relation.schema}.{relation.name}"


def view_texts(relation: Relation) -> list[str]:
    """CREATE VIEW for ALL_X and USER_X on DBA_X, and for what is filtered; [] for the others."""
    if relation.schema != "sys":
        return []
    if relation.name in FILTERS:
        source = f"SELECT * FROM {relation.name}__all"
        return [f"CREATE VIEW sys.{relation.name} AS {source} WHERE {FILTERS[relation.name]}"]
    if not relation.name.startswith(("all_", "user_")):
        return []
    prefix, _, rest = relation.name.partition("_")
    base = next(r for r in SYS_RELATIONS if r.name == f"dba_{rest}")
    columns = ", ".join(f'"{name}"' for name, _kind in relation.columns)
    if relation.name == "user_sys_privs":
        columns = columns.replace('"username"', "grantee AS username")
    where = _own(base) if prefix == "user" else _seen(base)
    return [f"CREATE VIEW sys.{relation.name} AS SELECT {columns} FROM {base.name} WHERE {where}"]


def _own(base: Relation) -> str:
    owner = owner_column(base)
    if base.name == "dba_users":
        return "username = tg_owner()"
    if base.name == "dba_tab_privs":
        return "grantee = tg_owner() OR owner = tg_owner()"
    return f'"{owner}" = tg_owner()' if owner else "1"


def _seen(base: Relation) -> str:
    owner = owner_column(base)
    if base.name == "dba_tab_privs":
        return "grantee IN (tg_owner(), 'PUBLIC') OR owner = tg_owner() OR tg_can_see('', '')"
    if not owner:
        return "1"
    named = [name for name, _kind in base.columns if name in _ANYTHING]
    return f'tg_can_see("{owner}", "{named[0]}")'
