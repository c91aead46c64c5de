"""CREATE TABLE and indexes: keys, placement, constraints. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace

from msgspec.structs import replace

from data.catalog.catalog import CreateIndex, CreateTable, names_of, shown
from data.catalog.element_ddl import (
    BUCKET,
    global_index_table,
    key_columns,
    quoted,
    storage_class,
    table_name,
)
from data.catalog.objects import Check, Column, Distribution, ForeignKey, Index, Table
from data.sql.ddl_ast import (
    ColumnDef,
    ConstraintDef,
    CreateIndexStatement,
    CreateTableStatement,
    DistributionDef,
)
from data.sql.ddl_build import (
    RESERVED_COLUMNS,
    Backfill,
    Builder,
    check_name,
    refuse_temporary,
    refuse_view,
    sql_name,
)
from data.sql.ddl_lexer import tokenize
from data.sql.ddl_sequences import add_identities
from data.sql.type_names import INLINE_LENGTH_MAX, type_text
from protocol.errors import (
    DefinitionError,
    DuplicateObjectError,
    ForeignKeyError,
    GridError,
    NotSupportedError,
    ReferenceNullableError,
    ReferenceParentDuplicateError,
    ReferenceParentKeyError,
    TypeMismatchError,
    UniqueViolationError,
    UnknownColumnError,
    UnknownObjectError,
)
from protocol.sqltypes import ANY_SCALE, Kind, SqlType

COLUMNS_MAX = 1000
INDEX_COLUMNS_MAX = 32
_VARYING = frozenset({Kind.VARCHAR, Kind.NVARCHAR, Kind.VARBINARY})


def needs_global(table: Table, columns: tuple[str, ...]) -> bool:
    """Must a unique key of these columns be a global index? Not where equal keys share a bucket."""
    if table.distribution is Distribution.DUPLICATE:
        return False
    if table.distribution is Distribution.REFERENCE:
        reference = table.reference
        assert reference is not None
        return not set(reference.columns) <= set(columns)
    return not table.distribution_key or not set(table.distribution_key) <= set(columns)


# -- columns ---------------------------------------------------------------------------------------
def make_column(builder: Builder, definition: ColumnDef) -> Column:
    """A column as stored. Raises what the DEFAULT expression does wrong."""
    sql_type = definition.type
    if sql_type is None:
        message = f'column "{shown(definition.name)}" needs a type'
        raise DefinitionError(message, position=definition.position)
    check_name(definition.name, definition.position)
    if definition.name in RESERVED_COLUMNS:
        message = f'column name "{definition.name}" is reserved'
        raise DefinitionError(message, position=definition.position)
    check_default(builder, definition.default_sql, sql_type, definition.position)
    inline = definition.inline
    if inline is None:
        varying = sql_type.kind in _VARYING
        inline = not varying or 0 < sql_type.length <= INLINE_LENGTH_MAX
    return Column(definition.name, sql_type, definition.nullable, definition.default_sql, inline)


def check_default(builder: Builder, text: str, sql_type: SqlType, position: int) -> None:
    """Raises the error of a DEFAULT that can never be stored."""
    if not text or "NEXTVAL" in text.upper():  # drawing a value only to look at it would lose it
        return
    if any(token.value == "SELECT" for token in tokenize(text)):
        raise NotSupportedError("a DEFAULT cannot be a query", position=position)
    try:
        builder.hooks.constant(text, sql_type)
    except GridError as error:
        error.position = position
        raise


def need_columns(table: Table, names: tuple[str, ...], position: int) -> tuple[Column, ...]:
    """The columns of those names, each once. Raises UnknownColumnError, DefinitionError."""
    if not names:
        raise DefinitionError("a key needs columns", position=position)
    if len(set(names)) < len(names):
        raise DefinitionError("a column stands twice in a key or index", position=position)
    if len(names) > INDEX_COLUMNS_MAX:
        message = f"more than {INDEX_COLUMNS_MAX} columns in a key or index"
        raise DefinitionError(message, position=position)
    found = []
    for name in names:
        column = table.column(name)
        if column is None:
            message = f'column "{shown(name)}" of table "{shown(table.name)}" does not exist'
            raise UnknownColumnError(message, position=position)
        found.append(column)
    return tuple(found)


def with_columns(table: Table, names: tuple[str, ...], *, nullable: bool) -> Table:
    """The table with those columns made (NOT) NULL."""
    columns = tuple(replace(c, nullable=nullable) if c.name in names else c for c in table.columns)
    return replace(table, columns=columns)


# -- constraints -----------------------------------------------------------------------------------
@dataclass
class Names:
    """Constraint names given so far in one table, so that made-up ones stay apart."""

    taken: set[str] = field(default_factory=set)

    @staticmethod
    def of(table: Table) -> Names:
        """Those of an existing table."""
        taken = {index.name for index in table.indexes}
        taken |= {key.name for key in table.foreign_keys}
        return Names(taken | {check.name for check in table.checks})

    def take(self, builder: Builder, table: Table, made: ConstraintDef) -> str:
        """The name of a constraint, given or made up. Raises DuplicateObjectError."""
        name = made.name
        if not name:
            suffix = {"primary": "PKEY", "unique": "KEY", "foreign": "FKEY", "check": "CHECK"}
            parts = [] if made.kind == "primary" else list(made.columns)
            base = "_".join([table.name, *parts])
            name = builder.made_up_name(table.schema, base, suffix[made.kind], self.taken)
        check_name(name, made.position)
        if name in self.taken:
            message = (
                f'constraint "{shown(name)}" for relation "{shown(table.name)}" already exists'
            )
            raise DuplicateObjectError(message, position=made.position)
        if made.kind in ("primary", "unique"):
            builder.must_be_free(table.schema, name, made.position)
        self.taken.add(name)
        return name


def add_key(builder: Builder, table: Table, made: ConstraintDef, names: Names) -> Table:
    """PRIMARY KEY (makes its columns NOT NULL) or UNIQUE; whether global is decided later."""
    columns = need_columns(table, made.columns, made.position)
    for column in columns:
        if column.type.kind in (Kind.BLOB, Kind.CLOB, Kind.JSON):
            message = f"a key cannot hold a column of type {type_text(column.type)}"
            raise DefinitionError(message, position=made.position)
    primary = made.kind == "primary"
    if primary and table.primary_key:
        message = f'table "{shown(table.name)}" has a primary key already'
        raise DefinitionError(message, position=made.position)
    index = Index(
        builder.new_id(),
        names.take(builder, table, made),
        made.columns,
        unique=True,
        primary=primary,
        constraint=True,
    )
    if primary:
        table = with_columns(table, made.columns, nullable=False)
        return replace(table, indexes=(index, *table.indexes))
    return replace(table, indexes=(*table.indexes, index))


def _parent_key(
    builder: Builder, table: Table, made: ConstraintDef
) -> tuple[Table, tuple[str, ...], Index]:
    """The parent, its columns referred to, the unique key they are."""
    assert made.parent is not None
    own = (
        made.parent.parts[-1] == table.name
        and (made.parent.parts[-2] if len(made.parent.parts) > 1 else builder.schema)
        == table.schema
    )
    parent = table if own else builder.table(made.parent)
    if not own:
        builder.need_object("REFERENCES", parent, made.parent.position)
    refuse_view(parent, "a foreign key to", made.parent)
    refuse_temporary(parent, "a foreign key to", made.parent.position)
    columns = made.parent_columns or parent.primary_key
    if not columns:
        message = f'table "{shown(parent.name)}" has no primary key to refer to'
        raise DefinitionError(message, position=made.position)
    need_columns(parent, columns, made.position)
    for index in parent.indexes:
        if index.unique and set(index.columns) == set(columns):
            return parent, columns, index
    listed = ", ".join(shown(c) for c in columns)
    raise DefinitionError(
        f'no primary key or unique constraint of "{shown(parent.name)}" has the columns ({listed})',
        position=made.position,
    )


def _comparable(child: SqlType, parent: SqlType) -> bool:
    """Do equal values of both types have equal storage values?"""
    if storage_class(child) != storage_class(parent):
        return False
    child_scale = child.scale if child.is_scaled else 0
    parent_scale = parent.scale if parent.is_scaled else 0
    if child_scale != parent_scale:
        return False
    moments = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TT_DATE, Kind.TT_TIMESTAMP})
    return (child.kind in moments) == (parent.kind in moments)


def add_foreign_key(builder: Builder, table: Table, made: ConstraintDef, names: Names) -> Table:
    """FOREIGN KEY with an index on its columns, unless one begins with them already."""
    columns = need_columns(table, made.columns, made.position)
    parent, parent_columns, key = _parent_key(builder, table, made)
    if len(parent_columns) != len(columns):
        message = "a foreign key has as many columns as the key it refers to"
        raise DefinitionError(message, position=made.position)
    for column, parent_name in zip(columns, parent_columns, strict=True):
        parent_column = parent.column(parent_name)
        assert parent_column is not None
        if not _comparable(column.type, parent_column.type):
            raise TypeMismatchError(
                f'foreign key column "{shown(column.name)}" is {type_text(column.type)}, '
                f'"{shown(parent_name)}" is {type_text(parent_column.type)}',
                position=made.position,
            )
        if made.on_delete == "set null" and not column.nullable:
            message = f'ON DELETE SET NULL, but column "{shown(column.name)}" is NOT NULL'
            raise DefinitionError(message, position=made.position)
    name = names.take(builder, table, made)
    foreign_key = ForeignKey(
        builder.new_id(), name, made.columns, parent.id, parent_columns, made.on_delete, key.id
    )
    return replace(table, foreign_keys=(*table.foreign_keys, foreign_key))


def foreign_key_index(builder: Builder, table: Table, foreign_key: ForeignKey) -> Index | None:
    """The index by which deleting a parent finds its children; None: there is one."""
    wanted = set(foreign_key.columns)
    for index in table.indexes:
        if set(index.columns[: len(wanted)]) == wanted:
            return None
    name = foreign_key.name
    if not builder.free(table.schema, name) or any(i.name == name for i in table.indexes):
        taken = {i.name for i in table.indexes}
        name = builder.made_up_name(table.schema, name, "IDX", taken)
    return Index(builder.new_id(), name, foreign_key.columns, constraint=True)


def add_check(builder: Builder, table: Table, made: ConstraintDef, names: Names) -> Table:
    """CHECK, compiled to what an element evaluates."""
    try:
        compiled = builder.hooks.compile_check(table, made.check_sql)
    except GridError as error:
        error.position = made.position
        raise
    name = names.take(builder, table, made)
    check = Check(name, made.check_sql, compiled, builder.new_id())
    return replace(table, checks=(*table.checks, check))


# -- placement -------------------------------------------------------------------------------------
def place(table: Table, wanted: DistributionDef | None, builder: Builder) -> Table:
    """The table with its distribution. Raises 1066, 1068, DefinitionError, UnknownColumnError."""
    if wanted is None or wanted.kind is Distribution.HASH:
        columns = wanted.columns if wanted else ()
        if columns:
            assert wanted is not None
            need_columns(table, columns, wanted.position)
        key = columns or (() if table.row_key else table.primary_key)
        return replace(
            table, distribution=Distribution.HASH, distribution_key=key, reference_key=""
        )
    if wanted.kind is Distribution.DUPLICATE:
        return replace(
            table, distribution=Distribution.DUPLICATE, distribution_key=(), reference_key=""
        )
    return _place_by_reference(table, wanted, builder)


def _place_by_reference(table: Table, wanted: DistributionDef, builder: Builder) -> Table:
    position = wanted.position
    keys = table.foreign_keys
    if wanted.reference:
        found = next((k for k in keys if k.name == wanted.reference), None)
        if found is None:
            message = f'foreign key "{shown(wanted.reference)}" does not exist'
            raise UnknownObjectError(message, position=position)
    elif len(keys) == 1:
        found = keys[0]
    else:
        message = "DISTRIBUTE BY REFERENCE needs the name of one of several foreign keys"
        if not keys:
            message = "DISTRIBUTE BY REFERENCE needs a foreign key"
        raise DefinitionError(message, position=position)
    if found.parent_id == table.id:
        message = "DISTRIBUTE BY REFERENCE cannot follow a reference of the table to itself"
        raise DefinitionError(message, position=position)
    parent = builder.catalog.table_by_id(found.parent_id)
    if parent.distribution is Distribution.DUPLICATE:
        raise ReferenceParentDuplicateError(
            f'parent table "{shown(parent.name)}" of a table distributed by reference '
            "must be distributed by hash or by reference",
            position=position,
        )
    check_reference(parent, found, position)
    for name in found.columns:
        column = table.column(name)
        assert column is not None
        if column.nullable:
            raise ReferenceNullableError(
                f'column "{shown(name)}" of the foreign key followed by '
                "DISTRIBUTE BY REFERENCE must be NOT NULL",
                position=position,
            )
    return replace(
        table, distribution=Distribution.REFERENCE, distribution_key=(), reference_key=found.name
    )


def check_reference(parent: Table, link: ForeignKey, position: int) -> None:
    """Raises ReferenceParentKeyError if the foreign key does not say where the parent row is."""
    key = parent.distribution_key
    if parent.distribution is Distribution.HASH and not (
        key and set(key) <= set(link.parent_columns)
    ):
        listed = ", ".join(shown(c) for c in key) or "a hidden column"
        raise ReferenceParentKeyError(
            f'the key of "{shown(parent.name)}" that foreign key "{shown(link.name)}" refers to '
            f"must include its distribution key ({listed})",
            position=position,
        )


def with_global_indexes(table: Table) -> Table:
    """The unique keys marked global where placement does not keep equal keys together."""
    indexes = tuple(
        replace(i, is_global=i.is_global or needs_global(table, i.columns)) if i.unique else i
        for i in table.indexes
    )
    if table.distribution is Distribution.DUPLICATE:
        indexes = tuple(replace(i, is_global=False) for i in indexes)
    return replace(table, indexes=indexes)


# -- CREATE TABLE ----------------------------------------------------------------------------------
def plan_create_table(builder: Builder, statement: CreateTableStatement) -> None:
    """CREATE TABLE."""
    schema, name = builder.new_name(statement.name)
    builder.need("CREATE TABLE", schema, statement.name.position)
    if statement.if_not_exists and not builder.free(schema, name):
        message = f'relation "{shown(name)}" already exists, skipping'
        builder.notice(message, sqlstate="42P07")
        return
    builder.must_be_free(schema, name, statement.name.position)
    definitions = statement.columns
    if statement.query:
        definitions = _columns_of_query(builder, statement)
    if len(definitions) > COLUMNS_MAX:
        message = f"a table has at most {COLUMNS_MAX} columns"
        raise DefinitionError(message, position=statement.name.position)
    columns: list[Column] = []
    for definition in definitions:
        if any(c.name == definition.name for c in columns):
            message = f'column "{shown(definition.name)}" specified more than once'
            raise DefinitionError(message, position=definition.position)
        columns.append(make_column(builder, definition))
    if statement.temporary:
        from data.sql.ddl_temporary import temporary_table  # which builds on this module

        builder.put(temporary_table(builder, schema, name, tuple(columns), statement))
        if statement.query and statement.with_data:
            builder.fill = f"INSERT INTO {sql_name(schema, name)} {statement.query}"
        return
    table = Table(builder.new_id(), schema, name, tuple(columns), Distribution.HASH)
    table = add_identities(builder, table, definitions)
    table = _add_constraints(builder, table, statement)
    builder.put(table)
    builder.act(CreateTable(table))
    if statement.query and statement.with_data:
        builder.fill = f"INSERT INTO {sql_name(schema, name)} {statement.query}"


def _add_constraints(builder: Builder, table: Table, statement: CreateTableStatement) -> Table:
    names = Names()
    named_first = sorted(statement.constraints, key=lambda c: not c.name)
    for made in named_first:  # so that no made-up name takes one given further on
        if made.kind in ("primary", "unique"):
            table = add_key(builder, table, made, names)
    table = replace(table, row_key=not table.primary_key)
    for made in named_first:
        if made.kind == "foreign":
            table = add_foreign_key(builder, table, made, names)
        elif made.kind == "check":
            table = add_check(builder, table, made, names)
    if statement.hash_columns:
        table = _hash_on(table, statement)
    table = with_global_indexes(place(table, statement.distribution, builder))
    for foreign_key in table.foreign_keys:
        index = foreign_key_index(builder, table, foreign_key)
        if index is not None:
            table = replace(table, indexes=(*table.indexes, index))
    for made in statement.constraints:
        if made.is_global and table.distribution is not Distribution.DUPLICATE:
            indexes = tuple(
                replace(i, is_global=True) if i.unique and i.columns == made.columns else i
                for i in table.indexes
            )
            table = replace(table, indexes=indexes)
    return table


def _hash_on(table: Table, statement: CreateTableStatement) -> Table:
    """UNIQUE HASH ON (…) PAGES = n: the primary key as a hash index."""
    if set(statement.hash_columns) != set(table.primary_key):
        message = "UNIQUE HASH ON needs exactly the columns of the primary key"
        raise DefinitionError(message, position=statement.name.position)
    indexes = tuple(replace(i, hash=True) if i.primary else i for i in table.indexes)
    return replace(table, indexes=indexes)


def stored_type(sql_type: SqlType) -> SqlType:
    """The type of a column that takes an expression of that type."""
    if sql_type.kind is Kind.UNKNOWN:
        return SqlType(Kind.VARCHAR)
    if sql_type.kind is Kind.NUMBER and not sql_type.precision:
        return SqlType(Kind.NUMBER, 0, ANY_SCALE)
    return sql_type


def _columns_of_query(builder: Builder, statement: CreateTableStatement) -> tuple[ColumnDef, ...]:
    """CREATE TABLE … AS SELECT: types come from the query, names may be given."""
    try:
        found, _used = builder.hooks.describe_query(
            statement.query, builder.schema, builder.user, builder.catalog
        )
    except GridError as error:
        error.position += (statement.query_position - 1) if error.position else 0
        raise
    given = statement.columns
    if given and len(given) != len(found):
        message = "as many columns are needed as the query gives"
        raise DefinitionError(message, position=statement.name.position)
    if any(column.type is not None for column in given):
        message = "columns of CREATE TABLE … AS SELECT take their types from the query"
        raise DefinitionError(message, position=statement.name.position)
    made = []
    for number, column in enumerate(found):
        sql_type = stored_type(column.type)
        if given:
            own = given[number]
            nullable = own.nullable and column.nullable
            made.append(dataclass_replace(own, type=sql_type, nullable=nullable))
        else:
            made.append(ColumnDef(column.name, sql_type, column.nullable))
    return tuple(made)


# -- CREATE INDEX ----------------------------------------------------------------------------------
def plan_create_index(builder: Builder, statement: CreateIndexStatement) -> None:
    """CREATE [GLOBAL] [UNIQUE] INDEX."""
    table = builder.table(statement.table)
    if builder.user != table.schema and not builder.catalog.has_privilege(
        builder.user, table, "INDEX"
    ):
        builder.need("CREATE INDEX", table.schema, statement.table.position)
    position = statement.table.position
    need_columns(table, statement.columns, position)
    if statement.include:
        need_columns(table, statement.include, position)
    if statement.name is None:
        base = "_".join((table.name, *statement.columns))
        name = builder.made_up_name(table.schema, base, "IDX", set())
    else:
        name, position = statement.name.parts[-1], statement.name.position
        check_name(name, position)
        if statement.if_not_exists and not builder.free(table.schema, name):
            message = f'relation "{shown(name)}" already exists, skipping'
            builder.notice(message, sqlstate="42P07")
            return
        builder.must_be_free(table.schema, name, position)
    if statement.is_global and table.temporary:
        raise DefinitionError("a temporary table takes no global index", position=position)
    if statement.is_global and table.distribution is Distribution.DUPLICATE:
        message = f'a DUPLICATE table like "{shown(table.name)}" takes no global index'
        raise DefinitionError(message, position=position)
    index = Index(
        builder.new_id(),
        name,
        statement.columns,
        unique=statement.unique,
        is_global=bool(statement.is_global)
        or (statement.unique and needs_global(table, statement.columns)),
        descending=statement.descending if any(statement.descending) else (),
        include=statement.include if statement.is_global else (),
        hash=statement.hash,
    )
    after = replace(table, indexes=(*table.indexes, index))
    build_index(builder, after, index)
    builder.put(after)


def build_index(builder: Builder, table: Table, index: Index) -> None:
    """What an index on a filled table takes. `table` holds `index` already."""
    if table.temporary:
        return  # sessions make it when they use the table next
    builder.lock(table.id)
    if index.unique:
        check_unique(builder, table, index)
    builder.act(CreateIndex(table, index))
    if index.is_global:
        fresh = [
            c for c in new_columns(builder, table) if c.name in (*index.columns, *index.include)
        ]
        if any(column.default_sql for column in fresh):
            raise NotSupportedError(
                "a column with a DEFAULT and a global index on it in one statement",
                hint="add the column first, then the constraint",
            )
        if not fresh:  # of a column without values there are no entries
            builder.backfills.append(backfill(table, index))


def new_columns(builder: Builder, table: Table) -> list[Column]:
    """Columns that the statement itself adds: no element has them while its checks run."""
    before = builder.before.by_id.get(table.id)
    if not isinstance(before, Table):
        return []
    return [c for c in table.columns if before.column(c.name) is None]


def rows_of(builder: Builder, table: Table) -> str:
    """What a check reads: the table, with the columns that the statement adds."""
    name = sql_name(table.schema, table.name)
    fresh = new_columns(builder, table)
    if not fresh:
        return name
    items = ", ".join(
        f"CAST({c.default_sql or 'NULL'} AS {type_text(c.type)}) AS {sql_name(c.name)}"
        for c in fresh
    )
    return f"(SELECT t.*, {items} FROM {name} t)"


def check_unique(builder: Builder, table: Table, index: Index) -> None:
    """Adds the check that no key stands twice, so that the error is a clear one."""
    columns = ", ".join(sql_name(c) for c in index.columns)
    not_null = " AND ".join(f"{sql_name(c)} IS NOT NULL" for c in index.columns)
    builder.check(
        f"SELECT {columns} FROM {rows_of(builder, table)} WHERE {not_null} "
        f"GROUP BY {columns} HAVING COUNT(*) > 1 FETCH FIRST 1 ROWS ONLY",
        UniqueViolationError(
            f'could not create unique index "{shown(index.name)}"',
            detail="a key value stands in several rows",
        ).about(names_of(table, constraint=index.name)),
    )


def backfill(table: Table, index: Index) -> Backfill:
    """The rows of a new global index."""
    target = global_index_table(table, index)
    key = [c for c in index.columns if c not in key_columns(table)]
    columns = [quoted(BUCKET) if c.name == "_TARGET" else quoted(c.name) for c in target.columns]
    where = " AND ".join(f"{quoted(c)} IS NOT NULL" for c in key) or "1"
    source = f"SELECT {', '.join(columns)} FROM {quoted(table_name(table))} WHERE {where}"
    return Backfill(target, index, source)


def check_references(builder: Builder, table: Table, foreign_key: ForeignKey) -> None:
    """Adds the check that every child has its parent, for a foreign key on a filled table."""
    parent = table
    if foreign_key.parent_id != table.id:
        parent = builder.catalog.table_by_id(foreign_key.parent_id)
    not_null = " AND ".join(f"c.{sql_name(c)} IS NOT NULL" for c in foreign_key.columns)
    equal = " AND ".join(
        f"p.{sql_name(theirs)} = c.{sql_name(ours)}"
        for ours, theirs in zip(foreign_key.columns, foreign_key.parent_columns, strict=True)
    )
    builder.lock(table.id)
    builder.lock(parent.id)
    builder.check(
        f"SELECT 1 FROM {rows_of(builder, table)} c WHERE {not_null} AND NOT EXISTS "
        f"(SELECT 1 FROM {sql_name(parent.schema, parent.name)} p WHERE {equal}) "
        "FETCH FIRST 1 ROWS ONLY",
        ForeignKeyError(
            f'rows of "{shown(table.name)}" violate foreign key "{shown(foreign_key.name)}"',
            detail=f'they have no parent in "{shown(parent.name)}"',
        ).about(names_of(table, constraint=foreign_key.name)),
    )
