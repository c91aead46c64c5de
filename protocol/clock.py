"""Time as a port, so that simulation can own it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime_s() -> float:
    """Seconds since boot, suspended time included; never goes back. For leases and deadlines."""
    return time.clock_gettime(_BOOTTIME)


def boottime_reader() -> Callable[[], float]:
    """What `boottime_s` does, as a function in C."""
    return partial(time.clock_gettime, _BOOTTIME)


def wall_us() -> int:
    """Microseconds since 1970-01-01 UTC. For users' eyes and SYSDATE only."""
    return time.time_ns() // 1000


class Clock(Protocol):
    """What the rest of the code may ask about time."""

    def now_s(self) -> float:
        """Seconds on a monotonic clock that counts suspended time."""
        ...

    def wall_us(self) -> int:
        """Microseconds since 1970-01-01 UTC, for users' eyes and SYSDATE only."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_s(self) -> float:
        """Seconds since boot (CLOCK_BOOTTIME)."""
        return boottime_s()

    def wall_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return wall_us()
