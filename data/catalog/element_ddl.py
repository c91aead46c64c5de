"""How tables and indexes look inside an element's SQLite file; DDL actions as SQL texts. Pure.

| ours | in SQLite |
|---|---|
| table TERRY.CUSTOMERS | "TERRY.CUSTOMERS": [_ROWKEY] + columns + [_BUCKET] (the *full row*) |
| local index | index "IX.<id>" |
| primary key | PRIMARY KEY, unless the table has a hidden row key: then a unique index "IX.<id>" |
| global index | table "GI.<id>", distributed by hash of its key, see `global_index_table` |
| dropped, could still be undone | table "_dropped.<token>.<name>" |

Foreign keys are not declared: they hold across elements and are enforced above.
"""

from __future__ import annotations

from functools import singledispatch

from msgspec.structs import replace

from data.catalog.catalog import (
    Catalog,
    CreateIndex,
    CreateTable,
    DropIndex,
    DropTable,
    ElementAction,
    RebuildTable,
    RenameTable,
    TruncateTable,
)
from data.catalog.objects import Column, Distribution, Index, Table
from protocol.sqltypes import BIGINT, BYTES_KINDS, FLOAT_KINDS, TEXT_KINDS, Kind, SqlType

ROWKEY = "_ROWKEY"
BUCKET = "_BUCKET"
TARGET = "_TARGET"
DROPPED_PREFIX = "_dropped."


def quoted(name: str) -> str:
    """An identifier in SQLite's double quotes."""
    return '"' + name.replace('"', '""') + '"'


def storage_class(sql_type: SqlType) -> str:
    """INTEGER, REAL, TEXT or BLOB: what SQLite stores for a column of that type."""
    kind = sql_type.kind
    if kind is Kind.NUMBER:
        return "INTEGER" if sql_type.is_scaled else "TEXT"
    if kind in TEXT_KINDS:
        return "TEXT"
    if kind in FLOAT_KINDS:
        return "REAL"
    if kind in BYTES_KINDS:
        return "BLOB"
    return "INTEGER"  # integers, booleans, dates, times, intervals


def collation(sql_type: SqlType) -> str:
    """The SQLite collation a column needs: "decimal" for NUMBERs kept as text, else ""."""
    return "decimal" if sql_type.kind is Kind.NUMBER and not sql_type.is_scaled else ""


# -- the full row ----------------------------------------------------------------------------------
def table_name(table: Table) -> str:
    """Its name in SQLite, unquoted: "TERRY.CUSTOMERS"; "GI.17" for a global index's table."""
    return f"{table.schema}.{table.name}"


def has_bucket(table: Table) -> bool:
    """Do its rows carry their bucket? Duplicate and temporary tables' rows are in no bucket."""
    return table.distribution is not Distribution.DUPLICATE and not table.temporary


def full_row_columns(table: Table) -> tuple[str, ...]:
    """Names of the columns of a full row, in order."""
    names = tuple(column.name for column in table.columns)
    if table.row_key:
        names = (ROWKEY, *names)
    return (*names, BUCKET) if has_bucket(table) else names


def full_row_offset(table: Table) -> int:
    """Where the first catalog column stands in a full row: 1 after a hidden row key, else 0."""
    return 1 if table.row_key else 0


def key_columns(table: Table) -> tuple[str, ...]:
    """The columns that identify a row inside an element: the row key or the primary key."""
    return (ROWKEY,) if table.row_key else table.primary_key


def key_positions(table: Table) -> tuple[int, ...]:
    """Positions of `key_columns` in a full row."""
    names = full_row_columns(table)
    return tuple(names.index(name) for name in key_columns(table))


def column_positions(table: Table, columns: tuple[str, ...]) -> tuple[int, ...]:
    """Positions of catalog or hidden columns in a full row. Raises ValueError for others."""
    names = full_row_columns(table)
    return tuple(names.index(name) for name in columns)


def global_index_table(table: Table, index: Index) -> Table:
    """The hidden table "GI.<id>" of a global index, as a table of its own, hashed by its key.

    Row: key columns, [the base table's key columns, if not unique], _TARGET (bucket of the base
    row), included columns, _BUCKET (of the key). A base row with NULL in a key column has no entry.
    """
    assert index.is_global
    key: list[str] = list(index.columns)
    if not index.unique:
        key += [name for name in key_columns(table) if name not in key]
    by_name = {column.name: column for column in table.columns}
    by_name[ROWKEY] = Column(ROWKEY, BIGINT)
    columns = [Column(name, by_name[name].type, nullable=False) for name in key]
    columns.append(Column(TARGET, BIGINT, nullable=False))
    columns += [Column(n, by_name[n].type) for n in index.include if n not in key]
    primary = Index(index.id, index.name, tuple(key), unique=True, primary=True, constraint=True)
    return Table(
        id=index.id,
        schema="GI",
        name=str(index.id),
        columns=tuple(columns),
        distribution=Distribution.HASH,
        distribution_key=index.columns,
        indexes=(primary,),
        system=True,
    )


