"""Reads at the leads: messages, cursors, and the states that the reads of one statement share.

A statement must show of each transaction all or nothing (design §6, *read atomic*). One that reads
once at one replica set does by itself. One that reads once at several asks each lead what it knows
of transactions under way, with the answer, and reads again where the answers do not agree. One that
reads more than once first opens a snapshot at each replica set, and so does the first statement of
a REPEATABLE READ transaction, for all that follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from data.catalog.catalog import Catalog
from data.distribution.route import Route, buckets_of
from data.exec import encoders
from data.exec.agreement import Agreement
from data.exec.partial import Partial
from data.exec.router import Router
from data.exec.values import Specials
from data.sql.plan_types import Gather, QueryPlan, inner_plans
from data.storage.scratch import Scratch
from data.txn.isolation import Isolation
from data.txn.manager import Held, Snapshots, Transaction, TransactionManager
from data.txn.read_atomic import Opened, ReadPoint
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    GridError,
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    SnapshotTooOldError,
    StaleMapError,
    StaleSchemaError,
    UnknownPortalError,
)
from protocol.ids import TxnId
from protocol.messages.sql import (
    CloseCursor,
    CloseSnapshots,
    FetchRows,
    OpenSnapshot,
    ReadRows,
    Rows,
    SnapshotOpened,
)
from protocol.sqltypes import StorageRow, StorageValue

READ_TIMEOUT_S = 3600.0  # a scan may take long; lost peers are noticed by their connection
OPEN_TIMEOUT_S = 30.0

_HOLDER_LOST = (
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    StaleMapError,
    StaleSchemaError,
    UnknownPortalError,
)

Values = tuple[StorageValue, ...]


class Space(Protocol):
    """What the runner needs of a database on this instance (data/exec/coordination.py)."""

    name: str
    router: Router
    manager: TransactionManager

    @property
    def catalog(self) -> Catalog: ...
    @property
    def schema_version(self) -> int: ...
    def new_scratch(self) -> Scratch: ...
    @property
    def expressions(self) -> Scratch: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where a fragment runs: the lead of a replica set, or (hints) the element of an instance."""

    rs: int = 0
    instance: str = ""


@dataclass(slots=True)
class Asked:
    """One read that was sent: where to, and what comes first."""

    target: Target
    holder: str  # the instance that has its cursor
    first: asyncio.Future[Rows]
    stop: Callable[[], None]  # tell it to look no further
    sent_s: float = field(default_factory=boottime_s)


