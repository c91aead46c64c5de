"""DDL statements as written: what ddl_parse.py makes of the text and ddl.py plans. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from data.catalog.objects import Distribution
from protocol.sqltypes import SqlType


@dataclass(frozen=True, slots=True)
class Name:
    """A perhaps qualified, folded name and its 1-based place."""

    parts: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class SequenceOptions:
    """What was written; None: nothing. minimum, maximum: "no" for NOMINVALUE, NOMAXVALUE."""

    start: int | None = None
    increment: int | None = None
    minimum: int | str | None = None
    maximum: int | str | None = None
    cycle: bool | None = None
    cache: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class ColumnDef:
    """A column of CREATE TABLE or ALTER TABLE ADD; constraints written with it are separate."""

    name: str
    type: SqlType | None  # None: CREATE TABLE t (a, b) AS SELECT
    nullable: bool = True
    default_sql: str = ""
    inline: bool | None = None
    position: int = 0
    identity: str = ""  # "always" or "default": GENERATED … AS IDENTITY, SERIAL
    identity_options: SequenceOptions | None = None


@dataclass(frozen=True, slots=True)
class ConstraintDef:
    """kind: "primary", "unique", "foreign", "check"."""

    kind: str
    name: str = ""
    columns: tuple[str, ...] = ()
    parent: Name | None = None
    parent_columns: tuple[str, ...] = ()
    on_delete: str = "restrict"
    check_sql: str = ""
    is_global: bool | None = None  # USING INDEX GLOBAL | LOCAL
    using_index: str = ""  # ADD CONSTRAINT … USING INDEX name
    position: int = 0


@dataclass(frozen=True, slots=True)
class DistributionDef:
    """DISTRIBUTE BY HASH [(columns)] | DISTRIBUTE BY REFERENCE [(name)] | DUPLICATE."""

    kind: Distribution
    columns: tuple[str, ...] = ()
    reference: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class CreateTableStatement:
    """CREATE TABLE."""

    name: Name
    columns: tuple[ColumnDef, ...]
    constraints: tuple[ConstraintDef, ...]
    distribution: DistributionDef | None = None
    if_not_exists: bool = False
    hash_columns: tuple[str, ...] = ()  # UNIQUE HASH ON (…)
    query: str = ""
    query_position: int = 0
    with_data: bool = True
    temporary: bool = False
    on_commit: str = ""  # ON COMMIT DELETE | PRESERVE ROWS of a temporary table


@dataclass(frozen=True, slots=True)
class CreateIndexStatement:
    """CREATE [GLOBAL] [UNIQUE] [HASH] INDEX."""

    name: Name | None
    table: Name
    columns: tuple[str, ...]
    descending: tuple[bool, ...]
    unique: bool = False
    hash: bool = False
    is_global: bool | None = None
    include: tuple[str, ...] = ()
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class CreateViewStatement:
    """CREATE [OR REPLACE] VIEW. `query_position`: 1-based place of the query in the text."""

    name: Name
    columns: tuple[str, ...]
    query: str
    query_position: int
    replace: bool = False


@dataclass(frozen=True, slots=True)
class CreateMaterializedStatement:
    """CREATE MATERIALIZED VIEW. `query_position`: 1-based place of the query in the text."""

    name: Name
    columns: tuple[str, ...]
    query: str
    query_position: int
    distribution: DistributionDef | None
    primary_key: tuple[str, ...] = ()
    hash_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateSequenceStatement:
    """CREATE SEQUENCE."""

    name: Name
    options: SequenceOptions
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterSequenceStatement:
    """ALTER SEQUENCE."""

    name: Name
    options: SequenceOptions


@dataclass(frozen=True, slots=True)
class CreateSynonymStatement:
    """CREATE [OR REPLACE] [PUBLIC] SYNONYM."""

    name: Name
    target: Name
    public: bool = False
    replace: bool = False


@dataclass(frozen=True, slots=True)
class UserStatement:
    """CREATE USER, ALTER USER. None: not said; `external`: IDENTIFIED EXTERNALLY.

    `password` "": PASSWORD NULL. `postgres`: it was written PASSWORD '…', where PostgreSQL's tools
    put a verifier they made themselves. `login`: PostgreSQL's LOGIN, NOLOGIN.
    """

    create: bool
    name: str
    password: str | None = None
    external: bool = False
    admin: bool | None = None
    if_not_exists: bool = False
    position: int = 0
    profile: str | None = None
    lock: bool | None = None
    expire: bool = False
    login: bool | None = None
    postgres: bool = False


@dataclass(frozen=True, slots=True)
class ProfileStatement:
    """CREATE, ALTER or DROP PROFILE (`verb`); `limits` as data/access/profiles.py keeps them."""

    verb: str
    name: str
    limits: tuple[tuple[str, str], ...] = ()
    if_exists: bool = False
    cascade: bool = False
    position: int = 0


@dataclass(frozen=True, slots=True)
class DropStatement:
    """DROP TABLE | INDEX | SEQUENCE | VIEW | SYNONYM | USER. `of_table`: DROP INDEX … FROM."""

    kind: str
    names: tuple[Name, ...]
    if_exists: bool = False
    cascade: bool = False
    public: bool = False
    of_table: Name | None = None


@dataclass(frozen=True, slots=True)
class AlterAction:
    """One action of ALTER TABLE.

    kind: "add_column" (column, constraints, if_not_exists), "add_constraint" (constraints),
    "drop_column" (names, if_exists, cascade), "drop_constraint" (names…), "set_default" (names,
    text: "" drops it), "set_nullable" (names, flag), "set_type" (names, column), "rename"
    (names[0]), "rename_column" (names: old, new), "rename_constraint" (names), "distribute"
    (distribution), "nothing", "drop_primary", "use_index" (flag: HASH).
    """

    kind: str
    column: ColumnDef | None = None
    constraints: tuple[ConstraintDef, ...] = ()
    names: tuple[str, ...] = ()
    text: str = ""
    flag: bool = False
    cascade: bool = False
    distribution: DistributionDef | None = None
    position: int = 0


@dataclass(frozen=True, slots=True)
class AlterTableStatement:
    """ALTER TABLE."""

    name: Name
    actions: tuple[AlterAction, ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameStatement:
    """ALTER INDEX | SEQUENCE | VIEW … RENAME TO, RENAME old TO new. kind "" for the last."""

    kind: str
    name: Name
    new_name: str


@dataclass(frozen=True, slots=True)
class TruncateStatement:
    """TRUNCATE TABLE."""

    names: tuple[Name, ...]
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class CommentStatement:
    """COMMENT ON TABLE | COLUMN | VIEW … IS; CONSTRAINT `constraint` ON table."""

    kind: str
    name: Name
    text: str
    constraint: str = ""


@dataclass(frozen=True, slots=True)
class GrantStatement:
    """GRANT, REVOKE. `on` None: system privileges (upper case, "ALL" possible)."""

    grant: bool
    privileges: tuple[str, ...]
    on: tuple[Name, ...] | None
    grantees: tuple[str, ...]
    position: int = 0


Statement = (
    CreateTableStatement
    | CreateIndexStatement
    | CreateViewStatement
    | CreateMaterializedStatement
    | CreateSequenceStatement
    | AlterSequenceStatement
    | CreateSynonymStatement
    | UserStatement
    | ProfileStatement
    | DropStatement
    | AlterTableStatement
    | RenameStatement
    | TruncateStatement
    | CommentStatement
    | GrantStatement
)
