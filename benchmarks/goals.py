"""What TenGrid promises against its peers, and what a run says about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import loads
from benchmarks.loads import CITUS, GALERA, GRID, PAIR, SINGLE, SQLITE, Cell, Load
from benchmarks.result import Result

MET, MISSED, UNKNOWN = "met", "MISSED", "not measured"
ROWS_MEANT = 1_000_000


@dataclass(frozen=True)
class Goal:
    """A ratio of the grid's figure to the peer's, in one run."""

    title: str  # {rows}: of the bulk load, which a quick run makes smaller than ROWS_MEANT
    load: Load
    clients: int
    peer: str
    at_least: float = 0.0  # of the throughputs; 0: `at_most` counts
    then: float = 0.0  # a later goal
    at_most: float = 0.0  # of the median times
    forced: bool = False

    def cells(self) -> tuple[Cell, Cell]:
        """The grid's and the peer's."""
        return (
            Cell(self.load, self.clients, GRID, self.forced),
            Cell(self.load, self.clients, self.peer, self.forced),
        )

    def wanted(self) -> str:
        """In words."""
        if self.at_most:
            return f"at most {self.at_most:g} ×"
        return f"{self.at_least:g} ×" + (f", then {self.then:g} ×" if self.then else "")


GOALS = (
    Goal("TPTBM 80/20, every commit forced", loads.MIX, 16, PAIR, 1.25, forced=True),
    Goal("the same, nothing forced", loads.MIX, 16, PAIR, 0.8, 1.0),
    Goal("the same", loads.MIX, 16, CITUS, 4.0),
    Goal("the same, 64 clients", loads.MIX, 64, SINGLE, 1.0),
    Goal("TPTBM read, prepared, any instance", loads.READ, 16, SINGLE, 0.75, 1.0),
    Goal("the same, 64 clients", loads.READ, 64, SINGLE, 1.25),
    Goal(
        "read by key, clients at the lead (for a routing client)", loads.READ_LEAD, 16, SINGLE, 1.5
    ),
    Goal("TPTBM read, simple protocol, literals", loads.READ_SIMPLE, 16, SINGLE, 0.75),
    Goal("single-row update, forced", loads.UPDATE, 16, PAIR, 1.5, forced=True),
    Goal("single-row update, not forced", loads.UPDATE, 16, GALERA, 1.5),
    Goal("bank transfer over two replica sets", loads.TRANSFER, 16, PAIR, 0.75),
    Goal("the same", loads.TRANSFER, 16, CITUS, 3.0),
    Goal("bulk load by COPY, {rows} customers", loads.BULK, loads.STREAMS, PAIR, 0.5),
    Goal("scan aggregate over {rows} rows, time", loads.AGGREGATE, 1, SQLITE, at_most=0.8),
    Goal("latency, point read at the lead", loads.READ_LEAD, 1, SINGLE, at_most=1.2),
    Goal("latency, single-row commit, not forced", loads.UPDATE, 1, PAIR, at_most=1.0),
    Goal("latency, single-row commit, forced", loads.UPDATE, 1, PAIR, at_most=1.0, forced=True),
)


@dataclass(frozen=True)
class Verdict:
    """What a run says about a goal."""

    goal: Goal
    ratio: float | None  # None: one of the two was not measured
    word: str


def judge(goal: Goal, medians: Mapping[Cell, Result]) -> Verdict:
    """Compare the medians of the two cells."""
    ours, peers = (medians.get(cell) for cell in goal.cells())
    if ours is None or peers is None:
        return Verdict(goal, None, UNKNOWN)
    if goal.at_most:
        if not peers.p50_ms:
            return Verdict(goal, None, UNKNOWN)
        ratio = ours.p50_ms / peers.p50_ms
        return Verdict(goal, ratio, MET if ratio <= goal.at_most else MISSED)
    if not peers.tps:
        return Verdict(goal, None, UNKNOWN)
    ratio = ours.tps / peers.tps
    if ratio < goal.at_least:
        return Verdict(goal, ratio, MISSED)
    return Verdict(goal, ratio, f"{MET}, and {goal.then:g} ×" if 0 < goal.then <= ratio else MET)
