"""Requests about the management instances themselves, beside those in schema.py. No I/O."""

from __future__ import annotations

from typing import ClassVar

from mgmt.api.schema import Request


class MgmtActiveSwitch(Request, frozen=True, kw_only=True):
    """Make this instance, the standby, the active one; force: whatever changes are lost."""

    PATH: ClassVar[str] = "mgmt/active-switch"
    force: bool = False


class MgmtStandbyStart(Request, frozen=True, kw_only=True):
    """Follow the active again."""

    PATH: ClassVar[str] = "mgmt/standby-start"


class MgmtStandbyStop(Request, frozen=True, kw_only=True):
    """Follow no more, and become active by no means but a command."""

    PATH: ClassVar[str] = "mgmt/standby-stop"
