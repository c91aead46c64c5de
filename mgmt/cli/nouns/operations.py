"""operationList, operationCancel: the long commands that run or ran."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Positional
from mgmt.cli.render import moment, table
from protocol.errors import UsageError

GROUP = "Operations"


def _list(reply: schema.OperationListReply, arguments: Arguments) -> str:
    rows = [
        (
            o.id,
            o.kind,
            o.subject,
            o.state,
            f"{o.step}/{o.steps}",
            moment(o.started_us),
            moment(o.ended_us),
            o.message or (o.title if o.state == "running" else ""),
        )
        for o in reply.operations
    ]
    headings = ("Id", "Command", "Subject", "State", "Step", "Started", "Ended", "Message")
    return table(headings, rows)


def _cancel(arguments: Arguments) -> schema.OperationCancel:
    text = arguments.word("ID")
    if not text.isdigit():
        raise UsageError(f"operationCancel wants a number, not '{text}'")
    return schema.OperationCancel(id=int(text))


COMMANDS = (
    Command(
        "operationList",
        GROUP,
        "List the long commands that run or ran",
        build=lambda a: schema.OperationList(),
        reply=schema.OperationListReply,
        render=_list,
    ),
    Command(
        "operationCancel",
        GROUP,
        "Ask a running operation to end",
        (Positional("ID"),),
        build=_cancel,
        reply=schema.Done,
    ),
)
