"""dbRestore and dbImport: a database made of a backup (as it was) or an export (any topology).

Both make a new database: its elements are created empty and not loaded, their files are replaced by
what the repository holds, and only then replica sets and map are put in force. Whatever fails
before: the new database is destroyed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog

from membership.port import SetState
from mgmt.api import schema
from mgmt.api import schema_backups as requests
from mgmt.model import attributes
from mgmt.model.collections import BACKUP, EXPORT, MOUNT, Manifest, Repository
from mgmt.ops.operation import Record, Step
from mgmt.ops.runner import Progress, StepContext
from mgmt.placement import map_builder, replica_sets
from mgmt.service import databases
from mgmt.service.backups import ProgressBook, clean_up, ended, how_it_ended
from mgmt.service.carrying import Carrier
from mgmt.service.context import Management
from mgmt.service.data_jobs import DataJobs, together
from mgmt.service.database_reach import Reach, with_missing_elements
from mgmt.service.database_records import DatabaseRecord, ElementRecord, new_database_id
from mgmt.service.imaging import prefix_of
from mgmt.service.repositories import Repositories
from mgmt.service.transfers import COMPLETED, Part, Transfer, Transfers
from protocol.errors import GridError, MembershipLostError, ModelError, ParameterError
from protocol.messages import backup as m
from protocol.messages.admin import INTENT_CREATED, INTENT_DESTROYED, INTENT_LOADED, INTENT_OPEN
from protocol.topology import BucketRange, DistributionMap, ElementPlace

log = structlog.get_logger(__name__)

MAKE = "db-make-for-restore"  # actions of the steps
FILL = "db-fill-elements"
RESTORE, IMPORT = "restore", "import"
COMMANDS = {RESTORE: "dbRestore", IMPORT: "dbImport"}


class RestoreService:
    """The two commands."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._repositories = Repositories(management)
        self._transfers = Transfers(management)
        self._jobs = DataJobs(management)
        self._reach = Reach(management)

    # -- commands --------------------------------------------------------------------------------
    async def restore(self, request: requests.DbRestore, progress: Progress) -> schema.Done:
        """dbRestore: the database must not exist."""
        definition = databases.definition_in_force(self._management, request.name)
        if self._reach.databases.find(definition.name) is not None:
            raise ModelError(
                f"database {definition.name} exists already",
                hint="Destroy it first (dbClose, dbUnload, dbDestroy), or restore under the name of"
                " another database definition.",
            )
        manifest = await self._manifest(request.repository, request.backup, BACKUP)
        able = self._sets_possible()
        if able < len(manifest.sets):
            raise ModelError(
                f"backup {manifest.name} has {len(manifest.sets)} replica sets, this grid can form"
                f" {able}",
                hint="A backup is restored into at least as many. Into fewer: dbExport, dbImport.",
            )
        return await self._begin(RESTORE, definition.name, manifest, request, progress)

    async def import_(self, request: requests.DbImport, progress: Progress) -> schema.Done:
        """dbImport: the database must not exist, or be empty and closed."""
        if not 0 <= request.threads <= 32:
            raise ParameterError(f"-numThreads {request.threads}: 1 to 32")
        if request.error_tolerance:
            raise ParameterError(
                f"-errorTolerance {request.error_tolerance} is not supported: no row is left out",
                hint="The rows of an export fit its tables. One that does not means damage: the"
                " import ends, and nothing of the database stays.",
            )
        if request.batch_size < 1:
            raise ParameterError(f"-batchSize {request.batch_size}: at least 1")
        definition = databases.definition_in_force(self._management, request.name)
        record = self._reach.databases.find(definition.name)
        manifest = await self._manifest(request.repository, request.export, EXPORT)
        if record is not None:
            await self._check_empty(record)
        elif not self._sets_possible():
            raise ModelError("the grid cannot form a replica set")
        return await self._begin(IMPORT, definition.name, manifest, request, progress)

    async def _manifest(self, repository: str, name: str, kind: str) -> Manifest:
        depot = self._repositories.depot(self._repositories.get(repository))
        await depot.check()
        return await depot.manifest(name, kind)

    def _sets_possible(self) -> int:
        grid, model = self._management.models.grid, self._management.models.current()
        groups = [0] * grid.k
        for instance in model.instances_of("data"):
            host = model.host(instance.host)
            if host is not None and 0 < host.data_space_group <= grid.k:
                groups[host.data_space_group - 1] += 1
        return min(groups)

    async def _check_empty(self, record: DatabaseRecord) -> None:
        if record.intent == INTENT_OPEN:
            raise ModelError(
                f"database {record.name} is open",
                hint=f"Close it first: ttGridAdmin dbClose {record.name}",
            )
        if record.intent != INTENT_LOADED:
            raise ModelError(
                f"database {record.name} is not loaded",
                hint=f"Load it first: ttGridAdmin dbLoad {record.name}",
            )
        alive = self._reach.alive()
        there = [e for e in record.elements if e.instance in alive and e.created]
        mapped = [e for e in there if e.replica_set] or there
        if not mapped:
            raise ModelError(f"no element of database {record.name} answers")
        message = m.AskContent(record.name, record.database_id)
        content: m.Content = await self._jobs.call(mapped[0].instance, message)
        names = (*content.relations, *content.users)
        if names:
            raise ModelError(
                f"database {record.name} is not empty: it has {', '.join(names)}",
                hint="Import into a new database: destroy this one, or use another name.",
            )

    async def _begin(
        self,
        kind: str,
        name: str,
        manifest: Manifest,
        request: requests.DbRestore | requests.DbImport,
        progress: Progress,
    ) -> schema.Done:
        definition = databases.definition_in_force(self._management, name)
        attributes.check_database(
            definition.attributes, name=name, k=self._management.models.grid.k
        )
        others = [r for r in self._reach.databases.all() if r.name != definition.name]
        databases.refuse_shared_folders(self._management, definition, others)
        body: dict[str, object] = {
            "kind": kind,
            "database": name,
            "database_id": new_database_id(),
            "repository": self._repositories.get(request.repository).name,
            "name": manifest.name,
        }
        if isinstance(request, requests.DbImport):
            body |= {"at_once": request.threads, "batch_rows": request.batch_size}
        title = f"{'Restoring' if kind == RESTORE else 'Importing'} {manifest.name}"
        steps = [
            Step("Making the database", MAKE, body),
            _elements("Creating elements", name, "create"),
            Step(title, FILL, body),
        ]
        if kind == IMPORT:
            steps.append(
                Step("Making loaded known", databases.INTENT, {"name": name, "intent": "loaded"})
            )
            steps.append(_elements("Loading elements", name, "load"))
        command = COMMANDS[kind]
        running = self._management.runner.start(command, f"database {name}", steps)
        return await ended(running, f"{command} {manifest.name} started", request.wait_s, progress)

    # -- steps -----------------------------------------------------------------------------------
    async def perform_make(self, body: dict[str, Any], context: StepContext) -> str:
        """Remember the new database, not loaded; an empty one of that name goes first."""
        name, database_id = str(body["database"]), str(body["database_id"])
        record = self._reach.databases.find(name)
        mapped: frozenset[str] = frozenset()
        if record is not None and record.database_id != database_id:
            mapped = frozenset(e.instance for e in record.elements if e.replica_set)
            await self._remove(record)
            record = None
        if record is None:
            definition = databases.definition_in_force(self._management, name)
            made = DatabaseRecord(
                name=definition.name,
                database_id=database_id,
                dbdef_guid=definition.guid,
                k=self._management.models.grid.k,
                attributes=definition.attributes,
                intent=INTENT_CREATED,
                created_us=self._management.clock.wall_us(),
            )
            made = with_missing_elements(
                made,
                self._management.models.current(),
                self._management.transports.same_machine,
            )
            marked = tuple(
                msgspec.structs.replace(e, add_next=not mapped or e.instance in mapped)
                for e in made.elements
            )
            self._reach.databases.put(msgspec.structs.replace(made, elements=marked))
        await self._reach.set_intent(name, INTENT_CREATED)
        return "OK"

    async def _remove(self, record: DatabaseRecord) -> None:
        await self._reach.set_intent(record.name, INTENT_DESTROYED)
        elements = [e.element for e in record.elements]
        for verb in ("close", "unload", "destroy"):
            await self._reach.command(record, verb, elements)
        await self._reach.forget(record.name)

    async def perform_fill(self, body: dict[str, Any], context: StepContext) -> str:
        """Replace the files of all elements, then put replica sets and map in force."""
        kind, name = str(body["kind"]), str(body["database"])
        record = self._reach.databases.get(name)
        prefix = prefix_of(kind, context.operation_id)
        now_us = self._management.clock.wall_us
        transfer = Transfer(
            kind=kind,
            database=record.name,
            name=str(body["name"]),
            repository=str(body["repository"]),
            started_us=now_us(),
        )
        self._transfers.put(transfer)
        book = ProgressBook(self._transfers, transfer, now_us)
        instances = [e.instance for e in record.elements if e.instance in self._reach.alive()]
        try:
            await self._jobs.stop(prefix, instances)
            new = await self._fill(record, book, prefix, body)
            await self._put_in_force(record, new, book.transfer)
        except BaseException as error:
            if not self._management.acting():
                raise  # the next active begins anew
            await clean_up(self._jobs.stop(prefix, instances))
            self._transfers.ended(book.transfer, *how_it_ended(error))
            if isinstance(error, GridError):  # else `failed` sees to it, or the step begins anew
                await clean_up(self._remove(self._reach.databases.get(name)))
            raise
        await clean_up(self._jobs.stop(prefix, instances))  # what was carried there
        self._transfers.ended(book.transfer, COMPLETED)
        return "OK"

    async def _fill(
        self, record: DatabaseRecord, book: ProgressBook, prefix: str, body: dict[str, Any]
    ) -> tuple[DistributionMap, dict[int, m.SetFacts]]:
        transfer = book.transfer
        kind = BACKUP if transfer.kind == RESTORE else EXPORT
        repository = self._repositories.get(transfer.repository)
        manifest = await self._manifest(repository.name, transfer.name, kind)
        map_ = map_for(record, manifest)
        alive = self._reach.alive()
        places = [p for p in map_.elements if p.replica_set and p.instance in alive]
        empty = set(map_.replica_sets()) - {p.replica_set for p in places}
        if empty:
            raise ModelError(f"no element of replica set {min(empty)} answers")
        book.transfer = msgspec.structs.replace(
            transfer,
            parts=tuple(
                Part(
                    instance=p.instance,
                    element=p.element,
                    rs=p.replica_set,
                    started_us=transfer.started_us,
                )
                for p in places
            ),
        )
        self._transfers.put(book.transfer)
        folders = dict.fromkeys((p.element for p in places), repository.folder(manifest.name))
        if repository.method != MOUNT:
            folders = await self._fetched(record, places, manifest, repository, prefix)
        messages = {
            p.element: (p.instance, _message(record, p, map_, manifest, folders, prefix))
            for p in places
        }
        if "batch_rows" in body:
            messages = {
                e: (i, msgspec.structs.replace(message, batch_rows=int(body["batch_rows"])))
                for e, (i, message) in messages.items()
            }
        reports = await self._jobs.run(messages, book.watch, int(body.get("at_once", 0)))
        return map_, {e: report.facts for e, report in reports.items() if report.facts}

    async def _fetched(
        self,
        record: DatabaseRecord,
        places: Sequence[ElementPlace],
        manifest: Manifest,
        repository: Repository,
        prefix: str,
    ) -> dict[int, str]:
        """Carry what each element needs to a folder beside it."""
        carrier = Carrier(self._jobs, self._repositories.depot(repository), manifest.name)
        stores = {e.element: e.data_store for e in record.elements}

        async def one(place: ElementPlace) -> str:
            job = f"{prefix}.in.{place.element}"
            folder = await carrier.stage(place.instance, job, stores[place.element])
            wanted = [
                f.facts()
                for f in manifest.files
                if manifest.kind == EXPORT or f.path.startswith(f"RS{place.replica_set}/")
            ]
            await carrier.fetch(place.instance, job, wanted)
            return folder

        return await together({p.element: one(p) for p in places})

    async def _put_in_force(
        self,
        record: DatabaseRecord,
        made: tuple[DistributionMap, dict[int, m.SetFacts]],
        transfer: Transfer,
    ) -> None:
        """The filled elements are in sync: whoever of them comes first after loading leads."""
        map_, facts = made
        membership = self._management.membership
        if membership is None:
            raise MembershipLostError("this management instance has no session with membership")
        await self._management.secured()
        for rs, places in map_.replica_sets().items():
            filled = {p.element: facts[p.element] for p in places if p.element in facts}
            tails = {(f.term, f.lsn) for f in filled.values()}
            assert len(tails) == 1, tails
            state = SetState(
                term=max(1, max(tails)[0]),
                lead=0,
                lead_incarnation="",
                in_sync=tuple(sorted(filled)),
                writer=f"{transfer.kind} {record.database_id}",
                counter=1,
            )
            found = await membership.create_set(record.name, rs, state)
            if found != state:
                await membership.compare_and_set(record.name, rs, found, state)
        await self._reach.put_map(map_)
        sets = {p.element: p.replica_set for p in map_.elements}
        elements = tuple(
            msgspec.structs.replace(e, replica_set=sets[e.element], add_next=False)
            for e in self._reach.databases.get(record.name).elements
        )
        self._reach.databases.put(
            msgspec.structs.replace(
                self._reach.databases.get(record.name),
                elements=elements,
                map_version=map_.version,
            )
        )

    def failed(self, operation: Record) -> None:
        """Nothing half made stays: the sweeper destroys what there is."""
        body = operation.steps[0].body
        record = self._reach.databases.find(str(body["database"]))
        if record is None or record.database_id != body["database_id"] or record.map_version:
            return
        self._reach.databases.put(msgspec.structs.replace(record, intent=INTENT_DESTROYED))


