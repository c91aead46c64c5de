"""instanceCreate, instanceModify, instanceDelete, instanceList, instanceStatus."""

from __future__ import annotations

import msgspec

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, version_choice
from mgmt.cli.render import table
from protocol.errors import UsageError

GROUP = "Instances"
_KINDS = {"data": "data", "management": "mgmt", "mgmt": "mgmt", "all": "all"}


def kind_option(arguments: Arguments, default: str) -> str:
    """The value of -type as data, mgmt or all. Raises UsageError."""
    text = arguments.value("type", default).lower()
    if text not in _KINDS:
        every = "all, " if default == "all" else ""
        raise UsageError(f"-type {text}: use {every}data or management")
    return _KINDS[text]


def _create(arguments: Arguments) -> schema.InstanceCreate:
    host, _, name = arguments.word("HOST[.NAME]").partition(".")
    if not arguments.has("location"):
        raise UsageError("instanceCreate wants -location PATH")
    kind = kind_option(arguments, "data")
    if kind == "all":
        raise UsageError("-type: use data or management")
    return schema.InstanceCreate(
        host=host,
        name=name or "instance1",
        kind=kind,
        location=arguments.value("location"),
        installation=arguments.value("installation"),
        daemon_port=arguments.integer("daemonPort", 6624),
        cs_port=arguments.integer("csPort", 6625),
        mgmt_port=arguments.integer("mgmtPort", 3754),
        comment=arguments.value("comment"),
    )


def _modify(arguments: Arguments) -> schema.InstanceModify:
    if not any(arguments.has(option.name) for option in _PORT_OPTIONS):
        names = ", ".join(f"-{option.name}" for option in _PORT_OPTIONS[:-1])
        raise UsageError(f"instanceModify wants {names} or -{_PORT_OPTIONS[-1].name}")
    return schema.InstanceModify(
        address=arguments.word("HOST[.NAME]"),
        installation=arguments.value("installation") if arguments.has("installation") else None,
        daemon_port=arguments.optional_integer("daemonPort"),
        cs_port=arguments.optional_integer("csPort"),
        mgmt_port=arguments.optional_integer("mgmtPort"),
        comment=arguments.value("comment") if arguments.has("comment") else None,
    )


def _list(reply: schema.InstanceListReply, arguments: Arguments) -> str:
    headings = ["Host", "Instance", "Type", "Instance Home", "Port", "CSPort", "MgmtPort"]
    with_installation = arguments.has("install")
    if with_installation:
        headings.append("Installation")
    rows = []
    for i in reply.instances:
        row: list[object] = [
            i.host,
            i.name,
            "Mgmt" if i.kind == "mgmt" else "Data",
            i.home,
            i.daemon_port,
            i.cs_port,
            i.mgmt_port or None,
        ]
        rows.append([*row, *([i.installation] if with_installation else []), i.comment])
    return table((*headings, "Comment"), rows)


def _status(reply: schema.InstanceStatusReply, arguments: Arguments) -> str:
    """instanceStatus has only the JSON form in TimesTen."""
    return msgspec.json.format(msgspec.json.encode({"jsonVer": 1, "hosts": reply.hosts})).decode()


_PORT_OPTIONS = (
    Option("installation", "NAME", "the installation it runs from"),
    Option("daemonPort", "PORT", "internal network (6624)"),
    Option("csPort", "PORT", "SQL clients (6625)"),
    Option("mgmtPort", "PORT", "management API (3754)"),
    Option("comment", "TEXT", "free text"),
)
_TYPE_OPTION = Option("type", "data|management", "kind of instance")

COMMANDS = (
    Command(
        "instanceCreate",
        GROUP,
        "Add an instance to the model",
        (Positional("HOST[.NAME]"),),
        (
            Option("location", "PATH", "directory of its home; may hold !!HOST_NAME!!"),
            _TYPE_OPTION,
            *_PORT_OPTIONS,
        ),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "instanceModify",
        GROUP,
        "Change ports, installation or comment",
        (Positional("HOST[.NAME]"),),
        _PORT_OPTIONS,
        build=_modify,
        reply=schema.Done,
    ),
    Command(
        "instanceDelete",
        GROUP,
        "Remove an instance from the model",
        (Positional("HOST[.NAME]"),),
        build=lambda a: schema.InstanceDelete(address=a.word("HOST[.NAME]")),
        reply=schema.Done,
    ),
    Command(
        "instanceList",
        GROUP,
        "List the instances of the model",
        (),
        (*VERSION_OPTIONS, _TYPE_OPTION, Option("install", "", "with the installation of each")),
        build=lambda a: schema.InstanceList(version=version_choice(a), kind=kind_option(a, "all")),
        reply=schema.InstanceListReply,
        render=_list,
    ),
    Command(
        "instanceStatus",
        GROUP,
        "Show which instances are members (JSON)",
        (),
        (_TYPE_OPTION,),
        build=lambda a: schema.InstanceStatus(kind=kind_option(a, "all")),
        reply=schema.InstanceStatusReply,
        render=_status,
    ),
)
