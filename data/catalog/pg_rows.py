"""Catalog → rows of pg_catalog and information_schema. Pure.

A row is a mapping of the columns worth saying; the others take the default of their type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from data.catalog.catalog import Catalog, shown
from data.catalog.objects import Check, Column, ForeignKey, Index, Table, User, View
from data.catalog.objects import Sequence as SequenceObject
from data.catalog.pg_schema import BUILTIN_TYPES, PG_RELATIONS
from data.catalog.pg_texts import (
    TYPE_BY_OID,
    index_text,
    storage_option,
    type_modifier,
    type_oid,
)
from data.catalog.settings import SETTINGS
from protocol.sqltypes import Kind, SqlType, StorageValue

Row = Mapping[str, StorageValue]
Rows = dict[str, list[Row]]
Add = Callable[..., None]  # (relation, **columns)

PG_CATALOG_OID = 11
INFORMATION_SCHEMA_OID = 13000
DATABASE_OID = 5
_HEAP, _BTREE, _HASH = 2, 403, 405
_DEFAULT_COLLATION = 100
_COLLATABLE = frozenset(
    {Kind.CHAR, Kind.VARCHAR, Kind.NCHAR, Kind.NVARCHAR, Kind.CLOB, Kind.UNKNOWN}
)
_PRIVILEGE_LETTERS = {
    "SELECT": "r",
    "INSERT": "a",
    "UPDATE": "w",
    "DELETE": "d",
    "REFERENCES": "x",
}
_OWNER_LETTERS = "arwdDxt"
_CATALOGS = [r for r in PG_RELATIONS if r.schema == "pg_catalog"]


def array(values: Sequence[StorageValue]) -> str:
    """An array as the JSON text in which catalog tables hold it."""
    return json.dumps(list(values))


def user_tables(catalog: Catalog) -> Iterator[Table]:
    """Tables that users see, by owner and name."""
    tables = (t for t in catalog.tables() if not t.system)
    return iter(sorted(tables, key=lambda t: (t.schema, t.name)))


def _adder(rows: Rows) -> Add:
    def add(relation: str, **values: StorageValue) -> None:
        rows.setdefault(relation, []).append(values)

    return add


def fixed_rows() -> Rows:
    """Rows of pg_catalog that are the same in every database."""
    rows: Rows = {}
    add = _adder(rows)
    _fixed(add)
    _types(add)
    _own_relations(add)
    return rows


def pg_rows(catalog: Catalog, databases: Sequence[str]) -> Rows:
    """Rows of the pg_catalog relations, those of `fixed_rows` left out."""
    rows: Rows = {}
    add = _adder(rows)
    _databases(add, databases)
    owners = {user.name: user.id for user in catalog.users.values()}
    for user in catalog.users.values():
        _user(add, catalog, user)
        if user.name != "SYS":
            add("pg_namespace", oid=user.id, nspname=shown(user.name), nspowner=user.id)
    for table in user_tables(catalog):
        _table(add, catalog, table, owners)
    for view in catalog.views():
        _view(add, view, owners)
    for sequence in catalog.sequences():
        _sequence(add, catalog, sequence, owners)
    return rows


def _databases(add: Add, databases: Sequence[str]) -> None:
    for number, name in enumerate(databases):
        add(
            "pg_database",
            oid=DATABASE_OID + number,
            datname=name,
            datdba=10,
            encoding=6,
            datlocprovider="c",
            datallowconn=1,
            datconnlimit=-1,
            dattablespace=1663,
            datcollate="C.UTF-8",
            datctype="C.UTF-8",
        )


def _fixed(add: Add) -> None:
    add("pg_namespace", oid=PG_CATALOG_OID, nspname="pg_catalog", nspowner=10)
    add("pg_namespace", oid=INFORMATION_SCHEMA_OID, nspname="information_schema", nspowner=10)
    add("pg_tablespace", oid=1663, spcname="pg_default", spcowner=10)
    for oid, name, kind in ((_HEAP, "heap", "t"), (_BTREE, "btree", "i"), (_HASH, "hash", "i")):
        add("pg_am", oid=oid, amname=name, amhandler="-", amtype=kind)
    add("pg_language", oid=12, lanname="internal", lanowner=10)
    add("pg_language", oid=14, lanname="sql", lanowner=10, lanpltrusted=1)
    for oid, name in ((100, "default"), (950, "C"), (951, "POSIX")):
        add(
            "pg_collation",
            oid=oid,
            collname=name,
            collnamespace=PG_CATALOG_OID,
            collowner=10,
            collprovider="d" if oid == _DEFAULT_COLLATION else "c",
            collisdeterministic=1,
            collencoding=-1,
            collcollate=name if oid != _DEFAULT_COLLATION else "",
            collctype=name if oid != _DEFAULT_COLLATION else "",
        )


def _types(add: Add) -> None:
    for builtin in BUILTIN_TYPES:
        add(
            "pg_type",
            oid=builtin.oid,
            typname=builtin.name,
            typnamespace=PG_CATALOG_OID,
            typowner=10,
            typlen=builtin.length,
            typbyval=builtin.by_value,
            typtype=builtin.kind,
            typcategory=builtin.category,
            typispreferred=builtin.preferred,
            typisdefined=1,
            typdelim=",",
            typelem=builtin.element,
            typarray=builtin.array,
            typinput=builtin.input,
            typoutput=builtin.output,
            typalign=builtin.align,
            typstorage=builtin.storage,
            typtypmod=-1,
            typcollation=builtin.collation,
        )


def _own_relations(add: Add) -> None:
    """The catalogs themselves, and the settings."""
    for relation in _CATALOGS:
        add(
            "pg_class",
            oid=relation.oid,
            relname=relation.name,
            relnamespace=PG_CATALOG_OID,
            relowner=10,
            relkind="r",
            relpersistence="p",
            relnatts=len(relation.columns),
            relam=_HEAP,
            relreplident="n",
            relispopulated=1,
        )
    for setting in SETTINGS.values():
        add(
            "pg_settings",
            name=setting.name,
            setting=setting.value,
            category=setting.category,
            short_desc=setting.description,
            context="user" if setting.settable else "internal",
            vartype=setting.kind,
            source="default",
            boot_val=setting.value,
            reset_val=setting.value,
        )


def _user(add: Add, catalog: Catalog, user: User) -> None:
    admin = user.admin or "ADMIN" in user.privileges
    may = catalog.has_system_privilege(user.name, "CREATE SESSION") and not user.locked
    login = int(may and (admin or user.external or bool(user.verifier)))
    name = shown(user.name)
    role: dict[str, StorageValue] = {
        "oid": user.id,
        "rolname": name,
        "rolsuper": int(admin),
        "rolinherit": 1,
        "rolcreaterole": int(admin),
        "rolcreatedb": int(admin),
        "rolcanlogin": login,
        "rolconnlimit": -1,
        "rolpassword": "********",
    }
    add("pg_roles", **role)
    add("pg_authid", **role)
    if login:
        person: dict[str, StorageValue] = {
            "usename": name,
            "usesysid": user.id,
            "usesuper": int(admin),
        }
        add("pg_user", **person, usecreatedb=int(admin), passwd="********")
        add("pg_shadow", **person, usecreatedb=int(admin), passwd="********")


def _acl(catalog: Catalog, number: int, owner: str, letters: str) -> str | None:
    """relacl: who may what, None while only the owner may."""
    held: dict[str, set[str]] = {}
    for grant in catalog.grants():
        if grant.object_id == number and grant.privilege in _PRIVILEGE_LETTERS:
            held.setdefault(grant.grantee, set()).add(_PRIVILEGE_LETTERS[grant.privilege])
    if not held:
        return None
    name = shown(owner)
    entries = [f"{name}={letters}/{name}"]
    for grantee, granted in sorted(held.items()):
        who = "" if grantee == "PUBLIC" else shown(grantee)
        ordered = "".join(letter for letter in _OWNER_LETTERS if letter in granted)
        entries.append(f"{who}={ordered}/{name}")
    return array(entries)


def _attribute(add: Add, relation: int, number: int, column: Column) -> None:
    oid = type_oid(column.type)
    kind = TYPE_BY_OID[oid]
    add(
        "pg_attribute",
        attrelid=relation,
        attname=shown(column.name),
        atttypid=oid,
        attstattarget=-1,
        attlen=kind.length,
        attnum=number,
        attcacheoff=-1,
        atttypmod=type_modifier(column.type),
        attbyval=kind.by_value,
        attalign=kind.align,
        attstorage=kind.storage,
        attnotnull=int(not column.nullable),
        atthasdef=int(bool(column.default_sql and not column.identity)),
        attidentity=column.identity[:1],
        attislocal=1,
        attcollation=_DEFAULT_COLLATION if column.type.kind in _COLLATABLE else 0,
    )
    if column.comment:
        comment = column.comment
        add("pg_description", objoid=relation, classoid=1259, objsubid=number, description=comment)


def _table(add: Add, catalog: Catalog, table: Table, owners: Mapping[str, int]) -> None:
    owner = owners.get(table.schema, 10)
    add(
        "pg_class",
        oid=table.id,
        relname=shown(table.name),
        relnamespace=owner,
        relowner=owner,
        relam=_HEAP,
        relfilenode=table.id,
        reltuples=-1.0,
        relhasindex=int(bool(table.indexes)),
        relpersistence="t" if table.temporary else "p",
        relkind="r" if table.materialized is None else "m",
        relnatts=len(table.columns),
        relchecks=len(table.checks),
        # psql looks for foreign keys only where PostgreSQL would have the triggers that keep them
        relhastriggers=int(bool(table.foreign_keys or catalog.children(table.id))),
        relispopulated=1,
        relreplident="d",
        relacl=_acl(catalog, table.id, table.schema, _OWNER_LETTERS),
        reloptions=array([storage_option(table)]),
    )
    name, schema = shown(table.name), shown(table.schema)
    has_indexes = int(bool(table.indexes))
    if table.materialized is None:
        add(
            "pg_tables",
            schemaname=schema,
            tablename=name,
            tableowner=schema,
            hasindexes=has_indexes,
        )
    else:
        add(
            "pg_matviews",
            schemaname=schema,
            matviewname=name,
            matviewowner=schema,
            hasindexes=has_indexes,
            ispopulated=1,
            definition=table.materialized.sql,
        )
    add("pg_stat_user_tables", relid=table.id, schemaname=schema, relname=name)
    add("pg_stat_all_tables", relid=table.id, schemaname=schema, relname=name)
    if table.comment:
        add("pg_description", objoid=table.id, classoid=1259, objsubid=0, description=table.comment)
    for number, column in enumerate(table.columns, 1):
        _attribute(add, table.id, number, column)
        if column.default_sql and not column.identity:
            number_of_default = table.id * 1000 + number
            add(
                "pg_attrdef",
                oid=number_of_default,
                adrelid=table.id,
                adnum=number,
                adbin=column.default_sql,
            )
    numbers = {column.name: number for number, column in enumerate(table.columns, 1)}
    for index in table.indexes:
        _index(add, table, index, owner, numbers)
    for key in table.foreign_keys:
        _foreign_key(add, catalog, table, key, owner, numbers)
    for check in table.checks:
        _constraint(add, table, check, owner, "c", conbin=check.sql, conkey=None)


def _vector(values: Sequence[int]) -> str:
    """int2vector, oidvector: as arrays, but printed without braces (pg_catalog.py knows)."""
    return array(list(values))


def _index(add: Add, table: Table, index: Index, owner: int, numbers: Mapping[str, int]) -> None:
    names = (*index.columns, *index.include)
    by_name = {column.name: column for column in table.columns}
    add(
        "pg_class",
        oid=index.id,
        relname=shown(index.name),
        relnamespace=owner,
        relowner=owner,
        relam=_HASH if index.hash else _BTREE,
        relfilenode=index.id,
        relpersistence="p",
        relkind="i",
        relnatts=len(names),
        relispopulated=1,
        relreplident="n",
    )
    keys = len(index.columns)
    descending = index.descending or (False,) * keys
    collations = [
        _DEFAULT_COLLATION if by_name[n].type.kind in _COLLATABLE else 0 for n in index.columns
    ]
    add(
        "pg_index",
        indexrelid=index.id,
        indrelid=table.id,
        indnatts=len(names),
        indnkeyatts=keys,
        indisunique=int(index.unique),
        indisprimary=int(index.primary),
        indimmediate=1,
        indisvalid=1,
        indisready=1,
        indislive=1,
        indkey=_vector([numbers[name] for name in names]),
        indcollation=_vector(collations),
        indclass=_vector([0] * keys),
        indoption=_vector([3 if down else 0 for down in descending]),
    )
    for number, name in enumerate(names, 1):
        _attribute(add, index.id, number, Column(name, by_name[name].type))
    add(
        "pg_indexes",
        schemaname=shown(table.schema),
        tablename=shown(table.name),
        indexname=shown(index.name),
        indexdef=index_text(table, index, ()),
    )
    if index.unique and index.constraint:
        key = array([numbers[name] for name in index.columns])
        kind = "p" if index.primary else "u"
        _constraint(add, table, index, owner, kind, conindid=index.id, conkey=key)


def _constraint(
    add: Add,
    table: Table,
    constraint: Index | ForeignKey | Check,
    owner: int,
    kind: str,
    **more: StorageValue,
) -> None:
    add(
        "pg_constraint",
        oid=constraint.id,
        conname=shown(constraint.name),
        connamespace=owner,
        contype=kind,
        convalidated=1,
        conrelid=table.id,
        conislocal=1,
        connoinherit=1,
        **more,
    )
    if constraint.comment:
        said = constraint.comment
        add("pg_description", objoid=constraint.id, classoid=2606, objsubid=0, description=said)


def _foreign_key(
    add: Add,
    catalog: Catalog,
    table: Table,
    key: ForeignKey,
    owner: int,
    numbers: Mapping[str, int],
) -> None:
    parent = catalog.table_by_id(key.parent_id)
    theirs = {column.name: number for number, column in enumerate(parent.columns, 1)}
    _constraint(
        add,
        table,
        key,
        owner,
        "f",
        conindid=key.parent_index_id,
        confrelid=key.parent_id,
        confupdtype="a",
        confdeltype={"cascade": "c", "set null": "n"}.get(key.on_delete, "a"),
        confmatchtype="s",
        conkey=array([numbers[name] for name in key.columns]),
        confkey=array([theirs[name] for name in key.parent_columns]),
    )


def _view(add: Add, view: View, owners: Mapping[str, int]) -> None:
    owner = owners.get(view.schema, 10)
    add(
        "pg_class",
        oid=view.id,
        relname=shown(view.name),
        relnamespace=owner,
        relowner=owner,
        relpersistence="p",
        relkind="v",
        relnatts=len(view.columns),
        relhasrules=1,
        relispopulated=1,
        relreplident="n",
    )
    add(
        "pg_views",
        schemaname=shown(view.schema),
        viewname=shown(view.name),
        viewowner=shown(view.schema),
        definition=view.sql,
    )
    if view.comment:
        add("pg_description", objoid=view.id, classoid=1259, objsubid=0, description=view.comment)
    for number, column in enumerate(view.columns, 1):
        _attribute(add, view.id, number, column)


def _sequence(
    add: Add, catalog: Catalog, sequence: SequenceObject, owners: Mapping[str, int]
) -> None:
    owner = owners.get(sequence.schema, 10)
    add(
        "pg_class",
        oid=sequence.id,
        relname=shown(sequence.name),
        relnamespace=owner,
        relowner=owner,
        relpersistence="p",
        relkind="S",
        relnatts=3,
        relispopulated=1,
        relreplident="n",
        relacl=_acl(catalog, sequence.id, sequence.schema, "rwU"),
    )
    add(
        "pg_sequence",
        seqrelid=sequence.id,
        seqtypid=20,
        seqstart=sequence.start,
        seqincrement=sequence.increment,
        seqmax=sequence.maximum,
        seqmin=sequence.minimum,
        seqcache=sequence.cache,
        seqcycle=int(sequence.cycle),
    )
    add(
        "pg_sequences",
        schemaname=shown(sequence.schema),
        sequencename=shown(sequence.name),
        sequenceowner=shown(sequence.schema),
        data_type="bigint",
        start_value=sequence.start,
        min_value=sequence.minimum,
        max_value=sequence.maximum,
        increment_by=sequence.increment,
        cycle=int(sequence.cycle),
        cache_size=sequence.cache,
    )


def numeric_facts(sql_type: SqlType) -> tuple[int | None, int | None, int | None]:
    """Precision, radix, scale as information_schema.columns shows them."""
    widths = {Kind.TINYINT: 16, Kind.SMALLINT: 16, Kind.INTEGER: 32, Kind.BIGINT: 64}
    if sql_type.kind in widths:
        return widths[sql_type.kind], 2, 0
    if sql_type.kind is Kind.NUMBER:
        return (sql_type.precision, 10, sql_type.scale) if sql_type.precision else (None, 10, None)
    floats = {Kind.BINARY_FLOAT: 24, Kind.BINARY_DOUBLE: 53}
    return (floats[sql_type.kind], 2, None) if sql_type.kind in floats else (None, None, None)
