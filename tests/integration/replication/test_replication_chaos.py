"""Random faults on real sockets and files under a steady load: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.integration.replication.test_replication_members import Load, all_equal, ids
from tests.support.replication_sites import TIMEOUT_S, Sites

FAULTS = 6


async def one_fault(sites: Sites, rng: random.Random) -> None:
    site = sites[rng.randint(1, sites.k)]
    length_s = rng.choice([0.05, 0.3, 1.0, 1.6]) * TIMEOUT_S
    kind = rng.choice(["kill", "kill", "stop", "link", "service", "expire", "freeze"])
    if kind == "kill":
        await site.kill(proof=rng.random() < 0.5)
        await asyncio.sleep(length_s)  # the fault's length
        await site.start()
    elif kind == "stop":
        await site.stop(hand_over=rng.random() < 0.7)
        await asyncio.sleep(length_s)  # the fault's length
        await site.start()
    elif kind == "link":
        other = sites[1 + site.number % sites.k]
        if other is not site:
            site.cut_link(other)
            await asyncio.sleep(length_s)  # the fault's length
            site.heal_link(other)
    elif kind == "service":
        sites.ensemble.cut(site.name)
        await asyncio.sleep(length_s)  # the fault's length
        sites.ensemble.heal(site.name)
    elif kind == "expire":
        sites.ensemble.expire(site.name)
    else:
        sites.ensemble.lose_quorum()
        await asyncio.sleep(length_s)  # the fault's length
        sites.ensemble.restore_quorum()


async def play(folder: Path, seed: int, k: int, faults: int) -> Sites:
    rng = random.Random(seed)
    sites = Sites(folder, k, durability=rng.randint(0, 1))
    await sites.start()
    try:
        await sites.make_table()
        await sites.until_whole()
        async with Load(sites) as load:
            for _ in range(faults):
                before = len(load.acknowledged)
                await one_fault(sites, rng)
                await sites.until(lambda b=before: len(load.acknowledged) > b + 20, 15)
        await sites.until_whole(20)
        assert all_equal(sites)
        lost = load.acknowledged - ids(sites[1])
        assert not lost, f"seed {seed}: {sorted(lost)[:10]} of {len(load.acknowledged)} are lost"
    finally:
        await sites.close()
    return sites


@pytest.mark.parametrize(("seed", "k"), [(1, 2), (2, 3)])
async def test_random_faults_lose_nothing(tmp_path: Path, seed: int, k: int) -> None:
    sites = await play(tmp_path, seed, k, FAULTS)
    assert sites.k == k
