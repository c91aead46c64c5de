"""Watches the grid: the picture that the console and gridWatch show, and what happens.

Membership's changes are pushed and cost nothing to follow. Data instances are asked once a second
while somebody looks, else every IDLE_S, and only by the active management instance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from membership.port import ClusterView
from mgmt.api import schema
from mgmt.api.schema_picture import (
    DatabasePicture,
    EventList,
    EventListReply,
    GridPicture,
    InstancePicture,
    Picture,
    ServerPicture,
)
from mgmt.ha.role import Role
from mgmt.health import happenings
from mgmt.health import picture as pictures
from mgmt.health.happenings import FAULT, GOOD, INFO, WARNING, Happening
from mgmt.health.servers import ServerWatch
from mgmt.model.types import Model
from mgmt.ops.operation import Record, State
from mgmt.ops.runner import Progress
from mgmt.service import database_status
from mgmt.service import management as management_status
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord, ElementRecord
from mgmt.service.event_log import FILE, EventLog
from protocol.clock import boottime_s, wall_us
from protocol.errors import GridError, NotActiveManagementError, ParameterError
from protocol.messages.admin import InstanceReport, InstanceStatus
from protocol.messages.views import AskViews, ViewsTold
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)
LOOK_S = 1.0
IDLE_S = 10.0  # nobody looks: the states of elements are followed all the same
WATCHED_S = 5.0  # so long after the last look somebody still looks
ANSWER_TIMEOUT_S = 0.8  # a paused instance must not hold up the picture
STATUS_S = 3.0  # so old may what is known of the other management instance be
_FIGURES = ("v$systemstats",)
_ENDED = {State.DONE: GOOD, State.FAILED: FAULT, State.CANCELLED: WARNING}


class Watcher:
    """One per management instance."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._reach = Reach(management)
        self.events = EventLog(management.settings.path(FILE))
        self._view = ClusterView()
        self._picture: Picture | None = None
        self._picture_s = -1e9
        self._looked_s = -1e9
        self._wake = asyncio.Event()
        self._collecting: asyncio.Task[Picture] | None = None
        self._rows: tuple[schema.MgmtRow, ...] = ()
        self._rows_s = -1e9
        self._servers = ServerWatch()
        self._maps: dict[str, tuple[int, DistributionMap, dict[int, int]]] = {}
        self._told: dict[int, tuple[State, int]] = {}  # operation → what was last told of it
        management.runner.watch = self.operation_changed
        management.models.watch = self.model_changed
        management.while_active.append(self._run)

    # -- what others ask -------------------------------------------------------------------------
    async def look(self) -> Picture:
        """The picture, at most LOOK_S old. Raises NotActiveManagementError."""
        self._looked_s = boottime_s()
        self._wake.set()
        if self._picture is not None and boottime_s() - self._picture_s < LOOK_S * 0.9:
            return self._picture
        if self._collecting is None or self._collecting.done():
            self._collecting = asyncio.create_task(self._collect(), name="picture")
        return await asyncio.shield(self._collecting)

    async def answer_picture(self, request: GridPicture, progress: Progress) -> Picture:
        """grids/picture."""
        return await self.look()

    async def answer_events(self, request: EventList, progress: Progress) -> EventListReply:
        """grids/events."""
        if request.limit < 1:
            raise ParameterError(f"limit {request.limit}: at least 1")
        found = self.events.after(request.since, request.limit)
        return EventListReply(events=found, last=self.events.last)

    def check_active(self) -> None:
        """Raises NotActiveManagementError unless this is the active instance."""
        keeper = self._management.keeper
        if keeper is None or self._management.membership is None:
            raise NotActiveManagementError("no session with the membership servers")
        keeper.check_active()

    # -- what happens ------------------------------------------------------------------------------
    def view_changed(self, view: ClusterView) -> None:
        """Membership has a newer view."""
        before, self._view = self._view, view
        names = self._names() if before.sets != view.sets else {}
        self.events.add(happenings.between_views(before, view, names))
        if boottime_s() - self._looked_s < WATCHED_S:
            self._picture_s = -1e9  # whoever looks sees it at once
            self._wake.set()

    def operation_changed(self, record: Record) -> None:
        """The journal was written."""
        told = (record.state, record.at)
        if self._told.get(record.id) == told:
            return
        is_new = record.id not in self._told
        self._told[record.id] = told
        name = f"{record.kind} {record.subject}".rstrip()
        steps = len(record.steps)
        if record.state is not State.RUNNING:
            del self._told[record.id]
            text = f"{name}: {record.state}"
            if record.error is not None and record.state is not State.DONE:
                text += f": {record.error[1]}"
            severity = _ENDED[record.state]
        elif is_new and record.at == 0:
            text = f"{name} began" + (f", asked for by {record.by}" if record.by else "")
            severity = INFO
        else:
            at = min(record.at, steps - 1)
            text = f"{name}: step {at + 1} of {steps}: {record.steps[at].title}"
            severity = INFO
        subject = record.subject or record.kind
        happening = Happening(kind="operation", severity=severity, subject=subject, text=text)
        self.events.add([happening], operation=record.id)

    def model_changed(self, lines: tuple[str, ...]) -> None:
        """The latest version of the model was edited."""
        text = lines[0] if lines else "the latest model was changed"
        self.events.add([Happening(kind="model", severity=INFO, subject="model", text=text)])

    def _names(self) -> dict[tuple[str, int], str]:
        databases = self._reach.databases.all() if self._management.models.exists else []
        return {(db.name, e.element): e.instance for db in databases for e in db.elements}

    # -- collecting --------------------------------------------------------------------------------
    async def _run(self) -> None:
        """As long as this instance is the active one."""
        self._picture = None
        while True:
            watched = boottime_s() - self._looked_s < WATCHED_S
            if not watched:
                try:
                    await self._collect()
                except GridError as error:
                    log.debug("picture.not_collected", problem=error.message)
                except Exception:
                    log.exception("picture.crashed")
            self._wake.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(WATCHED_S)

    async def _collect(self) -> Picture:
        management, began_s = self._management, boottime_s()
        self.check_active()
        assert management.membership is not None
        grid, model = management.models.grid, management.models.current()  # grid: is there one?
        records = self._reach.databases.all()
        reports, figures = await self._ask(records)
        view = management.membership.view()
        register = management.models.versions
        made = Picture(
            as_of_us=wall_us(),
            grid=grid.name,
            k=grid.k,
            warn_threshold_pct=grid.warn_threshold_pct,
            active=management.settings.name,
            model_latest=register.latest,
            model_current=register.current,
            management=await self._management_rows(),
            servers=await self._membership_servers(model),
            instances=_instances(model, view),
            databases=tuple(self._database(r, reports, figures.get(r.name, {})) for r in records),
            operations=tuple(
                row
                for row in management_status.operations(management).operations
                if row.state == State.RUNNING
            ),
            collect_ms=round((boottime_s() - began_s) * 1000, 1),
        )
        before, self._picture, self._picture_s = self._picture, made, boottime_s()
        if before is not None:
            self.events.add(happenings.between_pictures(before, made))
        return made

    async def _ask(
        self, records: list[DatabaseRecord]
    ) -> tuple[dict[str, InstanceReport], dict[str, dict[int, dict[str, int]]]]:
        """Reports by instance, and figures by database and element, of those that answer."""
        alive = self._reach.alive()
        names = sorted({e.instance for r in records for e in r.elements} & alive)
        asked: list[tuple[str, str, Any]] = [(name, "", InstanceStatus()) for name in names]
        for record in records:
            if record.intent in ("loaded", "open"):
                asked += [
                    (e.instance, record.name, AskViews(record.name, _FIGURES))
                    for e in record.elements
                    if e.instance in alive
                ]
        answers = await asyncio.gather(*(self._one(name, what) for name, _, what in asked))
        reports: dict[str, InstanceReport] = {}
        figures: dict[str, dict[int, dict[str, int]]] = {}
        for (name, db, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, InstanceReport):
                reports[name] = answer
            elif isinstance(answer, ViewsTold):
                rows = answer.rows[0] if answer.rows else ()
                figures.setdefault(db, {})[answer.element] = {r[0]: int(r[1]) for r in rows}
        return reports, figures

    async def _one(self, name: str, message: Any) -> Any:
        rpc = self._management.rpc
        assert rpc is not None
        try:
            return await rpc.peer(name).call(message, ANSWER_TIMEOUT_S)
        except (GridError, KeyError):
            return None  # it is down, or its element is not loaded

    def _database(
        self,
        record: DatabaseRecord,
        reports: dict[str, InstanceReport],
        figures: Mapping[int, Mapping[str, int]],
    ) -> DatabasePicture:
        membership = self._management.membership
        assert membership is not None
        sets = {rs: s for (db, rs), s in membership.view().sets.items() if db == record.name}
        version, buckets = self._map(record)
        known = pictures.Known(
            name=record.name,
            k=record.k,
            intent=record.intent,
            map_version=version,
            marks={e.element: mark for e in record.elements if (mark := _mark(e))},
            buckets=buckets,
            redistribution=database_status.redistribution(self._management, self._reach, record),
        )
        elements = [database_status.element_health(record, e, reports) for e in record.elements]
        return pictures.database(known, elements, sets, figures)

    def _map(self, record: DatabaseRecord) -> tuple[int, dict[int, int]]:
        """Version and buckets per replica set of the map in force, decoded once per version."""
        membership = self._management.membership
        assert membership is not None
        view = membership.view()
        raw = view.map_versions.get(record.name, 0)
        kept = self._maps.get(record.name)
        if kept is None or kept[0] != raw:
            known = self._reach.map_in_force(record.name)
            if known is None:
                return record.map_version, {}
            counts: dict[int, int] = {}
            for owner in known.bucket_table():
                counts[owner] = counts.get(owner, 0) + 1
            kept = self._maps[record.name] = (raw, known, counts)
        version = kept[1].version if record.map_version else record.map_version
        return version, kept[2]

    async def _management_rows(self) -> tuple[schema.MgmtRow, ...]:
        if boottime_s() - self._rows_s > STATUS_S:
            keeper = self._management.keeper
            role = keeper.role if keeper is not None else Role.STARTING
            reply = await management_status.status(self._management, role)
            self._rows, self._rows_s = reply.instances, boottime_s()
        return self._rows

    async def _membership_servers(self, model: Model) -> tuple[ServerPicture, ...]:
        if boottime_s() - self._looked_s < WATCHED_S:
            await self._servers.look(model.membership_servers, self._management.settings)
        return self._servers.known(model.membership_servers)


def _mark(element: ElementRecord) -> str:
    if element.gone:
        return element.gone
    if element.add_next:
        return "add"
    if element.remove_next:
        return "remove"
    return "evict" if element.evict_next else ""


def _instances(model: Model, view: ClusterView) -> tuple[InstancePicture, ...]:
    found = []
    for instance in model.instances_of("data"):
        host = model.host(instance.host)
        info = view.instances.get(instance.full_name)
        alive = info is not None and info.incarnation not in view.dead
        found.append(
            InstancePicture(
                name=instance.full_name,
                host=instance.host,
                address=host.internal_address if host else "",
                external_address=host.external_address if host else "",
                cs_port=instance.cs_port,
                data_space_group=host.data_space_group if host else 0,
                alive=alive,
                version=info.version if info is not None else "",
            )
        )
    return tuple(found)
