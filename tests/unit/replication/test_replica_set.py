"""Scenes from the life of a replica set that broke earlier drafts, step by step."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, TypeVar

from data.replication import actions as act
from data.replication.log_shape import LogShape
from data.replication.replica_set import ReplicaSet
from membership.election import SILENCE_SHARE
from membership.port import ClusterView, InstanceInfo, SetState
from protocol.ids import InstanceName, LogPosition
from protocol.messages import replication as m

T = 2.0
NOW = 100.0
SILENCE_S = SILENCE_SHARE * T  # of a lead, before a copy may take over
MEMBERS = {1: "host1", 2: "host2", 3: "host3"}
HEAD = ("db", 1)
_A = TypeVar("_A")


def view(
    state: SetState | None, *, gone: tuple[int, ...] = (), dead: tuple[str, ...] = ()
) -> ClusterView:
    infos = {
        name: InstanceInfo(InstanceName(name), "data", f"{name}#1", "127.0.0.1", 1)
        for element, name in MEMBERS.items()
        if element not in gone
    }
    sets = {} if state is None else {HEAD: state}
    return ClusterView(
        True, 1, MappingProxyType(infos), frozenset(dead), MappingProxyType(sets),
        MappingProxyType({"db": b""}),
    )  # fmt: skip


def machine(
    me: int, log: tuple[tuple[int, int, int], ...] = (), *, damaged: bool = False, k: int = 2
) -> ReplicaSet:
    shape = LogShape(LogPosition(0, 0), log)
    rs = ReplicaSet("db", 1, me, f"host{me}#1", T, shape, damaged, NOW)
    rs.ticked(NOW, float("inf"))
    rs.map_changed({e: n for e, n in MEMBERS.items() if e <= k}, 1, NOW)
    return rs


def state(term: int, lead: int, in_sync: tuple[int, ...], counter: int = 1) -> SetState:
    return SetState(term, lead, f"host{lead}#1", in_sync, f"host{lead}#1", counter)


def of(kind: type[_A], actions: list[Any]) -> list[_A]:
    return [action for action in actions if isinstance(action, kind)]


def sent(kind: type[_A], actions: list[Any]) -> list[_A]:
    return [a.message for a in of(act.Send, actions) if isinstance(a.message, kind)]


def replied(actions: list[Any]) -> Any:
    (reply,) = of(act.Reply, actions)
    return reply.message


def created(rs: ReplicaSet) -> list[act.Action]:
    """Element 1 makes the set and leads it."""
    actions = rs.view_changed(view(None), NOW)
    (create,) = of(act.CreateSet, actions)
    return rs.set_answered(create.new, create.new, NOW)


def joined(rs: ReplicaSet, element: int, now_s: float = NOW) -> list[act.Action]:
    """A copy that has the lead's whole log is probed and joins; returns what follows its ack."""
    rs.arrived(m.Hello(*HEAD, element, 1, f"host{element}#1", 0), now_s)
    tail = rs.situation.tail
    us = int(now_s * 1e6)
    where = m.Whereabouts(
        *HEAD, element, rs.term, f"host{element}#1", us, 7, (0, 0), rs.situation.shape.spans(),
        False, False,
    )  # fmt: skip
    rs.arrived(where, now_s)
    return rs.arrived(acked(rs, element, tail.lsn, now_s), now_s)


def acked(rs: ReplicaSet, element: int, lsn: int, now_s: float = NOW) -> m.Acked:
    return m.Acked(*HEAD, element, rs.term, f"host{element}#1", int(now_s * 1e6), lsn)


def probe(term: int, lead: int) -> m.Probe:
    return m.Probe(*HEAD, lead, term, f"host{lead}#1", 1)


def append(term: int, previous: tuple[int, int], last: int) -> m.Append:
    spans = ((term, previous[1] + 1, last),)
    return m.Append(*HEAD, 1, term, "host1#1", 1, 0, previous, spans, b"entries")


def test_the_first_element_makes_the_set_and_leads_alone() -> None:
    rs = machine(1, damaged=True)
    actions = created(rs)
    assert [type(a) for a in actions if not isinstance(a, act.Send)] == [
        act.ForceSync,
        act.MarkInSync,
        act.LeadGained,
    ]
    assert rs.role == "lead"
    assert of(act.CommitBatch, rs.batch_appended((1, 1, 2), b"", NOW))
    assert rs.situation.tail == (1, 2)


