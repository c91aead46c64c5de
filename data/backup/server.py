"""RPC handlers of messages/backup.py: images of this instance's elements, elements from files.

Nothing here runs on the event loop for longer than it takes to hand work to a thread.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from data.admin.fence import ManagementFence
from data.backup import files, image, rows
from data.backup.jobs import JobBook, Result, Told, Work
from data.catalog.objects import Table
from data.storage.element import Element
from data.storage.files import FILE
from data.storage.images import ElementBuilder
from data.storage.settings import StorageSettings
from protocol.errors import CollectionError, ShuttingDownError, UnknownDatabaseError
from protocol.messages import backup as m
from protocol.messages.admin import ElementSpec
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

log = structlog.get_logger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
BUILD_FOLDER = f"{image.FOLDER}/build"  # in the element's: one that is being made of rows
RESTORED_FILE = f"{image.FOLDER}/restore.db"  # the same: the file of a backup
NAMES_TOLD = 5


class LoadedDatabase(Protocol):
    """What is needed of a loaded database (data/database.py)."""

    spec: ElementSpec
    element: Element

    async def make_epoch(self) -> int:
        """Make an epoch that begins now."""
        ...


class Elements(Protocol):
    """What is needed of the elements that are not loaded (data/admin/keeper.py)."""

    async def while_at_rest(
        self, database: str, database_id: str, work: Callable[[ElementSpec], Awaitable[Any]]
    ) -> Any:
        """Do something with the files of an element that is created and not loaded."""
        ...


class BackupServer:
    """One per data instance."""

    def __init__(
        self,
        instance: str,
        find: Callable[[str], LoadedDatabase],
        elements: Elements,
        settings_of: Callable[[ElementSpec], StorageSettings],
    ) -> None:
        self._instance = instance
        self._find = find
        self._elements = elements
        self._settings_of = settings_of
        self._jobs = JobBook()
        self._packed: dict[str, tuple[str, str]] = {}  # job -> database, where it is written
        self._databases: dict[str, str] = {}  # job of an image -> database
        self._images: dict[str, Path] = {}  # job -> folder
        self._staged: dict[str, Path] = {}  # the same, of files on their way

    def register(self, rpc: RpcNode, fence: ManagementFence) -> None:
        """Answer the messages from now on."""
        handlers: dict[Any, Callable[[Any, Request], Awaitable[Any]]] = {
            m.MakeEpoch: self._make_epoch,
            m.TakeImage: self._take,
            m.PackImage: self._pack,
            m.AskCommitted: self._committed,
            m.ExportImage: self._export,
            m.RestoreElement: self._restore,
            m.ImportElement: self._import,
            m.Stage: self._stage,
            m.ReadStaged: self._read_staged,
            m.WriteStaged: self._write_staged,
            m.AskJob: self._ask,
            m.StopJobs: self._stop,
            m.AskContent: self._content,
        }
        for message, handler in handlers.items():
            rpc.handle_async(message, fence.for_active(handler))

    async def close(self) -> None:
        """The instance stops: end all jobs."""
        await self._end("")

    # -- a loaded database -------------------------------------------------------------------------
    def _loaded(self, db: str, database_id: str) -> LoadedDatabase:
        found = self._find(db)
        if found.spec.database_id != database_id:
            raise UnknownDatabaseError(f"{self._instance} has another database {db}")
        return found

    async def _make_epoch(self, message: m.MakeEpoch, _request: Request) -> m.EpochMade:
        return m.EpochMade(await self._loaded(message.db, message.database_id).make_epoch())

    async def _content(self, message: m.AskContent, _request: Request) -> m.Content:
        catalog = self._loaded(message.db, message.database_id).element.catalog
        relations = [
            f"{r.schema}.{r.name}"
            for r in catalog.relations.values()
            if not (isinstance(r, Table) and r.system)
        ]
        users = [u.name for u in catalog.users.values() if u.name != "SYS"]
        return m.Content(tuple(sorted(relations)[:NAMES_TOLD]), tuple(sorted(users)[:NAMES_TOLD]))

    async def _take(self, message: m.TakeImage, _request: Request) -> m.JobReport:
        database = self._loaded(message.db, message.database_id)
        folder = image.folder_of(database.element, _checked(message.job))

        async def work(told: Told) -> Result:
            try:
                facts = await files.on_thread(image.take, database.element, folder, message.epoch)
            except BaseException:
                await files.on_thread(image.remove, folder)
                raise
            self._images[message.job] = folder
            return Result(facts)

        self._databases[message.job] = message.db
        return self._jobs.start(message.job, work)

    # -- an image ----------------------------------------------------------------------------------
    def _image(self, job: str) -> Path:
        folder = self._images.get(job)
        if folder is None:
            raise CollectionError(f"{self._instance} has no image {job} any more")
        return folder

    def backups(self, db: str) -> list[tuple[int, str, int, str]]:
        """V$BACKUP_STATUS: 1 running, 2 done, 3 failed; where to; percent; error."""
        states = {m.RUNNING: 1, m.DONE: 2, m.FAILED: 3}
        rows = []
        for job, (of, where) in list(self._packed.items()):
            report = self._jobs.report(job)
            if report.state not in states:
                del self._packed[job]  # forgotten: it was long ago
            elif of == db:
                percent = 100 * report.done_bytes // report.total_bytes if report.total_bytes else 0
                status = states[report.state]
                error = report.error[1] if report.error is not None else ""
                rows.append((status, where, 100 if status == 2 else percent, error))
        return rows

    async def _pack(self, message: m.PackImage, _request: Request) -> m.JobReport:
        db = self._databases.pop(message.image, "")
        self._packed.setdefault(message.job, (db, f"{message.folder}/{message.prefix}"))

        async def work(told: Told) -> Result:
            folder = self._image(message.image)
            path = f"{message.prefix}/{FILE}"
            facts = await files.pack(
                folder / FILE,
                Path(message.folder),
                path,
                packed=message.packed,
                bytes_per_s=message.bytes_per_s,
                told=told,
            )
            await self._drop(message.image)
            return Result(files=(facts,))

        return self._jobs.start(message.job, work)

    async def _committed(self, message: m.AskCommitted, _request: Request) -> m.AreCommitted:
        folder = self._image(message.image)
        return m.AreCommitted(await files.on_thread(image.committed, folder, message.txns))

    async def _export(self, message: m.ExportImage, _request: Request) -> m.JobReport:
        async def work(told: Told) -> Result:
            folder = self._image(message.image)
            if message.committed:
                await files.on_thread(image.resolve, folder, message.committed)
            told.total_bytes = (folder / FILE).stat().st_size
            writing = partial(
                rows.write_all,
                folder / FILE,
                Path(message.folder),
                message.prefix,
                packed=message.packed,
                whole=message.whole,
            )
            made = await _steered(writing, told, message.bytes_per_s)
            await self._drop(message.image)
            return Result(files=made)

        return self._jobs.start(message.job, work)

    async def _drop(self, job: str) -> None:
        folder = self._images.pop(job, None)
        if folder is not None:
            await files.on_thread(image.remove, folder)

    # -- an element that is not loaded -------------------------------------------------------------
    async def _restore(self, message: m.RestoreElement, _request: Request) -> m.JobReport:
        spec = message.spec
        identity = image.identity_of(spec, self._instance, message.rs)
        path, settings = Path(spec.data_store), self._settings_of(spec)

        async def refill(told: Told, _kept: ElementSpec) -> m.SetFacts:
            file = path / RESTORED_FILE
            await files.on_thread(partial(file.parent.mkdir, exist_ok=True, mode=0o700))
            await files.on_thread(partial(file.unlink, missing_ok=True))
            await files.unpack(Path(message.folder), message.file, file, told)
            return await files.on_thread(
                image.install, file, identity, path, settings, message.database_id
            )

        return self._jobs.start(message.job, self._at_rest(spec, refill))

    async def _import(self, message: m.ImportElement, _request: Request) -> m.JobReport:
        spec = message.spec
        identity = image.identity_of(spec, self._instance, message.rs)
        path, settings = Path(spec.data_store), self._settings_of(spec)
        folder = Path(message.folder)
        buckets = frozenset(b for first, last in message.buckets for b in range(first, last + 1))

        def build(*, written: rows.Written) -> Path:
            shutil.rmtree(path / BUILD_FOLDER, ignore_errors=True)
            catalog = rows.read_catalog(folder, message.catalog)
            builder = ElementBuilder(path / BUILD_FOLDER, identity, settings, catalog)
            try:
                rows.fill(builder, folder, message.files, buckets, message.batch_rows, written)
                return builder.finish()
            finally:
                builder.close()

        async def refill(told: Told, _kept: ElementSpec) -> m.SetFacts:
            told.total_bytes = sum(f.size for f in message.files)
            try:
                file = await _steered(build, told, 0)
                return await files.on_thread(
                    image.install_built, file, identity, path, settings, message.epoch
                )
            finally:
                await files.on_thread(partial(shutil.rmtree, path / BUILD_FOLDER, True))

        return self._jobs.start(message.job, self._at_rest(spec, refill))

    def _at_rest(
        self, spec: ElementSpec, refill: Callable[[Told, ElementSpec], Awaitable[m.SetFacts]]
    ) -> Work:
        async def work(told: Told) -> Result:
            facts = await self._elements.while_at_rest(
                spec.database, spec.database_id, partial(refill, told)
            )
            return Result(replace(facts, instance=self._instance))

        return work

    # -- files on their way ------------------------------------------------------------------------
    async def _stage(self, message: m.Stage, _request: Request) -> m.Staged:
        folder = Path(message.data_store) / image.FOLDER / _checked(message.job)
        await files.on_thread(partial(folder.mkdir, parents=True, exist_ok=True, mode=0o700))
        self._staged[message.job] = folder
        return m.Staged(str(folder))

    def _staged_file(self, job: str, path: str) -> Path:
        folder = self._staged.get(job)
        if folder is None:
            raise CollectionError(f"{self._instance} has no files of {job} any more")
        if not all(NAME.fullmatch(part) for part in path.split("/")):
            raise CollectionError(f"{path!r} cannot be a file of a collection")
        return folder / path

    async def _read_staged(self, message: m.ReadStaged, _request: Request) -> m.Piece:
        file = self._staged_file(message.job, message.path)
        data = await files.on_thread(files.read_part, file, message.offset, message.size)
        return m.Piece(data)

    async def _write_staged(self, message: m.WriteStaged, _request: Request) -> m.PieceWritten:
        file = self._staged_file(message.job, message.path)
        await files.on_thread(files.write_part, file, message.offset, message.data)
        return m.PieceWritten(message.offset + len(message.data))

    # -- jobs --------------------------------------------------------------------------------------
    async def _ask(self, message: m.AskJob, _request: Request) -> m.JobReport:
        return self._jobs.report(message.job)

    async def _stop(self, message: m.StopJobs, _request: Request) -> m.JobsStopped:
        return m.JobsStopped(await self._end(message.prefix))

    async def _end(self, prefix: str) -> int:
        count = await self._jobs.stop(prefix)
        for job in [job for job in self._images if job.startswith(prefix)]:
            await self._drop(job)
        for job in [job for job in self._staged if job.startswith(prefix)]:
            await files.on_thread(image.remove, self._staged.pop(job))
        return count


class _Steering:
    """Counts what a thread does, holds it back to a speed, and stops it. One thread, one loop."""

    def __init__(self, told: Told, bytes_per_s: int, loop: asyncio.AbstractEventLoop) -> None:
        self.stopped = False
        self._told = told
        self._pace = files.Pace(bytes_per_s)
        self._loop = loop

    def written(self, count: int) -> None:
        """On the thread, after each piece."""
        if self.stopped:
            raise ShuttingDownError("the job was stopped")
        self._told.done_bytes += count
        pause_s = self._pace.pause_s(count)
        while pause_s > 0 and not self.stopped:
            step_s = min(pause_s, 1.0)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(step_s), self._loop).result()
            pause_s -= step_s


async def _steered(work: Callable[..., Any], told: Told, bytes_per_s: int) -> Any:
    """Run work(written=...) on a thread; who is cancelled stops it and waits."""
    steering = _Steering(told, bytes_per_s, asyncio.get_running_loop())
    future = asyncio.ensure_future(asyncio.to_thread(partial(work, written=steering.written)))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        steering.stopped = True
        await asyncio.wait([future])
        raise


def _checked(job: str) -> str:
    if not NAME.fullmatch(job):
        raise CollectionError(f"{job!r} cannot be the name of a job")
    return job
