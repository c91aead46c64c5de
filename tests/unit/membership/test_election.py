"""Who may stand for lead, and until when a lead may answer (design: lease rules)."""

from __future__ import annotations

import random
from dataclasses import replace

from membership.election import (
    SILENCE_SHARE,
    Candidate,
    Verdict,
    is_cut_off,
    lead_lease_until_s,
    may_become_active,
    may_stand,
)
from membership.port import LEASE_SHARE, ClusterView, InstanceInfo, MgmtState, SetState
from protocol.ids import InstanceName

TIMEOUT_S = 2.0
STATE = SetState(4, 1, "lead-life", (1, 2), "lead-life", 9)
COPY = Candidate(element=2, incarnation="copy-life", started_s=100.0, last_beacon_s=110.0)


def info(name: str, incarnation: str) -> InstanceInfo:
    return InstanceInfo(InstanceName(name), "data", incarnation, "127.0.0.1", 1)


COPY_INFO, LEAD_INFO = info("h2.i1", "copy-life"), info("h1.i1", "lead-life")
LEAD_GONE = ClusterView(connected=True, session=1, instances={"h2.i1": COPY_INFO})
LEAD_THERE = replace(LEAD_GONE, instances={"h2.i1": COPY_INFO, "h1.i1": LEAD_INFO})


def test_a_copy_waits_longer_than_a_lease_after_the_last_beacon() -> None:
    assert SILENCE_SHARE > LEASE_SHARE * 1.1
    early = may_stand(LEAD_GONE, STATE, COPY, 111.59, TIMEOUT_S)
    assert (early.verdict, early.not_before_s) == (Verdict.WAIT, 111.6)
    assert may_stand(LEAD_GONE, STATE, COPY, 111.6, TIMEOUT_S).verdict is Verdict.STAND


def test_a_lost_connection_does_for_a_registration_that_has_not_ended_yet() -> None:
    lost = replace(COPY, lead_lost=True)
    assert may_stand(LEAD_THERE, STATE, lost, 111.59, TIMEOUT_S).verdict is Verdict.WAIT
    assert may_stand(LEAD_THERE, STATE, lost, 111.6, TIMEOUT_S).verdict is Verdict.STAND


def test_a_lead_that_gave_up_leaves_nothing_to_wait_for() -> None:
    given_up = replace(STATE, lead=0)
    assert may_stand(LEAD_THERE, given_up, COPY, 110.0, TIMEOUT_S).verdict is Verdict.STAND


def test_who_reaches_fewer_than_half_of_the_others_is_cut_off() -> None:
    names = ["h1.i1", "h2.i1", "h3.i1", "h4.i1"]
    view = ClusterView(connected=True, instances={name: info(name, name) for name in names})
    apart = {"h1.i1", "h2.i1"}  # itself and a silent copy
    assert is_cut_off(view, frozenset(), apart)
    assert is_cut_off(view, frozenset({"h2.i1", "gone"}), apart)
    assert not is_cut_off(view, frozenset({"h3.i1"}), apart)
    assert not is_cut_off(replace(view, dead=frozenset(names[2:])), frozenset(), apart)
    assert not is_cut_off(view, frozenset(), set(names)), "nobody else is there to be asked"


def test_after_a_restart_the_silence_counts_from_the_start() -> None:
    fresh = replace(COPY, started_s=200.0, last_beacon_s=0.0)
    assert may_stand(LEAD_GONE, STATE, fresh, 201.59, TIMEOUT_S).verdict is Verdict.WAIT
    assert may_stand(LEAD_GONE, STATE, fresh, 201.6, TIMEOUT_S).verdict is Verdict.STAND


def test_proof_of_death_or_a_hand_over_ends_the_wait() -> None:
    dead = replace(LEAD_GONE, dead=frozenset({"lead-life"}))
    assert may_stand(dead, STATE, COPY, 110.0, TIMEOUT_S).verdict is Verdict.STAND
    own_former_life = replace(COPY, known_dead=frozenset({"lead-life"}))
    assert may_stand(LEAD_GONE, STATE, own_former_life, 110.0, TIMEOUT_S).verdict is Verdict.STAND
    released = replace(COPY, released=True)
    assert may_stand(LEAD_THERE, STATE, released, 110.0, TIMEOUT_S).verdict is Verdict.STAND


