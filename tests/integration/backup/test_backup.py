"""Backup, restore, export, import: real elements, management and clients in one process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.api import schema_databases as databases
from mgmt.service.backups import STAGED
from mgmt.service.transfers import CANCELLED, COMPLETED, FAILED
from mgmt.transport.ssh import HostTransports
from protocol.errors import GridError, UnknownDatabaseError
from protocol.messages import moving
from tests.support.management import no_start
from tests.support.ssh_hosts import ssh_hosts
from tests.support.whole_grid import DATABASE, WAIT_S, WholeGrid, whole_grid

ACCOUNTS, START = 60, 1000
TABLES = ("CUSTOMERS", "ORDERS", "COUNTRIES", "NOTES", "ACCOUNTS", "BY_CREDIT", "SCRATCH")


# -- helpers ---------------------------------------------------------------------------------------
async def repository(grid: WholeGrid, folder: Path, *, attach: bool = False) -> Path:
    (folder / "repositories").mkdir(exist_ok=True)
    kind = requests.RepositoryAttach if attach else requests.RepositoryCreate
    await grid.call(kind(name="repo1", path=str(folder / "repositories"), method="mount"))
    return folder / "repositories" / "repo1"


async def backup(grid: WholeGrid, name: str, **options: Any) -> tuple[str, ...]:
    """The messages at its end."""
    words = {"name": DATABASE, "repository": "repo1", "backup": name, "wait_s": WAIT_S}
    done = await grid.call(requests.DbBackup(**{**words, **options}))
    return tuple(done.messages)


async def restore(grid: WholeGrid, name: str) -> None:
    await grid.call(
        requests.DbRestore(name=DATABASE, repository="repo1", backup=name, wait_s=WAIT_S)
    )


async def refused(work: Any) -> GridError:
    with pytest.raises(GridError) as caught:
        await work
    return caught.value


async def last(grid: WholeGrid, kind: str) -> requests.TransferRow:
    reply = await grid.call(
        requests.DbTransferStatus(kind=kind, name=DATABASE), requests.DbTransferStatusReply
    )
    row: requests.TransferRow = reply.transfers[-1]
    return row


async def accounts(grid: WholeGrid) -> None:
    client = await grid.nodes[0].connect()
    await client.execute("CREATE TABLE accounts (id NUMBER(9) PRIMARY KEY, balance NUMBER(12))")
    await client.execute("CREATE TABLE transfers (id NUMBER(18) PRIMARY KEY, amount NUMBER(12))")
    for number in range(ACCOUNTS):
        await client.execute("INSERT INTO accounts VALUES ($1, $2)", number, START)
    await client.close()


async def all_kinds(grid: WholeGrid) -> None:
    """Tables of every distribution, a global unique key, a sequence, an index, a view."""
    client = await grid.nodes[0].connect()
    for text in (
        "CREATE TABLE countries (code CHAR(2) PRIMARY KEY, name VARCHAR2(20)) DUPLICATE",
        "CREATE TABLE customers (id NUMBER(9) PRIMARY KEY, name VARCHAR2(20), "
        "email VARCHAR2(40) UNIQUE, credit NUMBER)",
        "CREATE TABLE orders (id NUMBER(9) PRIMARY KEY, customer NUMBER(9) NOT NULL, "
        "placed DATE, CONSTRAINT of_customer FOREIGN KEY (customer) REFERENCES customers(id)) "
        "DISTRIBUTE BY REFERENCE (of_customer)",
        "CREATE TABLE notes (text VARCHAR2(30), data VARBINARY(10))",
        "CREATE TABLE accounts (id NUMBER(9) PRIMARY KEY, balance NUMBER(12))",
        "CREATE INDEX by_name ON customers (name)",
        "CREATE SEQUENCE numbers START WITH 100",
        "CREATE MATERIALIZED VIEW by_credit DISTRIBUTE BY HASH (name) AS "
        "SELECT name, id, credit FROM customers",
        "CREATE GLOBAL TEMPORARY TABLE scratch (id NUMBER(9) PRIMARY KEY) ON COMMIT PRESERVE ROWS",
    ):
        await client.execute(text)
    for code, name in (("DE", "Germany"), ("IT", "Italy")):
        await client.execute("INSERT INTO countries VALUES ($1, $2)", code, name)
    for n in range(40):
        await client.execute(
            "INSERT INTO customers VALUES ($1, $2, $3, 0.1)", n, f"name {n % 7}", f"{n}@x"
        )
        await client.execute("INSERT INTO orders VALUES ($1, $2, SYSDATE)", 1000 + n, n)
        await client.execute("INSERT INTO notes VALUES ($1, $2)", f"note {n}", bytes([n]))
    await client.fetchval("SELECT numbers.NEXTVAL FROM dual")
    await client.close()


async def content(grid: WholeGrid) -> dict[str, list[Any]]:
    """All rows, as a client sees them."""
    client = await grid.nodes[-1].connect()
    found = {}
    for table in TABLES:
        rows = await client.fetch(f"SELECT * FROM {table}")
        found[table] = sorted(map(repr, rows))
    await client.close()
    return found


async def large(grid: WholeGrid) -> None:
    """Enough that a backup at 1 MB/s is still going on when the test looks."""
    client = await grid.nodes[0].connect()
    await client.execute("CREATE TABLE large (id NUMBER(9) PRIMARY KEY, t VARCHAR2(200000))")
    for number in range(50):
        await client.execute("INSERT INTO large VALUES ($1, $2)", number, "x" * 200_000)
    await client.close()


def found(folder: Path, pattern: str) -> list[Path]:
    """What is there now."""
    return list(folder.glob(pattern))


async def until_there(folder: Path, pattern: str) -> None:
    """Until a file of that kind is being written."""
    async with asyncio.timeout(WAIT_S):
        while not found(folder, pattern):
            await asyncio.sleep(0.01)  # a process outside would look for it as well


def images(folder: Path) -> list[Path]:
    """Copies of elements that nobody removed."""
    return list(folder.rglob("images/*"))


def copies(grid: WholeGrid, table: str) -> dict[int, set[tuple[Any, ...]]]:
    """Replica set → the different contents of its elements."""
    found: dict[int, set[tuple[Any, ...]]] = {}
    for node in grid.nodes:
        assert node.instance is not None
        element = node.instance.database(DATABASE).element
        if element.identity.replica_set:
            rows = sorted(element.read(f'SELECT * FROM "TERRY.{table}"'), key=repr)
            found.setdefault(element.identity.replica_set, set()).add(tuple(rows))
    return found


class Bank:
    """Clients that move money between accounts of all replica sets, each transfer noted."""

    def __init__(self, grid: WholeGrid) -> None:
        self._grid = grid
        self.acknowledged: set[int] = set()
        self._stopped = False

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[Bank]:
        tasks = [asyncio.create_task(self._run(n)) for n in range(clients)]
        while len(self.acknowledged) < 40:
            await asyncio.sleep(0.01)  # nothing tells when enough was done
        try:
            yield self
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)

    async def _run(self, number: int) -> None:
        client = await self._grid.nodes[number % len(self._grid.nodes)].connect()
        at = number
        while not self._stopped:
            at += 1
            give, take = at * 7 % ACCOUNTS, (at * 11 + 5) % ACCOUNTS
            if give != take:
                try:
                    await _transfer(client, give, take, number * 1_000_000 + at)
                except asyncpg.PostgresError as error:
                    if (error.sqlstate or "")[:2] not in ("40", "55"):
                        raise
                else:
                    self.acknowledged.add(number * 1_000_000 + at)
        await client.close()


async def _transfer(client: asyncpg.Connection, give: int, take: int, number: int) -> None:
    update = "UPDATE accounts SET balance = balance + $1 WHERE id = $2"
    async with client.transaction():
        for account, amount in sorted(((give, -1), (take, 1))):
            await client.execute(update, amount, account)
        await client.execute("INSERT INTO transfers VALUES ($1, 1)", number)


# -- tests -----------------------------------------------------------------------------------------
async def test_a_backup_under_load_is_of_one_instant_and_is_restored_with_another_k(
    tmp_path: Path,
) -> None:
    async with whole_grid(tmp_path / "one", k=2, data=4) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await accounts(grid)
        async with Bank(grid).running(4) as bank:
            before = frozenset(bank.acknowledged)
            await backup(grid, "b1", compress=True)
            after = frozenset(bank.acknowledged)
        assert after > before, "nothing was written meanwhile"
        row = await last(grid, "backup")
        assert (row.state, [p.state for p in row.parts]) == (COMPLETED, [COMPLETED] * 2)
        assert {p.replica_set for p in row.parts} == {1, 2}
        exists = await refused(restore(grid, "b1"))
        assert "exists already" in exists.message
        assert not images(tmp_path)

    async with whole_grid(tmp_path / "other", k=1, data=3) as grid:
        await repository(grid, tmp_path, attach=True)
        await grid.define()
        await restore(grid, "b1")
        await grid.open()
        client = await grid.nodes[1].connect()
        assert await client.fetchval("SELECT SUM(balance) FROM accounts") == ACCOUNTS * START
        ids = {r[0] for r in await client.fetch("SELECT id FROM transfers")}
        assert before <= ids
        assert len(ids - bank.acknowledged) == 0
        await client.execute("INSERT INTO transfers VALUES (999999999, 1)")
        await client.close()
        elements = (await grid.status()).instances
        assert sorted(e.sync_replica_set for i in elements for e in i.elements) == [0, 1, 2]


async def test_an_export_of_three_replica_sets_becomes_two_of_two_copies(tmp_path: Path) -> None:
    async with whole_grid(tmp_path / "three", k=1, data=3) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await all_kinds(grid)
        rows = await content(grid)
        export = requests.DbExport(
            name=DATABASE, repository="repo1", export="m1", compress=True, wait_s=WAIT_S
        )
        await grid.call(export)

    async with whole_grid(tmp_path / "two", k=2, data=4) as grid:
        await repository(grid, tmp_path, attach=True)
        await grid.create()
        bring = requests.DbImport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        is_open = await refused(grid.call(bring))
        assert "is open" in is_open.message
        await grid.call(schema_close())
        not_empty = await refused(grid.call(bring))
        assert "TERRY" in not_empty.message
        await grid.destroy()
        no_backup = await refused(restore(grid, "m1"))
        assert "holds export m1" in no_backup.message
        await grid.call(bring)
        await grid.open()
        assert await content(grid) == rows
        for table in TABLES[:-1]:  # temporary rows are a session's
            contents = copies(grid, table)
            assert sorted(contents) == [1, 2]
            assert all(len(different) == 1 for different in contents.values()), table
        client = await grid.nodes[0].connect()
        with pytest.raises(asyncpg.UniqueViolationError):  # through its global index
            await client.execute("INSERT INTO customers VALUES (900, 'x', '7@x', 1)")
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await client.execute("DELETE FROM customers WHERE id = 3")
        assert await client.fetchval("SELECT name FROM customers WHERE email = '8@x'") == "name 1"
        assert await client.fetchval("SELECT numbers.NEXTVAL FROM dual") > 100
        await client.execute("INSERT INTO orders VALUES (5000, 7, SYSDATE)")
        await client.execute("INSERT INTO customers VALUES (41, 'new', 'n@x', 2)")
        assert await client.fetchval("SELECT id FROM by_credit WHERE name = 'new'") == 41
        await client.execute("INSERT INTO scratch VALUES (1)")
        assert await client.fetchval("SELECT COUNT(*) FROM scratch") == 1
        await client.close()


def schema_close() -> schema.Request:
    """dbClose."""
    return databases.DbClose(name=DATABASE, wait_s=WAIT_S)


def flip(file: Path) -> None:
    """Change one byte in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


