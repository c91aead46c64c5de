"""A grid that grows, in one process: management with its API, real data instances, SQL clients.

Only membership is in memory and daemons are objects. For tests of commands that work on elements
with rows; tests/cluster runs real processes.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from data.database import Database
from data.instance import DataInstance
from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import InstanceInfo
from mgmt.api import schema
from mgmt.api import schema_databases as requests
from protocol import instance_file
from protocol.ids import InstanceName
from protocol.instance_file import InstanceSettings
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.topology import DistributionMap
from tests.support.data_nodes import add_node
from tests.support.management import ManagedGrid, no_start

DATABASE = "database1"
ADDRESS = "127.0.0.1"
USER, PASSWORD = "terry", "tiger"
WAIT_S = 30
SESSION_TIMEOUT_S = 1.0


class LiveNode:
    """One data instance with everything; start, stop and kill it as often as you like."""

    def __init__(self, ensemble: MemoryEnsemble, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.settings: InstanceSettings = instance_file.load(home)
        self.instance: DataInstance | None = None
        self._ensemble = ensemble
        self._lives = 0

    async def start(self) -> None:
        """Begin a life: register, take up the element of the last one."""
        self._lives += 1
        incarnation = f"{self.name}-{self._lives}"
        info = InstanceInfo(
            name=InstanceName(self.name),
            kind="data",
            incarnation=incarnation,
            address=ADDRESS,
            port=self.settings.daemon_port,
            external_address=ADDRESS,
            cs_port=self.settings.cs_port,
        )
        settings = instance_file.load(self.home)
        rpc = RpcNode(NodeIdentity(settings.grid_id, self.name, incarnation, b"secret", "data"))
        previous = {f"{self.name}-{life}" for life in range(1, self._lives)}
        membership = MemoryMembership(self._ensemble, info, previous)
        self.instance = DataInstance(settings, self.home, info, rpc, membership)
        await self.instance.start()

    async def stop(self) -> None:
        """In order, if it runs."""
        if self.instance is not None:
            instance, self.instance = self.instance, None
            await instance.stop()

    def database(self) -> Database:
        """Its element of the database, loaded."""
        assert self.instance is not None
        return self.instance.database(DATABASE)

    def state(self) -> str:
        """The state of its element; "" without one."""
        assert self.instance is not None
        reports = self.instance.keeper.reports()
        return reports[0].state if reports else ""

    def leads(self) -> bool:
        """Its element leads its replica set."""
        return self.instance is not None and self.database().writer.leading

    def rows(self, table: str) -> list[tuple[object, ...]]:
        """All rows of a SQLite table in its element."""
        return sorted(self.database().element.read(f'SELECT * FROM "{table}"'), key=repr)


class GrowingGrid:
    """Management and data instances; hosts are known by their numbers: host3 is 3."""

    def __init__(self, folder: Path, k: int) -> None:
        self.k = k
        self.managed = ManagedGrid(folder, MemoryEnsemble(SESSION_TIMEOUT_S))
        self.nodes: dict[int, LiveNode] = {}

    async def add_hosts(self, hosts: dict[int, int]) -> list[LiveNode]:
        """hostCreate ... modelApply, and their daemons. Host number -> data space group."""
        made = [await add_node(self.managed, number, group) for number, group in hosts.items()]
        await self.managed.call(no_start())
        for number, node in zip(hosts, made, strict=True):
            self.nodes[number] = LiveNode(self.managed.ensemble, node.name, node.home)
            await self.nodes[number].start()
        return [self.nodes[number] for number in hosts]

    async def add_late(self, hosts: dict[int, int]) -> list[LiveNode]:
        """The same; wait until they have their elements, opened."""
        nodes = await self.add_hosts(hosts)
        await self.until(lambda: all(node.state() == "opened" for node in nodes))
        return nodes

    async def define_database(self, more: str = "") -> None:
        """dbdefCreate."""
        text = (
            f"DataStore={self.managed.folder}/db/!!INSTANCE_NAME!!/d\n"
            f"DatabaseCharacterSet=AL32UTF8\nPermSize=64\n{more}"
        )
        await self.managed.call(schema.DbdefCreate(name=DATABASE, text=text))

    async def open_database(self) -> None:
        """dbCreate ... dbOpen with a user."""
        await self.managed.call(requests.DbCreate(name=DATABASE, wait_s=WAIT_S))
        await self.distribute(add=("all",), apply=True)
        await self.managed.call(requests.DbOpen(name=DATABASE, wait_s=WAIT_S))
        first = min(self.nodes)
        admin = await asyncpg.connect(
            host=str(self.nodes[first].home / "info"),
            port=self.nodes[first].settings.cs_port,
            user=getpass.getuser(),
            database=DATABASE,
        )
        await admin.execute(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
        await admin.execute(
            f"GRANT CREATE SESSION, CREATE PROCEDURE, CREATE TABLE, CREATE SEQUENCE TO {USER}"
        )
        await admin.close()

    async def distribute(
        self, events: list[str] | None = None, **options: Any
    ) -> requests.DbDistributeReply:
        """dbDistribute."""
        request = requests.DbDistribute(name=DATABASE, **options)
        reply = await self.managed.call(request, requests.DbDistributeReply, events)
        assert isinstance(reply, requests.DbDistributeReply)
        return reply

    async def status(self) -> requests.DatabaseStatus:
        """dbStatus."""
        reply = await self.managed.call(requests.DbStatus(name=DATABASE), requests.DbStatusReply)
        assert isinstance(reply, requests.DbStatusReply)
        return reply.databases[0]

    async def element(self, host: int) -> requests.ElementStatus:
        """What dbStatus says of the element on a host."""
        found = [i for i in (await self.status()).instances if i.host_name == f"host{host}"]
        return found[0].elements[0]

    def map(self) -> DistributionMap:
        """The map in force."""
        return DistributionMap.decode(self.managed.ensemble.facts.maps[DATABASE][1])

    async def connect(self, host: int, **options: Any) -> asyncpg.Connection:
        """A client of the test user."""
        return await asyncpg.connect(
            host=ADDRESS,
            port=self.nodes[host].settings.cs_port,
            user=USER,
            password=PASSWORD,
            database=DATABASE,
            timeout=10,
            **options,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what happens in another task."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.02)  # there is no event to wait for across the two sides


@asynccontextmanager
async def growing_grid(folder: Path, *groups: int, more: str = "") -> AsyncIterator[GrowingGrid]:
    """host3, host4, ... in these data space groups, and an open database."""
    grid = GrowingGrid(folder, max(groups))
    await grid.managed.start()
    try:
        await grid.managed.create_grid(grid.k)
        await grid.define_database(more)
        await grid.add_hosts({3 + index: group for index, group in enumerate(groups)})
        await grid.open_database()
        yield grid
    finally:
        for node in grid.nodes.values():
            await node.stop()
        await grid.managed.stop()