def test_nobody_stands_while_the_lead_is_registered() -> None:
    standing = may_stand(LEAD_THERE, STATE, COPY, 999.0, TIMEOUT_S)
    assert (standing.verdict, standing.not_before_s) == (Verdict.WAIT, 0.0)


def test_who_is_not_in_sync_or_has_no_session_does_not_stand() -> None:
    outside = replace(STATE, in_sync=(1,))
    assert may_stand(LEAD_GONE, outside, COPY, 999.0, TIMEOUT_S).verdict is Verdict.NEVER
    offline = replace(LEAD_GONE, connected=False)
    assert may_stand(offline, STATE, COPY, 999.0, TIMEOUT_S).verdict is Verdict.WAIT
    unregistered = replace(LEAD_GONE, instances={})
    assert may_stand(unregistered, STATE, COPY, 999.0, TIMEOUT_S).verdict is Verdict.WAIT


def test_the_lead_itself_leads_and_its_next_life_does_not() -> None:
    lead = Candidate(element=1, incarnation="lead-life", started_s=1.0)
    assert may_stand(LEAD_THERE, STATE, lead, 5.0, TIMEOUT_S).verdict is Verdict.LEADING
    reborn = replace(lead, incarnation="next-life", started_s=400.0)
    view = replace(LEAD_GONE, instances={"h1.i1": info("h1.i1", "next-life")})
    assert may_stand(view, STATE, reborn, 401.0, TIMEOUT_S).verdict is Verdict.WAIT
    assert may_stand(view, STATE, reborn, 401.6, TIMEOUT_S).verdict is Verdict.STAND


def test_a_set_that_nobody_led_is_free() -> None:
    fresh = SetState(0, 0, "", (1, 2), "mgmt", 1)
    assert may_stand(LEAD_THERE, fresh, COPY, 0.0, TIMEOUT_S).verdict is Verdict.STAND


def test_a_lease_ends_before_any_copy_may_stand_whatever_gets_lost() -> None:
    """The lead answers by beacons it sent; a copy counts from beacons it got. Never both."""
    rng = random.Random(7)
    for _ in range(2000):
        sent_s, answered = 100.0, {2: 100.0}
        got_s = sent_s + rng.uniform(0, 0.3)
        for _ in range(rng.randrange(6)):
            sent_s += rng.uniform(0.1, 0.6)
            arrives = rng.random() < 0.7
            if arrives:
                got_s = max(got_s, sent_s + rng.uniform(0, 0.3))
            if arrives and rng.random() < 0.7:
                answered[2] = sent_s
        lease_s = lead_lease_until_s(answered, (1, 2), 1, float("inf"), TIMEOUT_S)
        copy = replace(COPY, started_s=0.0, last_beacon_s=got_s)
        standing = may_stand(LEAD_GONE, STATE, copy, got_s, TIMEOUT_S)
        assert standing.verdict is Verdict.WAIT
        assert lease_s < standing.not_before_s


def test_a_lead_needs_every_in_sync_copy_and_its_own_session() -> None:
    def lease(answered: dict[int, float], in_sync: tuple[int, ...], serving_s: float) -> float:
        return lead_lease_until_s(answered, in_sync, 1, serving_s, 3.0)

    assert lease({2: 10.0, 3: 11.0}, (1, 2, 3), 99.0) == 12.0
    assert lease({3: 11.0}, (1, 2, 3), 99.0) == float("-inf")
    assert lease({2: 10.0}, (1, 2), 11.0) == 11.0
    assert lease({}, (1,), 11.0) == 11.0


def test_management_becomes_active_only_when_nobody_is() -> None:
    free = ClusterView(connected=True, session=1, instances={"m1.i1": info("m1.i1", "m-life")})
    assert may_become_active(free, "m-life").verdict is Verdict.STAND
    mine = replace(free, mgmt=MgmtState("m1.i1", "m-life", 3))
    assert may_become_active(mine, "m-life").verdict is Verdict.LEADING
    others = replace(free, mgmt=MgmtState("m2.i1", "other", 3))
    assert may_become_active(others, "m-life").verdict is Verdict.WAIT
    assert may_become_active(free, "unknown").verdict is Verdict.WAIT
    assert may_become_active(replace(free, connected=False), "m-life").verdict is Verdict.WAIT
