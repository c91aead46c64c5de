"""The text of dbStatus, worded as TimesTen words it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from mgmt.api.schema_databases import (
    DatabaseStatus,
    DbStatusReply,
    ElementStatus,
    InstanceOfDatabase,
)
from mgmt.cli.command import Arguments
from mgmt.cli.render import long_moment, moment, table, with_warning

Pair = tuple[InstanceOfDatabase, ElementStatus]
PARTS = (
    *("summary", "element", "replicaSet", "dataSpaceGroup"),
    *("details", "loadReadiness", "epochs", "connections"),
)
EVENT = "Date/Time of Event"


def status_text(reply: DbStatusReply, arguments: Arguments) -> str:
    """All databases of the reply, each with the parts that were asked for."""
    if not reply.databases:
        return "No databases"
    wanted = [part for part in PARTS if arguments.has(part)]
    if arguments.has("all"):
        wanted = list(dict.fromkeys([*PARTS[:4], *wanted]))
    texts = [
        _RENDERERS[part](database) for database in reply.databases for part in wanted or ["summary"]
    ]
    return with_warning(reply.warning, "\n\n".join(texts))


def summary(database: DatabaseStatus) -> str:
    """The three words and the counts."""
    counts = database.overall
    lines = [
        f"Database {database.name} summary status as of {long_moment(database.as_of)}",
        "",
        ",".join(counts.summary),
        f"Completely created elements: {counts.n_created} (of {counts.n_instances})",
        f"Completely loaded elements: {counts.n_instances_loaded} (of {counts.n_instances})",
    ]
    if counts.n_replica_sets:
        total = counts.n_replica_sets
        lines.append(f"Completely created replica sets: {counts.n_rs_created} (of {total})")
        lines.append(f"Completely loaded replica sets: {counts.n_rs_loaded} (of {total})")
    lines += ["", f"Open elements: {counts.n_instances_opened} (of {counts.n_instances})"]
    if database.redistribution is not None:
        lines += ["", f"Redistribution: {database.redistribution.words()}"]
    return "\n".join(lines)


def elements(database: DatabaseStatus) -> str:
    """One line per element."""
    rows = [
        (i.host_name, i.instance_name, e.element_number, e.state, _event(e), e.message)
        for i, e in sorted(_pairs(database), key=lambda pair: pair[1].element_number)
    ]
    return _titled(
        database,
        "element level status",
        table(("Host", "Instance", "Elem", "Status", EVENT, "Message"), rows),
    )


def replica_sets(database: DatabaseStatus) -> str:
    """By replica set; its number stands on its first line."""
    pairs = sorted(
        (pair for pair in _pairs(database) if pair[1].sync_replica_set),
        key=lambda pair: (pair[1].sync_replica_set, pair[1].data_space),
    )
    rows = _grouped(pairs, lambda e: e.sync_replica_set, lambda e: e.data_space)
    headings = ("RS", "DS", "Elem", "Host", "Instance", "Status", EVENT, "Message")
    return _titled(database, "Replica Set status", table(headings, rows))


def data_space_groups(database: DatabaseStatus) -> str:
    """By data space group; its number stands on its first line."""
    pairs = sorted(
        _pairs(database),
        key=lambda pair: (
            pair[1].data_space,
            pair[1].sync_replica_set or 1_000_000,
            pair[1].element_number,
        ),
    )
    rows = _grouped(pairs, lambda e: e.data_space, lambda e: e.sync_replica_set or None)
    headings = ("DS", "RS", "Elem", "Host", "Instance", "Status", EVENT, "Message")
    return _titled(database, "Data Space Group status", table(headings, rows))


def details(database: DatabaseStatus) -> str:
    """Each element with its daemon's state and what it does in its replica set."""
    rows = [
        (
            i.host_name,
            i.instance_name,
            "up" if i.reachable else ("silent" if i.in_membership else "down"),
            e.element_number,
            e.sync_replica_set or None,
            e.data_space,
            e.state,
            e.role,
            e.term,
            e.lsn,
            e.connections,
        )
        for i, e in sorted(_pairs(database), key=lambda pair: pair[1].element_number)
    ]
    headings = (
        *("Host", "Instance", "Daemon", "Elem", "RS", "DS", "Status"),
        *("Role", "Term", "LSN", "Conns"),
    )
    return _titled(database, "detailed status", table(headings, rows))


