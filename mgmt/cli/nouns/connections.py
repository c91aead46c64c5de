"""dbDisconnect and dbDisconnectStatus."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api import schema_sessions as requests
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.render import moment, table
from protocol.errors import UsageError

GROUP = "Databases"
MODES = ("transactional", "immediate", "abort")


def _disconnect(arguments: Arguments) -> requests.DbDisconnect:
    mode = arguments.one_of(*MODES)
    if not mode:
        raise UsageError("dbDisconnect wants -transactional, -immediate or -abort")
    arguments.one_of("nowait", "wait")
    wait_s = arguments.integer("wait", 0) if arguments.has("wait") else None
    return requests.DbDisconnect(name=arguments.word("NAME"), mode=mode, wait_s=wait_s)


def _status_text(reply: requests.DbDisconnectStatusReply, arguments: Arguments) -> str:
    rows: list[tuple[object, ...]] = []
    for one in reply.disconnects:
        mode = one.mode.capitalize()
        rows.append((one.name, mode, "", "", one.state, None, moment(one.started_us), ""))
        for place in one.instances:
            host, _, instance = place.instance.partition(".")
            message = place.message
            if place.idle:
                message = f"{place.idle} idle: they end when they next ask for something"
            left = place.left or None
            rows.append(("", "", host, instance, place.state, left, "", message))
    headings = ("Database", "Mode", "Host", "Instance", "State", "Left", "Started", "Message")
    return table(headings, rows) if rows else "No dbDisconnect"


COMMANDS = (
    Command(
        "dbDisconnect",
        GROUP,
        "End the connections of users to a database",
        (Positional("NAME"),),
        (
            Option("transactional", "", "each when its transaction has ended; idle ones stay"),
            Option("immediate", "", "now: open transactions are rolled back"),
            Option("abort", "", "now, without a word: what commits may be done or not"),
            Option("nowait", "", "return at once (default)"),
            Option(
                "wait", "SECS", "wait until done; no number or 0: for ever", optional_number=True
            ),
        ),
        build=_disconnect,
        reply=schema.Done,
    ),
    Command(
        "dbDisconnectStatus",
        GROUP,
        "Show how far the newest dbDisconnect is",
        (Positional("NAME", required=False),),
        build=lambda a: requests.DbDisconnectStatus(name=a.word("NAME")),
        reply=requests.DbDisconnectStatusReply,
        render=_status_text,
    ),
)
