"""The distribution map of a database. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mgmt.placement import replica_sets
from protocol.errors import ModelError
from protocol.limits import BUCKET_COUNT
from protocol.topology import BucketRange, DistributionMap, ElementPlace


def without_ranges(database: str, k: int, elements: Sequence[ElementPlace]) -> DistributionMap:
    """Version 0: the elements are known, no element holds rows yet."""
    return DistributionMap(
        database=database, version=0, k=k, elements=tuple(sorted(elements, key=lambda e: e.element))
    )


def first(before: DistributionMap, added: frozenset[int]) -> DistributionMap:
    """Version 1: the added elements form replica sets, the buckets are spread evenly over them.

    Elements that are not added stay outside. Raises ModelError if nothing is added or the added
    elements do not form whole replica sets.
    """
    assert before.version == 0
    if not added:
        raise ModelError(
            "no element is marked for the distribution map",
            hint="Add them: ttGridAdmin dbDistribute NAME -add all -apply",
        )
    new = [place for place in before.elements if place.element in added]
    placed = {p.element: p for p in replica_sets.form(new, k=before.k)}
    numbers = sorted({p.replica_set for p in placed.values()})
    return msgspec.structs.replace(
        before,
        version=1,
        elements=tuple(placed.get(e.element, e) for e in before.elements),
        ranges=even_ranges(numbers),
    )


def with_elements(before: DistributionMap, elements: Sequence[ElementPlace]) -> DistributionMap:
    """The same map with another list of elements outside it; those in the map stay as they are."""
    inside = [e for e in before.elements if e.replica_set]
    numbers = {e.element for e in inside}
    outside = [
        msgspec.structs.replace(e, replica_set=0) for e in elements if e.element not in numbers
    ]
    return msgspec.structs.replace(
        before, elements=tuple(sorted(inside + outside, key=lambda e: e.element))
    )


def even_ranges(replica_set_numbers: Sequence[int]) -> tuple[BucketRange, ...]:
    """All buckets over these sets, in slices whose sizes differ by at most one."""
    count = len(replica_set_numbers)
    assert 1 <= count <= BUCKET_COUNT
    edges = [BUCKET_COUNT * index // count for index in range(count + 1)]
    return tuple(
        BucketRange(edges[index], edges[index + 1] - 1, number)
        for index, number in enumerate(replica_set_numbers)
    )