def load_readiness(database: DatabaseStatus) -> str:
    """Whether each replica set, and so the database, can be loaded now."""
    pairs = sorted(
        _pairs(database), key=lambda pair: (pair[1].sync_replica_set, pair[1].data_space)
    )
    states = {ready.replica_set: ready.state for ready in database.readiness}
    rows: list[tuple[object, ...]] = []
    for number in dict.fromkeys(e.sync_replica_set for _, e in pairs):
        shown = number or None  # on the first line of its set only
        for i, e in pairs:
            if e.sync_replica_set == number:
                name = f"{i.host_name}.{i.instance_name}"
                rows.append((shown, e.data_space, name, e.state.capitalize()))
                shown = None
        if number:
            rows.append((None, None, "", states.get(number, "")))
    loaded, total = database.overall.n_instances_loaded, database.overall.n_instances
    body = [
        "Data Elements:",
        table(("RS", "DS", "Instance", "State"), rows),
        "",
        f"{database.name} load state: {database.load_state}",
        f"Total Elements Loaded:{loaded}/{total}",
    ]
    return _titled(database, "load readiness", "\n".join(body))


def epochs(database: DatabaseStatus) -> str:
    """The newest epoch of each element, and the one to go back to if all lost power now."""
    rows = [
        (
            i.host_name,
            i.instance_name,
            e.element_number,
            e.sync_replica_set or None,
            e.state,
            e.epoch or None,
        )
        for i, e in sorted(_pairs(database), key=lambda pair: pair[1].element_number)
    ]
    best = max((e.epoch_done for _, e in _pairs(database)), default=0)
    body = [
        table(("Host", "Instance", "Elem", "RS", "Status", "Newest Epoch"), rows),
        "",
        f"Best epoch for recovery: {best or 'none'}",
    ]
    return _titled(database, "epochs", "\n".join(body))


def connections(database: DatabaseStatus) -> str:
    """Who is connected, instance by instance."""
    headings = ("Host", "Instance", "ConnId", "Name", "Pid", "Type", "User", "Client", "State")
    rows = [
        (c.host, c.instance, c.id, c.name, c.pid or None, c.kind, c.user, c.address, c.state,
         moment(c.since_us))
        for c in database.connections
    ]  # fmt: skip
    body = [table((*headings, "Connected"), rows) if rows else "No connections"]
    if database.silent:
        body += ["", f"No answer: {', '.join(database.silent)}"]
    return _titled(database, "connections", "\n".join(body))


def _titled(database: DatabaseStatus, what: str, body: str) -> str:
    return f"Database {database.name} {what} as of {long_moment(database.as_of)}\n\n{body}"


def _pairs(database: DatabaseStatus) -> list[Pair]:
    return [(instance, e) for instance in database.instances for e in instance.elements]


def _event(element: ElementStatus) -> str:
    return moment(element.last_change_start)


def _grouped(
    pairs: list[Pair],
    group: Callable[[ElementStatus], int],
    within: Callable[[ElementStatus], int | None],
) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    last = 0
    for i, e in pairs:
        number = group(e)
        shown = number if number != last else None
        last = number
        rows.append(
            (
                shown,
                within(e),
                e.element_number,
                i.host_name,
                i.instance_name,
                e.state,
                _event(e),
                e.message,
            )
        )
    return rows


_RENDERERS: dict[str, Callable[[DatabaseStatus], str]] = {
    "summary": summary,
    "element": elements,
    "replicaSet": replica_sets,
    "dataSpaceGroup": data_space_groups,
    "details": details,
    "loadReadiness": load_readiness,
    "epochs": epochs,
    "connections": connections,
}