async def test_whatever_is_damaged_is_refused_by_name(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=2) as grid:
        await grid.create()
        repo = await repository(grid, tmp_path)
        await all_kinds(grid)
        await backup(grid, "b1")
        await grid.call(
            requests.DbExport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        )
        await grid.destroy()
        element, manifest = repo / "b1" / "RS2" / "element.db", repo / "b1" / "manifest.json"
        header = repo / "repository.json"
        rows = next(
            f for f in sorted((repo / "m1" / "RS1").glob("*.rows")) if f.stat().st_size > 100
        )
        catalog = repo / "m1" / "RS1" / "catalog.json"
        bring = requests.DbImport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)

        for file, what, request in (
            (element, "checksum", restore),
            (rows, str(rows), bring),
            (catalog, str(catalog), bring),
        ):
            whole = file.read_bytes()
            flip(file)
            work = (
                grid.call(request) if isinstance(request, schema.Request) else restore(grid, "b1")
            )
            error = await refused(work)
            assert str(file) in error.message
            assert what in error.message
            kind = "import" if file.parts[-3] == "m1" else "restore"
            assert (await last(grid, kind)).state == FAILED
            with pytest.raises(UnknownDatabaseError):  # nothing half made is left
                await grid.status()
            file.write_bytes(whole)

        whole = element.read_bytes()
        element.write_bytes(whole[:-100])
        assert f"{element} is damaged" in (await refused(restore(grid, "b1"))).message
        element.unlink()
        assert f"{element} is missing" in (await refused(restore(grid, "b1"))).message
        element.write_bytes(whole)
        text = manifest.read_text()
        manifest.write_text(text.replace('"k": 1', '"k": 2'))
        assert f"{manifest} is damaged" in (await refused(restore(grid, "b1"))).message
        manifest.unlink()
        assert "is incomplete" in (await refused(restore(grid, "b1"))).message
        delete = requests.DbCollectionDelete(kind="backup", repository="repo1", collection="b1")
        assert "is incomplete" in (await refused(grid.call(delete))).message
        manifest.write_text(text)
        other = requests.DbCollectionDelete(
            kind="backup", repository="repo1", collection="b1", database="nosuch"
        )
        assert "b1 is of database" in (await refused(grid.call(other))).message
        name = header.read_text()
        header.unlink()
        assert "repository.json is missing" in (await refused(restore(grid, "b1"))).message
        header.write_text(name)

        await restore(grid, "b1")
        await grid.open()
        assert len((await content(grid))["ORDERS"]) == 40
        await grid.call(delete)
        assert not (repo / "b1").exists()


