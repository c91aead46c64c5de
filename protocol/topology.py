"""Who holds what: frozen values of a database's placement. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from protocol.limits import BUCKET_COUNT


class ElementPlace(msgspec.Struct, frozen=True):
    """One element of a database and where it lives."""

    element: int
    instance: str  # "host3.instance1"
    replica_set: int  # 0: not (yet) in the map
    data_space: int  # 1..K


class BucketRange(msgspec.Struct, frozen=True):
    """Buckets first..last (inclusive) belong to a replica set."""

    first: int
    last: int
    replica_set: int


def runs_of(buckets: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending buckets as runs (first, last)."""
    runs: list[tuple[int, int]] = []
    for bucket in buckets:
        if runs and runs[-1][1] == bucket - 1:
            runs[-1] = (runs[-1][0], bucket)
        else:
            runs.append((bucket, bucket))
    return runs


class DistributionMap(msgspec.Struct, frozen=True):
    """Buckets → replica sets → elements of one database. Immutable, numbered.

    Stored as JSON in membership (`/db/<name>/map`). Version 0 with no ranges: no map yet, but the
    elements are known.
    """

    database: str
    version: int
    k: int
    elements: tuple[ElementPlace, ...] = ()
    ranges: tuple[BucketRange, ...] = ()
    idle: tuple[int, ...] = ()  # replica sets that take no part yet, or any more: they hold nothing
    # (replica set, ownership version): how often its buckets changed; 0 where it is not listed.
    # Together with `ranges` and `idle` written by data instances only (data/moving/).
    versions: tuple[tuple[int, int], ...] = ()
    # While buckets move: where they shall be in the end, and where they were at the beginning.
    next_ranges: tuple[BucketRange, ...] = ()
    previous_ranges: tuple[BucketRange, ...] = ()
    evicted: tuple[ElementPlace, ...] = ()  # elements that were; their replica set as it was
    attributes: tuple[tuple[str, str], ...] = ()  # of the newest dbLoad, for who was away then

    def encode(self) -> bytes:
        """JSON, as stored in membership."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(value: bytes) -> DistributionMap:
        """Raises msgspec.ValidationError on anything else."""
        return msgspec.json.decode(value, type=DistributionMap)

    def replica_sets(self) -> dict[int, tuple[ElementPlace, ...]]:
        """Replica set → its elements in data space order; elements outside the map left out."""
        sets: dict[int, list[ElementPlace]] = {}
        for place in sorted(self.elements, key=lambda e: (e.replica_set, e.data_space)):
            if place.replica_set:
                sets.setdefault(place.replica_set, []).append(place)
        return {number: tuple(places) for number, places in sets.items()}

    def set_of(self, element: int) -> int:
        """The replica set of an element; 0: it is not in the map."""
        return next((e.replica_set for e in self.elements if e.element == element), 0)

    def sets_in_use(self) -> tuple[int, ...]:
        """The replica sets that statements go to, ascending."""
        return tuple(n for n in self.replica_sets() if n not in self.idle)

    def bucket_table(self) -> tuple[int, ...]:
        """Replica set of each of the BUCKET_COUNT buckets; 0 where none owns it."""
        return table_of(self.ranges)

    def moving(self) -> tuple[int, int]:
        """(buckets that the redistribution under way moves, those that are not there yet)."""
        if not self.next_ranges:
            return 0, 0
        target = table_of(self.next_ranges)
        before, now = table_of(self.previous_ranges), self.bucket_table()
        left = sum(a != b for a, b in zip(now, target, strict=True))
        return max(left, sum(a != b for a, b in zip(before, target, strict=True))), left


def table_of(ranges: Iterable[BucketRange]) -> tuple[int, ...]:
    """Replica set of each of the BUCKET_COUNT buckets; 0 where none owns it."""
    table = [0] * BUCKET_COUNT
    for span in ranges:
        table[span.first : span.last + 1] = (span.replica_set,) * (span.last + 1 - span.first)
    return tuple(table)
