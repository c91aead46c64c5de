"""Large UPDATEs and DELETEs that entail something elsewhere, or return rows: some rows at a time.

A lead that finds too many rows for one message says so (LargeStatementError). Then the coordinator
reads the keys of the rows into files and sends each replica set some of them after the other; what
they entail is carried out before the next ones come. Every message stays small, and others write
in between. As in slices at the lead (data/txn/sliced.py) a row is looked at again in its turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from data.catalog.objects import Distribution, Table
from data.exec.queries import QueryRunner
from data.sql.plan_types import DeletePlan, Gather, UpdatePlan
from data.storage.spool import PieceFile
from data.txn.facts import FactsCache
from protocol.sqltypes import StorageRow, StorageValue

ROWS_AT_ONCE = 10_000  # with more (or 4 MiB of them) a statement is not done in one piece
KEYS_PER_STEP = 500

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode


class _Files(Protocol):
    def new_pieces(self) -> PieceFile: ...


class FoundKeys:
    """The keys of the rows that a statement is about (with `found`: and more), by set. Close it."""

    def __init__(self) -> None:
        self._files: dict[int, PieceFile] = {}

    async def find(
        self,
        files: _Files,
        queries: QueryRunner,
        plan: UpdatePlan | DeletePlan,
        values: tuple[StorageValue, ...],
        only_set: int,
    ) -> None:
        """Read them. `only_set`: of a table that is everywhere, where it is written; else 0."""
        query = plan.found or plan.match
        assert query is not None
        gather = Gather("keys", query, plan.route, (), tables=plan.tables)
        async with aclosing(queries.rows_by_set(gather, values)) as found:
            async for rs, rows in found:
                file = self._files.get(only_set or rs)
                if file is None:
                    file = self._files[only_set or rs] = files.new_pieces()
                for at in range(0, len(rows), KEYS_PER_STEP):
                    some = rows[at : at + KEYS_PER_STEP]
                    file.put(_encode(some), len(some))

    def rounds(self) -> Iterator[dict[int, list[StorageRow]]]:
        """Some keys of each replica set at a time."""
        for number in range(max(map(len, self._files.values()), default=0)):
            yield {
                rs: _decode(file.piece(number))
                for rs, file in sorted(self._files.items())
                if number < len(file)
            }

    def close(self) -> None:
        """Drop them."""
        for file in self._files.values():
            file.close()


def may_go_by_key(facts: FactsCache, table: Table) -> bool:
    """No row can be in the way of another: no cascade leads back to the table."""
    to_see, seen = [table.id], set[int]()
    while to_see:
        for link in facts.by_id(to_see.pop()).children:
            if link.child.id == table.id:
                return False
            if link.child.id not in seen:
                seen.add(link.child.id)
                to_see.append(link.child.id)
    return True


def only_set_of(table: Table, home: int) -> int:
    """Where a table that is everywhere is written; 0: it is not."""
    return home if table.distribution is Distribution.DUPLICATE else 0
