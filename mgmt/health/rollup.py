"""Element reports → status of replica sets and of the database. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mgmt.api.schema_databases import Overall, SetReadiness
from protocol.messages.admin import (
    INTENT_CREATED,
    INTENT_DESTROYED,
    INTENT_OPEN,
    ElementReport,
)

DOWN = "down"
NOT_LOADABLE = "Not loadable"
SEEDLESS = "Waiting for seed"  # what is there must wait for an element with newer rows
UNCREATED = "uncreated"
LOADED_STATES = frozenset({"loaded", "opening", "opened", "open failed", "closing", "close failed"})
_NOT_CREATED = frozenset({UNCREATED, "creating", "create failed", "destroyed"})


class ElementHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One element: what management knows of it, and its report if its instance answers."""

    element: int
    instance: str
    data_space: int
    replica_set: int  # 0: not in the map
    was_created: bool  # management was once told so
    reachable: bool
    report: ElementReport | None = None

    @property
    def state(self) -> str:
        """The word of dbStatus."""
        if not self.reachable:
            return DOWN
        return self.report.state if self.report else UNCREATED

    @property
    def since_us(self) -> int:
        """When it entered the state; 0: unknown."""
        return self.report.since_us if self.report and self.reachable else 0

    @property
    def created(self) -> bool:
        """It has files, as far as management knows."""
        if self.report is None:
            return self.was_created and not self.reachable
        return self.report.state not in _NOT_CREATED

    @property
    def loaded(self) -> bool:
        """It holds the newest rows in memory."""
        return self.reachable and self.state in LOADED_STATES

    @property
    def opened(self) -> bool:
        """It accepts users."""
        return self.state == "opened"


def overall(elements: Sequence[ElementHealth], *, intent: str, has_map: bool) -> Overall:
    """The summary of a database."""
    states = [e.state for e in elements]
    sets = _sets(elements)
    return Overall(
        n_instances=len(elements),
        n_instances_in_map=sum(1 for e in elements if e.replica_set),
        n_created=sum(e.created for e in elements),
        n_creating=states.count("creating"),
        n_create_failed=states.count("create failed"),
        n_loading=states.count("loading"),
        n_instances_loaded=sum(e.loaded for e in elements),
        n_instances_opened=sum(e.opened for e in elements),
        n_down=states.count(DOWN),
        n_replica_sets=len(sets),
        n_rs_created=sum(all(e.created for e in members) for members in sets.values()),
        n_rs_loaded=sum(all(e.loaded for e in members) for members in sets.values()),
        summary=(
            creation_word(elements, intent),
            load_word(elements, intent, has_map=has_map),
            open_word(elements, intent),
        ),
    )


def creation_word(elements: Sequence[ElementHealth], intent: str) -> str:
    """The first word: uncreated ... created ... destroyed."""
    created = sum(e.created for e in elements)
    if intent == INTENT_DESTROYED:
        return "destroying" if created else "destroyed"
    if elements and created == len(elements):
        return "created"
    states = {e.state for e in elements}
    if "create failed" in states:
        return "create-failed" if not created else "create-failed-partial"
    if "creating" in states:
        return "creating"
    return "creating-partial" if created else "uncreated"


def load_word(elements: Sequence[ElementHealth], intent: str, *, has_map: bool) -> str:
    """The second word: unloaded ... loaded-complete; plain "loaded" before there is a map."""
    members = [e for e in elements if e.replica_set] if has_map else list(elements)
    loaded = sum(e.loaded for e in members)
    states = {e.state for e in members}
    if intent in (INTENT_CREATED, INTENT_DESTROYED):
        busy = loaded or "unloading" in states
        return "unloading" if busy else "unloaded"
    if members and loaded == len(members):
        return "loaded-complete" if has_map else "loaded"
    if not has_map:
        return "loading-partial" if loaded else "loading"
    if all(any(e.loaded for e in copies) for copies in _sets(elements).values()):
        return "loaded-functional"
    if states & {"loading", "waiting for seed"}:
        return "loading-partial" if loaded else "loading"
    if "load failed" in states and not loaded:
        return "load-failed"
    return "loaded-incomplete"


def open_word(elements: Sequence[ElementHealth], intent: str) -> str:
    """The third word: closed, opening, open, closing."""
    opened = any(e.opened for e in elements)
    if intent == INTENT_OPEN:
        return "open" if opened else "opening"
    return "closing" if opened or any(e.state == "closing" for e in elements) else "closed"


def readiness(elements: Sequence[ElementHealth]) -> tuple[SetReadiness, ...]:
    """Per replica set whether loading can succeed now."""
    return tuple(
        SetReadiness(replica_set=number, state=_set_state(members))
        for number, members in sorted(_sets(elements).items())
    )


def load_state(elements: Sequence[ElementHealth], sets: Sequence[SetReadiness]) -> str:
    """The database's word in -loadReadiness."""
    if elements and all(e.loaded for e in elements):
        return "Loaded"
    if sets:
        words = {s.state for s in sets}
        if SEEDLESS in words and NOT_LOADABLE not in words:
            return SEEDLESS
        usable = NOT_LOADABLE not in words
    else:
        usable = all(e.reachable and e.created for e in elements)
    return "Loadable" if usable else NOT_LOADABLE


def _set_state(members: Sequence[ElementHealth]) -> str:
    if all(e.loaded for e in members):
        return "Loaded"
    there = [e for e in members if e.reachable and e.created]
    if any(e.state != "waiting for seed" for e in there):
        return "Loadable"
    return SEEDLESS if there else NOT_LOADABLE


def _sets(elements: Sequence[ElementHealth]) -> dict[int, list[ElementHealth]]:
    sets: dict[int, list[ElementHealth]] = {}
    for element in elements:
        if element.replica_set:
            sets.setdefault(element.replica_set, []).append(element)
    return sets
