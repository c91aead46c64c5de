"""Partial results, TimesTen's hint TT_PartialResult: a query does without what is down.

Only replica sets that are down are left out, never one that just changes its lead; and only where
others have something to say: a read all of whose replica sets are down fails as without the hint.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from membership.port import ClusterView
from protocol import trace
from protocol.errors import PeerUnreachableError

HINT = "TT_PARTIALRESULT"
DOWN_AFTER_S = 5.0  # without a lead, though a copy's instance runs

Leadless = dict[int, float]  # replica set → since when (boottime; 0.0: no copy can take over)


class Partial:
    """The replica sets that one try of a query does without, and those that it missed."""

    def __init__(self, down: Iterable[int]) -> None:
        self.down = set(down)
        self.missed: set[int] = set()

    def up(self, sets: Iterable[int]) -> list[int]:
        """Those that are not down."""
        return [rs for rs in sets if rs not in self.down]

    def read(self, sets: Iterable[int]) -> list[int]:
        """Of these, which a read wants, those to ask.

        Raises PeerUnreachableError if none of them can be asked.
        """
        if trace.steps.listener is not None:
            trace.step("data/exec/partial.py")
        wanted = list(sets)
        there = self.up(wanted)
        if wanted and not there:
            raise PeerUnreachableError(f"{_named(wanted)} that it reads: nothing else has its rows")
        self.missed.update(set(wanted) - set(there))
        return there

    def warning(self, db: str) -> str:
        """What the client is told; "" if nothing is missing."""
        if not self.missed:
            return ""
        return f"TT3723: the result is partial, without {_named(self.missed)} of {db}, down now"


def _named(sets: Iterable[int]) -> str:
    numbers = sorted(sets)
    word = "replica set" if len(numbers) == 1 else "replica sets"
    return f"{word} {', '.join(map(str, numbers))}"


def is_wanted(hints: Mapping[str, str], by_session: bool) -> bool:
    """The statement's hint, else what the session is set to."""
    hint = hints.get(HINT)
    return by_session if hint is None else hint == "1"


def leadless(
    view: ClusterView,
    db: str,
    sets: Iterable[int],
    instances: Mapping[int, str],
    before: Leadless,
    now_s: float,
) -> Leadless:
    """The replica sets that nobody leads by this view. `instances`: of the elements."""
    alive = {i.name for i in view.instances.values() if i.incarnation not in view.dead}
    found: Leadless = {}
    for rs in sets:
        state = view.sets.get((db, rs))
        if state is None or (state.lead and view.is_alive(state.lead_incarnation)):
            continue
        may_lead = any(instances.get(element) in alive for element in state.in_sync)
        found[rs] = (before.get(rs) or now_s) if may_lead else 0.0
    return found
