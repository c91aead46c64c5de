"""Power fails everywhere at once: what clients were told before it, and what of that must be there.

With Durability=0 a database goes back to its newest epoch then. An epoch is a consistent cut: what
was acknowledged before the newest finished epoch was begun must be there; of what came later some
may be gone, but nothing may be there without what was acknowledged before it was begun.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from protocol.errors import GridError
from protocol.messages.admin import INTENT_CREATED, INTENT_LOADED, INTENT_OPEN, render_intent
from tests.drill.history import Operation, Outcome, Verdict, of
from tests.sim.grid import DATABASE, SimGrid, Site
from tests.sim.guarantees import Guarantees

DARK_S = (0.1, 3.0)  # until a host is up again
READS = ("read", "sum")
OPERATOR_S = 1.0
ADVICE = "dbUnload"  # in what dbStatus says


@dataclass(frozen=True)
class Blackout:
    """One of them. What was acknowledged before `safe_s` was promised to outlive it."""

    safe_s: float
    at_s: float

    def may_take(self, operation: Operation) -> bool:
        """Acknowledged too late, or seen too late by a reader."""
        return self.safe_s <= operation.end_s and operation.start_s <= self.at_s


class Blackouts:
    """Strikes, and remembers what was promised."""

    def __init__(self, grid: SimGrid, guarantees: Guarantees) -> None:
        self.struck: list[Blackout] = []
        self._unloading = False
        self._grid = grid
        self._guarantees = guarantees

    def strike(self) -> None:
        """All hosts lose power, those whose process is down as well; each comes back by itself."""
        grid = self._grid
        safe_s = self._safe_s()
        self.struck.append(Blackout(safe_s, grid.scheduler.now))
        grid.note("fault", f"blackout; what was acknowledged before {safe_s - 1000:.5f} is safe")
        for site in grid.sites:
            grid.lose_power(site)
        self._guarantees.forget()
        for site in grid.sites:
            wait_s = grid.scheduler.rng.uniform(*DARK_S)
            grid.scheduler.later(wait_s, lambda s=site: grid.start(s))
        grid.scheduler.later(OPERATOR_S, self._operate)

    def _operate(self) -> None:
        """Somebody reads dbStatus now and then, and does what it says."""
        grid = self._grid
        grid.scheduler.later(OPERATOR_S, self._operate)
        reports = [(site, database.recovery.message) for site, database in grid.databases()]
        site = next((site for site, message in reports if ADVICE in message), None)
        if site is None or site.loop is None or self._unloading:
            return
        grid.note("operator", "unloads the database and loads it again")
        self._unloading = True
        site.loop.deliver(self._put_intent, site, INTENT_CREATED)
        grid.scheduler.later(OPERATOR_S, self._load_again)

    def _load_again(self) -> None:
        grid = self._grid
        if grid.databases() or not (up := [site for site in grid.sites if site.up]):
            for site in grid.sites:  # one that did not hear of it, or the word was lost
                if site.up and site.loop is not None:
                    site.loop.deliver(self._put_intent, site, INTENT_CREATED)
            grid.scheduler.later(OPERATOR_S, self._load_again)
            return
        self._unloading = False
        for event in ("recovery.all_go_back", "recovery.went_back"):
            grid.on_event[event] = self._gone_back
        assert up[0].loop is not None
        up[0].loop.deliver(self._put_intent, up[0], INTENT_LOADED)
        grid.scheduler.later(OPERATOR_S, self._open_again)

    def _gone_back(self) -> None:
        """Replica sets that had lost nothing, and served again, went back too."""
        self.struck[-1] = replace(self.struck[-1], at_s=self._grid.scheduler.now)
        self._guarantees.forget()

    def _open_again(self) -> None:
        grid = self._grid
        loaded = grid.databases()
        is_ready = len(loaded) == len(grid.sites) and all(
            database.member.role in ("lead", "copy") for _, database in loaded
        )
        if not is_ready:
            grid.scheduler.later(OPERATOR_S, self._open_again)
            return
        site = loaded[0][0]
        assert site.loop is not None
        site.loop.deliver(self._put_intent, site, INTENT_OPEN)

    def _put_intent(self, site: Site, word: str) -> None:
        assert site.loop is not None and site.membership is not None
        membership = site.membership

        async def put() -> None:
            with contextlib.suppress(GridError):
                await membership.put_state(DATABASE, render_intent(word, "5eed"))

        site.loop.spawn(put(), "operator")

    def _safe_s(self) -> float:
        loaded = [database for _, database in self._grid.databases()]
        if len(loaded) == len(self._grid.sites) and all(d.element._full for d in loaded):
            return math.inf  # every commit is flushed on every copy
        done = max((database.epochs.clock.done for database in loaded), default=0)
        begun = self._guarantees.epoch_begun_s
        known = [self.struck[-1].safe_s] if self.struck else []
        return max([*known, begun.get(done, 0.0)])

    def as_promised(self, history: Iterable[Operation]) -> list[Operation]:
        """The history without promises that the blackouts ended."""
        kept = []
        for operation in history:
            if any(blackout.may_take(operation) for blackout in self.struck):
                if operation.action in READS or operation.error == "23505":
                    continue  # it saw what may be gone
                if operation.outcome is Outcome.OK:
                    operation = replace(operation, outcome=Outcome.UNKNOWN)
            kept.append(operation)
        return kept

    def check_cut(self, history: Iterable[Operation], receipts: Iterable[int]) -> Verdict:
        """Nothing is there without what was acknowledged before it was begun."""
        there = set(receipts)
        told = [o for o in of(history, "bank", "transfer") if o.outcome is Outcome.OK]
        violations = []
        for lost in (o for o in told if o.key not in there):
            later = next((o for o in told if o.key in there and self._after(lost, o)), None)
            if later is not None:
                violations.append(f"{later} is there, {lost} is not")
        return Verdict("what outlived a blackout is a cut", len(told), tuple(violations))

    def _after(self, lost: Operation, kept: Operation) -> bool:
        """Begun when the other was acknowledged, and before any failure that may have taken it."""
        return lost.end_s < kept.start_s and all(
            kept.start_s <= b.at_s for b in self.struck if b.may_take(lost)
        )
