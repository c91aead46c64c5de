"""Runs query plans: reads at the leads, rows streamed or gathered, then a final step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from data.distribution.route import Fragment, Route, buckets_of
from data.exec import encoders
from data.exec.locking import locked_rows
from data.exec.router import Router
from data.exec.values import Specials
from data.sql.plan_types import Gather, QueryPlan
from data.storage.scratch import Scratch
from data.txn.manager import Transaction, TransactionManager
from protocol import trace
from protocol.errors import CardinalityError
from protocol.ids import TxnId
from protocol.messages.sql import CloseCursor, FetchRows, ReadRows, Rows
from protocol.sqltypes import StorageRow, StorageValue

READ_TIMEOUT_S = 3600.0  # a scan may take long; lost peers are noticed by their connection
FINAL_ROWS = 500  # rows of a final step handed on at a time

Values = tuple[StorageValue, ...]


class Space(Protocol):
    """What the runner needs of a database on this instance (data/exec/coordination.py)."""

    name: str
    router: Router
    manager: TransactionManager

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


class QueryRunner:
    """Runs the queries of one statement, inside its transaction if there is one."""

    def __init__(self, space: Space, specials: Specials, txn: Transaction | None) -> None:
        self._space = space
        self.specials = specials
        self._txn = txn
        self._schema = space.schema_version

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
        router = self._space.router
        kind = route.kind
        if kind == "all":
            return [Target(rs) for rs in router.replica_sets]
        if kind == "local":
            return [Target(router.nearest())]
        if kind == "here":
            return [Target(instance=router.instance)]
        if kind == "everywhere":
            return [Target(instance=e.instance) for e in router.map.elements if e.replica_set]
        buckets = buckets_of(route, values, self.specials)
        if kind == "global_index":
            buckets = await self._lookup(route, buckets, values)
        return [Target(rs) for rs in sorted({router.buckets[b] for b in buckets})]

    async def _lookup(
        self, route: Route, buckets: Sequence[int], values: Values
    ) -> tuple[int, ...]:
        assert route.lookup is not None
        params = route.lookup.bind(values, self.specials)
        router = self._space.router
        found: set[int] = set()
        for rs in {router.buckets[b] for b in buckets}:
            rows = await self.read_rows(Target(rs), route.lookup.sql, params, short=True)
            found.update(int(row[0]) for row in rows if row[0] is not None)
        return tuple(found)

    # -- reading -----------------------------------------------------------------------------------
    def _message(
        self, target: Target, sql: str, params: Values, encoding: bytes, short: bool
    ) -> ReadRows:
        txn: TxnId | None = None
        term = 0
        if self._txn is not None:
            enlisted = self._txn.participants.get(target.rs)
            if enlisted is not None and enlisted.wrote:
                txn, term = self._txn.id, enlisted.term
        return ReadRows(
            self._space.name,
            target.rs,
            self._schema,
            self._space.router.map_version,
            sql,
            params,
            encoding,
            short,
            txn,
            bool(target.instance),
            term,
        )

    def _call(self, target: Target, message: Any) -> asyncio.Future[Any]:
        router = self._space.router
        if target.instance:
            return router.call_instance(target.instance, message, READ_TIMEOUT_S)
        return router.call(target.rs, message, READ_TIMEOUT_S)

    async def read_rows(
        self, target: Target, sql: str, params: Values, *, short: bool = False
    ) -> list[StorageRow]:
        """All rows of a query at one place, as storage rows."""
        message = self._message(target, sql, params, encoders.STORAGE_ROWS, short)
        rows: list[StorageRow] = []
        async for batch in self._stream(target, self._call(target, message)):
            rows += encoders.decode_storage_rows(batch.data)
        return rows

    async def _stream(self, target: Target, first: asyncio.Future[Rows]) -> AsyncIterator[Rows]:
        """The batches of one read. Leaving early closes its cursor."""
        rows = await first
        cursor = rows.cursor
        holder = self._space.router.holder(target.rs, target.instance)
        try:
            while True:
                yield rows
                if not cursor:
                    return
                rows = await self._space.router.call_instance(
                    holder, FetchRows(cursor), READ_TIMEOUT_S
                )
                cursor = rows.cursor
        finally:
            if cursor:
                self._space.router.tell_instance(holder, CloseCursor(cursor))

    async def stream(self, gather: Gather, values: Values, encoding: bytes) -> AsyncIterator[Rows]:
        """The batches of a gather from all its targets, asked at the same time, in any order."""
        if trace.listener is not None:
            trace.step("data/exec/queries.py")
        targets = await self.targets(gather.route, values)
        params = gather.fragment.bind(values, self.specials)
        short = gather.route.kind in ("keys", "global_index") and len(gather.route.keys) == 1
        firsts = [
            self._call(t, self._message(t, gather.fragment.sql, params, encoding, short))
            for t in targets
        ]
        try:
            # all have opened before the first row is handed on: until then a retry is possible
            await asyncio.gather(*firsts)
            for target, first in zip(targets, firsts, strict=True):
                async for rows in self._stream(target, first):
                    yield rows
        finally:
            for target, first in zip(targets, firsts, strict=True):
                self._abandon(target, first)

    def _abandon(self, target: Target, first: asyncio.Future[Rows]) -> None:
        """A first batch that nobody will look at: close its cursor when it comes."""
        router = self._space.router
        holder = router.holder(target.rs, target.instance)

        def close(done: asyncio.Future[Rows]) -> None:
            if not done.cancelled() and done.exception() is None and done.result().cursor:
                router.tell_instance(holder, CloseCursor(done.result().cursor))

        if not first.done():
            first.add_done_callback(close)
        elif not first.cancelled():
            first.exception()  # seen: the statement fails with the first error anyway

    # -- whole queries -----------------------------------------------------------------------------
    async def prepare(self, plan: QueryPlan, values: Values) -> None:
        """Run the scalar subqueries that the plan's fragments ask for."""
        for scalar in plan.scalars:
            rows = await self.all_rows(scalar, values)
            if len(rows) > 1:
                raise CardinalityError("a scalar subquery gave more than one row")
            self.specials.scalars.append(rows[0][0] if rows else None)

    async def all_rows(self, plan: QueryPlan, values: Values) -> list[StorageRow]:
        """The whole result as storage rows."""
        rows: list[StorageRow] = []
        async for batch in self.batches(plan, values):
            rows += batch
        return rows

    async def batches(self, plan: QueryPlan, values: Values) -> AsyncIterator[list[StorageRow]]:
        """The result as storage rows, in batches; visible columns and those of `locking`."""
        await self.prepare(plan, values)
        if plan.locking is not None:
            yield await locked_rows(self, plan, plan.locking, values)
            return
        if plan.final is None:
            async for rows in self.stream(plan.gathers[0], values, encoders.STORAGE_ROWS):
                yield encoders.decode_storage_rows(rows.data)
            return
        scratch = self._space.new_scratch()
        try:
            await self._fill(scratch, plan, values)
            async for batch in self._final(scratch, plan.final, values):
                yield batch
        finally:
            await scratch.close()

    async def _fill(self, scratch: Scratch, plan: QueryPlan, values: Values) -> None:
        for gather in plan.gathers:
            scratch.create_table(gather.name, gather.columns, gather.indexes)
        streams = [self._fill_one(scratch, g, values) for g in plan.gathers]
        for result in await asyncio.gather(*streams, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _fill_one(self, scratch: Scratch, gather: Gather, values: Values) -> None:
        async for rows in self.stream(gather, values, encoders.STORAGE_ROWS):
            await scratch.insert(gather.name, encoders.decode_storage_rows(rows.data))

    async def _final(
        self, scratch: Scratch, final: Fragment, values: Values
    ) -> AsyncIterator[list[StorageRow]]:
        scan = await scratch.scan(final.sql, final.bind(values, self.specials))
        try:
            while True:
                rows = await scan.fetch(FINAL_ROWS)
                if rows:
                    yield rows
                if scan.ended:
                    return
        finally:
            await scan.close()
