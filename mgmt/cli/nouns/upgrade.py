"""gridUpgrade."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.api import schema_upgrade as requests
from mgmt.cli.command import Arguments, Command, Option
from protocol.errors import UsageError


def _upgrade(arguments: Arguments) -> schema.Request:
    form = arguments.one_of("createInstallations", "type")
    if form == "createInstallations":
        if not arguments.has("source"):
            raise UsageError("gridUpgrade -createInstallations wants -source WHERE")
        return requests.UpgradeInstallations(
            source=arguments.value("source"),
            name=arguments.value("name"),
            location=arguments.value("location"),
            dryrun=arguments.has("dryrun"),
        )
    if form != "type" or not arguments.has("to"):
        raise UsageError(
            "gridUpgrade wants -createInstallations -source WHERE, -type mgmt -to REL,"
            " or -type data -to REL -online|-offline"
        )
    kind = {"management": "mgmt"}.get(arguments.value("type"), arguments.value("type"))
    how = arguments.one_of("online", "offline")
    if kind == "data" and not how:
        raise UsageError("gridUpgrade -type data wants -online or -offline")
    if kind != "data" and how:
        raise UsageError(f"-{how} goes with -type data")
    return requests.UpgradeInstances(
        kind=kind,
        to=arguments.value("to"),
        online=how != "offline",
        force=arguments.has("force"),
        dryrun=arguments.has("dryrun"),
    )


COMMANDS = (
    Command(
        "gridUpgrade",
        "Grid",
        "Bring the grid to another installation, instance after instance",
        (),
        (
            Option("createInstallations", "", "make an installation on every host with instances"),
            Option("source", "WHERE", "of which: directory or archive, also ADDRESS:/path"),
            Option("name", "NAME", "of the new installations (installation-RELEASE)"),
            Option("location", "DIR", "where they are made (beside those in use)"),
            Option("type", "mgmt|data", "restart these instances from it, management first"),
            Option("to", "REL", "release, or name of the installations"),
            Option("online", "", "one data instance at a time, while clients work (K > 1)"),
            Option("offline", "", "all data instances at once, the databases closed"),
            Option("force", "", "whatever the releases are; with -offline: open databases too"),
            Option("dryrun", "", "only say what would be done"),
        ),
        build=_upgrade,
        reply=schema.Done,
    ),
)
