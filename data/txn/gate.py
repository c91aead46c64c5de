"""The gate before buckets that move: who changes rows in them, and who has. Pure.

While a moving transaction wants buckets, every other transaction that changes a row of one of
them, or locks a key that would be there, holds a shared lock on the bucket; the mover asks for it
alone. Without a mover nothing of this costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from data.catalog.element_ddl import key_columns
from data.catalog.objects import Distribution, Table
from data.distribution.hashing import bucket_of
from data.distribution.keys import key_bytes
from data.storage.changes import RowChange
from data.txn.facts import FactsCache
from data.txn.locks import Lock, Mode, Resource
from protocol.ids import TxnId
from protocol.sqltypes import BIGINT, StorageValue

BUCKET_LOCK = "_bucket"


def bucket_lock(bucket: int) -> Resource:
    """The lock on a bucket."""
    return (BUCKET_LOCK, bucket)


def bucket_of_lock(resource: Resource) -> int:
    """The bucket that a lock is on, -1: none."""
    if isinstance(resource, tuple) and len(resource) == 2 and resource[0] == BUCKET_LOCK:
        return int(resource[1])
    return -1


class Gate:
    """The buckets that movers want or hold."""

    def __init__(self) -> None:
        self._buckets: dict[int, TxnId] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def close(self, buckets: Iterable[int], txn: TxnId) -> None:
        """A mover wants these."""
        for bucket in buckets:
            self._buckets.setdefault(bucket, txn)

    def adopt(self, txn: TxnId, held: Iterable[Lock]) -> None:
        """A prepared transaction found in the log: perhaps it moves buckets."""
        self.close(
            [
                bucket
                for resource, mode in held
                if mode is Mode.EXCLUSIVE and (bucket := bucket_of_lock(resource)) >= 0
            ],
            txn,
        )

    def open(self, txn: TxnId) -> None:
        """The mover has ended, however."""
        if self._buckets:
            self._buckets = {b: mover for b, mover in self._buckets.items() if mover != txn}

    def clear(self) -> None:
        """The term is over."""
        self._buckets.clear()

    def of(self, txn: TxnId) -> list[int]:
        """The buckets of a mover."""
        return [bucket for bucket, mover in self._buckets.items() if mover == txn]

    # -- locks of others ---------------------------------------------------------------------------
    def of_changes(self, changes: Iterable[RowChange], facts: FactsCache) -> list[Lock]:
        """Locks on the buckets of rows that were changed."""
        wanted = self._buckets
        found: set[int] = set()
        positions: dict[str, int] = {}
        for table, old, new in changes:
            at = positions.get(table)
            if at is None:
                at = positions[table] = _bucket_position(table, facts)
            if at is not None and at != _NO_BUCKET:
                for row in (old, new):
                    if row is not None and row[at] in wanted:
                        found.add(int(row[at] or 0))
        return [(bucket_lock(bucket), Mode.SHARED) for bucket in sorted(found)]

    def of_locks(self, locks: Iterable[Lock], facts: FactsCache) -> list[Lock]:
        """Locks on the buckets that locked keys are in, or would be in."""
        found: set[int] = set()
        for resource, _ in locks:
            bucket = _bucket_of_key(resource, facts)
            if bucket in self._buckets:
                found.add(bucket)
        return [(bucket_lock(bucket), Mode.SHARED) for bucket in sorted(found)]

    def all(self) -> list[Lock]:
        """Locks on all of them: for transactions too large to look at."""
        return [(bucket_lock(bucket), Mode.SHARED) for bucket in self._buckets]


_NO_BUCKET = 1 << 30  # the table's rows are in no bucket


def _bucket_position(name: str, facts: FactsCache) -> int:
    """Where the bucket stands in a full row: it is the last column."""
    if name.startswith("_"):
        return _NO_BUCKET  # ours
    found = facts.by_name(name)
    if found is None:  # entries of a global index
        return -1
    return found.bucket if found.bucket >= 0 else _NO_BUCKET


def _bucket_of_key(resource: Resource, facts: FactsCache) -> int:
    """-1 if it is not the name of a row or key, or does not tell its bucket."""
    if not isinstance(resource, tuple):
        return -1
    if len(resource) == 2 and isinstance(resource[0], str) and resource[0].startswith("GI."):
        entries = facts.entries(resource[0])
        if entries is None:
            return -1
        return _hash(entries, entries.distribution_key, list(resource[1]))
    if len(resource) == 3 and isinstance(resource[1], int):
        return _bucket_of_row_key(*resource, facts)
    return -1


def _bucket_of_row_key(
    table_id: int, index_id: int, key: tuple[StorageValue, ...], facts: FactsCache
) -> int:
    try:
        found = facts.by_id(table_id)
    except KeyError:
        return -1
    table = found.table
    if table.distribution is not Distribution.HASH or found.bucket < 0:
        return -1
    if table.system:
        return 0  # sequences
    unique = next((u for u in found.unique_keys if u.index_id == index_id), None)
    if unique is None:
        return -1
    columns = [found.columns[at] for at in unique.positions]
    placed_by = table.distribution_key or key_columns(table)
    if not set(placed_by) <= set(columns):
        return -1
    return _hash(table, placed_by, [key[columns.index(name)] for name in placed_by])


def _hash(table: Table, columns: tuple[str, ...], values: list[StorageValue]) -> int:
    """The bucket of a key; `values` may go on after those of `columns`."""
    values = values[: len(columns)]
    if None in values:
        return -1
    types = []
    for name in columns:
        column = table.column(name)
        types.append(BIGINT if column is None else column.type)
    return bucket_of(key_bytes(values, types))
