"""connectableCreate, connectableModify, connectableExport, connectableList, connectableDelete."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, read_text, stem, version_choice, write_or_show
from mgmt.cli.render import table
from protocol.errors import UsageError

GROUP = "Connectables"
_ONLY = Option("only", "HOST[.NAME]", "only these data instances", repeat=True)


def _create(arguments: Arguments) -> schema.ConnectableCreate:
    if not arguments.has("dbdef"):
        raise UsageError("connectableCreate wants -dbdef DATABASE")
    kind = arguments.one_of("cs", "direct")
    file = arguments.word("FILE")
    return schema.ConnectableCreate(
        name=stem(file, ".connect"),
        database=arguments.value("dbdef"),
        client_server=kind == "cs",
        only=arguments.values("only"),
        text=read_text(file),
    )


def _modify(arguments: Arguments) -> schema.ConnectableModify:
    file = arguments.word("FILE")
    return schema.ConnectableModify(
        name=stem(file, ".connect"), only=arguments.values("only"), text=read_text(file)
    )


def _list(reply: schema.ConnectableListReply, arguments: Arguments) -> str:
    rows = [
        (c.name, c.database, "Client/Server" if c.kind == "cs" else "Direct", " ".join(c.only))
        for c in reply.connectables
    ]
    return table(("Connectable", "Database", "Type", "Only"), rows)


COMMANDS = (
    Command(
        "connectableCreate",
        GROUP,
        "Add a connectable to the model",
        (Positional("FILE"),),
        (
            Option("dbdef", "DATABASE", "the database definition"),
            Option("cs", "", "for clients over the external network"),
            Option("direct", "", "for programs on a data instance's host (default)"),
            _ONLY,
        ),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "connectableModify",
        GROUP,
        "Replace the attributes of a connectable",
        (Positional("FILE"),),
        (_ONLY,),
        build=_modify,
        reply=schema.Done,
    ),
    Command(
        "connectableExport",
        GROUP,
        "Write a connectable to a file",
        (Positional("NAME"), Positional("FILE", required=False)),
        VERSION_OPTIONS,
        build=lambda a: schema.ConnectableExport(name=a.word("NAME"), version=version_choice(a)),
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
    Command(
        "connectableList",
        GROUP,
        "List the connectables of the model",
        (),
        VERSION_OPTIONS,
        build=lambda a: schema.ConnectableList(version=version_choice(a)),
        reply=schema.ConnectableListReply,
        render=_list,
    ),
    Command(
        "connectableDelete",
        GROUP,
        "Remove a connectable from the model",
        (Positional("NAME"),),
        build=lambda a: schema.ConnectableDelete(name=a.word("NAME")),
        reply=schema.Done,
    ),
)
