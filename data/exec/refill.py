"""Fills the tables a DDL statement makes, or makes anew, in its own transaction.

The rows are read while their tables are locked, go to the replica sets where the new catalog puts
them, and are put in when the DDL commits (AddRows).
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from typing import TYPE_CHECKING

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import full_row_columns, has_bucket, table_name
from data.catalog.materialized import NULL_BUCKET
from data.catalog.objects import Table
from data.distribution.places import Places
from data.exec.placement import HashRule, ParentRule, PlacementCache
from data.exec.queries import QueryRunner, Target
from data.exec.values import Specials
from data.exec.writes import row_slices
from data.sql.ddl_build import Backfill, Refill
from data.txn.facts import FactsCache
from data.txn.manager import Transaction
from protocol import trace
from protocol.errors import InternalError
from protocol.messages.sql import AddRows
from protocol.sqltypes import StorageRow

if TYPE_CHECKING:
    from data.exec.session import Session

_Rows = dict[tuple[int, str], list[StorageRow]]  # by replica set and SQLite table


class Refiller:
    """Carries out backfills and refills of one plan. `after`: the catalog with its change."""

    def __init__(self, session: Session, txn: Transaction, after: Catalog) -> None:
        self._space = session.space
        self._txn = txn
        self._runner = QueryRunner(session.space, Specials(session), None)
        self._placement = PlacementCache(after)
        self._facts = FactsCache(after)

    @property
    def _places(self) -> Places:
        return self._runner.places

    async def backfill(self, backfill: Backfill) -> None:
        """Entries of a new global index, each sent to where its key hashes to."""
        target = backfill.target
        hasher = self._placement.hasher(target, target.distribution_key)
        names = [c.name for c in target.columns]
        at = [names.index(n) for n in target.distribution_key]
        for rs in self._places.replica_sets:
            source = self._runner.row_batches(Target(rs), backfill.source_sql, ())
            async with aclosing(source) as found:
                async for rows in found:
                    made: _Rows = defaultdict(list)
                    for row in rows:
                        bucket = hasher([row[i] for i in at])
                        made[self._places.buckets[bucket], table_name(target)].append(
                            (*row, bucket)
                        )
                    await self._add(made)

    async def refill(self, refill: Refill) -> None:
        """The rows of a table, and its entries in global indexes."""
        if trace.steps.listener is not None:
            trace.step("data/exec/refill.py")
        sets = self._places.replica_sets
        for rs in sets[:1] if refill.once else sets:
            async with aclosing(
                self._runner.row_batches(Target(rs), refill.source_sql, ())
            ) as found:
                async for rows in found:
                    await self._add(await self._made(refill, rows))

    async def _made(self, refill: Refill, rows: list[StorageRow]) -> _Rows:
        table = refill.table
        name = table_name(table)
        made: _Rows = defaultdict(list)
        if not has_bucket(table):
            for rs in self._places.replica_sets:
                made[rs, name] = rows
            return made
        facts = self._facts.by_id(table.id)
        width = len(full_row_columns(table)) - 1
        placed_by = refill.placed_by or table
        placing = [row[width:] for row in rows] if refill.placed_by is not None else rows
        buckets = await self._buckets(placed_by, placing)
        for row, bucket in zip(rows, buckets, strict=True):
            full = (*row[:width], bucket)
            made[self._places.buckets[bucket], name].append(full)
            for key in facts.global_keys:
                entry = key.entry(full, facts.bucket)
                if entry is not None:
                    entries = key.entry_table
                    hasher = self._placement.hasher(entries, entries.distribution_key)
                    at = hasher(entry[: key.width])
                    made[self._places.buckets[at], key.name].append((*entry, at))
        return made

    async def _buckets(self, table: Table, rows: list[StorageRow]) -> list[int]:
        """Where rows of a table belong."""
        rule = self._placement.rule(table)
        if isinstance(rule, HashRule):
            return [NULL_BUCKET if (at := rule.of(row)) < 0 else at for row in rows]
        if not isinstance(rule, ParentRule):
            raise InternalError("rows of a table that is everywhere have no bucket")
        keys = [tuple([row[i] for i in rule.positions]) for row in rows]
        found: dict[StorageRow, int] = {}
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            rs = self._places.buckets[rule.key_bucket(key)]
            answer = await self._runner.read_rows(Target(rs), rule.lookup_sql, key, short=True)
            if not answer:
                raise InternalError(f"a row has no parent by {rule.constraint}")
            found[key] = int(answer[0][0] or 0)
        return [found[key] for key in keys]

    async def _add(self, made: _Rows) -> None:
        for (rs, name), rows in sorted(made.items()):
            for some in row_slices(rows):
                await self._space.manager.run(
                    self._txn, rs, (AddRows(name, some),), self._runner.schema, places=self._places
                )
