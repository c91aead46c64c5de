"""A whole database on several data instances in one process: real sockets, real element files.

Only membership is in memory. For tests of everything between a client's socket and the elements
that need no process of their own; tests/cluster and tests/faults run real daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from data.instance import DataInstance
from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import InstanceInfo
from protocol.ids import InstanceName
from protocol.instance_file import InstanceSettings, MembershipSettings
from protocol.limits import BUCKET_COUNT
from protocol.messages.admin import INTENT_OPEN, ElementSpec, render_intent
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.topology import BucketRange, DistributionMap, ElementPlace
from tests.support.zookeeper import free_ports

DATABASE = "database1"
ADDRESS = "127.0.0.1"
USER, PASSWORD = "terry", "tiger"
READY_S = 20.0


@dataclass
class Node:
    """One data instance of the grid."""

    name: str
    home: Path
    settings: InstanceSettings
    spec: ElementSpec
    instance: DataInstance | None = None
    rpc: RpcNode | None = None
    membership: MemoryMembership | None = None
    lives: int = 0


@dataclass
class MemoryGrid:
    """`sets` replica sets of `k` elements each; `await start()`, `await stop()`."""

    directory: Path
    k: int = 2
    sets: int = 2
    session_timeout_s: float = 1.0
    attributes: tuple[tuple[str, str], ...] = (("PermSize", "64"),)
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ensemble = MemoryEnsemble(self.session_timeout_s)
        self.database_id = secrets.token_hex(8)
        for number in range(1, self.k * self.sets + 1):
            self.new_node(number, (number - 1) % self.k + 1)

    def new_node(self, number: int, data_space: int) -> Node:
        """Another data instance, with element `number`; not started."""
        self.nodes.append(self._node(number, data_space))
        return self.nodes[-1]

    def _node(self, number: int, data_space: int) -> Node:
        name = f"host{number + 2}.instance1"
        home = self.directory / name
        for folder in ("info", "diag", "conf"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        settings = InstanceSettings(
            name=name,
            kind="data",
            home=str(home),
            grid="grid1",
            grid_id="0123",
            internal_address=ADDRESS,
            external_address=ADDRESS,
            daemon_port=free_ports(1)[0],
            cs_port=free_ports(1)[0],
            membership=MembershipSettings(session_timeout_s=self.session_timeout_s),
        )
        spec = ElementSpec(
            database=DATABASE,
            database_id=self.database_id,
            element=number,
            data_space=data_space,
            k=self.k,
            data_store=str(home / "element"),
            log_dir="",
            attributes=self.attributes,
        )
        return Node(name, home, settings, spec)

    def map(self, version: int) -> DistributionMap:
        """Elements 1..k are replica set 1, and so on; buckets in equal ranges."""
        places = tuple(
            ElementPlace(
                n.spec.element, n.name, (n.spec.element - 1) // self.k + 1, n.spec.data_space
            )
            for n in self.nodes
        )
        share = BUCKET_COUNT // self.sets
        ranges = tuple(
            BucketRange(
                rs * share,
                BUCKET_COUNT - 1 if rs == self.sets - 1 else (rs + 1) * share - 1,
                rs + 1,
            )
            for rs in range(self.sets)
        )
        return DistributionMap(DATABASE, version, self.k, places, ranges)

    # -- life -----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Make the elements, the map, open the database, create the test user."""
        await asyncio.gather(*(self.start_node(n) for n in self.nodes))
        for node in self.nodes:
            assert node.instance is not None
            await node.instance.keeper.create(node.spec)
        membership = self.nodes[0].membership
        assert membership is not None
        assert await membership.put_map(DATABASE, 0, self.map(1).encode())
        await membership.put_state(DATABASE, render_intent(INTENT_OPEN, self.database_id))
        for node in self.nodes:
            await self.ready(node)
        admin = await self.connect_admin()
        await admin.execute(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
        await admin.execute(
            "GRANT CREATE SESSION, CREATE TABLE, CREATE VIEW, CREATE SEQUENCE, CREATE PROCEDURE, "
            f"CREATE SYNONYM, CREATE MATERIALIZED VIEW TO {USER}"
        )
        await admin.close()

    async def start_node(self, node: Node) -> None:
        """Start (again) one data instance."""
        node.lives += 1
        incarnation = f"{node.name}-{node.lives}"
        info = InstanceInfo(
            name=InstanceName(node.name),
            kind="data",
            incarnation=incarnation,
            address=ADDRESS,
            port=node.settings.daemon_port,
            external_address=ADDRESS,
            cs_port=node.settings.cs_port,
        )
        node.rpc = RpcNode(NodeIdentity("0123", node.name, incarnation, b"secret"))
        previous = {f"{node.name}-{life}" for life in range(1, node.lives)}
        node.membership = MemoryMembership(self.ensemble, info, previous)
        node.instance = DataInstance(node.settings, node.home, info, node.rpc, node.membership)
        await node.instance.start()

    async def stop_node(self, node: Node) -> None:
        """Stop one data instance in order."""
        assert node.instance is not None
        await node.instance.stop()
        node.instance = None

    async def stop(self) -> None:
        """Stop everything."""
        await asyncio.gather(*(self.stop_node(n) for n in self.nodes if n.instance is not None))

    async def ready(self, node: Node) -> None:
        """Wait until the element serves users and is in sync."""
        async with asyncio.timeout(READY_S):
            while True:
                assert node.instance is not None
                reports = node.instance.keeper.reports()
                if reports and reports[0].state == "opened" and reports[0].role in ("lead", "copy"):
                    return
                await asyncio.sleep(0.01)  # polls the state that management would poll

    # -- clients --------------------------------------------------------------------------------
    async def connect(self, at: int = 0, **options: object) -> asyncpg.Connection:
        """A client of the test user at the data instance number `at`."""
        node = self.nodes[at]
        return await asyncpg.connect(
            host=ADDRESS,
            port=node.settings.cs_port,
            user=USER,
            password=PASSWORD,
            database=DATABASE,
            timeout=10,
            **options,
        )

    async def connect_admin(self, at: int = 0) -> asyncpg.Connection:
        """The instance administrator over the local socket."""
        node = self.nodes[at]
        return await asyncpg.connect(
            host=str(node.home / "info"),
            port=node.settings.cs_port,
            user=getpass.getuser(),
            database=DATABASE,
            timeout=10,
        )

    def contents(self, node: Node, table: str) -> list[tuple[object, ...]]:
        """All rows of a SQLite table in a node's element, to compare copies."""
        assert node.instance is not None
        database = node.instance.database(DATABASE)
        rows = database.element.read(f'SELECT * FROM "{table}"')
        return sorted(rows, key=repr)


@contextlib.asynccontextmanager
async def running_grid(
    folder: Path,
    *statements: str,
    k: int = 2,
    sets: int = 2,
    session_timeout_s: float = 1.0,
    attributes: tuple[tuple[str, str], ...] = (("PermSize", "64"),),
) -> AsyncIterator[MemoryGrid]:
    """A grid in which the test user has run these statements; it is stopped at the end."""
    grid = MemoryGrid(folder, k, sets, session_timeout_s, attributes)
    try:
        await grid.start()
        if statements:
            client = await grid.connect()
            for text in statements:
                await client.execute(text)
            await client.close()
        yield grid
    finally:
        await grid.stop()