def test_the_lead_waits_for_itself_when_it_sent_ahead() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    assert not of(act.CommitBatch, rs.batch_appended((1, 1, 1), b"x", NOW, ahead=True))
    assert not of(act.CommitBatch, rs.ticked(NOW + 0.1, NOW + 10))
    assert of(act.CommitBatch, rs.batch_applied(NOW))
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 2, 2), b"x", NOW, ahead=True)
    assert not of(act.CommitBatch, rs.arrived(acked(rs, 2, 2), NOW))
    assert of(act.CommitBatch, rs.batch_applied(NOW))
    assert not of(act.CommitBatch, rs.batch_applied(NOW)), "nothing is on its way"
    rs.batch_appended((1, 3, 3), b"x", NOW, ahead=True)
    assert not of(act.CommitBatch, rs.batch_applied(NOW))
    assert of(act.CommitBatch, rs.arrived(acked(rs, 2, 3), NOW))


def test_a_joining_copy_is_waited_for_before_zookeeper_knows_it() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    actions = joined(rs, 2)
    (cas,) = of(act.CompareAndSet, actions)
    assert cas.new.in_sync == (1, 2)
    actions = rs.batch_appended((1, 1, 1), b"x", NOW)
    assert len(sent(m.Append, actions)) == 1
    assert not of(act.CommitBatch, actions)
    assert not of(act.CommitBatch, rs.set_unanswered(cas.new, NOW)), "it may be in sync now"
    assert of(act.CommitBatch, rs.arrived(acked(rs, 2, 1), NOW))


def test_a_copy_that_joins_while_a_commit_is_under_way_gets_that_batch_too() -> None:
    rs = machine(1, damaged=True, k=3)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 1, 1), b"x", NOW)
    actions = joined(rs, 3)
    assert len(sent(m.Append, actions)) == 1
    assert not of(act.CommitBatch, rs.arrived(acked(rs, 2, 1), NOW))
    assert of(act.CommitBatch, rs.arrived(acked(rs, 3, 1), NOW))


def test_the_lease_lives_while_a_copy_applies_a_large_batch() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 1, 1), b"few", NOW, effect_bytes=100 * 2**20)
    now_s = NOW
    while now_s < NOW + 20:
        now_s += 0.1
        actions = rs.ticked(now_s, now_s + 10)
        assert not of(act.CompareAndSet, actions), "it is at work"
        for message in sent(m.Beacon, actions):  # it answers those, and nothing else
            rs.arrived(m.Acked(*HEAD, 2, 1, "host2#1", message.sent_us, 0), now_s)
        assert rs.leadership is not None
        assert rs.leadership.lease_until_s > now_s
    assert of(act.CommitBatch, rs.arrived(acked(rs, 2, 1, now_s), now_s))


def test_a_silent_copy_is_out_only_after_the_compare_and_set() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 1, 1), b"x", NOW)
    removal: list[act.CompareAndSet] = []
    now_s = NOW
    while not removal:
        now_s += 0.1
        actions = rs.ticked(now_s, float("inf"))
        assert not of(act.CommitBatch, actions)
        removal = of(act.CompareAndSet, actions)
    assert now_s - NOW < LEASE_S, "before the lease ends"
    assert removal[0].new.in_sync == (1,)
    rs.set_unanswered(removal[0].new, now_s)
    (read,) = of(act.ReadSet, rs.ticked(now_s + 0.1, float("inf")))
    assert read
    actions = rs.set_answered(None, removal[0].expected, now_s + 0.1)
    assert not of(act.CommitBatch, actions), "it may still happen, or never"
    (again,) = of(act.CompareAndSet, actions)
    assert of(act.CommitBatch, rs.set_answered(again.new, again.new, now_s + 0.2))


LEASE_S = T * 2 / 3


def test_the_lease_ends_two_thirds_of_a_timeout_after_the_last_answered_message() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    assert rs.leadership is not None
    assert abs(rs.leadership.lease_until_s - (NOW + LEASE_S)) < 1e-5
    rs.arrived(acked(rs, 2, 0, NOW + 1), NOW + 1.3)
    assert abs(rs.leadership.lease_until_s - (NOW + 1 + LEASE_S)) < 1e-5


