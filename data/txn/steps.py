"""Carries the steps of one statement out on the lead's element, inside its open batch.

Foreign keys are checked here from the row changes (SQLite knows none): what the element itself can
decide is decided at once, the rest comes back as effects for the coordinator. The caller owns the
savepoint: on any error the statement is rolled back there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import structlog

from data.catalog.catalog import names_of, shown
from data.catalog.element_ddl import quoted
from data.catalog.materialized import ViewLink
from data.catalog.objects import Distribution
from data.storage import changes as row_changes
from data.storage.changes import Inserted, RowChange
from data.storage.element import Element, HeldSnapshot
from data.txn.block_check import BlockCheck
from data.txn.bulk_locks import KeyBlock
from data.txn.facts import (
    DDL_RESOURCE,
    ChildLink,
    FactsCache,
    ParentLink,
    TableFacts,
    child_resource,
    entries_name,
    exists_sql,
    key_name,
)
from data.txn.gate import Gate
from data.txn.locks import INTENTION_SHARED, Conflict, Mode, Resource, intention_of
from data.txn.move_steps import Block, MoveSteps, MovingSide, MustWaitError, StepsResult
from data.txn.ownership import OWN_TABLE
from data.txn.snapshot_check import Touched, check_seen, check_touched
from protocol import trace
from protocol.errors import (
    ForeignKeyError,
    InternalError,
    LargeStatementError,
    Names,
    SequenceError,
    UniqueViolationError,
)
from protocol.messages.sql import (
    AddRows,
    ApplyImages,
    ChildKeys,
    Effect,
    InsertBlock,
    InsertRows,
    LockKeys,
    LockTable,
    PutIn,
    PutIndexKeys,
    PutViewRows,
    RunKeyed,
    RunSql,
    SelectRows,
    SetOwners,
    Step,
    TakeBuckets,
    TakeKeys,
    TakeOut,
    TakeSequence,
)
from protocol.sqltypes import StorageRow, StorageValue

log = structlog.get_logger()

LOCKED_ROWS_MAX = 10_000  # of a SELECT that locks them where it reads
SEQUENCE_TABLE = "SYS.SEQUENCE_STATE"
CASCADE_DEPTH_MAX = 32


class NotSeenError(Exception):
    """A row is not there: perhaps because the transaction's earlier changes are not in place.

    Only while `StepRunner.apart`. Never leaves this package.
    """


class StepRunner(MoveSteps):
    """Runs steps on one element with one catalog version."""

    def __init__(
        self,
        element: Element,
        facts: FactsCache,
        conflict_of: Callable[[Iterable[tuple[Resource, Mode]]], Conflict | None],
        mover: MovingSide | None = None,
    ) -> None:
        self._element = element
        self._facts = facts
        self.snapshot: HeldSnapshot | None = None  # of the transaction whose statement runs
        self.apart = False  # what the transaction did before is not in place
        self.waiting = -1  # bytes of blocks that wait for their COMMIT; -1: none may
        self._checks: dict[int, BlockCheck] = {}
        self._mover = mover
        self._gate = mover.gate if mover is not None else Gate()
        self._conflict_of = conflict_of  # with others than the transaction whose statement runs

    def run(self, steps: Iterable[Step]) -> StepsResult:
        """Raises the GridError of the first step that fails; the caller undoes all of them."""
        if trace.steps.listener is not None:
            trace.step("data/txn/steps.py")
        result = StepsResult()
        for step in steps:
            _RUN[type(step)](self, step, result)
        if self._gate:
            result.locks += self._gate.of_locks(result.locks, self._facts)
        return result

    def run_long(self, steps: tuple[Step, ...]) -> StepsResult:
        """`run` on the writer's thread; the changes of a plain statement are spooled."""
        step = steps[0]
        if not self.is_plain(steps) or not isinstance(step, RunSql) or step.want_rows:
            return self.run(steps)
        result = StepsResult(spool=self._element.new_spool())
        assert result.spool is not None
        result.counts.append(self._element.run_spooled(step.sql, step.params, result.spool))
        return result

    def touched(self, steps: tuple[Step, ...], result: StepsResult) -> Touched | None:
        """What has to be looked at when `run_long` has spooled; None: nothing, or it was."""
        step = steps[0]
        if result.spool is None or self.snapshot is None:
            return None
        assert isinstance(step, RunSql)
        if step.match is None:
            return None
        columns = self._element.column_names(self._facts.by_id(step.table_id).name)
        return Touched(self.snapshot, step.match, columns)

    def facts_of(self, table_id: int) -> TableFacts:
        """Raises KeyError for an unknown table."""
        return self._facts.by_id(table_id)

    def is_long(self, steps: tuple[Step, ...]) -> bool:
        """Perhaps it changes very many rows. No step of it asks for locks while it runs."""
        long = False
        for step in steps:
            if type(step) is not RunSql:
                return False
            long = long or not self._element.is_short(step.sql, step.params)
        return long

    def is_plain(self, steps: tuple[Step, ...]) -> bool:
        """One write from which nothing else follows: it fails as a whole or not at all."""
        if len(steps) != 1:
            return False
        step = steps[0]
        if not isinstance(step, RunSql | InsertRows | InsertBlock):
            return False
        return self._facts.by_id(step.table_id).is_plain

    def is_apart(self, steps: tuple[Step, ...]) -> bool:
        """They look at single rows, which the transaction has locked if it changed them before.

        So it can be noticed if they cannot do without what it did: such a lock is wanted again, a
        row is not there (an error, or NotSeenError), or is there twice.
        """
        return all(type(step) in _BY_KEY for step in steps)

    def row_locks(self, changes: list[RowChange]) -> list[tuple[Resource, Mode]]:
        """The locks row changes need: rows, unique keys, intention on their tables."""
        wanted: list[tuple[Resource, Mode]] = []
        tables: set[int] = set()
        for change in changes:
            if change.table == OWN_TABLE:
                continue  # VERSION_LOCK stands for all of it
            facts = self._facts.by_name(change.table)
            if facts is None:  # index entries: their key is the first columns
                row = change.new if change.new is not None else change.old
                assert row is not None
                key = row[: self._facts.entry_width(change.table)]
                wanted.append(((change.table, key), Mode.EXCLUSIVE))
                continue
            tables.add(facts.table.id)
            wanted += facts.resources(change)
        wanted += [((table_id,), Mode.INTENTION) for table_id in tables]
        if self._gate:
            wanted += self._gate.of_changes(changes, self._facts)
        return wanted

    # -- steps -------------------------------------------------------------------------------------
    def _run_sql(self, step: RunSql, result: StepsResult) -> None:
        rows_max = step.keyed.rows_max if step.keyed is not None else 0
        done = self._element.run(step.sql, step.params, step.want_rows, rows_max)
        if step.match is not None and self.snapshot is not None:
            name = self._facts.by_id(step.table_id).name
            columns = self._element.column_names(name)
            check_touched(self.snapshot, step.match, columns, done.changes)
        result.counts.append(done.rowcount)
        if done.rows:
            result.rows += done.rows
        self._after(self._facts.by_id(step.table_id), done.changes, result, moving=step.moving)

    def _run_keyed(self, step: RunKeyed, result: StepsResult) -> None:
        done = self._element.run_by_key(step.sql, step.params, step.keys, step.want_rows)
        if self.apart and not step.fresh and done.rowcount < len(step.keys):
            raise NotSeenError
        result.counts.append(done.rowcount)
        result.rows += done.rows
        self._after(self._facts.by_id(step.table_id), done.changes, result)

    def _insert_rows(self, step: InsertRows, result: StepsResult) -> None:
        facts = self._facts.by_id(step.table_id)
        rows: list[StorageRow] = [tuple(row) for row in step.rows]
        if facts.bucket >= 0:
            self._check_owned(rows)
        if step.ignore:
            done = self._element.insert_new_rows(facts.name, rows, step.target)
        else:
            try:
                done = self._element.insert_rows(facts.name, rows)
            except UniqueViolationError:
                self._wait_for_keys(facts, rows)
                raise
        result.counts.append(len(done))
        if step.ignore:
            result.rows += [change.new for change in done if change.new is not None]
        self._after(facts, done, result)

    def _insert_block(self, step: InsertBlock, result: StepsResult) -> None:
        facts = self._facts.by_id(step.table_id)
        inserted = row_changes.decode_inserts(step.rows)
        if not facts.is_plain or inserted.table != facts.name or result.changes or result.block:
            raise InternalError(f"rows of {facts.name} cannot come as a block")
        if facts.bucket >= 0:
            self._check_buckets(inserted.column(facts.bucket))
        keys = facts.keys_of_new(inserted)
        placed = not self._may_wait(facts, inserted, keys, len(step.rows))
        if placed:
            try:
                self._element.insert_block(inserted)
            except UniqueViolationError:
                self._wait_for_keys(facts, inserted.rows)
                raise
        result.counts.append(len(inserted))
        result.block = Block(step.rows, inserted, step.table_id, keys, placed)
        result.locks.append(((step.table_id,), Mode.INTENTION))
        if self._gate:
            result.locks += self._gate.of_changes(inserted, self._facts)

    def _may_wait(self, facts: TableFacts, rows: Inserted, keys: KeyBlock, encoded: int) -> bool:
        """The COMMIT can insert the rows, and until then nobody has to have them."""
        if self.waiting < 0:
            return False
        check = self._checks.get(facts.table.id)
        if check is None:
            check = self._checks[facts.table.id] = BlockCheck(facts)
        return check.surely_fits(self._element, rows, keys, encoded, self.waiting)

    def _wait_for_keys(self, facts: TableFacts, rows: Sequence[StorageRow]) -> None:
        """A key exists: perhaps it is about to go, with a transaction that is not committed."""
        for row in rows:
            for resource, _ in facts.resources(RowChange(facts.name, None, row)):
                if self._conflict_of([(resource, Mode.KEY_SHARED)]) is not None:
                    raise MustWaitError(Conflict(resource, Mode.EXCLUSIVE))

    def _put_index_keys(self, step: PutIndexKeys, result: StepsResult) -> None:
        facts = self._facts.by_id(step.table_id)
        key = next(g for g in facts.global_keys if g.index.id == step.index_id)
        width = len(key.positions)
        wanted: list[tuple[Resource, Mode]] = [
            ((key.name, tuple(row[:width])), Mode.EXCLUSIVE)
            for row in (*step.deletes, *step.inserts)
        ]
        # the row's lock is free as soon as its replica set has the commit of whoever changed it
        # before; here that commit may still be on its way
        self._need_free(wanted)
        self._check_owned(step.inserts)
        result.locks += wanted
        for row in step.deletes:
            done = self._element.run(key.delete_sql, tuple(row[:width]))
            if done.rowcount != 1:
                if self.apart:
                    raise NotSeenError
                log.error("index.entry_missing", index=key.name, key=row[:width])
            result.changes += done.changes
        if step.inserts:
            result.changes += self._element.insert_rows(key.name, [tuple(r) for r in step.inserts])
        result.counts.append(len(step.inserts))

    def _put_view_rows(self, step: PutViewRows, result: StepsResult) -> None:
        facts = self._facts.by_id(step.table_id)
        row_key = facts.unique_keys[0]
        keys = [tuple(key) for key in step.deletes]
        rows = [tuple(row) for row in step.inserts]
        wanted: list[tuple[Resource, Mode]] = [
            ((step.table_id, row_key.index_id, key), Mode.EXCLUSIVE)
            for key in (*keys, *map(facts.key_of, rows))
        ]
        self._need_free(wanted)  # as for index entries
        self._check_owned(rows)
        result.locks += wanted
        changes: list[RowChange] = []
        for key in keys:
            changes += self._element.run(view_delete_sql(facts), key).changes
        try:
            changes += self._element.insert_rows(facts.name, rows)
        except UniqueViolationError:
            self._wait_for_keys(facts, rows)
            raise
        result.counts.append(len(rows))
        self._after(facts, changes, result)

    def _apply_images(self, step: ApplyImages, result: StepsResult) -> None:
        changes = row_changes.decode(step.changes)
        self._need_free(self.row_locks(changes))  # as for index entries
        self._element.apply_changes(changes)
        result.counts.append(len(changes))
        by_table: dict[str, list[RowChange]] = {}
        for change in changes:
            by_table.setdefault(change.table, []).append(change)
        for name, some in by_table.items():
            facts = self._facts.by_name(name)
            if facts is None:
                raise InternalError(f"images of an unknown table {name}")
            result.changes += some
            self._check_children(facts, some, result, depth=0, images=True)

    def _need_free(self, wanted: list[tuple[Resource, Mode]]) -> None:
        conflict = self._conflict_of(wanted)
        if conflict is not None:
            raise MustWaitError(conflict)

    def _lock_keys(self, step: LockKeys, result: StepsResult) -> None:
        if step.table_id < 0:
            self._lock_entries(step, result)
            return
        facts = self._facts.by_id(step.table_id)
        sql = exists_sql(facts.table, step.columns)
        name = key_name(facts.table, step.columns)
        for key in step.keys:
            values = tuple(key)
            if not self._element.read_in_batch(sql, values):
                error = _missing_parent(step.constraint, facts, step.columns, values)
                raise error.about(_child_names(facts, step.constraint))
            result.locks.append((name.resource(values), Mode.KEY_SHARED))
        result.locks.append(((step.table_id,), INTENTION_SHARED))
        result.counts.append(len(step.keys))

    def _lock_entries(self, step: LockKeys, result: StepsResult) -> None:
        """Lock entries of global index -table_id: each stands for the row it names."""
        name = entries_name(-step.table_id)
        where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(step.columns, 1))
        for key in step.keys:
            values = tuple(key)
            sql = f"SELECT 1 FROM {quoted(name)} WHERE {where} LIMIT 1"
            if not self._element.read_in_batch(sql, values):
                error = _no_parent(step.constraint, ", ".join(step.columns), values)
                parent = self._facts.catalog.table_of_index(-step.table_id)
                if parent is not None:
                    error.about(_child_names(self._facts.by_id(parent.id), step.constraint))
                raise error
            result.locks.append(((name, values), Mode.KEY_SHARED))
        result.counts.append(len(step.keys))

    def _take_keys(self, step: TakeKeys, result: StepsResult) -> None:
        mode = Mode(step.mode)
        wanted: list[tuple[Resource, Mode]] = []
        if step.table_id < 0:
            wanted += [((entries_name(-step.table_id), tuple(key)), mode) for key in step.keys]
        else:
            facts = self._facts.by_id(step.table_id)
            index_id = step.index_id or facts.unique_keys[0].index_id
            wanted += [((step.table_id, index_id, tuple(key)), mode) for key in step.keys]
            result.locks.append(((step.table_id,), intention_of(mode)))
        if step.skip:
            free = [self._conflict_of([lock]) is None for lock in wanted]
            wanted = [lock for lock, is_free in zip(wanted, free, strict=True) if is_free]
            keys = zip(step.keys, free, strict=True)
            result.rows += [tuple(key) for key, is_free in keys if is_free]
        result.locks += wanted
        result.counts.append(len(wanted))

    def _child_keys(self, step: ChildKeys, result: StepsResult) -> None:
        child = self._facts.by_id(step.table_id)
        link = next(p for p in child.parents if p.key.name == step.constraint)
        for key in step.keys:
            resource = child_resource(step.table_id, link.key, tuple(key))
            result.locks.append((resource, Mode.EXCLUSIVE))
            result.locks.append(((step.table_id,), INTENTION_SHARED))
            self._remove_children(child, link, tuple(key), result, 0, step.restrict)
        result.counts.append(0)

    def _lock_table(self, step: LockTable, result: StepsResult) -> None:
        resource: Resource = (step.table_id,) if step.table_id else DDL_RESOURCE
        result.locks.append((resource, Mode(step.mode)))
        result.counts.append(0)

    def _take_sequence(self, step: TakeSequence, result: StepsResult) -> None:
        rows = self._element.read_in_batch(
            f'SELECT NEXT_VALUE FROM "{SEQUENCE_TABLE}" WHERE ID = ?1', (step.sequence_id,)
        )
        first = int(rows[0][0] or 0) if rows else step.start
        following = first + step.count * step.increment
        if not -(2**63) <= following < 2**63:
            raise SequenceError("the sequence is used up: its numbers have 64 bits")
        if rows:
            done = self._element.run(
                f'UPDATE "{SEQUENCE_TABLE}" SET NEXT_VALUE = ?2 WHERE ID = ?1',
                (step.sequence_id, following),
            )
        else:
            done = self._element.run(
                f'INSERT INTO "{SEQUENCE_TABLE}"(ID, NEXT_VALUE, _BUCKET) VALUES (?1, ?2, 0)',
                (step.sequence_id, following),
            )
        result.changes += done.changes
        result.rows.append((first,))
        result.counts.append(1)

    def _select_rows(self, step: SelectRows, result: StepsResult) -> None:
        """Raises LargeStatementError beyond `LOCKED_ROWS_MAX`: others wait for its end."""
        with closing(self._element.rows_in_batch(step.sql, step.params)) as found:
            kept = self._lock_rows(step, found, result)
        result.rows += kept
        result.counts.append(len(kept))

    def _lock_rows(
        self, step: SelectRows, found: Iterator[StorageRow], result: StepsResult
    ) -> list[StorageRow]:
        mode = Mode(step.mode)
        places = [
            (table_id, self._facts.by_id(table_id).unique_keys[0].index_id, first, first + width)
            for table_id, first, width in step.locks
        ]
        as_seen = step.as_seen and self.snapshot is not None
        kept: list[StorageRow] = []
        seen: list[StorageRow] = []
        for number, row in enumerate(found):
            if number == LOCKED_ROWS_MAX:
                raise LargeStatementError(f"{number} rows and more")
            if as_seen:
                seen.append(row)
            elif len(kept) == step.limit:
                break
            wanted: list[tuple[Resource, Mode]] = [
                ((table_id, index_id, tuple(row[first:end])), mode)
                for table_id, index_id, first, end in places
                if None not in row[first:end]  # the empty side of an outer join
            ]
            if step.skip and self._conflict_of(wanted) is not None:
                continue
            if len(kept) != step.limit:
                kept.append(row)
                result.locks += wanted
        if as_seen:
            assert self.snapshot is not None
            check_seen(self.snapshot, step, seen)
        result.locks += [((table_id,), intention_of(mode)) for table_id, *_ in places]
        return kept

    def _add_rows(self, step: AddRows, result: StepsResult) -> None:
        result.changes += [RowChange(step.table, None, tuple(row)) for row in step.rows]
        result.adds = True
        result.counts.append(len(step.rows))

    # -- what follows from row changes -------------------------------------------------------------
    def _after(
        self,
        facts: TableFacts,
        changes: list[RowChange],
        result: StepsResult,
        depth: int = 0,
        moving: bool = False,
    ) -> None:
        """Collect a table's changes with the checks and effects they entail."""
        result.changes += changes
        if changes and facts.table.distribution is Distribution.DUPLICATE:
            result.effects.append(
                Effect("images", facts.table.id, changes=row_changes.encode(changes))
            )
        for parent in facts.parents:
            self._check_parents(facts, parent, changes, result)
        self._check_children(facts, changes, result, depth, moving)
        for key in facts.global_keys:
            deletes: list[StorageRow] = []
            inserts: list[StorageRow] = []
            for change in changes:
                old = key.entry(change.old, facts.bucket)
                new = key.entry(change.new, facts.bucket)
                if old != new:
                    if old is not None:
                        deletes.append(old)
                    if new is not None:
                        inserts.append(new)
            if deletes or inserts:
                result.effects.append(
                    Effect("index", facts.table.id, "", key.index.id, (), deletes, inserts)
                )
        for link in facts.views:
            self._show_in_view(link, changes, result)

    def _show_in_view(self, link: ViewLink, changes: list[RowChange], result: StepsResult) -> None:
        """What the changes are in a materialized view."""
        gone: dict[StorageRow, None] = {}
        came: dict[StorageRow, StorageRow] = {}  # key of the row → the row
        for change in changes:
            if not link.changed(change.old, change.new):
                continue
            if change.old is not None:
                came.pop(tuple([change.old[i] for i in link.detail_key]), None)
                gone[link.old(change.old)] = None
            if change.new is not None:
                came[tuple([change.new[i] for i in link.detail_key])] = change.new
        rows: list[StorageRow] = []
        for key, row in came.items():
            if link.plain is not None:
                rows.append(tuple([row[i] for i in link.plain]))
            else:
                rows += self._element.read_in_batch(link.row_sql, key)
        if gone or rows:
            result.effects.append(Effect("view", link.view.id, deletes=list(gone), rows=rows))

    def _check_parents(
        self, facts: TableFacts, link: ParentLink, changes: list[RowChange], result: StepsResult
    ) -> None:
        keys: dict[tuple[StorageValue, ...], None] = {}
        for change in changes:
            if change.new is None:
                continue
            key = tuple(change.new[i] for i in link.positions)
            if None in key:
                continue
            if change.old is not None and key == tuple(change.old[i] for i in link.positions):
                continue
            keys[key] = None
        if not keys:
            return
        if not link.is_local:
            result.effects.append(
                Effect(
                    "parent",
                    link.parent.id,
                    link.key.name,
                    link.parent_key.index_id,
                    link.key.parent_columns,
                    [],
                    list(keys),
                )
            )
            return
        read = self._element.read_in_batch
        result.locks.append(((link.parent.id,), INTENTION_SHARED))
        for key in keys:
            if not read(link.exists_sql, key):
                error = _missing_parent(link.key.name, facts, link.key.columns, key)
                raise error.about(names_of(facts.table, constraint=link.key.name))
            result.locks.append((link.parent_key.resource(key), Mode.KEY_SHARED))

    def _check_children(
        self,
        facts: TableFacts,
        changes: list[RowChange],
        result: StepsResult,
        depth: int,
        moving: bool = False,
        images: bool = False,
    ) -> None:
        """Only a deleted parent cascades; one that changes its key, or its place, must be free.

        images: the changes were made elsewhere first; what happened to DUPLICATE children there
        arrives as images too.
        """
        for link in facts.children:
            if images and link.child.distribution is Distribution.DUPLICATE:
                continue
            gone: dict[tuple[StorageValue, ...], None] = {}
            changed: dict[tuple[StorageValue, ...], None] = {}
            for change in changes:
                if change.old is None:
                    continue
                key = tuple(change.old[i] for i in link.positions)
                if change.new is not None and key == tuple(change.new[i] for i in link.positions):
                    continue
                if None not in key:
                    (gone if change.new is None and not moving else changed)[key] = None
            for change in changes:  # deleted and put back in one statement: still there
                if change.new is not None:
                    key = tuple(change.new[i] for i in link.positions)
                    gone.pop(key, None)
                    changed.pop(key, None)
            if gone:
                self._parents_gone(link, gone, result, depth, restrict=False)
            if changed:
                self._parents_gone(link, changed, result, depth, restrict=True)

    def _parents_gone(
        self,
        link: ChildLink,
        gone: dict[tuple[StorageValue, ...], None],
        result: StepsResult,
        depth: int,
        restrict: bool,
    ) -> None:
        if not link.is_local:
            kind = "changed" if restrict else "child"
            result.effects.append(
                Effect(kind, link.child.id, link.key.name, 0, link.key.columns, [], list(gone))
            )
            return
        child = self._facts.by_id(link.child.id)
        parent_link = next(p for p in child.parents if p.key.name == link.key.name)
        for key in gone:
            self._remove_children(child, parent_link, key, result, depth + 1, restrict)

    def _remove_children(
        self,
        child: TableFacts,
        link: ParentLink,
        key: tuple[StorageValue, ...],
        result: StepsResult,
        depth: int,
        restrict: bool,
    ) -> None:
        """Restrict, cascade or set null for the children of one parent key that went away."""
        if depth > CASCADE_DEPTH_MAX:
            raise ForeignKeyError(f"ON DELETE CASCADE goes deeper than {CASCADE_DEPTH_MAX} levels")
        where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(link.key.columns, 1))
        name = quoted(child.name)
        if restrict or link.key.on_delete == "restrict":
            if self._element.read_in_batch(f"SELECT 1 FROM {name} WHERE {where} LIMIT 1", key):
                error = ForeignKeyError(
                    f"foreign key constraint ({link.key.name}) violated: rows of "
                    f"{child.table.schema}.{child.table.name} still refer to the row",
                    detail=f"Key ({', '.join(link.key.parent_columns)})=({_show(key)}).",
                    hint="Delete or change the child rows first.",
                )
                raise error.about(names_of(child.table, constraint=link.key.name))
            return
        if link.key.on_delete == "cascade":
            done = self._element.run(f"DELETE FROM {name} WHERE {where}", key)
        else:
            nulls = ", ".join(f"{quoted(c)} = NULL" for c in link.key.columns)
            done = self._element.run(f"UPDATE {name} SET {nulls} WHERE {where}", key)
        self._after(child, done.changes, result, depth)


