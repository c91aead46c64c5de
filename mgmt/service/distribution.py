"""dbDistribute: marks for the distribution map, the first map, and what -apply decides.

The steps of a change are in redistribution.py, the rules in mgmt/placement/changes.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mgmt.api import schema_databases as schema
from mgmt.health.rollup import ElementHealth
from mgmt.ops.operation import Step
from mgmt.ops.runner import Progress, StepContext, silent
from mgmt.placement import changes, map_builder
from mgmt.service import database_status
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord, ElementRecord
from mgmt.service.redistribution import RESYNC, drop_steps, steps_of
from protocol.clock import boottime_s
from protocol.errors import ModelError, OperationError, ParameterError, UnknownModelObjectError
from protocol.topology import DistributionMap

ALL = "all"
PASSED_OVER = ": passed over"  # the end of a line about an element that -add all leaves out
PUT_MAP = "db-put-map"  # actions of the steps
AWAIT_SETS = "db-await-sets"
SETS_TIMEOUT_S = 60.0
POLL_S = 0.1
SERVING = ("lead", "copy", "catching-up")


class DistributionService:
    """The one command, and the performers of its steps."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._reach = Reach(management)

    async def distribute(
        self, request: schema.DbDistribute, progress: Progress
    ) -> schema.DbDistributeReply:
        """dbDistribute."""
        record = self._reach.databases.get(request.name)
        if request.rows_per_s < 0:
            raise ParameterError(f"-throttle {request.rows_per_s}: rows a second, 0 for no limit")
        running = self._management.runner.running_on(record.subject)
        if running is not None and not request.list:
            raise ModelError(
                f"{running.record.kind} {record.name} is still running",
                hint="Wait for it, or stop it with ttGridAdmin operationCancel"
                f" {running.record.id}.",
            )
        if request.list:
            return schema.DbDistributeReply(elements=_rows(record), map_version=record.map_version)
        if request.reset:
            return await self._reset(record, progress)
        if request.resync:
            return await self._resync(record, progress)
        record, lines = await self._marked(record, request)
        if not request.apply:
            self._reach.databases.put(record)
            return schema.DbDistributeReply(messages=tuple(lines), map_version=record.map_version)
        for line in lines:
            if line.endswith(PASSED_OVER):
                await progress("line", line)
        done = [line for line in lines if not line.endswith(PASSED_OVER)]
        if record.map_version:
            return await self._change(record, request, done, progress)
        return await self._first(record, done, progress)

    async def _reset(self, record: DatabaseRecord, progress: Progress) -> schema.DbDistributeReply:
        """Drop the marks; a replacement that joined a replica set already leaves it again."""
        joined = [
            e.replaced_by
            for e in record.elements
            if e.replaced_by and record.element(e.replaced_by).replica_set
        ]
        kept = tuple(e.unmarked() for e in record.elements)
        record = msgspec.structs.replace(record, elements=kept)
        self._reach.databases.put(record)
        if joined:
            await self._run(record, [*drop_steps(record.name, joined)], progress)
            record = self._reach.databases.get(record.name)
        return schema.DbDistributeReply(
            messages=("Distribution map changes not yet applied are dropped",),
            map_version=record.map_version,
        )

    async def _resync(self, record: DatabaseRecord, progress: Progress) -> schema.DbDistributeReply:
        """Make what management remembers agree with the map in force, and say what was wrong."""
        before = record
        await self._run(record, [Step("Comparing with the database", RESYNC, _named(record))])
        record = self._reach.databases.get(record.name)
        was = {e.element: e for e in before.elements}
        lines = [
            f"Element {e.instance}: {_word(was[e.element])} before, {_word(e)} in the database"
            for e in record.elements
            if _word(was[e.element]) != _word(e)
        ]
        if before.map_version != record.map_version:
            lines.append(f"Distribution map version {record.map_version}")
        if not lines:
            lines.append("Distribution map is in step")
        return schema.DbDistributeReply(messages=tuple(lines), map_version=record.map_version)

    # -- marks -----------------------------------------------------------------------------------
    async def _marked(
        self, record: DatabaseRecord, request: schema.DbDistribute
    ) -> tuple[DatabaseRecord, list[str]]:
        """The record with the marks, not stored yet; one line per element."""
        lines: list[str] = []
        if request.add:
            record, lines = await self._add(record, request)
        for going, evict in ((request.remove, False), (request.evict, True)):
            for one in going:
                record = self._mark_going(record, one, evict, lines)
        return record, lines

    def _mark_going(
        self, record: DatabaseRecord, one: schema.Going, evict: bool, lines: list[str]
    ) -> DatabaseRecord:
        replace, successor = msgspec.structs.replace, 0
        chosen = _chosen(record, (one.place,))
        verb = "evicted" if evict else "removed"
        if one.replace_with:
            successors = _chosen(record, (one.replace_with,))
            if len(chosen) != 1 or len(successors) != 1:
                raise ModelError(
                    f"{one.place} and {one.replace_with}: one element is replaced by one other",
                    hint="Name instances instead of hosts: host3.instance1",
                )
            new = successors[0]
            if new.element == chosen[0].element:
                raise ModelError(f"{new.instance} cannot replace itself")
            _refuse_gone(record, new)
            changes.check_group(chosen[0].place(), new.place())
            successor = new.element
            record = record.with_element(replace(new, add_next=True))
            verb += f" and replaced by {new.instance}"
        for element in chosen:
            if not element.replica_set:
                raise ModelError(f"{element.instance} is not in the distribution map")
            marked = replace(
                element, remove_next=not evict, evict_next=evict, replaced_by=successor
            )
            record = record.with_element(marked)
            lines.append(f"Element {element.instance} is {verb}")
        return record

    async def _add(
        self, record: DatabaseRecord, request: schema.DbDistribute
    ) -> tuple[DatabaseRecord, list[str]]:
        everything = any(place.lower() == ALL for place in request.add)
        if everything and not request.apply:
            raise ModelError(
                "-add all needs -apply in the same command",
                hint=f"ttGridAdmin dbDistribute {record.name} -add all -apply",
            )
        outside = [e for e in record.elements if not e.replica_set and not e.gone]
        chosen = outside if everything else _chosen(record, request.add)
        health = await database_status.health_of(self._management, self._reach, [record])
        there = {h.element: h for h in health[record.name]}
        lines = []
        for element in chosen:
            _refuse_gone(record, element)
            if not there[element.element].created:
                if everything:
                    lines.append(f"Element {element.instance} is not created{PASSED_OVER}")
                    continue
                raise ModelError(
                    f"the element at {element.instance} is not created",
                    hint=f"ttGridAdmin dbStatus {record.name} -element shows all elements.",
                )
            if element.replica_set:
                raise ModelError(f"{element.instance} is in the distribution map already")
            record = record.with_element(msgspec.structs.replace(element, add_next=True))
            lines.append(f"Element {element.instance} is added")
        return record, lines

    # -- applying --------------------------------------------------------------------------------
    async def _change(
        self,
        record: DatabaseRecord,
        request: schema.DbDistribute,
        lines: list[str],
        progress: Progress,
    ) -> schema.DbDistributeReply:
        """Change the map that is in force; lines: what to say once it is clear that it can be."""
        current = self._reach.map_in_force(record.name)
        if current is None or not current.ranges:
            raise OperationError(
                f"the distribution map of {record.name} is not in membership",
                hint="See that the membership servers run, then repeat the command.",
            )
        plan = changes.plan(
            current,
            _marks(record),
            await self._facts(record),
            first_number=record.first_free_set,
            force=request.force,
        )
        if plan.is_empty:
            raise ModelError(
                "no element is marked for a change of the distribution map",
                hint=f"ttGridAdmin dbDistribute {record.name} -add, -remove or -evict HOST",
            )
        await _say(lines, progress)
        elements = tuple(
            msgspec.structs.replace(e, in_previous=e.replica_set > 0) for e in record.elements
        )
        numbers = [record.first_free_set, *(new.replica_set + 1 for new in plan.new_sets)]
        record = msgspec.structs.replace(record, elements=elements, next_replica_set=max(numbers))
        self._reach.databases.put(record)
        members = {
            number: [place.element for place in places]
            for number, places in current.replica_sets().items()
        }
        steps = steps_of(record.name, plan, members, request.rows_per_s)
        await self._run(record, steps, progress)
        record = self._reach.databases.get(record.name)
        return schema.DbDistributeReply(
            messages=("Distribution map updated",), map_version=record.map_version
        )

    async def _facts(self, record: DatabaseRecord) -> changes.Facts:
        health = await database_status.health_of(self._management, self._reach, [record])
        found = health[record.name]
        serving = {e.element for e in found if e.report is not None and e.report.role in SERVING}
        return changes.Facts(
            loaded=frozenset(e.element for e in found if e.loaded),
            dead=frozenset(e.element for e in found if e.element not in serving),
            led=frozenset(
                e.replica_set for e in found if e.report is not None and e.report.role == "lead"
            ),
        )

    async def _run(
        self, record: DatabaseRecord, steps: list[Step], progress: Progress = silent
    ) -> None:
        await self._management.runner.run("dbDistribute", record.subject, steps, progress)

    async def _first(
        self, record: DatabaseRecord, lines: list[str], progress: Progress
    ) -> schema.DbDistributeReply:
        """The first map."""
        added = frozenset(e.element for e in record.elements if e.add_next)
        new = map_builder.first(
            map_builder.without_ranges(record.name, record.k, record.places()), added
        )
        await self._check_loaded(record, added)
        await _say(lines, progress)
        self._reach.databases.put(record)
        await self._run(
            record,
            [
                Step("Updating the distribution map", PUT_MAP, {"map": new.encode().decode()}),
                Step("Waiting for the replica sets", AWAIT_SETS, {"name": record.name}),
            ],
        )
        return schema.DbDistributeReply(
            messages=("Distribution map updated",), map_version=new.version
        )

    async def _check_loaded(self, record: DatabaseRecord, added: frozenset[int]) -> None:
        health = await database_status.health_of(self._management, self._reach, [record])
        waiting = [h for h in health[record.name] if h.element in added and not h.loaded]
        if waiting:
            listed = ", ".join(f"{h.instance} ({h.state})" for h in waiting)
            raise ModelError(
                f"all elements to be added must be loaded: {listed}",
                hint=f"ttGridAdmin dbStatus {record.name} -element shows all elements.",
            )

    # -- performers ------------------------------------------------------------------------------
    async def perform_put_map(self, body: dict[str, Any], context: StepContext) -> str:
        """Put the map in force, then remember who is where."""
        new = DistributionMap.decode(str(body["map"]).encode())
        await self._reach.put_map(new)
        record = self._reach.databases.get(new.database)
        sets = {place.element: place.replica_set for place in new.elements}
        elements = tuple(
            msgspec.structs.replace(e, replica_set=sets.get(e.element, 0), add_next=False)
            for e in record.elements
        )
        record = msgspec.structs.replace(record, elements=elements, map_version=new.version)
        record = msgspec.structs.replace(record, next_replica_set=record.first_free_set)
        self._reach.databases.put(record)
        return "OK"

    async def perform_await_sets(self, body: dict[str, Any], context: StepContext) -> str:
        """Until every replica set has a lead and all its reachable copies are loaded."""
        deadline_s = boottime_s() + SETS_TIMEOUT_S
        while True:
            record = self._reach.databases.get(str(body["name"]))
            health = await database_status.health_of(self._management, self._reach, [record])
            missing = sets_not_ready(health[record.name])
            if not missing:
                return "OK"
            if boottime_s() > deadline_s:
                raise OperationError(
                    f"the map is in force, but replica sets {missing} do not serve yet",
                    hint=f"ttGridAdmin dbStatus {record.name} -details shows their elements.",
                )
            await asyncio.sleep(POLL_S)


