"""A managed grid of real data instances in this process: API, operations, RPC, elements, SQL.

What data_nodes.py pretends is real here; only membership is in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from data.instance import DataInstance
from membership.memory import MemoryMembership
from membership.port import InstanceInfo
from mgmt.api import schema
from protocol import instance_file
from protocol.ids import InstanceName
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from tests.support.data_nodes import add_node
from tests.support.management import ManagedGrid, managed_grid, no_start


def _data_instance(grid: ManagedGrid, name: str, home: Path) -> DataInstance:
    settings = instance_file.load(home)
    incarnation = f"{name}-1"
    info = InstanceInfo(
        InstanceName(name), "data", incarnation, settings.internal_address, settings.daemon_port,
        settings.external_address, settings.cs_port,
    )  # fmt: skip
    rpc = RpcNode(NodeIdentity(settings.grid_id, name, incarnation, b"secret", "data"))
    return DataInstance(settings, home, info, rpc, MemoryMembership(grid.ensemble, info))


@asynccontextmanager
async def real_grid(folder: Path, groups: tuple[int, ...], name: str) -> AsyncIterator[ManagedGrid]:
    """Data instances host3, host4, ... in these groups, and the definition of a database."""
    async with managed_grid(folder) as grid:
        text = f"DataStore={folder}/db/!!INSTANCE_NAME!!/d\nDatabaseCharacterSet=AL32UTF8\n"
        await grid.call(schema.DbdefCreate(name=name, text=text))
        nodes = [await add_node(grid, 3 + i, group) for i, group in enumerate(groups)]
        await grid.call(no_start())
        instances = [_data_instance(grid, node.name, node.home) for node in nodes]
        await asyncio.gather(*(instance.start() for instance in instances))
        try:
            yield grid
        finally:
            await asyncio.gather(*(instance.stop() for instance in instances))
