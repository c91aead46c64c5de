"""A management instance inside the test's process, on a membership in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import InstanceInfo
from mgmt.api import schema
from mgmt.cli import instance_home
from mgmt.cli.client import Client
from mgmt.instance import ManagementInstance
from mgmt.transport.installation import create_installation
from mgmt.transport.local import LocalTransports
from protocol import instance_file
from protocol.clock import SystemClock
from protocol.ids import InstanceName
from protocol.instance_file import InstanceSettings
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from tests.support.zookeeper import free_ports


class ManagedGrid:
    """A management instance that can be stopped and started again, and calls to its API."""

    def __init__(self, folder: Path, ensemble: MemoryEnsemble) -> None:
        self.folder = folder
        self.ensemble = ensemble
        self.home = folder / "instance1"
        self.lives = 0
        self.instance: ManagementInstance | None = None
        daemon, sql, api = free_ports(3)
        settings = InstanceSettings(
            name="instance1",
            kind="mgmt",
            home=str(self.home),
            daemon_port=daemon,
            cs_port=sql,
            mgmt_port=api,
            installation=str(create_installation(folder)),
        )
        instance_home.create(settings, short_name="instance1", user="nobody")
        (self.home / instance_file.TOKEN_FILE).write_text(secrets.token_hex(32))

    async def start(self) -> None:
        """Begin another life."""
        self.lives += 1
        self.instance = ManagementInstance(
            instance_file.load(self.home),
            incarnation=f"life-{self.lives}",
            make_membership=self._membership,
            make_rpc=self._rpc,
            transports=LocalTransports(),
            clock=SystemClock(),
        )
        await self.instance.start()

    async def stop(self) -> None:
        """End this life in order."""
        if self.instance is not None:
            await self.instance.drain()
            self.instance = None

    async def call(
        self,
        request: schema.Request,
        reply: type[Any] = schema.Done,
        events: list[str] | None = None,
    ) -> Any:
        """Send a request as the commands do; the blocking client runs on a thread."""
        seen = [] if events is None else events
        client = Client(self.home)
        return await asyncio.to_thread(
            client.call, request, reply, lambda event: seen.append(f"{event.kind} {event.text}")
        )

    async def create_grid(self, k: int = 2) -> None:
        """gridCreate."""
        reply = await self.call(self.grid_request(k=k))
        assert reply.messages == ("Grid grid1 created",)

    def grid_request(self, **changes: Any) -> schema.GridCreate:
        """Of a grid on loopback addresses."""
        request = schema.GridCreate(
            name="grid1",
            k=2,
            membership="Servers memory!1\n",
            host="host1",
            internal_address="127.0.0.1",
            external_address="127.0.0.1",
            mgmt_port=instance_file.load(self.home).mgmt_port,
        )
        return msgspec.structs.replace(request, **changes)

    def _membership(self, settings: InstanceSettings) -> MemoryMembership:
        me = InstanceInfo(
            name=InstanceName(settings.name),
            kind="mgmt",
            incarnation=f"life-{self.lives}",
            address=settings.internal_address,
            port=settings.daemon_port,
        )
        return MemoryMembership(self.ensemble, me)

    def _rpc(self, settings: InstanceSettings) -> RpcNode:
        identity = NodeIdentity(
            settings.grid_id, settings.name, f"life-{self.lives}", b"secret", "mgmt"
        )
        return RpcNode(identity)


@asynccontextmanager
async def managed_grid(folder: Path, *, grid: bool = True) -> AsyncIterator[ManagedGrid]:
    """A started management instance, with a grid unless told otherwise."""
    managed = ManagedGrid(folder, MemoryEnsemble())
    await managed.start()
    try:
        if grid:
            await managed.create_grid()
        yield managed
    finally:
        await managed.stop()


def host(name: str, number: int, group: int = 0) -> schema.HostCreate:
    """A hostCreate request with loopback addresses."""
    return schema.HostCreate(
        name=name,
        internal_address=f"127.0.0.{10 + number}",
        external_address=f"127.0.1.{10 + number}",
        data_space_group=group,
    )


def no_start() -> schema.ModelApply:
    """modelApply -nostart."""
    return msgspec.structs.replace(schema.ModelApply(), start=False)
