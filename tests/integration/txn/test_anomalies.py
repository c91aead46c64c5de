"""The table of anomalies in docs/isolation.md is what happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.txn.isolation import Isolation
from tests.support.anomalies import rendered, table
from tests.support.memory_grid import MemoryGrid

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[3]


async def test_every_level_shows_what_the_table_says_and_nothing_else(grid: MemoryGrid) -> None:
    levels = list(Isolation)
    shown = rendered(await table(grid, levels), levels)
    document = (ROOT / "docs/isolation.md").read_text()
    assert shown in document, shown
