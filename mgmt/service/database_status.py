"""dbStatus and dbList: asks the data instances and rolls their answers up."""

from __future__ import annotations

import msgspec

from mgmt.api import schema_databases as schema
from mgmt.health import rollup
from mgmt.health.collector import collect
from mgmt.health.rollup import ElementHealth
from mgmt.model.types import Host, Instance
from mgmt.service import move_progress
from mgmt.service.certificates import cleartext_warning
from mgmt.service.connections import connections_of
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import EVICTED, DatabaseRecord, ElementRecord
from protocol.clock import boottime_s
from protocol.messages.admin import ElementReport, InstanceReport
from protocol.messages.sessions import PROXY, SYSTEM

_LOADED_WORDS = ("loaded", "loaded-complete", "loaded-functional")


async def health_of(
    management: Management, reach: Reach, records: list[DatabaseRecord]
) -> dict[str, list[ElementHealth]]:
    """The elements of each database (by name) as they are now."""
    alive = reach.alive()
    wanted = {e.instance for record in records for e in record.elements} & alive
    rpc = management.rpc
    assert rpc is not None
    reports = await collect(rpc, sorted(wanted))
    return {
        record.name: [element_health(record, e, reports) for e in record.elements]
        for record in records
    }


def element_health(
    record: DatabaseRecord, element: ElementRecord, reports: dict[str, InstanceReport]
) -> ElementHealth:
    """One element, with what its instance reports of it."""
    answer = reports.get(element.instance)
    own = None
    if answer is not None:
        own = next((r for r in answer.elements if r.database_id == record.database_id), None)
    return ElementHealth(
        element=element.element,
        instance=element.instance,
        data_space=element.data_space,
        replica_set=element.replica_set,
        was_created=element.created,
        reachable=answer is not None,
        report=own,
    )


async def status(
    management: Management, reach: Reach, request: schema.DbStatus
) -> schema.DbStatusReply:
    """dbStatus."""
    records = [reach.databases.get(request.name)] if request.name else reach.databases.all()
    health = await health_of(management, reach, records)
    databases = [_database(management, r, health[r.name], reach) for r in records]
    if request.connections:
        hidden = {kind for kind in (PROXY, SYSTEM) if not getattr(request, kind)}
        for at, record in enumerate(records):
            rows, silent = await connections_of(management, record, hidden)
            databases[at] = msgspec.structs.replace(databases[at], connections=rows, silent=silent)
    grid = management.models.grid
    return schema.DbStatusReply(
        databases=tuple(databases),
        k=grid.k,
        space_warn=grid.warn_threshold_pct,
        warning=cleartext_warning(grid.internal_encryption, grid.server_encryption),
    )


async def listed(management: Management, reach: Reach) -> schema.DbListReply:
    """dbList."""
    records = reach.databases.all()
    health = await health_of(management, reach, records)
    rows = []
    for record in records:
        words = rollup.overall(
            health[record.name], intent=record.intent, has_map=record.map_version > 0
        ).summary
        rows.append(
            schema.DbRow(
                name=record.name, loaded=words[1] in _LOADED_WORDS, opened=words[2] == "open"
            )
        )
    return schema.DbListReply(databases=tuple(rows))


def _database(
    management: Management,
    record: DatabaseRecord,
    elements: list[ElementHealth],
    reach: Reach,
) -> schema.DatabaseStatus:
    has_map = record.map_version > 0
    overall = rollup.overall(elements, intent=record.intent, has_map=has_map)
    readiness = rollup.readiness(elements)
    return schema.DatabaseStatus(
        name=record.name,
        db_guid=record.database_id,
        dbdef_guid=record.dbdef_guid,
        k=record.k,
        loaded=overall.summary[1] in _LOADED_WORDS,
        opened=overall.summary[2] == "open",
        delete_pending=record.intent == "destroyed",
        pt_version=_version(reach, record),
        as_of=management.clock.wall_us(),
        overall=overall,
        redistribution=redistribution(management, reach, record),
        load_state=rollup.load_state(elements, readiness),
        readiness=readiness,
        instances=tuple(_instance(management, record, e, reach.alive()) for e in elements),
    )


def _version(reach: Reach, record: DatabaseRecord) -> int:
    """Of the map in force; 0: none. Data instances raise it too, while buckets move."""
    known = reach.map_in_force(record.name) if record.map_version else None
    return record.map_version if known is None else known.version


def redistribution(
    management: Management, reach: Reach, record: DatabaseRecord
) -> schema.RedistributionStatus | None:
    """How far the move of buckets is; None: none moves."""
    meter, known = management.meters.get(record.name), reach.map_in_force(record.name)
    if known is None or not known.next_ranges:
        return None
    if meter is None:
        return move_progress.of_map(known)
    meter.left(known.moving()[1])
    return meter.status(boottime_s())


def _instance(
    management: Management, record: DatabaseRecord, health: ElementHealth, alive: frozenset[str]
) -> schema.InstanceOfDatabase:
    host, instance = _placed(management, health.instance)
    host_name, _, instance_name = health.instance.partition(".")
    return schema.InstanceOfDatabase(
        host_name=host_name,
        host_addr=host.internal_address if host else "",
        instance_name=instance_name,
        instance_home=instance.home if instance else "",
        instance_guid=instance.guid if instance else "",
        data_space_group=health.data_space,
        in_membership=health.instance in alive,
        reachable=health.reachable,
        opened=health.opened,
        elements=(_element(record, health),),
    )


def _placed(management: Management, full_name: str) -> tuple[Host | None, Instance | None]:
    model = management.models.current()
    instance = model.instance(full_name)
    return (model.host(instance.host) if instance else None), instance


def _element(record: DatabaseRecord, health: ElementHealth) -> schema.ElementStatus:
    own = record.element(health.element)
    state = health.state
    if own.gone == EVICTED:
        state = f"evicted ({state})" if health.loaded or state == "unloaded" else EVICTED
    report = health.report or ElementReport("", "", 0, 0, 0, "", 0, "", role="")
    return schema.ElementStatus(
        element_number=health.element,
        data_space=health.data_space,
        sync_replica_set=health.replica_set,
        state=state,
        message=report.message,
        created=health.created,
        creating=state == "creating",
        loaded=health.loaded,
        loading=state == "loading",
        opened=health.opened,
        unloaded=state in ("unloaded", "created"),
        unloading=state == "unloading",
        destroying=state == "destroying",
        in_cur_dist_map=health.replica_set > 0,
        in_prev_dist_map=own.in_previous,
        add_in_next_dist_map=own.add_next,
        remove_in_next_dist_map=own.remove_next,
        evict_in_next_dist_map=own.evict_next,
        last_change_start=health.since_us,
        role=report.role,
        term=report.term,
        lsn=report.lsn,
        connections=report.connections,
        catalog_version=report.catalog_version,
        epoch=report.epoch,
        epoch_done=report.epoch_done,
    )