async def test_no_folder_of_another_database_is_filled(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=1) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await backup(grid, "b1")
        export = requests.DbExport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        await grid.call(export)
        again = await refused(backup(grid, "m1"))  # which is an export: not dbBackupDelete -force
        assert "repositoryList repo1 -contents" in again.hint
        store = f"{tmp_path}/db/!!INSTANCE_NAME!!/{DATABASE}"
        text = f"DataStore={store}\nDatabaseCharacterSet=AL32UTF8\n"
        await grid.call(schema.DbdefCreate(name="other", text=text))
        await grid.call(no_start())
        for request in (
            requests.DbRestore(name="other", repository="repo1", backup="b1", wait_s=WAIT_S),
            requests.DbImport(name="other", repository="repo1", export="m1", wait_s=WAIT_S),
        ):
            error = await refused(grid.call(request))
            assert "would both keep an element" in error.message
        await grid.call(schema_close())
        await grid.call(databases.DbUnload(name=DATABASE, wait_s=WAIT_S))
        away = requests.DbImport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        assert f"ttGridAdmin dbLoad {DATABASE}" in (await refused(grid.call(away))).hint


async def test_a_cancelled_backup_leaves_nothing(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=2) as grid:
        await grid.create()
        repo = await repository(grid, tmp_path)
        await large(grid)
        await backup(grid, "slow", bwlimit_mb=1, wait_s=None)
        await until_there(repo, "slow/RS*/element.db.part")
        twice = await refused(backup(grid, "other"))
        assert "still running" in twice.message
        operations = await grid.call(schema.OperationList(), schema.OperationListReply)
        await grid.call(schema.OperationCancel(id=operations.operations[-1].id))
        async with asyncio.timeout(WAIT_S):
            while (await last(grid, "backup")).state not in (CANCELLED, FAILED):
                await asyncio.sleep(0.02)  # the status is what an operator polls
        assert (await last(grid, "backup")).state == CANCELLED
        assert not (repo / "slow").exists()
        assert not images(tmp_path)
        await backup(grid, "slow")
        manifest = json.loads((repo / "slow" / "manifest.json").read_text())["manifest"]
        assert manifest["database"] == DATABASE