class Reader:
    """The reads of one statement, inside its transaction if there is one."""

    def __init__(self, space: Space, specials: Specials, txn: Transaction | None) -> None:
        self._space = space
        self.specials = specials
        self._txn = txn
        self._schema = space.schema_version
        taken = txn.snapshots if txn is not None else None
        self.places = space.router.places if taken is None else taken.places
        self._held: dict[int, Held] | None = None  # all reads go there
        self._of_txn = False  # they are the transaction's
        self._now = False  # read what is committed now, whatever the level
        self._point: ReadPoint | None = None  # lookups add to it what they saw
        self.partial: Partial | None = None  # it may do without replica sets that are down

    @property
    def space(self) -> Space:
        """The database."""
        return self._space

    @property
    def txn(self) -> Transaction | None:
        """The statement's transaction."""
        return self._txn

    @property
    def schema(self) -> int:
        """Version of the schema that the statement was planned with."""
        return self._schema

    # -- where -------------------------------------------------------------------------------------
    async def targets(self, route: Route, values: Values) -> list[Target]:
        """The places a fragment runs at; [] if no row can match."""
        router, places = self._space.router, self.places
        kind = route.kind
        if kind == "all":
            return [Target(rs) for rs in self.there(places.replica_sets)]
        if kind == "local":
            return [Target(rs) for rs in self.there([self._nearest()])]
        if kind == "here":
            return [Target(instance=router.instance)]
        if kind == "everywhere":
            sets = self.there(places.replica_sets)
            return [
                Target(instance=e.instance) for e in router.map.elements if e.replica_set in sets
            ]
        buckets = buckets_of(route, values, self.specials)
        if kind == "global_index":
            buckets = await self._lookup(route, buckets, values)
        return [Target(rs) for rs in self.there(sorted({places.buckets[b] for b in buckets}))]

    def there(self, sets: Iterable[int]) -> list[int]:
        """Of the replica sets that a read wants those to ask: all, but for partial results."""
        return list(sets) if self.partial is None else self.partial.read(sets)

    def up(self, sets: Iterable[int]) -> list[int]:
        """The same before the read: none is an answer too."""
        return list(sets) if self.partial is None else self.partial.up(sets)

    async def targets_seen(self, route: Route, values: Values) -> list[Target]:
        """The same by what the transaction's snapshot shows, if it has one."""
        snapshots = await self.snapshots()
        if snapshots is None or self._held is not None:
            return await self.targets(route, values)
        self._held, self._of_txn = snapshots.held, True
        try:
            return await self.targets(route, values)
        finally:
            self.close()

    def _nearest(self) -> int:
        nearest = self._space.router.nearest()
        if self._held is not None and nearest not in self._held:
            return min(self._held)
        return nearest

    async def _lookup(
        self, route: Route, buckets: Sequence[int], values: Values
    ) -> tuple[int, ...]:
        assert route.lookup is not None
        params = route.lookup.bind(values, self.specials)
        found: set[int] = set()
        for rs in self.there({self.places.buckets[b] for b in buckets}):
            rows = await self.read_rows(Target(rs), route.lookup.sql, params, short=True)
            found.update(int(row[0]) for row in rows if row[0] is not None)
        return tuple(found)

    def note_lookups(self, route: Route | None, before: ReadPoint | None = None) -> ReadPoint:
        """From now on lookups by this route add what they saw to the result; None: no more."""
        point = ReadPoint(before)
        looks_up = route is not None and route.kind == "global_index"
        self._point = point if looks_up else None
        return point

    # -- one read ----------------------------------------------------------------------------------
    def _ask(
        self,
        target: Target,
        sql: str,
        params: Values,
        encoding: bytes,
        short: bool,
        back_ms: int = 0,
    ) -> Asked:
        router = self._space.router
        txn: TxnId | None = None
        term = 0
        if self._txn is not None:
            enlisted = self._txn.participants.get(target.rs)
            if enlisted is not None and enlisted.wrote:
                txn, term = self._txn.id, enlisted.term
        held: Held | None = None
        if self._held is not None and not target.instance:
            held = self._held.get(target.rs)
            if held is None and self._of_txn:
                assert self._txn is not None and self._txn.snapshots is not None
                held = self._txn.snapshots.at(target.rs)
            if held is None:  # the map changed under the statement
                raise NotLeadError(f"no snapshot of replica set {target.rs} is held")
        message = ReadRows(
            self._space.name,
            target.rs,
            self._schema,
            self.places.version_of(target.rs),
            sql,
            params,
            encoding,
            short,
            txn,
            bool(target.instance),
            term,
            back_ms,
            held.number if held is not None else 0,
        )
        instance = held.instance if held is not None else target.instance
        holder = router.holder(target.rs, instance)
        first, stop = router.read(target.rs, instance, message, READ_TIMEOUT_S)
        return Asked(target, holder, first, stop)

    async def read_rows(
        self, target: Target, sql: str, params: Values, *, short: bool = False
    ) -> list[StorageRow]:
        """All rows of a query at one place, as storage rows."""
        point = self._point if self._held is None else None
        back_ms = Agreement(self._space.name, self._space.router).back_ms(point) if point else 0
        asked = self._ask(target, sql, params, encoders.STORAGE_ROWS, short, back_ms)
        rows: list[StorageRow] = []
        async for batch in self._stream(asked):
            if batch.view is not None and point is not None:
                opened = Opened(target.rs, batch.view, asked.sent_s, boottime_s())
                point.add(("lookup", len(point.opened)), opened)
            rows += encoders.decode_storage_rows(batch.data)
        return rows

    async def row_batches(
        self, target: Target, sql: str, params: Values
    ) -> AsyncGenerator[list[StorageRow], None]:
        """The rows of a query at one place, some at a time."""
        async with aclosing(
            self._stream(self._ask(target, sql, params, encoders.STORAGE_ROWS, short=False))
        ) as found:
            async for batch in found:
                yield encoders.decode_storage_rows(batch.data)

    async def _stream(self, asked: Asked) -> AsyncGenerator[Rows, None]:
        """The batches of one read. Leaving early closes its cursor."""
        rows = await asked.first
        cursor = rows.cursor
        router = self._space.router
        try:
            while True:
                yield rows
                if not cursor:
                    return
                fetched = router.call_instance(asked.holder, FetchRows(cursor), READ_TIMEOUT_S)
                try:
                    rows = await fetched
                except _HOLDER_LOST as error:
                    raise self._holder_lost(error) from error
                cursor = rows.cursor
        finally:
            if cursor:
                router.tell_instance(asked.holder, CloseCursor(cursor))

    def _holder_lost(self, error: GridError) -> GridError:
        """A statement's own snapshots can be opened anew, a transaction's cannot."""
        if not self._of_txn:
            return error
        assert self._txn is not None
        self._txn.failed = SnapshotTooOldError(
            "the snapshot of the transaction is gone",
            detail=error.message,
            hint="Roll back and run the transaction again.",
        )
        return self._txn.failed

    def _abandon(self, asked: Asked) -> None:
        """A first batch that nobody will look at: close its cursor if it comes nevertheless."""
        router = self._space.router
        if not asked.first.done():
            asked.stop()

        def close(done: asyncio.Future[Rows]) -> None:
            if not done.cancelled() and done.exception() is None and done.result().cursor:
                router.tell_instance(asked.holder, CloseCursor(done.result().cursor))

        asked.first.add_done_callback(close)  # also marks an error as seen

    # -- one gather --------------------------------------------------------------------------------
    async def stream(
        self, gather: Gather, values: Values, encoding: bytes
    ) -> AsyncGenerator[Rows, None]:
        """The batches of a gather from all its targets, asked at the same time, in any order."""
        if trace.steps.listener is not None:
            trace.step("data/exec/reads.py")
        opened = await self._open(gather, values, encoding)
        try:
            for asked in list(opened):
                opened.remove(asked)
                async with aclosing(self._stream(asked)) as found:
                    async for rows in found:
                        yield rows
        finally:
            for asked in opened:
                self._abandon(asked)

    async def read_all(
        self, gather: Gather, values: Values, take: Callable[[Rows], Awaitable[None]]
    ) -> None:
        """Hand all batches of a gather to `take`, of all its targets at the same time."""
        opened = await self._open(gather, values, encoders.STORAGE_ROWS)
        if len(opened) == 1:
            await self._take_all(opened[0], take)
            return
        tasks = [asyncio.create_task(self._take_all(asked, take)) for asked in opened]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for asked in opened:  # one whose task never began; the others have closed theirs
                self._abandon(asked)

    async def _take_all(self, asked: Asked, take: Callable[[Rows], Awaitable[None]]) -> None:
        async with aclosing(self._stream(asked)) as batches:
            async for rows in batches:
                await take(rows)

    async def rows_by_set(
        self, gather: Gather, values: Values
    ) -> AsyncGenerator[tuple[int, list[StorageRow]], None]:
        """The same as storage rows, with the replica set that each batch comes from."""
        opened = await self._open(gather, values, encoders.STORAGE_ROWS)
        try:
            for asked in list(opened):
                opened.remove(asked)
                async with aclosing(self._stream(asked)) as found:
                    async for rows in found:
                        yield asked.target.rs, encoders.decode_storage_rows(rows.data)
        finally:
            for asked in opened:
                self._abandon(asked)

    async def _open(self, gather: Gather, values: Values, encoding: bytes) -> list[Asked]:
        """Ask all targets; all have answered, and agree, before the first row is handed on.

        Until then a retry is possible.
        """
        agreement = Agreement(self._space.name, self._space.router)
        point: ReadPoint | None = None
        while True:
            point = self.note_lookups(gather.route, point)
            try:
                targets = await self.targets(gather.route, values)
            finally:
                self.note_lookups(None)
            atomic = self._held is None and (len(targets) > 1 or bool(point.opened))
            if not atomic or (targets and targets[0].instance):
                return await self._all_open(gather, targets, values, encoding, {}, 0)
            opened = await self._agreed(gather, targets, values, encoding, agreement, point)
            if opened is not None:
                return opened

    async def _agreed(
        self,
        gather: Gather,
        targets: list[Target],
        values: Values,
        encoding: bytes,
        agreement: Agreement,
        point: ReadPoint,
    ) -> list[Asked] | None:
        """Ask until the states agree; None: the lookups before have to be done again."""
        opened: dict[Target, Asked] = {}
        try:
            while True:
                wanted = [t for t in targets if t not in opened]
                back_ms = agreement.back_ms(point)
                some = await self._all_open(gather, wanted, values, encoding, opened, back_ms)
                now_s = boottime_s()
                for asked in some:
                    view = asked.first.result().view
                    assert view is not None
                    rs = asked.target.rs
                    point.add(asked.target, Opened(rs, view, asked.sent_s, now_s))
                again = await agreement.missing(point)
                if not again:
                    return [opened[t] for t in targets]
                if any(key not in opened for key in again):
                    self._drop(opened.values())
                    return None
                for target in [t for t in targets if t in again]:
                    self._abandon(opened.pop(target))
                    point.forget(target)
        except BaseException:
            self._drop(opened.values())
            raise

    def _drop(self, opened: Iterable[Asked]) -> None:
        for asked in opened:
            self._abandon(asked)

    async def _all_open(
        self,
        gather: Gather,
        targets: list[Target],
        values: Values,
        encoding: bytes,
        opened: dict[Target, Asked],
        back_ms: int,
    ) -> list[Asked]:
        """Ask these targets and wait for their first rows."""
        params = gather.fragment.bind(values, self.specials)
        short = gather.route.kind in ("keys", "global_index") and len(gather.route.keys) == 1
        sql = gather.fragment.sql
        some: list[Asked] = []
        try:
            for target in targets:
                some.append(self._ask(target, sql, params, encoding, short, back_ms))
            firsts = [asked.first for asked in some]
            if firsts:  # not gather(): when this statement is cancelled they are still to be heard
                await asyncio.wait(firsts, return_when=asyncio.FIRST_EXCEPTION)
            for first in firsts:
                if first.done():
                    first.result()
        except _HOLDER_LOST as error:
            self._drop(some)
            raise self._holder_lost(error) from error
        except BaseException:
            self._drop(some)
            raise
        opened.update((asked.target, asked) for asked in some)
        return some

    # -- several reads: snapshots ------------------------------------------------------------------
    async def hold(self, plan: QueryPlan, values: Values) -> None:
        """Before the first read of a plan; `close` when its last row is there."""
        if self._held is not None:
            return
        snapshots = await self.snapshots()
        if snapshots is not None:
            self._held = snapshots.held
            self._of_txn = True
        elif len(_routes(plan)) > 1:
            sets = self.up(self._sets(plan, values))
            self._held = await self.open_snapshots(sets) if sets else None

    def close(self) -> None:
        """The statement needs its snapshots no more; a transaction's stay."""
        held, self._held = self._held, None
        if held is not None and not self._of_txn:
            self._let_go(held.values())
        self._of_txn = False

    async def snapshots(self) -> Snapshots | None:
        """The transaction's snapshots, taken now if this is its first statement.

        None: each statement of it reads what is committed when it starts.
        """
        txn = self._txn
        if txn is None or txn.isolation is not Isolation.REPEATABLE_READ or self._now:
            return None
        if txn.snapshots is None:
            held = await self.open_snapshots(self.there(self.places.replica_sets))
            txn.snapshots = Snapshots(held, self._schema, self.places)
        if txn.snapshots.schema != self._schema:
            txn.failed = SnapshotTooOldError(
                "tables have changed since the transaction's snapshot",
                hint="Roll back and run the transaction again.",
            )
            raise txn.failed
        if self.partial is not None:
            self.partial.down.update(set(self.places.replica_sets) - set(txn.snapshots.held))
        return txn.snapshots

    def _let_go(self, held: Iterable[Held]) -> None:
        close_snapshots(self._space, held)

    def _sets(self, plan: QueryPlan, values: Values) -> tuple[int, ...]:
        """The replica sets that a plan may read."""
        places = self.places
        sets: set[int] = set()
        for route in _routes(plan):
            if route.kind == "local":
                sets.add(self._nearest())
            elif route.kind == "keys":
                try:
                    buckets = buckets_of(route, values, self.specials)
                except KeyError:  # by the value of a scalar subquery, which is still to be read
                    return places.replica_sets
                sets.update(places.buckets[b] for b in buckets)
            elif route.kind in ("all", "global_index"):
                return places.replica_sets
        return tuple(sorted(sets))

    async def open_snapshots(self, sets: Sequence[int]) -> dict[int, Held]:
        """Snapshots of these replica sets that agree; the caller closes them."""
        if trace.steps.listener is not None:
            trace.step("data/exec/reads.py")
        router = self._space.router
        agreement = Agreement(self._space.name, router)
        point = ReadPoint()
        held: dict[int, Held] = {}
        wanted: Iterable[Hashable] = sets
        try:
            while wanted:
                back_ms = agreement.back_ms(point)
                asked: dict[int, tuple[str, float, asyncio.Future[SnapshotOpened]]] = {}
                for rs in [rs for rs in sets if rs in wanted]:
                    version = self.places.version_of(rs)
                    message = OpenSnapshot(self._space.name, rs, self._schema, version, back_ms)
                    call = router.call(rs, message, OPEN_TIMEOUT_S)
                    asked[rs] = (router.holder(rs, ""), boottime_s(), call)
                await self._snapshots_came(asked, held, point)
                wanted = await agreement.missing(point)
                if wanted:
                    old = {rs: held.pop(rs) for rs in list(held) if rs in wanted}
                    self._let_go(old.values())
                    for rs in old:
                        point.forget(rs)
        except BaseException:
            self._let_go(held.values())
            raise
        return held

    async def _snapshots_came(
        self,
        asked: dict[int, tuple[str, float, asyncio.Future[SnapshotOpened]]],
        held: dict[int, Held],
        point: ReadPoint,
    ) -> None:
        try:
            await asyncio.wait([call for _, _, call in asked.values()])
        except asyncio.CancelledError:
            for holder, _, call in asked.values():
                call.add_done_callback(partial(self._too_late, holder))
            raise
        error: GridError | None = None
        now_s = boottime_s()
        for rs, (holder, sent_s, call) in asked.items():
            problem = call.exception()
            if isinstance(problem, GridError):
                error = problem
                continue
            opened = call.result()
            held[rs] = Held(holder, opened.number)
            point.add(rs, Opened(rs, opened.view, sent_s, now_s))
        if error is not None:
            raise error

    def _too_late(self, holder: str, done: asyncio.Future[SnapshotOpened]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._let_go([Held(holder, done.result().number)])


def close_snapshots(space: Space, held: Iterable[Held]) -> None:
    """Tell those who hold them that they are not needed any more."""
    for one in held:
        message = CloseSnapshots(space.name, (one.number,))
        space.router.tell_instance(one.instance, message)


NO_SNAPSHOT = ("here", "everywhere", "session")


def _routes(plan: QueryPlan) -> list[Route]:
    """Of the reads a plan makes that have to agree; a lookup and what follows it count as one."""
    return [
        gather.route
        for part in inner_plans(plan)
        for gather in part.gathers
        if gather.plan is None and gather.route.kind not in NO_SNAPSHOT
    ]
