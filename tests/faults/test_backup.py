"""Backups of a real grid under load, while what takes part in them dies; restored beside it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.grid_plan import DATABASE
from tests.support.load import Attempt, Connection, Ledger, check_errors, under_load
from tests.support.real_grid import Observer, RealGrid

ACCOUNTS, OPENING, CLIENTS = 60, 1000, 6
BALLAST_ROWS, BALLAST_BYTES = 60, 200_000  # 6 MB per replica set: 6 s at 1 MB/s
SECOND = "restored"
WAIT_S = 60
pytestmark = pytest.mark.slow


@pytest.mark.timeout(240)
async def test_backups_under_load_while_management_and_data_instances_die(
    grid: RealGrid, watch: Observer, tmp_path: Path
) -> None:
    """A backup goes on under a restarted management; another copy stands in; the sum is right."""
    await _tables(grid)
    await asyncio.to_thread(_admin, grid, "repositoryCreate", "repo1", "-path", str(tmp_path),
                            "-method", "mount")  # fmt: skip
    async with under_load(grid, CLIENTS, _transfers) as clients:
        await _start(grid, "b1")
        await _until_written(tmp_path / "repo1" / "b1")
        grid.kill_management(supervisor=False)
        before = _acknowledged(clients)
        row = await _ended(grid, "b1")
        assert row["state"] == "Completed", row

        await _start(grid, "b2")
        await _until_written(tmp_path / "repo1" / "b2")
        source = int(_row(grid, "b2")["parts"][0]["host"].removeprefix("host"))
        grid.kill_instance(source)
        row = await _ended(grid, "b2")
        assert row["state"] == "Completed", row
        assert f"host{source}" not in {part["host"] for part in row["parts"]}
        await asyncio.to_thread(grid.start_instance, source)
        await watch.whole()

        await asyncio.to_thread(_restore, grid)
        restored, receipts = await _content(grid)
    check_errors(clients)
    assert restored == ACCOUNTS * OPENING
    assert before <= receipts
    assert receipts <= _acknowledged(clients) | {k for c in clients for k in c.ledger.maybe}
    for words in (("dbClose", SECOND, "-wait"), ("dbUnload", SECOND, "-wait"),
                  ("dbDestroy", SECOND, "-wait"), ("dbdefDelete", SECOND), ("modelApply",),
                  ("repositoryDetach", "repo1")):  # fmt: skip
        await asyncio.to_thread(_admin, grid, *words)
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        for table in ("vault", "slips", "ballast"):
            await one.execute(f"DROP TABLE {table}")


async def _tables(grid: RealGrid) -> None:
    async with await psycopg.AsyncConnection.connect(**grid.words(grid.addresses()[0])) as one:
        await one.execute(
            "CREATE TABLE vault (id NUMBER(10) NOT NULL PRIMARY KEY, balance NUMBER(10) NOT NULL)"
        )
        await one.execute("CREATE TABLE slips (id NUMBER(10) NOT NULL PRIMARY KEY)")
        await one.execute("CREATE TABLE ballast (id NUMBER(10) PRIMARY KEY, t VARCHAR2(200000))")
        for account in range(ACCOUNTS):
            await one.execute("INSERT INTO vault VALUES (%s, %s)", (account, OPENING))
        for number in range(BALLAST_ROWS):
            await one.execute("INSERT INTO ballast VALUES (%s, %s)", (number, "x" * BALLAST_BYTES))


def _transfers(number: int) -> Callable[[Connection, Ledger], Awaitable[set[Any]]]:
    chance = random.Random(number)
    slips = iter(range(number * 100_000, number * 100_000 + 100_000))

    async def work(connection: Connection, _: Ledger) -> set[Any]:
        giver, taker = chance.sample(range(ACCOUNTS), 2)
        slip = next(slips)
        try:
            await connection.execute("BEGIN")
            for account, change in ((giver, -1), (taker, 1)):
                await connection.execute(
                    "UPDATE vault SET balance = balance + %s WHERE id = %s", (change, account)
                )
            await connection.execute("INSERT INTO slips VALUES (%s)", (slip,))
            await connection.execute("COMMIT")
        except psycopg.Error as error:
            raise Attempt({slip}, error) from error
        return {slip}

    return work


def _acknowledged(clients: Any) -> set[Any]:
    return {slip for client in clients for slip in client.ledger.acknowledged}


def _admin(grid: RealGrid, *words: str) -> str:
    return grid.admin(*words)


async def _start(grid: RealGrid, name: str) -> None:
    words = ("dbBackup", DATABASE, "-repository", "repo1", "-name", name, "-bwlimit", "1")
    assert f"dbBackup {name} started" in await asyncio.to_thread(_admin, grid, *words)


async def _until_written(folder: Path) -> None:
    async with asyncio.timeout(WAIT_S):
        while not _parts(folder):
            await asyncio.sleep(0.02)  # another process writes it


def _parts(folder: Path) -> list[Path]:
    return list(folder.glob("RS*/*.part"))


def _row(grid: RealGrid, name: str) -> dict[str, Any]:
    reply = json.loads(grid.admin("dbBackupStatus", DATABASE, "-o", "json"))
    return next(row for row in reply["transfers"] if row["name"] == name)


async def _ended(grid: RealGrid, name: str) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                row = await asyncio.to_thread(_row, grid, name)
            except AssertionError:  # management is being started again
                row = {"state": "InProgress"}
            if row["state"] != "InProgress":
                return row
            await asyncio.sleep(0.3)  # as an operator would look


def _restore(grid: RealGrid) -> None:
    file = grid.plan.folder / f"{SECOND}.dbdef"
    store = grid.plan.folder / "databases" / "!!INSTANCE_NAME!!" / SECOND
    file.write_text(f"DataStore={store}\nDatabaseCharacterSet=AL32UTF8\nPermSize=256\n")
    grid.admin("dbdefCreate", str(file))
    grid.admin("modelApply")
    grid.admin("dbRestore", SECOND, "-repository", "repo1", "-backup", "b1", "-wait")
    grid.admin("dbLoad", SECOND, "-wait")
    grid.admin("dbOpen", SECOND, "-wait")


async def _content(grid: RealGrid) -> tuple[int, set[int]]:
    words = {**grid.words(grid.addresses()[-1]), "dbname": SECOND}
    async with await psycopg.AsyncConnection.connect(**words) as one:
        total = await (await one.execute("SELECT SUM(balance) FROM vault")).fetchone()
        slips = await (await one.execute("SELECT id FROM slips")).fetchall()
    assert total is not None
    return int(total[0]), {int(row[0]) for row in slips}
