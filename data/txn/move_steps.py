"""The steps of transactions that move buckets, and what the results of steps are. See data/moving/.

Rows go from one replica set to another as they are: nothing follows from it (index entries name
buckets, children of the same bucket go along), except that rows which others delete at this moment
must not be missed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from data.catalog.element_ddl import BUCKET, element_tables, has_bucket, quoted, table_name
from data.catalog.objects import Distribution
from data.storage import changes as row_changes
from data.storage.changes import Inserted, RowChange
from data.storage.element import Element
from data.storage.spool import Spool
from data.txn.bulk_locks import KeyBlock
from data.txn.facts import FactsCache, ParentLink, TableFacts
from data.txn.gate import Gate, bucket_lock
from data.txn.locks import Conflict, Mode, Resource
from data.txn.ownership import OWN_TABLE, VERSION_LOCK, VERSION_ROW, Ownership
from protocol.errors import InternalError, StaleMapError, UniqueViolationError
from protocol.messages.sql import Effect, PutIn, SetOwners, TakeBuckets, TakeOut
from protocol.sqltypes import StorageRow

ROWS_AT_ONCE = 50  # of a table, whose size is not known before they are read
_OWNERS = f"SELECT bucket, owner FROM {OWN_TABLE} WHERE bucket IN (SELECT value FROM json_each(?1))"


class Block(NamedTuple):
    """New rows of a table, and what the lock table has to know of them."""

    encoded: bytes  # of data/storage/changes.py
    rows: Inserted
    table_id: int
    keys: KeyBlock
    placed: bool  # they are in the SQLite transaction


@dataclass
class StepsResult:
    """What the steps did: for the answer, the log and the lock table."""

    counts: list[int] = field(default_factory=list)
    rows: list[StorageRow] = field(default_factory=list)
    changes: list[RowChange] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    locks: list[tuple[Resource, Mode]] = field(default_factory=list)
    adds: bool = False  # rows of tables that its DDL makes
    spool: Spool | None = None  # changes of a large statement, instead of `changes`
    block: Block | None = None  # new rows, instead of `changes`

    def pieces(self) -> Iterator[list[RowChange]]:
        """All row changes, some at a time."""
        if self.spool is not None:
            yield from self.spool.changes()
        for at in range(0, len(self.changes), row_changes.PIECE):
            yield self.changes[at : at + row_changes.PIECE]


class MustWaitError(Exception):
    """What a step builds on is locked: it cannot even be tried. Never leaves this package."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(conflict)
        self.conflict = conflict


class MovingSide(Protocol):
    """What the steps need of the lead (data/txn/moving.py)."""

    gate: Gate
    ownership: Ownership

    def close_gate(self, buckets: Sequence[int]) -> None: ...


