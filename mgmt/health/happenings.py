"""What happened between two views of membership, or between two pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from membership.port import ClusterView, SetState
from mgmt.api.schema_picture import DatabasePicture, Picture

INFO, GOOD, WARNING, FAULT = "info", "good", "warning", "fault"
_LOADED = frozenset({"opened", "loaded"})
_FAILED = ("create failed", "load failed", "open failed", "close failed")


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """An event without its number and time."""

    kind: str
    severity: str
    subject: str
    text: str
    database: str = ""


def between_views(
    before: ClusterView, after: ClusterView, names: Mapping[tuple[str, int], str]
) -> list[Happening]:
    """What membership says that happened. `names`: (database, element) → instance."""
    found = [*_quorum(before, after)]
    if before.connected and after.connected:
        found += _instances(before, after)
        found += _management(before, after)
        found += _sets(before, after, names)
        found += _databases(before, after)
    return found


def between_pictures(before: Picture, after: Picture) -> list[Happening]:
    """What the data instances' reports say that happened: states of elements."""
    old = {db.name: db for db in before.databases}
    found: list[Happening] = []
    for database in after.databases:
        earlier = old.get(database.name)
        if earlier is not None:
            found += _elements(earlier, database)
    return found


def _quorum(before: ClusterView, after: ClusterView) -> Iterator[Happening]:
    if before.session and before.connected != after.connected:
        yield Happening(
            kind="membership",
            severity=GOOD if after.connected else FAULT,
            subject="membership",
            text="the membership servers answer again"
            if after.connected
            else "no session with the membership servers",
        )


def _instances(before: ClusterView, after: ClusterView) -> Iterator[Happening]:
    for name in sorted(before.instances.keys() | after.instances.keys()):
        was, now = before.instances.get(name), after.instances.get(name)
        alive = now is not None and now.incarnation not in after.dead
        lived = was is not None and was.incarnation not in before.dead
        info = now or was
        assert info is not None
        kind = "data" if info.kind == "data" else "management"
        if lived and not alive:
            yield Happening(
                kind="instance",
                severity=FAULT,
                subject=name,
                text=f"{kind} instance {name} is gone",
            )
        elif alive and not lived:
            yield Happening(
                kind="instance",
                severity=GOOD,
                subject=name,
                text=f"{kind} instance {name} is there",
            )
        elif alive and lived and was and now and was.incarnation != now.incarnation:
            yield Happening(
                kind="instance",
                severity=WARNING,
                subject=name,
                text=f"{kind} instance {name} was started again",
            )


def _management(before: ClusterView, after: ClusterView) -> Iterator[Happening]:
    was = before.mgmt.name if before.mgmt else ""
    now = after.mgmt.name if after.mgmt else ""
    if was == now:
        return
    if not now:
        text, severity = f"{was} is no longer the active management instance", WARNING
    else:
        text, severity = f"{now} is the active management instance", INFO
        if was:
            text, severity = f"{text} in place of {was}", WARNING
    yield Happening(kind="management", severity=severity, subject=now or was, text=text)


def _sets(
    before: ClusterView, after: ClusterView, names: Mapping[tuple[str, int], str]
) -> Iterator[Happening]:
    for (db, rs), now in sorted(after.sets.items()):
        was = before.sets.get((db, rs))
        if was is not None and was != now:
            yield from _leads(db, rs, was, now, names)
            yield from _syncs(db, rs, was, now, names)


def _leads(
    db: str, rs: int, was: SetState, now: SetState, names: Mapping[tuple[str, int], str]
) -> Iterator[Happening]:
    if was.lead == now.lead:
        return
    if now.lead:
        text = f"{_called(db, now.lead, names)} leads replica set {rs} (term {now.term})"
        severity = INFO
        if was.lead:
            text += f" in place of {_called(db, was.lead, names)}"
            severity = WARNING
    else:
        text, severity = f"replica set {rs} has no lead", FAULT
    yield Happening(
        kind="lead", severity=severity, subject=f"replica set {rs}", text=text, database=db
    )


def _syncs(
    db: str, rs: int, was: SetState, now: SetState, names: Mapping[tuple[str, int], str]
) -> Iterator[Happening]:
    left, come = set(was.in_sync) - set(now.in_sync), set(now.in_sync) - set(was.in_sync)
    changes = [(element, WARNING, "is not in sync any more") for element in sorted(left)]
    changes += [(element, GOOD, "is in sync") for element in sorted(come)]
    for element, severity, word in changes:
        yield Happening(
            kind="sync",
            severity=severity,
            subject=f"replica set {rs}",
            text=f"{_called(db, element, names)} {word}",
            database=db,
        )


def _databases(before: ClusterView, after: ClusterView) -> Iterator[Happening]:
    for db in sorted(before.states.keys() | after.states.keys()):
        was, now = (view.states.get(db, "").partition(" ")[0] for view in (before, after))
        if was != now:
            text = f"database {db} shall be {now}" if now else f"database {db} is forgotten"
            yield Happening(kind="database", severity=INFO, subject=db, text=text, database=db)
    for db, version in sorted(after.map_versions.items()):
        earlier = before.map_versions.get(db, 0)
        if version != earlier:
            text = f"distribution map {version} of {db} is in force"
            yield Happening(kind="map", severity=INFO, subject=db, text=text, database=db)


def _elements(before: DatabasePicture, after: DatabasePicture) -> Iterator[Happening]:
    old = {e.element: e.state for e in before.elements}
    for element in after.elements:
        was = old.get(element.element)
        if was is None or was == element.state:
            continue
        severity = INFO
        if element.state == "down" or element.state in _FAILED:
            severity = FAULT
        elif element.state in _LOADED:
            severity = GOOD
        text = f"element {element.element} ({element.instance}): {was} → {element.state}"
        if element.message:
            text += f": {element.message}"
        yield Happening(
            kind="element",
            severity=severity,
            subject=element.instance,
            text=text,
            database=after.name,
        )


def _called(db: str, element: int, names: Mapping[tuple[str, int], str]) -> str:
    name = names.get((db, element))
    return f"element {element} ({name})" if name else f"element {element}"
