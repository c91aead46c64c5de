"""Composition root of a data instance: `tengrid-datad HOME`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from pathlib import Path

from daemons.config import client_files, internal_tls
from daemons.exporter import Exporter
from daemons.runtime import EXIT_CONFIG, ConfigError, Life, run_daemon
from data.instance import DataInstance
from membership.port import InstanceInfo
from membership.zookeeper import ZooKeeperMembership
from protocol import instance_file
from protocol.ids import InstanceName
from protocol.messages.metrics import AskFigures
from protocol.rpc import allocator
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode

TITLE = "tengrid-datad"
DRAIN_TIMEOUT_S = 20.0
# Statements leave few cycles behind; a collection each 700 objects costs 1-2 µs of each statement.
GC_YOUNG, GC_MIDDLE, GC_OLD = 20_000, 20, 20
VERSION = "0.1.0"


class DataDaemon:
    """The Service of this daemon."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._settings = instance_file.load(life.home)
        if self._settings.kind != "data":
            raise ConfigError(f"{life.home} is not the home of a data instance")
        if not self._settings.membership.servers:
            raise ConfigError(f"{life.home}: no membership servers; run ttGridAdmin modelApply")
        self._stopped = asyncio.Event()
        self._instance: DataInstance | None = None
        self._exporter: Exporter | None = None

    async def start(self) -> None:
        """Return when it serves."""
        settings, life = self._settings, self._life
        allocator.keep_freed_memory()
        info = InstanceInfo(
            name=InstanceName(settings.name),
            kind="data",
            incarnation=life.incarnation,
            address=settings.internal_address,
            port=settings.daemon_port,
            external_address=settings.external_address,
            cs_port=settings.cs_port,
            version=VERSION,
        )
        secret = settings.secret()
        user, password = settings.membership_login()
        membership = ZooKeeperMembership(
            ",".join(settings.membership.servers),
            settings.grid,
            password,
            info,
            user=user,
            tls=client_files(settings),
            session_timeout_s=settings.membership.session_timeout_s,
            previous_incarnations=life.previous_incarnations,
        )
        rpc = RpcNode(
            NodeIdentity(settings.grid_id, settings.name, life.incarnation, secret.encode()),
            tls=internal_tls(settings),
        )
        self._instance = DataInstance(settings, life.home, info, rpc, membership)
        await self._instance.start()
        self._exporter = Exporter(settings, self._scrape)
        self._exporter.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_YOUNG, GC_MIDDLE, GC_OLD)

    async def _scrape(self) -> bytes:
        from daemons import exposition  # only where somebody asks for it

        assert self._instance is not None
        figures = self._instance.measures.figures(AskFigures())
        return exposition.text(exposition.of_data_instance(figures, VERSION))

    async def run(self) -> None:
        """Until drained."""
        await self._stopped.wait()

    async def drain(self) -> None:
        """Hand over, close, leave."""
        try:
            if self._exporter is not None:
                await self._exporter.stop()
            if self._instance is not None:
                await self._instance.stop()
        finally:
            self._stopped.set()


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:
        print(f"usage: {TITLE} HOME", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    home = Path(sys.argv[1])
    _let_wakers_finish()
    sys.exit(run_daemon(TITLE, home, DataDaemon, drain_timeout_s=DRAIN_TIMEOUT_S))


def _let_wakers_finish() -> None:
    """A message that wakes this process does not push its sender off the processor.

    On a busy machine the sender then gets to send more, and one waking serves more messages:
    a third more updates a second. On an idle one nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    main()
