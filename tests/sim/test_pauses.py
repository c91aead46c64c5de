"""How long writers wait when something goes, in virtual time: no machine is too slow for a bound.

tests/faults/pauses.py measures the same on real processes. T is the session timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from tests.sim.grid import SESSION_TIMEOUT_S, Site
from tests.sim.stage import Stage, outcome, staged

T = SESSION_TIMEOUT_S
AGAIN_S = 0.02


class Writer:
    """A client that adds one to an account all the time, and remembers when that succeeded."""

    def __init__(self, stage: Stage, site: Site, rs: int) -> None:
        self.successes_s: list[float] = [stage.scheduler.now]
        self._stage = stage
        self._account = stage.account(rs)
        self._connection = stage.connect(site)
        self._done = False
        self._task = stage.background(self._run())

    async def _run(self) -> None:
        text = "UPDATE bank SET balance = balance + 1 WHERE id = $1"
        while not self._done:
            if await outcome(self._connection.execute(text, self._account)) == "":
                self.successes_s.append(self._stage.scheduler.now)
            else:
                await asyncio.sleep(AGAIN_S)  # virtual time, as clients do that try again

    def longest_s(self, since_s: float) -> float:
        """The longest pause that ended after a moment; that of now counts too."""
        moments = [*self.successes_s, self._stage.scheduler.now]
        pairs = pairwise(moments)
        return max(end_s - begin_s for begin_s, end_s in pairs if end_s >= since_s)

    def end(self) -> None:
        """Stop."""
        self._done = True
        self._stage.until(self._task.done)
        self._connection.close()


def leads_at(stage: Stage, rs: int, number: int) -> Callable[[], bool]:
    """Whether that element leads its set."""
    return lambda: any(
        s.number == number and d.writer.leading and d.writer.rs == rs
        for s, d in stage.grid.databases()
    )


def turns_away(site: Site) -> bool:
    """Clients are sent elsewhere."""
    assert site.instance is not None
    return site.instance.frontend.turns_away


def settle(stage: Stage) -> None:
    """Each set is led where it belongs, and has been for a while."""
    stage.until(lambda: leads_at(stage, 1, 1)() and leads_at(stage, 2, 4)())
    stage.run(T)


@pytest.mark.parametrize("after_s", [0.0005, 0.002, 0.005, 0.05, 0.3])
def test_a_lead_that_dies_right_after_it_was_given_the_lead_back(after_s: float) -> None:
    """Who gave it the lead takes it again as soon as the death is proven."""
    with staged(seed=int(after_s * 10_000)) as stage:
        settle(stage)
        first = stage.lead(1)
        stage.grid.kill(first, silent=False)
        stage.until(leads_at(stage, 1, 2))
        stage.grid.start(first)
        stage.until(stage.grid.is_whole)
        writer = Writer(stage, stage.copies(2)[0], 1)
        stage.until(lambda: not leads_at(stage, 1, 2)())
        stage.run(after_s)
        at_s = stage.scheduler.now
        stage.grid.kill(first, silent=False)
        stage.run(2 * T)
        assert writer.longest_s(at_s) < 0.15
        writer.end()


@pytest.mark.parametrize("seed", range(3))
def test_a_lead_that_dies_and_a_planned_stop(seed: int) -> None:
    """The supervisor's word, and a hand-over."""
    with staged(seed) as stage:
        settle(stage)
        writer = Writer(stage, stage.copies(2)[0], 1)
        lead = stage.lead(1)
        at_s = stage.scheduler.now
        stage.grid.kill(lead, silent=False)
        stage.run(0.5)
        assert writer.longest_s(at_s) < 0.15
        stage.grid.start(lead)
        stage.until(stage.grid.is_whole)
        settle(stage)
        at_s = stage.scheduler.now
        assert lead.loop is not None
        lead.loop.spawn(stage.grid.stop_in_order(lead))
        stage.run(0.5)
        assert writer.longest_s(at_s) < 0.05
        writer.end()


def watch_doors(stage: Stage, sites: list[Site]) -> list[str]:
    """Who ever turns clients away from now on."""
    seen: list[str] = []

    def look(site: Site, before: Callable[[], None] | None) -> None:
        if before is not None:
            before()
        if turns_away(site) and site.name not in seen:
            seen.append(site.name)

    for site in sites:
        assert site.loop is not None
        site.loop.after_turn = partial(look, site, site.loop.after_turn)
    return seen


