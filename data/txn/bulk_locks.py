"""Very many exclusive locks of one transaction, in few bytes each. Pure.

Of each resource only a fingerprint of 64 bits is kept. Two resources with one fingerprint make
somebody wait for a lock that nobody has: harmless, and rarer than 1 in 10**12 for a million locks.

The keys of new rows come in blocks, and one block's keys mostly lie between those of others (loads
go by ascending keys). So a block is kept as it is, sorted by fingerprint (that of an integer is the
integer), if it does not overlap with those before it: nobody looks into it who is not between its
ends. Blocks that overlap, and single resources, go into a hash table.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Sequence, Set
from typing import Any

BUCKETS = 1 << 16
RANGES_WHOLE_MAX = 4  # of more ranges that a block overlaps with, not every key is looked at

_Columns = Sequence[Sequence[Any]]  # of the keys of one index


class KeyRange:
    """The fingerprints of a block's keys in one unique index, in order; at least one."""

    __slots__ = ("high", "index", "low", "marks")

    def __init__(self, index: tuple[Hashable, Hashable], columns: _Columns) -> None:
        keys = columns[0] if len(columns) == 1 else zip(*columns, strict=True)
        marks = sorted(map(hash, keys))
        self.index = index  # of which table
        self.marks = array("q", marks)
        self.low, self.high = marks[0], marks[-1]

    def has(self, mark: int) -> bool:
        """One of the keys has this fingerprint."""
        if not self.low <= mark <= self.high:
            return False
        return self.marks[bisect_left(self.marks, mark)] == mark


class KeyBlock:
    """The keys of very many new rows of one table in its unique indexes."""

    __slots__ = ("_columns", "_resources", "ranges")

    def __init__(self, table_id: Hashable, keys: Sequence[tuple[Hashable, _Columns]]) -> None:
        """keys: for each index the columns of the keys, without those that have a NULL."""
        found = [((table_id, index), columns) for index, columns in keys if columns and columns[0]]
        self._columns = found
        self._resources: list[Hashable] | None = None
        self.ranges = [KeyRange(index, columns) for index, columns in found]

    def __len__(self) -> int:
        """How many keys there are."""
        return sum([len(keys.marks) for keys in self.ranges])

    @property
    def resources(self) -> list[Hashable]:
        """The names of all keys."""
        if self._resources is None:
            self._resources = [
                (*index, key)
                for index, columns in self._columns
                for key in zip(*columns, strict=True)
            ]
        return self._resources

    @property
    def has_twice(self) -> bool:
        """Two rows have the same key, or seem so."""
        return any(len(set(keys.marks)) < len(keys.marks) for keys in self.ranges)

    def spans(self) -> Iterator[tuple[Hashable, Any, Any]]:
        """Of each index: the least and the greatest value of the keys' first column."""
        for (_, index), columns in self._columns:
            yield index, min(columns[0]), max(columns[0])

    def is_among(self, resources: Set[Hashable]) -> bool:
        """One of the keys is one of these, or seems so."""
        if len(resources) > len(self):
            return not resources.isdisjoint(self.resources)
        return any(map(self._has, resources))

    def _has(self, resource: Hashable) -> bool:
        name = _name_of(resource)
        return name is not None and any(
            keys.index == name[0] and keys.has(name[1]) for keys in self.ranges
        )


def _name_of(resource: Hashable) -> tuple[tuple[Hashable, Hashable], int] | None:
    """(table, index) and the fingerprint of a key in a `KeyRange`; None: it is no such key."""
    if not isinstance(resource, tuple) or len(resource) != 3 or type(resource[2]) is not tuple:
        return None
    key = resource[2]
    return resource[:2], hash(key[0]) if len(key) == 1 else hash(key)


class _Ranges:
    """Ranges of one index, of which no two overlap, in order."""

    __slots__ = ("_lows", "_ranges")

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._ranges: list[KeyRange] = []

    def is_apart(self, keys: KeyRange) -> bool:
        """Overlaps with none."""
        before = bisect_right(self._lows, keys.high)  # so many begin before it ends
        return not before or self._ranges[before - 1].high < keys.low

    def add(self, keys: KeyRange) -> None:
        """Put one in that `is_apart`."""
        at = bisect_right(self._lows, keys.low)
        self._lows.insert(at, keys.low)
        self._ranges.insert(at, keys)

    def meets(self, keys: KeyRange) -> bool:
        """One of its fingerprints is in one of them."""
        after = bisect_right(self._lows, keys.high)
        first = max(0, bisect_right(self._lows, keys.low) - 1)
        near = self._ranges[first:after]
        if len(near) > RANGES_WHOLE_MAX:
            return any(map(self.has, keys.marks))
        marks = set(keys.marks)
        return not all(marks.isdisjoint(some.marks) for some in near)

    def has(self, mark: int) -> bool:
        """One of them has this fingerprint."""
        before = bisect_right(self._lows, mark)
        return before > 0 and self._ranges[before - 1].has(mark)


class BulkLocks:
    """A set of resources that only grows; 8 to 13 bytes each for a million."""

    __slots__ = ("_buckets", "_ranges")

    def __init__(self) -> None:
        self._ranges: dict[tuple[Hashable, Hashable], _Ranges] = {}
        self._buckets: list[array[int] | None] | None = None  # None: as long as it is empty

    def add(self, resource: Hashable) -> None:
        """Put one in; one that is there already counts once."""
        if self._buckets is None:
            self._buckets = [None] * BUCKETS
        mark = hash(resource)
        at = mark & (BUCKETS - 1)
        bucket = self._buckets[at]
        if bucket is None:
            self._buckets[at] = array("q", (mark,))
        elif mark not in bucket:
            bucket.append(mark)

    def __contains__(self, resource: Hashable) -> bool:
        if self._ranges:
            name = _name_of(resource)
            known = self._ranges.get(name[0]) if name is not None else None
            if known is not None and name is not None and known.has(name[1]):
                return True
        if self._buckets is None:
            return False
        mark = hash(resource)
        bucket = self._buckets[mark & (BUCKETS - 1)]
        return bucket is not None and mark in bucket

    def add_all(self, block: KeyBlock) -> None:
        """Put very many in."""
        if all(self._of(keys).is_apart(keys) for keys in block.ranges):
            for keys in block.ranges:
                self._of(keys).add(keys)
        else:
            for resource in block.resources:
                self.add(resource)

    def _of(self, keys: KeyRange) -> _Ranges:
        known = self._ranges.get(keys.index)
        if known is None:
            known = self._ranges[keys.index] = _Ranges()
        return known

    def meets(self, block: KeyBlock) -> bool:
        """One of those is in here, or seems so."""
        for keys in block.ranges:
            known = self._ranges.get(keys.index)
            if known is not None and not known.is_apart(keys) and known.meets(keys):
                return True
        buckets = self._buckets
        if buckets is None:
            return False
        marks = list(map(hash, block.resources))
        near = [mark for mark in marks if buckets[mark & (BUCKETS - 1)] is not None]
        return any(mark in (buckets[mark & (BUCKETS - 1)] or ()) for mark in near)
