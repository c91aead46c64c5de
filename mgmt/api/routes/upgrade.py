"""Routes of gridUpgrade."""

from __future__ import annotations

from mgmt.api import schema_upgrade as requests
from mgmt.api.app import Route
from mgmt.service.context import Management
from mgmt.service.upgrade import UpgradeService


def routes(management: Management) -> list[Route]:
    """gridUpgrade in its two forms."""
    upgrade = UpgradeService(management)
    return [
        Route(requests.UpgradeInstallations, upgrade.installations),
        Route(requests.UpgradeInstances, upgrade.instances),
    ]
