"""The one table of ttGridAdmin's commands, put together from the nouns."""

from __future__ import annotations

from mgmt.cli.command import Command
from mgmt.cli.nouns import (
    backups,
    certificates,
    connectables,
    connections,
    databases,
    dbdefs,
    execs,
    grids,
    hosts,
    installations,
    instances,
    management,
    membership_config,
    models,
    operations,
    ssh,
    upgrade,
    watch,
)

COMMANDS: tuple[Command, ...] = (
    *backups.COMMANDS,
    *certificates.COMMANDS,
    *connectables.COMMANDS,
    *databases.COMMANDS,
    *connections.COMMANDS,
    *dbdefs.COMMANDS,
    *grids.COMMANDS,
    *hosts.COMMANDS,
    *installations.COMMANDS,
    *instances.COMMANDS,
    *execs.COMMANDS,
    *management.COMMANDS,
    *membership_config.COMMANDS,
    *models.COMMANDS,
    *operations.COMMANDS,
    *ssh.COMMANDS,
    *upgrade.COMMANDS,
    *watch.COMMANDS,
)


def find(name: str) -> Command | None:
    """The command of that name, whatever its case."""
    wanted = name.lower()
    return next((command for command in COMMANDS if command.name.lower() == wanted), None)
