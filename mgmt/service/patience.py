"""How long a step of an operation bears with something, and when it says how it gets on."""

from __future__ import annotations

from protocol.clock import boottime_s

SAY_S = 5.0  # between two lines of progress
PATIENCE_S = 60.0  # so long an instance or a lead may be away before a step gives up


class Patience:
    """How long something that should not last has lasted."""

    def __init__(self, limit_s: float = PATIENCE_S) -> None:
        self._limit_s = limit_s
        self._since_s: float | None = None
        self._said_s = boottime_s()

    def lost(self, bad: bool) -> bool:
        """It has been bad all the time, for too long."""
        if not bad:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = boottime_s()
        return boottime_s() - self._since_s > self._limit_s

    def says(self) -> bool:
        """It is time for a line of progress."""
        if boottime_s() - self._said_s < SAY_S:
            return False
        self._said_s = boottime_s()
        return True
