"""How long each measurement may take, so that all end in time. Pure.

Cells of a table go round and round, so that what drifts drifts for all. A client load takes as
many seconds as the time that is left allows; a bulk load or scan takes what it takes, which the
first round shows. When even the shortest runs would be too many, the cells that no goal needs are
left out from the next round on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.loads import CLIENT, COPY, SCAN, Cell

LONGEST_S, SHORTEST_S = 10, 2
GUESS_S = {COPY: 45.0, SCAN: 8.0}  # of a million rows, before one was seen
GUESS_OVERHEAD_S = 0.7  # of a client load: connecting, reading the logs


def budget_s(minutes: float, reserve_s: float, taken_s: float) -> float:
    """For starting and measuring: what is left beside the reserve of an end, half in any case.

    `taken_s` is what the command took before, on a new machine: setting up, compiling.
    """
    all_s = minutes * 60 - reserve_s
    return max(all_s - taken_s, all_s / 2)


@dataclass
class Pace:
    """What was seen so far. Bulk load and scan are of `rows` rows."""

    rows: int = 1_000_000
    _overheads_s: list[float] = field(default_factory=list)
    _took_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def saw(self, cell: Cell, seconds: int, took_s: float) -> None:
        """A measurement that was to take `seconds` took so long."""
        if cell.load.kind == CLIENT:
            self._overheads_s.append(took_s - seconds)
        else:
            self._took_s[cell.load.kind, cell.target] = took_s

    def rest_s(self, cells: Sequence[Cell], seconds: int) -> float:
        """How long these will take."""
        return sum(self._cost_s(cell, seconds) for cell in cells)

    def seconds(self, cells: Sequence[Cell], left_s: float) -> int | None:
        """Of each client load, so that all these cells fit; None if not even the shortest do."""
        for seconds in range(LONGEST_S, SHORTEST_S - 1, -1):
            if self.rest_s(cells, seconds) <= left_s:
                return seconds
        return None

    def _cost_s(self, cell: Cell, seconds: int) -> float:
        if cell.load.kind == CLIENT:
            return seconds + self._overhead_s()
        guess_s = GUESS_S[cell.load.kind] * self.rows / 1_000_000
        return self._took_s.get((cell.load.kind, cell.target), guess_s)

    def _overhead_s(self) -> float:
        if not self._overheads_s:
            return GUESS_OVERHEAD_S
        return sum(self._overheads_s) / len(self._overheads_s)
