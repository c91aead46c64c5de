"""The picture of a database, and what happened between two views or pictures."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import msgspec

from membership.port import ClusterView, InstanceInfo, SetState
from mgmt.api.schema_picture import DatabasePicture
from mgmt.health import happenings, picture
from mgmt.health.rollup import ElementHealth
from protocol.ids import InstanceName
from protocol.messages.admin import ElementReport

DB = "database1"


def element(
    number: int, *, role: str = "copy", lsn: int = 100, state: str = "opened"
) -> ElementHealth:
    """Sets (1, 2) and (3, 4)."""
    rs = (number + 1) // 2
    report = ElementReport(DB, "id", number, 2 - number % 2, rs, state, 5, "", role, 3, lsn, 7)
    return ElementHealth(
        element=number,
        instance=f"host{number + 2}.instance1",
        data_space=2 - number % 2,
        replica_set=rs,
        was_created=True,
        reachable=state != "down",
        report=None if state == "down" else report,
    )


def set_state(lead: int, *in_sync: int, term: int = 3) -> SetState:
    """As agreed on."""
    return SetState(term, lead, "life", in_sync, "writer", 1)


def drawn(
    elements: list[ElementHealth], sets: dict[int, SetState], **changes: object
) -> DatabasePicture:
    """The picture of an open database."""
    known = picture.Known(
        name=DB, k=2, intent="open", map_version=4, marks={}, buckets={1: 2048, 2: 2048}
    )
    figures = {1: {"db.perm_in_use_kb": 10, "db.perm_allocated_kb": 100, "log.kept_bytes": 2048}}
    return picture.database(msgspec.structs.replace(known, **changes), elements, sets, figures)


def test_a_whole_grid() -> None:
    elements = [element(1, role="lead"), element(2, lsn=98), element(3), element(4, role="lead")]
    drawing = drawn(elements, {1: set_state(1, 1, 2), 2: set_state(4, 3, 4)})
    assert drawing.words == ("created", "loaded-complete", "open")
    assert [s.state for s in drawing.sets] == ["ok", "ok"]
    assert [s.lead for s in drawing.sets] == [1, 4]
    assert [e.lag for e in drawing.elements] == [0, 2, 0, 0]
    first = drawing.elements[0]
    assert (first.used_kb, first.size_kb, first.log_kb) == (10, 100, 2)
    assert drawing.elements[1].used_kb == -1, "what nobody said is unknown, not zero"
    assert drawing.data_spaces == 2


def test_a_copy_that_is_down_degrades_its_set_and_a_lead_that_is_leaves_none() -> None:
    elements = [element(1, role="lead"), element(2, state="down"), element(3), element(4)]
    drawing = drawn(elements, {1: set_state(1, 1), 2: set_state(0, 3, 4)})
    assert [s.state for s in drawing.sets] == ["degraded", "no lead"]
    down = drawing.elements[1]
    assert (down.state, down.role, down.lag, down.connections) == ("down", "", -1, 0)
    assert drawing.elements[2].lag == -1, "without a lead nobody can tell"


def test_a_copy_out_of_sync_degrades_its_set_though_it_is_loaded() -> None:
    elements = [element(1, role="lead"), element(2, role="catching-up", lsn=40)]
    drawing = drawn(elements, {1: set_state(1, 1)})
    assert drawing.sets[0].state == "degraded"
    assert drawing.elements[1].lag == 60


def test_a_lead_that_has_not_heard_of_its_successor_is_shown_as_a_copy() -> None:
    elements = [element(1, role="lead"), element(2, role="lead")]
    drawing = drawn(elements, {1: set_state(2, 1, 2)})
    assert [e.role for e in drawing.elements] == ["copy", "lead"]


def test_unloaded_is_no_fault() -> None:
    elements = [element(1, state="unloaded"), element(2, state="unloaded")]
    assert drawn(elements, {1: set_state(0)}, intent="created").sets[0].state == "unloaded"


def info(name: str, incarnation: str = "a") -> InstanceInfo:
    return InstanceInfo(InstanceName(name), "data", incarnation, "127.0.0.1", 1)


def view(**parts: object) -> ClusterView:
    """A connected view of two instances and one replica set."""
    instances = {n: info(n) for n in ("host3.instance1", "host4.instance1")}
    whole = ClusterView(
        connected=True,
        session=1,
        instances=MappingProxyType(instances),
        sets=MappingProxyType({(DB, 1): set_state(1, 1, 2)}),
        states=MappingProxyType({DB: "open id"}),
        map_versions=MappingProxyType({DB: 1}),
    )
    return replace(whole, **parts)  # type: ignore[arg-type]


NAMES = {(DB, 1): "host3.instance1", (DB, 2): "host4.instance1"}


def told(before: ClusterView, after: ClusterView) -> list[tuple[str, str]]:
    found = happenings.between_views(before, after, NAMES)
    return [(one.severity, one.text) for one in found]


def test_a_failover_is_told_step_by_step() -> None:
    before = view()
    gone = view(instances=MappingProxyType({"host4.instance1": info("host4.instance1")}))
    assert told(before, gone) == [("fault", "data instance host3.instance1 is gone")]
    led = replace(gone, sets=MappingProxyType({(DB, 1): set_state(2, 2, term=4)}))
    assert told(gone, led) == [
        (
            "warning",
            "element 2 (host4.instance1) leads replica set 1 (term 4) in place of"
            " element 1 (host3.instance1)",
        ),
        ("warning", "element 1 (host3.instance1) is not in sync any more"),
    ]
    back = replace(led, sets=MappingProxyType({(DB, 1): set_state(2, 1, 2, term=4)}))
    assert told(led, back) == [("good", "element 1 (host3.instance1) is in sync")]


def test_a_process_seen_to_die_is_gone_before_its_node_is() -> None:
    dead = view(dead=frozenset({"a"}))
    assert ("fault", "data instance host3.instance1 is gone") in told(view(), dead)


def test_a_restart_within_one_view_is_told() -> None:
    again = {
        "host3.instance1": info("host3.instance1", "b"),
        "host4.instance1": info("host4.instance1"),
    }
    assert told(view(), view(instances=MappingProxyType(again))) == [
        ("warning", "data instance host3.instance1 was started again")
    ]


def test_losing_the_quorum_is_told_and_nothing_else_is_made_up() -> None:
    lost = ClusterView(connected=False, session=1)
    assert told(view(), lost) == [("fault", "no session with the membership servers")]
    assert told(lost, view()) == [("good", "the membership servers answer again")]


def test_the_first_view_is_no_event() -> None:
    assert told(ClusterView(), view()) == []


def test_intents_and_maps_are_told() -> None:
    after = view(
        states=MappingProxyType({DB: "created id"}), map_versions=MappingProxyType({DB: 2})
    )
    assert [text for _, text in told(view(), after)] == [
        "database database1 shall be created",
        "distribution map 2 of database1 is in force",
    ]
