"""SQLite's errors as ours, in the words of the catalog. Nothing here touches a connection."""

from __future__ import annotations

import datetime
import itertools
from decimal import Decimal

import apsw

from data.catalog.catalog import Catalog, names_of
from data.catalog.element_ddl import column_positions, element_tables, table_name
from data.catalog.objects import Index, Table
from protocol.errors import (
    CancelledError,
    CheckViolationError,
    CorruptElementError,
    DiskFullError,
    GridError,
    InternalError,
    NotNullError,
    OutOfPermSizeError,
    TooComplexError,
    TooLargeError,
    TransientError,
    TypeMismatchError,
    UniqueViolationError,
)
from protocol.sqltypes import MICROSECOND_KINDS, SqlType, StorageRow, StorageValue

_EPOCH = datetime.datetime(1970, 1, 1)
_INDEX_TABLE = "GI."
_UNIQUE = "UNIQUE constraint failed: "
_NOT_NULL = "NOT NULL constraint failed: "
_LIMITS = (
    "too many ", "at most ", "variable number must be", "Expression tree is too large",
    "parser stack overflow",
)  # fmt: skip
_CHECK = "CHECK constraint failed: "


def grid_error(error: BaseException) -> GridError:
    """What an apsw error means, as far as it can be said without the catalog."""
    text = str(error)
    match error:
        case GridError():
            return error
        case apsw.InterruptError():
            return CancelledError("canceling statement due to user request")
        case apsw.FullError():
            return DiskFullError("the file system of the element is full")
        case apsw.CorruptError() | apsw.NotADBError():
            return CorruptElementError(f"the element's file is damaged: {text}")
        case apsw.IOError():
            return DiskFullError(
                f"input/output error on the element's file: {text}",
                hint="Look at the file system and the kernel's log.",
            )
        case apsw.TooBigError():
            return TooLargeError(f"a value or row is too large: {text}")
        case apsw.MismatchError():
            return TypeMismatchError(text)
        case apsw.BusyError() | apsw.LockedError():
            return TransientError(f"the element is busy: {text}")
        case apsw.ConstraintError() if text.startswith("cannot store "):
            return TypeMismatchError(text)
        case apsw.SQLError() if text.startswith(_LIMITS):
            return TooComplexError(
                f"the statement is too large: {text}",
                hint="Split it, or keep intermediate results in a table.",
            )
    return InternalError(f"{type(error).__name__}: {text}")


def out_of_perm_size(database: str, perm_size_mb: int) -> OutOfPermSizeError:
    """The element is full."""
    return OutOfPermSizeError(
        f"database {database} is out of space: PermSize is {perm_size_mb} MB",
        hint="Delete rows, or raise PermSize with ttGridAdmin dbdefModify, or add replica sets.",
    )


def statement_error(
    error: BaseException, catalog: Catalog, table: str = "", row: StorageRow | None = None
) -> GridError:
    """What an error of a statement means to the user. `row`: the one that failed, if known."""
    if not isinstance(error, apsw.ConstraintError):
        return grid_error(error)
    text = str(error)
    if text.startswith(_UNIQUE):
        return _unique_violation(text[len(_UNIQUE) :], catalog, row)
    if text.startswith(_NOT_NULL):
        found = _split_column(text[len(_NOT_NULL) :], catalog)
        if found is None:
            return NotNullError(f"NULL is not allowed in {text[len(_NOT_NULL) :]}")
        return not_null_error(*found)
    if text.startswith(_CHECK):
        return _check_violation(text[len(_CHECK) :], catalog, table)
    return grid_error(error)


def not_null_error(table: Table, column: str) -> NotNullError:
    """NULL for a column that does not take it."""
    error = NotNullError(
        f"column {column} of table {table.schema}.{table.name} does not allow NULL"
    )
    return error.about(names_of(table, column=column))


def _unique_violation(
    columns_text: str, catalog: Catalog, row: StorageRow | None
) -> UniqueViolationError:
    """`columns_text`: SQLite's "table.column, table.column"."""
    columns: list[str] = []
    stored: Table | None = None
    for part in columns_text.split(", "):
        found = _split_column(part, catalog)
        if found is not None:
            stored = found[0]
            columns.append(found[1])
    if stored is None:
        return UniqueViolationError(f"unique constraint violated: {columns_text}")
    owner, index = _key_of(stored, tuple(columns), catalog)
    name = index.name if index is not None else "the row key"
    key = ", ".join(columns)
    values = ""
    if row is not None:
        values = (
            "=("
            + ", ".join(
                shown_value(row[at], _type_of(stored, column))
                for at, column in zip(
                    column_positions(stored, tuple(columns)), columns, strict=True
                )
            )
            + ")"
        )
    error = UniqueViolationError(
        f"unique constraint ({owner.schema}.{name}) violated",
        detail=f"Key ({key}){values} already exists in table {owner.schema}.{owner.name}.",
    )
    return error.about(names_of(owner, constraint=index.name if index is not None else ""))


def _key_of(
    stored: Table, columns: tuple[str, ...], catalog: Catalog
) -> tuple[Table, Index | None]:
    """The user's table and the key whose entry was there already."""
    if table_name(stored).startswith(_INDEX_TABLE):
        owner = catalog.table_of_index(stored.id)
        if owner is not None:
            return owner, next(i for i in owner.indexes if i.id == stored.id)
    for index in stored.indexes:
        if index.unique and index.columns == columns:
            return stored, index
    return stored, None


def _split_column(text: str, catalog: Catalog) -> tuple[Table, str] | None:
    """SQLite's "SCHEMA.TABLE.COLUMN" taken apart; names may hold dots themselves."""
    temporary = (table for table in catalog.tables() if table.temporary)
    for table in itertools.chain(element_tables(catalog), temporary):
        prefix = table_name(table) + "."
        if text.startswith(prefix):
            column = text[len(prefix) :]
            if table.column(column) is not None or column.startswith("_"):
                return table, column
    return None


def _check_violation(name: str, catalog: Catalog, table: str) -> CheckViolationError:
    owners = [
        t
        for t in catalog.tables()
        if any(check.name == name for check in t.checks) and table in ("", table_name(t))
    ]
    if len(owners) == 1:
        error = CheckViolationError(
            f"check constraint ({owners[0].schema}.{name}) violated",
            detail=f"Table {owners[0].schema}.{owners[0].name}.",
        )
        return error.about(names_of(owners[0], constraint=name))
    return CheckViolationError(f"check constraint ({name}) violated")


def _type_of(table: Table, column: str) -> SqlType | None:
    found = table.column(column)
    return found.type if found is not None else None


def shown_value(value: StorageValue, sql_type: SqlType | None) -> str:
    """A storage value as a user would write it, for messages."""
    if value is None:
        return "NULL"
    if sql_type is not None and isinstance(value, int):
        if sql_type.is_scaled and sql_type.scale > 0:
            return str(Decimal(value).scaleb(-sql_type.scale))
        if sql_type.kind in MICROSECOND_KINDS:
            return str(_EPOCH + datetime.timedelta(microseconds=value))
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value)