def element_tables(catalog: Catalog) -> list[Table]:
    """All tables that exist in an element's file: the catalog's and those of global indexes."""
    tables: list[Table] = []
    for table in catalog.tables():
        if table.temporary:
            continue
        tables.append(table)
        tables += (global_index_table(table, i) for i in table.indexes if i.is_global)
    return tables


# -- texts -----------------------------------------------------------------------------------------
def _column_sql(column: Column) -> str:
    text = f"{quoted(column.name)} {storage_class(column.type)}"
    if collate := collation(column.type):
        text += f" COLLATE {collate}"
    return text if column.nullable else text + " NOT NULL"


def _integer_key(table: Table) -> str:
    """Name of the column that is SQLite's rowid (a key of one integer column), "" if none."""
    if table.row_key:
        return ROWKEY
    key = table.primary_key
    if len(key) != 1:
        return ""
    column = table.column(key[0])
    assert column is not None
    return column.name if storage_class(column.type) == "INTEGER" else ""


def create_table_sql(table: Table, name: str = "") -> str:
    """CREATE TABLE for the element, without indexes. `name`: another SQLite name than its own."""
    rowid = _integer_key(table)
    parts: list[str] = []
    if table.row_key:
        parts.append(f"{quoted(ROWKEY)} INTEGER PRIMARY KEY")
    for column in table.columns:
        if column.name == rowid:
            parts.append(f"{quoted(column.name)} INTEGER PRIMARY KEY NOT NULL")
        else:
            parts.append(_column_sql(column))
    if has_bucket(table):
        parts.append(f"{quoted(BUCKET)} INTEGER NOT NULL")
    without_rowid = ""
    if not rowid:
        key = ", ".join(quoted(c) for c in table.primary_key)
        parts.append(f"PRIMARY KEY ({key})")
        without_rowid = " WITHOUT ROWID"
    for check in table.checks:
        if check.sqlite_sql:
            parts.append(f"CONSTRAINT {quoted(check.name)} CHECK ({check.sqlite_sql})")
    return f"CREATE TABLE {quoted(name or table_name(table))} ({', '.join(parts)}){without_rowid}"


def index_name(index: Index) -> str:
    """A local index's name in SQLite, unquoted."""
    return f"IX.{index.id}"


def _is_sqlite_index(table: Table, index: Index) -> bool:
    """False for a primary key that is SQLite's own.

    A global index is an index of the element too: it finds the row inside its element.
    """
    return not (index.primary and not table.row_key)


def create_index_sql(table: Table, index: Index) -> str:
    """CREATE INDEX for the element's part of `table`."""
    order = index.descending or (False,) * len(index.columns)
    columns = ", ".join(
        quoted(name) + (" DESC" if down else "")
        for name, down in zip(index.columns, order, strict=True)
    )
    unique = "UNIQUE " if index.unique else ""
    return (
        f"CREATE {unique}INDEX {quoted(index_name(index))} "
        f"ON {quoted(table_name(table))} ({columns})"
    )


def _indexes_sql(table: Table) -> list[str]:
    return [create_index_sql(table, i) for i in table.indexes if _is_sqlite_index(table, i)]


def _drop_indexes_sql(table: Table) -> list[str]:
    return [
        f"DROP INDEX {quoted(index_name(i))}" for i in table.indexes if _is_sqlite_index(table, i)
    ]


def _global_tables(table: Table) -> list[Table]:
    return [global_index_table(table, i) for i in table.indexes if i.is_global]


def _create_all(table: Table) -> list[str]:
    """The table, its indexes, the tables of its global indexes."""
    texts = [create_table_sql(table), *_indexes_sql(table)]
    texts += [create_table_sql(t) for t in _global_tables(table)]
    return texts


def _drop_all(table: Table) -> list[str]:
    return [f"DROP TABLE {quoted(table_name(t))}" for t in (table, *_global_tables(table))]


def dropped_name(table: Table, token: int) -> str:
    """The name under which a dropped table waits for its purge, unquoted."""
    return f"{DROPPED_PREFIX}{token}.{table_name(table)}"


def _rename(old: str, new: str) -> str:
    return f"ALTER TABLE {quoted(old)} RENAME TO {quoted(new)}"


def _put_aside(table: Table, token: int) -> list[str]:
    """Indexes go (SQLite cannot rename them, and their names may be wanted again), rows stay."""
    return [
        *_drop_indexes_sql(table),
        *(_rename(table_name(t), dropped_name(t, token)) for t in (table, *_global_tables(table))),
    ]


def _bring_back(table: Table, token: int) -> list[str]:
    return [
        *(_rename(dropped_name(t, token), table_name(t)) for t in (table, *_global_tables(table))),
        *_indexes_sql(table),
    ]


def _purge(table: Table, token: int) -> list[str]:
    return [
        f"DROP TABLE IF EXISTS {quoted(dropped_name(t, token))}"
        for t in (table, *_global_tables(table))
    ]


