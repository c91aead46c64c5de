"""What the transaction layer must know of a table, worked out once per schema version. Pure.

Rows are *full rows*: hidden columns included, in the order of the element's SQLite table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import (
    BUCKET,
    column_positions,
    full_row_columns,
    global_index_table,
    key_positions,
    quoted,
    table_name,
)
from data.catalog.materialized import ViewLink, view_link
from data.catalog.objects import Distribution, ForeignKey, Index, Table
from data.storage.changes import Inserted, RowChange
from data.txn.bulk_locks import KeyBlock
from data.txn.locks import Mode, Resource
from protocol.sqltypes import StorageRow, StorageValue

ROW_KEY_INDEX = 0  # "index id" of the hidden row key in lock names
DDL_RESOURCE: Resource = (0,)  # the lock that serialises DDL


@dataclass(frozen=True)
class UniqueKey:
    """A key enforced inside an element: lock name part and positions in the full row."""

    index_id: int
    positions: tuple[int, ...]


@dataclass(frozen=True)
class KeyName:
    """How a key of a table, its values in some order, is named in the lock table."""

    table_id: int
    index_id: int
    order: tuple[int, ...]  # where the values of the index's columns stand in that order

    def resource(self, values: StorageRow) -> Resource:
        """The name."""
        return (self.table_id, self.index_id, tuple([values[i] for i in self.order]))


@dataclass(frozen=True)
class GlobalKey:
    """A global index of the table, and how its entries are made from a full row."""

    index: Index
    entry_table: Table  # the hidden table that holds the entries
    name: str  # its SQLite name
    positions: tuple[int, ...]  # in the base row, of the entry's primary key columns
    width: int  # how many of those are the index's own columns (they give the entry's bucket)
    include: tuple[int, ...]
    delete_sql: str

    def entry(self, row: StorageRow | None, bucket: int) -> StorageRow | None:
        """(key…, bucket of the row, included…), without the entry's own bucket.

        None if the row is absent or its key has a NULL.
        """
        if row is None:
            return None
        key = tuple([row[i] for i in self.positions])
        if None in key[: self.width]:
            return None
        return (*key, row[bucket], *[row[i] for i in self.include])


@dataclass(frozen=True)
class ParentLink:
    """A foreign key seen from the child."""

    key: ForeignKey
    positions: tuple[int, ...]  # of the child's columns
    parent: Table
    parent_key: KeyName
    is_local: bool  # the parent row is in the same element by construction
    exists_sql: str


@dataclass(frozen=True)
class ChildLink:
    """A foreign key seen from the parent."""

    key: ForeignKey
    child: Table
    positions: tuple[int, ...]  # of the referred columns in the parent's full row
    is_local: bool


@dataclass(frozen=True)
class TableFacts:
    """Everything about one table that locks, checks and effects need."""

    table: Table
    name: str
    columns: tuple[str, ...]
    unique_keys: tuple[UniqueKey, ...]  # the row key first
    global_keys: tuple[GlobalKey, ...]
    parents: tuple[ParentLink, ...]
    children: tuple[ChildLink, ...]
    bucket: int  # position of _BUCKET, -1 for DUPLICATE tables
    views: tuple[ViewLink, ...] = ()  # materialized views that show the table

    def resources(self, change: RowChange) -> Iterator[tuple[Resource, Mode]]:
        """The locks a row change needs: old and new values of every unique key."""
        table_id = self.table.id
        for unique in self.unique_keys:
            old = new = None
            if change.old is not None:
                old = tuple(change.old[i] for i in unique.positions)
            if change.new is not None:
                new = tuple(change.new[i] for i in unique.positions)
            if old == new:  # the key stays: who only relies on it need not wait
                if old is not None and None not in old:
                    yield (table_id, unique.index_id, old), Mode.UPDATE
                continue
            for key in (old, new):
                if key is not None and None not in key:
                    yield (table_id, unique.index_id, key), Mode.EXCLUSIVE
        if change.new is not None:
            for link in self.parents:
                if not link.is_local:
                    key = tuple([change.new[i] for i in link.positions])
                    if None not in key:  # who deletes the parent waits for us, not reads past us
                        yield child_resource(table_id, link.key, key), Mode.SHARED

    @property
    def is_plain(self) -> bool:
        """Nothing follows from a change of its rows, here or elsewhere."""
        return not (
            self.parents
            or self.children
            or self.global_keys
            or self.views
            or self.table.distribution is Distribution.DUPLICATE
        )

    def keys_of_new(self, rows: Inserted) -> KeyBlock:
        """What `resources` gives for new rows, all of it exclusive. Of a plain table."""
        found: list[tuple[int, list[Sequence[StorageValue]]]] = []
        for unique in self.unique_keys:
            columns: list[Sequence[StorageValue]] = [rows.column(at) for at in unique.positions]
            if any(map(rows.has_null, unique.positions)):
                keys = [key for key in zip(*columns, strict=True) if None not in key]
                columns = list(zip(*keys, strict=True))
            found.append((unique.index_id, columns))
        return KeyBlock(self.table.id, found)

    def key_of(self, row: StorageRow) -> tuple[StorageValue, ...]:
        """The row's primary key (or hidden row key)."""
        return tuple(row[i] for i in self.unique_keys[0].positions)


