"""What a DDL statement comes to: the plan, and the builder that planners fill. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from data.catalog.catalog import (
    PUBLIC,
    Catalog,
    CatalogChange,
    CatalogRow,
    DropTable,
    ElementAction,
    Relation,
    counter_row,
    row_of,
    shown,
)
from data.catalog.element_ddl import BUCKET, ROWKEY, TARGET
from data.catalog.materialized import views_of
from data.catalog.objects import (
    CatalogObject,
    Column,
    Index,
    Materialized,
    Sequence,
    Table,
    View,
)
from data.sql.ddl_ast import Name
from data.sql.lacking import lacks
from protocol.errors import (
    DefinitionError,
    DependentObjectsError,
    DuplicateObjectError,
    GridError,
    NotSupportedError,
    PrivilegeError,
    UnknownObjectError,
    UnknownTableError,
)
from protocol.sqltypes import SqlType, StorageValue

NAME_BYTES_MAX = 63
RESERVED_COLUMNS = frozenset({ROWKEY, BUCKET, TARGET})


@dataclass(frozen=True)
class DataCheck:
    """`sql`, a query in our dialect, must give no row in the whole grid; else `error` is raised.

    To be run while the tables of the plan are locked, before the change.
    """

    sql: str
    error: GridError


@dataclass(frozen=True)
class Backfill:
    """Rows for the hidden table `target` of a global index, in the transaction of the change.

    `source_sql`: SQLite text without parameters for each element (after its part of the change),
    giving the catalog columns of `target` in order, `_BUCKET` not included. Every row goes to the
    replica set its key hashes to; a duplicate key there is a unique violation of `index`.
    """

    target: Table
    index: Index
    source_sql: str


@dataclass(frozen=True)
class Refill:
    """Rows for a table that the change makes, or makes anew, from what the elements hold before it.

    `source_sql`: SQLite text without parameters, giving full rows of `table` without bucket; if
    `placed_by` is not None, behind them those of that table: it is placed anew itself, and rows of
    `table` go with it. `once`: every element has all rows. Entries of global indexes are made too.
    """

    table: Table
    source_sql: str
    placed_by: Table | None = None
    once: bool = False


@dataclass(frozen=True)
class OnlineMove:
    """The distribution of `before` becomes that of `after`; may be done while others write it."""

    before: Table
    after: Table


@dataclass(frozen=True)
class Notice:
    """A message for the client that is no error."""

    severity: str
    sqlstate: str
    message: str


@dataclass(frozen=True)
class DdlPlan:
    """What to do for one DDL statement. `change` None: nothing (IF EXISTS and the like).

    Order: lock `locks` (table ids) exclusively everywhere, run `checks`, then one transaction over
    all replica sets: apply `change`, run `backfills` and `refills`; then, for CREATE TABLE AS, the
    INSERT `fill`.
    """

    tag: str
    change: CatalogChange | None
    checks: tuple[DataCheck, ...] = ()
    backfills: tuple[Backfill, ...] = ()
    notices: tuple[Notice, ...] = ()
    locks: tuple[int, ...] = ()
    fill: str = ""
    refills: tuple[Refill, ...] = ()
    online: OnlineMove | None = None
    done: bool = True  # False: `online` is still to be done, and nothing else was


class DdlHooks(Protocol):
    """What the planner asks the SQL compiler. Positions in errors count from the given text."""

    def compile_check(self, table: Table, condition: str) -> str:
        """A CHECK condition over the table's columns as SQLite text."""

    def compile_conversion(self, table: Table, text: str, sql_type: SqlType) -> str:
        """An expression over the table's columns, assigned to a type, as SQLite text."""

    def describe_query(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        """Result columns of a query, and the ids of the tables, views, sequences it names."""

    def describe_materialized(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[Table, tuple[Column, ...], Materialized]:
        """The detail table, the columns and the making of a materialized view with that query."""

    def constant(self, text: str, sql_type: SqlType) -> StorageValue:
        """The value of an expression without columns, converted to a type's storage value."""

    @property
    def database(self) -> str:
        """Its name: passwords may not contain it."""

    def now_us(self) -> int:
        """The wall clock, in microseconds since 1970."""


class Builder:
    """Collects the parts of a plan; `catalog` is always the one after what was collected so far."""

    def __init__(
        self,
        catalog: Catalog,
        user: str,
        schema: str,
        hooks: DdlHooks,
        ids: Callable[[], int] | None = None,
    ) -> None:
        self.before = catalog
        self.catalog = catalog
        self.user = user
        self.schema = schema
        self.hooks = hooks
        self.new_id = ids or catalog.id_source()
        self.checks: list[DataCheck] = []
        self.backfills: list[Backfill] = []
        self.refills: list[Refill] = []
        self.online: OnlineMove | None = None
        self.notices: list[Notice] = []
        self.locks: list[int] = []
        self.fill = ""
        self._puts: dict[tuple[str, int], CatalogRow] = {}
        self._deletes: dict[tuple[str, int], None] = {}
        self._actions: list[ElementAction] = []

    # -- collecting -------------------------------------------------------------------------------
    def put(self, item: CatalogObject) -> None:
        """A new or changed object."""
        row = row_of(item)
        self._puts[row[0], row[1]] = row
        self._deletes.pop((row[0], row[1]), None)
        self.catalog = self.catalog.apply(CatalogChange(self.catalog.version, (row,)))

    def delete(self, item: CatalogObject) -> None:
        """An object that goes away."""
        kind, number, _body = row_of(item)
        self._puts.pop((kind, number), None)
        if number in self.before.by_id:
            self._deletes[kind, number] = None
        change = CatalogChange(self.catalog.version, (), ((kind, number),))
        self.catalog = self.catalog.apply(change)

    def act(self, action: ElementAction) -> None:
        """Something to do to the elements, after what was collected before."""
        self._actions.append(action)

    def check(self, sql: str, error: GridError) -> None:
        """See DataCheck."""
        self.checks.append(DataCheck(sql, error))

    def refill(self, refill: Refill) -> None:
        """See Refill."""
        self.refills.append(refill)

    def notice(self, message: str, *, severity: str = "NOTICE", sqlstate: str = "00000") -> None:
        """See Notice."""
        self.notices.append(Notice(severity, sqlstate, message))

    def lock(self, table_id: int) -> None:
        """The table is to be locked exclusively while the plan runs."""
        if table_id in self.before.by_id and table_id not in self.locks:
            self.locks.append(table_id)

    def plan(self, tag: str) -> DdlPlan:
        """All of it."""
        change = None
        if self._puts or self._deletes or self._actions:
            puts = (*self._puts.values(), counter_row(self.new_id()))
            version = self.before.version + 1
            change = CatalogChange(version, puts, tuple(self._deletes), tuple(self._actions))
        return DdlPlan(
            tag, change, tuple(self.checks), tuple(self.backfills), tuple(self.notices),
            tuple(self.locks), self.fill, tuple(self.refills), self.online,
        )  # fmt: skip

    # -- names ------------------------------------------------------------------------------------
    def schema_of(self, name: Name) -> str:
        """The schema a name is in; `public`, PostgreSQL's name of the usual one, is the current."""
        schema = name.parts[-2] if len(name.parts) > 1 else PUBLIC
        return self.schema if schema == PUBLIC else schema

    def new_name(self, name: Name) -> tuple[str, str]:
        """Schema and name of an object to be made. Raises UnknownObjectError, DefinitionError."""
        plain = name.parts[-1]
        check_name(plain, name.position)
        schema = self.schema_of(name)
        if schema not in self.catalog.users:
            raise UnknownObjectError(
                f'schema "{shown(schema)}" does not exist',
                hint="a schema is made with its user: CREATE USER",
                position=name.position,
            )
        if schema == "SYS":
            raise PrivilegeError("schema SYS takes no user objects", position=name.position)
        return schema, plain

    def relation(self, name: Name) -> Relation:
        """The table, view or sequence of that name. Raises UnknownTableError."""
        return self.catalog.resolve(self.schema, name.parts, name.position)

    def table(self, name: Name) -> Table:
        """The user table of that name. Raises UnknownTableError, PrivilegeError for ours."""
        found = self.relation(name)
        if not isinstance(found, Table):
            raise UnknownTableError(f'"{dotted(name)}" is not a table', position=name.position)
        if found.system:
            raise PrivilegeError(f'table "{dotted(name)}" is internal', position=name.position)
        return found

    def free(self, schema: str, name: str) -> bool:
        """Is the name free for a relation or an index?"""
        key = (schema, name)
        if key in self.catalog.relations or key in self.catalog.synonyms:
            return False
        if key in self.catalog.units:
            return False
        return self.catalog.find_index(schema, name) is None

    def must_be_free(self, schema: str, name: str, position: int) -> None:
        """Raises DuplicateObjectError."""
        if not self.free(schema, name):
            message = f'relation "{shown(name)}" already exists'
            raise DuplicateObjectError(message, position=position)

    def made_up_name(self, schema: str, base: str, suffix: str, taken: set[str]) -> str:
        """A free name like ACCOUNTS_PKEY, as PostgreSQL makes them."""
        lower = base != base.upper()
        suffix = suffix.lower() if lower else suffix
        stem = f"{base[: NAME_BYTES_MAX - len(suffix) - 4]}_{suffix}"
        name, number = stem, 0
        while name in taken or not self.free(schema, name):
            number += 1
            name = f"{stem}{number}"
        return name

    # -- privileges -------------------------------------------------------------------------------
    def need(self, privilege: str, schema: str, position: int = 0) -> None:
        """Raises PrivilegeError. CREATE TABLE: in the own schema; CREATE ANY TABLE: elsewhere."""
        verb, _, kind = privilege.replace(" ANY ", " ").partition(" ")
        if verb != "CREATE" and schema == self.user:
            return
        if schema != self.user:
            privilege = f"{verb} ANY {kind}"
        self.need_system(privilege, position)

    def need_system(self, privilege: str, position: int = 0) -> None:
        """Raises PrivilegeError."""
        if not self.catalog.has_system_privilege(self.user, privilege):
            raise lacks(self.user, privilege, position=position)

    def need_admin(self, position: int = 0) -> None:
        """Raises PrivilegeError."""
        self.need_system("ADMIN", position)

    def need_object(self, privilege: str, relation: Relation, position: int = 0) -> None:
        """Raises PrivilegeError."""
        if not self.catalog.has_privilege(self.user, relation, privilege):
            raise lacks(self.user, privilege, relation, position=position)


def relation_kind(relation: Relation) -> str:
    """ "table", "view", "materialized view" or "sequence"."""
    match relation:
        case Table() if relation.materialized is not None:
            return "materialized view"
        case View():
            return "view"
        case Sequence():
            return "sequence"
    return "table"


def dotted(name: Name) -> str:
    """The name as messages show it."""
    return ".".join(shown(part) for part in name.parts)


def check_name(name: str, position: int) -> None:
    """Raises DefinitionError for names that are too long."""
    if len(name.encode()) > NAME_BYTES_MAX:
        message = f"name {name[:20]}… is longer than {NAME_BYTES_MAX} bytes"
        raise DefinitionError(message, position=position)


def sql_name(*parts: str) -> str:
    """A name in our dialect, quoted."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def refuse_detail(builder: Builder, table: Table, what: str, position: int) -> None:
    """Raises DependentObjectsError if the table has materialized views."""
    views = [v for v in views_of(builder.catalog.tables(), table) if not v.system]
    if views:
        raise DependentObjectsError(
            f'{what} "{shown(table.name)}": materialized views show it',
            detail=", ".join(shown(v.name) for v in views),
            hint="DROP MATERIALIZED VIEW",
            position=position,
        )


def refuse_view(table: Table, what: str, name: Name) -> None:
    """Raises NotSupportedError for a materialized view."""
    if table.materialized is not None:
        message = f'{what} materialized view "{shown(table.name)}" is not supported'
        raise NotSupportedError(message, position=name.position)


def refuse_temporary(table: Table, what: str, position: int) -> None:
    """Raises NotSupportedError for a temporary table."""
    if table.temporary:
        message = f'{what} temporary table "{shown(table.name)}" is not supported'
        raise NotSupportedError(message, hint="drop and create it", position=position)


def drop_copies(builder: Builder, table: Table) -> None:
    """Copies that changes of distribution fill, or have left behind, go: those give up."""
    for view in views_of(builder.catalog.tables(), table):
        if view.system:
            builder.lock(view.id)
            builder.act(DropTable(view, builder.new_id()))
            builder.delete(view)
