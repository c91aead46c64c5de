"""The drill of `make drill`, short: histories of clients under faults, judged by the checkers."""

from __future__ import annotations

import pytest

from tests.drill import drill, report
from tests.drill.plan import SHORT
from tests.support.real_grid import Observer, RealGrid

SECONDS = 20
FEWEST = 1000  # operations: with fewer the verdict says little
SEED = 11


@pytest.mark.timeout(150)
async def test_histories_under_faults_are_free_of_violations(
    grid: RealGrid, watch: Observer
) -> None:
    wish = drill.Wish(SEED, SECONDS, "make drill", SHORT)
    done = await drill.run(grid, watch, wish)
    assert done.is_good, report.text(done)
    assert len(done.faults) >= 2
    assert len(done.recorder.history) > FEWEST
    words = {verdict.checker: verdict.word for verdict in done.verdicts}
    assert words["after each fault: copies are equal"] == "holds"
    assert words["large transactions: all of it or nothing"] == "holds"