@pytest.mark.parametrize("dead", [(1, 3), (2, 3), (1, 2)])
def test_two_of_four_hosts_that_die_at_once_leave_two_that_serve(dead: tuple[int, ...]) -> None:
    """Nobody has seen them die: the two that are left must not think that they are cut off."""
    with staged(seed=sum(dead)) as stage:
        settle(stage)
        gone = [site for site in stage.grid.sites if site.number in dead]
        left = [site for site in stage.grid.sites if site.number not in dead]
        away = watch_doors(stage, left)
        writer = None if dead == (1, 2) else Writer(stage, left[-1], 1)
        at_s = stage.scheduler.now
        for site in gone:
            stage.grid.kill(site, silent=True, power=True)
        stage.run(3 * T)
        assert not away
        if writer is not None:
            assert writer.longest_s(at_s) < 1.5 * T
            writer.end()


@pytest.mark.parametrize("seed", range(4))
def test_who_has_membership_again_last_turns_nobody_away(seed: int) -> None:
    """After a loss of the quorum one instance after the other is answered again."""
    with staged(seed) as stage:
        settle(stage)
        sites = stage.grid.sites
        away = watch_doors(stage, sites)
        ensemble = stage.grid.ensemble
        ensemble.set_quorum(False)
        stage.run(2 * T)
        last = sites[seed]
        ensemble.cut(last.host)
        ensemble.set_quorum(True)
        stage.run(0.45 * T)
        ensemble.heal(last.host)
        stage.until(stage.grid.is_whole)
        stage.run(T)
        assert not away


def test_who_alone_has_no_membership_sends_its_clients_on() -> None:
    """The others have it: that is worth knowing soon."""
    with staged() as stage:
        settle(stage)
        lone = stage.copies(2)[0]
        stage.grid.ensemble.cut(lone.host)
        stage.run(1.3 * T)
        assert turns_away(lone)
        stage.grid.ensemble.heal(lone.host)
        stage.until(lambda: not turns_away(lone))


CUTS = {  # who: links of host 1 (lead of set 1), and the bound of decision 0030 in T
    "lead, both ways": ([(1, n) for n in (2, 3, 4)] + [(n, 1) for n in (2, 3, 4)], 1.0),
    "lead is not heard": ([(1, n) for n in (2, 3, 4)], 1.0),
    "lead does not hear": ([(n, 1) for n in (2, 3, 4)], 1.0),
    "copy, both ways": ([(2, n) for n in (1, 3, 4)] + [(n, 2) for n in (1, 3, 4)], 1.0),
    "lead and copy": ([(1, 2), (2, 1)], 1.0),
    "lead and coordinator": ([(1, 3), (3, 1)], 1.0),
}


@pytest.mark.parametrize("what", CUTS)
def test_links_that_are_cut(what: str) -> None:
    """A lead that is cut off gives way, a silent copy is removed, messages go around."""
    ways, limit = CUTS[what]
    with staged(seed=len(what)) as stage:
        settle(stage)
        writer = Writer(stage, stage.grid.sites[2], 1)
        stage.run(0.2)
        at_s = stage.scheduler.now
        for one, other in ways:
            stage.grid.network.cut(stage.grid.sites[one - 1].host, stage.grid.sites[other - 1].host)
        stage.run(3 * T)
        assert writer.longest_s(at_s) < limit * T
        assert writer.longest_s(at_s) > 0.1 * T, "nothing was cut"
        assert writer.successes_s[-1] > stage.scheduler.now - 0.1
        stage.grid.network.heal_all()
        stage.until(stage.grid.is_whole)
        writer.end()


def test_a_lead_without_membership_hands_over() -> None:
    """When its lease of rule 3 is over."""
    with staged() as stage:
        settle(stage)
        writer = Writer(stage, stage.grid.sites[2], 1)
        at_s = stage.scheduler.now
        stage.grid.ensemble.cut(stage.grid.sites[0].host)
        stage.until(leads_at(stage, 1, 2), 1.5 * T)
        stage.run(0.3)
        assert writer.longest_s(at_s) < 0.7 * T
        writer.end()
