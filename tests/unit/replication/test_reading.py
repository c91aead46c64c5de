"""Leave to read at a copy: when it is given, how long it lasts on either side, who waits for it."""

from __future__ import annotations

from typing import Any

from data.replication import actions as act
from data.replication.log_shape import LogShape
from data.replication.replica_set import ReplicaSet
from membership.port import ClusterView, InstanceInfo, SetState
from protocol.ids import InstanceName, LogPosition
from protocol.messages import replication as m

T = 2.0
NOW = 1000.0
HEAD = ("db", 1)
MEMBERS = {1: "host1", 2: "host2"}
US = int(NOW * 1e6)


def view(state: SetState | None, dead: frozenset[str] = frozenset()) -> ClusterView:
    instances = {
        name: InstanceInfo(InstanceName(name), "data", f"{name}#1", "127.0.0.1", 1)
        for name in MEMBERS.values()
        if f"{name}#1" not in dead
    }
    sets = {} if state is None else {HEAD: state}
    return ClusterView(True, 1, instances, dead, sets, {})  # type: ignore[arg-type]


def machine(me: int, *, damaged: bool = False) -> ReplicaSet:
    shape = LogShape(LogPosition(0, 0), ())
    rs = ReplicaSet(*HEAD, me, f"host{me}#1", T, shape, damaged, NOW)
    rs.ticked(NOW, float("inf"))
    rs.map_changed(MEMBERS, 1, NOW)
    return rs


def of(kind: type[Any], actions: list[Any]) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]


def acked(lsn: int, now_s: float = NOW) -> m.Acked:
    return m.Acked(*HEAD, 2, 1, "host2#1", int(now_s * 1e6), lsn)


def ask(rs: ReplicaSet, now_s: float = NOW) -> m.MayRead:
    asked = m.AskRead(*HEAD, 2, 1, "host2#1", int(now_s * 1e6))
    (reply,) = of(act.Reply, rs.arrived(asked, now_s))
    message = reply.message
    assert isinstance(message, m.MayRead)
    return message


def lead_and_copy() -> ReplicaSet:
    """Element 1 leads, element 2 is in sync."""
    rs = machine(1, damaged=True)
    (create,) = of(act.CreateSet, rs.view_changed(view(None), NOW))
    rs.set_answered(create.new, create.new, NOW)
    rs.arrived(m.Hello(*HEAD, 2, 1, "host2#1", 0), NOW)
    where = m.Whereabouts(*HEAD, 2, 1, "host2#1", US, 7, (0, 0), (), False, False)
    rs.arrived(where, NOW)
    assert ask(rs).commit_lsn == -1, "it is not in sync yet"
    (cas,) = of(act.CompareAndSet, rs.arrived(acked(0), NOW))
    assert ask(rs).commit_lsn == -1, "nobody knows yet whether it is"
    rs.set_answered(cas.new, cas.new, NOW)
    return rs


def removed(rs: ReplicaSet, now_s: float, dead: frozenset[str] = frozenset()) -> list[Any]:
    """The copy's connection broke at `NOW`; it is out of the set at `now_s`."""
    cas = of(act.CompareAndSet, rs.ticked(now_s, now_s + 10))
    return [] if not cas else rs.set_answered(cas[0].new, cas[0].new, now_s)


def test_a_lead_waits_for_a_reader_that_is_not_in_sync_any_more() -> None:
    rs = lead_and_copy()
    assert ask(rs).commit_lsn == 0
    rs.batch_appended((1, 1, 1), b"x", NOW)
    rs.link_changed(2, False, NOW)
    actions = removed(rs, NOW + T / 8)
    assert rs.in_sync_elements == (1,)
    assert not of(act.CommitBatch, actions)
    assert not of(act.CommitBatch, rs.ticked(NOW + 0.29 * T, NOW + 10))
    assert of(act.CommitBatch, rs.ticked(NOW + 0.31 * T, NOW + 10))


def test_without_readers_nobody_is_waited_for() -> None:
    rs = lead_and_copy()
    rs.batch_appended((1, 1, 1), b"x", NOW)
    rs.link_changed(2, False, NOW)
    assert of(act.CommitBatch, removed(rs, NOW + T / 8))


def test_a_dead_reader_is_not_waited_for() -> None:
    rs = lead_and_copy()
    assert ask(rs).commit_lsn == 0
    rs.batch_appended((1, 1, 1), b"x", NOW)
    state = rs.situation.agreement.state
    actions = rs.view_changed(view(state, frozenset({"host2#1"})), NOW + 0.01)
    (cas,) = of(act.CompareAndSet, actions)
    assert of(act.CommitBatch, rs.set_answered(cas.new, cas.new, NOW + 0.02))


