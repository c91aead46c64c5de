"""Composition root of a management instance."""

from __future__ import annotations

import sys

from daemons.config import (
    client_files,
    home_from_arguments,
    internal_tls,
    load_settings,
    membership_hosts,
)
from daemons.exporter import Exporter
from daemons.runtime import Life, run_daemon
from membership.port import InstanceInfo, Membership
from membership.zookeeper import ZooKeeperMembership
from mgmt.instance import ManagementInstance
from mgmt.transport.installation import release
from mgmt.transport.ssh import HostTransports
from protocol.clock import SystemClock
from protocol.ids import InstanceName
from protocol.instance_file import InstanceSettings
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode

TITLE = "tengrid-mgmtd"


class LazyManagement:
    """Makes the instance inside the event loop, where its parts need to be made."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._settings = load_settings(life.home, "mgmt")
        self._instance: ManagementInstance | None = None
        self._exporter: Exporter | None = None
        self._transports = HostTransports()

    async def start(self) -> None:
        """See daemons.runtime.Service."""
        self._instance = ManagementInstance(
            self._settings,
            incarnation=self._life.incarnation,
            make_membership=self._make_membership,
            make_rpc=self._make_rpc,
            transports=self._transports,
            clock=SystemClock(),
        )
        await self._instance.start()
        self._exporter = Exporter(self._settings, self._scrape)
        self._exporter.start()

    async def _scrape(self) -> bytes:
        from daemons import exposition  # only where somebody asks for it

        assert self._instance is not None
        exported = self._instance.exported
        process = exposition.of_instance(
            exported.name, "mgmt", release(), exported.numbers(), exported.event_loop()
        )
        return exposition.text([*process, *exposition.of_grid(await exported.grid())])

    async def run(self) -> None:
        """See daemons.runtime.Service."""
        assert self._instance is not None
        await self._instance.run()

    async def drain(self) -> None:
        """See daemons.runtime.Service."""
        if self._exporter is not None:
            await self._exporter.stop()
        if self._instance is not None:
            await self._instance.drain()
        await self._transports.close()

    def _make_membership(self, settings: InstanceSettings) -> Membership:
        me = InstanceInfo(
            name=InstanceName(settings.name),
            kind="mgmt",
            incarnation=self._life.incarnation,
            address=settings.internal_address,
            port=settings.daemon_port,
            version=release(),
        )
        return ZooKeeperMembership(
            membership_hosts(settings),
            settings.grid,
            settings.membership_logins(),
            me,
            tls=client_files(settings),
            session_timeout_s=settings.membership.session_timeout_s,
            previous_incarnations=self._life.previous_incarnations,
        )

    def _make_rpc(self, settings: InstanceSettings) -> RpcNode:
        return RpcNode(
            NodeIdentity(
                grid_id=settings.grid_id,
                name=settings.name,
                incarnation=self._life.incarnation,
                secret=settings.secret().encode(),
                kind="mgmt",
            ),
            tls=internal_tls(settings),
        )


def main() -> None:
    """Entry point: tengrid-mgmtd HOME."""
    sys.exit(run_daemon(TITLE, home_from_arguments(TITLE), LazyManagement))


if __name__ == "__main__":
    main()
