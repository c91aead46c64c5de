"""In which bucket does a new row belong? By its own key, or where its parent row is. Design §7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import (
    TARGET,
    column_positions,
    global_index_table,
    quoted,
    table_name,
)
from data.catalog.objects import Distribution, ForeignKey, Table
from data.distribution.hashing import bucket_of, buckets_of_ints
from data.distribution.keys import is_plain_integer, key_encoder
from protocol.errors import InternalError
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import BIGINT, SqlType, StorageRow, StorageValue

BucketOf = Callable[[Sequence[StorageValue]], int]


@dataclass(frozen=True, slots=True)
class HashRule:
    """The bucket is the hash of values at `positions` of the full row."""

    positions: tuple[int, ...]
    bucket: BucketOf
    integer: bool = False  # the key is one integer, and is the number itself

    def of_all(self, rows: RowColumns) -> list[int]:
        """`of` many rows."""
        if self.integer:
            values: list[Any] = rows.columns[self.positions[0]]
            if None not in values:
                return buckets_of_ints(values)
        return [self.of(row) for row in rows]

    def of(self, row: StorageRow) -> int:
        """The bucket of a full row; -1 if a key column is NULL."""
        key = [row[i] for i in self.positions]
        return -1 if None in key else self.bucket(key)


@dataclass(frozen=True, slots=True)
class ParentRule:
    """The bucket is that of the parent row, found through a global index of the parent."""

    positions: tuple[int, ...]  # of the foreign key in the child's full row, in the index's order
    key_bucket: BucketOf  # where the index entry of a key is
    lookup_sql: str  # SELECT _TARGET … WHERE key = ?1 …
    constraint: str
    parent: Table
    parent_columns: tuple[str, ...]


PlacementRule = HashRule | ParentRule | None  # None: a DUPLICATE (or temporary) table


def rule_for(table: Table, catalog: Catalog) -> PlacementRule:
    """How rows of a table are placed. Raises InternalError if the catalog contradicts itself."""
    if table.temporary or table.distribution is Distribution.DUPLICATE:
        return None
    if table.distribution is Distribution.HASH:
        columns = table.distribution_key or ("_ROWKEY",)
        return _hash_rule(table, columns, table, columns)
    link = next((k for k in table.foreign_keys if k.name == table.reference_key), None)
    if link is None:
        raise InternalError(f"{table.name} is distributed by a foreign key that it does not have")
    return _parent_rule(table, link.columns, link, catalog)


def _parent_rule(
    table: Table, columns: tuple[str, ...], link: ForeignKey, catalog: Catalog
) -> PlacementRule:
    """`columns` of `table` hold the values of `link.parent_columns`, in that order."""
    parent = catalog.table_by_id(link.parent_id)
    value_of = dict(zip(link.parent_columns, columns, strict=True))
    if parent.distribution is Distribution.HASH and set(parent.distribution_key) <= set(value_of):
        if parent.distribution_key:
            mine = tuple(value_of[c] for c in parent.distribution_key)
            return _hash_rule(table, mine, parent, parent.distribution_key)
    elif parent.distribution is Distribution.REFERENCE:
        up = next(k for k in parent.foreign_keys if k.name == parent.reference_key)
        if set(up.columns) <= set(value_of):
            return _parent_rule(table, tuple(value_of[c] for c in up.columns), up, catalog)
    for index in parent.indexes:
        if index.is_global and index.unique and set(index.columns) <= set(value_of):
            entries = global_index_table(parent, index)
            where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(index.columns, 1))
            types = [_type(parent, c) for c in index.columns]
            return ParentRule(
                column_positions(table, tuple(value_of[c] for c in index.columns)),
                _hasher(types),
                f"SELECT {quoted(TARGET)} FROM {quoted(table_name(entries))} WHERE {where}",
                link.name,
                parent,
                index.columns,
            )
    raise InternalError(f"nothing finds the parent rows of {table.name} in {parent.name}")


def _hash_rule(
    table: Table, columns: tuple[str, ...], owner: Table, key: tuple[str, ...]
) -> HashRule:
    types = [_type(owner, c) for c in key]
    integer = len(types) == 1 and is_plain_integer(types[0])
    return HashRule(column_positions(table, columns), _hasher(types), integer)


def _hasher(types: list[SqlType]) -> BucketOf:
    encode = key_encoder(types)
    return lambda values: bucket_of(encode(values))


def _type(table: Table, column: str) -> SqlType:
    found = table.column(column)
    return BIGINT if found is None else found.type  # the hidden row key


class PlacementCache:
    """Rules by table id, and where entries of global indexes go, for one catalog version."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rules: dict[int, PlacementRule] = {}
        self._keys: dict[tuple[int, tuple[str, ...]], BucketOf] = {}

    def rule(self, table: Table) -> PlacementRule:
        """The rule of a table."""
        if table.id not in self._rules:
            self._rules[table.id] = rule_for(table, self._catalog)
        return self._rules[table.id]

    def hasher(self, table: Table, columns: tuple[str, ...]) -> BucketOf:
        """The bucket of a key made of values of these columns."""
        found = self._keys.get((table.id, columns))
        if found is None:
            found = _hasher([_type(table, c) for c in columns])
            self._keys[table.id, columns] = found
        return found
