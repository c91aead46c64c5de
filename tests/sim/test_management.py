"""Active and standby management in virtual time, over many seeds."""

from __future__ import annotations

import pytest

from membership.port import MgmtRegister, MgmtState
from mgmt.ha import role as rules
from mgmt.ha.follower import Follower
from mgmt.ha.replicator import Replicator
from tests.sim.management_world import play

SEEDS = 25  # of the normal test run; --seeds for more


def test_no_acknowledged_change_is_lost_and_never_two_acknowledge(
    request: pytest.FixtureRequest,
) -> None:
    seeds = request.config.getoption("--seeds") or SEEDS
    acknowledged = begun = 0
    for seed in range(seeds):
        world = play(seed)
        assert not world.problems, "\n".join([f"seed {seed}", *world.trace[-60:], *world.problems])
        acknowledged += len(world.acknowledged)
        begun += world.begun
    assert acknowledged > 100 * seeds  # the runs showed something
    assert begun > 3 * seeds


# -- planted faults -------------------------------------------------------------------------------
def finds(seeds: int = 60) -> bool:
    """Whether some seed shows that something is broken."""
    return any(play(seed).problems for seed in range(seeds))


def test_an_active_that_does_not_wait_for_its_standby_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def at_once(self: Replicator) -> None:
        self._check()

    monkeypatch.setattr(Replicator, "secured", at_once)
    assert finds()


def test_a_standby_promoted_over_newer_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def anybody(register: MgmtRegister, copy: str) -> bool:
        return True

    monkeypatch.setattr(rules, "is_in_sync", anybody)
    assert finds()


def test_a_standby_that_does_not_look_at_terms_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an active that trusts its view alone: fencing has two locks, either would do."""

    def trusting(self: Follower, term: int) -> None:
        return

    def fits(self: Follower, message: object) -> object:
        return None

    monkeypatch.setattr(Follower, "_check", trusting)
    monkeypatch.setattr("mgmt.ha.keeper.RoleKeeper._holds_role", lambda self, view: True)
    assert finds()


_ = MgmtState