class MoveSteps:
    """The part of StepRunner that moves buckets."""

    _element: Element
    _facts: FactsCache
    _mover: MovingSide | None
    _gate: Gate

    def _need_free(self, wanted: list[tuple[Resource, Mode]]) -> None:
        raise NotImplementedError

    def _wait_for_keys(self, facts: TableFacts, rows: Sequence[StorageRow]) -> None:
        raise NotImplementedError

    def _check_parents(
        self, facts: TableFacts, link: ParentLink, changes: list[RowChange], result: StepsResult
    ) -> None:
        raise NotImplementedError

    def _check_owned(self, rows: Iterable[StorageRow]) -> None:
        """Rows that come here belong here. Raises StaleMapError."""
        self._check_buckets([int(row[-1] or 0) for row in rows])

    def _check_buckets(self, buckets: list[int]) -> None:
        if self._mover is not None:
            self._mover.ownership.check_rows(buckets)

    def _take_buckets(self, step: TakeBuckets, result: StepsResult) -> None:
        if self._mover is None:
            raise InternalError("buckets are moved by leads only")
        self._mover.close_gate(step.buckets)
        wanted = [(bucket_lock(bucket), Mode.EXCLUSIVE) for bucket in step.buckets]
        if step.whole:
            wanted += [
                ((table.id,), Mode.INTENTION)
                for table in self._facts.catalog.tables()
                if has_bucket(table)
            ]
        self._need_free(wanted)
        result.locks += wanted
        result.counts.append(len(step.buckets))

    def _take_out(self, step: TakeOut, result: StepsResult) -> None:
        taken = size = 0
        buckets = json.dumps(step.buckets)
        more = 0
        for name in tables_with_buckets(self._facts):
            sql = (
                f"SELECT * FROM {quoted(name)} WHERE {quoted(BUCKET)} IN "
                "(SELECT value FROM json_each(?1)) LIMIT ?2"
            )
            while taken < step.rows_max and size < step.bytes_max:
                limit = min(ROWS_AT_ONCE, step.rows_max - taken)
                rows = self._element.read_in_batch(sql, (buckets, limit))
                changes = [RowChange(name, row, None) for row in rows]
                self._element.apply_changes(changes)
                result.changes += changes
                result.rows += [(name, *row) for row in rows]
                taken += len(rows)
                size += sum(map(_size, rows))
                if len(rows) < limit:
                    break
            else:
                more = 1
                break
        result.rows.append(("", more))
        result.counts.append(taken)

    def _put_in(self, step: PutIn, result: StepsResult) -> None:
        by_table: dict[str, list[StorageRow]] = {}
        for row in step.rows:
            by_table.setdefault(str(row[0]), []).append(tuple(row[1:]))
        for name, rows in by_table.items():
            facts = self._facts.by_name(name)
            try:
                changes = self._element.insert_rows(name, rows)
            except UniqueViolationError:  # a view's row has come to the source from a bucket here,
                if facts is not None:  # and the COMMIT that takes it from here is on its way
                    self._wait_for_keys(facts, rows)
                raise
            result.changes += changes
            for link in facts.parents if facts is not None else ():
                if link.parent.distribution is Distribution.DUPLICATE:
                    assert facts is not None
                    self._check_parents(facts, link, changes, result)
        result.counts.append(len(step.rows))

    def _set_owners(self, step: SetOwners, result: StepsResult) -> None:
        result.locks.append((VERSION_LOCK, Mode.EXCLUSIVE))
        self._need_free([(VERSION_LOCK, Mode.EXCLUSIVE)])
        wanted = {int(bucket or 0): int(owner or 0) for bucket, owner in step.owners}
        rows = self._element.read_in_batch(_OWNERS, (json.dumps([VERSION_ROW, *wanted]),))
        there = {int(row[0] or 0): int(row[1] or 0) for row in rows}
        version = there.get(VERSION_ROW, -1)
        if step.first and version >= 0:
            result.counts.append(0)
            return
        if version < 0 and not (step.first or step.fresh):
            raise StaleMapError("which buckets are owned here is not known yet")
        changes: list[RowChange] = []
        for bucket, owner in wanted.items():
            before = there.get(bucket)
            if step.expect and before != step.expect:
                raise StaleMapError(f"bucket {bucket} is not owned by replica set {step.expect}")
            if before != owner:
                changes.append(_row_change(bucket, before, owner))
        new_version = 0 if step.first else max(version, 0) + 1
        if not step.more:
            changes.append(_row_change(VERSION_ROW, there.get(VERSION_ROW), new_version))
        result.rows.append((new_version,))
        self._element.apply_changes(changes)
        result.changes += changes
        result.counts.append(len(changes))


def tables_with_buckets(facts: FactsCache) -> list[str]:
    """SQLite names of the tables whose rows are in buckets."""
    return [table_name(t) for t in element_tables(facts.catalog) if has_bucket(t)]


def _row_change(bucket: int, before: int | None, owner: int) -> RowChange:
    old = None if before is None else (bucket, before)
    return RowChange(OWN_TABLE, old, (bucket, owner))


def _size(row: StorageRow) -> int:
    return 9 * len(row) + sum(len(v) for v in row if isinstance(v, str | bytes))
