"""Who leads when links are cut: the better connected one, never two, and soon (decision 0030)."""

from __future__ import annotations

from data.replication import actions as act
from data.replication.replica_set import ReplicaSet
from membership.port import ClusterView, InstanceInfo, SetState
from protocol.ids import InstanceName
from protocol.messages import replication as m
from tests.unit.replication.test_replica_set import (
    HEAD,
    NOW,
    SILENCE_S,
    T,
    acked,
    created,
    joined,
    machine,
    of,
    probe,
    sent,
    state,
    view,
)

EVER = float("inf")
WITNESSES = ("host7", "host8")  # instances of other replica sets


def with_witnesses(seen: ClusterView) -> ClusterView:
    infos = {n: InstanceInfo(InstanceName(n), "data", n, "127.0.0.1", 1) for n in WITNESSES}
    return ClusterView(
        seen.connected, seen.session, {**seen.instances, **infos}, seen.dead, seen.sets, seen.maps
    )


def lead_of_two() -> tuple[ReplicaSet, SetState]:
    """Element 1 leads, element 2 is in sync; two other instances run."""
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.view_changed(with_witnesses(view(cas.new, gone=(3,))), NOW)
    return rs, cas.new


def silent(rs: ReplicaSet, until_s: float, reaches: frozenset[str]) -> list[act.Action]:
    """Time passes, and the copy says nothing."""
    now_s, actions = NOW, []
    while now_s < until_s:
        now_s += T / 20
        rs.situation.reaches = reaches
        actions += rs.ticked(now_s, EVER)
    return actions


def test_a_lead_that_others_reach_removes_a_silent_copy() -> None:
    rs, _ = lead_of_two()
    (cas,) = of(act.CompareAndSet, silent(rs, NOW + T / 2 + 0.2, frozenset({"host7"})))
    assert (cas.new.lead, cas.new.in_sync) == (1, (1,))
    assert rs.leads


def test_a_lead_that_is_cut_off_itself_gives_the_lead_up() -> None:
    rs, before = lead_of_two()
    rs.batch_appended((1, 1, 1), b"x", NOW)
    actions = silent(rs, NOW + T / 2 + 0.2, frozenset())
    kinds = [type(a) for a in actions if not isinstance(a, act.Send)]
    assert kinds == [act.FailBatch, act.LeadLost, act.CompareAndSet], "first it serves no more"
    (cas,) = of(act.CompareAndSet, actions)
    assert (cas.expected, cas.new.term, cas.new.lead) == (before, before.term, 0)
    assert cas.new.in_sync == (1, 2), "were the copy gone, this one must lead again"


def test_the_copy_takes_a_given_up_lead_at_once_and_without_the_one_that_gave_up() -> None:
    copy = machine(2, ((3, 1, 9),))
    held = state(3, 1, (1, 2))
    copy.view_changed(with_witnesses(view(held)), NOW)
    copy.arrived(probe(3, 1), NOW + 5)
    free = SetState(3, 0, "host1#1", (1, 2), "host1#1", 2)
    (cas,) = of(act.CompareAndSet, copy.view_changed(with_witnesses(view(free)), NOW + 5.1))
    assert (cas.new.term, cas.new.lead, cas.new.in_sync) == (4, 2, (2,))
    (gained,) = of(act.LeadGained, copy.set_answered(cas.new, cas.new, NOW + 5.1))
    assert gained.term == 4


def test_a_copy_that_is_cut_off_too_leaves_a_given_up_lead_to_others_first() -> None:
    copy = machine(2, ((3, 1, 9),), k=3)
    copy.situation.reaches = frozenset()
    free = SetState(3, 0, "host1#1", (1, 2, 3), "host1#1", 2)
    copy.view_changed(with_witnesses(view(free)), NOW)
    assert not sent(m.AskTail, copy.ticked(NOW + T / 2 - 0.1, EVER))
    assert sent(m.AskTail, copy.ticked(NOW + T / 2, EVER))


def test_a_lead_that_gave_up_in_vain_leads_again_and_does_not_give_up_again() -> None:
    rs, _ = lead_of_two()
    (cas,) = of(act.CompareAndSet, silent(rs, NOW + T / 2 + 0.2, frozenset()))
    rs.set_answered(cas.new, cas.new, NOW + T)
    rs.situation.reaches = frozenset(WITNESSES)
    actions = rs.ticked(NOW + 2 * T, EVER)
    assert sent(m.AskTail, actions)
    (again,) = of(act.CompareAndSet, rs.ticked(NOW + 3 * T, EVER))
    assert (again.new.term, again.new.lead) == (2, 1)
    rs.set_answered(again.new, again.new, NOW + 3 * T)
    now_s, removed = NOW + 3 * T, []
    rs.situation.reaches = frozenset()
    while now_s < NOW + 4 * T:
        now_s += T / 20
        removed += of(act.CompareAndSet, rs.ticked(now_s, EVER))
    assert [(c.new.lead, c.new.in_sync) for c in removed] == [(1, (1,))]


def test_a_copy_whose_connection_broke_is_removed_soon() -> None:
    rs, _ = lead_of_two()
    rs.link_changed(2, False, NOW)
    assert not of(act.CompareAndSet, rs.ticked(NOW + T / 8 - 0.01, EVER))
    (cas,) = of(act.CompareAndSet, rs.ticked(NOW + T / 8, EVER))
    assert cas.new.in_sync == (1,)


def test_a_connection_that_comes_back_or_answers_removes_nobody() -> None:
    for back in (True, False):
        rs, _ = lead_of_two()
        rs.link_changed(2, False, NOW)
        if back:
            rs.link_changed(2, True, NOW + 0.1)
        else:
            rs.arrived(acked(rs, 2, 0, NOW + 0.1), NOW + 0.1)
        assert not of(act.CompareAndSet, rs.ticked(NOW + T / 8, EVER))


def test_a_copy_whose_lead_hung_up_waits_for_the_lease_and_not_for_the_session() -> None:
    copy = machine(2, ((3, 1, 9),))
    copy.view_changed(view(state(3, 1, (1, 2))), NOW)
    copy.arrived(probe(3, 1), NOW + 5)
    copy.link_changed(1, False, NOW + 5)
    assert not of(act.CompareAndSet, copy.ticked(NOW + 5 + SILENCE_S - 0.01, EVER))
    (cas,) = of(act.CompareAndSet, copy.ticked(NOW + 5 + SILENCE_S, EVER))
    assert (cas.new.term, cas.new.in_sync) == (4, (2,)), "who does not answer is out at once"


def test_a_lead_without_membership_hands_over_to_a_copy_that_has_it() -> None:
    rs, _ = lead_of_two()
    assert not sent(m.AskTail, rs.ticked(NOW + 0.1, NOW + 0.2))
    assert sent(m.AskTail, rs.ticked(NOW + 0.3, NOW + 0.2))
    too = m.TailIs(*HEAD, 2, 1, 1, (0, 0), False)
    assert not of(act.Release, rs.arrived(too, NOW + 0.3)), "it has none either"
    yes = m.TailIs(*HEAD, 2, 1, 1, (0, 0), True)
    (release,) = of(act.Release, rs.arrived(yes, NOW + 0.3))
    assert release.to == 2
