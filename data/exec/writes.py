"""Runs INSERT, UPDATE and DELETE plans inside a transaction, with what they entail elsewhere.

A statement runs at the replica sets its rows are in; each lead answers with the *effects* of its
row changes on other replica sets (global indexes, parents, children, DUPLICATE copies), which are
carried out in the same transaction until none are left. All of it is undone by the caller when
one part fails.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from data.catalog.catalog import Catalog, names_of
from data.catalog.element_ddl import (
    full_row_columns,
    full_row_offset,
    global_index_table,
    has_bucket,
    key_columns,
    quoted,
    table_name,
)
from data.catalog.objects import Distribution, Index, Table
from data.distribution.places import Places
from data.exec.agreement import Agreement
from data.exec.at_sets import gather
from data.exec.bulk_rows import goes_in_blocks, insert_in_blocks, null_key
from data.exec.by_key import ROWS_AT_ONCE, FoundKeys, may_go_by_key, only_set_of
from data.exec.effects import steps_of
from data.exec.found_rows import FoundRows
from data.exec.placement import HashRule, ParentRule, PlacementCache
from data.exec.queries import QueryRunner, Target
from data.exec.router import Router
from data.exec.rows import RowMaker
from data.exec.upserts import Upserts
from data.sql.plan_types import (
    DeletePlan,
    InsertPlan,
    OnConflict,
    QueryPlan,
    Returning,
    UpdatePlan,
)
from data.storage.scratch import Scratch
from data.storage.spool import PieceFile
from data.storage.temporary import TemporaryTables
from data.txn.facts import FactsCache
from data.txn.manager import Transaction, TransactionManager
from data.txn.read_atomic import Opened, ReadPoint
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    ForeignKeyError,
    LargeStatementError,
    NotSupportedError,
    SerializationError,
    TransientError,
    UniqueViolationError,
)
from protocol.limits import MIB
from protocol.messages.sql import (
    Effect,
    InsertRows,
    Keyed,
    Match,
    Ran,
    RunKeyed,
    RunSql,
    SelectRows,
    Step,
)
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import StorageRow, StorageValue

Values = tuple[StorageValue, ...]
BYTES_PER_STEP = 2 * MIB
ROWS_PER_STEP = 1000  # so that no message comes near the frame limit and others get their turn


class WriteSpace(Protocol):
    """What writes need of a database on this instance."""

    router: Router
    manager: TransactionManager
    placement: PlacementCache
    facts: FactsCache

    def new_pieces(self) -> PieceFile: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def schema_version(self) -> int: ...
    @property
    def expressions(self) -> Scratch: ...


@dataclass(slots=True)
class Written:
    """What a statement did: rows touched, rows of RETURNING."""

    count: int = 0
    rows: list[StorageRow] = field(default_factory=list)


class Writer:
    """Runs the writes of one statement in `txn`."""

    def __init__(
        self, space: WriteSpace, txn: Transaction, queries: QueryRunner, maker: RowMaker | None
    ) -> None:
        self._space = space
        self.txn = txn
        self.queries = queries
        self._maker = maker
        self._schema = space.schema_version
        self.places = queries.places

    @property
    def manager(self) -> TransactionManager:
        """The transactions of this instance."""
        return self._space.manager

    def hasher(self, table: Table) -> Callable[[Sequence[StorageValue]], int]:
        """The bucket of a distribution key of `table`."""
        return self._space.placement.hasher(table, table.distribution_key)

    def evaluate(self, sql: str, params: Values) -> StorageRow:
        """The row of a SELECT without tables."""
        return self._space.expressions.query(sql, params)[0]

    def _table(self, table_id: int) -> Table:
        return self._space.catalog.table_by_id(table_id)

    async def run(self, rs: int, *steps: Step, back_ms: int = 0, snapshot: int = 0) -> Ran:
        if trace.steps.listener is not None:
            trace.step("data/exec/writes.py")
        return await self.manager.run(
            self.txn, rs, steps, self._schema, back_ms=back_ms, snapshot=snapshot,
            places=self.places,
        )  # fmt: skip

    # -- INSERT ------------------------------------------------------------------------------------
    async def insert(self, plan: InsertPlan, values: Values) -> Written:
        """Run an INSERT."""
        assert self._maker is not None
        table = self._table(plan.table_id)
        made: list[StorageRow] = []
        if plan.source is not None:
            async with aclosing(self.queries.batches(plan.source, values)) as found:
                async for batch in found:
                    made += await self._maker.make_all(plan.rows[0], values, batch)
        else:
            made = [await self._maker.make(row, values) for row in plan.rows]
        if plan.on_conflict is not None and plan.on_conflict.action == "update":
            if table.temporary:
                raise NotSupportedError("ON CONFLICT DO UPDATE of a temporary table")
            return await Upserts(self, table, plan, values).run(made)
        count, rows = await self.insert_rows(table, made, on_conflict=plan.on_conflict)
        return Written(count, self.returning(plan.returning, table, rows, values))

    async def insert_rows(
        self,
        table: Table,
        made: Sequence[StorageRow],
        *,
        on_conflict: OnConflict | None = None,
    ) -> tuple[int, list[StorageRow]]:
        """Place and insert rows (without bucket); the number inserted, and those full rows.

        on_conflict (DO NOTHING): rows whose key exists are left out.
        """
        if table.temporary:
            return await self._insert_temporary(table, made, on_conflict is not None)
        ignore = on_conflict is not None
        target: Index | None = None  # None: any
        if on_conflict is not None:
            target = next((i for i in table.indexes if i.id in on_conflict.index_ids), None)
            if any(index.is_global and index.unique for index in table.indexes):
                return await self._insert_new(table, made, target)
        if not ignore and goes_in_blocks(self._space.facts.by_id(table.id), len(made)):
            rule = self._space.placement.rule(table)
            by_columns = RowColumns.of_rows(made, len(made[0]))
            buckets = await insert_in_blocks(self, rule, table, by_columns)
            full = zip(made, buckets, strict=True)
            return len(made), [(*row, bucket) for row, bucket in full]
        placed = await self.place(table, made)
        inserted: Counter[StorageRow] = Counter()
        count = 0
        columns = target.columns if target is not None else ()
        async for answers in self._insert_placed(table, placed, ignore, columns):
            count += sum(ran.counts[0] for ran in answers)
            for ran in answers:
                inserted.update(map(tuple, ran.rows))
        rows = [full for _, full in placed]
        return count, rows if not ignore else _those_of(rows, inserted)

    async def copy_rows(self, table: Table, made: RowColumns) -> int:
        """`insert_rows` for who wants to know the number only."""
        if table.temporary or not goes_in_blocks(self._space.facts.by_id(table.id), len(made)):
            return (await self.insert_rows(table, list(made)))[0]
        await insert_in_blocks(self, self._space.placement.rule(table), table, made)
        return len(made)

    async def _insert_temporary(
        self, table: Table, made: Sequence[StorageRow], ignore: bool
    ) -> tuple[int, list[StorageRow]]:
        rows = await self._temporary.insert(self._space.catalog, table, made, ignore=ignore)
        return len(rows), rows

    @property
    def _temporary(self) -> TemporaryTables:
        return self.queries.specials.facts.temporary

    async def _insert_placed(
        self,
        table: Table,
        placed: list[tuple[int, StorageRow]],
        ignore: bool = False,
        target: tuple[str, ...] = (),
    ) -> AsyncGenerator[list[Ran], None]:
        """Insert in slices, at all replica sets at the same time; the answers of each slice."""
        by_set: dict[int, list[StorageRow]] = defaultdict(list)
        for rs, full in placed:
            by_set[rs].append(full)
        slices = {rs: row_slices(rows) for rs, rows in sorted(by_set.items())}
        for at in range(max(map(len, slices.values()), default=0)):
            steps = {
                rs: InsertRows(table.id, some[at], ignore, target)
                for rs, some in slices.items()
                if at < len(some)
            }
            answers = await gather({rs: self.run(rs, step) for rs, step in steps.items()})
            await self._carry_out([(rs, e) for rs, ran in answers.items() for e in ran.effects])
            await asyncio.sleep(0)  # answers of this process come at once: others get their turn
            yield list(answers.values())

    async def _insert_new(
        self, table: Table, made: Sequence[StorageRow], target: Index | None
    ) -> tuple[int, list[StorageRow]]:
        """Leave out rows whose key exists anywhere: halve the rows until none is in the way."""
        mark = self.txn.mark()
        try:
            placed = await self.place(table, made)
            async for _ in self._insert_placed(table, placed):
                pass
        except UniqueViolationError as error:
            await self.manager.finish(self.manager.undo(self.txn, mark))
            if len(made) == 1:
                if not await self._is_forgiven(table, made[0], target, error):
                    raise
                return 0, []
            half = len(made) // 2
            first, first_rows = await self._insert_new(table, made[:half], target)
            second, second_rows = await self._insert_new(table, made[half:], target)
            return first + second, first_rows + second_rows
        return len(placed), [full for _, full in placed]

    async def _is_forgiven(
        self, table: Table, row: StorageRow, target: Index | None, error: UniqueViolationError
    ) -> bool:
        """Is the key of `target` in the way, perhaps besides the one that was noticed first?"""
        if target is None or f"({table.schema}.{target.name})" in error.message:
            return True
        if not target.is_global:
            return False  # the element looks at the row's own keys first
        entries = global_index_table(table, target)
        columns = full_row_columns(table)
        key = tuple([row[columns.index(c)] for c in entries.distribution_key])
        if None in key:
            return False
        where = " AND ".join(
            f"{quoted(c)} = ?{n}" for n, c in enumerate(entries.distribution_key, 1)
        )
        sql = f"SELECT 1 FROM {quoted(table_name(entries))} WHERE {where}"
        ran = await self.run(self.places.buckets[self.hasher(entries)(key)], SelectRows(sql, key))
        return bool(ran.rows)

    async def place(self, table: Table, made: Sequence[StorageRow]) -> list[tuple[int, StorageRow]]:
        """Replica set and full row of each. Raises ForeignKeyError when a parent is missing."""
        places = self.places
        rule = self._space.placement.rule(table)
        if rule is None:
            return [(_home_set(places), row) for row in made]
        placed: list[tuple[int, StorageRow]] = []
        if isinstance(rule, HashRule):
            for row in made:
                bucket = rule.of(row)
                if bucket < 0:
                    raise null_key(table, rule.positions)
                placed.append((places.buckets[bucket], (*row, bucket)))
        else:
            found = await self._parent_buckets(table, rule, made)
            for row in made:
                bucket = found[tuple([row[i] for i in rule.positions])]
                placed.append((places.buckets[bucket], (*row, bucket)))
        return placed

    async def _parent_buckets(
        self, table: Table, rule: ParentRule, made: Sequence[StorageRow]
    ) -> dict[StorageRow, int]:
        """The bucket of each distinct parent key of the rows."""
        keys = dict.fromkeys(tuple([row[i] for i in rule.positions]) for row in made)
        places = self.places
        by_set: dict[int, list[StorageRow]] = defaultdict(list)
        for key in keys:
            if None in key:
                raise null_key(table, rule.positions)
            by_set[places.buckets[rule.key_bucket(key)]].append(key)
        found: dict[StorageRow, int] = {}
        looks = [
            self._look_up(rs, rule, some[at : at + ROWS_PER_STEP], found)
            for rs, some in by_set.items()
            for at in range(0, len(some), ROWS_PER_STEP)
        ]
        await asyncio.gather(*looks)
        for key in keys:
            if key not in found:
                error = ForeignKeyError(
                    f"foreign key constraint ({rule.constraint}) violated: the parent row does "
                    "not exist",
                    detail=f"Key ({', '.join(rule.parent_columns)})=({', '.join(map(str, key))}) "
                    f"of {rule.parent.schema}.{rule.parent.name}.",
                    hint="Insert the parent row first.",
                )
                raise error.about(names_of(table, constraint=rule.constraint))
        return found

    async def _look_up(
        self, rs: int, rule: ParentRule, keys: list[StorageRow], found: dict[StorageRow, int]
    ) -> None:
        if len(keys) == 1:
            rows = await self.queries.read_rows(Target(rs), rule.lookup_sql, keys[0], short=True)
            if rows:
                found[keys[0]] = int(rows[0][0] or 0)
            return
        sql, params = _lookup_many(rule, keys)
        for row in await self.queries.read_rows(Target(rs), sql, params, short=True):
            found[tuple(row[1:])] = int(row[0] or 0)

    # -- UPDATE and DELETE -------------------------------------------------------------------------
    async def update(self, plan: UpdatePlan, values: Values) -> Written:
        """Run an UPDATE."""
        table = self._table(plan.table_id)
        if plan.rows_query is not None:
            return await self._change_found(
                table, plan.rows_query, values, partial(self._update_rows, table, plan, values)
            )
        assert plan.fragment is not None
        return await self._run_fragment(table, plan, values, plan.returning)

    async def delete(self, plan: DeletePlan, values: Values) -> Written:
        """Run a DELETE."""
        table = self._table(plan.table_id)
        if plan.rows_query is not None:
            returning = plan.returning

            async def delete(rows: list[StorageRow]) -> Written:
                width = len(full_row_columns(table))
                old = [row[:width] for row in rows]
                await self.delete_rows(table, old)
                return Written(len(rows), self.returning(returning, table, old, values, rows))

            return await self._change_found(table, plan.rows_query, values, delete)
        assert plan.fragment is not None
        return await self._run_fragment(table, plan, values, plan.returning)

    async def _run_fragment(
        self,
        table: Table,
        plan: UpdatePlan | DeletePlan,
        values: Values,
        returning: Returning | None,
    ) -> Written:
        assert plan.fragment is not None
        sql = plan.fragment.sql
        if returning is not None:
            sql += f" RETURNING {', '.join(quoted(c) for c in full_row_columns(table))}"
        snapshots = await self.queries.snapshots()
        match: Match | None = None
        keyed: Keyed | None = None
        if snapshots is not None:
            match = self._match(table, plan, values)
        elif plan.keyed and may_go_by_key(self._space.facts, table):
            keyed = self._keyed(table, plan, values)
        bound = self.bind(plan, values)
        step = RunSql(table.id, sql, bound, returning is not None, False, match, keyed)
        if snapshots is not None:
            sets = await self._sets_of(table, plan, values)
            answers = await gather(
                {rs: self.run(rs, step, snapshot=snapshots.at(rs).number) for rs in sets}
            )
        else:
            mark = self.txn.mark()
            try:
                answers = await self._run_agreed(table, plan, values, step)
            except LargeStatementError:
                manager = self.manager
                await manager.finish(manager.undo(self.txn, mark))
                return await self._run_by_key(table, plan, values, returning)
        effects = [(rs, effect) for rs, ran in answers.items() for effect in ran.effects]
        await self._carry_out(effects)
        rows = [tuple(row) for ran in answers.values() for row in ran.rows]
        return Written(
            sum(ran.counts[0] for ran in answers.values()),
            self.returning(returning, table, rows, values),
        )

    def _keyed(self, table: Table, plan: UpdatePlan | DeletePlan, values: Values) -> Keyed:
        if plan.found is None:
            return Keyed(self._match(table, plan, values), plan.keyed, ROWS_AT_ONCE)
        params = plan.found.bind(values, self.queries.specials)
        found = Match(plan.found.sql, params, key_columns(table))
        return Keyed(found, plan.keyed, ROWS_AT_ONCE, asks=True)

    async def _run_by_key(
        self,
        table: Table,
        plan: UpdatePlan | DeletePlan,
        values: Values,
        returning: Returning | None,
    ) -> Written:
        """The statement has many rows: some at a time, with what they entail."""
        sql = plan.keyed
        if returning is not None:
            sql += f" RETURNING {', '.join(quoted(c) for c in full_row_columns(table))}"
        params = self.bind(plan, values)
        wrote = {rs for rs, enlisted in self.txn.participants.items() if enlisted.wrote}
        written = Written()
        keys = FoundKeys()
        try:
            home = only_set_of(table, _home_set(self.places))
            await keys.find(self._space, self.queries, plan, values, home)
            for some in keys.rounds():
                steps = {
                    rs: RunKeyed(table.id, sql, params, rows, returning is not None, not wrote)
                    for rs, rows in some.items()
                }
                answers = await gather({rs: self.run(rs, step) for rs, step in steps.items()})
                await self._carry_out([(rs, e) for rs, ran in answers.items() for e in ran.effects])
                for ran in answers.values():
                    written.count += ran.counts[0]
                    rows = [tuple(row) for row in ran.rows]
                    written.rows += self.returning(returning, table, rows, values)
                await asyncio.sleep(0)  # answers of this process come at once
        finally:
            keys.close()
        return written

    def _match(self, table: Table, plan: UpdatePlan | DeletePlan, values: Values) -> Match:
        assert plan.match is not None
        params = plan.match.bind(values, self.queries.specials)
        return Match(plan.match.sql, params, key_columns(table))

    async def _sets_of(
        self, table: Table, plan: UpdatePlan | DeletePlan, values: Values
    ) -> list[int]:
        """Where the fragment runs."""
        if table.distribution is Distribution.DUPLICATE:
            return [_home_set(self.places)]
        targets = await self.queries.targets_seen(plan.route, values)
        return [t.rs or _home_set(self.places) for t in targets]

    async def _run_agreed(
        self, table: Table, plan: UpdatePlan | DeletePlan, values: Values, step: Step
    ) -> dict[int, Ran]:
        """Run the fragment on states that show whole transactions only; if they did not, again."""
        manager = self.manager
        agreement = Agreement(self.queries.space.name, self._space.router)
        point: ReadPoint | None = None
        while True:
            mark = self.txn.mark()
            point = self.queries.note_lookups(plan.route, point)
            sets = await self._sets_of(table, plan, values)
            self.queries.note_lookups(None)
            back_ms = agreement.back_ms(point) if len(sets) > 1 or point.opened else 0
            sent_s = boottime_s()
            answers = await gather({rs: self._run_timed(rs, step, back_ms) for rs in sets})
            for rs, (ran, came_s) in answers.items():
                if ran.view is not None:
                    point.add(rs, Opened(rs, ran.view, sent_s, came_s))
            if not await agreement.missing(point):
                return {rs: ran for rs, (ran, _) in answers.items()}
            await manager.finish(manager.undo(self.txn, mark))

    async def _run_timed(self, rs: int, step: Step, back_ms: int) -> tuple[Ran, float]:
        """The answer and when it came: another replica set may take very much longer."""
        ran = await self.run(rs, step, back_ms=back_ms)
        return ran, boottime_s()

    def bind(self, plan: UpdatePlan | DeletePlan, values: Values) -> Values:
        """The fragment's parameters."""
        assert plan.fragment is not None
        return plan.fragment.bind(values, self.queries.specials)

    async def _change_found(
        self,
        table: Table,
        query: QueryPlan,
        values: Values,
        change: Callable[[list[StorageRow]], Awaitable[Written]],
    ) -> Written:
        if table.temporary:  # nobody else changes its rows
            return await change(await self.queries.all_rows(query, values))
        found = FoundRows(self.txn, self.queries, table, query, values)
        return await found.change(self.manager, change, self.set_of, self.run)

    async def _update_rows(
        self, table: Table, plan: UpdatePlan, values: Values, rows: list[StorageRow]
    ) -> Written:
        """Row by row: the new values came from a query over the grid, or the rows move."""
        width = len(full_row_columns(table))
        offset = full_row_offset(table)
        changes: list[tuple[StorageRow, StorageRow]] = []
        for row in rows:
            new = list(row[:width])
            given = row[width : width + len(plan.assigned)]
            if plan.made:
                assert self._maker is not None
                given = await self._maker.make(plan.made, values, row)
            for at, value in zip(plan.assigned, given, strict=True):
                new[offset + at] = value
            changes.append((row[:width], tuple(new)))
        moves = plan.moves_rows
        new_rows = await self.apply_changes(table, plan.assigned, changes, moves=moves)
        returned = self.returning(plan.returning, table, new_rows, values, rows)
        return Written(len(changes), returned)

    async def apply_changes(
        self,
        table: Table,
        assigned: tuple[int, ...],
        changes: list[tuple[StorageRow, StorageRow]],
        *,
        moves: bool,
    ) -> list[StorageRow]:
        """Full old rows become full new ones, which may belong elsewhere; gives the new rows."""
        if table.temporary:
            await self._temporary.change(self._space.catalog, table, changes)
            return [new for _, new in changes]
        if not moves:
            await self._change_rows(table, assigned, changes)
            return [new for _, new in changes]
        await self.delete_rows(table, [old for old, _ in changes], moving=True)
        bucketless = [new[:-1] if has_bucket(table) else new for _, new in changes]
        _, new_rows = await self.insert_rows(table, bucketless)
        return new_rows

    async def _change_rows(
        self,
        table: Table,
        assigned: tuple[int, ...],
        changes: Iterable[tuple[StorageRow, StorageRow]],
    ) -> None:
        """Update single rows in place, each only if it still is what the query saw."""
        columns = full_row_columns(table)
        offset = full_row_offset(table)
        at = [offset + i for i in assigned]
        sets = ", ".join(f"{quoted(columns[i])} = ?{n}" for n, i in enumerate(at, 1))
        where = " AND ".join(f"{quoted(c)} IS ?{n}" for n, c in enumerate(columns, len(at) + 1))
        sql = f"UPDATE {quoted(table_name(table))} SET {sets} WHERE {where}"
        steps: dict[int, list[Step]] = defaultdict(list)
        for old, new in changes:
            params = (*[new[i] for i in at], *old)
            steps[self.set_of(table, old)].append(RunSql(table.id, sql, params))
        await self._run_exactly(steps)

    async def delete_rows(
        self, table: Table, rows: Iterable[StorageRow], *, moving: bool = False
    ) -> None:
        """Delete single rows, each only if it still is what the query saw."""
        if table.temporary:
            await self._temporary.delete(self._space.catalog, table, list(rows))
            return
        columns = full_row_columns(table)
        where = " AND ".join(f"{quoted(c)} IS ?{n}" for n, c in enumerate(columns, 1))
        sql = f"DELETE FROM {quoted(table_name(table))} WHERE {where}"
        steps: dict[int, list[Step]] = defaultdict(list)
        for row in rows:
            step = RunSql(table.id, sql, tuple(row), moving=moving)
            steps[self.set_of(table, row)].append(step)
        await self._run_exactly(steps)

    async def _run_exactly(self, steps: dict[int, list[Step]]) -> None:
        """Run one-row steps; each must touch its row, else somebody changed it meanwhile."""
        effects: list[tuple[int, Effect]] = []
        for rs, some in sorted(steps.items()):
            for start in range(0, len(some), ROWS_PER_STEP):
                ran = await self.run(rs, *some[start : start + ROWS_PER_STEP])
                if any(count != 1 for count in ran.counts):
                    if self.txn.snapshots is not None:
                        raise SerializationError(
                            "could not serialize access due to concurrent update",
                            hint="Roll back and run the transaction again.",
                        )
                    raise TransientError(
                        "a row changed while the statement ran",
                        hint="Run the statement again.",
                    )
                effects += [(rs, effect) for effect in ran.effects]
        await self._carry_out(effects)

    def set_of(self, table: Table, full_row: StorageRow) -> int:
        """The replica set where a row is written."""
        if not has_bucket(table):
            return _home_set(self.places)
        return self.places.buckets[int(full_row[-1] or 0)]

    # -- effects -----------------------------------------------------------------------------------
    async def _carry_out(self, effects: list[tuple[int, Effect]]) -> None:
        """Carry effects out until none are left (cascades have effects of their own)."""
        while effects:
            steps = steps_of(self._space, self.places, effects)
            answers = await gather({rs: self.run(rs, *some) for rs, some in sorted(steps.items())})
            effects = [(rs, effect) for rs, ran in answers.items() for effect in ran.effects]

    # -- RETURNING ---------------------------------------------------------------------------------
    def returning(
        self,
        returning: Returning | None,
        table: Table,
        full_rows: Iterable[StorageRow],
        values: Values,
        found: Sequence[StorageRow] = (),
    ) -> list[StorageRow]:
        """What RETURNING gives; `found`: the rows of the query that found them, if one did."""
        if returning is None:
            return []
        full_rows = list(full_rows)
        offset, width = full_row_offset(table), len(table.columns)
        rows = [row[offset : offset + width] for row in full_rows]
        if returning.positions is not None:
            return [tuple([row[i] for i in returning.positions]) for row in rows]
        more = returning.fragment.bind(values, self.queries.specials)
        sql, extras = returning.fragment.sql, returning.extras
        out: list[StorageRow] = []
        for number, (row, full) in enumerate(zip(rows, full_rows, strict=True)):
            brought = [found[number][at] for at in extras]
            place = self._place_of(table, full)
            out.append(self.evaluate(sql, (*row, *place, *brought, *more)))
        return out

    def _place_of(self, table: Table, full_row: StorageRow) -> tuple[int, int, int]:
        """Element, replica set and data space of the lead that holds a row; of a copy: here."""
        facts = self.queries.specials.facts
        if not has_bucket(table):
            return facts.element, facts.replica_set, facts.data_space
        router, rs = self._space.router, self.set_of(table, full_row)
        lead = router.leads.get(rs, "")
        places = [p for p in router.map.elements if p.replica_set == rs]
        place = next((p for p in places if p.instance == lead), places[0])
        return place.element, rs, place.data_space