def test_a_lead_that_restarts_takes_over_with_the_next_term() -> None:
    rs = ReplicaSet("db", 1, 1, "host1#2", T, LogShape(LogPosition(0, 0), ((1, 1, 4),)), False, NOW)
    rs.ticked(NOW, float("inf"))
    rs.map_changed({1: "host1"}, 1, NOW)
    infos = {"host1": InstanceInfo(InstanceName("host1"), "data", "host1#2", "127.0.0.1", 1)}
    seen = ClusterView(
        True, 1, MappingProxyType(infos), frozenset(),
        MappingProxyType({HEAD: state(1, 1, (1,))}), MappingProxyType({"db": b""}),
    )  # fmt: skip
    actions = rs.view_changed(seen, NOW)
    (cas,) = of(act.CompareAndSet, actions)
    assert (cas.new.term, cas.new.lead_incarnation) == (2, "host1#2")
    (gained,) = of(act.LeadGained, rs.set_answered(cas.new, cas.new, NOW))
    assert gained.term == 2


def test_a_copy_waits_for_silence_unless_death_is_proven() -> None:
    alive, gone = view(state(3, 1, (1, 2))), view(state(3, 1, (1, 2)), gone=(1,))
    proven = view(state(3, 1, (1, 2)), gone=(1,), dead=("host1#1",))
    rs = machine(2, ((3, 1, 9),))
    rs.view_changed(alive, NOW)
    rs.arrived(probe(3, 1), NOW + 5)
    assert not of(act.CompareAndSet, rs.view_changed(gone, NOW + 5.1))
    assert not of(act.CompareAndSet, rs.ticked(NOW + 5 + SILENCE_S - 0.1, float("inf")))
    assert of(act.CompareAndSet, rs.ticked(NOW + 5 + SILENCE_S, float("inf")))
    rs = machine(2, ((3, 1, 9),))
    rs.view_changed(alive, NOW)
    rs.arrived(probe(3, 1), NOW + 5)
    (cas,) = of(act.CompareAndSet, rs.view_changed(proven, NOW + 5.1))
    assert (cas.new.term, cas.new.in_sync) == (4, (2,))


def test_from_its_take_over_on_a_copy_answers_nothing_older() -> None:
    rs = machine(2, ((3, 1, 9),))
    rs.view_changed(view(state(3, 1, (1, 2)), gone=(1,), dead=("host1#1",)), NOW)
    refused = replied(rs.arrived(probe(3, 1), NOW))
    assert isinstance(refused, m.Refused)
    assert refused.term == 4


def test_only_an_undamaged_in_sync_copy_stands() -> None:
    down = view(state(3, 1, (1, 2)), gone=(1,), dead=("host1#1",))
    assert not of(act.CompareAndSet, machine(2, damaged=True).view_changed(down, NOW))
    out = view(state(3, 1, (1,)), gone=(1,), dead=("host1#1",))
    rs = machine(2)
    assert not of(act.CompareAndSet, rs.view_changed(out, NOW))
    assert rs.role == "waiting-for-seed"


def test_the_longest_log_leads() -> None:
    down = view(state(3, 1, (1, 2, 3)), gone=(1,), dead=("host1#1",))
    rs = machine(2, ((3, 1, 9),), k=3)
    actions = rs.view_changed(down, NOW)
    assert len(sent(m.AskTail, actions)) == 1
    longer = m.TailIs(*HEAD, 3, 3, 3, (3, 10), True)
    assert not of(act.CompareAndSet, rs.arrived(longer, NOW))
    other = machine(3, ((3, 1, 10),), k=3)
    other.view_changed(down, NOW)
    shorter = m.TailIs(*HEAD, 2, 3, 3, (3, 9), True)
    assert of(act.CompareAndSet, other.arrived(shorter, NOW))


def test_a_late_take_over_of_a_dead_process_does_not_cut_a_lease_short() -> None:
    """Element 2 asked for term 4 and died; restarted, it answered the lead of term 3 again. Then

    its old request was carried out. The lead of term 3 still reads on this copy's answer.
    """
    rs = ReplicaSet("db", 1, 2, "host2#2", T, LogShape(LogPosition(0, 0), ((3, 1, 9),)), False, NOW)
    rs.ticked(NOW, float("inf"))
    rs.map_changed({1: "host1", 2: "host2"}, 1, NOW)
    rs.arrived(probe(3, 1), NOW + 1)
    infos = {
        "host1": InstanceInfo(InstanceName("host1"), "data", "host1#1", "127.0.0.1", 1),
        "host2": InstanceInfo(InstanceName("host2"), "data", "host2#2", "127.0.0.1", 1),
    }
    late = SetState(4, 2, "host2#1", (1, 2), "host2#1", 8)
    seen = ClusterView(
        True, 1, MappingProxyType(infos), frozenset({"host2#1"}), MappingProxyType({HEAD: late}),
        MappingProxyType({"db": b""}),
    )  # fmt: skip
    assert not sent(m.AskTail, rs.view_changed(seen, NOW + 1.1))
    assert not sent(m.AskTail, rs.ticked(NOW + 1 + T - 0.1, float("inf")))
    assert sent(m.AskTail, rs.ticked(NOW + 1 + T, float("inf")))