async def test_a_full_repository_fails_the_backup_and_leaves_no_manifest(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=2) as grid:
        await grid.create()
        small = tmp_path / "repositories"
        small.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
        await asyncio.to_thread(subprocess.run, mount, check=True)
        try:
            repo = await repository(grid, tmp_path)
            await accounts(grid)
            error = await refused(backup(grid, "b1"))
            assert "No space left" in error.message
            assert str(repo / "b1" / "RS") in error.message
            assert not (repo / "b1").exists()
            assert (await last(grid, "backup")).state == FAILED
        finally:
            await asyncio.to_thread(subprocess.run, ["umount", "-l", str(small)], check=True)


async def move(grid: WholeGrid, source: int, target: int, share: int) -> None:
    """Move every `share`-th bucket of a replica set to another one."""
    assert grid.managed.instance is not None
    rpc = grid.managed.instance.management.rpc
    assert rpc is not None
    peer = rpc.peer(grid.nodes[source - 1].name)  # K = 1: its only element leads
    ask = moving.OwnedBuckets(DATABASE, source)
    async with asyncio.timeout(WAIT_S):
        while not (owned := await peer.call(ask, WAIT_S)).known:
            await asyncio.sleep(0.05)  # the lead fills its table soon; management asks again too
    left = tuple(b for first, last in owned.ranges for b in range(first, last + 1))[::share]
    async with asyncio.timeout(WAIT_S):
        while left:
            moved = await peer.call(moving.MoveBuckets(DATABASE, source, target, left), WAIT_S)
            left = moved.left


