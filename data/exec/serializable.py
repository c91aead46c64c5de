"""SERIALIZABLE: what a statement reads is locked before it reads, until the transaction ends.

Strict two-phase locking, phantoms included: a read by the whole primary key locks that key, there
or not; every other read takes a shared lock on the tables it reads, at each element where it reads
them. Both exclude who would change what was read, and only that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from data.catalog.catalog import Catalog
from data.catalog.objects import Distribution, Table
from data.distribution.keys import is_plain_integer
from data.distribution.route import (
    ROUTE_ALL,
    Route,
    RouteValue,
    Special,
    key_bucket,
    source_value,
)
from data.sql.plan_types import (
    DeletePlan,
    InsertPlan,
    MergePlan,
    QueryPlan,
    UpdatePlan,
    inner_plans,
)
from data.txn.isolation import Isolation
from data.txn.locks import Mode
from data.txn.manager import Transaction
from protocol.messages.sql import LockTable, Step, TakeKeys
from protocol.sqltypes import Kind, SqlType, StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.queries import QueryRunner

Values = tuple[StorageValue, ...]

_SHARED = int(Mode.SHARED)


def locks_reads(txn: Transaction | None) -> bool:
    """True if what this transaction reads has to be locked."""
    return txn is not None and txn.isolation is Isolation.SERIALIZABLE


def is_one_read(plan: QueryPlan) -> bool:
    """True if the query reads once at one place: serializable without any lock."""
    return plan.kind == "single" and plan.final is None and not plan.firsts


class ReadLocks:
    """Takes the locks for what one statement reads."""

    def __init__(self, runner: QueryRunner, catalog: Catalog, values: Values) -> None:
        assert runner.txn is not None
        self._runner = runner
        self._places = runner.places
        self._manager = runner.space.manager
        self._txn = runner.txn
        self._catalog = catalog
        self._values = values

    # -- what a plan reads -------------------------------------------------------------------------
    async def query(self, plan: QueryPlan) -> None:
        """Lock what a query reads."""
        for part in inner_plans(plan):
            for gather in part.gathers:
                if gather.plan is None:
                    await self._read(gather.route, gather.tables or part.tables)

    async def insert(self, plan: InsertPlan) -> None:
        """Lock what an INSERT reads: its source, and the rows that may be in the way."""
        if plan.source is not None:
            await self.query(plan.source)
        if plan.on_conflict is not None and not self._catalog.table_by_id(plan.table_id).temporary:
            await self._tables(self._places.replica_sets, (plan.table_id,))

    async def change(self, plan: UpdatePlan | DeletePlan) -> None:
        """Lock what an UPDATE or DELETE reads to find its rows."""
        if plan.rows_query is not None:
            await self.query(plan.rows_query)
            return
        table = self._catalog.table_by_id(plan.table_id)
        if table.distribution is Distribution.DUPLICATE:
            await self._tables(self._places.replica_sets[:1], plan.tables)
        else:
            await self._read(plan.route, plan.tables)

    # -- how it is locked --------------------------------------------------------------------------
    async def _read(self, route: Route, tables: tuple[int, ...]) -> None:
        if not tables or route.kind in ("here", "everywhere", "session"):
            return  # hints: any copy, as it happens to be
        if any(_of_scalar(part) for key in route.keys for part in key):
            route = ROUTE_ALL  # which buckets is only known when the scalar subquery has run
        if route.many or (route.kind == "keys" and route.index_id):
            route = ROUTE_ALL  # by entries of an index: its rows may come anywhere
        if route.kind == "global_index":
            await self._entries(route)
        elif len(tables) == 1:
            table = self._catalog.table_by_id(tables[0])
            if await self._by_key(table, route, tables):
                return
        targets = await self._runner.targets(route, self._values)
        await self._tables([target.rs for target in targets], tables)

    async def _by_key(self, table: Table, route: Route, tables: tuple[int, ...]) -> bool:
        """Lock primary keys, if they are all that is read; False if more is."""
        if route.kind != "keys" or tables != (table.id,):
            return False
        primary = next((i for i in table.indexes if i.primary), None)
        columns = table.distribution_key
        if primary is None or sorted(columns) != sorted(primary.columns):
            return False
        types = [table.column(name) for name in columns]
        for key in route.keys:
            for part, column in zip(key, types, strict=True):
                if column is None or not _same_form(part.type, column.type):
                    return False  # the value may be written otherwise in the row
        order = [columns.index(name) for name in primary.columns]
        found: dict[int, list[StorageRow]] = defaultdict(list)
        for key in route.keys:
            bucket = key_bucket(key, self._values, self._runner.specials)
            if bucket >= 0:
                found[self._places.buckets[bucket]].append(self._key(key, order))
        for rs, keys in sorted(found.items()):
            await self._take(rs, TakeKeys(table.id, 0, keys, _SHARED))
        return True

    async def _entries(self, route: Route) -> None:
        """Lock the keys of a global index: no row of that key can come anywhere."""
        by_set: dict[int, list[StorageRow]] = defaultdict(list)
        for key in route.keys:
            bucket = key_bucket(key, self._values, self._runner.specials)
            if bucket >= 0:
                by_set[self._places.buckets[bucket]].append(self._key(key, range(len(key))))
        for rs, keys in sorted(by_set.items()):
            await self._take(rs, TakeKeys(-route.index_id, 0, keys, _SHARED))

    def _key(self, key: tuple[RouteValue, ...], order: Iterable[int]) -> StorageRow:
        specials = self._runner.specials
        return tuple([source_value(key[i].source, self._values, specials) for i in order])

    async def _tables(self, sets: Iterable[int], tables: Iterable[int]) -> None:
        steps = [LockTable(table_id, _SHARED) for table_id in sorted(tables)]
        for rs in sorted(set(sets)):
            await self._take(rs, *steps)

    async def _take(self, rs: int, *steps: Step) -> None:
        for up in self._runner.up([rs]):
            await self._manager.run(self._txn, up, steps, self._runner.schema, places=self._places)


def _of_scalar(part: RouteValue) -> bool:
    return isinstance(part.source, Special) and part.source.name == "scalar"


def _same_form(one: SqlType, other: SqlType) -> bool:
    """Equal values of the two types are stored equally."""
    if is_plain_integer(one):
        return is_plain_integer(other)
    return one.kind is other.kind and one.kind in (Kind.VARCHAR, Kind.NVARCHAR, Kind.VARBINARY)


async def lock_reads(
    runner: QueryRunner,
    catalog: Catalog,
    plan: QueryPlan | InsertPlan | UpdatePlan | DeletePlan | MergePlan,
    values: Values,
) -> None:
    """Lock what a statement reads, if its transaction is SERIALIZABLE."""
    if not locks_reads(runner.txn):
        return
    locks = ReadLocks(runner, catalog, values)
    if isinstance(plan, QueryPlan):
        await locks.query(plan)
    elif isinstance(plan, InsertPlan):
        await locks.insert(plan)
    elif isinstance(plan, MergePlan):
        await locks.query(plan.rows_query)
    else:
        await locks.change(plan)


async def lock_whole_table(runner: QueryRunner, table_id: int) -> None:
    """Lock a table everywhere for its writer alone (hint TT_TblLock): rows need no locks then."""
    assert runner.txn is not None
    space = runner.space
    places = runner.places
    for rs in places.replica_sets:  # in one order, so that two of them never deadlock
        step = LockTable(table_id)
        await space.manager.run(runner.txn, rs, (step,), runner.schema, places=places)