def sets_not_ready(elements: list[ElementHealth]) -> list[int]:
    """Replica sets without lead or with a reachable element that is not loaded. Pure."""
    members = [e for e in elements if e.replica_set]
    led = {e.replica_set for e in members if e.report is not None and e.report.role == "lead"}
    busy = {e.replica_set for e in members if e.reachable and (not e.loaded or _unaware(e))}
    return sorted(({e.replica_set for e in members} - led) | busy)


async def _say(lines: list[str], progress: Progress) -> None:
    for line in lines:
        await progress("line", line)


def _unaware(element: ElementHealth) -> bool:
    """It has not seen the map yet."""
    return element.report is None or element.report.replica_set != element.replica_set


def _chosen(record: DatabaseRecord, places: tuple[str, ...]) -> list[ElementRecord]:
    chosen: dict[int, ElementRecord] = {}
    for place in places:
        found = [e for e in record.elements if place in (e.instance, e.host)]
        if not found:
            raise UnknownModelObjectError(
                f"database {record.name} has no element at {place}",
                hint=f"ttGridAdmin dbDistribute {record.name} -list shows the elements.",
            )
        chosen.update({e.element: e for e in found})
    return list(chosen.values())


def _rows(record: DatabaseRecord) -> tuple[schema.DistributionRow, ...]:
    return tuple(
        schema.DistributionRow(
            host=e.host,
            instance=e.instance.partition(".")[2],
            element=e.element,
            data_space=e.data_space,
            replica_set=e.replica_set,
            change=_change(record, e),
        )
        for e in record.elements
    )