def test_a_repeated_join_undoes_nothing() -> None:
    rs = machine(2, ((3, 1, 9),))
    rs.view_changed(view(state(4, 1, (1, 2))), NOW)
    where = replied(rs.arrived(probe(4, 1), NOW))
    join = m.Join(*HEAD, 1, 4, "host1#1", 1, where.ticket, (3, 8))
    actions = rs.arrived(join, NOW)
    assert of(act.Undo, actions) == [act.Undo(8)]
    rs.arrived(append(4, (3, 8), 12), NOW)
    assert rs.situation.tail == (4, 12)
    again = rs.arrived(join, NOW)
    assert not of(act.Undo, again)
    assert replied(again).lsn == 12
    other = rs.arrived(m.Join(*HEAD, 1, 4, "host1#1", 1, where.ticket - 1, (3, 8)), NOW)
    assert isinstance(replied(other), m.Refused)


def test_a_copy_takes_entries_only_after_it_joined_and_without_gaps() -> None:
    rs = machine(2, ((3, 1, 9),))
    rs.view_changed(view(state(4, 1, (1, 2))), NOW)
    assert isinstance(replied(rs.arrived(append(4, (3, 9), 10), NOW)), m.Refused)
    where = replied(rs.arrived(probe(4, 1), NOW))
    rs.arrived(m.Join(*HEAD, 1, 4, "host1#1", 1, where.ticket, (3, 9)), NOW)
    assert isinstance(replied(rs.arrived(append(4, (4, 11), 12), NOW)), m.Refused)
    actions = rs.arrived(append(4, (3, 9), 11), NOW)
    assert [(a.after) for a in of(act.Store, actions)] == [9]
    assert replied(actions).lsn == 11
    repeated = rs.arrived(append(4, (3, 9), 10), NOW)
    assert not of(act.Store, repeated)
    assert of(act.CheckHeld, repeated)
    overlap = rs.arrived(append(4, (3, 9), 13), NOW)
    assert [a.after for a in of(act.Store, overlap)] == [11]


def test_a_damaged_copy_counts_itself_in_sync_only_when_welcomed() -> None:
    rs = machine(2, damaged=True)
    rs.view_changed(view(state(4, 1, (1, 2))), NOW)
    where = replied(rs.arrived(probe(4, 1), NOW))
    assert where.damaged
    rs.arrived(m.Join(*HEAD, 1, 4, "host1#1", 1, where.ticket, (0, 0)), NOW)

    def beacon(welcome: int) -> m.Beacon:
        return m.Beacon(*HEAD, 1, 4, "host1#1", 1, 0, welcome)

    assert not of(act.MarkInSync, rs.arrived(beacon(0), NOW))
    assert not of(act.MarkInSync, rs.arrived(beacon(where.ticket - 1), NOW))
    assert not rs.in_sync
    assert of(act.MarkInSync, rs.arrived(beacon(where.ticket), NOW))
    assert rs.in_sync


def test_a_lead_expels_a_copy_that_says_it_is_damaged() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.arrived(m.Hello(*HEAD, 2, 1, "host2#1", 0), NOW)
    us = int(NOW * 1e6)
    where = m.Whereabouts(*HEAD, 2, 1, "host2#1", us, 8, (0, 0), (), True, False)
    rs.arrived(where, NOW)
    (removal,) = of(act.CompareAndSet, rs.ticked(NOW + 0.1, float("inf")))
    assert removal.new.in_sync == (1,)


def test_a_new_session_ends_the_term() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    assert rs.leads
    seen = view(rs.situation.agreement.state)
    other = ClusterView(True, 2, seen.instances, seen.dead, seen.sets, seen.maps)
    actions = rs.view_changed(other, NOW)
    assert of(act.LeadLost, actions)
    (cas,) = of(act.CompareAndSet, actions)
    assert cas.new.term == 2


