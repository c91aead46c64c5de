"""Which buckets move where when replica sets come or go. Pure.

Only the needed share moves: a set that comes gets its fair part from each of the others, a set
that goes gives its part to each of the others, nothing moves between two sets that stay. Runs of
buckets that belong together stay together as far as that goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from protocol.limits import BUCKET_COUNT
from protocol.topology import BucketRange, runs_of, table_of

__all__ = ["Move", "Table", "balanced", "is_balanced", "moves", "ranges_of", "table_of"]

Table = tuple[int, ...]  # replica set of each bucket


class Move(msgspec.Struct, frozen=True):
    """These buckets go from one replica set to another."""

    source: int
    target: int
    buckets: tuple[int, ...]  # ascending


def balanced(table: Sequence[int], after: Iterable[int]) -> Table:
    """The table over the sets of `after`, sizes differing by at most one, with few changes.

    Buckets of sets that are not in `after`, and those without owner (0), go to the others.
    """
    sets = sorted(set(after))
    assert 1 <= len(sets) <= BUCKET_COUNT
    owned: dict[int, list[int]] = {number: [] for number in sets}
    homeless: list[int] = []
    for bucket, owner in enumerate(table):
        owned.get(owner, homeless).append(bucket)
    quotas = _quotas({number: len(buckets) for number, buckets in owned.items()}, len(table))
    for number in sets:
        surplus = len(owned[number]) - quotas[number]
        if surplus > 0:
            homeless += _given_away(owned[number], surplus)
    new = list(table)
    homeless.sort()
    at = 0
    for number in sets:
        short = quotas[number] - len(owned[number])
        if short > 0:
            for bucket in homeless[at : at + short]:
                new[bucket] = number
            at += short
    assert at == len(homeless)
    return tuple(new)


def _quotas(sizes: dict[int, int], total: int) -> dict[int, int]:
    """How many buckets each set shall have; those that have more already get the odd ones."""
    share, odd = divmod(total, len(sizes))
    order = sorted(sizes, key=lambda number: (-sizes[number], number))
    return {number: share + (index < odd) for index, number in enumerate(order)}


def _given_away(buckets: list[int], count: int) -> list[int]:
    """Take `count` buckets off the ends of the longest runs; `buckets` keeps the others."""
    given: list[int] = []
    while len(given) < count:
        runs = runs_of(buckets)
        first, last = max(runs, key=lambda run: run[1] - run[0])
        taken = range(max(first, last + 1 - (count - len(given))), last + 1)
        given += taken
        gone = set(taken)
        buckets[:] = [b for b in buckets if b not in gone]
    return given


def moves(before: Sequence[int], after: Sequence[int]) -> tuple[Move, ...]:
    """What has to move, by source and target."""
    found: dict[tuple[int, int], list[int]] = {}
    for bucket, (source, target) in enumerate(zip(before, after, strict=True)):
        if source != target:
            found.setdefault((source, target), []).append(bucket)
    return tuple(
        Move(source, target, tuple(buckets)) for (source, target), buckets in sorted(found.items())
    )


def is_balanced(table: Sequence[int], sets: Iterable[int]) -> bool:
    """Every bucket belongs to one of these sets, and their sizes differ by at most one."""
    sizes = dict.fromkeys(sets, 0)
    for owner in table:
        if owner not in sizes:
            return False
        sizes[owner] += 1
    return max(sizes.values()) - min(sizes.values()) <= 1


def ranges_of(table: Sequence[int]) -> tuple[BucketRange, ...]:
    """The table as the distribution map has it; buckets without owner are left out."""
    ranges: list[BucketRange] = []
    for bucket, owner in enumerate(table):
        last = ranges[-1] if ranges else None
        if last is not None and last.replica_set == owner and last.last == bucket - 1:
            ranges[-1] = BucketRange(last.first, bucket, owner)
        elif owner:
            ranges.append(BucketRange(bucket, bucket, owner))
    return tuple(ranges)
