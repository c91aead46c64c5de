"""Runs query plans: reads at the leads, rows streamed or gathered, then a final step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from data.distribution.route import Fragment
from data.exec import encoders
from data.exec.locking import locked_rows
from data.exec.observed import Observed
from data.exec.reads import Reader, Target, Values
from data.exec.shipping import SHIP_BYTES_MAX, SHIP_KEYS_MAX, encoded_rows
from data.sql.plan_types import First, Gather, QueryPlan
from data.storage.scratch import Scratch
from protocol.errors import CardinalityError
from protocol.messages.sql import Rows
from protocol.sqltypes import StorageRow

__all__ = ["QueryRunner", "Target"]

FINAL_ROWS = 500  # rows of a final step handed on at a time


class QueryRunner(Reader):
    """Runs the queries of one statement, inside its transaction if there is one."""

    # -- whole queries -----------------------------------------------------------------------------
    observed: Observed | None = None  # EXPLAIN ANALYZE

    async def prepare(self, plan: QueryPlan, values: Values) -> QueryPlan:
        """Open snapshots if need be, run what comes first; the plan to go on with."""
        await self.hold(plan, values)
        return await self._chosen(plan, values)

    async def _chosen(self, plan: QueryPlan, values: Values) -> QueryPlan:
        """The plan itself when all that comes first has been run, else what it falls back to."""
        while not await self.read_firsts(plan, values):
            assert plan.otherwise is not None
            if self.observed is not None:
                self.observed.of(plan).note = "the rows to send are too many"
            plan = plan.otherwise
        return plan

    async def read_firsts(self, plan: QueryPlan, values: Values) -> bool:
        """Run the queries that come first; False if the rows of one are too many to send."""
        for first in plan.firsts:
            if first.kind == "scalar":
                rows = await self.all_rows(first.plan, values)
                self._saw(first, len(rows))
                if len(rows) > 1:
                    raise CardinalityError("a scalar subquery gave more than one row")
                self.specials.scalars[first.number] = rows[0][0] if rows else None
                continue
            shipped = await self._shipped(first, values)
            if shipped is None:
                return False
            self.specials.rows[first.number] = shipped
        return True

    async def _shipped(self, first: First, values: Values) -> str | None:
        """The rows as JSON; None: too many."""
        parts: list[str] = []
        size = 0
        async with aclosing(self.batches(first.plan, values)) as found:
            async for rows in found:
                part = encoded_rows(rows)
                if part is None:
                    return None
                parts += [part] if part else []
                size += len(part)
                self._saw(first, len(rows), len(part))
                if size > SHIP_BYTES_MAX:
                    return None
        return f"[{','.join(parts)}]"

    async def rows_now(self, plan: QueryPlan, values: Values) -> list[StorageRow]:
        """The whole result on what is committed now, whatever the transaction's snapshot shows."""
        held, of_txn = self._held, self._of_txn
        self._held, self._of_txn, self._now = None, False, True
        try:
            return await self.all_rows(plan, values)
        finally:
            self._held, self._of_txn, self._now = held, of_txn, False

    async def all_rows(self, plan: QueryPlan, values: Values) -> list[StorageRow]:
        """The whole result as storage rows."""
        rows: list[StorageRow] = []
        async for batch in self.batches(plan, values):
            rows += batch
        return rows

    async def batches(
        self, plan: QueryPlan, values: Values
    ) -> AsyncGenerator[list[StorageRow], None]:
        """The result as storage rows, in batches; visible columns and those of `locking`."""
        if plan.locking is not None:
            yield await locked_rows(self, plan, plan.locking, values)
            return
        outermost = self._held is None
        try:
            plan = await self.prepare(plan, values)
            async with aclosing(self._batches(plan, values)) as found:
                async for rows in found:
                    yield rows
        finally:
            if outermost:
                self.close()

    async def _batches(
        self, plan: QueryPlan, values: Values
    ) -> AsyncGenerator[list[StorageRow], None]:
        if plan.final is None:
            gather = plan.gathers[0]
            async with aclosing(self.stream(gather, values, encoders.STORAGE_ROWS)) as found:
                async for rows in found:
                    self._saw(gather, rows.count, len(rows.data))
                    yield encoders.decode_storage_rows(rows.data)
            return
        scratch = self._space.new_scratch()
        try:
            await self._fill(scratch, plan, values)
            async with aclosing(self._final(scratch, plan.final, values)) as found:
                async for batch in found:
                    self._saw(plan, len(batch))
                    yield batch
        finally:
            await scratch.close()

    def _saw(self, step: QueryPlan | First | Gather, rows: int, size: int = 0) -> None:
        if self.observed is not None:
            self.observed.add(step, rows, size)

    async def _fill(self, scratch: Scratch, plan: QueryPlan, values: Values) -> None:
        """All gathers at the same time, but those that wait for keys of others."""
        for gather in plan.gathers:
            scratch.create_table(gather.name, gather.columns, gather.indexes)
        left = list(plan.gathers)
        filled: set[str] = set()
        while left:
            ready = [g for g in left if all(k.gather in filled for k in g.keys)]
            streams = [self._fill_one(scratch, g, values) for g in ready]
            for result in await asyncio.gather(*streams, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            filled.update(g.name for g in ready)
            left = [g for g in left if g.name not in filled]
        await scratch.analyze()

    async def _fill_one(self, scratch: Scratch, gather: Gather, values: Values) -> None:
        if gather.plan is not None:
            plan = await self._chosen(gather.plan, values)
            async with aclosing(self._batches(plan, values)) as found:
                async for batch in found:
                    self._saw(gather, len(batch))
                    await scratch.insert(gather.name, batch)
            return
        asked = gather
        if gather.keyed is not None and await self._read_keys(scratch, gather):
            asked = replace(gather, fragment=gather.keyed)
        elif gather.keyed is not None and self.observed is not None:
            self.observed.of(gather).note = "too many, all rows were asked for"
        if gather.route.kind == "session":
            async with aclosing(self._session_rows(asked, values)) as found:
                async for some in found:
                    self._saw(gather, len(some))
                    await scratch.insert(gather.name, some)
            return

        async def insert(rows: Rows) -> None:
            self._saw(gather, rows.count, len(rows.data))
            await scratch.insert(gather.name, encoders.decode_storage_rows(rows.data))

        await self.read_all(asked, values, insert)

    def _session_rows(
        self, gather: Gather, values: Values
    ) -> AsyncGenerator[list[StorageRow], None]:
        """Of the session's own temporary tables."""
        tables = [self._space.catalog.table_by_id(number) for number in gather.tables]
        params = gather.fragment.bind(values, self.specials)
        return self.specials.facts.temporary.rows(tables, gather.fragment.sql, params)

    async def _read_keys(self, scratch: Scratch, gather: Gather) -> bool:
        """Have the keys ready that a gather is restricted to; False: too many."""
        for keys in gather.keys:
            found = await scratch.different(keys.gather, keys.column, SHIP_KEYS_MAX)
            shipped = None if found is None else encoded_rows(found)
            if shipped is None or len(shipped) > SHIP_BYTES_MAX:
                return False
            self.specials.rows[keys.number] = f"[{shipped}]"
        return True

    async def _final(
        self, scratch: Scratch, final: Fragment, values: Values
    ) -> AsyncGenerator[list[StorageRow], None]:
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
