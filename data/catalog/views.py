"""Catalog → rows of information_schema, as PostgreSQL's clients expect them. Pure."""

from __future__ import annotations

from collections.abc import Callable

from data.catalog.catalog import Catalog, shown
from data.catalog.objects import ForeignKey, Table, View
from data.catalog.pg_rows import Rows, numeric_facts, user_tables
from data.catalog.pg_texts import TYPE_BY_OID, format_type, type_oid
from protocol.sqltypes import MICROSECOND_KINDS, TEXT_KINDS, StorageValue

Add = Callable[..., None]  # (relation, **columns)


def _adder(rows: Rows, schema: str) -> Add:
    def add(relation: str, **values: StorageValue) -> None:
        rows.setdefault(f"{schema}.{relation}", []).append(values)

    return add


def _yes(value: object) -> str:
    return "YES" if value else "NO"


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
