"""Batches with very many rows: a copy applies them in slices and goes on answering."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.errors import GridError
from tests.support.elements import contents, customer
from tests.support.replication_sites import Site, Sites

ROWS = 30_000
GAP_MAX_S = 0.25  # of processor time; one slice and one commit take a tenth of that


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Sites]:
    made = Sites(tmp_path, 3)
    await made.start()
    await made.make_table()
    yield made
    await made.close()


def rows_at(site: Site) -> int:
    return len(contents(site.element)["TERRY.CUSTOMERS"])


async def applying(site: Site) -> None:
    async with asyncio.timeout(10):
        while site.member._ahead is None:
            await asyncio.sleep(0)


@pytest.mark.parametrize("way", ["write", "write_parts"])
async def test_a_copy_answers_while_it_applies_a_large_batch(sites: Sites, way: str) -> None:
    lead = await sites.until_whole()
    write = getattr(lead.writer, way)
    writing = asyncio.ensure_future(write([customer(n) for n in range(ROWS)]))
    await applying(sites[2])
    clock = time.thread_time  # not the wall's: other programs run here too
    last, gaps = clock(), []
    while not writing.done():
        await asyncio.sleep(0)
        gaps.append(clock() - last)
        last = clock()
    await writing
    assert len(gaps) > 20  # there were many turns
    assert sorted(gaps)[-3] < GAP_MAX_S  # but for the commits of three elements in this process
    assert [rows_at(sites[n]) for n in (1, 2, 3)] == [ROWS] * 3
    assert lead.member.status().in_sync == (1, 2, 3)
    assert lead.member.term == 1


@pytest.mark.parametrize("way", ["write", "write_parts"])
async def test_a_large_batch_of_a_lead_that_dies_is_there_whole_or_not_at_all(
    sites: Sites, way: str
) -> None:
    lead = await sites.until_whole()
    write = getattr(lead.writer, way)
    writing = asyncio.ensure_future(write([customer(n) for n in range(ROWS)]))
    await applying(sites[2])
    await lead.kill(proof=True)
    with pytest.raises(GridError):
        await writing
    await sites.until(lambda: sites.lead is not None)
    after = sites.lead
    assert after is not None
    await after.writer.write([customer(ROWS + 1)])
    await lead.start()
    await sites.until_whole(20)
    counts = {rows_at(sites[n]) for n in (1, 2, 3)}
    assert counts in ({1}, {ROWS + 1})
    assert contents(sites[2].element) == contents(sites[3].element) == contents(sites[1].element)


@pytest.mark.parametrize("way", ["write", "write_parts"])
async def test_a_copy_that_restarts_while_it_applies_catches_up(sites: Sites, way: str) -> None:
    lead = await sites.until_whole()
    write = getattr(lead.writer, way)
    writing = asyncio.ensure_future(write([customer(n) for n in range(ROWS)]))
    await applying(sites[2])
    await sites[2].kill(proof=True)
    await sites[2].start()
    await writing
    await sites.until_whole(20)
    assert [rows_at(sites[n]) for n in (1, 2, 3)] == [ROWS] * 3
