"""Catalog → rows of SYS.TABLES and its like and of DBA_…; ALL_…, USER_… are views on them. Pure.

Names are shown as stored (upper case). A column that has no meaning here is NULL. V$ views have
live contents; they come from the instance (pg_catalog.py, `live`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from data.access.profiles import DEFAULT, DEFAULT_LIMITS, Age, password_age
from data.catalog.catalog import PUBLIC, SYS, Catalog
from data.catalog.objects import (
    Check,
    Column,
    ForeignKey,
    Index,
    Sequence,
    StoredUnit,
    Table,
    TableStats,
    User,
    View,
)
from data.catalog.pg_rows import Rows, user_tables
from data.catalog.pg_schema import SYS_RELATIONS
from data.catalog.pg_texts import distribution_text
from data.catalog.stats_views import add_statistics
from data.catalog.sys_access import is_public
from data.sql.type_names import base_name
from protocol.sqltypes import TEXT_KINDS, Kind, SqlType, StorageValue

Add = Callable[..., None]  # (relation, **columns)
_VARYING = frozenset({Kind.VARCHAR, Kind.NVARCHAR, Kind.VARBINARY, Kind.CLOB, Kind.BLOB})

_BYTES = {
    Kind.TINYINT: 1,
    Kind.SMALLINT: 2,
    Kind.INTEGER: 4,
    Kind.BIGINT: 8,
    Kind.NUMBER: 22,
    Kind.BINARY_FLOAT: 4,
    Kind.BINARY_DOUBLE: 8,
    Kind.DATE: 7,
    Kind.TIMESTAMP: 12,
    Kind.TIMESTAMPTZ: 13,
    Kind.TT_DATE: 4,
    Kind.TT_TIME: 3,
    Kind.TT_TIMESTAMP: 8,
    Kind.BOOLEAN: 1,
    Kind.INTERVAL_DS: 11,
    Kind.INTERVAL_YM: 5,
    Kind.UUID: 36,
}


def _adder(rows: Rows, schema: str) -> Add:
    def add(relation: str, **values: StorageValue) -> None:
        rows.setdefault(f"{schema}.{relation}", []).append(values)

    return add


def _yes(value: object) -> str:
    return "YES" if value else "NO"


# -- SYS -------------------------------------------------------------------------------------------
def sys_rows(catalog: Catalog) -> Rows:
    """Rows of SYS.TABLES, … and DBA_…; ALL_… and USER_… are SQLite views on these."""
    rows: Rows = {}
    add = _adder(rows, "sys")
    add("dual", dummy="X")
    for table in user_tables(catalog):
        _sys_table(add, catalog, table)
        add_statistics(add, catalog, table)
        for index in table.indexes:
            _sys_index(add, table, index)
        constraints: list[Index | ForeignKey | Check] = [*table.indexes, *table.foreign_keys]
        for constraint in (*constraints, *table.checks):
            _sys_constraint(add, catalog, table, constraint)
    for view in catalog.views():
        _object(add, view.schema, view.name, view.id, "VIEW")
        add("views", name=view.name, owner=view.schema, sql=view.sql)
        add(
            "dba_views",
            owner=view.schema,
            view_name=view.name,
            text_length=len(view.sql),
            text=view.sql,
        )
        _sys_columns(add, view)
    _sys_sequences(add, catalog)
    for synonym in catalog.synonyms.values():
        _object(add, synonym.schema, synonym.name, synonym.id, "SYNONYM")
        add(
            "dba_synonyms",
            owner=synonym.schema,
            synonym_name=synonym.name,
            table_owner=synonym.target_schema,
            table_name=synonym.target_name,
        )
    for unit in catalog.units.values():
        _sys_unit(add, unit)
    _sys_users(add, catalog)
    return rows


def _object(add: Add, owner: str, name: str, number: int, kind: str) -> None:
    add(
        "dba_objects",
        owner=owner,
        object_name=name,
        object_id=number,
        object_type=kind,
        status="VALID",
        temporary="N",
    )


def _sys_unit(add: Add, unit: StoredUnit) -> None:
    """A stored procedure, function or package: its text line by line."""
    for kind, text in ((unit.kind, unit.text), (f"{unit.kind} BODY", unit.body)):
        if not text:
            continue
        _object(add, unit.schema, unit.name, unit.id, kind)
        for number, line in enumerate(text.splitlines(keepends=True), 1):
            add("dba_source", owner=unit.schema, name=unit.name, type=kind, line=number, text=line)


def _sys_table(add: Add, catalog: Catalog, table: Table) -> None:
    stats = catalog.stats.get(table.id)
    kind = "TABLE" if table.materialized is None else "MATERIALIZED VIEW"
    _object(add, table.schema, table.name, table.id, kind)
    key = ",".join(table.distribution_key) or table.reference_key
    add(
        "tables",
        tblname=table.name,
        tblowner=table.schema,
        owner=1,
        numvary=sum(column.type.kind in _VARYING for column in table.columns),
        numnull=sum(column.nullable for column in table.columns),
        numcols=len(table.columns),
        tblid=table.id,
        numtups=stats.rows if stats is not None else None,
        primcnt=len(table.primary_key),
        temporary=int(table.temporary),
        isview=int(table.materialized is not None),
        distribution=distribution_text(table),
    )
    add(
        "dba_tables",
        owner=table.schema,
        table_name=table.name,
        num_rows=stats.rows if stats is not None else None,
        last_analyzed=stats.taken_us if stats is not None else None,
        temporary="Y" if table.temporary else "N",
        distribution=table.distribution.value.upper(),
        distribution_columns=key or None,
    )
    add(
        "dba_tab_comments",
        owner=table.schema,
        table_name=table.name,
        table_type="TABLE",
        comments=table.comment or None,
    )
    _sys_columns(add, table, stats)


def _char_length(column: Column) -> int:
    return column.type.length if column.type.kind in TEXT_KINDS else 0


def _bytes_of(kind: SqlType) -> int:
    """What a value takes at most in TimesTen; of texts and binaries what was declared."""
    return kind.length or _BYTES.get(kind.kind, 0)


def _sys_columns(add: Add, relation: Table | View, stats: TableStats | None = None) -> None:
    for number, column in enumerate(relation.columns, 1):
        kind = column.type
        is_number = kind.kind is Kind.NUMBER and kind.precision
        default = column.default_sql or None
        known = stats.column(column.name) if stats is not None else None
        add(
            "columns",
            id=relation.id,
            colnum=number,
            colname=column.name,
            coltype=base_name(kind),
            collen=_bytes_of(kind) or None,
            inlinelen=kind.length if column.inline else 0,
            nullable=int(column.nullable),
            precision=kind.precision or None,
            scale=kind.scale if is_number else None,
            charlen=_char_length(column),
            defaultvalstr=default,
        )
        add(
            "dba_tab_columns",
            owner=relation.schema,
            table_name=relation.name,
            column_name=column.name,
            data_type=base_name(kind),
            data_length=_bytes_of(kind),
            data_precision=kind.precision if is_number else None,
            data_scale=kind.scale if is_number else None,
            nullable="Y" if column.nullable else "N",
            column_id=number,
            default_length=len(default) if default else None,
            data_default=default,
            char_length=_char_length(column),
            char_used=("B" if kind.byte_length else "C") if _char_length(column) else None,
            inline=_yes(column.inline),
            num_distinct=known.distinct if known is not None else None,
            num_nulls=round(known.null_share * stats.rows) if stats and known else None,
        )
        add(
            "dba_col_comments",
            owner=relation.schema,
            table_name=relation.name,
            column_name=column.name,
            comments=column.comment or None,
        )


def _sys_index(add: Add, table: Table, index: Index) -> None:
    _object(add, table.schema, index.name, index.id, "INDEX")
    numbers = {column.name: n for n, column in enumerate(table.columns, 1)}
    add(
        "indexes",
        ixname=index.name,
        ixowner=table.schema,
        ixid=index.id,
        tblid=table.id,
        ixtype=0 if index.hash else 1,
        isunique=int(index.unique),
        isprimary=int(index.primary),
        isglobal=int(index.is_global),
        keycnt=len(index.columns),
        keycols=",".join(str(numbers[name]) for name in index.columns),
    )
    add(
        "dba_indexes",
        owner=table.schema,
        index_name=index.name,
        index_type="HASH" if index.hash else "NORMAL",
        table_owner=table.schema,
        table_name=table.name,
        table_type="TABLE",
        uniqueness="UNIQUE" if index.unique else "NONUNIQUE",
        **{"global": _yes(index.is_global)},
    )
    descending = index.descending or (False,) * len(index.columns)
    for number, (name, down) in enumerate(zip(index.columns, descending, strict=True), 1):
        add(
            "dba_ind_columns",
            index_owner=table.schema,
            index_name=index.name,
            table_owner=table.schema,
            table_name=table.name,
            column_name=name,
            column_position=number,
            descend="DESC" if down else "ASC",
        )


def _sys_constraint(
    add: Add, catalog: Catalog, table: Table, constraint: Index | ForeignKey | Check
) -> None:
    columns: Iterable[str] = ()
    more: dict[str, StorageValue] = {}
    match constraint:
        case Index() if constraint.unique and constraint.constraint:
            kind = "P" if constraint.primary else "U"
            columns = constraint.columns
            more = {"index_owner": table.schema, "index_name": constraint.name}
        case ForeignKey():
            kind, columns = "R", constraint.columns
            parent = catalog.table_by_id(constraint.parent_id)
            keys = (i.name for i in parent.indexes if i.id == constraint.parent_index_id)
            rules = {"cascade": "CASCADE", "set null": "SET NULL"}
            more = {
                "r_owner": parent.schema,
                "r_constraint_name": next(keys, None),
                "delete_rule": rules.get(constraint.on_delete, "NO ACTION"),
            }
        case Check():
            kind, more = "C", {"search_condition": constraint.sql}
        case _:
            return
    add(
        "dba_constraints",
        owner=table.schema,
        constraint_name=constraint.name,
        constraint_type=kind,
        table_name=table.name,
        status="ENABLED",
        **more,
    )
    for number, name in enumerate(columns, 1):
        add(
            "dba_cons_columns",
            owner=table.schema,
            constraint_name=constraint.name,
            table_name=table.name,
            column_name=name,
            position=number,
        )


class Drawn(NamedTuple):
    """How far a sequence is; None: nothing was drawn, or it is not known."""

    last: int | None = None  # given out by this element
    batch: int | None = None  # the end of this element's batch
    everywhere: int | None = None  # the end of the last batch that any element took


NOT_DRAWN = Drawn()


def sequence_row(sequence: Sequence, drawn: Drawn = NOT_DRAWN) -> dict[str, StorageValue]:
    """A row of SYS.SEQUENCES."""
    return {
        "name": sequence.name,
        "owner": sequence.schema,
        "minval": sequence.minimum,
        "maxval": sequence.maximum,
        "increment": sequence.increment,
        "cachesize": sequence.cache,
        "lastnumber": drawn.last,
        "seqid": sequence.id,
        "cycle": int(sequence.cycle),
        "batchsize": sequence.batch,
        "lastbatchnumber": drawn.batch,
        "globallastbatchnumber": drawn.everywhere,
        "seed": sequence.start,
    }


def dba_sequence_row(sequence: Sequence, drawn: Drawn = NOT_DRAWN) -> dict[str, StorageValue]:
    """A row of DBA_SEQUENCES."""
    return {
        "sequence_owner": sequence.schema,
        "sequence_name": sequence.name,
        "min_value": sequence.minimum,
        "max_value": sequence.maximum,
        "increment_by": sequence.increment,
        "cycle_flag": "Y" if sequence.cycle else "N",
        "order_flag": "N",
        "cache_size": sequence.cache,
        "last_number": drawn.everywhere,
        "batch_size": sequence.batch,
    }


def _sys_sequences(add: Add, catalog: Catalog) -> None:
    for sequence in catalog.sequences():
        _object(add, sequence.schema, sequence.name, sequence.id, "SEQUENCE")
        add("sequences", **sequence_row(sequence))
        add("dba_sequences", **dba_sequence_row(sequence))


def _sys_users(add: Add, catalog: Catalog) -> None:
    for user in catalog.users.values():
        add("dba_users", **user_row(catalog, user))
        privileges = set(user.privileges) | ({"ADMIN"} if user.admin else set())
        for privilege in sorted(privileges):
            add("dba_sys_privs", grantee=user.name, privilege=privilege, admin_option="NO")
    for grant in catalog.grants():
        item = catalog.by_id.get(grant.object_id)
        if not grant.object_id:
            add("dba_sys_privs", grantee=PUBLIC, privilege=grant.privilege, admin_option="NO")
        elif isinstance(item, (Table, View, Sequence, StoredUnit)):
            _tab_priv(add, grant.grantee, item.schema, item.name, grant.privilege)
    for relation in SYS_RELATIONS:
        if is_public(relation):
            name = relation.name.replace("v__", "v$").upper()
            _tab_priv(add, PUBLIC, SYS, name, "SELECT")
    _sys_profiles(add, catalog)


def _tab_priv(add: Add, grantee: str, owner: str, name: str, privilege: str) -> None:
    add(
        "dba_tab_privs",
        grantee=grantee,
        owner=owner,
        table_name=name,
        grantor=owner,
        privilege=privilege,
        grantable="NO",
        hierarchy="NO",
    )


def user_row(
    catalog: Catalog, user: User, *, now_us: int = 0, is_locked: bool = False
) -> dict[str, StorageValue]:
    """A row of DBA_USERS. `is_locked`: for a time, after failed logins; 0: ages do not count."""
    limits = catalog.limits_of(user)
    age = password_age(limits, user.password_us, now_us) if now_us else Age(expired=False)
    status = "EXPIRED" if user.expired or age.expired else ""
    if not status and age.warn_us is not None:
        status = "EXPIRED(GRACE)"
    lock = "LOCKED" if user.locked else ("LOCKED(TIMED)" if is_locked else "")
    expires = limits.life_us is not None and user.password_us
    kind = "PASSWORD" if user.verifier else "NONE"
    return {
        "username": user.name,
        "user_id": user.id,
        "account_status": " & ".join(part for part in (status, lock) if part) or "OPEN",
        "lock_date": user.locked_us or None,
        "expiry_date": user.password_us + (limits.life_us or 0) if expires else None,
        "created": user.created_us or None,
        "profile": user.profile or DEFAULT,
        "authentication_type": "EXTERNAL" if user.external else kind,
    }


def _sys_profiles(add: Add, catalog: Catalog) -> None:
    kept = {name: dict(profile.limits) for name, profile in catalog.profiles.items()}
    kept[DEFAULT] = {**DEFAULT_LIMITS, **kept.get(DEFAULT, {})}
    for profile, limits in sorted(kept.items()):
        for name in DEFAULT_LIMITS:
            add(
                "dba_profiles",
                profile=profile,
                resource_name=name,
                resource_type="PASSWORD",
                limit=limits.get(name, DEFAULT),
            )
