"""All routes of a management instance, noun by noun."""

from __future__ import annotations

from mgmt.api.app import Route
from mgmt.api.routes import (
    backups,
    certificates,
    connectables,
    databases,
    dbdefs,
    grids,
    hosts,
    installations,
    instances,
    management,
    models,
    upgrade,
    watching,
)
from mgmt.api.routes.management import Roles
from mgmt.service.context import Management
from mgmt.service.watching import Watcher


def routes(shared: Management, roles: Roles, watcher: Watcher) -> list[Route]:
    """The routes; `roles` is the management instance itself."""
    return [
        *grids.routes(shared, roles),
        *hosts.routes(shared),
        *installations.routes(shared),
        *instances.routes(shared),
        *models.routes(shared),
        *dbdefs.routes(shared),
        *databases.routes(shared),
        *backups.routes(shared),
        *certificates.routes(shared),
        *connectables.routes(shared),
        *management.routes(shared, roles),
        *upgrade.routes(shared),
        *watching.routes(watcher),
    ]