def row_slices(rows: list[StorageRow]) -> list[list[StorageRow]]:
    """Rows in pieces that fit well into a message."""
    slices: list[list[StorageRow]] = [[]]
    size = 0
    for row in rows:
        row_bytes = 0
        for value in row:
            if isinstance(value, str | bytes):
                row_bytes += len(value)
        size += row_bytes
        if len(slices[-1]) >= ROWS_PER_STEP or (size > BYTES_PER_STEP and slices[-1]):
            slices.append([])
            size = row_bytes
        slices[-1].append(row)
    return slices


def _those_of(rows: list[StorageRow], inserted: Counter[StorageRow]) -> list[StorageRow]:
    """The rows that are among the inserted ones, in their own order, each as often as there."""
    kept = []
    for row in rows:
        if inserted[row] > 0:
            inserted[row] -= 1
            kept.append(row)
    return kept


def _home_set(places: Places) -> int:
    """The replica set where writes to DUPLICATE tables run first: it orders conflicting writers."""
    return places.replica_sets[0]


def _lookup_many(rule: ParentRule, keys: list[StorageRow]) -> tuple[str, Values]:
    """One query for many parents: rows (_TARGET, key…)."""
    head, _, tail = rule.lookup_sql.partition(" FROM ")
    table, _, where = tail.partition(" WHERE ")
    names = [part.partition(" = ")[0] for part in where.split(" AND ")]
    width = len(names)
    columns = ", ".join(names)
    marks = [f"?{n}" for n in range(1, len(keys) * width + 1)]
    if width == 1:
        condition = f"{columns} IN ({', '.join(marks)})"
    else:
        rows = [", ".join(marks[at : at + width]) for at in range(0, len(marks), width)]
        condition = f"({columns}) IN (VALUES ({'), ('.join(rows)}))"
    sql = f"{head}, {columns} FROM {table} WHERE {condition}"
    return sql, tuple([value for key in keys for value in key])
