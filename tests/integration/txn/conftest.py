"""Fixtures of the transaction tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.lead import Lead, make_lead
from tests.support.memory_grid import MemoryGrid, running_grid


@pytest.fixture
async def lead(tmp_path: Path) -> AsyncIterator[Lead]:
    """A lead with table U.T; its element is closed afterwards."""
    made = await make_lead(tmp_path)
    yield made
    made.writer.lost_lead()
    made.element.close(clean=True)


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Three replica sets of one element each."""
    async with running_grid(tmp_path, k=1, sets=3) as made:
        yield made