async def test_buckets_that_were_moved_are_where_they_were(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=2) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await all_kinds(grid)
        rows = await content(grid)
        await move(grid, 1, 2, 2)
        await backup(grid, "b1")
        export = requests.DbExport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        await grid.call(export)
        for make in (
            requests.DbRestore(name=DATABASE, repository="repo1", backup="b1", wait_s=WAIT_S),
            requests.DbImport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S),
        ):
            await grid.destroy()
            await grid.call(make)
            await grid.open()
            assert await content(grid) == rows
            await move(grid, 2, 1, 3)
            assert await content(grid) == rows
            client = await grid.nodes[0].connect()
            with pytest.raises(asyncpg.UniqueViolationError):
                await client.execute("INSERT INTO customers VALUES (900, 'x', '7@x', 1)")
            assert await client.fetchval("SELECT numbers.NEXTVAL FROM dual") > 100
            await client.close()


@pytest.mark.slow
async def test_a_restored_database_grows_and_is_backed_up_again(tmp_path: Path) -> None:
    async with whole_grid(tmp_path / "small", k=1, data=2) as grid:
        await grid.create()
        await repository(grid, tmp_path)
        await all_kinds(grid)
        rows = await content(grid)
        await backup(grid, "b1")
    async with whole_grid(tmp_path / "larger", k=1, data=3) as grid:
        await repository(grid, tmp_path, attach=True)
        await grid.define()
        await restore(grid, "b1")
        await grid.open()
        add = databases.DbDistribute(name=DATABASE, add=("all",), apply=True)
        await grid.call(add, databases.DbDistributeReply)
        elements = [e for i in (await grid.status()).instances for e in i.elements]
        assert sorted(e.sync_replica_set for e in elements) == [1, 2, 3]
        assert await content(grid) == rows
        await backup(grid, "b2")
        await grid.destroy()
        await restore(grid, "b2")
        await grid.open()
        assert await content(grid) == rows


