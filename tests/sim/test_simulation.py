"""The whole grid in virtual time: seeds that hold, runs that replay, planted faults that are found.

`make sim SEEDS=n` runs n seeds; a seed that fails replays with
`python -m tests.sim --seeds 1 --start SEED --trace FILE`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from data.replication.leadership import Leadership
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from data.txn import lead as lead_module
from data.txn.lead import LeadWriter
from protocol.messages.txn import Outcome
from tests.sim.simulation import play

SEEDS = 20  # of the normal test run
PLANTED_SEEDS = 160  # forgotten locks show in about one of fifty


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.sim", "--only", "grid", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(280)
def test_no_seed_breaks_a_guarantee(request: pytest.FixtureRequest) -> None:
    wanted = request.config.getoption("--seeds") or SEEDS
    done = run("--seeds", str(wanted))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_replays_exactly() -> None:
    prints = [run("--seeds", "1", "--start", "3", "--fingerprint").stdout for _ in range(2)]
    alone = [text.splitlines()[0] for text in prints]
    assert alone[0] == alone[1]
    after_others = run("--seeds", "2", "--start", "2", "--fingerprint").stdout
    assert alone[0] in after_others


# -- planted faults -------------------------------------------------------------------------------
def found(seeds: Iterable[int], shape: tuple[int, int]) -> int | None:
    """The first seed that breaks something."""
    return next((seed for seed in seeds if play(seed, shape).problems), None)


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


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("plant", "likely"),  # the seed that is tried first: it found the fault when this was written
    [
        (commits_before_its_copies, 0),
        (ignores_its_lease, 20),
        (forgets_locks, 48),
        (decides_without_a_record, 28),
        (trusts_lost_files, 25),
    ],
)
def test_a_planted_fault_is_found(plant: Plant, likely: int) -> None:
    play(0, (2, 2))  # the template is made without the fault
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        seed = found((likely, *range(PLANTED_SEEDS)), (2, 2))
    assert seed is not None
    assert play(seed, (2, 2)).problems == []  # so it was the fault
