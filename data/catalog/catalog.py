"""The dictionary of one database: immutable, numbered, changed only by `CatalogChange`. Pure.

Every element holds the whole catalog as rows `(kind, id, body)`; `body` is the msgpack form of the
object. A DDL statement is a `CatalogChange`: it travels in a log entry like row changes do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from data.access.privileges import any_privilege, containing
from data.access.profiles import DEFAULT, Limits, limits_of
from data.catalog.objects import (
    CatalogObject,
    Column,
    Distribution,
    Grant,
    Index,
    Profile,
    Sequence,
    StoredUnit,
    Synonym,
    Table,
    TableStats,
    User,
    View,
)
from data.catalog.pg_schema import is_catalog_relation
from protocol.errors import (
    GridError,
    Names,
    PrivilegeError,
    UnknownObjectError,
    UnknownTableError,
)
from protocol.sqltypes import BIGINT

CatalogRow = tuple[str, int, bytes]  # kind, id, body
Relation = Table | View | Sequence

FIRST_USER_ID = 16384  # as in PostgreSQL, whose catalogs we imitate; smaller ids are built in
PUBLIC = "PUBLIC"
SYS = "SYS"

_T = TypeVar("_T")
_KINDS: Mapping[str, type[CatalogObject]] = {
    "table": Table,
    "view": View,
    "sequence": Sequence,
    "synonym": Synonym,
    "unit": StoredUnit,
    "user": User,
    "profile": Profile,
    "grant": Grant,
    "stats": TableStats,
}
_KIND_OF = {kind: name for name, kind in _KINDS.items()}
_COUNTER = "counter"  # row ("counter", 0): the next free object id
_encoder = msgspec.msgpack.Encoder()
_decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in _KINDS.items()}
_int_decoder = msgspec.msgpack.Decoder(int)


# -- what is done to an element's SQLite schema (data/catalog/element_ddl.py has the texts) -------
class CreateTable(msgspec.Struct, frozen=True, tag="create_table"):
    """A new empty table with its local indexes and the tables of its global indexes."""

    table: Table


class DropTable(msgspec.Struct, frozen=True, tag="drop_table"):
    """`token`, a fresh object id, names what is kept until no undo can need it any more."""

    table: Table
    token: int


class TruncateTable(msgspec.Struct, frozen=True, tag="truncate_table"):
    """The table's rows (and those of its global indexes) are put aside, an empty table made."""

    table: Table
    token: int


class RebuildTable(msgspec.Struct, frozen=True, tag="rebuild_table"):
    """`before` becomes `after`; `values`: for each full-row column of `after` an SQLite expression
    over the full-row columns of `before`. Tables of global indexes are left alone."""

    before: Table
    after: Table
    values: tuple[str, ...]
    token: int


class RenameTable(msgspec.Struct, frozen=True, tag="rename_table"):
    """Another schema or name, nothing else."""

    before: Table
    after: Table


class CreateIndex(msgspec.Struct, frozen=True, tag="create_index"):
    """A local index, or the empty table of a global one."""

    table: Table
    index: Index
    token: int = 0


class DropIndex(msgspec.Struct, frozen=True, tag="drop_index"):
    """The reverse; the rows of a global index are kept under `token` until purged."""

    table: Table
    index: Index
    token: int


ElementAction = (
    CreateTable | DropTable | TruncateTable | RebuildTable | RenameTable | CreateIndex | DropIndex
)


class CatalogChange(msgspec.Struct, frozen=True):
    """What one DDL statement does. `version`: the schema version it makes."""

    version: int
    puts: tuple[CatalogRow, ...] = ()
    deletes: tuple[tuple[str, int], ...] = ()
    actions: tuple[ElementAction, ...] = ()

    def encode(self) -> bytes:
        """msgpack, as it stands in a log entry."""
        return _encoder.encode(self)

    @staticmethod
    def decode(data: bytes) -> CatalogChange:
        """Raises msgspec.ValidationError on anything else."""
        return _change_decoder.decode(data)


_change_decoder = msgspec.msgpack.Decoder(CatalogChange)


