"""A replica set over real sockets and files: loss, return, hand-over, snapshot, quorum."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from data.replication.ports import ReplicationSettings
from protocol.clock import boottime_s
from protocol.errors import GridError, NotLeadError
from tests.support.elements import contents, customer
from tests.support.replication_sites import TIMEOUT_S, Site, Sites

Make = Callable[..., Awaitable[Sites]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Sites] = []

    async def make_sites(k: int, **settings: int) -> Sites:
        sites = Sites(tmp_path, k, **settings)
        made.append(sites)
        await sites.start()
        await sites.make_table()
        return sites

    yield make_sites
    for sites in made:
        await sites.close()


async def write_to(sites: Sites, number: int, acknowledged: set[int]) -> None:
    """Insert one row at whoever leads; errors that a client would retry are passed over."""
    lead = sites.lead
    if lead is None or lead.element.in_batch:
        return
    try:
        await lead.writer.write([customer(number)])
    except GridError:
        return
    acknowledged.add(number)
    await asyncio.sleep(0)  # a lead without copies is done within its call


def ids(site: Site) -> set[object]:
    return {row[0] for row in contents(site.element)["TERRY.CUSTOMERS"]}


def all_equal(sites: Sites) -> bool:
    running = [s for s in sites.sites.values() if s.running]
    return all(contents(s.element) == contents(running[0].element) for s in running)


class Load:
    """Writes one row after another until it is stopped."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.acknowledged: set[int] = set()
        self.longest_s = 0.0
        self._number = 1_000_000
        self._stop = False

    async def run(self) -> None:
        last_s = boottime_s()
        while not self._stop:
            self._number += 1
            before = len(self.acknowledged)
            await write_to(self.sites, self._number, self.acknowledged)
            now_s = boottime_s()
            if len(self.acknowledged) > before:
                self.longest_s = max(self.longest_s, now_s - last_s)
                last_s = now_s
            else:
                await asyncio.sleep(0.002)  # what a client waits before it tries again

    async def __aenter__(self) -> Load:
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await self._task


@pytest.mark.parametrize("k", [1, 2, 3, 5])
async def test_every_copy_gets_every_row(make: Make, k: int) -> None:
    sites = await make(k)
    lead = await sites.until_whole()
    assert lead.number == 1, "the preferred lead of replica set 1"
    for number in range(50):
        await lead.writer.write([customer(number)])
    await sites.until_whole()
    assert all_equal(sites)
    status = lead.member.status()
    assert (status.role, status.lag, len(status.in_sync)) == ("lead", 0, k)
    assert status.lsn == status.commit_lsn == 51


async def test_a_copy_does_not_lead_and_refuses_to_replicate(make: Make) -> None:
    sites = await make(2)
    await sites.until_whole()
    copy = sites[2]
    assert not copy.member.lead_ok()
    assert copy.member.role == "copy"
    with pytest.raises(NotLeadError):
        await copy.writer.write([customer(1)])
    assert ids(copy) == set()


@pytest.mark.parametrize("k", [2, 3])
async def test_a_lead_that_was_seen_to_die_is_replaced_at_once(make: Make, k: int) -> None:
    sites = await make(k)
    lead = await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 100)
        await lead.kill(proof=True)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 100)
        assert load.longest_s < 1.0
        await lead.start()
        await sites.until(lambda: sites.lead is lead)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 100)
    await sites.until_whole()
    assert all_equal(sites)
    assert load.acknowledged <= ids(lead)


async def test_a_silent_lead_is_replaced_after_its_lease(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 50)
        await lead.kill(proof=False)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
        assert load.longest_s < TIMEOUT_S + 0.7
    assert load.acknowledged <= ids(sites[2])


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_copy_that_is_known_to_be_gone_costs_no_waiting(make: Make, how: str) -> None:
    sites = await make(2)
    await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 50)
        if how == "kill":
            await sites[2].kill(proof=True)
        else:
            await sites[2].stop(hand_over=True)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
    assert load.longest_s < TIMEOUT_S / 4, "not the time after which a silent copy is removed"


async def test_a_lead_that_stops_is_not_waited_for_as_a_copy(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 50)
        await lead.stop(hand_over=True)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
    assert load.longest_s < TIMEOUT_S / 4, "not the time after which a silent copy is removed"


async def test_a_dead_copy_stops_the_writes_only_for_a_moment(make: Make) -> None:
    sites = await make(3)
    await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 50)
        await sites[2].kill(proof=True)
        await sites[3].kill(proof=False)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
        assert load.longest_s < TIMEOUT_S
        await sites[2].start()
        await sites[3].start()
        await sites.until(lambda: sites[1].member.status().in_sync == (1, 2, 3))
    await sites.until_whole()
    assert all_equal(sites)


