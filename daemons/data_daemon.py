"""Composition root of a data instance; `daemons/datad.py` starts it."""

from __future__ import annotations

import asyncio
import gc

import structlog

from daemons import compiled, huge_pages
from daemons.config import client_files, internal_tls
from daemons.exporter import Exporter
from daemons.runtime import ConfigError, Life
from data.instance import DataInstance
from membership.port import InstanceInfo
from membership.zookeeper import ZooKeeperMembership
from protocol import instance_file
from protocol.ids import InstanceName
from protocol.messages.metrics import AskFigures
from protocol.rpc import allocator
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode

# Statements leave few cycles behind; a collection each 700 objects costs 1-2 µs of each statement.
GC_YOUNG, GC_MIDDLE, GC_OLD = 20_000, 20, 20
VERSION = "0.1.0"

log = structlog.get_logger(__name__)


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
        self._huge_pages: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it serves."""
        settings, life = self._settings, self._life
        allocator.keep_freed_memory()
        log.info("daemon.code", hot_modules=compiled.running())
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
        membership = ZooKeeperMembership(
            ",".join(settings.membership.servers),
            settings.grid,
            settings.membership_logins(),
            info,
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
        if (memory := huge_pages.of_this_process()) is not None:
            self._huge_pages = asyncio.create_task(memory.keep(), name="huge-pages")

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
        if self._huge_pages is not None:
            self._huge_pages.cancel()
        try:
            if self._exporter is not None:
                await self._exporter.stop()
            if self._instance is not None:
                await self._instance.stop()
        finally:
            self._stopped.set()
