"""How far a redistribution is: counts and an estimate. Pure; time is given (seconds)."""

from __future__ import annotations

from collections.abc import Sequence

from mgmt.api.schema_databases import RedistributionStatus
from protocol.limits import MIB
from protocol.topology import DistributionMap

ESTIMATE_AFTER_S = 2.0


class Meter:
    """Of one database; fed by the step that moves buckets."""

    def __init__(self, before: Sequence[int], target: Sequence[int], now_s: float) -> None:
        self.total = sum(a != b for a, b in zip(before, target, strict=True))
        self.remaining = self.total
        self.route = (0, 0)  # the replica sets between which buckets move now
        self.waits = ""  # why it does not get on
        self.rows_per_s = -1  # a limit given since it began; -1: none was given
        self._rows = 0
        self._bytes = 0
        self._expected = 0  # rows, when they could be counted
        self._began_s = now_s
        self._at_first: int | None = None

    def expect(self, rows: int) -> None:
        """So many rows are to be moved, too."""
        self._expected += rows

    def left(self, remaining: int) -> None:
        """So many buckets are not yet where they shall be."""
        if self._at_first is None:
            self._at_first = remaining
        self.remaining = remaining

    def moved(self, rows: int, size: int, waits: str) -> None:
        """What one request has done."""
        self._rows += rows
        self._bytes += size
        self.waits = waits

    def seconds_left(self, now_s: float) -> int:
        """An estimate; -1: unknown."""
        elapsed_s = now_s - self._began_s
        if elapsed_s < ESTIMATE_AFTER_S or self._at_first is None:
            return -1
        if self._expected and self._rows:
            return round(elapsed_s * max(0, self._expected - self._rows) / self._rows)
        done = self._at_first - self.remaining
        return round(elapsed_s * self.remaining / done) if done else -1

    def status(self, now_s: float) -> RedistributionStatus:
        """For dbStatus."""
        return RedistributionStatus(
            percent=percent(self.total, self.remaining),
            buckets=self.total,
            buckets_left=self.remaining,
            rows=self._rows,
            seconds_left=self.seconds_left(now_s),
            source=self.route[0],
            target=self.route[1],
            waits=self.waits,
        )

    def line(self, now_s: float) -> str:
        """For whoever watches the command."""
        return self.status(now_s).words()

    def summary(self, now_s: float) -> str:
        """What was done in all."""
        rate = self._rows / max(now_s - self._began_s, 0.001)
        return (
            f"{self.total} buckets; {self._rows} rows, {self._bytes / MIB:.1f} MiB,"
            f" {rate:.0f} rows/s"
        )


def percent(total: int, remaining: int) -> int:
    """Of the buckets that have to move, how many have; 100 only when all have."""
    return 100 if not remaining else min(99, 100 * (total - remaining) // max(total, 1))


def of_map(known: DistributionMap) -> RedistributionStatus | None:
    """The same from a distribution map alone; None: nothing moves."""
    if not known.next_ranges:
        return None
    total, remaining = known.moving()
    return RedistributionStatus(
        percent=percent(total, remaining), buckets=total, buckets_left=remaining
    )
