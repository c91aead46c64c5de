"""Which buckets move when replica sets come and go: balanced, only the needed share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mgmt.placement import map_builder, rebalance
from protocol.limits import BUCKET_COUNT
from protocol.topology import runs_of


def even(*sets: int) -> rebalance.Table:
    return rebalance.table_of(map_builder.even_ranges(sets))


def sizes(table: rebalance.Table) -> dict[int, int]:
    return {number: table.count(number) for number in set(table)}


def test_a_third_set_gets_a_third() -> None:
    before = even(1, 2)
    after = rebalance.balanced(before, (1, 2, 3))
    assert sorted(sizes(after).values()) == [1365, 1365, 1366]
    moved = rebalance.moves(before, after)
    assert {m.target for m in moved} == {3}
    assert sum(len(m.buckets) for m in moved) == sizes(after)[3]
    assert all(len(runs_of(m.buckets)) == 1 for m in moved)


def test_a_set_that_goes_gives_to_all_others() -> None:
    before = even(1, 2, 3)
    after = rebalance.balanced(before, (1, 3))
    assert sizes(after) == {1: 2048, 3: 2048}
    moved = rebalance.moves(before, after)
    assert [(m.source, m.target) for m in moved] == [(2, 1), (2, 3)]


def test_adding_and_removing_one_at_a_time_moves_between_the_two_alone() -> None:
    before = even(1, 2)
    moved = rebalance.moves(before, rebalance.balanced(before, (2, 3)))
    assert [(m.source, m.target, len(m.buckets)) for m in moved] == [(1, 3, 2048)]


def test_buckets_without_owner_find_one() -> None:
    before = tuple(0 if owner == 2 else owner for owner in even(1, 2, 3))
    after = rebalance.balanced(before, (1, 3))
    assert sizes(after) == {1: 2048, 3: 2048}
    assert all(a == b for a, b in zip(before, after, strict=True) if a)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.frozensets(st.integers(1, 12), min_size=1, max_size=9), min_size=2, max_size=6))
def test_any_sequence_of_changes_stays_balanced_and_moves_the_least(
    steps: list[frozenset[int]],
) -> None:
    table = even(*sorted(steps[0]))
    for wanted in steps[1:]:
        present = sizes(table)
        after = rebalance.balanced(table, wanted)
        assert rebalance.is_balanced(after, wanted)
        assert rebalance.table_of(rebalance.ranges_of(after)) == after
        moved = rebalance.moves(table, after)
        share, odd = divmod(BUCKET_COUNT, len(wanted))
        order = sorted((present.get(n, 0) for n in wanted), reverse=True)
        least = sum(max(0, share + (i < odd) - size) for i, size in enumerate(order))
        assert sum(len(m.buckets) for m in moved) == least
        stays = wanted & present.keys()
        assert not [m for m in moved if m.source in stays and m.target in stays and (
            present[m.target] >= share + 1 or present[m.source] <= share)]  # fmt: skip
        assert rebalance.balanced(after, wanted) == after  # nothing more to do
        table = after
