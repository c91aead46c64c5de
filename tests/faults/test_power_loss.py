"""All hosts lose power at once, Durability=0: what was not flushed is gone from every file."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.acceptance import WHOLE
from tests.support.copies import equal_copies
from tests.support.load import (
    Attempt,
    Connection,
    Ledger,
    LoadClient,
    check_errors,
    under_load,
)
from tests.support.real_grid import Observer, RealGrid, wait_for_summary

SHIM = Path(__file__).parents[1] / "support" / "flushed.c"
BOOT_ID_VARIABLE = "TENGRID_BOOT_ID_FILE"
ACCOUNTS, OPENING = 60, 1000
CLIENTS = 8
DURABLE = 3  # of them ask for an epoch with every commit
LOAD_S = 4.0
LOST_S_MAX = 3.0  # EpochInterval is 1 s; an epoch takes its time on a busy machine
KEY = 1_000_000  # receipt = client * KEY + number


class Acknowledged:
    """Receipts of one client in the order, and at the time, that they were acknowledged."""

    def __init__(self) -> None:
        self.receipts: list[tuple[float, int]] = []


@pytest.mark.timeout(150)
async def test_all_hosts_lose_power(
    grid: RealGrid, watch: Observer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes back to one moment; what asked for an epoch is there."""
    await make_tables(grid)
    await restart_under_the_shim(grid, watch, tmp_path, monkeypatch)
    acknowledged = [Acknowledged() for _ in range(CLIENTS)]
    async with under_load(grid, CLIENTS, lambda n: transfers(n, acknowledged[n])) as clients:
        await asyncio.sleep(LOAD_S)  # the load goes on; epochs are made
        cut_s = time.monotonic()
        for host in grid.hosts:
            grid.kill_instance(host)
        for host in grid.hosts:
            lose_what_is_not_flushed(grid.element_file(host))
        monkeypatch.undo()  # the machines have booted again
        await asyncio.gather(*(watch.gone(host) for host in grid.hosts))
        await asyncio.gather(*(asyncio.to_thread(grid.start_instance, h) for h in grid.hosts))
        await watch.whole()
        back_s = time.monotonic()
        await asyncio.gather(*(c.successes_after(back_s, 3) for c in clients))
    check_errors(clients)
    await check(grid, watch, clients, acknowledged, cut_s, back_s)
    await asyncio.to_thread(wait_for_summary, grid, WHOLE)


async def make_tables(grid: RealGrid) -> None:
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        for text in (
            "CREATE TABLE vault (id NUMBER(10) NOT NULL PRIMARY KEY, balance NUMBER(10))",
            "CREATE TABLE slips (id NUMBER(12) NOT NULL PRIMARY KEY)",
        ):
            await one.execute(text.encode())
        for account in range(ACCOUNTS):
            await one.execute("INSERT INTO vault VALUES (%s, %s)", (account, OPENING))


async def restart_under_the_shim(
    grid: RealGrid, watch: Observer, folder: Path, patch: pytest.MonkeyPatch
) -> None:
    """From now on each flush of an element's file leaves a copy; the boot id is another one."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    shim, boot = folder / "flushed.so", folder / "boot_id"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(shim), str(SHIM), "-ldl"]
    await asyncio.to_thread(subprocess.run, command, check=True)
    boot.write_text("the boot before")
    await asyncio.gather(*(asyncio.to_thread(grid.stop_instance, h) for h in grid.hosts))
    patch.setenv("LD_PRELOAD", str(shim))
    patch.setenv(BOOT_ID_VARIABLE, str(boot))
    await asyncio.gather(*(asyncio.to_thread(grid.start_instance, h) for h in grid.hosts))
    await watch.whole()


def lose_what_is_not_flushed(file: Path) -> None:
    """The element's files as their last flush left them."""
    for name in ("element.db", "element.db-wal"):
        flushed = file.parent / f"{name}.flushed"
        if flushed.exists():
            os.replace(flushed, file.parent / name)
    assert (file.parent / "element.db-wal").exists()
    (file.parent / "element.db-shm").unlink(missing_ok=True)


def transfers(
    number: int, acknowledged: Acknowledged
) -> Callable[[Connection, Ledger], Awaitable[set[Any]]]:
    chance = random.Random(number)
    turn = itertools.count()
    prepared: set[int] = set()  # connections that were told to make epochs

    async def work(connection: Connection, _: Ledger) -> set[Any]:
        receipt = number * KEY + next(turn)
        first, second = sorted(chance.sample(range(ACCOUNTS), 2))
        amount = chance.randint(-20, 20)
        if number < DURABLE and id(connection) not in prepared:
            await connection.execute("SET CreateEpochAtCommit = 1")
            prepared.add(id(connection))
        update = b"UPDATE vault SET balance = balance + %s WHERE id = %s"
        try:
            async with connection.transaction():
                await connection.execute(update, (-amount, first))
                await connection.execute(update, (amount, second))
                await connection.execute("INSERT INTO slips VALUES (%s)", (receipt,))
        except psycopg.Error as error:
            raise Attempt({receipt}, error) from error
        acknowledged.receipts.append((time.monotonic(), receipt))
        return {receipt}

    return work


async def check(
    grid: RealGrid,
    watch: Observer,
    clients: list[LoadClient],
    acknowledged: list[Acknowledged],
    cut_s: float,
    back_s: float,
) -> None:
    """One moment, the same everywhere, and not long before the loss of power."""
    elements = await asyncio.to_thread(equal_copies, grid)
    one_of_each = [next(e for e in elements if e.replica_set == rs) for rs in watch.replica_sets]
    balances: Counter[Any] = Counter()
    there: set[int] = set()
    for element in one_of_each:
        balances += element.keys("TERRY.VAULT", "ID", "BALANCE")
        there |= {key for (key,) in element.keys("TERRY.SLIPS", "ID")}
    assert len(balances) == ACCOUNTS
    assert sum(balance for _, balance in balances) == ACCOUNTS * OPENING, "half a transfer"
    lost = 0
    for client, told in zip(clients, acknowledged, strict=True):
        before = [(at_s, receipt) for at_s, receipt in told.receipts if at_s < cut_s + 0.5]
        after = {receipt for at_s, receipt in told.receipts if at_s >= back_s}
        kept = [receipt in there for _, receipt in before]
        assert kept == sorted(kept, reverse=True), "a later one is there and an earlier one not"
        lost += kept.count(False)
        if client.number < DURABLE:
            assert all(kept), "a commit that was an epoch is lost"
        for (at_s, receipt), is_there in zip(before, kept, strict=True):
            assert is_there or at_s > cut_s - LOST_S_MAX, f"{receipt}: {cut_s - at_s:.1f} s old"
        assert after <= there
        assert not client.ledger.refused & there
    total = sum(len(told.receipts) for told in acknowledged)
    print(f"\n{total} transfers, {lost} of them acknowledged and lost with the power")
