"""Data instances without SQL and files: real RPC and keepers around a host that pretends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from data.admin import handlers
from data.admin.fence import ManagementFence
from data.admin.keeper import ElementKeeper
from data.admin.port import ElementFacts
from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import InstanceInfo
from mgmt.api import schema
from protocol import instance_file
from protocol.clock import SystemClock
from protocol.errors import DiskFullError, GridError
from protocol.ids import InstanceName
from protocol.messages import sessions
from protocol.messages.admin import ElementSpec
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request
from protocol.topology import DistributionMap
from tests.support.management import ManagedGrid, host, no_start
from tests.support.zookeeper import free_ports


class PretendedHost:
    """A DatabaseHost that notes what it is told; `broken` holds verbs that fail."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.broken: set[str] = set()
        self.files: dict[str, ElementSpec] = {}
        self.loaded: dict[str, ElementSpec] = {}
        self.opened: set[str] = set()
        self.clients: list[sessions.SessionInfo] = []
        self.membership: MemoryMembership | None = None

    def _note(self, verb: str, database: str) -> None:
        self.log.append(f"{verb} {database}")
        if verb in self.broken:
            raise DiskFullError(f"no room to {verb}")

    async def create(self, spec: ElementSpec) -> None:
        self._note("create", spec.database)
        self.files[spec.database] = spec

    async def load(self, spec: ElementSpec) -> None:
        self._note("load", spec.database)
        self.loaded[spec.database] = spec

    async def open(self, database: str) -> None:
        self._note("open", database)
        self.opened.add(database)

    async def close(self, database: str) -> None:
        self._note("close", database)
        self.opened.discard(database)

    async def unload(self, database: str) -> None:
        self._note("unload", database)
        self.loaded.pop(database, None)

    async def destroy(self, spec: ElementSpec) -> None:
        self._note("destroy", spec.database)
        self.files.pop(spec.database, None)

    def facts(self, database: str) -> ElementFacts:
        """The element in data space 1 leads its set."""
        spec = self.loaded.get(database)
        assert self.membership is not None
        value = self.membership.view().maps.get(database)
        if spec is None or value is None:
            return ElementFacts()
        known = DistributionMap.decode(value)
        place = next((e for e in known.elements if e.element == spec.element), None)
        if place is None or not place.replica_set:
            return ElementFacts(map_version=known.version)
        return ElementFacts(
            replica_set=place.replica_set,
            role="lead" if place.data_space == 1 else "copy",
            term=1,
            map_version=known.version,
        )


class DataNode:
    """One pretended data instance; start and stop it as often as you like."""

    def __init__(self, grid: ManagedGrid, name: str, home: Path) -> None:
        self.name = name
        self.home = home
        self.host = PretendedHost()
        self._ensemble: MemoryEnsemble = grid.ensemble
        self._lives = 0
        self.keeper: ElementKeeper | None = None
        self._rpc: RpcNode | None = None
        self._membership: MemoryMembership | None = None

    async def start(self) -> None:
        """Register and take up the elements of the last life."""
        self._lives += 1
        incarnation = f"{self.name}-{self._lives}"
        settings = instance_file.load(self.home)
        identity = NodeIdentity(settings.grid_id, self.name, incarnation, b"secret", "data")
        self._rpc = RpcNode(identity)
        port = await self._rpc.listen("127.0.0.1", 0)
        me = InstanceInfo(InstanceName(self.name), "data", incarnation, "127.0.0.1", port)
        self._membership = self.host.membership = MemoryMembership(self._ensemble, me)
        self.keeper = ElementKeeper(
            self.home, self.name, incarnation, self.host, self._membership, SystemClock()
        )
        handlers.register(self._rpc, self.keeper, ManagementFence())
        self._rpc.handle(
            sessions.ListSessions,
            lambda message, request: request.reply(sessions.SessionList(tuple(self.host.clients))),
        )
        self._rpc.handle(sessions.Disconnect, self._disconnect)
        await self._membership.start()
        await self.keeper.start()

    async def stop(self) -> None:
        """Leave in order."""
        if self.keeper is None or self._rpc is None or self._membership is None:
            return
        await self.keeper.stop()
        await self._membership.stop()
        await self._rpc.close()
        self.keeper = None

    def _disconnect(self, message: sessions.Disconnect, request: Request) -> None:
        """Of the pretended clients idle ones stay in a transactional disconnect."""
        host = self.host
        host.log.append(f"disconnect {message.mode}")
        if "disconnect" in host.broken:
            raise DiskFullError("no room to disconnect")
        if message.mode != sessions.TRANSACTIONAL:
            host.clients.clear()
        idle = sum(client.state == "idle" for client in host.clients)
        request.reply(sessions.Disconnecting(len(host.clients) - idle, idle))

    def states(self) -> list[str]:
        """The states of its elements."""
        assert self.keeper is not None
        return [report.state for report in self.keeper.reports()]


@asynccontextmanager
async def data_nodes(grid: ManagedGrid, groups: tuple[int, ...]) -> AsyncIterator[list[DataNode]]:
    """host3, host4, ... in these groups: in the model, applied, pretended daemons started."""
    nodes = []
    for index, group in enumerate(groups):
        nodes.append(await add_node(grid, 3 + index, group))
    await grid.call(no_start())
    try:
        async with asyncio.TaskGroup() as starting:
            for node in nodes:
                starting.create_task(node.start())
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def add_node(grid: ManagedGrid, number: int, group: int) -> DataNode:
    """As add_instance; apply and start it yourself."""
    return DataNode(grid, *await add_instance(grid, number, group))


async def add_instance(grid: ManagedGrid, number: int, group: int) -> tuple[str, Path]:
    """hostCreate, installationCreate, instanceCreate; gives its name and folder."""
    name, location = f"host{number}", str(grid.folder / "!!HOST_NAME!!")
    daemon, sql = free_ports(2)
    await grid.call(host(name, number, group))
    await grid.call(schema.InstallationCreate(host=name, location=location))
    await grid.call(
        schema.InstanceCreate(host=name, location=location, daemon_port=daemon, cs_port=sql)
    )
    return f"{name}.instance1", grid.folder / name / "instance1"


async def refused(grid: ManagedGrid, request: schema.Request, reply: type[object]) -> GridError:
    """The error of a request that must fail."""
    try:
        await grid.call(request, reply)
    except GridError as error:
        return error
    raise AssertionError(f"{request} was not refused")
