"""The file system of one element is full: a clear error or another lead, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from data.database import Database
from protocol.messages.admin import INTENT_CREATED
from tests.support.memory_grid import DATABASE, MemoryGrid, Node
from tests.support.power import set_intent

TMPFS_MB = 32
TEXT = "x" * 1000


class Disks:
    """A grid of two elements, each on a small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.grid = MemoryGrid(folder, sets=1, attributes=(("PermSize", "64"),))
        self.acknowledged: set[int] = set()

    def mount(self) -> None:
        for node in self.grid.nodes:
            folder = Path(node.spec.data_store)
            folder.mkdir()
            size = f"size={TMPFS_MB}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)

    def unmount(self) -> None:
        for node in self.grid.nodes:
            subprocess.run(["umount", "-l", node.spec.data_store], check=True)

    def fill(self, node: Node) -> None:
        """Not a byte is left."""
        with (Path(node.spec.data_store) / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    def make_room(self, node: Node) -> None:
        (Path(node.spec.data_store) / "ballast").unlink()

    def database(self, node: Node) -> Database:
        assert node.instance is not None
        return node.instance.database(DATABASE)

    def lead(self) -> Node:
        return next(n for n in self.grid.nodes if self.database(n).writer.leading)

    def copy(self) -> Node:
        lead = self.lead()
        return next(n for n in self.grid.nodes if n is not lead)

    async def write(self, client: asyncpg.Connection, key: int) -> str:
        """One row; the SQLSTATE, or "" if it was acknowledged."""
        try:
            async with asyncio.timeout(20):
                await client.execute(f"INSERT INTO t VALUES ({key}, '{TEXT}')")
        except asyncpg.PostgresError as error:
            return str(error.sqlstate)
        self.acknowledged.add(key)
        return ""

    async def until(self, client: asyncpg.Connection, first: int, state: str) -> int:
        """Write rows until one ends so; the next key."""
        async with asyncio.timeout(30):
            for key in range(first, first + 100_000):
                if await self.write(client, key) == state:
                    return key + 1
        raise AssertionError

    def leads_with(self, no_room: bool) -> bool:
        """Somebody leads, and knows whether there is room."""
        writers = [self.database(n).writer for n in self.grid.nodes]
        return any(w.leading and w.no_room == no_room for w in writers)

    async def when(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                await asyncio.sleep(0.02)  # polls what management polls


@pytest.fixture
async def disks(tmp_path: Path) -> AsyncIterator[Disks]:
    if os.geteuid() != 0:
        pytest.skip("mounting small file systems needs root")
    made = Disks(tmp_path)
    made.mount()
    try:
        await made.grid.start()
        client = await made.grid.connect()
        await client.execute("CREATE TABLE t (id NUMBER(10) PRIMARY KEY, v VARCHAR2(2000))")
        await client.close()
        yield made
        await set_intent(made.grid, INTENT_CREATED)
        await made.grid.stop()
    finally:
        made.unmount()


async def check(disks: Disks) -> None:
    """Whole again: both copies hold every acknowledged row."""
    await disks.when(lambda: disks.leads_with(no_room=False))
    databases = [disks.database(node) for node in disks.grid.nodes]
    await disks.when(lambda: all(len(d.member.status().in_sync) == 2 for d in databases))
    for node in disks.grid.nodes:
        await disks.grid.ready(node)
    client = await disks.grid.connect()
    there = {int(row[0]) for row in await client.fetch("SELECT id FROM t")}
    assert disks.acknowledged <= there
    await client.execute("INSERT INTO t VALUES (-1, 'after')")
    await client.close()
    first, second = [disks.grid.contents(node, "TERRY.T") for node in disks.grid.nodes]
    assert first == second


async def test_the_lead_s_disk_fills_up(disks: Disks) -> None:
    """The copy leads on at once: it has what the lead could not write down."""
    lead = disks.lead()
    client = await disks.grid.connect()
    disks.fill(lead)
    key = 0
    async with asyncio.timeout(30):
        while disks.database(lead).writer.leading:
            await disks.write(client, key)
            key += 1
    await disks.until(client, key, "")
    await client.close()
    disks.make_room(lead)
    await check(disks)


async def test_a_copy_s_disk_fills_up(disks: Disks) -> None:
    """It leaves the in-sync copies, and comes back when there is room."""
    lead, copy = disks.lead(), disks.copy()
    client = await disks.grid.connect()
    disks.fill(copy)
    key = 0
    async with asyncio.timeout(30):
        while len(disks.database(lead).member.status().in_sync) == 2:
            assert await disks.write(client, key) == ""
            key += 1
    for more in range(20):
        assert await disks.write(client, key + more) == ""
    await client.close()
    disks.make_room(copy)
    await check(disks)


async def test_all_disks_are_full(disks: Disks) -> None:
    """53100 at the client, at once; it goes on when there is room."""
    client = await disks.grid.connect()
    await disks.write(client, 0)
    for node in disks.grid.nodes:
        disks.fill(node)
    await disks.when(lambda: disks.leads_with(no_room=True))
    assert await disks.write(client, 1) == "53100"
    assert await client.fetchval("SELECT id FROM t WHERE id = 0") == 0  # reads go on
    for node in disks.grid.nodes:
        disks.make_room(node)
    await disks.when(lambda: disks.leads_with(no_room=False))
    await disks.until(client, 2, "")
    await client.close()
    await check(disks)