def test_a_reader_that_leaves_is_not_waited_for() -> None:
    rs = lead_and_copy()
    assert ask(rs).commit_lsn == 0
    rs.batch_appended((1, 1, 1), b"x", NOW)
    actions = rs.arrived(m.Leave(*HEAD, 2, 1, "host2#1", US), NOW)
    (cas,) = of(act.CompareAndSet, actions)
    assert of(act.CommitBatch, rs.set_answered(cas.new, cas.new, NOW + 0.01))


def test_a_lead_without_lease_gives_no_leave() -> None:
    rs = lead_and_copy()
    assert ask(rs, NOW + 0.66 * T).commit_lsn == 0
    assert ask(rs, NOW + 0.67 * T).commit_lsn == -1
    rs.arrived(acked(0, NOW + T), NOW + T)
    assert ask(rs, NOW + T).commit_lsn == 0
    rs.ticked(NOW + T, NOW + T)
    assert ask(rs, NOW + T).commit_lsn == -1, "it has no word from membership"


# -- the copy -------------------------------------------------------------------------------------
def copy() -> ReplicaSet:
    """Element 2 follows element 1, which leads term 1; the log has one entry."""
    rs = machine(2)
    rs.view_changed(view(SetState(1, 1, "host1#1", (1, 2), "host1#1", 1)), NOW)
    rs.arrived(m.Probe(*HEAD, 1, 1, "host1#1", 1), NOW)
    rs.arrived(m.Join(*HEAD, 1, 1, "host1#1", 1, rs._ticket, LogPosition(0, 0)), NOW)
    append(rs, 1, commit_lsn=0)
    return rs


def append(rs: ReplicaSet, lsn: int, commit_lsn: int) -> None:
    previous = (1 if lsn > 1 else 0, lsn - 1)
    rs.arrived(
        m.Append(*HEAD, 1, 1, "host1#1", 1, commit_lsn, previous, ((1, lsn, lsn),), b""), NOW
    )


def answer(rs: ReplicaSet, asked_s: float, now_s: float, lsn: int, term: int = 1) -> None:
    us = int(asked_s * 1e6)
    rs.arrived(m.MayRead(*HEAD, 1, term, "host1#1", "host2#1", us, lsn), now_s)


def test_a_copy_answers_from_when_it_asked_and_with_all_that_is_committed() -> None:
    rs = copy()
    (sent,) = of(act.Send, rs.reading.wanted(NOW))
    assert sent.message == m.AskRead(*HEAD, 2, 1, "host2#1", US)
    assert not rs.reading.wanted(NOW + T / 200), "it was asked just now"
    assert rs.reading.until_s() < NOW
    answer(rs, NOW, NOW + 0.2, lsn=1)
    assert rs.reading.until_s() == NOW + T / 4
    append(rs, 2, commit_lsn=1)
    assert rs.reading.until_s() == NOW + T / 4, "of what the second entry does not change"
    assert rs.lead_commit_lsn == 1
    answer(rs, NOW, NOW + 0.2, lsn=3)
    assert rs.reading.until_s() < NOW, "the lead has committed more than there is here"
    append(rs, 3, commit_lsn=2)
    assert rs.reading.until_s() == NOW + T / 4


def test_leave_ends_with_what_it_was_given_for() -> None:
    rs = copy()
    answer(rs, NOW, NOW, lsn=-1)
    answer(rs, NOW, NOW, lsn=1, term=2)
    rs.arrived(m.MayRead(*HEAD, 1, 1, "host1#1", "host2#0", US, 1), NOW)  # for an earlier life
    assert rs.reading.until_s() < NOW
    answer(rs, NOW, NOW, lsn=1)
    assert rs.reading.until_s() == NOW + T / 4
    rs.ticked(NOW, NOW + 0.1)
    assert rs.reading.until_s() == NOW + 0.1, "no longer than membership's word"
    rs.ticked(NOW, NOW + T)
    rs.view_changed(view(SetState(2, 1, "host1#2", (1, 2), "host1#2", 2)), NOW)
    assert rs.reading.until_s() < NOW, "there is a newer term"


def test_a_copy_that_stops_answers_nothing() -> None:
    rs = copy()
    answer(rs, NOW, NOW, lsn=1)
    rs.stop(NOW)
    assert rs.reading.until_s() < NOW
    assert not rs.reading.wanted(NOW + T)
