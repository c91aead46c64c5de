"""Which faults a drill does, by a seed. Pure: the same seed gives the same faults.

Whom a fault hits is said by role (the lead of a replica set, a copy, a host), because leads move;
the driver (`faults.py`) looks who that is at the moment. SIGKILL may hit all copies of everything:
what the operating system has taken is kept. A lost or damaged file is the only one at a time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SERVERS = 3
BESIDE_SHARE = 0.25  # of the faults that may have another one beside them
CLOCK_STEPS_S = (-86_400.0, -3_600.0, -30.0, -2.0, 2.0, 30.0, 3_600.0, 86_400.0)


class Kind(StrEnum):
    """What is done."""

    KILL_DAEMON = "kill daemon"  # its supervisor sees it and starts another
    KILL_INSTANCE = "kill daemon and supervisor"  # as if the host had gone; started by hand
    KILL_SUPERVISOR = "kill supervisor"  # the kernel ends its daemon; started by hand
    KILL_TWO = "kill instances of two replica sets"
    KILL_AGAIN = "kill daemon again and again"  # also while it catches up
    KILL_SET = "kill all copies of a replica set"
    KILL_DATA = "kill all data instances"
    KILL_GRID = "kill everything"  # membership servers and management too
    SUSPEND = "suspend"  # SIGSTOP: connections stay open
    SUSPEND_HOST = "suspend daemon and supervisor"  # as a virtual machine that is paused
    SUSPEND_SERVER = "suspend a membership server"
    SUSPEND_MANAGEMENT = "suspend the management instance"
    STOP = "stop and start"  # planned
    ROLL = "stop and start all, one after the other"
    MANAGEMENT = "kill the management instance"
    SERVER = "kill a membership server"
    SERVER_AND_DAEMON = "kill a membership server and a daemon"
    QUORUM = "kill two membership servers"  # no quorum until one is back
    LOSE_FILE = "remove an element's file"
    DAMAGE_FILE = "overwrite parts of an element's file"
    CLOCK = "step the clock"
    DISK = "fill the disk"  # of the instance home and its elements
    LINK = "cut the link between lead and copy"  # membership servers in reach of both
    ISOLATE = "cut off from all other data instances"
    ONE_WAY = "cut one way"  # it can hear and not speak
    SERVERS = "cut off from the membership servers"  # and from nothing else
    ALONE = "cut off from everything"
    CUT_AND_KILL = "cut the link between lead and copy, kill the lead's host"  # before it gives up


LINKS = (Kind.LINK, Kind.ISOLATE, Kind.ONE_WAY, Kind.SERVERS, Kind.ALONE, Kind.CUT_AND_KILL)
# The others need nothing of the machine.
WITHOUT_ROOT = tuple(k for k in Kind if k not in (*LINKS, Kind.DISK, Kind.CLOCK))
# Not in the seconds of `make test`.
SHORT = (Kind.KILL_DAEMON, Kind.KILL_INSTANCE, Kind.KILL_SET, Kind.SUSPEND, Kind.STOP)
# These may run beside another one of them, or beside a link that is cut.
BESIDE = (
    *(Kind.KILL_DAEMON, Kind.KILL_INSTANCE, Kind.KILL_SUPERVISOR, Kind.SUSPEND, Kind.STOP),
    *(Kind.SERVER, Kind.SUSPEND_SERVER, Kind.MANAGEMENT, Kind.SUSPEND_MANAGEMENT),
    *(Kind.CLOCK, Kind.DISK),
)
WITHOUT_HOST = (
    *(Kind.SERVER, Kind.SUSPEND_SERVER, Kind.QUORUM, Kind.MANAGEMENT, Kind.SUSPEND_MANAGEMENT),
)

WEIGHTS = {  # 1 if not named
    Kind.KILL_DAEMON: 4,
    Kind.KILL_INSTANCE: 4,
    Kind.KILL_TWO: 2,
    Kind.KILL_AGAIN: 2,
    Kind.KILL_SET: 2,
    Kind.SUSPEND: 4,
    Kind.STOP: 2,
    Kind.LINK: 3,
    Kind.ISOLATE: 2,
    Kind.ONE_WAY: 2,
    Kind.SERVERS: 2,
    Kind.ALONE: 2,
    Kind.CUT_AND_KILL: 3,
    Kind.DISK: 2,
    Kind.CLOCK: 2,
}
HOLD_S = {  # how long it stays so: least, most
    Kind.KILL_DAEMON: (0.0, 0.0),
    Kind.KILL_INSTANCE: (0.5, 6.0),
    Kind.KILL_SUPERVISOR: (0.0, 4.0),
    Kind.KILL_TWO: (0.5, 5.0),
    Kind.KILL_AGAIN: (0.5, 6.0),
    Kind.KILL_SET: (0.0, 4.0),
    Kind.KILL_DATA: (0.0, 4.0),
    Kind.KILL_GRID: (0.0, 2.0),
    Kind.SUSPEND: (0.3, 10.0),
    Kind.SUSPEND_HOST: (0.3, 10.0),
    Kind.SUSPEND_SERVER: (1.0, 10.0),
    Kind.SUSPEND_MANAGEMENT: (1.0, 10.0),
    Kind.STOP: (0.0, 4.0),
    Kind.ROLL: (0.0, 1.0),
    Kind.MANAGEMENT: (0.0, 5.0),
    Kind.SERVER: (1.0, 5.0),
    Kind.SERVER_AND_DAEMON: (1.0, 4.0),
    Kind.QUORUM: (1.0, 6.0),
    Kind.LOSE_FILE: (0.0, 3.0),
    Kind.DAMAGE_FILE: (0.0, 3.0),
    Kind.CLOCK: (1.0, 6.0),
    Kind.DISK: (2.0, 8.0),
    Kind.LINK: (0.5, 8.0),
    Kind.ISOLATE: (0.5, 8.0),
    Kind.ONE_WAY: (0.5, 8.0),
    Kind.SERVERS: (0.5, 8.0),
    Kind.ALONE: (0.5, 8.0),
    Kind.CUT_AND_KILL: (0.1, 0.9),  # a silent copy is given up after 1 s
}


@dataclass(frozen=True)
class Fault:
    """One fault of a plan."""

    kind: Kind
    pause_s: float  # quiet time before it
    hold_s: float
    wants_lead: bool  # else the copy
    replica_set: int  # counted from 0, modulo how many there are
    server: int  # a membership server, 1 to 3
    step_s: float = 0.0  # of a clock
    beside: Fault | None = None  # begins its own pause after this one

    def __str__(self) -> str:
        role = "lead" if self.wants_lead else "copy"
        hit = {
            Kind.SERVER: f"number {self.server}",
            Kind.SUSPEND_SERVER: f"number {self.server}",
            Kind.QUORUM: f"all but number {self.server}",
            Kind.CUT_AND_KILL: f"replica set {self.replica_set + 1}",
            Kind.KILL_SET: f"replica set {self.replica_set + 1}",
            Kind.KILL_TWO: "both leads" if self.wants_lead else "both copies",
            Kind.KILL_DATA: "",
            Kind.KILL_GRID: "",
            Kind.ROLL: "",
            Kind.MANAGEMENT: "its supervisor lives" if self.wants_lead else "and its supervisor",
            Kind.SUSPEND_MANAGEMENT: "",
            Kind.CLOCK: f"by {self.step_s:+g} s, {role} of replica set {self.replica_set + 1}",
        }.get(self.kind, f"{role} of replica set {self.replica_set + 1}")
        return f"{self.kind}: {hit}" if hit else str(self.kind)


def plan(
    seed: int,
    *,
    count: int,
    kinds: tuple[Kind, ...] = WITHOUT_ROOT,
    sets: int = 2,
    is_paired: bool = True,
) -> list[Fault]:
    """The first faults of a seed. Every kind comes once before any comes twice, alone; after
    that some have another one beside them, if `is_paired`."""
    chance = random.Random(seed)
    once = list(kinds)
    chance.shuffle(once)
    weights = [WEIGHTS.get(kind, 1) for kind in kinds]
    partners = [kind for kind in kinds if kind in BESIDE]
    found = []
    for number in range(count):
        drawn = chance.choices(kinds, weights)[0]
        kind = once[number] if number < len(once) else drawn
        may_pair = is_paired and number >= len(once) and partners and len(kinds) > 1
        beside = None
        if may_pair and kind in (*BESIDE, *LINKS) and chance.random() < BESIDE_SHARE:
            beside = _fault(chance, chance.choice(partners), sets)
        found.append(_fault(chance, kind, sets, beside))
    return found


def _fault(chance: random.Random, kind: Kind, sets: int, beside: Fault | None = None) -> Fault:
    return Fault(
        kind,
        chance.uniform(0.5, 4.0),
        round(chance.uniform(*HOLD_S[kind]), 2),
        chance.random() < 0.65,
        chance.randrange(sets),
        chance.randint(1, SERVERS),
        chance.choice(CLOCK_STEPS_S) if kind is Kind.CLOCK else 0.0,
        beside,
    )
