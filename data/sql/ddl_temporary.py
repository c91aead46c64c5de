"""CREATE GLOBAL TEMPORARY TABLE: a definition for everybody, rows for each session alone. Pure.

Elements hold nothing of such a table: its rows are with the session (data/storage/temporary.py).
"""

from __future__ import annotations

from msgspec.structs import replace

from data.catalog.objects import Column, Distribution, Table
from data.sql.ddl_ast import CreateTableStatement
from data.sql.ddl_build import Builder
from data.sql.ddl_lexer import Cursor
from data.sql.ddl_tables import Names, add_check, add_key
from protocol.errors import DefinitionError, NotSupportedError


def take_temporary(cursor: Cursor) -> bool:
    """GLOBAL TEMPORARY, before TABLE. Raises NotSupportedError for tables of one session."""
    at = cursor.position
    if cursor.take_word("GLOBAL", "TEMPORARY"):
        return True
    local = cursor.take_word("LOCAL")
    if cursor.take_any("TEMPORARY", "TEMP"):
        kind = cursor.token.value
        raise NotSupportedError(
            f"CREATE TEMPORARY {kind} is not supported",
            hint="CREATE GLOBAL TEMPORARY TABLE makes a table whose rows are private to each "
            "session; it is made once, for all of them.",
            position=at,
        )
    if local:
        cursor.at -= 1
    return False


def temporary_table(
    builder: Builder,
    schema: str,
    name: str,
    columns: tuple[Column, ...],
    statement: CreateTableStatement,
) -> Table:
    """The table. Raises DefinitionError for a distribution clause."""
    if statement.distribution is not None:
        raise DefinitionError(
            "a temporary table takes no distribution clause",
            hint="its rows are with the session that inserts them",
            position=statement.distribution.position,
        )
    table = Table(
        builder.new_id(),
        schema,
        name,
        columns,
        Distribution.DUPLICATE,
        temporary=True,
        on_commit=statement.on_commit or "delete",
    )
    names = Names()
    for made in sorted(statement.constraints, key=lambda c: not c.name):
        if made.kind == "foreign":
            message = "foreign keys of temporary tables are not supported"
            raise NotSupportedError(message, position=made.position)
        if made.is_global:
            message = "a temporary table takes no global index"
            raise DefinitionError(message, position=made.position)
        if made.kind == "check":
            continue
        table = add_key(builder, table, made, names)
    table = replace(table, row_key=not table.primary_key)
    for made in statement.constraints:
        if made.kind == "check":
            table = add_check(builder, table, made, names)
    return table
