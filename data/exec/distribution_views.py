"""Rows of SYS.V$DISTRIBUTION_CURRENT, _MAP, _BUCKETS, _VERSION, _STATE, _PROGRESS and GV$ twins."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from membership.port import ClusterView, SetState
from protocol.messages.admin import ElementReport
from protocol.messages.distribution import (
    AskDistribution,
    AskElementState,
    DistributionTold,
    ElementStateTold,
)
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request
from protocol.sqltypes import StorageRow
from protocol.topology import BucketRange, DistributionMap, ElementPlace

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

ANSWER_TIMEOUT_S = 2.0
STATE_TIMEOUT_S = 1.0  # shorter: who is asked for its picture asks others for their state
PREFIX = "v$distribution_"
# states of an element, as TimesTen words them
ACTIVE, RECOVERING, BY_LOG, DOWN = "Active", "Recovering", "Recovering LBCU", "Down"
FAILED, UNLOADED, EVICTED = "Failed", "Unloaded", "Evicted"
_NOT_LOADED = ("creating", "created", "unloading", "unloaded", "destroying")
STATE_VIEW = f"{PREFIX}state"


class DistributionViews:
    """The rows; those of GV$ views as of the newest `refresh`."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._told: list[DistributionTold] = []
        self._states: dict[int, str] = {}  # what elements said of themselves

    def is_named_in(self, text: str) -> bool:
        """True: the query needs `refresh`."""
        lowered = text.lower()
        return f"g{PREFIX}" in lowered or STATE_VIEW in lowered

    async def refresh(self, text: str) -> None:
        """Ask all elements of the map. Never fails: who does not answer in time has no rows."""
        lowered = text.lower()
        if STATE_VIEW in lowered:
            await self.look()
        if f"g{PREFIX}" in lowered:
            await self._ask_pictures()

    async def look(self) -> None:
        """Ask every element for its state; of who does not answer membership tells."""
        router, me = self._space.router, self._space.element.identity.element
        alive = self._space.membership.view().instances
        ask = AskElementState(self._space.name)
        answers = await asyncio.gather(
            *(
                router.call_instance(name, ask, STATE_TIMEOUT_S)
                for element, name in router.instances().items()
                if name in alive and element != me
            ),
            return_exceptions=True,
        )
        told = [a for a in answers if isinstance(a, ElementStateTold)]
        self._states = {a.element: a.state for a in told if a.state}
        self._states[me] = self.own_state()

    async def _ask_pictures(self) -> None:
        router, me = self._space.router, self._space.element.identity.element
        ask = AskDistribution(self._space.name)
        others = {e: i for e, i in router.instances().items() if e != me}
        answers = await asyncio.gather(
            *(router.call_instance(name, ask, ANSWER_TIMEOUT_S) for name in others.values()),
            return_exceptions=True,
        )
        told = [a for a in answers if isinstance(a, DistributionTold)]
        self._told = sorted([*told, self.told()], key=lambda one: one.element)

    def told(self) -> DistributionTold:
        """What this element sees."""
        known, view = self._space.router.map, self._space.membership.view()
        return DistributionTold(
            self._space.element.identity.element,
            known.version,
            (
                *(
                    (place.element, self._state(place, view))
                    for place in known.elements
                    if place.replica_set
                ),
                *((place.element, EVICTED) for place in known.evicted),
            ),
        )

    def own_state(self) -> str:
        """Of this element, which is loaded."""
        me, view = self._space.element.identity.element, self._space.membership.view()
        place = next((p for p in self._space.router.map.elements if p.element == me), None)
        if place is None:
            return EVICTED
        state = state_of(place, view, view.sets.get((self._space.name, place.replica_set)))
        if state == RECOVERING and not self._space.element.needs_recovery:
            return BY_LOG
        return state

    def _state(self, place: ElementPlace, view: ClusterView) -> str:
        agreed = view.sets.get((self._space.name, place.replica_set))
        state = state_of(place, view, agreed)
        return state if state == DOWN else self._states.get(place.element, state)

    def rows(self, view: str) -> list[StorageRow] | None:
        """Of one of the views, None if it is another one."""
        wide, name = view.startswith("g"), view.removeprefix("g")
        if not name.startswith(PREFIX):
            return None
        told = self._told if wide else [self.told()]
        known = self._space.router.map
        match name.removeprefix(PREFIX):
            case "version":
                return [(one.map_version, one.element) for one in told]
            case "state":
                return [(e, state, one.element) for one in told for e, state in one.states]
            case "current":
                rows = current_rows(known, self._space.membership.view())
            case "map":
                rows = map_rows(known)
            case "buckets":
                router = self._space.router
                rows = bucket_rows(known, router.buckets, router.leads)
            case "progress":
                total, left = known.moving()
                rows = [(known.version, total, total - left, percent(total, left))]
            case _:
                return None
        return [(*row, one.element) for one in told for row in rows] if wide else rows


