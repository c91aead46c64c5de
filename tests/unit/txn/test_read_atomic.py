"""Read states are taken at random moments of two-phase commits: what is used shows whole ones.

Every run is made by a seed. The world below is the part of the grid that matters: leads with
prepared and committed transactions, messages that take any time, clocks that run at slightly
different rates, leads that are replaced, decisions that are late by seconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import pytest

from data.txn.read_atomic import NEVER_S, Opened, ReadPoint, Verdict
from data.txn.recent import RecentCommits
from data.txn.workspace import Workspace
from protocol.ids import TxnId
from protocol.messages.sql import ReadView

SETS = (1, 2, 3)
Judge = Callable[[ReadPoint], Verdict]


@dataclass
class Lead:
    """One replica set: what is prepared and what is visible there."""

    rs: int
    rate: float  # of its clock
    offset_s: float
    recent: RecentCommits = field(default_factory=RecentCommits)
    prepared: dict[TxnId, Workspace] = field(default_factory=dict)
    visible: set[TxnId] = field(default_factory=set)

    def clock(self, now_s: float) -> float:
        return self.offset_s + now_s * self.rate

    def prepare(self, txn: TxnId, participants: tuple[int, ...], now_s: float) -> None:
        now_s = self.clock(now_s)
        self.prepared[txn] = Workspace(txn, 1, now_s, prepared_s=now_s, participants=participants)

    def commit(self, txn: TxnId, participants: tuple[int, ...], now_s: float) -> None:
        if txn in self.prepared:
            del self.prepared[txn]
            self.visible.add(txn)
            self.recent.add(txn, participants, self.clock(now_s))

    def take_over(self, now_s: float) -> None:
        """A new lead: it has the log, and knows nothing of what was when."""
        now_s = self.clock(now_s)
        self.recent.start(now_s)
        for workspace in self.prepared.values():
            workspace.prepared_s = now_s


@dataclass
class World:
    """Leads and the transactions under way; time passes in `sleep`."""

    chance: random.Random
    now_s: float = 1000.0
    number: int = 0
    leads: dict[int, Lead] = field(default_factory=dict)
    steps: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        for rs in SETS:
            rate = self.chance.uniform(0.995, 1.005)
            lead = self.leads[rs] = Lead(rs, rate, self.chance.uniform(0, 1e6))
            lead.recent.start(lead.clock(self.now_s - self.chance.choice((0.0, 100.0))))

    def later(self, delay_s: float, step: Callable[[], None]) -> None:
        self.count += 1
        self.steps.append((self.now_s + delay_s, self.count, step))

    def sleep(self, for_s: float) -> None:
        until_s = self.now_s + for_s
        while self.steps and min(self.steps)[0] <= until_s:
            step = min(self.steps)
            self.steps.remove(step)
            self.now_s = max(self.now_s, step[0])
            step[2]()
        self.now_s = until_s

    def delay_s(self) -> float:
        return self.chance.choice((0.0, 0.0005, 0.002, self.chance.uniform(0, 0.08)))

    def transaction(self) -> None:
        """Prepare at the participants, decide at the first, then tell the others, ever so late."""
        self.number += 1
        txn = TxnId(1, "life", self.number)
        participants = tuple(sorted(self.chance.sample(SETS, self.chance.choice((2, 2, 3)))))
        waiting = set(participants)

        def prepared(rs: int) -> None:
            self.leads[rs].prepare(txn, participants, self.now_s)
            waiting.discard(rs)
            if not waiting and self.chance.random() < 0.9:
                self.later(self.delay_s(), decided)

        def decided() -> None:
            self.leads[participants[0]].commit(txn, participants, self.now_s)
            for rs in participants[1:]:
                late = self.chance.choice((self.delay_s(), self.delay_s(), 0.5))
                self.later(late, lambda rs=rs: self.told(rs, txn, participants))  # type: ignore[misc]

        for rs in participants:
            self.later(self.delay_s(), lambda rs=rs: prepared(rs))  # type: ignore[misc]

    def told(self, rs: int, txn: TxnId, participants: tuple[int, ...]) -> None:
        self.leads[rs].commit(txn, participants, self.now_s)

    def live(self) -> None:
        """Something happens now and then."""
        for _ in range(self.chance.randrange(4)):
            self.transaction()
        if self.chance.random() < 0.1:
            self.leads[self.chance.choice(SETS)].take_over(self.now_s)


def read(world: World, judge: Judge) -> tuple[dict[Hashable, set[TxnId]], ReadPoint, int]:
    """One statement: open all states, then do what the verdict wants. What each shows."""
    point, rounds = ReadPoint(), 0
    shown: dict[Hashable, set[TxnId]] = {}
    wanted: set[Hashable] = set(SETS)
    back_ms = 50
    while wanted:
        sent_s = world.now_s
        views: dict[Hashable, ReadView] = {}
        for rs in sorted(wanted, key=lambda _: world.chance.random()):
            world.sleep(world.delay_s())
            lead = world.leads[int(str(rs))]
            views[rs] = lead.recent.view(lead.prepared.values(), back_ms, lead.clock(world.now_s))
            shown[rs] = set(lead.visible)
        world.sleep(world.delay_s())
        for rs, view in views.items():
            point.add(rs, Opened(int(str(rs)), view, sent_s, world.now_s))
        if rounds < 3:
            world.live()
        verdict = judge(point)
        while verdict.ask:
            for txn in verdict.ask:
                asked_s = world.now_s
                world.sleep(world.delay_s())
                committed = txn in world.leads[point.participants[txn][0]].visible
                world.sleep(world.delay_s())
                point.answered(txn, committed, asked_s, world.now_s)
            verdict = judge(point)
        for rs, txn in verdict.tell:
            assert txn in world.leads[point.participants[txn][0]].visible, "told a false decision"
            world.sleep(world.delay_s())
            world.told(rs, txn, point.participants[txn])
        wanted = verdict.again
        back_ms = 100 + int((world.now_s - point.first_s) * 1500) if wanted else 0
        rounds += 1
        assert rounds < 60, "the states never agree"
        for rs in wanted:
            point.forget(rs)
        if not point.opened:
            back_ms = 50 << min(rounds, 6)
    return shown, point, rounds


def fractured(world: World, shown: dict[Hashable, set[TxnId]]) -> bool:
    """True if a transaction is in one state and missing in another of its replica sets."""
    known = {txn for some in shown.values() for txn in some}
    for txn in known:
        for rs, seen in shown.items():
            lead = world.leads[int(str(rs))]
            if txn not in seen and (txn in lead.visible or txn in lead.prepared):
                return True
    return False


def run(seed: int, judge: Judge) -> tuple[bool, int]:
    """Several statements in a busy world; were they all whole, and how many rounds it took."""
    world = World(random.Random(seed))
    most = 0
    for _ in range(6):
        world.live()
        world.sleep(world.chance.choice((0.0, 0.01, 0.3)))
        shown, _, rounds = read(world, judge)
        most = max(most, rounds)
        if fractured(world, shown):
            return False, most
    return True, most


def test_what_agrees_shows_whole_transactions() -> None:
    rounds = []
    for seed in range(1500):
        whole, most = run(seed, ReadPoint.verdict)
        assert whole, f"seed {seed}"
        rounds.append(most)
    assert max(rounds) > 2, "the world was too calm to show anything"


def _no_lists(point: ReadPoint) -> Verdict:
    return Verdict()


def _ignores_how_far_lists_reach(point: ReadPoint) -> Verdict:
    whole = ReadPoint()
    for key, o in point.opened.items():
        view = ReadView(10**9, o.view.undecided, o.view.commits)
        whole.add(key, Opened(o.rs, view, o.sent_s, o.came_s))
    return whole.verdict()


def _never_asks(point: ReadPoint) -> Verdict:
    verdict = point.verdict()
    for txn in verdict.ask:
        point.answered(txn, False, point.first_s + 1e6, point.first_s + 1e6)
    return point.verdict()


def _believes_answers_for_ever(point: ReadPoint) -> Verdict:
    for txn, since_s in list(point._not_yet.items()):
        if since_s > NEVER_S:
            point._not_yet[txn] = since_s + 1e6
    return point.verdict()


def _opens_all_but_the_unprepared(point: ReadPoint) -> Verdict:
    verdict = point.verdict()
    told = {rs for rs, _ in verdict.tell}
    return Verdict({k for k in verdict.again if k in told}, verdict.tell, verdict.ask)


@pytest.mark.parametrize(
    "judge",
    [
        _no_lists,
        _ignores_how_far_lists_reach,
        _never_asks,
        _believes_answers_for_ever,
        _opens_all_but_the_unprepared,
    ],
)
def test_a_planted_mistake_is_seen(judge: Judge) -> None:
    assert not all(run(seed, judge)[0] for seed in range(1500))


def test_calm_replica_sets_agree_at_once() -> None:
    point = ReadPoint()
    for rs in SETS:
        point.add(rs, Opened(rs, ReadView(50), 1.0, 1.001))
    assert not point.verdict()


def test_a_new_lead_cannot_tell_so_all_are_opened_anew() -> None:
    point = ReadPoint()
    point.add(1, Opened(1, ReadView(50), 1.0, 1.001))
    point.add(2, Opened(2, ReadView(0), 1.0, 1.001))
    assert point.verdict().again == {1, 2}


def test_one_that_is_prepared_where_another_shows_it_is_told_its_decision() -> None:
    txn = TxnId(1, "life", 1)
    point = ReadPoint()
    point.add(1, Opened(1, ReadView(50, (), ((txn, (1, 2)),)), 1.0, 1.001))
    point.add(2, Opened(2, ReadView(50, ((txn, (1, 2), 3),)), 1.0, 1.001))
    verdict = point.verdict()
    assert (verdict.again, verdict.tell) == ({2}, {(2, txn)})
    point.add(2, Opened(2, ReadView(50), 1.002, 1.003))  # long ago for its list, but it shows it
    assert not point.verdict()


def test_what_an_earlier_round_learned_stays_when_all_states_are_given_up() -> None:
    txn, old = TxnId(1, "life", 1), ReadView(50, (), ((TxnId(1, "life", 1), (1, 2)),))
    first = ReadPoint()
    first.add(1, Opened(1, old, 1.0, 1.001))
    first.add(2, Opened(2, ReadView(50), 1.0, 1.001))  # its list reaches less far
    assert first.verdict().again == {2}
    second = ReadPoint(first)
    second.add(1, Opened(1, old, 1.002, 1.003))
    second.add(2, Opened(2, ReadView(50), 1.002, 1.003))
    assert not second.verdict(), txn