def _change(record: DatabaseRecord, element: ElementRecord) -> str:
    """What is pending, or what became of it."""
    if element.goes:
        word = "Evict" if element.evict_next else "Remove"
        if element.replaced_by:
            word += f" (replaced by {record.element(element.replaced_by).instance})"
        return word
    if element.add_next:
        return "Add"
    return element.gone.capitalize()


def _word(element: ElementRecord) -> str:
    """Where an element is, for people."""
    if element.replica_set:
        return f"replica set {element.replica_set}"
    return element.gone or "not in the map"


def _marks(record: DatabaseRecord) -> list[changes.Mark]:
    return [
        changes.Mark(
            element=e.element,
            add=e.add_next,
            remove=e.remove_next,
            evict=e.evict_next,
            successor=e.replaced_by,
        )
        for e in record.elements
        if e.is_marked
    ]


def _named(record: DatabaseRecord) -> dict[str, object]:
    return {"name": record.name}


def _refuse_gone(record: DatabaseRecord, element: ElementRecord) -> None:
    if element.gone:
        raise ModelError(
            f"the element at {element.instance} was {element.gone}: its files are old",
            hint=f"Destroy it first: ttGridAdmin dbDestroy {record.name} -instance"
            f" {element.instance}; a new, empty element is then made there by itself.",
        )


def install(management: Management) -> None:
    """Register the steps; called once."""
    service = DistributionService(management)
    management.runner.register(PUT_MAP, service.perform_put_map)
    management.runner.register(AWAIT_SETS, service.perform_await_sets)