class FactsCache:
    """TableFacts of one catalog, by table id and by SQLite table name."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._by_id: dict[int, TableFacts] = {}
        self._by_name: dict[str, TableFacts] = {}
        self._children: dict[int, list[tuple[Table, ForeignKey]]] = {}
        self._entry_widths: dict[str, int] = {}
        self._entries: dict[str, Table] = {}
        self._views: dict[int, list[Table]] = {}
        for table in catalog.tables():
            if table.materialized is not None:
                self._views.setdefault(table.materialized.detail_id, []).append(table)
            for key in table.foreign_keys:
                self._children.setdefault(key.parent_id, []).append((table, key))
            for index in table.indexes:
                if index.is_global:
                    entries = global_index_table(table, index)
                    self._entry_widths[table_name(entries)] = len(entries.primary_key)
                    self._entries[table_name(entries)] = entries

    def by_id(self, table_id: int) -> TableFacts:
        """Facts of a table. Raises KeyError for an unknown id."""
        found = self._by_id.get(table_id)
        if found is None:
            found = self._build(self.catalog.table_by_id(table_id))
            self._by_id[table_id] = found
            self._by_name[found.name] = found
        return found

    def entry_width(self, name: str) -> int:
        """How many first columns are the key of a table that is no user's (index entries)."""
        return self._entry_widths.get(name, 1)

    def entries(self, name: str) -> Table | None:
        """The hidden table of a global index, by its SQLite name."""
        return self._entries.get(name)

    def by_name(self, name: str) -> TableFacts | None:
        """Facts by SQLite table name; None for tables that are not users' (indexes, ours)."""
        found = self._by_name.get(name)
        if found is None:
            for table in self.catalog.tables():
                self.by_id(table.id)
            found = self._by_name.get(name)
        return found

    def _build(self, table: Table) -> TableFacts:
        columns = full_row_columns(table)
        at = {name: i for i, name in enumerate(columns)}
        keys = [
            UniqueKey(i.id, column_positions(table, i.columns)) for i in table.indexes if i.unique
        ]
        row_key = key_positions(table)
        keys.sort(key=lambda unique: unique.positions != row_key)
        if not keys or keys[0].positions != row_key:
            keys.insert(0, UniqueKey(ROW_KEY_INDEX, row_key))
        return TableFacts(
            table=table,
            name=table_name(table),
            columns=columns,
            unique_keys=tuple(keys),
            global_keys=tuple(_global_key(table, i) for i in table.indexes if i.is_global),
            parents=tuple(self._parent_link(table, key, at) for key in table.foreign_keys),
            children=tuple(
                self._child_link(table, child, key, at)
                for child, key in self._children.get(table.id, ())
            ),
            bucket=at.get(BUCKET, -1),
            views=tuple(view_link(view, table) for view in self._views.get(table.id, ())),
        )

    def _parent_link(self, table: Table, key: ForeignKey, at: dict[str, int]) -> ParentLink:
        parent = self.catalog.table_by_id(key.parent_id)
        return ParentLink(
            key=key,
            positions=tuple(at[c] for c in key.columns),
            parent=parent,
            parent_key=key_name(parent, key.parent_columns),
            is_local=is_local(table, key, parent),
            exists_sql=exists_sql(parent, key.parent_columns),
        )

    def _child_link(
        self, table: Table, child: Table, key: ForeignKey, at: dict[str, int]
    ) -> ChildLink:
        return ChildLink(
            key=key,
            child=child,
            positions=tuple(at[c] for c in key.parent_columns),
            # a DUPLICATE child is everywhere, and each element checks for a DUPLICATE parent
            is_local=child.distribution is Distribution.DUPLICATE or is_local(child, key, table),
        )


