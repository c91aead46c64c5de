"""Very many exclusive locks of one transaction, in few bytes each. Pure.

Of each resource only a fingerprint of 64 bits is kept. Two resources with one fingerprint make
somebody wait for a lock that nobody has: harmless, and rarer than 1 in 10**12 for a million locks.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable

BUCKETS = 1 << 16


class KeyBlock:
    """Very many resources, each with its fingerprint."""

    __slots__ = ("marks", "resources")

    def __init__(self, resources: list[Hashable]) -> None:
        self.resources = resources
        self.marks = list(map(hash, resources))


class BulkLocks:
    """A set of resources that only grows; about 13 bytes each for a million."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: list[array[int] | None] = [None] * BUCKETS

    def add(self, resource: Hashable) -> None:
        """Put one in; one that is there already counts once."""
        mark = hash(resource)
        at = mark & (BUCKETS - 1)
        bucket = self._buckets[at]
        if bucket is None:
            self._buckets[at] = array("q", (mark,))
        elif mark not in bucket:
            bucket.append(mark)

    def __contains__(self, resource: Hashable) -> bool:
        mark = hash(resource)
        bucket = self._buckets[mark & (BUCKETS - 1)]
        return bucket is not None and mark in bucket

    def add_all(self, block: KeyBlock) -> None:
        """Put very many in."""
        buckets = self._buckets
        for mark in block.marks:
            at = mark & (BUCKETS - 1)
            bucket = buckets[at]
            if bucket is None:
                buckets[at] = array("q", (mark,))
            elif mark not in bucket:
                bucket.append(mark)

    def meets(self, block: KeyBlock) -> bool:
        """One of those is in here, or seems so."""
        buckets = self._buckets
        near = [mark for mark in block.marks if buckets[mark & (BUCKETS - 1)] is not None]
        return any(mark in (buckets[mark & (BUCKETS - 1)] or ()) for mark in near)
