"""The rules of dbDistribute -apply: what is planned, and what is refused with what words."""

from __future__ import annotations

import pytest

from mgmt.placement import changes, map_builder
from mgmt.placement.changes import Facts, Mark, NewSet, Plan, Replacement
from protocol.errors import ModelError
from protocol.topology import DistributionMap, ElementPlace


def grid(sets: int, k: int, late: tuple[int, ...] = ()) -> DistributionMap:
    """Elements 1..sets*k in the map, group by group in turn; then late ones of these groups."""
    groups = [group for _ in range(sets) for group in range(1, k + 1)]
    places = [
        ElementPlace(index + 1, f"host{index + 3}.instance1", 0, group)
        for index, group in enumerate([*groups, *late])
    ]
    before = map_builder.without_ranges("database1", k, places)
    return map_builder.first(before, frozenset(range(1, sets * k + 1)))


def facts(current: DistributionMap, dead: tuple[int, ...] = ()) -> Facts:
    """All is well but for the dead."""
    alive = {e.element for e in current.elements} - set(dead)
    led = {
        number
        for number, places in current.replica_sets().items()
        if any(p.element in alive for p in places)
    }
    return Facts(loaded=frozenset(alive), dead=frozenset(dead), led=frozenset(led))


def plan(
    current: DistributionMap, *marks: Mark, dead: tuple[int, ...] = (), force: bool = False
) -> Plan:
    number = max(current.replica_sets()) + 1
    return changes.plan(current, marks, facts(current, dead), first_number=number, force=force)


def refused(current: DistributionMap, *marks: Mark, dead: tuple[int, ...] = ()) -> str:
    with pytest.raises(ModelError) as caught:
        plan(current, *marks, dead=dead)
    assert caught.value.hint or "in the distribution map" in caught.value.message
    return caught.value.message


def added(*elements: int) -> list[Mark]:
    return [Mark(element=e, add=True) for e in elements]


def removed(*elements: int) -> list[Mark]:
    return [Mark(element=e, remove=True) for e in elements]


def evicted(*elements: int) -> list[Mark]:
    return [Mark(element=e, evict=True) for e in elements]


def test_a_replica_set_is_added_whole() -> None:
    current = grid(2, 3, (1, 2, 3))
    made = plan(current, *added(7, 8, 9))
    assert made.new_sets == (NewSet(3, (7, 8, 9)),)
    assert (made.after, made.moves) == ((1, 2, 3), True)
    assert "group 1: 1, group 2: 1, group 3: 0" in refused(current, *added(7, 8))
    assert "host11.instance1 is not" in refused(current, *added(7, 8, 9), dead=(9,))
    assert "host3.instance1 is not" in refused(current, *added(7, 8, 9), dead=(1,))


def test_a_replica_set_is_removed_whole_and_never_the_last() -> None:
    current = grid(2, 2)
    made = plan(current, *removed(3, 4))
    assert (made.removed, made.after, made.moves) == ((2,), (1,), True)
    assert "see host6.instance1" in refused(current, *removed(3))
    assert "last replica set" in refused(current, *removed(1, 2, 3, 4))
    assert "not in the distribution map" in refused(grid(2, 2, (1,)), *removed(5))
    exchanged = plan(grid(1, 2, (1, 2)), *removed(1, 2), *added(3, 4))
    assert (exchanged.removed, exchanged.after) == ((1,), (2,))


def test_a_replacement_comes_from_the_same_group_and_from_outside() -> None:
    current = grid(2, 2, (1, 2))
    pair = Mark(element=1, remove=True, successor=5), Mark(element=5, add=True)
    made = plan(current, *pair)
    assert made == Plan(replacements=(Replacement(1, 5),), after=(1, 2))
    assert plan(current, *pair, dead=(1,)) == made  # what is dead may be replaced
    other = Mark(element=1, remove=True, successor=6)
    assert "group 2 and cannot replace host3.instance1 of group 1" in refused(current, other)
    inside = Mark(element=1, remove=True, successor=3)
    assert "in the distribution map already" in refused(current, inside)
    twice = pair[0], Mark(element=3, remove=True, successor=5)
    assert "cannot replace two" in refused(current, *twice)
    both = Mark(element=1, remove=True, successor=5), *removed(2)
    assert "see host4.instance1" in refused(current, *both)
    assert "does not serve now" in refused(current, *pair, dead=(1, 2))


def test_a_replacement_that_has_joined_already_is_planned_again() -> None:
    current = changes.joined(grid(2, 2, (1,)), [Replacement(1, 5)])
    assert [e.element for e in current.replica_sets()[1]] == [1, 5, 2]
    assert current.version == 2
    made = plan(current, Mark(element=1, remove=True, successor=5))
    assert made == Plan(replacements=(Replacement(1, 5),), after=(1, 2))
    done = changes.without(current, [1])
    assert (done.version, [e.element for e in done.replica_sets()[1]]) == (3, [5, 2])
    assert done.ranges == current.ranges
    assert changes.without(done, [1]) == done


def test_only_what_is_dead_is_evicted() -> None:
    current = grid(3, 2, (1, 2))
    assert "host3.instance1, host4.instance1 cannot be evicted" in refused(current, *evicted(1, 2))
    assert plan(current, *evicted(1, 2), force=True).evicted == (1,)
    made = plan(current, *evicted(1, 2), dead=(1, 2))
    assert (made.evicted, made.after, made.new_sets) == ((1,), (2, 3), ())
    assert "see host4.instance1" in refused(current, *evicted(1), dead=(1, 2))
    both = *evicted(1, 2), *evicted(3)
    assert "see host6.instance1" in refused(current, *both, dead=(1, 2, 3))
    silent = refused(current, *evicted(1, 2), dead=(1, 2, 3, 4))
    assert silent == "replica set 2 does not serve now"
    single = grid(1, 2)
    assert "only replica set" in refused(single, *evicted(1, 2), dead=(1, 2))


def test_dead_sets_are_replaced_by_empty_ones() -> None:
    current = grid(2, 2, (1, 2))
    marks = [
        Mark(element=1, evict=True, successor=5),
        Mark(element=2, evict=True, successor=6),
        *added(5, 6),
    ]
    made = plan(current, *marks, dead=(1, 2))
    assert made.evicted == (1,)
    assert made.new_sets == (NewSet(3, (5, 6)),)
    assert (made.after, made.moves) == ((2, 3), False)
    half = [marks[0], Mark(element=2, evict=True)]
    assert "host4.instance1 has no replacement" in refused(current, *half, dead=(1, 2))


def test_a_dead_element_is_evicted_with_a_replacement_while_its_copy_serves() -> None:
    current = grid(2, 2, (1,))
    made = plan(current, Mark(element=1, evict=True, successor=5), dead=(1,))
    assert made.replacements == (Replacement(1, 5, evicted=True),)
    assert "cannot be evicted" in refused(current, Mark(element=1, evict=True, successor=5))


def test_what_an_interrupted_change_left_is_finished_by_the_next() -> None:
    current = grid(2, 2, (1, 2))
    new = NewSet(3, (5, 6))
    entered = changes.entered(current, new)
    assert (entered.idle, entered.version, entered.ranges) == ((3,), 2, current.ranges)
    assert entered.sets_in_use() == (1, 2)
    assert changes.entered(entered, new) == entered
    made = plan(entered)
    assert (made.new_sets, made.after) == ((new,), (1, 2, 3))
    left = changes.without(entered, [5, 6])
    assert (left.idle, sorted(left.replica_sets())) == ((), [1, 2])
