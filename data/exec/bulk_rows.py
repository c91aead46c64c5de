"""Very many new rows of one table: placed at once, and sent to the leads in encoded blocks.

A block is encoded here, column by column, in the form in which the log keeps it. The lead looks at
some columns, and hands the same bytes to its log and to the copies (data/txn). That is for
tables from whose rows nothing follows elsewhere: no foreign keys, global indexes or materialized
views, and not DUPLICATE. All others, ON CONFLICT, and few rows, take the way of InsertRows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Protocol

from data.catalog.catalog import names_of
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
from protocol.pgwire.row_columns import RowColumns
from protocol.sqltypes import StorageValue

Values = Sequence[StorageValue]

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
    writer: BlockWriter, rule: PlacementRule, table: Table, made: RowColumns
) -> list[int]:
    """Insert rows (without bucket) that `goes_in_blocks` allows; gives their buckets.

    Raises what Writer.insert_rows raises.
    """
    assert isinstance(rule, HashRule)
    buckets = rule.of_all(made)
    if min(buckets) < 0:
        raise null_key(table, rule.positions)
    columns: list[Values] = [*made.columns, buckets]
    sets = list(map(writer.places.buckets.__getitem__, buckets))
    counts = sorted(Counter(sets).items())
    if len(counts) > 1:
        in_order = itemgetter(*sorted(range(len(sets)), key=sets.__getitem__))
        columns = list(map(in_order, columns))
    work, at = {}, 0
    for rs, count in counts:
        work[rs] = _insert_at(writer, rs, table, [c[at : at + count] for c in columns])
        at += count
    await gather(work)
    return buckets


async def _insert_at(writer: BlockWriter, rs: int, table: Table, columns: Sequence[Values]) -> None:
    for block in blocks(table_name(table), columns):
        await writer.run(rs, InsertBlock(table.id, block))
        await asyncio.sleep(0)  # answers of this process come at once: others get their turn


def blocks(name: str, columns: Sequence[Values]) -> Iterator[bytes]:
    """Rows in encoded pieces that fit well into a message; a very long row has one of its own."""
    count = len(columns[0])
    size = -(-count // max(1, round(count / BLOCK_ROWS)))  # no small one at the end
    left = [(at, min(at + size, count)) for at in range(0, count, size)]
    left.reverse()
    while left:
        begin, end = left.pop()
        block = encode_inserts(name, [column[begin:end] for column in columns])
        if len(block) > BLOCK_BYTES and end - begin > 1:
            half = (begin + end) // 2
            left += [(half, end), (begin, half)]
        else:
            yield block


def null_key(table: Table, positions: tuple[int, ...]) -> NotNullError:
    """A row has no place, for these columns decide it and are NULL."""
    names = ", ".join(full_row_columns(table)[i] for i in positions)
    error = NotNullError(
        f"a row of {table.schema}.{table.name} has no place: {names} must not be NULL",
        hint="These columns decide where the row is stored.",
    )
    return error.about(names_of(table, column=full_row_columns(table)[positions[0]]))