def map_for(record: DatabaseRecord, manifest: Manifest) -> DistributionMap:
    """Where everything goes. Raises ModelError.

    A backup keeps its replica sets' numbers and buckets: the log speaks of them. An export is
    spread evenly over all the elements marked for it. Pure.
    """
    marked = [e for e in record.elements if e.add_next or e.replica_set]
    groups: dict[int, list[ElementRecord]] = {n: [] for n in range(1, record.k + 1)}
    for element in sorted(marked, key=lambda e: e.element):
        groups[element.data_space].append(element)
    possible = min(len(elements) for elements in groups.values())
    wanted = len(manifest.sets) if manifest.kind == BACKUP else possible
    if not 0 < wanted <= possible:
        raise ModelError(f"{wanted} replica sets are needed, the grid can form {possible}")
    chosen = [
        ElementPlace(e.element, e.instance, 0, e.data_space)
        for elements in groups.values()
        for e in elements[:wanted]
    ]
    placed = replica_sets.form(chosen, k=record.k)
    numbers: Sequence[int] = range(1, wanted + 1)
    if manifest.kind == BACKUP:
        numbers = sorted(s.rs for s in manifest.sets)
    places = {
        p.element: msgspec.structs.replace(p, replica_set=numbers[p.replica_set - 1])
        for p in placed
    }
    is_backup = manifest.kind == BACKUP
    return DistributionMap(
        database=record.name,
        version=max(1, manifest.map_version) if is_backup else 1,
        k=record.k,
        elements=tuple(
            places.get(e.element, ElementPlace(e.element, e.instance, 0, e.data_space))
            for e in sorted(record.elements, key=lambda e: e.element)
        ),
        ranges=manifest.ranges if is_backup else map_builder.even_ranges(numbers),
        versions=manifest.versions if is_backup else (),
    )


