"""Lets a replica set take part in a database, and ends that: one transaction over all of them.

Everything that all replica sets have in common (catalog, DUPLICATE tables) is locked, given to the
new one, and every set's ownership version grows: no statement that does not know the new one
runs anywhere afterwards. Whoever is left when the coordinator dies says so in the map (publisher).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import structlog

from data.catalog.catalog import Catalog, CatalogChange, CreateTable
from data.catalog.element_ddl import quoted, table_name
from data.catalog.objects import Distribution, Table
from data.distribution.places import Places
from data.exec.coordination import Coordination
from data.exec.queries import QueryRunner, Target
from data.exec.values import Specials
from data.moving.publisher import Publisher
from data.storage.sqlite import connect_memory
from data.storage.temporary import TemporaryTables
from data.txn.facts import is_local
from data.txn.lead import LeadWriter
from data.txn.locks import Mode
from data.txn.manager import Transaction
from data.txn.ownership import OWN_TABLE, membership_row
from protocol import trace
from protocol.errors import ElementStateError, GridError, NotLeadError, TransientError
from protocol.limits import MIB
from protocol.messages.moving import Retired, Seeded
from protocol.messages.sql import AddRows, LockTable, SelectRows, SetOwners
from protocol.messages.txn import ListTransactions, TransactionList
from protocol.sqltypes import StorageRow

log = structlog.get_logger(__name__)

LOCK_WAIT_MS = 5000
ROWS_PER_STEP = 500
BYTES_PER_STEP = MIB
ASK_S = 5.0

_SHARED = int(Mode.SHARED)


class Seeding:
    """Run by the lead of a replica set in use."""

    def __init__(self, space: Coordination, writer: LeadWriter, publisher: Publisher) -> None:
        self._space = space
        self._writer = writer
        self._publisher = publisher

    async def seed(self, rs: int) -> Seeded:
        """Let `rs` take part. Raises GridError; nothing has happened then."""
        if trace.steps.listener is not None:
            trace.step("data/moving/seeding.py")
        places = self._check(rs)
        if rs in places.replica_sets:
            return Seeded(await self._publisher.publish())
        await self._publisher.first()
        if self._writer.ownership.taking_part.get(rs):  # done, but the map does not say so yet
            return Seeded(await self._publisher.publish())
        rows, versions = await self._seed(rs, places)
        await self._epoch()
        version = await self._publisher.publish(versions)
        log.info("moving.seeded", db=self._space.name, rs=rs, rows=rows, map_version=version)
        return Seeded(version, rows)

    async def retire(self, rs: int) -> Retired:
        """Let `rs`, which owns nothing any more, take part no longer."""
        if trace.steps.listener is not None:
            trace.step("data/moving/seeding.py")
        places = self._check(rs)
        if rs == self._writer.rs:
            raise ElementStateError("a replica set is retired by another one")
        await self._publisher.first()
        if rs in places.replica_sets and self._writer.ownership.taking_part.get(rs, True):
            versions = await self._retire(rs, places)
            await self._epoch()
        else:
            versions = {}
        version = await self._publisher.publish(versions)
        await self._check_quiet(rs)
        log.info("moving.retired", db=self._space.name, rs=rs, map_version=version)
        return Retired(version)

    def _check(self, rs: int) -> Places:
        router = self._space.router
        if not self._writer.leading or self._writer.rs not in router.replica_sets:
            raise NotLeadError(f"this element leads no replica set of {self._space.name} in use")
        if rs not in router.all_sets:
            raise ElementStateError(f"the map of {self._space.name} has no replica set {rs}")
        router.need_map()
        return router.places

    async def _epoch(self) -> None:
        """What has been decided is not to be undone by a loss of power."""
        try:
            await self._space.make_epoch()
        except GridError as error:
            log.info("moving.no_epoch", error=error.message)

    # -- in ----------------------------------------------------------------------------------------
    async def _seed(self, rs: int, places: Places) -> tuple[int, dict[int, int]]:
        space, manager = self._space, self._space.manager
        txn = manager.begin(LOCK_WAIT_MS)
        try:
            await self._lock_all(txn, places)
            catalog = space.catalog
            await self._lock_duplicates(txn, places.replica_sets[:1], catalog, _SHARED)
            change = _whole(catalog)
            new = Catalog.initial().version
            versions = await self._new_versions(txn, (*places.replica_sets, rs), rs, 1, places, new)
            count = 0
            async for rows in self._duplicates(txn, places, catalog):
                count += sum(len(step.rows) for step in rows)
                await manager.run(txn, rs, rows, new, places=places)
            await self._lock_children(txn, places, catalog)
            txn.ddl_at = rs
        except BaseException:
            await manager.finish(manager.roll_back(txn))
            raise
        await manager.finish(manager.commit(txn, change.encode()))
        return count, versions

    async def _lock_all(self, txn: Transaction, places: Places) -> None:
        """Keep DDL and moves out."""
        for rs in places.replica_sets:
            await self._run(txn, rs, LockTable(0), places)

    async def _lock_duplicates(
        self, txn: Transaction, sets: tuple[int, ...], catalog: Catalog, mode: int
    ) -> None:
        tables = [t for t in catalog.tables() if _is_duplicate(t)]
        for rs in sets:
            for table in tables:
                await self._run(txn, rs, LockTable(table.id, mode), self._space.router.places)

    async def _lock_children(self, txn: Transaction, places: Places, catalog: Catalog) -> None:
        """Who deletes a parent now has looked for children at the replica sets it knows."""
        for table in catalog.tables():
            if table.temporary or all(
                is_local(table, key, catalog.table_by_id(key.parent_id))
                for key in table.foreign_keys
            ):
                continue
            for rs in places.replica_sets:
                await self._run(txn, rs, LockTable(table.id), places)

    async def _new_versions(
        self,
        txn: Transaction,
        sets: tuple[int, ...],
        changed: int,
        takes_part: int,
        places: Places,
        schema_there: int,
    ) -> dict[int, int]:
        """Note at all sets whether `changed` takes part; their new versions."""
        versions: dict[int, int] = {}
        others = [n for n in (*places.replica_sets, changed) if n != changed]
        owners: list[StorageRow] = [(membership_row(changed), takes_part)]
        for rs in sets:
            known = owners
            if rs == changed:
                known = [*owners, *((membership_row(n), 1) for n in others)]
            schema = schema_there if rs == changed else self._space.schema_version
            step = SetOwners(known, fresh=rs == changed and bool(takes_part))
            ran = await self._space.manager.run(txn, rs, (step,), schema, places=places)
            versions[rs] = int(ran.rows[0][0] or 0)
        return versions

    async def _duplicates(
        self, txn: Transaction, places: Places, catalog: Catalog
    ) -> AsyncIterator[tuple[AddRows, ...]]:
        """All rows of DUPLICATE tables, as they are at the set where writers of them begin."""
        runner = QueryRunner(self._space, Specials(Nobody()), None)
        home = places.replica_sets[0]
        for table in catalog.tables():
            if not _is_duplicate(table):
                continue
            name = table_name(table)
            rows: list[StorageRow] = []
            size = 0
            text = f"SELECT * FROM {quoted(name)}"
            async for batch in runner.row_batches(Target(home), text, ()):
                for row in batch:
                    rows.append(row)
                    size += sum(len(v) for v in row if isinstance(v, str | bytes))
                    if len(rows) == ROWS_PER_STEP or size > BYTES_PER_STEP:
                        yield (AddRows(name, rows),)
                        rows, size = [], 0
            if rows:
                yield (AddRows(name, rows),)

    async def _run(
        self, txn: Transaction, rs: int, step: LockTable | SelectRows, places: Places
    ) -> list[StorageRow]:
        space = self._space
        ran = await space.manager.run(txn, rs, (step,), space.schema_version, places=places)
        return ran.rows

    # -- out ---------------------------------------------------------------------------------------
    async def _retire(self, rs: int, places: Places) -> dict[int, int]:
        space, manager = self._space, self._space.manager
        txn = manager.begin(LOCK_WAIT_MS)
        try:
            await self._lock_all(txn, places)
            catalog = space.catalog
            exclusive = int(Mode.EXCLUSIVE)
            await self._lock_duplicates(txn, places.replica_sets, catalog, exclusive)
            version = space.schema_version
            sets = places.replica_sets
            versions = await self._new_versions(txn, sets, rs, 0, places, version)
            count = f"SELECT COUNT(*) FROM {OWN_TABLE} WHERE bucket >= 0 AND owner = ?1"
            rows = await self._run(txn, rs, SelectRows(count, (rs,)), places)
            if rows[0][0]:
                raise ElementStateError(
                    f"replica set {rs} still owns {rows[0][0]!r} buckets",
                    hint="Move them to the other replica sets first.",
                )
        except BaseException:
            await manager.finish(manager.roll_back(txn))
            raise
        await manager.finish(manager.commit(txn))
        return versions

    async def _check_quiet(self, rs: int) -> None:
        """No transaction is under way there. Raises TransientError."""
        ask = ListTransactions(self._space.name)
        listed: TransactionList = await self._space.router.call(rs, ask, ASK_S)
        if listed.transactions:
            raise TransientError(
                f"{len(listed.transactions)} transactions still take part at replica set {rs}",
                hint="Ask again in a moment.",
            )


class Nobody:
    """Whose statement it is: nobody's."""

    user = schema = database = ""
    session_id = element = replica_set = data_space = 0
    element_map = ""

    def __init__(self) -> None:
        self.current_values: dict[int, int] = {}
        self.temporary = TemporaryTables(connect_memory)


def _is_duplicate(table: Table) -> bool:
    return table.distribution is Distribution.DUPLICATE and not table.temporary


def _whole(catalog: Catalog) -> CatalogChange:
    """From the catalog of an element just created to this one."""
    before = Catalog.initial()
    known = {table.id for table in before.tables()}
    return CatalogChange(
        version=catalog.version,
        puts=tuple(catalog.rows()),
        deletes=tuple(
            (row[0], row[1]) for row in before.rows() if row[1] not in catalog.by_id and row[1]
        ),
        actions=tuple(
            CreateTable(t) for t in catalog.tables() if t.id not in known and not t.temporary
        ),
    )
