"""What one run of a cell gave, and the median of several. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)  # of `quantiles_ms`


@dataclass(frozen=True)
class Result:
    """Of one run. A bulk load counts rows, a scan counts scans, all others transactions."""

    tps: float
    quantiles_ms: tuple[float, ...]  # latency, at SHARES
    cpu_us: float  # CPU microseconds of all server processes per transaction
    failed: int = 0
    network_bytes: float = 0.0  # over loopback per transaction, with the clients' and any others'
    disk_bytes: float = 0.0  # written by the server processes per transaction

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return self._at(0.5)

    @property
    def p95_ms(self) -> float:
        """95 % are faster."""
        return self._at(0.95)

    @property
    def p99_ms(self) -> float:
        """99 % are faster."""
        return self._at(0.99)

    def _at(self, share: float) -> float:
        return self.quantiles_ms[SHARES.index(share)]


def quantiles_ms(latencies_us: Sequence[int]) -> tuple[float, ...]:
    """Of sorted latencies, at SHARES; zeros if there are none."""
    if not latencies_us:
        return (0.0,) * len(SHARES)
    last = len(latencies_us) - 1
    return tuple(latencies_us[min(last, int(s * len(latencies_us)))] / 1000 for s in SHARES)


def quantiles_of_histogram(counts_by_ms: Sequence[tuple[float, int]]) -> tuple[float, ...]:
    """The same of (latency, how many had it), sorted."""
    total = sum(count for _, count in counts_by_ms)
    if not total:
        return (0.0,) * len(SHARES)
    sums = list(itertools.accumulate(count for _, count in counts_by_ms))
    return tuple(
        next(
            ms
            for (ms, _), upto in zip(counts_by_ms, sums, strict=True)
            if upto > min(s * total, total - 1)
        )
        for s in SHARES
    )


def median(results: Iterable[Result]) -> Result:
    """Field by field; failures are added up. Raises StatisticsError if there is no result."""
    taken = list(results)
    return Result(
        tps=statistics.median(r.tps for r in taken),
        quantiles_ms=tuple(
            statistics.median(values)
            for values in zip(*(r.quantiles_ms for r in taken), strict=True)
        ),
        cpu_us=statistics.median(r.cpu_us for r in taken),
        failed=sum(r.failed for r in taken),
        network_bytes=statistics.median(r.network_bytes for r in taken),
        disk_bytes=statistics.median(r.disk_bytes for r in taken),
    )