def view_delete_sql(facts: TableFacts) -> str:
    """Deletes a row of a materialized view by its key."""
    columns = [facts.columns[i] for i in facts.unique_keys[0].positions]
    where = " AND ".join(f"{quoted(c)} = ?{i}" for i, c in enumerate(columns, 1))
    return f"DELETE FROM {quoted(facts.name)} WHERE {where}"


def _missing_parent(
    constraint: str, facts: TableFacts, columns: tuple[str, ...], key: tuple[StorageValue, ...]
) -> ForeignKeyError:
    table = f"{facts.table.schema}.{facts.table.name}"
    return _no_parent(constraint, f"{table} ({', '.join(columns)})", key)


def _child_names(parent: TableFacts, constraint: str) -> Names:
    """Of a foreign key seen from the parent."""
    for link in parent.children:
        if link.key.name == constraint:
            return names_of(link.child, constraint=constraint)
    return Names(constraint=shown(constraint))


def _no_parent(constraint: str, where: str, key: tuple[StorageValue, ...]) -> ForeignKeyError:
    return ForeignKeyError(
        f"foreign key constraint ({constraint}) violated: the parent row does not exist",
        detail=f"Key {where} = ({_show(key)}).",
        hint="Insert the parent row first.",
    )


def _show(key: Iterable[StorageValue]) -> str:
    return ", ".join(str(v) for v in key)


_BY_KEY: tuple[type, ...] = (RunKeyed, InsertRows, InsertBlock, AddRows, PutIndexKeys)
_BY_KEY += (ApplyImages, LockKeys, ChildKeys, PutIn)

_RUN: dict[type, Callable[[StepRunner, Any, StepsResult], None]] = {
    RunSql: StepRunner._run_sql,
    RunKeyed: StepRunner._run_keyed,
    InsertRows: StepRunner._insert_rows,
    InsertBlock: StepRunner._insert_block,
    PutIndexKeys: StepRunner._put_index_keys,
    PutViewRows: StepRunner._put_view_rows,
    ApplyImages: StepRunner._apply_images,
    LockKeys: StepRunner._lock_keys,
    TakeKeys: StepRunner._take_keys,
    ChildKeys: StepRunner._child_keys,
    LockTable: StepRunner._lock_table,
    TakeSequence: StepRunner._take_sequence,
    SelectRows: StepRunner._select_rows,
    AddRows: StepRunner._add_rows,
    TakeBuckets: StepRunner._take_buckets,
    TakeOut: StepRunner._take_out,
    PutIn: StepRunner._put_in,
    SetOwners: StepRunner._set_owners,
}