def test_a_batch_on_its_way_fails_as_unknown_when_a_newer_lead_shows_itself() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 1, 1), b"x", NOW)
    actions = rs.arrived(probe(2, 2), NOW)
    assert [type(a) for a in actions][:2] == [act.FailBatch, act.LeadLost]
    assert isinstance(replied(actions), m.Whereabouts)
    assert rs.situation.tail == (0, 0), "the batch never was in this element's log"


def test_a_hand_over_waits_for_the_batch_and_carries_the_agreed_value() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.batch_appended((1, 1, 1), b"x", NOW)
    assert rs.hand_over(NOW)
    assert not of(act.Release, rs.flush(NOW))
    actions = rs.arrived(acked(rs, 2, 1), NOW)
    assert [type(a) for a in actions] == [act.CommitBatch, act.Release]
    assert not rs.leads
    (release,) = of(act.Release, actions)
    assert (release.to, release.message.tail) == (2, (1, 1))

    successor = machine(2)
    successor.view_changed(view(state(1, 1, (1,), counter=1)), NOW)
    where = replied(successor.arrived(probe(1, 1), NOW))
    successor.arrived(m.Join(*HEAD, 1, 1, "host1#1", 1, where.ticket, (0, 0)), NOW)
    successor.arrived(append(1, (0, 0), 1), NOW)
    (taken,) = of(act.CompareAndSet, successor.arrived(release.message, NOW))
    assert taken.expected == cas.new, "no failed attempt with what an old view shows"
    assert taken.new.term == 2


def test_a_lead_whose_hand_over_is_not_taken_leads_again() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.view_changed(view(cas.new), NOW)
    rs.hand_over(NOW)
    assert of(act.Release, rs.flush(NOW))
    assert not sent(m.AskTail, rs.ticked(NOW + 0.1, float("inf")))
    assert sent(m.AskTail, rs.ticked(NOW + T, float("inf")))


def after_a_hand_over() -> tuple[ReplicaSet, SetState]:
    """Element 1 has just handed over to element 2."""
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.view_changed(view(cas.new), NOW)
    rs.hand_over(NOW)
    assert of(act.Release, rs.flush(NOW))
    return rs, cas.new


def test_a_successor_that_took_the_lead_and_died_is_replaced_at_once() -> None:
    rs, _ = after_a_hand_over()
    taken = state(2, 2, (1, 2), counter=3)
    assert not of(act.CompareAndSet, rs.view_changed(view(taken), NOW + 0.01))
    rs.arrived(probe(2, 2), NOW + 0.02)
    dead = view(taken, gone=(2,), dead=("host2#1",))
    (cas,) = of(act.CompareAndSet, rs.view_changed(dead, NOW + 0.1))
    assert (cas.expected, cas.new.term, cas.new.in_sync) == (taken, 3, (1,))


def test_a_successor_that_died_before_it_took_the_lead_is_not_waited_for() -> None:
    rs, given = after_a_hand_over()
    dead = view(given, gone=(2,), dead=("host2#1",))
    (cas,) = of(act.CompareAndSet, rs.view_changed(dead, NOW + 0.1))
    assert (cas.new.term, cas.new.in_sync) == (2, (1,))


def test_a_pause_of_the_lead_is_not_the_copies_silence() -> None:
    rs = machine(1, damaged=True)
    created(rs)
    (cas,) = of(act.CompareAndSet, joined(rs, 2))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.ticked(NOW + 0.1, float("inf"))
    assert not of(act.CompareAndSet, rs.ticked(NOW + 10, float("inf")))


def test_the_lead_moves_to_where_it_belongs() -> None:
    rs = machine(2, ((1, 1, 3),))
    rs.view_changed(view(state(1, 1, (1, 2)), gone=(1,), dead=("host1#1",)), NOW)
    attempt = rs.situation.agreement.attempt
    assert attempt is not None
    rs.set_answered(attempt, attempt, NOW)
    assert rs.leads
    rs.view_changed(view(attempt), NOW)
    (cas,) = of(act.CompareAndSet, joined(rs, 1))
    rs.set_answered(cas.new, cas.new, NOW)
    rs.arrived(acked(rs, 1, 3, NOW + T), NOW + T)
    (release,) = of(act.Release, rs.ticked(NOW + T, float("inf")))
    assert release.to == 1
