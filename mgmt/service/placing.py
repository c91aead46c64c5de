"""modelApply's work with installations: copies to other hosts, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mgmt.model.types import Host, Installation, Model
from mgmt.ops.runner import Progress
from mgmt.service.context import Management
from mgmt.service.placed import PlacedInstallation
from mgmt.transport.installation import (
    Archives,
    installation_works,
    own_installation,
    place_copy,
    place_links,
)

REPORT_S = 2.0  # how often a copy on its way is reported
MB = 1_000_000


class Placing:
    """One step of one modelApply; close it."""

    def __init__(self, management: Management, model: Model, progress: Progress) -> None:
        self._management = management
        self._model = model
        self._progress = progress
        folder = Path(management.settings.home) / "grid" / "archives"
        self._archives = Archives(folder, management.transports)

    async def close(self) -> None:
        """Delete the archives that were made."""
        await self._archives.discard()

    def batches(self, wanted: Sequence[Installation]) -> list[list[Installation]]:
        """Those of one machine follow each other, since they may share a tree."""
        batches: list[list[Installation]] = []
        for installation in wanted:
            host = self._host(installation)
            same = self._management.transports.same_machine
            fits = (b for b in batches if same(self._host(b[0]), host))
            batch = next(fits, None)
            if batch is None:
                batches.append([installation])
            else:
                batch.append(installation)
        return batches

    async def place(self, installation: Installation) -> None:
        """Put it in place, journal first. Repeatable. Raises GridError."""
        host = self._host(installation)
        transport = self._management.transports.to(host)
        placed_all = self._management.placed
        known = placed_all.installations().get(f"{installation.host}.{installation.name}")
        placed = known or PlacedInstallation(
            host=host,
            name=installation.name,
            path=installation.path,
            shared=await installation_works(transport, installation.path, installation.release),
        )
        placed_all.put_installation(placed)
        await self._management.secured()
        if self._links(host, installation):
            await place_links(
                transport,
                installation.path,
                source=installation.source,
                wanted=installation.release,
            )
        else:
            await self._copy(installation, host, ours=not placed.shared)
        done = msgspec.structs.replace(
            placed, usable=True, message="", when_us=self._management.clock.wall_us()
        )
        placed_all.put_installation(done)
        await self._say(installation, installation.path)

    async def _copy(self, installation: Installation, host: Host, *, ours: bool) -> None:
        transport = self._management.transports.to(host)
        if await installation_works(transport, installation.path, installation.release):
            return
        archive = await self._archives.of(installation.source)
        gone = 0

        def moved(count: int) -> None:
            nonlocal gone
            gone += count

        size = archive.stat().st_size

        async def report() -> None:
            while True:
                await asyncio.sleep(REPORT_S)
                await self._say(installation, f"{gone // MB} of {size // MB} MB")

        with _beside(report()):
            await place_copy(
                transport,
                installation.path,
                archive,
                moved,
                ours=ours,
                wanted=installation.release,
            )

    def _links(self, host: Host, installation: Installation) -> bool:
        """On this machine a development environment is linked to, not copied."""
        own = self._model.host(self._management.settings.host)
        here = own is None or self._management.transports.same_machine(own, host)
        source = Path(installation.source) if installation.source else None
        if source is not None and not (source / "bin" / "ttInstanceCreate").is_symlink():
            return False
        return here and own_installation() is None

    async def _say(self, installation: Installation, text: str) -> None:
        await self._progress("line", f"  {installation.host}.{installation.name}: {text}")

    def _host(self, installation: Installation) -> Host:
        host = self._model.host(installation.host)
        assert host is not None, "an installation stands below its host"
        return host


@contextmanager
def _beside(work: object) -> Iterator[None]:
    assert asyncio.iscoroutine(work)
    task: asyncio.Task[None] = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
