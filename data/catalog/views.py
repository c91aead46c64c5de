"""Catalog → rows of SYS.* and information_schema. Pure.

SYS shows names as stored (upper case), information_schema as PostgreSQL's clients expect them.
V$ views have live contents; they come from the instance (pg_catalog.py, `live`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from data.catalog.catalog import Catalog, shown
from data.catalog.objects import Check, Column, ForeignKey, Index, Sequence, Table, View
from data.catalog.pg_rows import Rows, numeric_facts, user_tables
from data.catalog.pg_texts import TYPE_BY_OID, distribution_text, format_type, type_oid
from data.sql.type_names import base_name
from protocol.sqltypes import MICROSECOND_KINDS, TEXT_KINDS, Kind, StorageValue

Add = Callable[..., None]  # (relation, **columns)


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
        _sys_table(add, table)
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
    )


def _sys_table(add: Add, table: Table) -> None:
    _object(add, table.schema, table.name, table.id, "TABLE")
    distribution = distribution_text(table)
    key = ",".join(table.distribution_key) or table.reference_key
    add(
        "tables",
        tblname=table.name,
        tblowner=table.schema,
        tblid=table.id,
        numcols=len(table.columns),
        primcnt=len(table.primary_key),
        distribution=distribution,
        temporary=int(table.temporary),
        isview=0,
    )
    add(
        "dba_tables",
        owner=table.schema,
        table_name=table.name,
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
    _sys_columns(add, table)


def _char_length(column: Column) -> int:
    return column.type.length if column.type.kind in TEXT_KINDS else 0


def _sys_columns(add: Add, relation: Table | View) -> None:
    for number, column in enumerate(relation.columns, 1):
        kind = column.type
        is_number = kind.kind is Kind.NUMBER and kind.precision
        default = column.default_sql or None
        add(
            "columns",
            id=relation.id,
            colnum=number,
            colname=column.name,
            coltype=base_name(kind),
            collen=kind.length or None,
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
            data_length=kind.length,
            data_precision=kind.precision if is_number else None,
            data_scale=kind.scale if is_number else None,
            nullable="Y" if column.nullable else "N",
            column_id=number,
            default_length=len(default) if default else None,
            data_default=default,
            char_length=_char_length(column),
            char_used=("B" if kind.byte_length else "C") if _char_length(column) else None,
            inline=_yes(column.inline),
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


def _sys_sequences(add: Add, catalog: Catalog) -> None:
    for sequence in catalog.sequences():
        _object(add, sequence.schema, sequence.name, sequence.id, "SEQUENCE")
        add(
            "sequences",
            name=sequence.name,
            owner=sequence.schema,
            minval=sequence.minimum,
            maxval=sequence.maximum,
            increment=sequence.increment,
            cachesize=sequence.cache,
            seed=sequence.start,
            cycle=int(sequence.cycle),
            batchsize=sequence.batch,
        )
        add(
            "dba_sequences",
            sequence_owner=sequence.schema,
            sequence_name=sequence.name,
            min_value=sequence.minimum,
            max_value=sequence.maximum,
            increment_by=sequence.increment,
            cycle_flag="Y" if sequence.cycle else "N",
            order_flag="N",
            cache_size=sequence.cache,
            batch_size=sequence.batch,
        )


def _sys_users(add: Add, catalog: Catalog) -> None:
    for user in catalog.users.values():
        add("dba_users", username=user.name, user_id=user.id)
        privileges = set(user.privileges) | ({"ADMIN"} if user.admin else set())
        for privilege in sorted(privileges):
            add("dba_sys_privs", grantee=user.name, privilege=privilege, admin_option="NO")
    for grant in catalog.grants():
        item = catalog.by_id.get(grant.object_id)
        if not isinstance(item, (Table, View, Sequence)):
            continue
        add(
            "dba_tab_privs",
            grantee=grant.grantee,
            owner=item.schema,
            table_name=item.name,
            grantor=item.schema,
            privilege=grant.privilege,
            grantable="NO",
            hierarchy="NO",
        )


# -- information_schema ----------------------------------------------------------------------------
def information_rows(catalog: Catalog, database: str) -> Rows:
    """Rows of the information_schema views that have any."""
    rows: Rows = {}
    add = _adder(rows, "information_schema")
    add("information_schema_catalog_name", catalog_name=database)
    schemas = [(shown(name), shown(name)) for name in catalog.users if name != "SYS"]
    for name, owner in [("information_schema", "sys"), ("pg_catalog", "sys"), *schemas]:
        add("schemata", catalog_name=database, schema_name=name, schema_owner=owner)
    for user in catalog.users:
        add("enabled_roles", role_name=shown(user))
    for table in user_tables(catalog):
        _info_relation(add, database, table, "BASE TABLE")
        _info_constraints(add, database, catalog, table)
    for view in catalog.views():
        _info_relation(add, database, view, "VIEW")
        add(
            "views",
            table_catalog=database,
            table_schema=shown(view.schema),
            table_name=shown(view.name),
            view_definition=view.sql,
            check_option="NONE",
            is_updatable="NO",
            is_insertable_into="NO",
        )
    for sequence in catalog.sequences():
        add(
            "sequences",
            sequence_catalog=database,
            sequence_schema=shown(sequence.schema),
            sequence_name=shown(sequence.name),
            data_type="bigint",
            numeric_precision=64,
            numeric_precision_radix=2,
            numeric_scale=0,
            start_value=str(sequence.start),
            minimum_value=str(sequence.minimum),
            maximum_value=str(sequence.maximum),
            increment=str(sequence.increment),
            cycle_option=_yes(sequence.cycle),
        )
    _info_privileges(add, database, catalog)
    return rows


def _info_relation(add: Add, database: str, relation: Table | View, kind: str) -> None:
    schema, name = shown(relation.schema), shown(relation.name)
    add(
        "tables",
        table_catalog=database,
        table_schema=schema,
        table_name=name,
        table_type=kind,
        is_insertable_into=_yes(kind == "BASE TABLE"),
        is_typed="NO",
    )
    for number, column in enumerate(relation.columns, 1):
        sql_type = column.type
        oid = type_oid(sql_type)
        precision, radix, scale = numeric_facts(sql_type)
        length = sql_type.length if sql_type.kind in TEXT_KINDS else 0
        moment = sql_type.kind in MICROSECOND_KINDS
        add(
            "columns",
            table_catalog=database,
            table_schema=schema,
            table_name=name,
            column_name=shown(column.name),
            ordinal_position=number,
            column_default=column.default_sql or None,
            is_nullable=_yes(column.nullable),
            data_type=format_type(oid, -1),
            character_maximum_length=length or None,
            character_octet_length=length * 4 or None,
            numeric_precision=precision,
            numeric_precision_radix=radix,
            numeric_scale=scale,
            datetime_precision=(sql_type.precision or 0) if moment else None,
            udt_catalog=database,
            udt_schema="pg_catalog",
            udt_name=_udt_name(oid),
            dtd_identifier=str(number),
            is_self_referencing="NO",
            is_identity="NO",
            identity_cycle="NO",
            is_generated="NEVER",
            is_updatable=_yes(kind == "BASE TABLE"),
        )


def _udt_name(oid: int) -> str:
    return TYPE_BY_OID[oid].name


def _info_constraints(add: Add, database: str, catalog: Catalog, table: Table) -> None:
    schema, name = shown(table.schema), shown(table.name)
    place: dict[str, StorageValue] = {
        "table_catalog": database,
        "table_schema": schema,
        "table_name": name,
    }

    def constraint(constraint_name: str, kind: str) -> dict[str, StorageValue]:
        of: dict[str, StorageValue] = {
            "constraint_catalog": database,
            "constraint_schema": schema,
            "constraint_name": shown(constraint_name),
        }
        add(
            "table_constraints",
            **of,
            **place,
            constraint_type=kind,
            is_deferrable="NO",
            initially_deferred="NO",
            enforced="YES",
        )
        return of

    for index in table.indexes:
        if not (index.unique and index.constraint):
            continue
        of = constraint(index.name, "PRIMARY KEY" if index.primary else "UNIQUE")
        for number, column in enumerate(index.columns, 1):
            key = {**of, **place, "column_name": shown(column)}
            add("key_column_usage", **key, ordinal_position=number)
            add("constraint_column_usage", **key)
    for foreign_key in table.foreign_keys:
        of = constraint(foreign_key.name, "FOREIGN KEY")
        _info_foreign_key(add, database, catalog, foreign_key, of, place)
    for check in table.checks:
        of = constraint(check.name, "CHECK")
        add("check_constraints", **of, check_clause=f"({check.sql})")


def _info_foreign_key(
    add: Add,
    database: str,
    catalog: Catalog,
    key: ForeignKey,
    of: dict[str, StorageValue],
    place: dict[str, StorageValue],
) -> None:
    parent = catalog.table_by_id(key.parent_id)
    names = [i for i in parent.indexes if i.id == key.parent_index_id]
    theirs = list(names[0].columns) if names else list(key.parent_columns)
    pairs = zip(key.columns, key.parent_columns, strict=True)
    for number, (column, parent_column) in enumerate(pairs, 1):
        add(
            "key_column_usage",
            **of,
            **place,
            column_name=shown(column),
            ordinal_position=number,
            position_in_unique_constraint=theirs.index(parent_column) + 1,
        )
        add(
            "constraint_column_usage",
            **of,
            table_catalog=database,
            table_schema=shown(parent.schema),
            table_name=shown(parent.name),
            column_name=shown(parent_column),
        )
    rules = {"cascade": "CASCADE", "set null": "SET NULL"}
    add(
        "referential_constraints",
        **of,
        unique_constraint_catalog=database,
        unique_constraint_schema=shown(parent.schema),
        unique_constraint_name=shown(names[0].name) if names else None,
        match_option="NONE",
        update_rule="NO ACTION",
        delete_rule=rules.get(key.on_delete, "NO ACTION"),
    )


def _info_privileges(add: Add, database: str, catalog: Catalog) -> None:
    for grant in catalog.grants():
        item = catalog.by_id.get(grant.object_id)
        if isinstance(item, (Table, View)):
            values: dict[str, StorageValue] = {
                "grantor": shown(item.schema),
                "grantee": shown(grant.grantee),
                "table_catalog": database,
                "table_schema": shown(item.schema),
                "table_name": shown(item.name),
                "privilege_type": grant.privilege,
                "is_grantable": "NO",
                "with_hierarchy": _yes(grant.privilege == "SELECT"),
            }
            add("table_privileges", **values)
            add("role_table_grants", **values)
