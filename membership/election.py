"""Rules: who may stand for lead of a replica set, and who may become active management.

Pure: a view and some moments in, a verdict out. All moments are seconds of CLOCK_BOOTTIME. The
rules are design §3 (lease rules) and §5 (lead failure); they keep guarantee G4: at most one lead
can commit, at most one management instance is active.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from enum import Enum

from membership.port import LEASE_SHARE, ClusterView, SetState

SILENCE_SHARE = 0.8  # of the session timeout; more than LEASE_SHARE, and than any clock's drift


class Verdict(Enum):
    """Whether a copy may stand for lead."""

    STAND = "stand"  # now
    WAIT = "wait"  # not before Standing.not_before_s, or not before the view changes
    NEVER = "never"  # as things are in ZooKeeper: only a new value there can change it
    LEADING = "leading"  # it is the lead already, in this incarnation


@dataclass(frozen=True, slots=True)
class Standing:
    """Verdict, reason (for logs and dbStatus), and when to ask again if time alone can tell."""

    verdict: Verdict
    reason: str
    not_before_s: float = 0.0  # 0.0: only a change of the view can change the verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """One copy of a replica set that asks whether it may lead."""

    element: int
    incarnation: str
    started_s: float  # when this process began to count silence; a restart forgets all beacons
    last_beacon_s: float = 0.0  # when the newest beacon of the lead arrived; 0.0: none yet
    lead_lost: bool = False  # the connection to the lead's process broke and did not come back
    released: bool = False  # the lead gave up its lease in words (planned hand-over)
    known_dead: Set[str] = frozenset()  # e.g. earlier incarnations of the own instance home


def may_stand(
    view: ClusterView, state: SetState, candidate: Candidate, now_s: float, session_timeout_s: float
) -> Standing:
    """May this copy stand for lead? (It still has to compare log tails and win the set's term.)

    session_timeout_s: as negotiated with the membership servers.
    """
    assert session_timeout_s > 0
    if candidate.element not in state.in_sync:
        return Standing(Verdict.NEVER, "not in sync")
    if not view.connected:
        return Standing(Verdict.WAIT, "no membership session")
    if not view.is_alive(candidate.incarnation):
        return Standing(Verdict.WAIT, "own instance is not registered")
    if state.lead == 0:
        return Standing(Verdict.STAND, "nobody leads: the last lead gave up")
    if state.lead == candidate.element and state.lead_incarnation == candidate.incarnation:
        return Standing(Verdict.LEADING, "leads")
    if candidate.released:
        return Standing(Verdict.STAND, "handed over")
    if state.lead_incarnation in view.dead or state.lead_incarnation in candidate.known_dead:
        return Standing(Verdict.STAND, "the lead's process was seen to exit")
    if view.is_alive(state.lead_incarnation) and not candidate.lead_lost:
        return Standing(Verdict.WAIT, "the lead is registered")
    silent_since_s = max(candidate.started_s, candidate.last_beacon_s)
    silence_ends_s = silent_since_s + SILENCE_SHARE * session_timeout_s
    if now_s < silence_ends_s:
        return Standing(Verdict.WAIT, "the lead's lease may still run", silence_ends_s)
    return Standing(Verdict.STAND, "the lead is gone and silent")


def lead_lease_until_s(
    beacons_answered_s: Mapping[int, float],
    in_sync: tuple[int, ...],
    me: int,
    serving_until_s: float,
    session_timeout_s: float,
) -> float:
    """Until when a lead may answer: design §3, rules 1 and 3 together.

    beacons_answered_s: per other element, when the newest beacon that it answered was sent, in
    this term. A missing one means never. A lead without other in-sync copies lives by rule 3.
    """
    others = [element for element in in_sync if element != me]
    answered = [beacons_answered_s.get(element, float("-inf")) for element in others]
    rule_1_s = min(answered, default=float("inf")) + LEASE_SHARE * session_timeout_s
    return min(rule_1_s, serving_until_s)


def is_cut_off(view: ClusterView, reaches: Set[str], apart: Set[str]) -> bool:
    """Whether an instance reaches fewer than half of the data instances that run.

    `apart` (itself, and those whose silence is to be explained) are not counted. Half is enough: of
    two equal halves the one that leads goes on.
    """
    others = {
        str(info.name)
        for info in view.instances.values()
        if info.kind == "data" and info.incarnation not in view.dead
    } - apart
    return 2 * len(others & reaches) < len(others)


def may_become_active(view: ClusterView, incarnation: str) -> Standing:
    """May this management instance take the active role by itself? The session guards the rest."""
    if not view.connected:
        return Standing(Verdict.WAIT, "no membership session")
    if not view.is_alive(incarnation):
        return Standing(Verdict.WAIT, "own instance is not registered")
    if view.mgmt is None:
        return Standing(Verdict.STAND, "nobody is active")
    if view.mgmt.incarnation == incarnation:
        return Standing(Verdict.LEADING, "active")
    return Standing(Verdict.WAIT, f"{view.mgmt.name} is active")
