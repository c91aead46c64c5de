"""mgmtExamine, mgmtStatus, mgmtActiveStart, mgmtActiveStop."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli import daemon_control
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command
from mgmt.cli.render import table
from protocol.errors import PeerUnreachableError

GROUP = "Management instances"
_HEADINGS = ("Host", "Instance", "Reachable", "RepRole(Self)", "Role(Self)", "Seq", "RepAgent")


def _rows(reply: schema.MgmtStatusReply, *, message: bool) -> str:
    rows = []
    for m in reply.instances:
        row: list[object] = [
            m.host,
            m.instance,
            "Yes" if m.reachable else "No",
            m.rep_role,
            m.role,
            m.seq,
            "Up" if m.rep_agent else "Down",
            "Yes" if m.rep_active else "No",
        ]
        rows.append([*row, m.message] if message else row)
    headings = (*_HEADINGS, "RepActive", *(("Message",) if message else ()))
    return table(headings, rows)


def _status(reply: schema.MgmtStatusReply, arguments: Arguments) -> str:
    return _rows(reply, message=True)


def _examine(reply: schema.MgmtStatusReply, arguments: Arguments) -> str:
    needs_message = any(m.message for m in reply.instances)
    lines = [*reply.msgs, "", _rows(reply, message=needs_message)]
    if reply.cmds:
        lines += ["", "Recommended commands:", *reply.cmds]
    return "\n".join(lines)


def _examine_here(arguments: Arguments, client: Client) -> schema.MgmtStatusReply:
    """Ask the daemon; if it does not run, say how to start it."""
    try:
        reply = client.call(schema.MgmtStatus(), schema.MgmtStatusReply, lambda event: None)
        assert isinstance(reply, schema.MgmtStatusReply)
        return reply
    except PeerUnreachableError:
        settings = client.settings()
        host, _, instance = settings.name.rpartition(".")
        row = schema.MgmtRow(
            host=host,
            instance=instance,
            reachable=False,
            rep_role="Unknown",
            role="Unknown",
            seq=None,
            rep_agent=False,
            rep_active=False,
            message="Management database is not available",
            home=settings.home,
            address=settings.internal_address,
        )
        return schema.MgmtStatusReply(
            instances=(row,),
            msgs=("The management instance is down. Start it.",),
            cmds=(
                f"{settings.home}/bin/ttenv ttDaemonAdmin -start",
                f"{settings.home}/bin/ttenv ttGridAdmin mgmtActiveStart",
            ),
            status=2,
        )


def _active_start(arguments: Arguments, client: Client) -> schema.Done:
    """Start the daemon if it is down, then ask it to be active."""
    if not daemon_control.read_pid(client.home, daemon_control.PID_FILE):
        daemon_control.start(client.home)
    reply = client.call(schema.MgmtActiveStart(), schema.Done, lambda event: None)
    assert isinstance(reply, schema.Done)
    return reply


COMMANDS = (
    Command(
        "mgmtActiveStart",
        GROUP,
        "Start this instance as the active management instance",
        local=_active_start,
        reply=schema.Done,
    ),
    Command(
        "mgmtActiveStop",
        GROUP,
        "Stop the active management instance",
        build=lambda a: schema.MgmtActiveStop(),
        reply=schema.Done,
    ),
    Command(
        "mgmtExamine",
        GROUP,
        "Examine the management instances and advise what to do",
        local=_examine_here,
        reply=schema.MgmtStatusReply,
        render=_examine,
    ),
    Command(
        "mgmtStatus",
        GROUP,
        "Show the state of the management instances",
        build=lambda a: schema.MgmtStatus(),
        reply=schema.MgmtStatusReply,
        render=_status,
    ),
)
