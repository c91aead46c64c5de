"""Faults planted in the real code: `python -m tests.sim.planted FAULT SEED`.

Prints the first seed that breaks something with the fault, SEED first, and how many problems it has
without it. PYTHONHASHSEED has to be tests.sim.__main__.HASH_SEED: else a seed does not replay.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable

import pytest

from data.replication.leadership import Leadership
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from data.storage.touched import Touched
from data.txn import lead as lead_module
from data.txn.lead import LeadWriter
from protocol.messages.txn import Outcome
from tests.sim.simulation import play

SEEDS = 160  # forgotten locks show in about one of fifty
SHAPE = (2, 2)  # K, replica sets
Plant = Callable[[pytest.MonkeyPatch], None]


def commits_before_its_copies(patch: pytest.MonkeyPatch) -> None:
    """A lead does not wait for the copies' answers."""

    def nobody(self: Leadership) -> None:
        if self.batch is not None:
            self.batch.missing = set()

    patch.setattr(Leadership, "_count_missing", nobody)


def ignores_its_lease(patch: pytest.MonkeyPatch) -> None:
    """A lead answers as long as it takes itself for one."""

    def lead_ok(self: ReplicaSetMember) -> bool:
        return self.machine is not None and self.machine.leads

    patch.setattr(ReplicaSetMember, "lead_ok", lead_ok)


def forgets_locks(patch: pytest.MonkeyPatch) -> None:
    """A new lead does not rebuild the locks of prepared transactions."""
    patch.setattr(lead_module, "decode_locks", lambda data: [])


def decides_without_a_record(patch: pytest.MonkeyPatch) -> None:
    """An anchor that knows nothing of a transaction says so, and writes nothing."""

    def ask_outcome(self: LeadWriter, message: object, reply: object) -> None:
        outcome = self._element.outcome(message.txn)  # type: ignore[attr-defined]
        state = "committed" if outcome == "committed" else "aborted"
        reply.reply(Outcome(state))  # type: ignore[attr-defined]

    patch.setattr(LeadWriter, "ask_outcome", ask_outcome)


def trusts_lost_files(patch: pytest.MonkeyPatch) -> None:
    """An element counts itself in sync after its machine lost power."""
    load = Element._load

    def trusting(self: Element) -> None:
        load(self)
        self.needs_recovery = False

    patch.setattr(Element, "_load", trusting)


def ignores_what_is_pending(patch: pytest.MonkeyPatch) -> None:
    """A copy answers reads of rows that its lead has not committed yet."""
    patch.setattr(Touched, "is_quiet", lambda *_: True)


PLANTS: tuple[Plant, ...] = (
    commits_before_its_copies,
    ignores_its_lease,
    forgets_locks,
    decides_without_a_record,
    trusts_lost_files,
    ignores_what_is_pending,
)


def found(plant: Plant, likely: int) -> int | None:
    """The first seed that breaks something."""
    play(0, SHAPE)  # the template is made without the fault
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        for seed in (likely, *range(SEEDS)):
            problems = play(seed, SHAPE).problems
            gc.collect()
            if problems:
                return seed
    return None


def main(name: str, likely: int) -> None:
    """Print both."""
    warnings.simplefilter("ignore", RuntimeWarning)  # tasks of dead processes never go on
    gc.disable()  # abandoned tasks end in an order that depends on the collector
    (plant,) = [plant for plant in PLANTS if plant.__name__ == name]
    seed = found(plant, likely)
    left = [] if seed is None else play(seed, SHAPE).problems
    print(f"{name}: seed {seed}, without the fault {len(left)} problems", *left, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
