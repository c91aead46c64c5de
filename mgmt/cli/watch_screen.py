"""What gridWatch draws: one look at the grid for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mgmt.api import schema
from mgmt.api.schema_activity import DbActivityReply
from mgmt.api.schema_picture import DatabasePicture, ElementPicture, Picture
from mgmt.cli.nouns.watch import Look

PLAIN_WIDTH = 160  # of output that no terminal limits
_STYLES = {"ok": "green", "degraded": "yellow", "no lead": "bold red", "unloaded": "dim"}
_GOOD_STATES = ("opened", "loaded")
_PERM_WARNING, _PERM_ALARM = 0.8, 0.9


def show(looks: Iterable[Look]) -> None:
    """Each in the place of the one before; one after the other where there is no terminal."""
    if sys.stdout.isatty():
        with Live(screen=True, auto_refresh=False) as live:
            for look in looks:
                live.update(drawn(look), refresh=True)
        return
    console = Console(width=PLAIN_WIDTH, highlight=False, no_color=True)
    for look in looks:
        console.print(drawn(look))
        sys.stdout.flush()


def drawn(look: Look) -> RenderableType:
    """One look as rich draws it."""
    at = time.strftime("%H:%M:%S", time.localtime(look.at_us / 1e6))
    if look.picture is None:
        return Group(
            Text(f"{at}  the active management instance does not answer", style="bold red"),
            Text(look.error),
            Text("SQL goes on without it. gridWatch asks again."),
        )
    picture = look.picture
    activity = {one.name: one for one in look.activity}
    parts: list[RenderableType] = [
        Text(f"{at}  grid {picture.grid}  K={picture.k}  model {picture.model_current}"),
        Columns([_management(picture), _servers(picture)], padding=(0, 3)),
    ]
    for database in picture.databases:
        parts += [
            Text(),
            _title(database),
            _rates(activity.get(database.name)),
            _map(picture, database),
        ]
    if not picture.databases:
        parts += [Text(), Text("There is no database yet.")]
    parts += [_operation(o) for o in picture.operations]
    return Group(*parts)


def _management(picture: Picture) -> Text:
    text = Text("management ")
    for row in picture.management:
        style = "green" if row.reachable else "bold red"
        text.append(f" {row.host}.{row.instance} {row.rep_role}", style=style)
    return text


def _servers(picture: Picture) -> Text:
    text = Text("membership ")
    for server in picture.servers:
        serves = server.role in ("leader", "follower", "standalone")
        style = "green" if serves else "dim" if server.role == "unknown" else "bold red"
        text.append(f" {server.address} {server.role}", style=style)
    return text


def _title(database: DatabasePicture) -> Text:
    text = Text(f"database {database.name}  ", style="bold")
    text.append(",".join(database.words), style="")
    text.append(f"  map {database.map_version}", style="dim")
    moving = database.redistribution
    if moving is not None:
        text.append("  redistribution under way", style="cyan")
    return text


def _rates(activity: DbActivityReply | None) -> Text:
    if activity is None:
        return Text("  no rates: none of its instances answers", style="dim")
    statements, commits = activity.statements, activity.commits
    numbers = activity.numbers
    errors = sum(e.per_s for e in activity.errors if e.per_s > 0)
    return Text(
        f"  {rate(statements.per_s)} statements/s  p50 {span(statements.p50_s)}"
        f"  p95 {span(statements.p95_s)}  p99 {span(statements.p99_s)}"
        f"   {rate(commits.per_s)} commits/s  p95 {span(commits.p95_s)}"
        f"   {rate(errors)} errors/s"
        f"   {numbers.get('locks_waiting', 0):.0f} waiting"
        f"   {numbers.get('transactions_in_doubt', 0):.0f} in doubt"
    )


def _map(picture: Picture, database: DatabasePicture) -> Table:
    """Rows are replica sets, columns data spaces; what is in no replica set stands below."""
    spaces = range(1, database.data_spaces + 1)
    table = Table(box=None, padding=(0, 2), show_edge=False)
    table.add_column("replica set", no_wrap=True)
    for space in spaces:
        table.add_column(f"data space {space}", overflow="fold")
    for one in database.sets:
        head = Text(f"{one.replica_set}  {one.state}", style=_STYLES.get(one.state, ""))
        cells = []
        for space in spaces:
            members = _at(database.elements, one.replica_set, space)
            cells.append(Group(*(_cell(picture, e) for e in members)))
        table.add_row(head, *cells)
    outside = [e for e in database.elements if not e.replica_set]
    for space in spaces:
        for element in (e for e in outside if e.data_space == space):
            empty = [Text()] * len(spaces)
            empty[space - 1] = _cell(picture, element)
            table.add_row(Text("not in the map", style="dim"), *empty)
    return table


def _at(elements: Sequence[ElementPicture], rs: int, space: int) -> list[ElementPicture]:
    return [e for e in elements if (e.replica_set, e.data_space) == (rs, space)]


def _cell(picture: Picture, element: ElementPicture) -> Text:
    style = "green" if element.state in _GOOD_STATES and element.role != "catching-up" else "yellow"
    if element.state in ("down", "unreachable") or "failed" in element.state:
        style = "bold red"
    lead = " LEAD" if element.role == "lead" else ""
    text = Text(f"{element.element} {element.instance}{lead} {element.state}", style=style)
    if element.role not in ("lead", "copy", "idle", ""):
        text.append(f" {element.role}", style="yellow")
    if element.lag > 0:
        text.append(f" lag {element.lag}", style="yellow")
    if element.size_kb > 0:
        share = element.used_kb / element.size_kb
        alarm = "bold red" if share >= _PERM_ALARM else "yellow" if share >= _PERM_WARNING else ""
        text.append(f" {share:.0%}", style=alarm)
    text.append(f" {element.connections}c" if element.state in _GOOD_STATES else "", style="dim")
    if element.mark:
        text.append(f" ({element.mark})", style="cyan")
    return text


def _operation(operation: schema.OperationRow) -> Text:
    progress = f"{operation.step}/{operation.steps}"
    return Text(
        f"operation {operation.id}: {operation.kind} {operation.subject} {progress} "
        f"{operation.title}",
        style="cyan",
    )


def rate(per_s: float) -> str:
    """A number a second; "-" while it is not known."""
    if per_s < 0:
        return "-"
    return f"{per_s:,.0f}" if per_s >= 10 else f"{per_s:.1f}"


def span(seconds: float) -> str:
    """A time with a unit that fits; "-" while it is not known."""
    if seconds < 0:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f}µs"
    return f"{seconds * 1e3:.1f}ms" if seconds < 1 else f"{seconds:.1f}s"
