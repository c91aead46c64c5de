"""The acceptance drill: clients insert accounts and transactions while a data instance dies.

    python -m tests.faults.acceptance --seconds 60

At a third of the time the lead of a replica set is killed (daemon and supervisor), at two thirds it
is started again; then the same with a copy of the other replica set, in half of the time. At the
end the copies are compared row by row, with each other and with what the clients were told.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.support.copies import ElementRows, equal_copies
from tests.support.load import (
    Attempt,
    Connection,
    Ledger,
    Pauses,
    check_errors,
    check_kept,
    pauses_after,
    under_load,
)
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

CLIENTS = 16
CUSTOMERS = 200
WHOLE = "created,loaded-complete,open"
_runs = itertools.count(1)  # drills on one grid do not meet in their keys

_CUSTOMER = "INSERT INTO customers VALUES (%s, 'First', 'Last', NULL, NULL, NULL, SYSDATE)"
_ACCOUNT = "INSERT INTO accounts VALUES (%s, '650-555-0100', 'I', 10, 0, 0, SYSDATE, %s)"
_TRANSACTION = (
    "INSERT INTO transactions VALUES (%s, %s, TIMESTAMP '2026-01-01 00:00:00', NULL, 'D', 1)"
)


@dataclass(frozen=True)
class Report:
    """What the drill measured."""

    acknowledged: int
    maybe: int
    errors: Counter[str]
    lead_killed: Pauses
    copy_killed: Pauses
    readable_s: float  # after the kill of the lead, until a fresh client read and wrote

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"acknowledged rows      {self.acknowledged}",
            f"outcome unknown        {self.maybe}",
            f"errors by SQLSTATE     {dict(self.errors)}",
            f"pause, lead killed     {self.lead_killed}",
            f"pause, copy killed     {self.copy_killed}",
            f"readable and writable  {self.readable_s * 1000:.0f} ms after the kill of a lead",
        ]


class Writer:
    """One client's inserts: an account, a transaction of it, or a whole multi-set transaction."""

    def __init__(self, run: int, number: int) -> None:
        self._base = (run * 100 + number) * 100_000
        self._count = itertools.count(1)
        self._accounts: list[int] = []  # acknowledged ones

    async def work(self, connection: Connection, _: Ledger) -> set[Any]:
        """The next insert; the keys it wrote."""
        n = next(self._count)
        key = self._base + n
        statements = self._statements(n, key)
        keys = {(table, *k) for table, k, *_ in statements}
        try:
            if len(statements) > 1:
                await connection.execute("BEGIN")
            for _table, _key, sql, values in statements:
                await connection.execute(sql, values)
            if len(statements) > 1:
                await connection.execute("COMMIT")
        except psycopg.Error as error:
            raise Attempt(keys, error) from error
        self._accounts += [k[0] for table, k, *_ in statements if table == "account"]
        return keys

    def _statements(self, n: int, key: int) -> list[tuple[str, tuple[int, ...], str, Any]]:
        account = ("account", (key,), _ACCOUNT, (key, key % CUSTOMERS))
        if not self._accounts or n % 3 == 0:
            return [account]
        some = [self._accounts[(n * step) % len(self._accounts)] for step in (1, 7)]
        moves = [
            ("transaction", (a, key, i), _TRANSACTION, (key * 10 + i, a))
            for i, a in enumerate(some)
        ]
        return [moves[0]] if n % 3 == 1 else [account, *moves]


async def fill(grid: RealGrid) -> None:
    """The customers that accounts refer to."""
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        there = await (await one.execute("SELECT COUNT(*) FROM customers")).fetchone()
        if there == (0,):
            for number in range(CUSTOMERS):
                await one.execute(_CUSTOMER, (number,))


