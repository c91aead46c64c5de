"""What to do about replica sets that lost power on every copy: a decision from facts. Pure.

A replica set is *lost* if each of its in-sync elements is there and says that it may lack what it
acknowledged. It goes back to the newest epoch that every replica set of the database has; because
an epoch is a consistent cut, that is a state the whole database was in. Replica sets that lost
nothing keep what they have, unless a transaction over several sets would then be half there
(docs/decisions/0021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from protocol import trace
from protocol.ids import TxnId
from protocol.messages.recovery import Crossing, ElementTold, PreparedBefore


@dataclass(frozen=True)
class SetFacts:
    """One replica set: who counts as in sync, and what those elements told."""

    rs: int
    in_sync: tuple[int, ...]
    told: Mapping[int, ElementTold]  # who did not answer is missing
    led_by: int = 0  # the element that leads or led it last

    @property
    def lost(self) -> bool:
        """Nobody is left who surely has everything."""
        return bool(self.in_sync) and all(
            e in self.told and self.told[e].damaged for e in self.in_sync
        )

    @property
    def lead(self) -> ElementTold | None:
        """Who serves it."""
        return next((t for t in self.told.values() if t.serving), None)

    @property
    def epochs(self) -> frozenset[int]:
        """Epochs it can go back to."""
        if self.lead is not None:
            return frozenset(self.lead.epochs)
        return frozenset(n for e in self.in_sync if e in self.told for n in self.told[e].epochs)


@dataclass(frozen=True)
class Wait:
    """Nothing can be done now; `why` is for the operator."""

    why: str


@dataclass(frozen=True)
class Nothing:
    """No replica set is lost."""


@dataclass(frozen=True)
class Return:
    """These elements go back to the epoch, one per lost replica set; then they are the truth.

    If `compare` names replica sets, those serve and stay as they are: ask them and the elements
    first, and let `may_stay` decide.
    """

    epoch: int
    floor: int  # no epoch up to this number may be given again
    seeds: Mapping[int, int]  # replica set → element
    compare: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answers:
    """What serving sets and seeds said about transactions over several replica sets."""

    crossing: Sequence[Crossing] = ()
    before: Mapping[int, PreparedBefore] = field(default_factory=dict)  # lost set → its seed's


def decide(sets: Sequence[SetFacts]) -> Nothing | Wait | Return:
    """What to do now."""
    if trace.steps.listener is not None:
        trace.step("data/txn/recovery.py")
    lost = [s for s in sets if s.lost]
    if not lost:
        return Nothing()
    for one in sets:
        if not one.lost and one.lead is None:
            missing = [e for e in one.in_sync if e not in one.told]
            names = ", ".join(map(str, missing or one.in_sync))
            return Wait(f"waiting for element {names} of replica set {one.rs}")
    common = frozenset.intersection(*(s.epochs for s in sets))
    if not common:
        return Wait("the replica sets have no epoch in common to go back to")
    epoch = max(common)
    told = [t for s in sets for t in s.told.values()]
    floor = max(max((t.seen, *t.epochs), default=0) for t in told)
    seeds = {s.rs: _seed(s, epoch) for s in lost}
    serving = tuple(s.rs for s in sets if not s.lost)
    return Return(epoch, floor + 1, seeds, serving)


def _seed(lost: SetFacts, epoch: int) -> int:
    """An element that has the epoch: who led last (if it lives, nobody else may lead without its

    leave), or else the one with the least to undo.
    """
    able = [t for e in lost.in_sync if epoch in (t := lost.told[e]).epochs]
    return min(able, key=lambda t: (t.element != lost.led_by, t.tail[1], t.element)).element


def half_there(answers: Answers) -> list[TxnId]:
    """Transactions committed at serving sets that the lost ones would not have."""
    found: list[TxnId] = []
    for answer in answers.crossing:
        for txn, participants in answer.txns:
            for rs in participants:
                before = answers.before.get(rs)
                if before is None:
                    continue  # it serves
                is_anchor = rs == participants[0]
                if txn not in (before.committed if is_anchor else before.prepared):
                    found.append(txn)
                    break
    return found
