"""One coarse timer for all deadlines of a process: a sweep every 25 ms while anything is open.

The number of open requests is bounded, so looking at each of them is cheaper than a loop timer,
or even a slot in a timer wheel, per request: most requests end without ever being looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from protocol.clock import boottime_s

TICK_S: Final = 0.025
_STALL_S: Final = 8 * TICK_S  # the process was stopped or the loop held: let waiting bytes in first


class Ticker:
    """Calls `sweep(now_s)` each tick until it returns False. `start` again when work comes."""

    def __init__(self, sweep: Callable[[float], bool]) -> None:
        self.running = False
        self._sweep = sweep
        self._due_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin ticking; call only when not running."""
        self.running = True
        self._schedule(boottime_s())

    def stop(self) -> None:
        """Tick no more."""
        self.running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, now_s: float) -> None:
        self._due_s = now_s + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now_s = boottime_s()
        stalled = now_s > self._due_s + _STALL_S
        if stalled or self._sweep(now_s):
            self._schedule(now_s)
        else:
            self.stop()
