"""Do the states that a statement read at several leads show whole transactions only? Pure.

*Read atomic*, after RAMP (Bailis et al., SIGMOD 2014), with what two-phase commit knows already. A
lead that opens a read state answers with a ReadView: which transactions over several replica sets
are prepared there and undecided (their changes are not in the state), and which ones it committed
in the last moments. Two facts decide everything:

* a transaction is committed anywhere only after it was committed at its anchor or prepared, at
  every replica set. So if state A shows it, a state B that was asked for after that was known
  either shows it too or lists it as undecided; and
* if B was opened before it was prepared (at the anchor: committed) there, A committed it after B
  was asked for, so it stands in A's list of the last moments, if that list reaches back to the
  first request.

A state that lacks what another shows is opened anew; where the transaction is prepared there, the
reader tells that lead the decision first, which it has from the other's log. What no list can tell
(a transaction that stays prepared for long) is asked for. States only move forward, so this ends
unless new transactions come faster than the rounds; then the leads hold new PREPAREs for a moment.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.ids import TxnId
from protocol.messages.sql import ReadView

CLOCK_RATE = 1.02  # two machines' clocks never differ more than this in how fast they run
NEVER_S = float("-inf")
SLACK_MS = 2.0  # for ages that were cut to whole milliseconds


@dataclass(frozen=True, slots=True)
class Opened:
    """A state that was read: of which replica set, what its lead said, and when (our clock)."""

    rs: int
    view: ReadView
    sent_s: float  # when it was asked for
    came_s: float  # when the answer came


@dataclass(slots=True)
class Verdict:
    """What has to be done before the states may be used; nothing: they agree."""

    again: set[Hashable] = field(default_factory=set)  # states to open anew
    tell: set[tuple[int, TxnId]] = field(default_factory=set)  # COMMIT, before that, and where
    ask: set[TxnId] = field(default_factory=set)  # whether they are committed; then judge again

    def __bool__(self) -> bool:
        """True if there is something to do."""
        return bool(self.again or self.ask)


class ReadPoint:
    """The states of one statement, by any key, until they agree."""

    def __init__(self, before: ReadPoint | None = None) -> None:
        """`before`: of an earlier round of the statement, whose states are all given up.

        What was learned in it stays: without it a commit that one lead still lists and another
        does not any more would look like a difference in every round.
        """
        self.opened: dict[Hashable, Opened] = {}
        self.participants: dict[TxnId, tuple[int, ...]] = {}
        self._committed: dict[TxnId, float] = {}  # since when we know it, at the latest
        self._not_yet: dict[TxnId, float] = {}  # not committed when this question was sent
        if before is not None:
            self.participants = before.participants
            self._committed = before._committed
            self._not_yet = before._not_yet

    @property
    def first_s(self) -> float:
        """When the oldest of the states was asked for."""
        return min(o.sent_s for o in self.opened.values())

    def add(self, key: Hashable, opened: Opened) -> None:
        """A state was opened, perhaps in the place of an older one."""
        self.opened[key] = opened
        for txn, participants, _ in opened.view.undecided:
            self.participants[txn] = participants
        for txn, participants in opened.view.commits:
            self.participants[txn] = participants
            self._committed.setdefault(txn, opened.came_s)

    def forget(self, key: Hashable) -> None:
        """This state is not used any more."""
        self.opened.pop(key, None)

    def answered(self, txn: TxnId, committed: bool, sent_s: float, came_s: float) -> None:
        """The answer to what `Verdict.ask` wanted: when the question was sent, the answer came."""
        if committed:
            self._committed.setdefault(txn, came_s)
        else:
            self._not_yet[txn] = sent_s

    def verdict(self) -> Verdict:
        """What has to be done now."""
        verdict = Verdict()
        if len(self.opened) < 2:
            return verdict
        first_s = self.first_s
        for opened in self.opened.values():
            if opened.view.complete_ms < _ms(opened.came_s - first_s):
                verdict.again = set(self.opened)  # it may have committed what it did not list
                return verdict
        if not self.participants:
            return verdict
        for txn, known_s in self._committed.items():
            self._judge(txn, known_s, verdict)
        for key, opened in self.opened.items():
            for txn, participants, age_ms in opened.view.undecided:
                if txn not in self._committed:
                    since_s = opened.sent_s - age_ms / 1000 if age_ms >= 0 else NEVER_S
                    if any(
                        other != key and o.rs in participants and self._may_show(o, txn, since_s)
                        for other, o in self.opened.items()
                    ):
                        verdict.ask.add(txn)
        return verdict

    def _judge(self, txn: TxnId, known_s: float, verdict: Verdict) -> None:
        """A committed transaction: every state of its replica sets has to show it, or none."""
        concerned = {
            key: o for key, o in self.opened.items() if o.rs in self.participants.get(txn, ())
        }
        if len(concerned) < 2:
            return
        undecided = {k for k, o in concerned.items() if _among(txn, o.view.undecided)}
        if len(undecided) == len(concerned):
            return
        for key, opened in concerned.items():
            if key in undecided:
                verdict.tell.add((opened.rs, txn))
                verdict.again.add(key)
            elif opened.sent_s < known_s and not _among(txn, opened.view.commits):
                verdict.again.add(key)  # not prepared there then, or committed long ago

    def _may_show(self, other: Opened, txn: TxnId, prepared_s: float) -> bool:
        """Could this state show a transaction that another has as undecided?"""
        if _among(txn, other.view.undecided):
            return False
        not_yet_s = self._not_yet.get(txn, NEVER_S)
        if other.came_s <= not_yet_s:
            return False
        not_before_s = max(prepared_s, not_yet_s)
        return other.view.complete_ms < _ms(other.came_s - not_before_s)


def _among(txn: TxnId, listed: Sequence[tuple[Any, ...]]) -> bool:
    return any(item[0] == txn for item in listed)


def _ms(duration_s: float) -> float:
    return duration_s * 1000 * CLOCK_RATE + SLACK_MS
