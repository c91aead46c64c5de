"""membershipConfigImport, membershipConfigExport."""

from __future__ import annotations

from mgmt.api import schema
from mgmt.cli.command import Command, Positional
from mgmt.cli.nouns.common import VERSION_OPTIONS, read_text, version_choice, write_or_show

GROUP = "Membership"

COMMANDS = (
    Command(
        "membershipConfigImport",
        GROUP,
        "Replace the list of membership servers in the model",
        (Positional("FILE"),),
        build=lambda a: schema.MembershipConfigImport(
            text=read_text(a.word("FILE")), file=a.word("FILE")
        ),
        reply=schema.Done,
    ),
    Command(
        "membershipConfigExport",
        GROUP,
        "Write the list of membership servers to a file",
        (Positional("FILE", required=False),),
        VERSION_OPTIONS,
        build=lambda a: schema.MembershipConfigExport(version=version_choice(a)),
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
)
