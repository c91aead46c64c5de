"""The drill of `make drill`, short: histories of clients under faults, judged by the checkers."""

from __future__ import annotations

import pytest

from tests.drill import drill, report
from tests.drill.faults import Kind
from tests.support.real_grid import Observer, RealGrid

SECONDS = 20
FEWEST = 1000  # operations: with fewer the verdict says little
SEED = 11


@pytest.mark.timeout(150)
async def test_histories_under_faults_are_free_of_violations(
    grid: RealGrid, watch: Observer
) -> None:
    kinds = (Kind.KILL_DAEMON, Kind.KILL_INSTANCE, Kind.SUSPEND, Kind.STOP)
    done = await drill.run(grid, watch, drill.Wish(SEED, SECONDS, "make drill", kinds))
    assert done.is_good, report.text(done)
    assert len(done.faults) >= 2
    assert len(done.recorder.history) > FEWEST
    picture = report.picture(done)
    assert picture.count("<title>") == len(done.faults)
