"""Tables, columns, keys, indexes, sequences, users as frozen values: the content of the catalog.

Pure.

Names are stored folded (upper case unless they were quoted). Object ids are unique in a database
and never reused; an element's SQLite objects are named by data/catalog/element_ddl.py.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from protocol.sqltypes import SqlType


class Distribution(Enum):
    """How a table's rows are placed."""

    HASH = "hash"
    REFERENCE = "reference"
    DUPLICATE = "duplicate"


class Column(msgspec.Struct, frozen=True):
    """One column. `default_sql`: the DEFAULT expression as text in our dialect, "" for none."""

    name: str
    type: SqlType
    nullable: bool = True
    default_sql: str = ""
    inline: bool = True
    comment: str = ""
    identity: str = ""  # GENERATED "always" or by "default" AS IDENTITY
    sequence_id: int = 0  # whose values an identity column takes


class Index(msgspec.Struct, frozen=True):
    """An index, a primary key or a unique constraint.

    `is_global`: kept as a hidden hash-distributed table key → bucket (design §7); unique keys that
    do not fix the row's bucket are global by themselves.
    """

    id: int
    name: str
    columns: tuple[str, ...]
    unique: bool = False
    primary: bool = False
    constraint: bool = False  # made by PRIMARY KEY / UNIQUE, goes away only with the constraint
    is_global: bool = False
    descending: tuple[bool, ...] = ()
    include: tuple[str, ...] = ()
    hash: bool = False  # UNIQUE HASH ON / CREATE HASH INDEX: kept for DESCRIBE, stored as any other
    comment: str = ""  # of the constraint


class ForeignKey(msgspec.Struct, frozen=True):
    """`columns` of the child refer to `parent_columns` (a key) of table `parent_id`."""

    id: int
    name: str
    columns: tuple[str, ...]
    parent_id: int
    parent_columns: tuple[str, ...]
    on_delete: str = "restrict"  # "restrict" | "cascade" | "set null"
    parent_index_id: int = 0  # the parent's key that is referred to
    comment: str = ""


class Check(msgspec.Struct, frozen=True):
    """A CHECK constraint; `sql`: condition in our dialect, `sqlite_sql`: as elements check it."""

    name: str
    sql: str
    sqlite_sql: str = ""
    id: int = 0
    comment: str = ""


class Materialized(msgspec.Struct, frozen=True):
    """What makes a table a materialized view (data/catalog/materialized.py).

    `columns`: for each column of the view the detail table's column it shows, "" for an expression;
    `items` and `where`: SQLite text over the detail's columns.
    """

    detail_id: int
    sql: str  # the query, in our dialect
    columns: tuple[str, ...]
    items: tuple[str, ...]
    where: str = ""


class Table(msgspec.Struct, frozen=True):
    """A table. `schema` is its owner.

    `distribution_key`: HASH: the columns hashed (empty: the hidden row key `_ROWKEY`).
    `reference_key`: REFERENCE: the name of the foreign key followed.
    `primary_key` columns are empty for a table without one. A table that got its primary key by
    ALTER TABLE still has `row_key`: its rows stay where the hidden key put them.
    """

    id: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    distribution: Distribution
    distribution_key: tuple[str, ...] = ()
    reference_key: str = ""
    row_key: bool = False  # made without primary key: rows have the hidden key `_ROWKEY`, for ever
    indexes: tuple[Index, ...] = ()  # the primary key is one of them
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    comment: str = ""
    temporary: bool = False
    system: bool = False  # ours, hidden from users
    materialized: Materialized | None = None  # a materialized view: only its detail changes it
    on_commit: str = ""  # of a temporary table: "delete" or "preserve" rows

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Column names of the primary key, () without one."""
        return next((i.columns for i in self.indexes if i.primary), ())

    @property
    def reference(self) -> ForeignKey | None:
        """The foreign key a REFERENCE table's rows follow."""
        return next((f for f in self.foreign_keys if f.name == self.reference_key), None)

    def column(self, name: str) -> Column | None:
        """The column of that (folded) name."""
        return next((c for c in self.columns if c.name == name), None)


