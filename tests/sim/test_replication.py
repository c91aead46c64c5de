"""Replica sets under seeded faults: nothing acknowledged is lost, one lead answers, copies agree.

`--seeds N` runs more; a failing seed replays exactly: `play(seed, k, rate)`.
"""

from __future__ import annotations

import re

import pytest

from data.replication import replica_set
from data.replication.leadership import Leadership
from data.replication.reading import WAIT_SHARE, Readers, Reading
from data.replication.replica_set import ReplicaSet
from data.storage.touched import Touched
from tests.sim.replication_world import T, Violation, play

SEEDS = 100


def test_faults_break_no_guarantee_and_service_returns(seed: int) -> None:
    world = play(seed, k=1 + seed % 5, fault_rate=(1.0, 3.0, 0.5)[seed % 3])
    assert world.steps > 1000


def test_copies_are_read() -> None:
    stats = play(1, k=3).stats
    assert stats["read at copies"] > 1000
    assert stats["read beyond"] > 100, "keys that no entry beyond the commit point changes"


def first_violation(seeds: range, k: int = 3) -> str:
    """What the checks find, "" nothing: the simulation itself is tested with broken machines."""
    for seed in seeds:
        try:
            play(seed, k, 2.0)
        except (Violation, AssertionError) as problem:
            return str(problem)
    return ""


def test_a_lead_that_ignores_its_lease_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(self: Leadership) -> None:
        self.lease_until_s = float("inf")

    monkeypatch.setattr(Leadership, "_renew_lease", for_ever)
    found = first_violation(range(40))
    assert "may answer" in found or "lacks acknowledged" in found


def test_a_copy_that_shows_what_its_lead_has_not_committed_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    until_s = Reading.until_s

    def all_it_has(self: Reading) -> float:
        self._machine.lead_commit_lsn = self._machine.situation.shape.tail.lsn
        return until_s(self)

    monkeypatch.setattr(Reading, "until_s", all_it_has)
    assert first_violation(range(20))


def test_a_copy_that_ignores_what_is_pending_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Touched, "is_quiet", lambda *_: True)
    assert first_violation(range(20))


def test_a_lead_that_does_not_wait_for_readers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Readers, "elements", property(lambda self: set()))
    assert "read at a copy" in first_violation(range(20))


def test_a_new_lead_that_does_not_wait_for_readers_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(self: Reading, now_s: float) -> Readers:
        return Readers({}, WAIT_SHARE * T)

    monkeypatch.setattr(Reading, "of_earlier_leads", nobody)
    assert "read at a copy" in first_violation(range(240, 340), k=4)


def test_a_copy_that_does_not_wait_for_silence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient(replica_set.Candidate):
        def __init__(self, *args: object, **kwargs: object) -> None:
            kwargs["started_s"] = kwargs["last_beacon_s"] = -1e9
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(replica_set, "Candidate", Impatient)
    found = first_violation(range(60))
    assert "may answer" in found or "lacks acknowledged" in found


def test_a_lead_that_does_not_wait_for_a_joining_copy_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody(self: Leadership) -> None:
        if self.batch is not None:
            state = self.situation.agreement.state
            assert state is not None
            last = self.batch.span[2]
            self.batch.missing = {
                e for e in state.in_sync
                if e in self.copies and self.copies[e].acked < last
            }  # fmt: skip

    monkeypatch.setattr(Leadership, "_count_missing", nobody)
    assert re.search("in sync but lacks|lacks acknowledged", first_violation(range(60)))


def test_a_damaged_copy_that_stands_for_lead_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ReplicaSet.__init__

    def trusting(self: ReplicaSet, *args: object) -> None:
        original(self, *args)  # type: ignore[arg-type]
        self.situation.damaged = False

    monkeypatch.setattr(ReplicaSet, "__init__", trusting)
    assert first_violation(range(60))
