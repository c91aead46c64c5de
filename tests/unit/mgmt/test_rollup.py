"""From element reports to the three words and the counts."""

from __future__ import annotations

import msgspec
import pytest

from mgmt.health import rollup
from mgmt.health.rollup import ElementHealth
from mgmt.service.distribution import sets_not_ready
from protocol.messages.admin import ElementReport


def health(
    element: int, state: str, *, replica_set: int | None = None, role: str = "copy"
) -> ElementHealth:
    """Element n of the G2 grid: sets (1, 2), (3, 4), (5, 6)."""
    number = (element + 1) // 2 if replica_set is None else replica_set
    report = ElementReport(
        "database1", "id", element, 2 - element % 2, number, state, 1_000_000, "", role
    )
    return ElementHealth(
        element=element,
        instance=f"host{element + 2}.instance1",
        data_space=2 - element % 2,
        replica_set=number,
        was_created=True,
        reachable=state != "down",
        report=None if state in ("down", "uncreated") else report,
    )


def words(states: list[str], intent: str = "open", *, has_map: bool = True) -> str:
    elements = [
        health(index + 1, state, replica_set=None if has_map else 0)
        for index, state in enumerate(states)
    ]
    return ",".join(rollup.overall(elements, intent=intent, has_map=has_map).summary)


UP = ["opened"] * 6


def test_the_documented_words_of_a_healthy_database() -> None:
    assert words(["loaded"] * 6, "loaded", has_map=False) == "created,loaded,closed"
    assert words(UP) == "created,loaded-complete,open"
    assert words(["loaded"] * 6, "loaded") == "created,loaded-complete,closed"
    assert words(["unloaded"] * 6, "created") == "created,unloaded,closed"


def test_one_instance_down_leaves_the_database_functional() -> None:
    elements = [health(1, "down"), *(health(n, "opened") for n in range(2, 7))]
    overall = rollup.overall(elements, intent="open", has_map=True)
    assert overall.summary == ("created", "loaded-functional", "open")
    assert (overall.n_created, overall.n_instances_loaded, overall.n_instances) == (6, 5, 6)
    assert (overall.n_rs_created, overall.n_rs_loaded, overall.n_replica_sets) == (3, 2, 3)
    assert (overall.n_instances_opened, overall.n_down) == (5, 1)


def test_a_whole_set_down_is_not_functional() -> None:
    assert words(["down", "down", *["opened"] * 4]) == "created,loaded-incomplete,open"


def test_a_set_that_waits_for_its_seed_is_loading() -> None:
    assert words(["down", "waiting for seed", *["opened"] * 4]) == "created,loading-partial,open"


def test_an_element_that_catches_up_is_not_loaded() -> None:
    assert words(["loading", *["opened"] * 5]) == "created,loaded-functional,open"
    assert words(["loading"] * 6, "loaded") == "created,loading,closed"


@pytest.mark.parametrize(
    ("states", "intent", "expected"),
    [
        (["uncreated"] * 6, "loaded", "uncreated,loading,closed"),
        (["created", "creating", *["created"] * 4], "loaded", "creating,loading,closed"),
        (["created"] * 5 + ["uncreated"], "loaded", "creating-partial,loading,closed"),
        (["created"] * 5 + ["create failed"], "loaded", "create-failed-partial,loading,closed"),
        (["destroying"] * 6, "destroyed", "destroying,unloaded,closed"),
    ],
)
def test_words_on_the_way(states: list[str], intent: str, expected: str) -> None:
    assert words(states, intent, has_map=False) == expected


def test_closing_and_unloading_show_while_elements_are_behind() -> None:
    assert words(["opened", *["loaded"] * 5], "loaded") == "created,loaded-complete,closing"
    assert words(["loaded", *["unloaded"] * 5], "created") == "created,unloading,closed"
    assert words(["loaded"] * 6, "open") == "created,loaded-complete,opening"


def test_a_reachable_instance_that_lost_its_element_counts_as_uncreated() -> None:
    assert not health(1, "uncreated").created
    assert health(1, "down").created  # management was told so, nobody says otherwise


def test_readiness_names_the_sets_that_cannot_be_loaded() -> None:
    elements = [health(1, "down"), health(2, "down"), health(3, "unloaded"), health(4, "down")]
    sets = rollup.readiness(elements)
    assert [(s.replica_set, s.state) for s in sets] == [(1, "Not loadable"), (2, "Loadable")]
    assert rollup.load_state(elements, sets) == "Not loadable"
    assert rollup.load_state(elements[2:], sets[1:]) == "Loadable"
    waiting = [health(1, "down"), health(2, "waiting for seed"), health(3, "opened")]
    sets = rollup.readiness(waiting)
    assert [s.state for s in sets] == ["Waiting for seed", "Loaded"]
    assert rollup.load_state(waiting, sets) == "Waiting for seed"
    loaded = [health(1, "opened"), health(2, "opened")]
    assert rollup.load_state(loaded, rollup.readiness(loaded)) == "Loaded"


def test_a_map_is_in_use_when_each_set_has_a_lead_and_its_elements_know_their_set() -> None:
    lead, copy = health(1, "loaded", role="lead"), health(2, "loaded")
    assert sets_not_ready([lead, copy]) == []
    assert sets_not_ready([copy]) == [1]
    assert sets_not_ready([lead, health(2, "loading")]) == [1]
    assert sets_not_ready([lead, health(2, "down")]) == []
    assert copy.report is not None
    unaware = msgspec.structs.replace(
        copy, report=msgspec.structs.replace(copy.report, replica_set=0)
    )
    assert sets_not_ready([lead, unaware]) == [1]
