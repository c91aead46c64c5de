"""Management and real data instances in one process: commands, elements, SQL. Membership in memory.

Between memory_grid.py (data instances, no management) and real_grid.py (processes, ZooKeeper).
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from data.instance import DataInstance
from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import InstanceInfo
from mgmt.api import schema
from mgmt.api import schema_databases as requests
from protocol import instance_file
from protocol.ids import InstanceName
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from tests.support.data_nodes import add_instance
from tests.support.management import ManagedGrid, no_start

WAIT_S = 30
ADDRESS = "127.0.0.1"
DATABASE = "database1"
USER, PASSWORD = "terry", "tiger"


class Node:
    """One real data instance."""

    def __init__(self, grid: ManagedGrid, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self._ensemble: MemoryEnsemble = grid.ensemble
        self.lives = 0
        self.cs_port = 0
        self.instance: DataInstance | None = None

    async def start(self) -> None:
        """Begin another life."""
        self.lives += 1
        incarnation = f"{self.name}-{self.lives}"
        settings = instance_file.load(self.home)
        self.cs_port = settings.cs_port
        info = InstanceInfo(
            name=InstanceName(self.name),
            kind="data",
            incarnation=incarnation,
            address=ADDRESS,
            port=settings.daemon_port,
            external_address=ADDRESS,
            cs_port=settings.cs_port,
        )
        rpc = RpcNode(NodeIdentity(settings.grid_id, self.name, incarnation, b"secret"))
        previous = {f"{self.name}-{life}" for life in range(1, self.lives)}
        membership = MemoryMembership(self._ensemble, info, previous)
        self.instance = DataInstance(settings, self.home, info, rpc, membership)
        await self.instance.start()

    async def stop(self) -> None:
        """End this life in order."""
        if self.instance is not None:
            await self.instance.stop()
            self.instance = None

    async def admin(self, database: str = DATABASE) -> asyncpg.Connection:
        """The instance administrator over the local socket."""
        return await asyncpg.connect(
            host=str(self.home / "info"),
            port=self.cs_port,
            user=getpass.getuser(),
            database=database,
            timeout=10,
        )

    async def connect(self, database: str = DATABASE) -> asyncpg.Connection:
        """The test user."""
        return await asyncpg.connect(
            host=ADDRESS,
            port=self.cs_port,
            user=USER,
            password=PASSWORD,
            database=database,
            timeout=10,
        )


class WholeGrid:
    """`sets` replica sets of `k` can be made of its data instances."""

    def __init__(self, managed: ManagedGrid, k: int, nodes: list[Node]) -> None:
        self.managed = managed
        self.k = k
        self.nodes = nodes

    async def call(self, request: schema.Request, reply: type[Any] = schema.Done) -> Any:
        """A command."""
        return await self.managed.call(request, reply)

    async def define(self, name: str = DATABASE, more: str = "PermSize=64\n") -> None:
        """A database definition, in force."""
        store = f"{self.managed.folder}/db/!!INSTANCE_NAME!!/{name}"
        text = f"DataStore={store}\nDatabaseCharacterSet=AL32UTF8\n{more}"
        await self.call(schema.DbdefCreate(name=name, text=text))
        await self.call(no_start())

    async def create(self, name: str = DATABASE) -> None:
        """An open database over all data instances, with the test user."""
        await self.define(name)
        await self.call(requests.DbCreate(name=name, wait_s=WAIT_S))
        everything = requests.DbDistribute(name=name, add=("all",), apply=True)
        await self.call(everything, requests.DbDistributeReply)
        await self.call(requests.DbOpen(name=name, wait_s=WAIT_S))
        admin = await self.nodes[0].admin(name)
        await admin.execute(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
        await admin.execute(
            "GRANT CREATE SESSION, CREATE TABLE, CREATE SEQUENCE, "
            f"CREATE MATERIALIZED VIEW TO {USER}"
        )
        await admin.close()

    async def open(self, name: str = DATABASE) -> None:
        """Load and open it; wait until every element serves."""
        status = await self.status(name)
        if not status.loaded:
            await self.call(requests.DbLoad(name=name, wait_s=WAIT_S))
        await self.call(requests.DbOpen(name=name, wait_s=WAIT_S))

    async def destroy(self, name: str = DATABASE) -> None:
        """Close, unload, destroy."""
        if (await self.status(name)).opened:
            await self.call(requests.DbClose(name=name, wait_s=WAIT_S))
        await self.call(requests.DbUnload(name=name, wait_s=WAIT_S, force=True))
        await self.call(requests.DbDestroy(name=name, wait_s=WAIT_S))

    async def status(self, name: str = DATABASE) -> requests.DatabaseStatus:
        """dbStatus."""
        reply = await self.call(requests.DbStatus(name=name), requests.DbStatusReply)
        status: requests.DatabaseStatus = reply.databases[0]
        return status


@asynccontextmanager
async def whole_grid(folder: Path, *, k: int, data: int) -> AsyncIterator[WholeGrid]:
    """A grid with `data` data instances, spread over `k` data space groups; no database."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    managed = ManagedGrid(folder, MemoryEnsemble())
    await managed.start()
    nodes: list[Node] = []
    try:
        await managed.create_grid(k)
        for index in range(data):
            instance = await add_instance(managed, 3 + index, index % k + 1)
            nodes.append(Node(managed, *instance))
        await managed.call(no_start())
        await asyncio.gather(*(node.start() for node in nodes))
        yield WholeGrid(managed, k, nodes)
    finally:
        await asyncio.gather(*(node.stop() for node in nodes))
        await managed.stop()
