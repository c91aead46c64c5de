"""The picture of a database from what was collected. Pure.

Rows are replica sets and columns data spaces, as the books on TimesTen Scaleout draw a grid; the
console, gridWatch and the API show the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from membership.port import SetState
from mgmt.api.schema_databases import RedistributionStatus
from mgmt.api.schema_picture import (
    UNKNOWN,
    DatabasePicture,
    ElementPicture,
    SetPicture,
)
from mgmt.health import rollup
from mgmt.health.rollup import ElementHealth

Figures = Mapping[str, int]  # of one element, by their names in V$SYSTEMSTATS


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What management knows of a database beside its elements."""

    name: str
    k: int
    intent: str
    map_version: int
    marks: Mapping[int, str]  # element → what is pending for it
    buckets: Mapping[int, int]  # replica set → how many it owns
    redistribution: RedistributionStatus | None = None


def database(
    known: Known,
    elements: Sequence[ElementHealth],
    sets: Mapping[int, SetState],
    figures: Mapping[int, Figures],
) -> DatabasePicture:
    """Put together; `sets` by replica set, `figures` by element."""
    words = rollup.overall(elements, intent=known.intent, has_map=known.map_version > 0).summary
    numbers = sorted({e.replica_set for e in elements if e.replica_set})
    leads = {rs: _lead_lsn(elements, sets[rs]) for rs in numbers if rs in sets}
    return DatabasePicture(
        name=known.name,
        words=words,
        k=known.k,
        map_version=known.map_version,
        data_spaces=max([known.k, *(e.data_space for e in elements)]),
        sets=tuple(_set(rs, known, elements, sets.get(rs)) for rs in numbers),
        elements=tuple(
            _element(e, known.marks.get(e.element, ""), leads, sets, figures.get(e.element, {}))
            for e in sorted(elements, key=lambda one: one.element)
        ),
        redistribution=known.redistribution,
    )


def lag(own_lsn: int, lead_lsn: int | None) -> int:
    """Log entries behind the lead; UNKNOWN without one. Reports are some milliseconds apart."""
    return UNKNOWN if lead_lsn is None else max(0, lead_lsn - own_lsn)


def set_state(members: Sequence[ElementHealth], state: SetState | None, intent: str) -> str:
    """The word for a replica set."""
    if intent in ("created", "destroyed"):
        return "unloaded"
    lead = state.lead if state is not None else 0
    leading = next((e for e in members if e.element == lead), None)
    if leading is None or not leading.loaded:
        return "no lead"
    in_sync = set(state.in_sync) if state is not None else set()
    whole = all(e.loaded and e.element in in_sync for e in members)
    return "ok" if whole else "degraded"


def _lead_lsn(elements: Sequence[ElementHealth], state: SetState) -> int | None:
    lead = next((e for e in elements if e.element == state.lead), None)
    if lead is None or not lead.loaded or lead.report is None:
        return None
    return lead.report.lsn


def _set(
    number: int, known: Known, elements: Sequence[ElementHealth], state: SetState | None
) -> SetPicture:
    members = [e for e in elements if e.replica_set == number]
    return SetPicture(
        replica_set=number,
        state=set_state(members, state, known.intent),
        lead=state.lead if state is not None else 0,
        term=state.term if state is not None else 0,
        in_sync=state.in_sync if state is not None else (),
        buckets=known.buckets.get(number, 0),
    )


def _element(
    health: ElementHealth,
    mark: str,
    leads: Mapping[int, int | None],
    sets: Mapping[int, SetState],
    figures: Figures,
) -> ElementPicture:
    report = health.report if health.reachable else None
    state = sets.get(health.replica_set)
    own_lsn = report.lsn if report is not None else 0
    log_bytes = figures.get("log.kept_bytes", UNKNOWN)
    return ElementPicture(
        element=health.element,
        instance=health.instance,
        host=health.instance.partition(".")[0],
        data_space=health.data_space,
        replica_set=health.replica_set,
        state=health.state,
        role=_role(health, state),
        since_us=health.since_us,
        message=report.message if report is not None else "",
        term=report.term if report is not None else 0,
        lsn=own_lsn,
        lag=lag(own_lsn, leads.get(health.replica_set)) if health.loaded else UNKNOWN,
        connections=report.connections if report is not None else 0,
        used_kb=figures.get("db.perm_in_use_kb", UNKNOWN),
        size_kb=figures.get("db.perm_allocated_kb", UNKNOWN),
        log_kb=log_bytes if log_bytes == UNKNOWN else log_bytes // 1024,
        mark=mark,
    )


def _role(health: ElementHealth, state: SetState | None) -> str:
    """What it says of itself; who is down has none, whatever membership still remembers."""
    if not health.reachable or health.report is None:
        return ""
    if health.report.role == "lead" and state is not None and state.lead != health.element:
        return "copy"  # it has not heard yet that another one leads
    return health.report.role
