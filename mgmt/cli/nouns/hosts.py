"""hostCreate, hostModify, hostDelete, hostList."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import ADDRESS_OPTIONS, VERSION_OPTIONS, addresses, version_choice
from mgmt.cli.render import table
from protocol.errors import UsageError

GROUP = "Hosts"


def _create(arguments: Arguments) -> schema.HostCreate:
    internal, external = addresses(arguments)
    if arguments.has("cascade") and not arguments.has("like"):
        raise UsageError("-cascade goes with -like")
    return schema.HostCreate(
        name=arguments.word("NAME"),
        internal_address=internal,
        external_address=external,
        data_space_group=_group(arguments),
        like=arguments.value("like"),
        cascade=arguments.has("cascade"),
        comment=arguments.value("comment") if arguments.has("comment") else None,
    )


def _group(arguments: Arguments) -> int | None:
    if arguments.one_of("dataSpaceGroup", "noDataSpaceGroup") == "noDataSpaceGroup":
        return 0
    return arguments.optional_integer("dataSpaceGroup")


def _modify(arguments: Arguments) -> schema.HostModify:
    if not any(arguments.has(option.name) for option in _GROUP_OPTIONS):
        raise UsageError("hostModify wants -dataSpaceGroup, -noDataSpaceGroup or -comment")
    return schema.HostModify(
        name=arguments.word("NAME"),
        data_space_group=_group(arguments),
        comment=arguments.value("comment") if arguments.has("comment") else None,
    )


def _list(reply: schema.HostListReply, arguments: Arguments) -> str:
    rows = [
        (h.name, h.internal_address, h.external_address, h.data_space_group or None, h.comment)
        for h in reply.hosts
    ]
    return table(("Name", "IntAddress", "ExtAddress", "DSG", "Comment"), rows)


_GROUP_OPTIONS = (
    Option("dataSpaceGroup", "N", "data space group 1..K"),
    Option("noDataSpaceGroup", "", "no group: a host without data instances"),
    Option("comment", "TEXT", "free text"),
)

COMMANDS = (
    Command(
        "hostCreate",
        GROUP,
        "Add a host to the model",
        (Positional("NAME", required=False),),
        (
            *ADDRESS_OPTIONS,
            Option("like", "HOST", "take attributes from this host"),
            Option("cascade", "", "with -like: its installations and instances too"),
            *_GROUP_OPTIONS,
        ),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "hostModify",
        GROUP,
        "Change a host's data space group or comment (name and addresses never change)",
        (Positional("NAME"),),
        _GROUP_OPTIONS,
        build=_modify,
        reply=schema.Done,
    ),
    Command(
        "hostDelete",
        GROUP,
        "Remove a host from the model",
        (Positional("NAME"),),
        (Option("cascade", "", "with its installations and instances"),),
        build=lambda a: schema.HostDelete(name=a.word("NAME"), cascade=a.has("cascade")),
        reply=schema.Done,
    ),
    Command(
        "hostList",
        GROUP,
        "List the hosts of the model",
        (),
        VERSION_OPTIONS,
        build=lambda a: schema.HostList(version=version_choice(a)),
        reply=schema.HostListReply,
        render=_list,
    ),
)
