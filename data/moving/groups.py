"""Which buckets are moved together. Pure.

Writers of a group wait while it is moved, so it is small; each group costs some messages and a
version of the map, so it is not tiny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GROUP_ROWS = 250
GROUP_BUCKETS = 256


def next_group(buckets: Sequence[int], rows: Mapping[int, int]) -> tuple[int, ...]:
    """The first buckets that together hold about GROUP_ROWS rows; at least one."""
    group: list[int] = []
    total = 0
    for bucket in buckets:
        count = rows.get(bucket, 0)
        if group and (total + count > GROUP_ROWS or len(group) == GROUP_BUCKETS):
            break
        group.append(bucket)
        total += count
    return tuple(group)
