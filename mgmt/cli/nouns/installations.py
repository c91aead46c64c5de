"""installationCreate, installationDelete, installationList, installationStatus."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, version_choice
from mgmt.cli.render import moment, table
from protocol.errors import UsageError

GROUP = "Installations"


def _create(arguments: Arguments) -> schema.InstallationCreate:
    host, _, name = arguments.word("HOST[.NAME]").partition(".")
    if not arguments.has("location"):
        raise UsageError("installationCreate wants -location PATH")
    return schema.InstallationCreate(
        host=host,
        name=name or "installation1",
        location=arguments.value("location"),
        source=arguments.value("source"),
        comment=arguments.value("comment"),
    )


def _list(reply: schema.InstallationListReply, arguments: Arguments) -> str:
    if not arguments.has("instance"):
        rows = [(i.host, i.name, i.location, i.comment) for i in reply.installations]
        return table(("Host", "Install", "Location", "Comment"), rows)
    detailed = [
        (i.host, i.name, instance, i.location, i.comment)
        for i in reply.installations
        for instance in i.instances or ("",)
    ]
    return table(("Host", "Install", "Instance", "Location", "Comment"), detailed)


def _status(reply: schema.InstallationStatusReply, arguments: Arguments) -> str:
    rows = [
        (
            i.host,
            i.name,
            "Yes" if i.usable else "No",
            "Y" if i.delete_pending else "N",
            i.message,
            moment(i.when_us),
        )
        for i in reply.installations
    ]
    return table(("Host", "Install", "Usable", "DelPend", "Message", "When"), rows)


COMMANDS = (
    Command(
        "installationCreate",
        GROUP,
        "Add an installation to the model",
        (Positional("HOST[.NAME]"),),
        (
            Option("location", "PATH", "directory; may hold !!HOST_NAME!!"),
            Option("source", "[ADDR:]PATH", "what to copy (default: the active management's)"),
            Option("comment", "TEXT", "free text"),
        ),
        build=_create,
        reply=schema.Done,
    ),
    Command(
        "installationDelete",
        GROUP,
        "Remove an installation from the model",
        (Positional("HOST[.NAME]"),),
        build=lambda a: schema.InstallationDelete(address=a.word("HOST[.NAME]")),
        reply=schema.Done,
    ),
    Command(
        "installationList",
        GROUP,
        "List the installations of the model",
        (),
        (*VERSION_OPTIONS, Option("instance", "", "with the instances of each")),
        build=lambda a: schema.InstallationList(version=version_choice(a)),
        reply=schema.InstallationListReply,
        render=_list,
    ),
    Command(
        "installationStatus",
        GROUP,
        "Show which installations are in place",
        build=lambda a: schema.InstallationStatus(),
        reply=schema.InstallationStatusReply,
        render=_status,
    ),
)
