"""mgmtExamine, mgmtStatus, mgmtActiveStart, Stop and Switch, mgmtStandbyStart and Stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mgmt.api import schema
from mgmt.api.schema_management import MgmtActiveSwitch, MgmtStandbyStart, MgmtStandbyStop
from mgmt.cli import daemon_control
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command, Option
from mgmt.cli.render import table, with_warning
from mgmt.ha.advice import NO_ANSWER, Seen, advise
from mgmt.model import document
from protocol import instance_file
from protocol.errors import GridError, PeerUnreachableError

GROUP = "Management instances"
Local = Callable[[Arguments, Client], schema.Done]
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
    return with_warning(reply.warning, _rows(reply, message=True))


def _examine(reply: schema.MgmtStatusReply, arguments: Arguments) -> str:
    needs_message = any(m.message for m in reply.instances)
    lines = [*reply.msgs, "", _rows(reply, message=needs_message)]
    if reply.cmds:
        lines += ["", "Recommended commands:", *reply.cmds]
    return with_warning(reply.warning, "\n".join(lines))


def _examine_here(arguments: Arguments, client: Client) -> schema.MgmtStatusReply:
    """Ask the daemon; if it does not run, the other one; else say how to start them."""
    try:
        reply = client.call(schema.MgmtStatus(), schema.MgmtStatusReply, lambda event: None)
        assert isinstance(reply, schema.MgmtStatusReply)
        return reply
    except PeerUnreachableError:
        settings = client.settings()
        other = _other_instance(client.home, settings.name)
        if other is not None:
            try:
                at = (other.internal_address, other.mgmt_port)
                reply = client.call(
                    schema.MgmtStatus(), schema.MgmtStatusReply, lambda event: None, at
                )
                assert isinstance(reply, schema.MgmtStatusReply)
                return reply
            except GridError:
                pass
        mine = Seen(settings.name, settings.home, settings.internal_address, True, None)
        seen = None
        if other is not None:
            same = daemon_control.same_machine(other.internal_address)
            seen = Seen(other.name, other.home, other.internal_address, same, None)
        advised = advise(mine, seen)
        return schema.MgmtStatusReply(
            instances=tuple(_down(one) for one in (mine, seen) if one is not None),
            msgs=advised.msgs,
            cmds=advised.cmds,
            status=2,
        )


class _Other(NamedTuple):
    name: str
    home: str
    internal_address: str
    mgmt_port: int


def _other_instance(home: Path, own: str) -> _Other | None:
    """The second management instance, by the model as it was pushed here last."""
    try:
        model, _ = document.from_text((home / instance_file.MODEL_FILE).read_text("utf-8"))
    except (OSError, GridError):
        return None
    for instance in model.instances_of("mgmt"):
        host = model.host(instance.host)
        if instance.full_name != own and host is not None:
            address, port = host.internal_address, instance.mgmt_port
            return _Other(instance.full_name, instance.home, address, port)
    return None


def _down(seen: Seen) -> schema.MgmtRow:
    host, _, instance = seen.name.rpartition(".")
    return schema.MgmtRow(
        host=host,
        instance=instance,
        reachable=False,
        rep_role="Unknown",
        role="Unknown",
        seq=None,
        rep_agent=False,
        rep_active=False,
        message=NO_ANSWER,
        home=seen.home,
        address=seen.address,
    )


def _with_daemon(request: Callable[[Arguments], schema.Request]) -> Local:
    """Start the daemon if it is down, then send the request."""

    def run(arguments: Arguments, client: Client) -> schema.Done:
        if not daemon_control.read_pid(client.home, daemon_control.PID_FILE):
            daemon_control.start(client.home)
        reply = client.call(request(arguments), schema.Done, lambda event: None)
        assert isinstance(reply, schema.Done)
        return reply

    return run


COMMANDS = (
    Command(
        "mgmtActiveStart",
        GROUP,
        "Start this instance as the active management instance",
        local=_with_daemon(lambda a: schema.MgmtActiveStart()),
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
        "mgmtActiveSwitch",
        GROUP,
        "Make this instance, the standby, the active management instance",
        (),
        (Option("force", "", "whatever changes are lost, whether the active answers or not"),),
        local=_with_daemon(lambda a: MgmtActiveSwitch(force=a.has("force"))),
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
        "mgmtStandbyStart",
        GROUP,
        "Start this instance as the standby management instance",
        local=_with_daemon(lambda a: MgmtStandbyStart()),
        reply=schema.Done,
    ),
    Command(
        "mgmtStandbyStop",
        GROUP,
        "Stop the standby management instance",
        build=lambda a: MgmtStandbyStop(),
        reply=schema.Done,
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
