"""Files between data instances and a repository that they do not see (-method scp).

The instance keeps a file in a folder beside its element, this management instance carries it piece
by piece: from the instance by RPC, to the repository's host by SSH, or the other way. So only
management needs to reach that host, and nothing is kept here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mgmt.service.data_jobs import DataJobs
from mgmt.service.repositories import Depot
from protocol.clock import boottime_s
from protocol.errors import CollectionError
from protocol.limits import MIB
from protocol.messages import backup as m
from protocol.messages.backup import FileFacts

PIECE_BYTES = 2 * MIB


class Carrier:
    """Carries the files of one collection."""

    def __init__(self, jobs: DataJobs, depot: Depot, collection: str) -> None:
        self._jobs = jobs
        self._depot = depot
        self._folder = depot.repository.folder(collection)

    async def stage(self, instance: str, job: str, data_store: str) -> str:
        """A folder at the instance; `StopJobs` removes it."""
        staged: m.Staged = await self._jobs.call(instance, m.Stage(job, data_store))
        return staged.folder

    async def bring(
        self, instance: str, job: str, files: Sequence[FileFacts], bytes_per_s: int
    ) -> None:
        """Carry files of an instance into the repository. Raises GridErrors."""
        transport = self._depot.transport
        pace = _Pace(bytes_per_s)
        for file in files:
            target = f"{self._folder}/{file.path}"
            await transport.make_dir(target.rpartition("/")[0], mode=0o700)
            await transport.write_at(target, 0, b"")
            offset = 0
            while offset < file.size:
                ask = m.ReadStaged(job, file.path, offset, PIECE_BYTES)
                piece: m.Piece = await self._jobs.call(instance, ask)
                if not piece.data:
                    raise CollectionError(f"{instance}: {file.path} has only {offset} bytes")
                await transport.write_at(target, offset, piece.data)
                offset += len(piece.data)
                await pace.keep(len(piece.data))
            done = await transport.run(["sync", target])
            if done.rc:
                raise CollectionError(f"cannot write {target}: {done.output.strip()}")

    async def fetch(self, instance: str, job: str, files: Sequence[FileFacts]) -> None:
        """Carry files of the repository to an instance. Raises GridErrors."""
        for file in files:
            source = f"{self._folder}/{file.path}"
            offset = 0
            while offset < file.size or not file.size:
                size = min(PIECE_BYTES, file.size - offset)
                data = await self._depot.transport.read_part(source, offset, size)
                if len(data) != size:
                    raise CollectionError(f"{source} is damaged: it ends at {offset + len(data)}")
                await self._jobs.call(instance, m.WriteStaged(job, file.path, offset, data))
                offset += size
                if not file.size:
                    break


class _Pace:
    """Bytes per second, on the average since the beginning; 0: no limit."""

    def __init__(self, bytes_per_s: int) -> None:
        self._rate = bytes_per_s
        self._began_s = boottime_s()
        self._bytes = 0

    async def keep(self, count: int) -> None:
        """Wait until so much more is allowed."""
        self._bytes += count
        if self._rate:
            await asyncio.sleep(max(0.0, self._bytes / self._rate - (boottime_s() - self._began_s)))
