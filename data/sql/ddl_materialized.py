"""CREATE MATERIALIZED VIEW: a second table of the same rows, distributed by other columns. Pure.

As in TimesTen Scaleout it shows one table distributed by hash and is kept up by every change of
that table in the same transaction (data/catalog/materialized.py); here are its clauses and what it
refuses.
"""

from __future__ import annotations

from msgspec.structs import replace

from data.catalog.catalog import CreateTable, shown
from data.catalog.materialized import row_key_of, rows_of_view
from data.catalog.objects import Column, Distribution, Index, Materialized, Table
from data.sql.ddl_ast import CreateMaterializedStatement
from data.sql.ddl_build import Builder, Refill
from data.sql.ddl_lexer import Cursor, TokenKind
from data.sql.ddl_table_parse import parse_distribution, parse_name
from data.sql.ddl_tables import COLUMNS_MAX, need_columns, place, with_global_indexes
from protocol.errors import (
    DefinitionError,
    GridError,
    NotSupportedError,
)


# -- parsing ---------------------------------------------------------------------------------------
def parse_materialized(cursor: Cursor) -> CreateMaterializedStatement:
    """After CREATE MATERIALIZED VIEW."""
    at = cursor.position
    if cursor.take_word("LOG"):
        raise NotSupportedError(
            "CREATE MATERIALIZED VIEW LOG is not supported",
            hint="materialized views are always kept up in the transaction of the change",
            position=at,
        )
    name = parse_name(cursor)
    columns = cursor.names_in_parens() if cursor.at_op("(") else ()
    distribution = None
    while not cursor.take_word("AS"):
        at = cursor.position
        found = parse_distribution(cursor)
        if found is not None:
            distribution = found
        elif cursor.take_word("REFRESH"):
            if not (cursor.take_word("FAST") and cursor.take_word("ON", "COMMIT")):
                raise NotSupportedError(
                    "REFRESH of a materialized view is not supported",
                    hint="it is always kept up in the transaction of the change",
                    position=at,
                )
        else:
            raise cursor.error("DISTRIBUTE BY HASH or AS")
    position = cursor.position
    query, primary_key, hash_columns = _query_and_keys(cursor)
    return CreateMaterializedStatement(
        name, columns, query, position, distribution, primary_key, hash_columns
    )


