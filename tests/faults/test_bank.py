"""Transfers between accounts of two replica sets while leads and coordinators die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from tests.faults.acceptance import WHOLE
from tests.support.copies import equal_copies
from tests.support.load import (
    Attempt,
    Connection,
    Ledger,
    check_errors,
    under_load,
)
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

ACCOUNTS = 60
CLIENTS = 10
OPENING = 1000


@pytest.mark.timeout(120)
async def test_no_money_is_made_or_lost(grid: RealGrid, watch: Observer) -> None:
    """The total stays, on every copy, and no transfer stays in doubt."""
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        await one.execute(
            "CREATE TABLE bank (id NUMBER(10) NOT NULL PRIMARY KEY, balance NUMBER(10) NOT NULL)"
            " DISTRIBUTE BY HASH"
        )
        await one.execute(
            "CREATE TABLE receipts (id NUMBER(10) NOT NULL PRIMARY KEY) DISTRIBUTE BY HASH"
        )
        for account in range(ACCOUNTS):
            await one.execute("INSERT INTO bank VALUES (%s, %s)", (account, OPENING))
    async with under_load(grid, CLIENTS, _transfers) as clients:
        lead = watch.lead(1)
        grid.kill_daemon(lead)
        await watch.new_lead(1, lead)
        await watch.whole()
        coordinator = watch.copy(2)  # for its clients; transfers of theirs stay prepared
        grid.kill_instance(coordinator)
        await watch.gone(coordinator)
        await asyncio.sleep(2.0)  # the load goes on without it
        await asyncio.to_thread(grid.start_instance, coordinator)
        await watch.whole()
        lead = watch.lead(2)
        grid.kill_instance(lead)
        await watch.new_lead(2, lead)
        await asyncio.to_thread(grid.start_instance, lead)
        await watch.whole()
    errors = check_errors(clients)
    elements = await asyncio.to_thread(equal_copies, grid)
    for one_copy in (0, 1):
        balances = [
            balance
            for rs in watch.replica_sets
            for _, balance in [e for e in elements if e.replica_set == rs][one_copy]
            .keys("TERRY.BANK", "ID", "BALANCE")
            .elements()
        ]
        assert len(balances) == ACCOUNTS
        assert sum(balances) == ACCOUNTS * OPENING
    there = {receipt for element in elements for (receipt,) in element.keys("TERRY.RECEIPTS", "ID")}
    done = sum(len(client.ledger.acknowledged) for client in clients)
    print(f"\n{done} transfers, {dict(errors)}")
    for client in clients:
        assert client.ledger.acknowledged <= there
        assert not client.ledger.refused & there
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)


def _transfers(number: int) -> Callable[[Connection, Ledger], Awaitable[set[Any]]]:
    chance = random.Random(number)
    receipts = iter(range(number * 100_000, number * 100_000 + 100_000))

    async def work(connection: Connection, _: Ledger) -> set[Any]:
        giver, taker = chance.sample(range(ACCOUNTS), 2)
        amount = chance.randint(1, 50)
        receipt = next(receipts)
        try:
            await connection.execute("BEGIN")
            for account, change in ((giver, -amount), (taker, amount)):
                await connection.execute(
                    "UPDATE bank SET balance = balance + %s WHERE id = %s", (change, account)
                )
            await connection.execute("INSERT INTO receipts VALUES (%s)", (receipt,))
            await connection.execute("COMMIT")
        except psycopg.Error as error:
            raise Attempt({receipt}, error) from error
        return {receipt}

    return work
