"""Which part a management instance plays, and who may become active. Pure.

The rules keep two guarantees (DESIGN.md): at most one management instance acknowledges changes,
and an acknowledged change is lost only when a command with -force says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from membership.port import Amendment, Claim, MgmtRegister, MgmtState


class Role(StrEnum):
    """Of this instance."""

    NO_GRID = "no-grid"  # before gridCreate
    STARTING = "starting"  # no session with the membership servers, or nobody is active yet
    ACTIVE = "active"
    STANDBY = "standby"  # follows the active, or waits for one
    STOPPED = "stopped"  # mgmtActiveStop, mgmtStandbyStop: it stays so until it is started


class Facts(NamedTuple):
    """What an instance knows when it asks for its role."""

    name: str
    incarnation: str
    copy: str  # of its store, see copy_name
    connected: bool  # with the membership servers
    lease: bool  # the newest answered heartbeat is fresh enough to act on
    has_grid: bool  # its store holds a grid: a new standby's does not before its first full copy
    standby_stopped: bool  # mgmtStandbyStop was done here
    automatic: bool  # a standby may become active without a command
    active: MgmtState | None
    register: MgmtRegister


def copy_name(name: str, copy_id: str) -> str:
    """How the register calls one store of one instance."""
    return f"{name}#{copy_id}"


def instance_of(copy: str) -> str:
    """The instance of a copy's name."""
    return copy.partition("#")[0]


def next_role(facts: Facts) -> tuple[Role, bool]:
    """The role that follows from what is known, and whether to try to become active."""
    active, register = facts.active, facts.register
    if active is not None and active.incarnation == facts.incarnation:
        return (Role.ACTIVE if facts.lease else Role.STARTING), False
    if facts.standby_stopped:
        return Role.STOPPED, False
    if not facts.connected:
        return Role.STARTING, False
    if active is not None:
        former_life = active.name == facts.name  # its session ends soon
        return (Role.STARTING if former_life else Role.STANDBY), False
    if register.stopped:
        return (Role.STOPPED if register.last == facts.copy else Role.STANDBY), False
    if not facts.has_grid or not is_in_sync(register, facts.copy):
        return Role.STANDBY, False
    if facts.automatic or register.last in ("", facts.copy):
        return Role.STARTING, True
    return Role.STANDBY, False


def is_in_sync(register: MgmtRegister, copy: str) -> bool:
    """Whether this copy holds every acknowledged change (a register without copies: a new grid)."""
    return copy in register.in_sync or not register.in_sync


def claim_by_itself(copy: str) -> Claim:
    """Become active because nobody is."""

    def claim(active: MgmtState | None, register: MgmtRegister) -> MgmtRegister | None:
        if active is not None or register.stopped or not is_in_sync(register, copy):
            return None
        return replace(register, last=copy, in_sync=register.in_sync or (copy,))

    return claim


def claim_by_command(copy: str) -> Claim:
    """mgmtActiveStart, mgmtActiveSwitch: also after mgmtActiveStop."""

    def claim(active: MgmtState | None, register: MgmtRegister) -> MgmtRegister | None:
        if active is not None or not is_in_sync(register, copy):
            return None
        in_sync = register.in_sync or (copy,)
        return replace(register, last=copy, in_sync=in_sync, stopped=False)

    return claim


def claim_by_force(copy: str, own_seq: int) -> Claim:
    """mgmtActiveSwitch -force: whoever is active, whatever is lost."""

    def claim(active: MgmtState | None, register: MgmtRegister) -> MgmtRegister | None:
        return MgmtRegister(register.term, copy, (copy,), stopped=False, alone_seq=own_seq)

    return claim


def only(copy: str, seq: int) -> Amendment:
    """The active goes on alone; from `seq` on the others miss changes."""

    def amend(register: MgmtRegister) -> MgmtRegister:
        if register.in_sync == (copy,):
            return register
        return replace(register, in_sync=(copy,), alone_seq=seq)

    return amend


def both(copies: Iterable[str]) -> Amendment:
    """The standby has caught up."""
    return lambda register: replace(register, in_sync=tuple(copies))


def stopped(register: MgmtRegister) -> MgmtRegister:
    """mgmtActiveStop."""
    return replace(register, stopped=True)