def row_of(value: CatalogObject) -> CatalogRow:
    """The stored form of an object."""
    return (_KIND_OF[type(value)], value.id, _encoder.encode(value))


def object_of(row: CatalogRow) -> CatalogObject:
    """The object of a stored row (not of the counter's)."""
    return _decoders[row[0]].decode(row[2])


def shown(name: str) -> str:
    """A name as clients of PostgreSQL see it: all-upper-case names in lower case."""
    return name.lower() if name == name.upper() else name


def names_of(table: Table, *, column: str = "", constraint: str = "") -> Names:
    """For an error about that table."""
    return Names(shown(table.schema), shown(table.name), shown(column), shown(constraint))


# -- built in -------------------------------------------------------------------------------------
SEQUENCE_STATE = Table(
    id=20,
    schema=SYS,
    name="SEQUENCE_STATE",
    columns=(Column("ID", BIGINT, nullable=False), Column("NEXT_VALUE", BIGINT, nullable=False)),
    distribution=Distribution.HASH,
    distribution_key=("ID",),
    indexes=(Index(21, "SEQUENCE_STATE_PK", ("ID",), unique=True, primary=True, constraint=True),),
    system=True,
)
SYS_USER = User(id=10, name=SYS, admin=True)


class Catalog:
    """All objects of a database at one schema version. Immutable: `apply` makes the next one."""

    __slots__ = (
        "_by_parent",
        "_grants",
        "_index_tables",
        "by_id",
        "next_id",
        "profiles",
        "relations",
        "stats",
        "synonyms",
        "units",
        "users",
        "version",
    )

    version: int
    next_id: int
    by_id: Mapping[int, CatalogObject]
    relations: Mapping[tuple[str, str], Relation]  # (schema, name) → table, view, sequence
    stats: Mapping[int, TableStats]  # by the table's id
    synonyms: Mapping[tuple[str, str], Synonym]
    units: Mapping[tuple[str, str], StoredUnit]  # procedures, functions, packages
    users: Mapping[str, User]
    profiles: Mapping[str, Profile]  # DEFAULT only if it was altered

    def __init__(self, version: int, next_id: int, objects: Iterable[CatalogObject]) -> None:
        self.version = version
        self.next_id = next_id
        by_id: dict[int, CatalogObject] = {}
        relations: dict[tuple[str, str], Relation] = {}
        stats: dict[int, TableStats] = {}
        synonyms: dict[tuple[str, str], Synonym] = {}
        units: dict[tuple[str, str], StoredUnit] = {}
        users: dict[str, User] = {}
        made_profiles: dict[str, Profile] = {}
        grants: dict[tuple[int, str], set[str]] = {}
        children: dict[int, list[Table]] = {}
        index_tables: dict[int, Table] = {}
        for item in objects:
            by_id[item.id] = item
            if isinstance(item, User):
                users[item.name] = item
            elif isinstance(item, Profile):
                made_profiles[item.name] = item
            elif isinstance(item, Grant):
                grants.setdefault((item.object_id, item.grantee), set()).add(item.privilege)
            elif isinstance(item, TableStats):
                stats[item.table_id] = item
            elif isinstance(item, Synonym):
                synonyms[item.schema, item.name] = item
            elif isinstance(item, StoredUnit):
                units[item.schema, item.name] = item
            else:
                relations[item.schema, item.name] = item
            if isinstance(item, Table):
                for index in item.indexes:
                    index_tables[index.id] = item
                for parent_id in {key.parent_id for key in item.foreign_keys}:
                    children.setdefault(parent_id, []).append(item)
        self.by_id = by_id
        self.relations = relations
        self.stats = stats
        self.synonyms = synonyms
        self.units = units
        self.users = users
        self.profiles = made_profiles
        self._grants = grants
        self._by_parent = children
        self._index_tables = index_tables

    # -- making -----------------------------------------------------------------------------------
    @staticmethod
    def initial() -> Catalog:
        """The catalog of a database just created: the built-in objects, schema version 1."""
        return Catalog(1, FIRST_USER_ID, (SYS_USER, SEQUENCE_STATE))

    @staticmethod
    def load(version: int, rows: Iterable[CatalogRow]) -> Catalog:
        """The catalog stored in an element."""
        next_id = FIRST_USER_ID
        objects: list[CatalogObject] = []
        for row in rows:
            if row[0] == _COUNTER:
                next_id = _int_decoder.decode(row[2])
            else:
                objects.append(object_of(row))
        return Catalog(version, next_id, objects)

    def rows(self) -> list[CatalogRow]:
        """What an element stores of it; `load` takes it back."""
        return [counter_row(self.next_id), *(row_of(item) for item in self.by_id.values())]

    def apply(self, change: CatalogChange) -> Catalog:
        """The catalog after `change`."""
        objects = dict(self.by_id)
        next_id = self.next_id
        for _kind, number in change.deletes:
            objects.pop(number, None)
        for row in change.puts:
            if row[0] == _COUNTER:
                next_id = _int_decoder.decode(row[2])
            else:
                objects[row[1]] = object_of(row)
        return Catalog(change.version, next_id, objects.values())

    def inverse(self, change: CatalogChange) -> CatalogChange:
        """The change of rows that takes `apply(change)` back to this catalog; without actions.

        The actions are undone by element_ddl.inverse_sql. Call it on the catalog *before* `change`.
        """
        puts: list[CatalogRow] = [counter_row(self.next_id)]
        deletes: list[tuple[str, int]] = []
        for kind, number in [*change.deletes, *((row[0], row[1]) for row in change.puts)]:
            if kind == _COUNTER:
                continue
            old = self.by_id.get(number)
            if old is None:
                deletes.append((kind, number))
            else:
                puts.append(row_of(old))
        return CatalogChange(self.version, tuple(puts), tuple(deletes))

    def id_source(self) -> Callable[[], int]:
        """Fresh object ids in order; the DDL planner records the last one in its change."""
        return itertools.count(self.next_id).__next__

    # -- looking up -------------------------------------------------------------------------------
    def find(self, schema: str, name: str) -> Relation | None:
        """The table, view or sequence of exactly that name, synonyms followed."""
        return self._behind_synonyms(self.relations, schema, name)

    def find_unit(self, schema: str, name: str) -> StoredUnit | None:
        """The stored unit of exactly that name, synonyms followed."""
        return self._behind_synonyms(self.units, schema, name)

    def _behind_synonyms(
        self, objects: Mapping[tuple[str, str], _T], schema: str, name: str
    ) -> _T | None:
        for _hop in range(8):  # a synonym of a synonym is allowed, a circle finds nothing
            found = objects.get((schema, name))
            if found is not None:
                return found
            synonym = self.synonyms.get((schema, name))
            if synonym is None:
                return None
            schema, name = synonym.target_schema, synonym.target_name
        return None

    def resolve(
        self, current_schema: str, name_parts: tuple[str, ...], position: int = 0
    ) -> Relation:
        """The relation a (folded) name means to a user of `current_schema`.

        Raises UnknownTableError. A name of three parts carries the database first.
        """
        if len(name_parts) >= 2:
            found = self.find(name_parts[-2], name_parts[-1])
            if found is None and name_parts[-2] == PUBLIC:  # PostgreSQL's name of the usual schema
                found = self.find(current_schema, name_parts[-1])
        else:
            name = name_parts[-1]
            found = self.find(current_schema, name) or self.find(PUBLIC, name)
        if found is None:
            raise not_found(name_parts, position=position)
        return found

    def table(self, schema: str, name: str) -> Table:
        """The table of exactly that name. Raises UnknownTableError."""
        found = self.relations.get((schema, name))
        if not isinstance(found, Table):
            text = f"{shown(schema)}.{shown(name)}"
            raise UnknownTableError(f'table "{text}" does not exist')
        return found

    def table_by_id(self, number: int) -> Table:
        """Raises UnknownTableError."""
        found = self.by_id.get(number)
        if not isinstance(found, Table):
            raise UnknownTableError(f"table with id {number} does not exist")
        return found

    def user(self, name: str) -> User | None:
        """The user of that name, whatever the case."""
        return self.users.get(name) or self.users.get(name.upper())

    def need_user(self, name: str, position: int = 0) -> User:
        """Raises UnknownObjectError."""
        found = self.user(name)
        if found is None:
            raise UnknownObjectError(f'user "{shown(name)}" does not exist', position=position)
        return found

    def tables(self) -> Iterator[Table]:
        """All tables, those of the system too."""
        return (item for item in self.relations.values() if isinstance(item, Table))

    def views(self) -> Iterator[View]:
        """All views."""
        return (item for item in self.relations.values() if isinstance(item, View))

    def sequences(self) -> Iterator[Sequence]:
        """All sequences."""
        return (item for item in self.relations.values() if isinstance(item, Sequence))

    def children(self, table_id: int) -> tuple[Table, ...]:
        """Tables with a foreign key to that table, itself included if it refers to itself."""
        return tuple(self._by_parent.get(table_id, ()))

    def table_of_index(self, index_id: int) -> Table | None:
        """The table an index belongs to."""
        return self._index_tables.get(index_id)

    def find_index(self, schema: str, name: str) -> tuple[Table, Index] | None:
        """The index of that name in that schema (indexes live in their table's schema)."""
        for table in self.tables():
            if table.schema == schema:
                for index in table.indexes:
                    if index.name == name:
                        return table, index
        return None

    # -- privileges -------------------------------------------------------------------------------
    def grants(self) -> Iterator[Grant]:
        """All object privileges, and the system privileges of PUBLIC."""
        return (item for item in self.by_id.values() if isinstance(item, Grant))

    def has_system_privilege(self, user: str, privilege: str) -> bool:
        """ADMIN contains all, CREATE ANY x contains CREATE x; SYS and administrators have ADMIN."""
        found = self.users.get(user)
        if found is None:
            return False
        wanted = containing(privilege)
        if found.admin or not wanted.isdisjoint(found.privileges):
            return True
        return not wanted.isdisjoint(self._grants.get((0, PUBLIC), ()))

    def has_privilege(self, user: str, relation: Relation | StoredUnit, privilege: str) -> bool:
        """May `user` do that (SELECT, INSERT, …) with the object? Owners and administrators may."""
        if relation.schema == user:
            return True
        held = self._grants
        if privilege in held.get((relation.id, user), ()):
            return True
        if privilege in held.get((relation.id, PUBLIC), ()):
            return True
        kind = "SEQUENCE" if isinstance(relation, Sequence) else "TABLE"
        kind = "PROCEDURE" if isinstance(relation, StoredUnit) else kind
        return self.has_system_privilege(user, any_privilege(privilege, kind) or "ADMIN")

    def has_some_privilege(self, user: str, relation: Relation) -> bool:
        """May `user` do anything with it? If not, ALL_… do not show it, and no type comes of it."""
        any_of = ("SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "INDEX", "ALTER")
        return any(self.has_privilege(user, relation, privilege) for privilege in any_of)

    def limits_of(self, user: User | None) -> Limits:
        """What the user's profile says; None: nobody in particular, profile DEFAULT."""
        own = self.profiles.get(user.profile or DEFAULT) if user is not None else None
        default = self.profiles.get(DEFAULT)
        return limits_of(
            dict(own.limits) if own is not None else {},
            dict(default.limits) if default is not None else {},
        )


def not_found(parts: tuple[str, ...], kind: str = "relation", position: int = 0) -> GridError:
    """The error for a name that means no object of users: a system view's, or nobody's."""
    text = ".".join(shown(part) for part in parts)
    if is_catalog_relation(parts[-2] if len(parts) > 1 else "", parts[-1]):
        return PrivilegeError(
            f"{text} is a system view: it can only be read",
            hint="Query it by itself, not together with tables.",
            position=position,
        )
    return UnknownTableError(f'{kind} "{text}" does not exist', position=position)


def counter_row(next_id: int) -> CatalogRow:
    """The stored row that says which object id is free."""
    return (_COUNTER, 0, _encoder.encode(next_id))