async def drill(grid: RealGrid, watch: Observer, seconds: float) -> Report:
    """Load and faults for about `seconds`, then all checks. Raises AssertionError."""
    await fill(grid)
    run = next(_runs)
    async with under_load(grid, CLIENTS, lambda n: Writer(run, n).work) as clients:
        lead = await _kill(grid, watch, lambda: watch.lead(1), seconds / 4)
        copy = await _kill(grid, watch, lambda: watch.copy(2), seconds / 8)
        await asyncio.sleep(seconds / 8)  # the load goes on
    await watch.whole()
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)
    elements = await asyncio.to_thread(equal_copies, grid)
    errors = check_errors(clients)
    check_kept(clients, written(elements, run))
    for address in grid.addresses():
        await _check_counts(grid, address, elements)
    return Report(
        sum(len(c.ledger.acknowledged) for c in clients),
        sum(len(c.ledger.maybe) for c in clients),
        errors,
        pauses_after(clients, lead.at_s, lead.served_s + 1.0),
        pauses_after(clients, copy.at_s, copy.served_s + 1.0),
        lead.served_s,
    )


class Killed(NamedTuple):
    """One loss of a data instance."""

    at_s: float
    served_s: float  # until a fresh client read and wrote everywhere


async def _kill(
    grid: RealGrid, watch: Observer, choose: Callable[[], int], pace_s: float
) -> Killed:
    """Load, kill, load, start again."""
    await asyncio.sleep(pace_s)  # the load goes on
    host = choose()
    at_s = time.monotonic()
    grid.kill_instance(host)
    served_s = await _until_served(grid, host) - at_s
    await asyncio.sleep(max(1.0, pace_s - served_s))  # the load goes on without it
    await asyncio.to_thread(grid.start_instance, host)
    await watch.whole()
    return Killed(at_s, served_s)


async def _until_served(grid: RealGrid, dead: int) -> float:
    """A fresh client, at another instance, reads and writes both replica sets; when it could."""
    address = next(a for a in grid.addresses() if a != grid.address(dead))
    async with await psycopg.AsyncConnection.connect(**grid.words(address)) as connection:
        await connection.execute("UPDATE customers SET zipcode = '1' WHERE cust_id < 20")
        await connection.execute("SELECT COUNT(*) FROM customers")
    return time.monotonic()


def written(elements: list[ElementRows], run: int) -> Counter[Any]:
    """The keys of one drill's clients that are there, once per replica set."""
    low, high = run * 10_000_000, (run + 1) * 10_000_000
    there: Counter[Any] = Counter()
    for element in {e.replica_set: e for e in elements}.values():
        for (account,), count in element.keys("TERRY.ACCOUNTS", "ACCOUNT_ID").items():
            if low <= account < high:
                there[("account", account)] += count
        moves = element.keys("TERRY.TRANSACTIONS", "ACCOUNT_ID", "TRANSACTION_ID")
        for (account, number), count in moves.items():
            if low <= account < high:
                there[("transaction", account, number // 10, number % 10)] += count
    return there


async def _check_counts(grid: RealGrid, address: str, elements: list[ElementRows]) -> None:
    """SQL through one data instance sees what is in the files."""
    sets = {e.replica_set: e for e in elements}.values()
    async with await psycopg.AsyncConnection.connect(**grid.words(address)) as connection:
        for table in ("ACCOUNTS", "TRANSACTIONS"):
            wanted = sum(e.tables[f"TERRY.{table}"].total() for e in sets)
            cursor = await connection.execute(f"SELECT COUNT(*) FROM {table}".encode())
            assert await cursor.fetchone() == (wanted,), f"{table} through {address}"


async def _main(seconds: float) -> None:
    folder = Path(tempfile.mkdtemp(prefix="tgd"))
    grid = await asyncio.to_thread(RealGrid.make, folder / "g")
    try:
        async with grid.observer() as watch:
            print("\n".join((await drill(grid, watch, seconds)).lines()))
    finally:
        await asyncio.to_thread(grid.destroy)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    asyncio.run(_main(parser.parse_args().seconds))
