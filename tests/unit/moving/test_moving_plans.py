"""Groups of buckets, and the map as it follows the ownership tables."""

from __future__ import annotations

import pytest

from data.moving.correction import claimed, corrected, ranges_of
from data.moving.groups import GROUP_BUCKETS, GROUP_ROWS, next_group
from data.txn.ownership import UNKNOWN, VERSION_ROW, Ownership, membership_row
from protocol.errors import StaleMapError
from protocol.limits import BUCKET_COUNT
from protocol.topology import BucketRange, DistributionMap, ElementPlace, runs_of

HALF = BUCKET_COUNT // 2


def the_map(**fields: object) -> DistributionMap:
    places = tuple(ElementPlace(n, f"host{n}.instance1", n, 1) for n in (1, 2, 3))
    ranges = (BucketRange(0, HALF - 1, 1), BucketRange(HALF, BUCKET_COUNT - 1, 2))
    values: dict[str, object] = {"elements": places, "ranges": ranges, "idle": (3,), **fields}
    return DistributionMap("db", 7, 1, **values)  # type: ignore[arg-type]


def own(rs: int, first: int, last: int, version: int, *more: tuple[int, int]) -> Ownership:
    table = Ownership()
    rows = [(b, rs) for b in range(first, last + 1)]
    table.load([*rows, *more, (VERSION_ROW, version)], rs)
    return table


def test_a_group_is_small_and_never_empty() -> None:
    assert next_group([1, 2, 3], {1: GROUP_ROWS - 1, 2: 1, 3: 1}) == (1, 2)
    assert next_group([5, 6], {5: 10 * GROUP_ROWS}) == (5,)
    assert len(next_group(range(4000), {})) == GROUP_BUCKETS


def test_ranges() -> None:
    assert runs_of([1, 2, 3, 7]) == [(1, 3), (7, 7)]
    assert ranges_of([1, 1, 0, 2]) == (BucketRange(0, 1, 1), BucketRange(3, 3, 2))


def test_a_map_that_agrees_stays() -> None:
    assert corrected(the_map(), 1, own(1, 0, HALF - 1, 0)) is None


def test_what_was_given_away_is_in_the_map_with_both_versions() -> None:
    mine = own(1, 10, HALF - 1, 4, *((b, 2) for b in range(10)))
    new = corrected(the_map(versions=((2, 5),)), 1, mine, {2: 6})
    assert new is not None
    assert new.version == 8
    assert new.bucket_table()[:11] == (2,) * 10 + (1,)
    assert dict(new.versions) == {1: 4, 2: 6}


def test_a_map_ahead_of_the_table_is_left_alone_until_it_is_claimed() -> None:
    """The database went back to an epoch: what was moved since is with its old owner again."""
    later = the_map(ranges=(BucketRange(0, BUCKET_COUNT - 1, 2),), versions=((1, 9), (2, 9)))
    assert corrected(later, 1, own(1, 0, HALF - 1, 3)) is None
    new = claimed(later, 1, own(1, 0, HALF - 1, 10))
    assert new is not None
    assert new.bucket_table()[HALF - 1 : HALF + 1] == (1, 2)
    assert dict(new.versions)[1] == 10
    other = claimed(later, 2, own(2, HALF, BUCKET_COUNT - 1, 10))
    assert other is not None
    assert other.bucket_table()[HALF - 1 : HALF + 1] == (0, 2)  # nobody's, until its owner speaks
    last = corrected(other, 1, own(1, 0, HALF - 1, 11))
    assert last is not None
    assert last.bucket_table()[HALF - 1 : HALF + 1] == (1, 2)


def test_buckets_of_a_set_that_is_gone_are_claimed() -> None:
    evicted = the_map(elements=the_map().elements[:1], idle=())
    new = corrected(evicted, 1, own(1, 0, BUCKET_COUNT - 1, 1))
    assert new is not None
    assert set(new.bucket_table()) == {1}


@pytest.mark.parametrize(("takes_part", "idle"), [(1, ()), (0, (2, 3))])
def test_who_takes_part_is_in_the_map(takes_part: int, idle: tuple[int, ...]) -> None:
    rs = 3 if takes_part else 2
    mine = own(1, 0, HALF - 1, 2, (membership_row(rs), takes_part))
    new = corrected(the_map(), 1, mine)
    assert new is not None
    assert new.idle == idle


def test_a_request_with_another_version_runs_only_for_an_owned_bucket() -> None:
    mine = own(1, 0, 9, 4)
    mine.check(4, -1)
    mine.check(3, 9)
    for version, bucket in ((3, -1), (3, 10), (5, 10)):
        with pytest.raises(StaleMapError):
            mine.check(version, bucket)
    mine.check_row(9)
    with pytest.raises(StaleMapError):
        mine.check_row(10)


def test_while_a_change_is_on_its_way_nothing_is_sure() -> None:
    mine = own(1, 0, 9, 4)
    mine.changing([3])
    assert mine.version == UNKNOWN
    mine.check(4, 2)
    for bucket in (-1, 3):
        with pytest.raises(StaleMapError):
            mine.check(4, bucket)


def test_changed_rows_give_what_reading_the_whole_table_would() -> None:
    mine = own(1, 0, 9, 4, (20, 2), (membership_row(3), 1))
    mine.changing([8, 9, 20])
    changed = [(8, 2), (9, 3), (20, 1), (VERSION_ROW, 5), (membership_row(3), 0)]
    mine.apply(changed, 1)
    whole = own(1, 0, 7, 5, (8, 2), (9, 3), (20, 1), (membership_row(3), 0))
    assert (mine.owned, mine.version, mine.known) == (whole.owned, whole.version, whole.known)
    assert (mine.gone, mine.taking_part) == (whole.gone, whole.taking_part)


def test_a_table_that_was_never_filled_refuses_no_row() -> None:
    Ownership().check_row(17)
