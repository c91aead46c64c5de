"""Backup, restore, export, import: real elements, management and clients in one process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mgmt.api import schema_backups as requests
from tests.support.whole_grid import DATABASE, WAIT_S, WholeGrid, whole_grid

ACCOUNTS, START = 60, 1000


async def repository(grid: WholeGrid, folder: Path, *, attach: bool = False) -> None:
    (folder / "repositories").mkdir(exist_ok=True)
    kind = requests.RepositoryAttach if attach else requests.RepositoryCreate
    await grid.call(kind(name="repo1", path=str(folder / "repositories"), method="mount"))


async def accounts(grid: WholeGrid) -> None:
    client = await grid.nodes[0].connect()
    await client.execute("CREATE TABLE accounts (id NUMBER(9) PRIMARY KEY, balance NUMBER(12))")
    await client.execute("CREATE TABLE transfers (id NUMBER(18) PRIMARY KEY, amount NUMBER(12))")
    for number in range(ACCOUNTS):
        await client.execute("INSERT INTO accounts VALUES ($1, $2)", number, START)
    await client.close()


class Bank:
    """Clients that move money between accounts of all replica sets, each transfer noted."""

    def __init__(self, grid: WholeGrid) -> None:
        self._grid = grid
        self.acknowledged = 0
        self._stopped = False

    async def run(self, number: int) -> None:
        client = await self._grid.nodes[number % len(self._grid.nodes)].connect()
        at = number
        while not self._stopped:
            at += 1
            give, take = at * 7 % ACCOUNTS, (at * 11 + 5) % ACCOUNTS
            if give == take:
                continue
            try:
                async with client.transaction():
                    for account, amount in sorted(((give, -1), (take, 1))):
                        await client.execute(
                            "UPDATE accounts SET balance = balance + $1 WHERE id = $2",
                            amount,
                            account,
                        )
                    await client.execute(
                        "INSERT INTO transfers VALUES ($1, 1)", number * 1_000_000 + at
                    )
            except Exception as error:
                if getattr(error, "sqlstate", "")[:2] not in ("40", "55"):
                    raise
            else:
                self.acknowledged += 1
        await client.close()

    def stop(self) -> None:
        self._stopped = True


async def test_a_backup_is_of_one_instant_while_clients_write(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=2, data=4) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await accounts(grid)
        bank = Bank(grid)
        clients = [asyncio.create_task(bank.run(n)) for n in range(4)]
        while bank.acknowledged < 40:
            await asyncio.sleep(0.01)  # nothing tells when enough was done
        before = bank.acknowledged
        backup = requests.DbBackup(name=DATABASE, repository="repo1", backup="b1", wait_s=WAIT_S)
        await grid.call(backup)
        at_most = bank.acknowledged + len(clients)
        bank.stop()
        await asyncio.gather(*clients)
        assert bank.acknowledged > before, "nothing was written meanwhile"
        await grid.destroy()
        restore = requests.DbRestore(name=DATABASE, repository="repo1", backup="b1", wait_s=WAIT_S)
        await grid.call(restore)
        await grid.open()
        client = await grid.nodes[1].connect()
        total = await client.fetchval("SELECT SUM(balance) FROM accounts")
        count = await client.fetchval("SELECT COUNT(*) FROM transfers")
        assert total == ACCOUNTS * START
        assert before <= count <= at_most
        await client.execute("INSERT INTO transfers VALUES (999999999, 1)")
        await client.close()
