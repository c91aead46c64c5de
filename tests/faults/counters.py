"""Rows that clients add one to: each addition once, acknowledged or not."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from tests.support.copies import equal_copies
from tests.support.load import Attempt, Connection, Ledger, LoadClient
from tests.support.real_grid import RealGrid

ROWS = 20  # of each client
_tables = itertools.count(int(time.time()))  # a name of its own for each load

Work = Callable[[int], Callable[[Connection, Ledger], Awaitable[set[Any]]]]


async def make_counters(grid: RealGrid, clients: int) -> tuple[str, Work]:
    """A table with some rows per client; each client adds one to the next of its own rows."""
    table = f"counters{next(_tables)}"
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        await one.execute(
            f"CREATE TABLE {table} (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10) NOT NULL)"
            " DISTRIBUTE BY HASH".encode()
        )
        for row in range(clients * ROWS):
            await one.execute(f"INSERT INTO {table} VALUES (%s, 0)".encode(), (row,))
    update = f"UPDATE {table} SET n = n + 1 WHERE id = %s".encode()

    def work_of(number: int) -> Callable[[Connection, Ledger], Awaitable[set[Any]]]:
        turn = itertools.count()

        async def work(connection: Connection, _: Ledger) -> set[Any]:
            n = next(turn)
            row = number * ROWS + n % ROWS
            try:
                cursor = await connection.execute(update, (row,))
            except psycopg.Error as error:
                raise Attempt({(row, n)}, error) from error
            assert cursor.rowcount == 1
            return {(row, n)}

        return work

    return table, work_of


async def check_counters(grid: RealGrid, table: str, clients: list[LoadClient]) -> None:
    """Every acknowledged addition was done once, each other one at most once; copies agree."""
    elements = await asyncio.to_thread(equal_copies, grid)
    found: dict[int, int] = {}
    for element in {e.replica_set: e for e in elements}.values():
        for row, n in element.keys(f"TERRY.{table.upper()}", "ID", "N"):
            assert row not in found
            found[row] = n
    for client in clients:
        ledger = client.ledger
        for row in range(client.number * ROWS, (client.number + 1) * ROWS):
            least = sum(1 for r, _ in ledger.acknowledged if r == row)
            most = least + sum(1 for r, _ in ledger.maybe if r == row)
            assert least <= found[row] <= most, f"row {row}: {least} <= {found[row]} <= {most}"
