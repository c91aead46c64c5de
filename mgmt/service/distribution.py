"""dbDistribute: marks for the distribution map, and the first map."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mgmt.api import schema_databases as schema
from mgmt.health.rollup import ElementHealth
from mgmt.ops.operation import Step
from mgmt.ops.runner import Progress, StepContext
from mgmt.placement import map_builder
from mgmt.service import database_status
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord, ElementRecord
from protocol.clock import boottime_s
from protocol.errors import ModelError, NotSupportedError, OperationError, UnknownModelObjectError
from protocol.topology import DistributionMap

ALL = "all"
PUT_MAP = "db-put-map"  # actions of the steps
AWAIT_SETS = "db-await-sets"
SETS_TIMEOUT_S = 60.0
POLL_S = 0.1


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
        running = self._management.runner.running_on(record.subject)
        if running is not None and not request.list:
            raise ModelError(
                f"{running.record.kind} {record.name} is still running",
                hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
            )
        if request.list:
            return schema.DbDistributeReply(elements=_rows(record), map_version=record.map_version)
        if request.reset:
            return self._reset(record)
        lines: list[str] = []
        if request.add:
            record, lines = await self._add(record, request)
        if not request.apply:
            self._reach.databases.put(record)
            return schema.DbDistributeReply(messages=tuple(lines), map_version=record.map_version)
        for line in lines:
            await progress("line", line)
        return await self._apply(record)

    def _reset(self, record: DatabaseRecord) -> schema.DbDistributeReply:
        kept = tuple(msgspec.structs.replace(e, add_next=False) for e in record.elements)
        self._reach.databases.put(msgspec.structs.replace(record, elements=kept))
        return schema.DbDistributeReply(
            messages=("Distribution map changes not yet applied are dropped",),
            map_version=record.map_version,
        )

    async def _add(
        self, record: DatabaseRecord, request: schema.DbDistribute
    ) -> tuple[DatabaseRecord, list[str]]:
        """The record with the marks, not stored yet; one line per element."""
        everything = any(place.lower() == ALL for place in request.add)
        if everything and not request.apply:
            raise ModelError(
                "-add all needs -apply in the same command",
                hint=f"ttGridAdmin dbDistribute {record.name} -add all -apply",
            )
        outside = [e for e in record.elements if not e.replica_set]
        chosen = outside if everything else _chosen(record, request.add)
        health = await database_status.health_of(self._management, self._reach, [record])
        there = {h.element: h for h in health[record.name]}
        lines = []
        for element in chosen:
            if not there[element.element].created:
                if everything:
                    lines.append(f"Element {element.instance} is not created: passed over")
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

    async def _apply(self, record: DatabaseRecord) -> schema.DbDistributeReply:
        if record.map_version:
            raise NotSupportedError(
                f"database {record.name} has a distribution map: changing it comes with"
                " redistribution, which this release does not have yet"
            )
        added = frozenset(e.element for e in record.elements if e.add_next)
        new = map_builder.first(
            map_builder.without_ranges(record.name, record.k, record.places()), added
        )
        await self._check_loaded(record, added)
        self._reach.databases.put(record)
        await self._management.runner.run(
            "dbDistribute",
            record.subject,
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
        self._reach.databases.put(
            msgspec.structs.replace(record, elements=elements, map_version=new.version)
        )
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
            change="Add" if e.add_next else "",
        )
        for e in record.elements
    )


def install(management: Management) -> None:
    """Register the steps; called once."""
    service = DistributionService(management)
    management.runner.register(PUT_MAP, service.perform_put_map)
    management.runner.register(AWAIT_SETS, service.perform_await_sets)