async def test_a_planned_stop_hands_over_without_losing_a_row(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 50)
        await lead.stop(hand_over=True)
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
        assert load.longest_s < 0.5
        await lead.start()
        await sites.until(lambda: sites.lead is lead)
    await sites.until_whole()
    assert all_equal(sites)
    assert load.acknowledged <= ids(lead)


async def test_a_copy_whose_log_was_cut_away_gets_a_snapshot(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    await sites[2].kill(proof=True)
    await sites.until(lambda: lead.member.status().in_sync == (1,))
    for number in range(300):
        await lead.writer.write([customer(number)])
    lead.member._settings = ReplicationSettings(session_timeout_s=TIMEOUT_S, log_bytes_kept=1000)
    await sites.until(lambda: lead.element.log_start.lsn > 200)
    async with Load(sites) as load:
        await sites[2].start()
        await sites.until(lambda: lead.member.status().in_sync == (1, 2))
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 50)
    await sites.until_whole()
    assert all_equal(sites)
    assert not sites[2].element.needs_recovery
    assert not list(sites[1].path.glob("snapshot*"))
    assert not list(sites[2].path.glob("snapshot*"))


async def test_a_copy_with_other_rows_is_rebuilt(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    await lead.writer.write([customer(1), customer(2)])
    copy = sites[2].element
    copy.begin()
    copy.insert_rows("TERRY.CUSTOMERS", [customer(3)])  # nobody told the lead
    copy.commit()
    await lead.writer.write([customer(3)])
    await sites.until_whole()
    assert all_equal(sites)
    assert ids(sites[2]) == {1, 2, 3}


async def test_an_entry_larger_than_a_frame_arrives(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    big = "x" * 100_000
    await lead.writer.write([(n, big, None, 1, 1) for n in range(60)])
    await sites.until_whole()
    assert all_equal(sites)


async def test_a_lead_without_quorum_stops_and_goes_on_by_itself(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    sites.ensemble.lose_quorum()
    await sites.until(lambda: not lead.member.lead_ok())
    sites.ensemble.restore_quorum()
    await sites.until_whole()
    assert sites.lead is not None
    await sites.lead.writer.write([customer(1)])


async def test_a_lead_cut_from_membership_gives_way(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    sites.ensemble.cut(lead.name)
    await sites.until(lambda: sites.lead is sites[2])
    assert not lead.member.lead_ok()
    await sites[2].writer.write([customer(1)])
    sites.ensemble.heal(lead.name)
    await sites.until_whole()
    assert all_equal(sites)


async def test_a_copy_behind_a_cut_link_is_out_until_it_heals(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    async with Load(sites) as load:
        await sites.until(lambda: len(load.acknowledged) > 20)
        lead.cut_link(sites[2])
        await sites.until(lambda: lead.member.status().in_sync == (1,))
        before = len(load.acknowledged)
        await sites.until(lambda: len(load.acknowledged) > before + 20)
        assert sites.lead is lead
        lead.heal_link(sites[2])
        await sites.until(lambda: lead.member.status().in_sync == (1, 2))
    await sites.until_whole()
    assert all_equal(sites)


async def test_after_a_stop_of_all_the_whole_set_comes_back(make: Make) -> None:
    sites = await make(3)
    lead = await sites.until_whole()
    await lead.writer.write([customer(1)])
    await sites.until_whole()
    await asyncio.gather(*(sites[n].stop(hand_over=False) for n in (1, 2, 3)))
    for number in (3, 2, 1):
        await sites[number].start()
    await sites.until_whole()
    assert all_equal(sites)


@pytest.mark.parametrize("k", [2, 3])
async def test_all_that_stop_at_once_do_not_wait_for_a_successor(make: Make, k: int) -> None:
    """The copy that is to take the lead stops too: the old lead sees it and leaves the matter."""
    sites = await make(k)
    await sites.until_whole()
    with capture_logs() as logged:
        await asyncio.gather(*(sites[n].stop(hand_over=True) for n in range(1, k + 1)))
    assert "replication.hand_over_timed_out" not in [line["event"] for line in logged]


async def test_only_the_last_in_sync_copy_leads_after_all_were_down(make: Make) -> None:
    sites = await make(2)
    lead = await sites.until_whole()
    await sites[2].kill(proof=True)
    await sites.until(lambda: lead.member.status().in_sync == (1,))
    await lead.writer.write([customer(1)])
    await lead.kill(proof=True)
    await sites[2].start()
    await sites.until(lambda: sites[2].member.role == "waiting-for-seed")
    with pytest.raises(TimeoutError):
        await sites.until(lambda: sites.lead is not None, 2 * TIMEOUT_S)
    await lead.start()
    await sites.until_whole()
    assert ids(sites[2]) == {1}
