"""Very many new rows of one table: placed at once, and sent to the leads in encoded blocks.

A block is encoded here, in the form in which the log keeps row changes. The lead decodes it once
to insert its rows, and hands the same bytes to its log and to the copies (data/txn). That is for
tables from whose rows nothing follows elsewhere: no foreign keys, global indexes or materialized
views, and not DUPLICATE. All others, ON CONFLICT, and few rows, take the way of InsertRows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

from data.catalog.element_ddl import full_row_columns, table_name
from data.catalog.objects import Table
from data.distribution.places import Places
from data.exec.at_sets import gather
from data.exec.placement import HashRule, PlacementRule
from data.storage.changes import encode_inserts
from data.txn.facts import TableFacts
from protocol.errors import NotNullError
from protocol.limits import MIB
from protocol.messages.sql import InsertBlock, Ran, Step
from protocol.sqltypes import StorageRow

ROWS_MIN = 500  # fewer stay in the memory of the lead; see data/txn/parts.py
BLOCK_ROWS = 1000  # about; some milliseconds of work, after which others get their turn
BLOCK_BYTES = 2 * MIB


class BlockWriter(Protocol):
    """The writes of one statement."""

    places: Places

    async def run(self, rs: int, *steps: Step) -> Ran: ...


def goes_in_blocks(facts: TableFacts, count: int) -> bool:
    """May this many new rows of a table be sent in blocks, and is it worth it?"""
    return count >= ROWS_MIN and facts.is_plain


async def insert_in_blocks(
    writer: BlockWriter, rule: PlacementRule, table: Table, made: Sequence[StorageRow]
) -> list[StorageRow]:
    """Insert rows (without bucket) that `goes_in_blocks` allows; gives the full rows.

    Raises what Writer.insert_rows raises.
    """
    assert isinstance(rule, HashRule)
    buckets = rule.of_all(made)
    if min(buckets) < 0:
        raise null_key(table, rule.positions)
    full = [(*row, bucket) for row, bucket in zip(made, buckets, strict=True)]
    owners = writer.places.buckets
    by_set: dict[int, list[StorageRow]] = {}
    for rs, row in zip([owners[bucket] for bucket in buckets], full, strict=True):
        if rs in by_set:
            by_set[rs].append(row)
        else:
            by_set[rs] = [row]
    await gather({rs: _insert_at(writer, rs, table, some) for rs, some in sorted(by_set.items())})
    return full


async def _insert_at(
    writer: BlockWriter, rs: int, table: Table, rows: Sequence[StorageRow]
) -> None:
    for block in blocks(table_name(table), rows):
        await writer.run(rs, InsertBlock(table.id, block))
        await asyncio.sleep(0)  # answers of this process come at once: others get their turn


def blocks(name: str, rows: Sequence[StorageRow]) -> Iterator[bytes]:
    """Rows in encoded pieces that fit well into a message; a very long row has one of its own."""
    size = -(-len(rows) // max(1, round(len(rows) / BLOCK_ROWS)))  # no small one at the end
    left = [rows[at : at + size] for at in range(0, len(rows), size)]
    left.reverse()
    while left:
        some = left.pop()
        block = encode_inserts(name, some)
        if len(block) > BLOCK_BYTES and len(some) > 1:
            half = len(some) // 2
            left += [some[half:], some[:half]]
        else:
            yield block


def null_key(table: Table, positions: tuple[int, ...]) -> NotNullError:
    """A row has no place, for these columns decide it and are NULL."""
    names = ", ".join(full_row_columns(table)[i] for i in positions)
    return NotNullError(
        f"a row of {table.schema}.{table.name} has no place: {names} must not be NULL",
        hint="These columns decide where the row is stored.",
    )
