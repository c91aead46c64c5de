"""Replica sets and the first distribution map, on the reference grids of the documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgmt.placement import map_builder
from mgmt.placement.replica_sets import form
from protocol.errors import ModelError
from protocol.limits import BUCKET_COUNT
from protocol.topology import DistributionMap, ElementPlace


def places(*groups: int) -> list[ElementPlace]:
    """host3, host4, ... in these data space groups."""
    return [
        ElementPlace(index + 1, f"host{index + 3}.instance1", 0, group)
        for index, group in enumerate(groups)
    ]


def sets_of(elements: tuple[ElementPlace, ...]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for place in sorted(elements, key=lambda e: e.data_space):
        found.setdefault(place.replica_set, []).append(place.instance.partition(".")[0])
    return found


def test_grid_g3_of_the_guide() -> None:
    assert sets_of(form(places(1, 2, 3, 1, 2, 3), k=3)) == {
        1: ["host3", "host4", "host5"],
        2: ["host6", "host7", "host8"],
    }


def test_grid_g2_of_the_guide() -> None:
    assert sets_of(form(places(1, 2, 1, 2, 1, 2), k=2)) == {
        1: ["host3", "host4"],
        2: ["host5", "host6"],
        3: ["host7", "host8"],
    }


def test_the_order_of_hosts_does_not_mix_data_spaces() -> None:
    assert sets_of(form(places(1, 1, 2, 2), k=2)) == {
        1: ["host3", "host5"],
        2: ["host4", "host6"],
    }


def test_numbers_of_later_sets_go_on() -> None:
    assert set(sets_of(form(places(1, 2), k=2, first_number=3))) == {3}


def test_groups_of_different_size_are_refused_by_their_sizes() -> None:
    with pytest.raises(ModelError, match="group 1: 2, group 2: 1"):
        form(places(1, 2, 1), k=2)


def test_an_element_without_group_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="host4"):
        form(places(1, 0), k=2)


@given(st.integers(1, 5), st.integers(1, 12))
def test_every_set_has_one_element_in_each_data_space(k: int, count: int) -> None:
    elements = form(places(*[group for _ in range(count) for group in range(1, k + 1)]), k=k)
    by_set: dict[int, list[int]] = {}
    for place in elements:
        by_set.setdefault(place.replica_set, []).append(place.data_space)
    assert sorted(by_set) == list(range(1, count + 1))
    assert all(sorted(spaces) == list(range(1, k + 1)) for spaces in by_set.values())


@given(st.integers(1, 300))
def test_buckets_are_spread_evenly_and_every_one_has_an_owner(sets: int) -> None:
    numbers = list(range(1, sets + 1))
    ranges = map_builder.even_ranges(numbers)
    table = DistributionMap("d", 1, 1, (), ranges).bucket_table()
    counts = [table.count(number) for number in numbers]
    assert sum(counts) == BUCKET_COUNT
    assert max(counts) - min(counts) <= 1


def test_the_first_map_leaves_elements_that_were_not_added_outside() -> None:
    before = map_builder.without_ranges("database1", 2, places(1, 2, 1, 2))
    assert before.version == 0
    assert before.ranges == ()
    new = map_builder.first(before, frozenset({1, 2}))
    assert new.version == 1
    assert [e.replica_set for e in new.elements] == [1, 1, 0, 0]
    assert DistributionMap.decode(new.encode()) == new
    with pytest.raises(ModelError, match="no element is marked"):
        map_builder.first(before, frozenset())


def test_a_new_element_joins_the_list_without_touching_the_others() -> None:
    before = map_builder.first(
        map_builder.without_ranges("database1", 2, places(1, 2)), frozenset({1, 2})
    )
    grown = map_builder.with_elements(
        before, (*before.elements, ElementPlace(3, "host5.instance1", 0, 1))
    )
    assert grown.ranges == before.ranges
    assert grown.elements[:2] == before.elements
    assert grown.replica_sets() == before.replica_sets()
