"""dbBackup and dbExport, and removing what they made. Both begin with images of one instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.model import collections
from mgmt.model.collections import BACKUP, EXPORT, CollectionFile, Manifest
from mgmt.ops.operation import State, Step
from mgmt.ops.runner import Progress, Running, StepContext
from mgmt.service.carrying import Carrier
from mgmt.service.context import Management
from mgmt.service.data_jobs import AWAY, DataJobs, together
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord
from mgmt.service.imaging import Images, Imaging, Source, prefix_of
from mgmt.service.repositories import Depot, Repositories
from mgmt.service.transfers import CANCELLED, COMPLETED, FAILED, Part, Transfer, Transfers
from protocol.clock import boottime_s
from protocol.errors import (
    CollectionError,
    DeadlineError,
    DuplicateModelObjectError,
    GridError,
    ModelError,
    ParameterError,
)
from protocol.messages import backup as m

log = structlog.get_logger(__name__)

ACTION = "db-write-collection"  # of the one step of both
PAST_S = 2.0  # progress goes to the store so often
MB = 1_000_000
COMMANDS = {BACKUP: "dbBackup", EXPORT: "dbExport"}
LETTERS = {BACKUP: "B", EXPORT: "M"}


class ProgressBook:
    """The parts of a transfer as their jobs tell; in the store now and then."""

    def __init__(self, transfers: Transfers, transfer: Transfer, now_us: Callable[[], int]) -> None:
        self.transfer = transfer
        self._transfers = transfers
        self._now_us = now_us
        self._stored_s = 0.0

    def watch(self, key: int, report: m.JobReport) -> None:
        """The job of an element told how it is."""
        at, old = next((at, p) for at, p in enumerate(self.transfer.parts) if key == p.element)
        new = old.told(report, self._now_us())
        parts = (*self.transfer.parts[:at], new, *self.transfer.parts[at + 1 :])
        self.transfer = msgspec.structs.replace(self.transfer, parts=parts)
        if new.state != old.state or boottime_s() - self._stored_s > PAST_S:
            self._stored_s = boottime_s()
            self._transfers.put(self.transfer)


class Writing(NamedTuple):
    """How and where the images of a transfer are written."""

    prefix: str  # of the names of its jobs
    folders: dict[int, str]  # replica set -> where
    packed: bool
    bytes_per_s: int

    def to(self, rs: int) -> tuple[str, str, bool, int]:
        """folder, prefix, packed and bytes_per_s of the message for a replica set."""
        return self.folders[rs], f"RS{rs}", self.packed, self.bytes_per_s


Messages = dict[int, tuple[str, Any]]  # element -> instance and message


STAGED = "Warning: -backupType staged does as normal does: the whole backup is sent each time"


class BackupService:
    """dbBackup, dbExport, dbBackupDelete, dbExportDelete."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._repositories = Repositories(management)
        self._transfers = Transfers(management)
        self._jobs = DataJobs(management)
        self._imaging = Imaging(management, self._jobs)
        self._reach = Reach(management)

    # -- commands --------------------------------------------------------------------------------
    async def backup(self, request: requests.DbBackup, progress: Progress) -> schema.Done:
        """dbBackup."""
        if request.kind not in ("normal", "staged"):
            raise ParameterError(f"-backupType {request.kind}: use normal or staged")
        repository = self._repositories.get(request.repository)
        if request.kind == "staged" and repository.method != collections.SCP:
            raise ParameterError("-backupType staged is for repositories of method scp")
        done = await self._begin(BACKUP, request, request.backup, progress)
        if request.kind == "staged":
            done = msgspec.structs.replace(done, messages=(*done.messages, STAGED))
        return done

    async def export(self, request: requests.DbExport, progress: Progress) -> schema.Done:
        """dbExport: the database may be open."""
        return await self._begin(EXPORT, request, request.export, progress)

    async def _begin(
        self,
        kind: str,
        request: requests.DbBackup | requests.DbExport,
        name: str,
        progress: Progress,
    ) -> schema.Done:
        record = self._reach.databases.get(request.name)
        if request.bwlimit_mb < 0:
            raise ParameterError(f"-bwlimit {request.bwlimit_mb}: MB per second, 0 for no limit")
        name = name or _default_name(kind, self._management.clock.wall_us())
        collections.check_name(name, kind)
        depot = self._repositories.depot(self._repositories.get(request.repository))
        await depot.check()
        if await depot.has(name):
            raise DuplicateModelObjectError(
                f"repository {depot.repository.name} has a collection {name} already",
                hint="Choose another name; ttGridAdmin repositoryList"
                f" {depot.repository.name} -contents shows what is there.",
            )
        await self._imaging.sources(record)
        body: dict[str, object] = {
            "kind": kind,
            "database": record.name,
            "repository": depot.repository.name,
            "name": name,
            "bytes_per_s": request.bwlimit_mb * MB,
            "packed": request.compress,
        }
        step = Step(f"Writing {kind} {name}", ACTION, body)
        command = COMMANDS[kind]
        running = self._management.runner.start(command, record.subject, [step])
        return await ended(running, f"{command} {name} started", request.wait_s, progress)

    async def delete(self, request: requests.DbCollectionDelete) -> schema.Done:
        """dbBackupDelete, dbExportDelete."""
        kind, name = request.kind, request.collection
        depot = self._repositories.depot(self._repositories.get(request.repository))
        await depot.check()
        refuse_used(self._management, depot.repository.name, name)
        complete = (await depot.contents()).get(name)
        header = await depot.header(name)
        if complete is None:
            await depot.manifest(name, kind)  # raises: there is none
        if header is not None and header.kind != kind:
            raise ModelError(f"{name} is not of this kind: it is of kind {header.kind}")
        if header is not None and request.database not in ("", header.database):
            raise ModelError(f"{kind} {name} is of database {header.database}")
        if not request.force:
            if not complete:
                raise CollectionError(
                    f"{kind} {name} is incomplete", hint="-force removes it nevertheless."
                )
            if header is None:
                raise CollectionError(
                    f"{depot.repository.folder(name)}/{collections.COLLECTION_FILE} is missing"
                    " or damaged",
                    hint="-force removes the collection nevertheless.",
                )
        await depot.remove(name)
        return schema.Done(
            messages=(f"{kind.capitalize()} {name} deleted from {depot.repository.name}",)
        )

    # -- the step --------------------------------------------------------------------------------
    async def perform(self, body: dict[str, Any], context: StepContext) -> str:
        """Write the collection; begins anew when it was interrupted."""
        record = self._reach.databases.get(str(body["database"]))
        kind, name = str(body["kind"]), str(body["name"])
        depot = self._repositories.depot(self._repositories.get(str(body["repository"])))
        prefix = prefix_of(kind, context.operation_id)
        now_us = self._management.clock.wall_us
        transfer = Transfer(
            kind=kind,
            database=record.name,
            name=name,
            repository=depot.repository.name,
            started_us=now_us(),
        )
        book = ProgressBook(self._transfers, transfer, now_us)
        self._transfers.put(transfer)
        try:
            try:
                manifest = await self._write(record, depot, book, body, prefix)
            except AWAY as error:  # a source: perhaps another copy serves
                log.warning("backup.repeated", database=record.name, why=error.message)
                await self._cleaned(record, depot, name, prefix)
                manifest = await self._write(record, depot, book, body, prefix)
        except BaseException as error:
            if not self._management.acting():
                raise  # the next active begins anew
            await clean_up(self._cleaned(record, depot, name, prefix))
            self._transfers.ended(book.transfer, *how_it_ended(error))
            raise
        self._transfers.ended(book.transfer, COMPLETED)
        size = sum(f.size for f in manifest.files)
        return f"OK ({size} bytes, epoch {manifest.epoch})"

    async def _write(
        self,
        record: DatabaseRecord,
        depot: Depot,
        book: ProgressBook,
        body: dict[str, Any],
        prefix: str,
    ) -> Manifest:
        kind, transfer = book.transfer.kind, book.transfer
        await depot.check()
        sources = await self._imaging.sources_soon(record)
        await self._jobs.stop(prefix, [s.instance for s in sources])
        parts = tuple(
            Part(instance=s.instance, element=s.element, rs=s.rs, started_us=transfer.started_us)
            for s in sources
        )
        book.transfer = msgspec.structs.replace(transfer, parts=parts)
        self._transfers.put(book.transfer)
        header = CollectionFile(
            format=collections.FORMAT,
            kind=kind,
            name=transfer.name,
            database=record.name,
            grid=self._management.models.grid.name,
            started_us=transfer.started_us,
        )
        await depot.begin(header)
        images = await self._imaging.take(record, sources, prefix, lambda key, report: None)
        make = self._exports if kind == EXPORT else self._packs
        folder = depot.repository.folder(transfer.name)
        if depot.repository.method == collections.MOUNT:
            folders = dict.fromkeys((s.rs for s in sources), folder)
            writing = Writing(prefix, folders, bool(body["packed"]), int(body["bytes_per_s"]))
            messages = await make(images, sources, writing)
            reports = await self._jobs.run(messages, book.watch)
        else:
            reports = await self._carried(record, depot, book, images, sources, body, prefix)
        manifest = self._manifest(record, header, images, reports)
        await depot.finish(manifest)
        return manifest

    async def _carried(
        self,
        record: DatabaseRecord,
        depot: Depot,
        book: ProgressBook,
        images: Images,
        sources: list[Source],
        body: dict[str, Any],
        prefix: str,
    ) -> dict[int, m.JobReport]:
        """The same by way of a folder at each instance, carried from there."""
        carrier = Carrier(self._jobs, depot, book.transfer.name)
        stores = {e.element: e.data_store for e in record.elements}
        names = {s.rs: f"{prefix}.out.{s.rs}" for s in sources}
        folders = {
            s.rs: await carrier.stage(s.instance, names[s.rs], stores[s.element]) for s in sources
        }
        make = self._exports if book.transfer.kind == EXPORT else self._packs
        # The speed limit holds for the way from there.
        writing = Writing(prefix, folders, bool(body["packed"]), bytes_per_s=0)
        messages = await make(images, sources, writing)
        reports = await self._jobs.run(messages, lambda key, report: None)
        rate = int(body["bytes_per_s"])
        await together(
            {
                s.rs: carrier.bring(s.instance, names[s.rs], reports[s.element].files, rate)
                for s in sources
            }
        )
        for s in sources:
            book.watch(s.element, reports[s.element])
        return reports

    async def _packs(self, images: Images, sources: list[Source], writing: Writing) -> Messages:
        return {
            s.element: (
                s.instance,
                m.PackImage(
                    f"{writing.prefix}.pack.{s.rs}",
                    images.jobs[s.rs],
                    *writing.to(s.rs),
                ),
            )
            for s in sources
        }

    async def _exports(self, images: Images, sources: list[Source], writing: Writing) -> Messages:
        committed = await self._imaging.committed(images, sources)
        first = min(s.rs for s in sources)
        return {
            s.element: (
                s.instance,
                m.ExportImage(
                    f"{writing.prefix}.export.{s.rs}",
                    images.jobs[s.rs],
                    *writing.to(s.rs),
                    tuple(txn for txn, sets in committed if s.rs in sets),
                    s.rs == first,
                ),
            )
            for s in sources
        }

    def _manifest(
        self,
        record: DatabaseRecord,
        header: CollectionFile,
        images: Images,
        reports: dict[int, m.JobReport],
    ) -> Manifest:
        ranges, versions = collections.placement(images.map, images.facts.values())
        files = [f for _, report in sorted(reports.items()) for f in report.files]
        return Manifest(
            format=collections.FORMAT,
            kind=header.kind,
            name=header.name,
            grid=header.grid,
            database=record.name,
            database_id=record.database_id,
            k=record.k,
            epoch=images.epoch,
            started_us=header.started_us,
            finished_us=self._management.clock.wall_us(),
            release=self._management.software,
            map_version=images.map.version,
            ranges=ranges,
            versions=versions,
            sets=tuple(collections.manifest_set(f) for _, f in sorted(images.facts.items())),
            files=tuple(collections.manifest_file(f) for f in files),
        )

    async def _cleaned(self, record: DatabaseRecord, depot: Depot, name: str, prefix: str) -> None:
        alive = self._reach.alive()
        await self._jobs.stop(prefix, [e.instance for e in record.elements if e.instance in alive])
        await depot.remove(name)