class ColumnStats(msgspec.Struct, frozen=True):
    """Of one column: different values (estimated over replica sets), share of NULL, the extremes.

    `low` and `high` are storage values, texts cut; None: no value, or not kept.
    """

    name: str
    distinct: int
    null_share: float
    low: int | float | str | None = None
    high: int | float | str | None = None
    low_shown: str = ""  # the same as texts
    high_shown: str = ""


class TableStats(msgspec.Struct, frozen=True):
    """What ttOptUpdateStats found of a table, for the planner."""

    id: int
    table_id: int
    rows: int  # in the whole grid
    taken_us: int  # when
    columns: tuple[ColumnStats, ...] = ()

    def column(self, name: str) -> ColumnStats | None:
        """Of the column of that name."""
        return next((c for c in self.columns if c.name == name), None)


class View(msgspec.Struct, frozen=True):
    """A view: its text is expanded by the binder."""

    id: int
    schema: str
    name: str
    sql: str
    columns: tuple[Column, ...] = ()
    comment: str = ""
    depends_on: tuple[int, ...] = ()  # ids of the tables and views its text names


class Sequence(msgspec.Struct, frozen=True):
    """A sequence; `batch` values at a time are given to an element, `cache` in memory."""

    id: int
    schema: str
    name: str
    start: int = 1
    increment: int = 1
    minimum: int = 1
    maximum: int = 2**63 - 1
    cycle: bool = False
    cache: int = 20
    batch: int = 10_000_000
    owned_by: int = 0  # the table whose identity column it serves


class Synonym(msgspec.Struct, frozen=True):
    """`schema`.`name` stands for `target_schema`.`target_name`; schema "PUBLIC" for everybody."""

    id: int
    schema: str
    name: str
    target_schema: str
    target_name: str


class StoredUnit(msgspec.Struct, frozen=True):
    """A stored procedure, function or package, as it was written. `body`: of a package."""

    id: int
    schema: str
    name: str
    kind: str  # PROCEDURE, FUNCTION, PACKAGE
    text: str
    body: str = ""


class User(msgspec.Struct, frozen=True):
    """A user and schema. `verifier`: SCRAM-SHA-256 in PostgreSQL's text form, "": no login.

    Times are microseconds since 1970, 0: not known (made by an older release).
    """

    id: int
    name: str
    verifier: str = ""
    admin: bool = False  # the instance administrator and SYSTEM-like users
    privileges: tuple[str, ...] = ()  # system privileges, upper case: "CREATE SESSION", …
    external: bool = False  # proves itself by the operating system, over the local socket
    profile: str = ""  # "": DEFAULT
    locked: bool = False  # ACCOUNT LOCK, or too many failed logins with a lock that does not end
    expired: bool = False  # PASSWORD EXPIRE
    created_us: int = 0
    password_us: int = 0  # when the password was set
    locked_us: int = 0
    unlocks: int = 0  # counts what ends locks of failed logins: UNLOCK, a new password
    history: tuple[tuple[str, int], ...] = ()  # old verifiers, newest first, until when they held


class Profile(msgspec.Struct, frozen=True):
    """Limits of passwords and logins; `limits`: those that were said (data/access/profiles.py).

    There is a profile DEFAULT without one being stored; ALTER PROFILE stores it.
    """

    id: int
    name: str
    limits: tuple[tuple[str, str], ...] = ()


class Grant(msgspec.Struct, frozen=True):
    """Object privilege `privilege` ("SELECT", …) on object `object_id` for user `grantee`.

    `object_id` 0: a system privilege, of PUBLIC (those of users stand with the user).
    """

    id: int
    object_id: int
    grantee: str  # a user name or PUBLIC
    privilege: str


CatalogObject = Table | View | Sequence | Synonym | StoredUnit | User | Profile | Grant | TableStats