def _query_and_keys(cursor: Cursor) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The query, and what stands behind it: [PRIMARY KEY (…)] [UNIQUE HASH ON (…) PAGES = n]."""
    start, depth = cursor.at, 0
    while cursor.token.kind is not TokenKind.END:
        if not depth and (
            cursor.at_word("PRIMARY", "KEY")
            or cursor.at_word("UNIQUE", "HASH", "ON")
            or cursor.at_word("WITH", "DATA")
            or cursor.at_word("WITH", "NO", "DATA")
            or cursor.at_op(";")
        ):
            break
        if cursor.token.kind is TokenKind.OP:
            depth += {"(": 1, ")": -1}.get(cursor.token.value, 0)
        cursor.next()
    query = cursor.slice_from(start)
    if not query:
        raise cursor.error("a query")
    if cursor.at_word("WITH", "NO", "DATA"):
        raise NotSupportedError(
            "WITH NO DATA: a materialized view always has its rows", position=cursor.position
        )
    cursor.take_word("WITH", "DATA")
    primary_key = cursor.names_in_parens() if cursor.take_word("PRIMARY", "KEY") else ()
    hash_columns: tuple[str, ...] = ()
    if cursor.take_word("UNIQUE", "HASH", "ON"):
        hash_columns = cursor.names_in_parens()
        cursor.need_word("PAGES")
        cursor.need_op("=")
        if not cursor.take_word("CURRENT"):
            cursor.integer()
    return query, primary_key, hash_columns


# -- planning --------------------------------------------------------------------------------------
def plan_create_materialized(builder: Builder, statement: CreateMaterializedStatement) -> None:
    """CREATE MATERIALIZED VIEW."""
    position = statement.name.position
    schema, name = builder.new_name(statement.name)
    builder.need("CREATE MATERIALIZED VIEW", schema, position)
    builder.must_be_free(schema, name, position)
    wanted = statement.distribution
    if wanted is None or wanted.kind is not Distribution.HASH or not wanted.columns:
        raise DefinitionError(
            "a materialized view needs the clause DISTRIBUTE BY HASH (columns)",
            hint="BY REFERENCE and DUPLICATE are not possible",
            position=wanted.position if wanted is not None else position,
        )
    detail, columns, made = _shape(builder, statement)
    view = Table(
        builder.new_id(), schema, name, columns, Distribution.HASH, materialized=made
    )  # fmt: skip
    view = place(replace(view, row_key=True), wanted, builder)
    for column in wanted.columns:
        if not _shows(view, column):
            raise NotSupportedError(
                f'"{shown(column)}" is an expression: a materialized view is distributed by '
                "columns of its table",
                position=wanted.position,
            )
    view = _with_key(builder, view, detail, statement)
    builder.lock(detail.id)
    builder.put(view)
    builder.act(CreateTable(view))
    builder.refill(Refill(view, rows_of_view(view, detail)))


def _shape(
    builder: Builder, statement: CreateMaterializedStatement
) -> tuple[Table, tuple[Column, ...], Materialized]:
    try:
        detail, found, made = builder.hooks.describe_materialized(
            statement.query, builder.schema, builder.user, builder.catalog
        )
    except GridError as error:
        error.position += statement.query_position - 1 if error.position else 0
        raise
    position = statement.query_position
    if detail.system or detail.temporary:
        raise DefinitionError("a materialized view shows a table of users", position=position)
    if detail.materialized is not None:
        raise NotSupportedError("a materialized view of a materialized view", position=position)
    if detail.distribution is not Distribution.HASH:
        raise DefinitionError(
            f'table "{shown(detail.name)}" of a materialized view must be distributed by hash',
            position=position,
        )
    columns = found
    if statement.columns:
        if len(statement.columns) != len(columns):
            message = "a materialized view has as many columns as its query"
            raise DefinitionError(message, position=statement.name.position)
        named = zip(statement.columns, columns, strict=True)
        columns = tuple(replace(c, name=n) for n, c in named)
    if len({c.name for c in columns}) < len(columns):
        message = "a column name stands twice in the materialized view"
        raise DefinitionError(message, hint="name its columns", position=statement.name.position)
    if len(columns) > COLUMNS_MAX:
        message = f"a materialized view has at most {COLUMNS_MAX} columns"
        raise DefinitionError(message, position=statement.name.position)
    return detail, columns, made


def _shows(view: Table, column: str) -> str:
    """The detail table's column that a column of the view is; "" for an expression."""
    assert view.materialized is not None
    names = [c.name for c in view.columns]
    return view.materialized.columns[names.index(column)]


def _with_key(
    builder: Builder, view: Table, detail: Table, statement: CreateMaterializedStatement
) -> Table:
    """By what a row of the view is found again: its PRIMARY KEY, else what the detail's row has."""
    position = statement.name.position
    assert view.materialized is not None
    key = statement.primary_key or statement.hash_columns
    if statement.hash_columns and set(statement.hash_columns) != set(key):
        message = "UNIQUE HASH ON needs exactly the columns of the primary key"
        raise DefinitionError(message, position=position)
    if key:
        need_columns(view, key, position)
        for name in key:
            shows = detail.column(_shows(view, name))
            if shows is None or shows.nullable:
                raise DefinitionError(
                    f'column "{shown(name)}" of the primary key of a materialized view must be a '
                    "NOT NULL column of its table",
                    position=position,
                )
        index = Index(
            builder.new_id(),
            builder.made_up_name(view.schema, view.name, "PKEY", set()),
            key,
            unique=True,
            primary=True,
            constraint=True,
            hash=bool(statement.hash_columns),
        )
        columns = tuple(replace(c, nullable=c.nullable and c.name not in key) for c in view.columns)
        return with_global_indexes(replace(view, columns=columns, row_key=False, indexes=(index,)))
    if row_key_of(detail):
        return view
    at = {shows: c.name for shows, c in zip(view.materialized.columns, view.columns, strict=True)}
    if not all(name in at for name in detail.primary_key):
        listed = ", ".join(shown(name) for name in detail.primary_key)
        raise NotSupportedError(
            f"a materialized view selects the primary key ({listed}) of its table",
            hint="add its columns to the SELECT, or give the view a PRIMARY KEY",
            position=statement.query_position,
        )
    # unique because the detail's key is: no global index has to watch over it
    key = tuple(at[name] for name in detail.primary_key)
    name = builder.made_up_name(view.schema, view.name, "PKEY", set())
    index = Index(builder.new_id(), name, key, unique=True, primary=True, constraint=True)
    columns = tuple(replace(c, nullable=c.nullable and c.name not in key) for c in view.columns)
    return replace(view, columns=columns, row_key=False, indexes=(index,))
