"""What the scenario does without load: export, destroy, restore, import into another topology."""

from __future__ import annotations

import asyncio
import dataclasses

import psycopg

from deploy.netns import hosts
from deploy.netns.plan import DATABASE, SHARED, host_name
from tests.drill import checks
from tests.drill.history import Operation, Outcome, Verdict, of
from tests.drill.workloads import ACCOUNTS, OPENING
from tests.scenario.load import Running
from tests.scenario.netns_grid import NetnsGrid
from tests.scenario.steps import BACKUP, REPOSITORY

EXPORT = "m1"
SECOND_FIRST = 13  # the second grid: host13 manages, host14 to host17 hold data, K=2
SECOND_GROUPS = {14: 1, 15: 2, 16: 1, 17: 2}
WAIT = ("-wait", "300")


async def export(grid: NetnsGrid, load: Running) -> list[Verdict]:
    """Everything as it is at the end of the load."""
    words = ("dbExport", DATABASE, "-repository", REPOSITORY, "-name", EXPORT)
    await asyncio.to_thread(grid.admin, *words, *WAIT)
    return []


async def destroy_and_restore(grid: NetnsGrid, load: Running) -> list[Verdict]:
    """The database goes, and comes back as it was at the instant of the backup."""
    await asyncio.to_thread(grid.admin, "dbClose", DATABASE, *WAIT)
    await asyncio.to_thread(grid.admin, "dbUnload", DATABASE, "-force", *WAIT)
    await asyncio.to_thread(grid.admin, "dbDestroy", DATABASE, *WAIT)
    words = ("dbRestore", DATABASE, "-repository", REPOSITORY, "-backup", BACKUP)
    await asyncio.to_thread(grid.admin, *words, *WAIT)
    await asyncio.to_thread(grid.admin, "dbLoad", DATABASE, *WAIT)
    await asyncio.to_thread(grid.admin, "dbOpen", DATABASE, *WAIT)
    transfers = [_as_of(o, load.backup_s) for o in _transfers(load)]
    return [await asyncio.to_thread(_bank, "restored: bank", grid, transfers)]


async def import_elsewhere(grid: NetnsGrid, load: Running) -> list[Verdict]:
    """The export goes into a new grid of four hosts with K=2."""
    for number in grid.lab.hosts:
        await asyncio.to_thread(hosts.power_off, grid.lab, host_name(number))
    other = NetnsGrid(grid.lab, first=SECOND_FIRST, name="grid2")
    other.login = grid.login
    await asyncio.to_thread(other.add_machine, SECOND_FIRST, with_software=True)
    for number in SECOND_GROUPS:
        await asyncio.to_thread(other.add_machine, number)
    await asyncio.to_thread(other.create, 2)
    await asyncio.to_thread(other.add_data_hosts, SECOND_GROUPS)
    await asyncio.to_thread(other.apply)
    await asyncio.to_thread(other.define_database)
    other.hosts = list(SECOND_GROUPS)
    words = ("repositoryAttach", REPOSITORY, "-path", SHARED, "-method", "mount")
    await asyncio.to_thread(other.admin, *words)
    words = ("dbImport", DATABASE, "-repository", REPOSITORY, "-name", EXPORT)
    await asyncio.to_thread(other.admin, *words, *WAIT)
    await asyncio.to_thread(other.admin, "dbOpen", DATABASE, *WAIT)
    grid.lab = other.lab
    return [await asyncio.to_thread(_bank, "imported, K=2: bank", other, _transfers(load))]


AFTERWARDS = {
    "export": export,
    "restore": destroy_and_restore,
    "import": import_elsewhere,
}


def _transfers(load: Running) -> list[Operation]:
    return of(load.recorder.history, "bank", "transfer")


def _as_of(operation: Operation, backup_s: tuple[float, float]) -> Operation:
    """What a transfer's outcome is where only that counts which the backup has."""
    began_s, ended_s = backup_s
    if operation.end_s < began_s:
        return operation
    outcome = Outcome.FAILED if operation.start_s > ended_s else Outcome.UNKNOWN
    if operation.outcome is Outcome.FAILED:
        outcome = Outcome.FAILED
    return dataclasses.replace(operation, outcome=outcome)


def _bank(name: str, grid: NetnsGrid, transfers: list[Operation]) -> Verdict:
    with psycopg.connect(**grid.words(grid.addresses()[0])) as connection:
        rows = connection.execute("SELECT id, balance FROM bank").fetchall()
        notes = connection.execute("SELECT id, giver, taker, amount FROM receipts").fetchall()
    return checks.check_balances(
        name,
        transfers,
        dict.fromkeys(range(ACCOUNTS), OPENING),
        {int(account): int(balance) for account, balance in rows},
        {int(n): (int(giver), int(taker), int(amount)) for n, giver, taker, amount in notes},
    )
