"""The measurement of `make failover`, short: kinds of loss that nobody sees and reports."""

from __future__ import annotations

import pytest

from tests.faults.pauses import KINDS, measure
from tests.support.real_grid import Observer, RealGrid

SLACK_S = 1.0  # of a machine that has other work; `make failover` holds the goals themselves


@pytest.mark.timeout(120)
@pytest.mark.parametrize("key", ["lead_all", "copy_all"])
async def test_the_loss_of_daemon_and_supervisor_pauses_writers_for_a_lease_at_most(
    grid: RealGrid, watch: Observer, key: str
) -> None:
    found = await measure(grid, watch, key, 1, print)
    print(found.line())
    assert max(found.pauses_s) < KINDS[key].goals_s[1] + SLACK_S
    assert not [state for state in found.errors if state.startswith("XX")]
