"""What a look says will fit does fit: rows that wait for their COMMIT, against inserting them."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from data.catalog.objects import Check, Column, Distribution, Index, Table
from data.storage.changes import Inserted, decode_inserts
from data.txn.block_check import BLOCK_BYTES_MAX, BlockCheck
from data.txn.facts import FactsCache
from protocol.errors import GridError, OutOfPermSizeError, UniqueViolationError
from protocol.messages.sql import InsertBlock, SelectRows
from protocol.sqltypes import Kind, SqlType
from tests.support.lead import NUMBER10, Lead, T, txn
from tests.support.new_rows import encoded

TEXT = SqlType(Kind.VARCHAR, 0, 0, 20)
NUMBER = SqlType(Kind.NUMBER)
DOUBLE = SqlType(Kind.BINARY_DOUBLE)


def table(id: int, *columns: Column, unique: tuple[str, ...] = (), **fields: Any) -> Table:
    indexes = [Index(id + 1, f"PK{id}", ("A",), unique=True, primary=True, constraint=True)]
    if fields.get("row_key"):
        indexes = []
    if unique:
        indexes.append(Index(id + 2, f"U{id}", unique, unique=True, constraint=True))
    return Table(
        id=id,
        schema="U",
        name=f"T{id}",
        columns=columns,
        distribution=Distribution.HASH,
        distribution_key=() if fields.get("row_key") else ("A",),
        indexes=tuple(indexes),
        **fields,
    )


A = Column("A", NUMBER10, nullable=False)
TABLES = [
    table(2000, A, Column("B", NUMBER10)),
    table(2010, A, Column("B", NUMBER10), unique=("B",)),
    table(2020, A, Column("B", NUMBER10), Column("C", TEXT), unique=("B", "C")),
    table(2030, Column("A", NUMBER10), Column("B", TEXT, nullable=False), row_key=True),
    table(2040, A, Column("B", TEXT), unique=("B",)),
    table(2050, A, Column("B", NUMBER), unique=("B",)),
    table(2060, A, Column("B", DOUBLE, nullable=False)),
    table(2070, A, Column("B", NUMBER10), checks=(Check("C", "B > 3", '"B" > 3'),)),
]
OFTEN_SURE = (2000, 2010, 2020, 2030)  # the others never


def value(column: Column, some: random.Random, high: int) -> Any:
    if some.random() < 0.02:
        return None
    number = some.randrange(high)
    if column.type == TEXT or column.type == NUMBER:
        return str(number)
    return float("nan") if column.type == DOUBLE and number % 50 == 0 else number


def rows_of(of: Table, some: random.Random, count: int) -> list[tuple[Any, ...]]:
    low, high = some.choice([(0, 40), (0, 10_000), (10_000, 20_000)])
    rows: list[tuple[Any, ...]] = []
    for number in range(count):
        row = [value(column, some, high) for column in of.columns]
        if row[0] is not None:
            row[0] += low
        key = [some.randrange(10**6) + number] if of.row_key else []
        rows.append((*key, *row, 0))
    return rows


def inserted(name: str, rows: list[tuple[Any, ...]]) -> Inserted:
    return decode_inserts(encoded(name, rows))


@pytest.mark.parametrize("of", TABLES, ids=lambda of: of.name)
async def test_what_surely_fits_can_be_inserted(lead: Lead, of: Table) -> None:
    await lead.define(of)
    element, some, name = lead.element, random.Random(of.id), f"U.{of.name}"
    facts = FactsCache(element.catalog).by_id(of.id)
    check = BlockCheck(facts)
    sure = refused = 0
    for _ in range(300):
        element.begin()
        for row in rows_of(of, some, 10):
            with suppress(GridError):
                element.insert_new_rows(name, [row])
        rows = rows_of(of, some, some.choice([1, 3, 10]))
        new = inserted(name, rows)
        fits = check.surely_fits(element, new, facts.keys_of_new(new), 500, 0)
        sure += fits
        try:
            element.insert_block(new)
        except GridError:
            assert not fits
            refused += 1
        element.rollback()
    assert refused > 5
    assert (sure > 20) is (of.id in OFTEN_SURE)


async def test_many_bytes_and_little_room_are_not_sure(lead: Lead) -> None:
    element = lead.element
    facts = FactsCache(element.catalog).by_id(T)
    check = BlockCheck(facts)
    rows = inserted("U.T", [(5, 5, 0)])
    keys = facts.keys_of_new(rows)
    element.begin()
    assert check.surely_fits(element, rows, keys, BLOCK_BYTES_MAX, 0)
    assert not check.surely_fits(element, rows, keys, BLOCK_BYTES_MAX + 1, 0)
    spare = element.spare_bytes()
    assert 100 << 20 < spare < 140 << 20
    assert check.surely_fits(element, rows, keys, 100, spare // 4 - 200)
    assert not check.surely_fits(element, rows, keys, 100, spare // 4)
    element.rollback()


async def test_rows_that_wait_count_against_the_room_there_is(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if all room were taken: then blocks are inserted as they come, and hear of it."""

    def block(first: int) -> InsertBlock:
        return InsertBlock(T, encoded("U.T", [(n, n, 0) for n in range(first, first + 600)]))

    await lead.run(txn(1), 1, block(0))
    kept = lead.writer._workspaces[txn(1)]
    assert kept.unplaced_bytes == len(block(0).rows)
    waiting: list[int] = []
    fits = BlockCheck.surely_fits

    def noted(*args: Any) -> bool:
        waiting.append(args[-1])
        return fits(*args)

    monkeypatch.setattr(BlockCheck, "surely_fits", noted)
    await lead.run(txn(2), 1, block(1000))
    assert waiting == [kept.unplaced_bytes]
    monkeypatch.setattr(lead.element, "_perm_pages", 0)
    monkeypatch.setattr(lead.element, "_log_pages_max", 0)
    lead.element._open_reserve()
    with pytest.raises(OutOfPermSizeError):
        await lead.run(txn(3), 1, block(2000))
    monkeypatch.undo()
    await lead.commit(txn(1), 1)
    await lead.commit(txn(2), 1)
    assert len(lead.rows()) == 1200


async def test_a_key_twice_in_a_block_and_in_two(lead: Lead) -> None:
    def block(*keys: int) -> InsertBlock:
        return InsertBlock(T, encoded("U.T", [(n, n, 0) for n in keys]))

    with pytest.raises(UniqueViolationError):
        await lead.run(txn(1), 1, block(*range(600), 17))
    await lead.run(txn(2), 1, block(*range(0, 1200, 2)))
    ran = await lead.run(txn(2), 2, block(*range(1, 1200, 2)))  # between the others
    assert ran.counts == (600,)
    with pytest.raises(UniqueViolationError):
        await lead.run(txn(2), 3, block(*range(1200, 1800), 5))
    await lead.run(txn(2), 3, SelectRows('SELECT COUNT(*) FROM "U.T"', (), ()))
    with pytest.raises(UniqueViolationError):  # all is in place now
        await lead.run(txn(2), 4, block(*range(1200, 1800), 6))
    await lead.run(txn(2), 4, block(*range(1200, 1800)))
    await lead.commit(txn(2), 4)
    assert [row[0] for row in lead.rows()] == list(range(1800))
