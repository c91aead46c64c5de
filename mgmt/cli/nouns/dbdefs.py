"""dbdefCreate, dbdefModify, dbdefExport, dbdefList, dbdefDelete."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, read_text, stem, version_choice, write_or_show

GROUP = "Database definitions"


def _create(arguments: Arguments) -> schema.DbdefCreate:
    file = arguments.word("FILE")
    return schema.DbdefCreate(name=stem(file, ".dbdef"), text=read_text(file))


def _modify(arguments: Arguments) -> schema.DbdefModify:
    file = arguments.word("FILE")
    return schema.DbdefModify(name=stem(file, ".dbdef"), text=read_text(file))


COMMANDS = (
    Command(
        "dbdefCreate",
        GROUP,
        "Add a database definition to the model",
        (Positional("FILE"),),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "dbdefModify",
        GROUP,
        "Replace the attributes of a database definition",
        (Positional("FILE"),),
        build=_modify,
        reply=schema.Done,
    ),
    Command(
        "dbdefExport",
        GROUP,
        "Write a database definition to a file",
        (Positional("NAME"), Positional("FILE", required=False)),
        VERSION_OPTIONS,
        build=lambda a: schema.DbdefExport(name=a.word("NAME"), version=version_choice(a)),
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
    Command(
        "dbdefList",
        GROUP,
        "List the database definitions of the model",
        (),
        VERSION_OPTIONS,
        build=lambda a: schema.DbdefList(version=version_choice(a)),
        reply=schema.NamesReply,
        render=lambda reply, a: "\n".join(reply.names),
    ),
    Command(
        "dbdefDelete",
        GROUP,
        "Remove a database definition and its connectables from the model",
        (Positional("NAME"),),
        build=lambda a: schema.DbdefDelete(name=a.word("NAME")),
        reply=schema.Done,
    ),
)
