"""gridWatch: the map of the grid and its rates in a terminal, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from mgmt.api import schema
from mgmt.api.schema_activity import DbActivity, DbActivityReply
from mgmt.api.schema_picture import GridPicture, Picture
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command, Option
from protocol.errors import (
    GridError,
    NotActiveManagementError,
    PeerUnreachableError,
    UsageError,
)

INTERVAL_S = 2


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one interval shows; with -o json one document a line."""

    at_us: int
    picture: Picture | None
    activity: tuple[DbActivityReply, ...] = ()
    error: str = ""


def _watch(arguments: Arguments, client: Client) -> None:
    """Until -count is reached, or Ctrl-C."""
    from mgmt.cli import watch_screen  # other commands start without it

    interval_s, count = arguments.integer("interval", INTERVAL_S), arguments.integer("count", 0)
    if interval_s < 1 or count < 0:
        raise UsageError("gridWatch: -interval wants at least 1 second, -count a number from 0")
    looks = _looks(client, interval_s, count)
    try:
        if arguments.value("o").lower() == "json":
            for look in looks:
                print(msgspec.json.encode(look).decode(), flush=True)
        else:
            watch_screen.show(looks)
    except KeyboardInterrupt:  # the way to end it
        return


def _looks(client: Client, interval_s: int, count: int) -> Iterator[Look]:
    """One each interval; an unreachable management instance is shown, and asked again.

    Raises the first error if there has been no answer yet: then the command is used wrongly.
    """
    number, answered = 0, False
    due_s = time.monotonic()
    while not count or number < count:
        if number:
            due_s = max(due_s + interval_s, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
        number += 1
        try:
            look = _look(client)
            answered = True
        except (PeerUnreachableError, NotActiveManagementError) as error:
            if not answered:
                raise
            look = _nothing(error)
        yield look


def _nothing(error: GridError) -> Look:
    return Look(at_us=time.time_ns() // 1000, picture=None, error=error.message)


def _look(client: Client) -> Look:
    picture: Picture = client.call(GridPicture(), Picture, _silent)
    return Look(
        at_us=picture.as_of_us,
        picture=picture,
        activity=tuple(
            found
            for database in picture.databases
            if (found := _activity(client, database.name)) is not None
        ),
    )


def _activity(client: Client, name: str) -> DbActivityReply | None:
    """None: the database was destroyed meanwhile, or none of its instances answers."""
    try:
        reply: DbActivityReply = client.call(DbActivity(name=name), DbActivityReply, _silent)
    except (PeerUnreachableError, NotActiveManagementError):
        raise
    except GridError:
        return None
    return reply


def _silent(event: schema.Event) -> None:
    return


COMMANDS = (
    Command(
        "gridWatch",
        "Grid",
        "Show the map of the grid and its rates, live",
        options=(
            Option("interval", "SECONDS", f"between two looks (default {INTERVAL_S})"),
            Option("count", "N", "end after so many looks; default: until Ctrl-C"),
        ),
        local=_watch,
    ),
)
