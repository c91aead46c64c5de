"""SELECT … FOR UPDATE, FOR SHARE and so on, with NOWAIT, WAIT n and SKIP LOCKED.

Where the query is one fragment, each lead reads and locks at the same instant, unless it gives more
rows than others shall wait for. Otherwise the query runs, the rows it found are locked where they
are, and it runs again: the answer is what it gives while everything in it is locked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from data.exec.agreement import Agreement
from data.sql.plan_types import Gather, Locking, LockStrength, QueryPlan
from data.txn.locks import Mode
from data.txn.manager import Transaction
from data.txn.read_atomic import Opened, ReadPoint
from protocol.clock import boottime_s
from protocol.errors import SerializationError, TooLargeError, TransientError
from protocol.messages.sql import SelectRows, TakeKeys
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.queries import QueryRunner

Values = tuple[StorageValue, ...]

MODES: dict[LockStrength, Mode] = {
    "update": Mode.EXCLUSIVE,
    "no key update": Mode.UPDATE,
    "share": Mode.SHARED,
    "key share": Mode.KEY_SHARED,
}
KEYS_PER_STEP = 1000
TRIES_MAX = 50  # of a query whose rows others change all the time


class _Key(NamedTuple):
    """A row to lock: which of `Locking.tables`, where it is, its key."""

    table: int
    rs: int
    key: StorageRow


async def locked_rows(
    runner: QueryRunner, plan: QueryPlan, locking: Locking, values: Values
) -> list[StorageRow]:
    """The visible columns of the rows, all of them locked."""
    wanted, left_out = -1, 0
    if locking.cut is not None:
        params = locking.cut.bind(values, runner.specials)
        limit, offset = runner.space.expressions.query(locking.cut.sql, params)[0]
        left_out = int(offset or 0)
        wanted = -1 if limit is None or int(limit) < 0 else int(limit) + left_out
    rows: list[StorageRow] | None = None
    if plan.final is None:
        await runner.read_firsts(plan, values)
        try:
            rows = await _lock_where_read(runner, plan.gathers[0], locking, values, wanted)
        except TooLargeError:  # to be done at once; a read that only reads is in nobody's way
            rows = None
    if rows is None:
        rows = await _LockAfter(runner, plan, locking, values, wanted).rows()
    return [row[: locking.visible] for row in rows[left_out:]]


def _wait_ms(locking: Locking, txn: Transaction) -> int:
    if locking.wait == "nowait":
        return 0
    return int(locking.wait_s * 1000) or txn.lock_wait_ms


async def _lock_where_read(
    runner: QueryRunner, gather: Gather, locking: Locking, values: Values, wanted: int
) -> list[StorageRow]:
    """One fragment. Replica sets take turns in one order, so that two of these never deadlock."""
    txn, space = runner.txn, runner.space
    assert txn is not None
    locks = tuple((t.table_id, t.first_column, t.key_columns) for t in locking.tables)
    params = gather.fragment.bind(values, runner.specials)
    agreement = Agreement(space.name, space.router)
    snapshots = await runner.snapshots()
    point: ReadPoint | None = None
    while True:
        mark = txn.mark()
        point = runner.note_lookups(gather.route, point)
        sets = await _sets_of(runner, gather, values)
        runner.note_lookups(None)
        asks = snapshots is None and (len(sets) > 1 or bool(point.opened))
        rows: list[StorageRow] = []
        for rs in sets:
            left = -1 if wanted < 0 else wanted - len(rows)
            if left == 0:
                break
            mode, skip = int(MODES[locking.strength]), locking.wait == "skip"
            step = SelectRows(
                gather.fragment.sql, params, locks, mode, skip, left, snapshots is not None
            )
            sent_s = boottime_s()
            ran = await space.manager.run(
                txn,
                rs,
                (step,),
                runner.schema,
                lock_wait_ms=_wait_ms(locking, txn),
                back_ms=agreement.back_ms(point) if asks else 0,
                snapshot=snapshots.at(rs).number if snapshots is not None else 0,
                places=runner.places,
            )
            if ran.view is not None:
                point.add(rs, Opened(rs, ran.view, sent_s, boottime_s()))
            rows += [tuple(row) for row in ran.rows]
        if not await agreement.missing(point):
            return rows
        await space.manager.finish(space.manager.undo(txn, mark))


async def _sets_of(runner: QueryRunner, gather: Gather, values: Values) -> list[int]:
    if gather.route.kind == "local":  # DUPLICATE tables: writers begin there
        return [runner.places.replica_sets[0]]
    return [target.rs for target in await runner.targets_seen(gather.route, values)]


class _LockAfter:
    """A query with a final step: run it, lock what it found, until all it finds is locked."""

    def __init__(
        self, runner: QueryRunner, plan: QueryPlan, locking: Locking, values: Values, wanted: int
    ) -> None:
        self._runner = runner
        self._query = QueryPlan(
            plan.kind, plan.gathers, plan.final, plan.columns, firsts=plan.firsts
        )
        self._locking = locking
        self._values = values
        self._wanted = wanted
        self._mine: set[_Key] = set()
        self._busy: set[_Key] = set()  # SKIP LOCKED: others had them

    async def rows(self) -> list[StorageRow]:
        """The rows, all locked. Raises TransientError if they change faster than we look."""
        for _ in range(TRIES_MAX):
            kept: list[StorageRow] = []
            missing: dict[_Key, None] = {}
            unsure = 0  # rows that may be had: not locked yet
            for row in await self._runner.all_rows(self._query, self._values):
                if 0 <= self._wanted <= len(kept) + unsure:
                    break
                keys = self._keys(row)
                if not self._busy.isdisjoint(keys):
                    continue
                lacking = [key for key in keys if key not in self._mine]
                missing.update(dict.fromkeys(lacking))
                if lacking:
                    unsure += 1
                else:
                    kept.append(row)
            if not missing:
                await self._check_unchanged(kept)
                return kept
            await self._lock(list(missing))
        raise TransientError(
            "the rows to be locked changed all the time", hint="Run the transaction again."
        )

    async def _check_unchanged(self, kept: list[StorageRow]) -> None:
        """REPEATABLE READ: what was locked is still as in the snapshot."""
        runner = self._runner
        if await runner.snapshots() is None:
            return
        now = Counter(await runner.rows_now(self._query, self._values))
        if Counter(kept) - now:
            raise SerializationError(
                "could not serialize access due to concurrent update",
                hint="Roll back and run the transaction again.",
            )

    def _keys(self, row: StorageRow) -> list[_Key]:
        places = self._runner.places
        keys: list[_Key] = []
        for number, table in enumerate(self._locking.tables):
            end = table.first_column + table.key_columns
            key = row[table.first_column : end]
            if None not in key:  # else the empty side of an outer join
                bucket = int(row[end] or 0) if table.has_bucket else -1
                rs = places.replica_sets[0] if bucket < 0 else places.buckets[bucket]
                keys.append(_Key(number, rs, key))
        return keys

    async def _lock(self, missing: list[_Key]) -> None:
        txn, space = self._runner.txn, self._runner.space
        assert txn is not None
        skip = self._locking.wait == "skip"
        places: dict[tuple[int, int], list[StorageRow]] = defaultdict(list)
        for key in missing:
            places[key.rs, key.table].append(key.key)
        for (rs, number), keys in sorted(places.items(), key=lambda place: place[0]):
            table_id = self._locking.tables[number].table_id
            for at in range(0, len(keys), KEYS_PER_STEP):
                some = keys[at : at + KEYS_PER_STEP]
                mode = int(MODES[self._locking.strength])
                ran = await space.manager.run(
                    txn,
                    rs,
                    (TakeKeys(table_id, 0, some, mode, skip),),
                    self._runner.schema,
                    lock_wait_ms=_wait_ms(self._locking, txn),
                    places=self._runner.places,
                )
                got = {tuple(key) for key in ran.rows} if skip else set(some)
                for one in some:
                    (self._mine if one in got else self._busy).add(_Key(number, rs, one))