def install(management: Management) -> None:
    """Register the step; called once."""
    management.runner.register(ACTION, BackupService(management).perform)


# -- shared with restores.py -----------------------------------------------------------------------
async def ended(running: Running, line: str, wait_s: int | None, progress: Progress) -> schema.Done:
    """The reply at once, or after the operation has ended (0: however long that takes)."""
    if wait_s is None:
        return schema.Done(messages=(line,))
    await progress("line", line)
    try:
        async with asyncio.timeout(wait_s or None):
            record = await running.wait()
    except TimeoutError:
        raise DeadlineError(
            f"{running.record.kind} has not finished after {wait_s} s", hint="It goes on."
        ) from None
    if record.state is not State.DONE and record.error is not None:
        raise GridError.from_wire(record.error)
    return schema.Done()


async def clean_up(work: Any) -> None:
    """Do it whatever happens to who asks; its failure is only logged."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
    except Exception as error:
        log.warning("transfer.not_cleaned_up", error=str(error))


def how_it_ended(error: BaseException) -> tuple[str, str]:
    """State and message of a transfer that was not completed."""
    if isinstance(error, asyncio.CancelledError):
        return CANCELLED, "cancelled"
    return FAILED, error.message if isinstance(error, GridError) else repr(error)


def refuse_used(management: Management, repository: str, name: str) -> None:
    """Raises ModelError if an operation reads or writes this collection now."""
    for record in management.runner.list():
        for step in record.steps:
            named = (step.body.get("repository"), step.body.get("name"))
            if record.state is State.RUNNING and named == (repository, name):
                raise ModelError(
                    f"{record.kind} of {name} is still running (operation {record.id})",
                    hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
                )


def _default_name(kind: str, now_us: int) -> str:
    return LETTERS[kind] + time.strftime("%Y%m%d%H%M%S", time.localtime(now_us / 1_000_000))