def _without_global(table: Table) -> Table:
    """The same table as far as it stands in its own SQLite table."""
    indexes = tuple(replace(i, is_global=False) for i in table.indexes)
    return replace(table, indexes=indexes)


# -- actions ---------------------------------------------------------------------------------------
@singledispatch
def forward_sql(action: ElementAction) -> list[str]:
    """SQL texts that carry the action out, in order, inside the element's open transaction."""
    raise AssertionError(f"unknown action {action}")


@singledispatch
def inverse_sql(action: ElementAction) -> list[str]:
    """SQL texts that undo `forward_sql` (rows changed since have been undone before)."""
    raise AssertionError(f"unknown action {action}")


def purge_sql(action: ElementAction) -> list[str]:
    """Removes for good what a destroying action kept for its undo; [] for the others."""
    match action:
        case DropTable(table, token) | TruncateTable(table, token):
            return _purge(table, token)
        case RebuildTable(before, _, _, token):
            return _purge(_without_global(before), token)
        case DropIndex(table, index, token) if index.is_global:
            name = dropped_name(global_index_table(table, index), token)
            return [f"DROP TABLE IF EXISTS {quoted(name)}"]
    return []


@forward_sql.register
def _(action: CreateTable) -> list[str]:
    return _create_all(action.table)


@inverse_sql.register
def _(action: CreateTable) -> list[str]:
    return _drop_all(action.table)


@forward_sql.register
def _(action: DropTable) -> list[str]:
    return _put_aside(action.table, action.token)


@inverse_sql.register
def _(action: DropTable) -> list[str]:
    return _bring_back(action.table, action.token)


@forward_sql.register
def _(action: TruncateTable) -> list[str]:
    return [*_put_aside(action.table, action.token), *_create_all(action.table)]


@inverse_sql.register
def _(action: TruncateTable) -> list[str]:
    return [*_drop_all(action.table), *_bring_back(action.table, action.token)]


@forward_sql.register
def _(action: RebuildTable) -> list[str]:
    before, after = _without_global(action.before), _without_global(action.after)
    columns = ", ".join(quoted(name) for name in full_row_columns(after))
    source = quoted(dropped_name(before, action.token))
    return [
        *_put_aside(before, action.token),
        create_table_sql(after),
        f"INSERT INTO {quoted(table_name(after))} ({columns}) "
        f"SELECT {', '.join(action.values)} FROM {source}",
        *_indexes_sql(after),
    ]


@inverse_sql.register
def _(action: RebuildTable) -> list[str]:
    before, after = _without_global(action.before), _without_global(action.after)
    return [*_drop_all(after), *_bring_back(before, action.token)]


@forward_sql.register
def _(action: RenameTable) -> list[str]:
    return [_rename(table_name(action.before), table_name(action.after))]


@inverse_sql.register
def _(action: RenameTable) -> list[str]:
    return [_rename(table_name(action.after), table_name(action.before))]


@forward_sql.register
def _(action: CreateIndex) -> list[str]:
    texts = []
    if _is_sqlite_index(action.table, action.index):
        texts.append(create_index_sql(action.table, action.index))
    if action.index.is_global:
        texts.append(create_table_sql(global_index_table(action.table, action.index)))
    return texts


@inverse_sql.register
def _(action: CreateIndex) -> list[str]:
    texts = []
    if _is_sqlite_index(action.table, action.index):
        texts.append(f"DROP INDEX {quoted(index_name(action.index))}")
    if action.index.is_global:
        name = table_name(global_index_table(action.table, action.index))
        texts.append(f"DROP TABLE {quoted(name)}")
    return texts


@forward_sql.register
def _(action: DropIndex) -> list[str]:
    texts = []
    if _is_sqlite_index(action.table, action.index):
        texts.append(f"DROP INDEX {quoted(index_name(action.index))}")
    if action.index.is_global:
        hidden = global_index_table(action.table, action.index)
        texts.append(_rename(table_name(hidden), dropped_name(hidden, action.token)))
    return texts


@inverse_sql.register
def _(action: DropIndex) -> list[str]:
    texts = []
    if action.index.is_global:
        hidden = global_index_table(action.table, action.index)
        texts.append(_rename(dropped_name(hidden, action.token), table_name(hidden)))
    if _is_sqlite_index(action.table, action.index):
        texts.append(create_index_sql(action.table, action.index))
    return texts


def bootstrap_sql(catalog: Catalog) -> list[str]:
    """Texts that make all tables of a catalog in an empty element file (`Catalog.initial()`: the
    built-in ones)."""
    tables = (table for table in catalog.tables() if not table.temporary)
    return [text for table in tables for text in _create_all(table)]


def build_sql(catalog: Catalog, there: Catalog) -> tuple[list[str], list[str]]:
    """Texts that make the tables of a catalog beyond those of `there`: before rows, after them."""
    known = {table.id for table in element_tables(there)}
    before = [create_table_sql(t) for t in element_tables(catalog) if t.id not in known]
    new = [t for t in catalog.tables() if t.id not in known and not t.temporary]
    after = [text for t in new for text in _indexes_sql(t)]
    return before, after