def _global_key(table: Table, index: Index) -> GlobalKey:
    entries = global_index_table(table, index)
    key = entries.primary_key
    name = table_name(entries)
    where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(key, 1))
    included = [c for c in index.include if c not in key]
    return GlobalKey(
        index=index,
        entry_table=entries,
        name=name,
        positions=column_positions(table, key),
        width=len(index.columns),
        include=column_positions(table, tuple(included)),
        delete_sql=f"DELETE FROM {quoted(name)} WHERE {where}",
    )


def key_name(table: Table, columns: tuple[str, ...]) -> KeyName:
    """The lock name of a unique key of a table, given with its columns in any order."""
    for index in table.indexes:
        if index.unique and set(index.columns) == set(columns):
            return KeyName(table.id, index.id, tuple(columns.index(c) for c in index.columns))
    return KeyName(table.id, ROW_KEY_INDEX, tuple(range(len(columns))))


def child_resource(table_id: int, key: ForeignKey, values: StorageRow) -> Resource:
    """What children of one parent row share, and who deletes the parent row takes alone."""
    return (table_id, key.name, values)


def entries_name(index_id: int) -> str:
    """SQLite name of the entries of a global index; their keys are locked by this name."""
    return f"GI.{index_id}"


def whole_tables(locks: Iterable[tuple[Resource, Mode]]) -> set[int]:
    """The tables among these locks that are locked as a whole, for one transaction alone."""
    return {
        resource[0]
        for resource, mode in locks
        if isinstance(resource, tuple) and len(resource) == 1 and mode is Mode.EXCLUSIVE
    }


def is_row_of(resource: Resource, tables: set[int]) -> bool:
    """True for rows and keys of these tables. Who else wants one asks for its table too."""
    return (
        isinstance(resource, tuple)
        and len(resource) == 3
        and resource[0] in tables
        and isinstance(resource[1], int)  # else a foreign-key value, which stands for no row
    )


def exists_sql(table: Table, columns: tuple[str, ...]) -> str:
    """SQLite text that finds whether a row with given values of `columns` exists."""
    where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(columns, 1))
    return f"SELECT 1 FROM {quoted(table_name(table))} WHERE {where} LIMIT 1"


def is_local(child: Table, key: ForeignKey, parent: Table) -> bool:
    """True if a child row and the parent row it names are always in the same element."""
    if parent.distribution is Distribution.DUPLICATE:
        return True
    if child.distribution is Distribution.REFERENCE:
        return child.reference_key == key.name
    if child.distribution is Distribution.HASH and parent.distribution is Distribution.HASH:
        to_parent = dict(zip(key.columns, key.parent_columns, strict=True))
        mapped = tuple(to_parent.get(c, "") for c in child.distribution_key)
        return bool(mapped) and mapped == parent.distribution_key
    return False
