"""The map in membership follows the ownership tables: what a lead corrects in it. Pure.

The decision of the transaction that moves a bucket is the change; the map is written afterwards, by
the mover, or, if it is gone, by whoever leads one of the replica sets: each of them knows enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from types import MappingProxyType

from msgspec.structs import replace

from data.txn.ownership import Ownership
from protocol.topology import BucketRange, DistributionMap

NO_OTHERS: Mapping[int, int] = MappingProxyType({})


def corrected(
    current: DistributionMap, rs: int, own: Ownership, others: Mapping[int, int] = NO_OTHERS
) -> DistributionMap | None:
    """The map as replica set `rs` corrects it by its ownership table; None: nothing to correct.

    It gives away what it gave away, claims what belongs to sets that are gone, and states its
    version and who takes part; `others`: versions that other sets have reached. If the map is ahead
    of the table (the database went back to an epoch), call `claimed` instead.
    """
    if not own.known or own.version < version_in(current, rs):
        return None
    sets = current.replica_sets()
    table = list(current.bucket_table())
    for bucket, owner in own.gone.items():
        if table[bucket] == rs:
            table[bucket] = owner
    if not set(table).issubset(sets):
        for bucket in own.buckets():
            if table[bucket] not in sets:
                table[bucket] = rs
    return _changed(current, rs, own, table, others)


def claimed(
    current: DistributionMap, rs: int, own: Ownership, others: Mapping[int, int] = NO_OTHERS
) -> DistributionMap | None:
    """The map when this replica set's table is older than it and has been given a new version:

    what the set owns is its own, and nothing else. What it does not own is nobody's until its owner
    says so.
    """
    table = [
        own.gone.get(bucket, 0) if owner == rs else owner
        for bucket, owner in enumerate(current.bucket_table())
    ]
    for bucket in own.buckets():
        table[bucket] = rs
    return _changed(current, rs, own, table, others)


def version_in(current: DistributionMap, rs: int) -> int:
    """The ownership version of a replica set in the map."""
    return dict(current.versions).get(rs, 0)


def _changed(
    current: DistributionMap,
    rs: int,
    own: Ownership,
    table: list[int],
    others: Mapping[int, int],
) -> DistributionMap | None:
    versions = dict(current.versions)
    for other, version in others.items():
        versions[other] = max(version, versions.get(other, 0))
    if own.version:
        versions[rs] = own.version
    sets = current.replica_sets()
    idle = set(current.idle)
    for number, takes_part in own.taking_part.items():
        if takes_part:
            idle.discard(number)
        elif number in sets:
            idle.add(number)
    new = replace(
        current,
        ranges=ranges_of(table),
        versions=tuple(sorted((n, v) for n, v in versions.items() if n in sets)),
        idle=tuple(sorted(idle & set(sets))),
    )
    if (new.ranges, new.versions, new.idle) == (current.ranges, current.versions, current.idle):
        return None
    return replace(new, version=current.version + 1)


def ranges_of(table: list[int]) -> tuple[BucketRange, ...]:
    """The owner of each bucket as ranges; 0: nobody's."""
    spans: list[BucketRange] = []
    first = 0
    for owner, run in groupby(table):
        end = first + len(list(run))
        if owner:
            spans.append(BucketRange(first, end - 1, owner))
        first = end
    return tuple(spans)
