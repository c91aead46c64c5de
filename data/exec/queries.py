"""Runs query plans: reads at the leads, rows streamed or gathered, then a final step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from data.distribution.route import Fragment
from data.exec import encoders
from data.exec.locking import locked_rows
from data.exec.reads import Reader, Target, Values
from data.sql.plan_types import Gather, QueryPlan
from data.storage.scratch import Scratch
from protocol.errors import CardinalityError
from protocol.sqltypes import StorageRow

__all__ = ["QueryRunner", "Target"]

FINAL_ROWS = 500  # rows of a final step handed on at a time


class QueryRunner(Reader):
    """Runs the queries of one statement, inside its transaction if there is one."""

    # -- whole queries -----------------------------------------------------------------------------
    async def prepare(self, plan: QueryPlan, values: Values) -> None:
        """Open snapshots if need be; run the scalar subqueries that the fragments ask for."""
        await self.hold(plan, values)
        await self.read_scalars(plan, values)

    async def read_scalars(self, plan: QueryPlan, values: Values) -> None:
        """Run the scalar subqueries of a plan."""
        if plan.scalars:
            self.specials.scalars.clear()
        for scalar in plan.scalars:
            rows = await self.all_rows(scalar, values)
            if len(rows) > 1:
                raise CardinalityError("a scalar subquery gave more than one row")
            self.specials.scalars.append(rows[0][0] if rows else None)

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

    async def batches(self, plan: QueryPlan, values: Values) -> AsyncIterator[list[StorageRow]]:
        """The result as storage rows, in batches; visible columns and those of `locking`."""
        if plan.locking is not None:
            yield await locked_rows(self, plan, plan.locking, values)
            return
        outermost = self._held is None
        try:
            await self.prepare(plan, values)
            async for rows in self._batches(plan, values):
                yield rows
        finally:
            if outermost:
                self.close()

    async def _batches(self, plan: QueryPlan, values: Values) -> AsyncIterator[list[StorageRow]]:
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
        if gather.route.kind == "session":
            tables = [self._space.catalog.table_by_id(number) for number in gather.tables]
            params = gather.fragment.bind(values, self.specials)
            async for some in self.specials.facts.temporary.rows(
                tables, gather.fragment.sql, params
            ):
                await scratch.insert(gather.name, some)
            return
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
