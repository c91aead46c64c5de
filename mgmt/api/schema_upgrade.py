"""Requests of gridUpgrade (the HTTP API's part grids/). No I/O."""

from __future__ import annotations

from typing import ClassVar

from mgmt.api.schema import Request


class UpgradeInstallations(Request, frozen=True, kw_only=True):
    """Put a release beside the one in use, on every host with instances."""

    PATH: ClassVar[str] = "grids/upgrade-installations"
    STREAM: ClassVar[bool] = True
    source: str
    name: str = ""  # of the installations; "": made of the release
    location: str = ""  # "": beside the installation in use
    dryrun: bool = False


class UpgradeInstances(Request, frozen=True, kw_only=True):
    """Restart the instances of a kind from another installation."""

    PATH: ClassVar[str] = "grids/upgrade-instances"
    STREAM: ClassVar[bool] = True
    kind: str  # data or mgmt
    to: str  # a release, or the name of installations
    online: bool = True  # data: one after the other; else all at once
    force: bool = False  # whatever the releases are; -offline: an open database too
    dryrun: bool = False
