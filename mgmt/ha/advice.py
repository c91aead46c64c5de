"""What mgmtExamine says and recommends. Pure: what is known of both instances in, words out.

Every recommended command does its part when it is run as printed; running them and examining
again ends with nothing to recommend.
"""

from __future__ import annotations

from typing import NamedTuple

from mgmt.ha.role import Role

SSH = "ssh -o StrictHostKeyChecking=yes -o PasswordAuthentication=no -x"
NO_ANSWER = "Management database is not available"


class Seen(NamedTuple):
    """One management instance, as the one that examines sees it."""

    name: str
    home: str
    address: str  # of its host, for ssh
    same_machine: bool  # as the one that examines
    role: Role | None  # None: it does not answer
    seq: int | None = None
    in_sync: bool = False  # by the register: it holds every acknowledged change


class Advice(NamedTuple):
    """msgs and cmds of mgmtExamine; `ok`: nothing is wrong."""

    msgs: tuple[str, ...]
    cmds: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is recommended."""
        return not self.cmds


def command(seen: Seen, words: str) -> str:
    """A command line that runs in the environment of that instance, from here."""
    local = f"{seen.home}/bin/ttenv {words}"
    return local if seen.same_machine else f"{SSH} {seen.address} {local}"


def advise(me: Seen, other: Seen | None) -> Advice:
    """other: None when the grid has one management instance."""
    if me.role is Role.NO_GRID:
        return Advice(("There is no grid yet: create it with ttGridAdmin gridCreate.",))
    if me.role is None:
        return _both_down(me, other)
    if me.role is Role.STARTING:
        return Advice(("The management instance waits for the membership servers. Start them.",))
    if other is None:
        return _single(me)
    if Role.ACTIVE in (me.role, other.role):
        active, second = (me, other) if me.role is Role.ACTIVE else (other, me)
        return _with_active(active, second)
    return _without_active(me, other)


def _single(me: Seen) -> Advice:
    if me.role is Role.ACTIVE:
        text = "Active management instance is up. There is no standby. No action required."
        return Advice((text,))
    text = "The management instance is up, but stopped. Make it active."
    words = "mgmtActiveStart" if me.in_sync else "mgmtActiveSwitch -force"
    return Advice((text,), (command(me, f"ttGridAdmin {words}"),))


def _with_active(active: Seen, standby: Seen) -> Advice:
    if standby.role is None:
        return Advice(
            ("Active management instance is up, but standby is down", "Start the standby"),
            (
                command(standby, "ttDaemonAdmin -start -force"),
                command(standby, "ttGridAdmin mgmtStandbyStart"),
            ),
        )
    if standby.role is Role.STOPPED:
        return Advice(
            ("Active management instance is up, but standby is stopped", "Start the standby"),
            (command(standby, "ttGridAdmin mgmtStandbyStart"),),
        )
    if standby.in_sync:
        return Advice(("Both active and standby management instances are up. No action required.",))
    text = "Both active and standby management instances are up. The standby is being brought up"
    return Advice((f"{text} to date. No action required.",))


def _without_active(me: Seen, other: Seen) -> Advice:
    """I answer, and nobody is active."""
    if other.role is None:
        first = "Standby management instance is up, but active is down"
        if me.in_sync:
            words = "mgmtActiveStart" if me.role is Role.STOPPED else "mgmtActiveSwitch"
            return Advice(
                (first, "Promote the standby to active"), (command(me, f"ttGridAdmin {words}"),)
            )
        return Advice(
            (
                first,
                f"The standby lacks changes that {other.name} made without it: start that one. If"
                " it is lost for good, ttGridAdmin mgmtActiveSwitch -force gives its changes up",
            ),
            (
                command(other, "ttDaemonAdmin -start -force"),
                command(other, "ttGridAdmin mgmtActiveStart"),
            ),
        )
    best = _best(me, other)
    second = other if best is me else me
    return Advice(
        (
            "Both management instances are up, but none is active",
            f"Make {best.name} the active: it has the higher or an equal Seq",
        ),
        (
            command(best, "ttGridAdmin mgmtActiveStart"),
            command(second, "ttGridAdmin mgmtStandbyStart"),
        ),
    )


def _both_down(me: Seen, other: Seen | None) -> Advice:
    """The daemon here does not answer, nor does the other one."""
    starts = [command(me, "ttDaemonAdmin -start -force")]
    if other is None:
        return Advice(
            ("The management instance is down. Start it.",),
            (*starts, command(me, "ttGridAdmin mgmtActiveStart")),
        )
    return Advice(
        (
            "Both management instances are down",
            "Start their daemons, then examine again: the one that holds every change becomes"
            " active by itself, the other follows it",
        ),
        (*starts, command(other, "ttDaemonAdmin -start -force")),
    )


def _best(me: Seen, other: Seen) -> Seen:
    if me.in_sync != other.in_sync:
        return me if me.in_sync else other
    return me if (me.seq or 0) >= (other.seq or 0) else other
