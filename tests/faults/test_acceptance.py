"""Issue 2's drill, short: nothing acknowledged is lost, copies agree, errors are retriable."""

from __future__ import annotations

import pytest

from tests.faults.acceptance import drill
from tests.support.real_grid import Observer, RealGrid

SECONDS = 14


@pytest.mark.timeout(120)
async def test_inserts_survive_the_loss_of_a_lead_and_of_a_copy(
    grid: RealGrid, watch: Observer
) -> None:
    report = await drill(grid, watch, SECONDS)
    print("\n" + "\n".join(report.lines()))
    assert report.acknowledged > 500
    assert report.readable_s < 3.0
    assert report.lead_killed.max_s < 6.0
