"""Which buckets are moved together. Pure.

Writers of a group wait while it is moved, so it is small; each group costs some messages and a
version of the map, so it is not tiny.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

GROUP_ROWS = 250
GROUP_BUCKETS = 256
REST_SHARE = 1.0  # of the time that a group took: the rest belongs to clients


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


def pause_s(rows: int, took_s: float, rows_per_s: int) -> float:
    """How long to rest after a group: as long as it took, and, `rows_per_s` > 0, so long that no

    more rows move.
    """
    wanted_s = rows / rows_per_s - took_s if rows_per_s else 0.0
    return max(REST_SHARE * took_s, wanted_s)