def _message(
    record: DatabaseRecord,
    place: ElementPlace,
    map_: DistributionMap,
    manifest: Manifest,
    folders: Mapping[int, str],
    prefix: str,
) -> m.RestoreElement | m.ImportElement:
    element = next(e for e in record.elements if e.element == place.element)
    spec, job = record.spec(element), f"{prefix}.{place.element}"
    folder = folders[place.element]
    if manifest.kind == BACKUP:
        file = manifest.file(next(
            f.path for f in manifest.files if f.path.startswith(f"RS{place.replica_set}/")
        )).facts()  # fmt: skip
        return m.RestoreElement(job, spec, place.replica_set, manifest.database_id, folder, file)
    catalog = next(f.facts() for f in manifest.files if not f.table)
    files = tuple(f.facts() for f in manifest.files if f.table)
    return m.ImportElement(
        job,
        spec,
        place.replica_set,
        folder,
        catalog,
        files,
        _buckets(map_.ranges, place.replica_set),
        manifest.epoch + 1,
    )


def _buckets(ranges: Sequence[BucketRange], rs: int) -> tuple[tuple[int, int], ...]:
    return tuple((r.first, r.last) for r in ranges if r.replica_set == rs)


def _elements(title: str, name: str, verb: str) -> Step:
    return Step(title, databases.COMMAND, {"name": name, "verb": verb, "elements": []})


def install(management: Management) -> None:
    """Register the steps; called once."""
    service = RestoreService(management)
    management.runner.register(MAKE, service.perform_make)
    management.runner.register(FILL, service.perform_fill)
    for command in COMMANDS.values():
        management.runner.on_failure(command, service.failed)
