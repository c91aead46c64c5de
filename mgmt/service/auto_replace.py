"""Replaces elements whose data instances have been dead for long by spare ones, if told to.

Off unless `gridModify -replaceAfter SECS` says otherwise. A spare is an element outside the map,
of the same data space group, loaded and not marked for anything. It is the same operation as
`dbDistribute -evict DEAD -replaceWith SPARE -apply`, so nothing is lost by it, and it shows in
`operationList`; where it cannot be done (no spare, no lead, another operation), nothing happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import structlog

from mgmt.api import schema_databases as schema
from mgmt.ops.runner import silent
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord, ElementRecord
from mgmt.service.distribution import DistributionService
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError
from protocol.messages.admin import INTENT_LOADED, INTENT_OPEN

log = structlog.get_logger(__name__)

LOOK_S = 2.0


class AutoReplace:
    """While this management instance is active. What it saw dead begins anew with each term."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._reach = Reach(management)
        self._distribution = DistributionService(management)

    async def run(self) -> None:
        """For ever."""
        dead_since_s: dict[str, float] = {}
        while True:
            await asyncio.sleep(LOOK_S)  # a pace, nothing is awaited by it
            try:
                await self._look(dead_since_s)
            except GridError as error:
                log.warning("replacement.not_done", error=error.message, hint=error.hint)
            except Exception:
                log.exception("replacement.failed")

    async def _look(self, dead_since_s: dict[str, float]) -> None:
        management = self._management
        if not management.models.exists or management.membership is None:
            return
        alive, now_s = self._reach.alive(), boottime_s()
        if not management.membership.view().connected:
            dead_since_s.clear()  # it does not know who lives
            return
        records = self._reach.databases.all()
        mapped = {e.instance for r in records for e in r.elements if e.replica_set}
        for name in list(dead_since_s):
            if name in alive or name not in mapped:
                del dead_since_s[name]
        for name in mapped - alive:
            dead_since_s.setdefault(name, now_s)
        after_s = management.models.grid.replace_after_s
        if not after_s:
            return
        overdue = {name for name, since_s in dead_since_s.items() if now_s - since_s >= after_s}
        for record in records:
            pair = replacement(record, overdue, alive) if overdue else None
            if pair is not None and management.runner.running_on(record.subject) is None:
                await self._replace(record, *pair)

    async def _replace(
        self, record: DatabaseRecord, dead: ElementRecord, spare: ElementRecord
    ) -> None:
        if trace.steps.listener is not None:
            trace.step("mgmt/service/auto_replace.py")
        log.warning(
            "replacement.begins", database=record.name, dead=dead.instance, spare=spare.instance
        )
        going = schema.Going(dead.instance, spare.instance)
        request = schema.DbDistribute(name=record.name, evict=(going,), apply=True)
        await self._distribution.distribute(request, silent)


def replacement(
    record: DatabaseRecord, overdue: Collection[str], alive: Collection[str]
) -> tuple[ElementRecord, ElementRecord] | None:
    """(dead element, its replacement), the first that can be done; None: nothing. Pure.

    A replica set none of whose instances lives is left to the administrator: replacing it would
    lose its rows. So is a database that somebody has marked changes for, or that is not loaded.
    """
    if record.intent not in (INTENT_LOADED, INTENT_OPEN) or not record.map_version:
        return None
    if any(e.is_marked for e in record.elements):
        return None
    spares: dict[int, list[ElementRecord]] = {}
    for e in record.elements:
        if not e.replica_set and not e.gone and e.created and e.instance in alive:
            spares.setdefault(e.data_space, []).append(e)
    for dead in record.elements:
        if not dead.replica_set or dead.instance not in overdue:
            continue
        others = _others(record.elements, dead)
        if spares.get(dead.data_space) and any(o.instance in alive for o in others):
            return dead, spares[dead.data_space][0]
    return None


def _others(elements: Sequence[ElementRecord], one: ElementRecord) -> list[ElementRecord]:
    return [e for e in elements if e.replica_set == one.replica_set and e is not one]


def install(management: Management) -> None:
    """Begin it with each active term; called once."""
    management.while_active.append(AutoReplace(management).run)
