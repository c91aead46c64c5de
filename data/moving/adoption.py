"""Gives the buckets of an evicted replica set to others: one transaction over all that are left.

The rows are lost; what the others know of them must not stay behind. Global index entries of
rows that still exist, but which the lost set held, are made anew from those rows; entries that
point to lost rows go. Nobody could write such an entry or row before (its bucket had no owner), and
everybody can when this commits: so keys stay unique and are found all the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

import structlog

from data.catalog.element_ddl import TARGET, quoted, table_name
from data.catalog.objects import Distribution, Table
from data.distribution.places import Places
from data.exec.coordination import Coordination
from data.exec.queries import QueryRunner, Target
from data.exec.values import Specials
from data.moving.publisher import Publisher
from data.moving.seeding import LOCK_WAIT_MS, Nobody
from data.sql.ddl_build import Backfill
from data.sql.ddl_tables import backfill
from data.txn.lead import LeadWriter
from data.txn.locks import Mode
from data.txn.manager import Transaction
from data.txn.ownership import OWN_TABLE
from protocol import trace
from protocol.errors import ElementStateError, NotLeadError, TransientError
from protocol.messages.moving import TakenOver
from protocol.messages.sql import LockTable, PutIn, PutIndexKeys, SelectRows, SetOwners, Step
from protocol.messages.txn import ListTransactions, TransactionList
from protocol.sqltypes import StorageRow

log = structlog.get_logger(__name__)

ROWS_PER_STEP = 500
SEQUENCES_BUCKET = 0  # where the counters of all sequences are
ASK_S = 5.0

_OWNED = f"SELECT bucket FROM {OWN_TABLE} WHERE bucket >= 0 AND owner = ?1"


class Adoption:
    """Run by the lead of a replica set in use."""

    def __init__(self, space: Coordination, writer: LeadWriter, publisher: Publisher) -> None:
        self._space = space
        self._writer = writer
        self._publisher = publisher

    async def take_over(self, wanted: Mapping[int, Collection[int]]) -> TakenOver:
        """Let replica sets own these buckets. Raises GridError; nothing has happened then."""
        if trace.steps.listener is not None:
            trace.step("data/moving/adoption.py")
        space = self._space
        places = self._check(wanted)
        await self._publisher.first()
        txn = space.manager.begin(LOCK_WAIT_MS)
        versions: dict[int, int] = {}
        added = removed = 0
        sequences: tuple[str, ...] = ()
        apart: tuple[str, ...] = ()
        try:
            await self._lock_all(txn, places)
            todo = await self._without_owner(txn, places, wanted)
            if todo:
                owner = {bucket: rs for rs, buckets in todo.items() for bucket in buckets}
                await self._check_decided(places)
                if SEQUENCES_BUCKET in owner:
                    sequences = tuple(f"{s.schema}.{s.name}" for s in space.catalog.sequences())
                apart = tuple(self._keys_to_other_sets())
                for table in self._indexed():
                    for index in (i for i in table.indexes if i.is_global):
                        made = backfill(table, index)
                        removed += await self._remove(txn, places, table, made, owner)
                        added += await self._add(txn, places, made, owner)
                for rs, buckets in sorted(todo.items()):
                    rows: list[StorageRow] = [(bucket, rs) for bucket in buckets]
                    ran = await self._run(txn, rs, places, SetOwners(rows))
                    versions[rs] = int(ran[0][0] or 0)
        except BaseException:
            await space.manager.finish(space.manager.roll_back(txn))
            raise
        await space.manager.finish(space.manager.commit(txn))
        version = await self._publisher.publish(versions)
        log.info("moving.taken_over", db=space.name, sets=sorted(versions), entries_added=added,
                 entries_removed=removed, map_version=version)  # fmt: skip
        return TakenOver(version, added, removed, sequences, apart)

    def _keys_to_other_sets(self) -> Iterator[str]:
        """Foreign keys whose rows need not be where their parents are: those may be lost."""
        catalog = self._space.catalog
        for table in catalog.tables():
            for key in table.foreign_keys:
                parent = catalog.table_by_id(key.parent_id)
                if key.name != table.reference_key and (
                    parent.distribution is not Distribution.DUPLICATE
                ):
                    yield f"{table.schema}.{table.name}.{key.name} to {parent.schema}.{parent.name}"

    def _check(self, wanted: Mapping[int, Collection[int]]) -> Places:
        router = self._space.router
        if not self._writer.leading or self._writer.rs not in router.replica_sets:
            raise NotLeadError(f"this element leads no replica set of {self._space.name} in use")
        router.need_map()
        strangers = set(wanted) - set(router.replica_sets)
        if strangers:
            raise ElementStateError(f"replica set {min(strangers)} takes no part in statements")
        return router.places

    async def _run(
        self, txn: Transaction, rs: int, places: Places, *steps: Step
    ) -> list[StorageRow]:
        space = self._space
        ran = await space.manager.run(txn, rs, steps, space.schema_version, places=places)
        return ran.rows

    # -- what must not change meanwhile ------------------------------------------------------------
    async def _lock_all(self, txn: Transaction, places: Places) -> None:
        """No DDL, no moves, no writers of tables with global indexes."""
        for rs in places.replica_sets:
            await self._run(txn, rs, places, LockTable(0))
        for table in self._indexed():
            for rs in places.replica_sets:
                await self._run(txn, rs, places, LockTable(table.id, int(Mode.SHARED)))

    def _indexed(self) -> list[Table]:
        return [
            table
            for table in self._space.catalog.tables()
            if not table.temporary and any(index.is_global for index in table.indexes)
        ]

    async def _without_owner(
        self, txn: Transaction, places: Places, wanted: Mapping[int, Collection[int]]
    ) -> dict[int, list[int]]:
        """Those that no replica set in use owns: the others were taken over before."""
        owned: set[int] = set()
        for rs in places.replica_sets:
            rows = await self._run(txn, rs, places, SelectRows(_OWNED, (rs,)))
            owned.update(int(row[0] or 0) for row in rows)
        left = {rs: [b for b in buckets if b not in owned] for rs, buckets in wanted.items()}
        return {rs: buckets for rs, buckets in left.items() if buckets}

    async def _check_decided(self, places: Places) -> None:
        """A transaction in which the lost set took part may still bring or take entries.

        Raises TransientError until those are decided (data/txn/evicted.py).
        """
        there = set(places.replica_sets)
        for rs in places.replica_sets:
            ask = ListTransactions(self._space.name)
            listed: TransactionList = await self._space.router.call(rs, ask, ASK_S)
            for one in listed.transactions:
                if one.state == "prepared" and not set(one.participants) <= there:
                    raise TransientError(
                        f"transaction {one.txn} in which an evicted replica set took part is"
                        " not decided yet",
                        hint="Ask again in a moment.",
                    )

    # -- entries -----------------------------------------------------------------------------------
    async def _remove(
        self, txn: Transaction, places: Places, table: Table, made: Backfill, owner: Collection[int]
    ) -> int:
        """Entries of rows that are lost."""
        key = made.target.primary_key
        columns = ", ".join(quoted(c) for c in (*key, TARGET))
        text = f"SELECT {columns} FROM {quoted(table_name(made.target))}"
        count = 0
        for rs in places.replica_sets:
            async for rows in self._read(rs, text):
                dead = [row[:-1] for row in rows if int(row[-1] or 0) in owner]
                count += len(dead)
                if dead:
                    step = PutIndexKeys(table.id, made.index.id, dead, [])
                    await self._run(txn, rs, places, step)
        return count

    async def _add(
        self, txn: Transaction, places: Places, made: Backfill, owner: Mapping[int, int]
    ) -> int:
        """Entries of rows that are there, in the buckets that get an owner."""
        target, name = made.target, table_name(made.target)
        hasher = self._space.placement.hasher(target, target.distribution_key)
        names = [column.name for column in target.columns]
        at = [names.index(column) for column in target.distribution_key]
        waiting: dict[int, list[StorageRow]] = defaultdict(list)
        count = 0
        for rs in places.replica_sets:
            async for rows in self._read(rs, made.source_sql):
                for row in rows:
                    bucket = hasher([row[i] for i in at])
                    if bucket in owner:
                        waiting[owner[bucket]].append((name, *row, bucket))
                        count += 1
                for to in [n for n, some in waiting.items() if len(some) >= ROWS_PER_STEP]:
                    await self._put(txn, to, places, waiting.pop(to))
        for to, some in sorted(waiting.items()):
            await self._put(txn, to, places, some)
        return count

    async def _put(
        self, txn: Transaction, rs: int, places: Places, rows: Sequence[StorageRow]
    ) -> None:
        for at in range(0, len(rows), ROWS_PER_STEP):
            await self._run(txn, rs, places, PutIn(list(rows[at : at + ROWS_PER_STEP])))

    def _read(self, rs: int, text: str) -> AsyncIterator[list[StorageRow]]:
        """What is committed at a replica set; its tables are locked."""
        runner = QueryRunner(self._space, Specials(Nobody()), None)
        return runner.row_batches(Target(rs), text, ())