async def test_logs_of_all_instances_come_into_a_collection(tmp_path: Path) -> None:
    async with whole_grid(tmp_path, k=1, data=2) as grid:
        repo = await repository(grid, tmp_path)
        homes = [node.home for node in grid.nodes]
        for home in homes:
            (home / "diag" / "ttmesg.log").write_text(f"log of {home}\n" * 1000)
        shutil.rmtree(homes[1] / "diag")
        events: list[str] = []
        collect = requests.GridLogCollect(repository="repo1", collection="mycollection")
        done = await grid.managed.call(collect, events=events)
        assert done.messages == ("Logs copied to collection mycollection in repository repo1",)
        copied = repo / "mycollection" / "host3.instance1" / "ttmesg.log"
        assert copied.read_bytes() == (homes[0] / "diag" / "ttmesg.log").read_bytes()
        assert any("no logs of host4.instance1" in e and "No such file" in e for e in events)
        again = await refused(grid.call(collect))
        assert "already" in again.message
        listed = await grid.call(
            requests.RepositoryList(name="repo1", contents=True), requests.RepositoryListReply
        )
        (row,) = listed.repositories[0].collections
        assert (row.kind, row.complete) == ("logs", True)
        assert row.size > copied.stat().st_size


async def test_a_repository_on_another_host_is_reached_by_ssh_from_management_only(
    tmp_path: Path,
) -> None:
    async with ssh_hosts(tmp_path, 9) as hosts, whole_grid(tmp_path / "g", k=1, data=2) as grid:
        there = hosts.hosts[9]
        ways = HostTransports(hosts.connections(), is_here=lambda a: a != there.address)
        assert grid.managed.instance is not None
        grid.managed.instance.management.transports = ways
        (tmp_path / "far").mkdir()
        place = {"name": "repo1", "path": str(tmp_path / "far"), "method": "scp"}
        nowhere = await refused(grid.call(requests.RepositoryCreate(**place)))
        assert "-address" in nowhere.message
        await grid.call(requests.RepositoryCreate(**place, address=there.address))
        await grid.create()
        await all_kinds(grid)
        rows = await content(grid)
        assert STAGED in await backup(grid, "b1", compress=True, kind="staged")
        await grid.call(
            requests.DbExport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        )
        await grid.destroy()
        await restore(grid, "b1")
        await grid.open()
        assert await content(grid) == rows
        await grid.destroy()
        await grid.call(
            requests.DbImport(name=DATABASE, repository="repo1", export="m1", wait_s=WAIT_S)
        )
        await grid.open()
        assert await content(grid) == rows
        assert not images(tmp_path)

        await large(grid)
        await backup(grid, "b2", bwlimit_mb=1, wait_s=None)
        await until_there(tmp_path, "far/repo1/b2/RS*/element.db")
        await there.stop()
        async with asyncio.timeout(WAIT_S):
            while (await last(grid, "backup")).state != FAILED:
                await asyncio.sleep(0.05)  # the status is what an operator polls
        assert there.address in (await last(grid, "backup")).message
        assert not images(tmp_path)
        await there.start(hosts.public_key)
        gone = await refused(restore(grid, "b2"))
        assert "exists already" in gone.message
        listed = await grid.call(
            requests.RepositoryList(name="repo1", contents=True), requests.RepositoryListReply
        )
        there_now = {c.name: c.complete for c in listed.repositories[0].collections}
        assert there_now == {"b1": True, "m1": True, "b2": False}
        await grid.call(
            requests.DbCollectionDelete(
                kind="backup", repository="repo1", collection="b2", force=True
            )
        )
        await ways.close()