def state_of(place: ElementPlace, view: ClusterView, agreed: SetState | None) -> str:
    """As membership shows an element of the map. Pure."""
    info = view.instances.get(place.instance)
    if info is None or info.incarnation in view.dead:
        return DOWN
    return ACTIVE if agreed is not None and place.element in agreed.in_sync else RECOVERING


def current_rows(known: DistributionMap, view: ClusterView) -> list[StorageRow]:
    """Where the elements in the map are; addresses only of instances that run. Pure."""
    rows: list[StorageRow] = []
    for place in known.elements:
        if not place.replica_set:
            continue
        info = view.instances.get(place.instance)
        rows.append(
            (
                known.version,
                place.element,
                info.external_address if info else None,
                info.address if info else None,
                place.instance,
                info.cs_port if info else None,
                info.port if info else None,
                place.replica_set,
                place.data_space,
                place.data_space,
            )
        )
    return rows


def bucket_rows(
    known: DistributionMap, buckets: Sequence[int], leads: Mapping[int, str]
) -> list[StorageRow]:
    """Runs of buckets of one replica set as they are served now, and the element that leads it,
    NULL while none does. Pure."""
    elements = {(place.replica_set, place.instance): place.element for place in known.elements}
    rows: list[StorageRow] = []
    first = 0
    for replica_set, run in itertools.groupby(buckets):
        last = first + sum(1 for _ in run) - 1
        lead = elements.get((replica_set, leads.get(replica_set, "")))
        rows.append((known.version, first, last, replica_set, lead))
        first = last + 1
    return rows


def map_rows(known: DistributionMap) -> list[StorageRow]:
    """The map in force, and, while buckets move, that of before and that of the end. Pure."""
    rows = _map_rows(known, known.version, "current", known.ranges)
    if known.next_ranges:
        rows += _map_rows(known, known.version, "previous", known.previous_ranges)
        rows += _map_rows(known, known.version, "next", known.next_ranges)
    return rows


def _map_rows(
    known: DistributionMap, version: int, status: str, ranges: Iterable[BucketRange]
) -> list[StorageRow]:
    counts: dict[int, int] = {}
    for span in ranges:
        size = span.last - span.first + 1
        counts[span.replica_set] = counts.get(span.replica_set, 0) + size
    return [
        (
            version,
            status,
            place.replica_set,
            place.data_space,
            place.element,
            place.instance,
            counts.get(place.replica_set, 0),
        )
        for place in known.elements
        if place.replica_set
    ]


def percent(total: int, left: int) -> int:
    """Of the buckets that move, how many have; 100 when nothing moves."""
    return 100 if not left else min(99, 100 * (total - left) // total)


class Loaded(Protocol):
    """A database on this instance (data/database.py)."""

    space: Coordination


def register(
    rpc: RpcNode,
    find: Callable[[str], Loaded],
    reports: Callable[[str], tuple[ElementReport, ...]],
) -> None:
    """Answer AskDistribution and AskElementState; `find` raises UnknownDatabaseError."""

    async def ask(message: AskDistribution, _request: Request) -> DistributionTold:
        views = find(message.db).space.catalog_queries.distribution
        await views.look()
        return views.told()

    async def ask_state(message: AskElementState, _request: Request) -> ElementStateTold:
        found = reports(message.db)
        if not found:
            return ElementStateTold(0, "")
        word = word_of(found[0].state)
        if not word:
            word = find(message.db).space.catalog_queries.distribution.own_state()
        return ElementStateTold(found[0].element, word)

    rpc.handle_async(AskDistribution, ask)
    rpc.handle_async(AskElementState, ask_state)


def word_of(state: str) -> str:
    """What the keeper's state of an element means here; "": it is loaded, so ask it. Pure."""
    if state.endswith(" failed") and not state.startswith(("open", "close", "unload")):
        return FAILED
    return UNLOADED if state in _NOT_LOADED else ""
