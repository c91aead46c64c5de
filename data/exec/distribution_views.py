"""Rows of SYS.V$DISTRIBUTION_CURRENT, _MAP, _VERSION, _STATE, _PROGRESS and their GV$ twins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from membership.port import ClusterView, SetState
from protocol.messages.distribution import AskDistribution, DistributionTold
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request
from protocol.sqltypes import StorageRow
from protocol.topology import BucketRange, DistributionMap, ElementPlace

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

ANSWER_TIMEOUT_S = 2.0
PREFIX = "v$distribution_"
# states of an element, as TimesTen words them
ACTIVE, RECOVERING, BY_LOG, DOWN = "Active", "Recovering", "Recovering LBCU", "Down"


class DistributionViews:
    """The rows; those of GV$ views as of the newest `refresh`."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._told: list[DistributionTold] = []

    def is_named_in(self, text: str) -> bool:
        """True: the query needs `refresh`."""
        return f"g{PREFIX}" in text.lower()

    async def refresh(self) -> None:
        """Ask all elements of the map. Never fails: who does not answer in time has no rows."""
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
            tuple(
                (place.element, self._state(place, view))
                for place in known.elements
                if place.replica_set
            ),
        )

    def _state(self, place: ElementPlace, view: ClusterView) -> str:
        agreed = view.sets.get((self._space.name, place.replica_set))
        state = state_of(place, view, agreed)
        if state == RECOVERING and place.element == self._space.element.identity.element:
            return RECOVERING if self._space.element.needs_recovery else BY_LOG
        return state

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


def register(rpc: RpcNode, find: Callable[[str], Loaded]) -> None:
    """Answer AskDistribution; `find` raises UnknownDatabaseError."""

    async def ask(message: AskDistribution, _request: Request) -> DistributionTold:
        return find(message.db).space.catalog_queries.distribution.told()

    rpc.handle_async(AskDistribution, ask)
