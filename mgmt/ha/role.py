"""Which part a management instance plays. Pure.

In this first form an instance is active or not; following as a standby comes with *The life of a
grid*: it will fill the state STANDBY with the replicator and keep everything else.
"""

from __future__ import annotations

from enum import StrEnum

from membership.port import MgmtState


class Role(StrEnum):
    """Of this instance."""

    NO_GRID = "no-grid"  # before gridCreate
    STARTING = "starting"  # no session with the membership servers, or nobody is active yet
    ACTIVE = "active"
    STANDBY = "standby"  # another instance is active
    STOPPED = "stopped"  # mgmtActiveStop: it stays so until mgmtActiveStart


def next_role(
    *, connected: bool, stopped: bool, active: MgmtState | None, name: str, incarnation: str
) -> tuple[Role, bool]:
    """The role that follows from what is known, and whether to try to become active.

    name and incarnation: this instance's own.
    """
    if stopped:
        return Role.STOPPED, False
    if not connected:
        return Role.STARTING, False
    if active is None:
        return Role.STARTING, True
    if active.incarnation == incarnation:
        return Role.ACTIVE, False
    if active.name == name:
        return Role.STARTING, False  # our own former life: its session ends soon
    return Role.STANDBY, False
