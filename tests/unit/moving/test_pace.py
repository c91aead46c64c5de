"""How long a mover rests: by what clients lose while a group moves."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from data.moving.pace import GOAL, OWN_ENTRIES, REST_MAX, REST_MIN, REST_UNKNOWN, Pace

GROUP_S = 0.05
ROWS = 250


class World:
    """Clients that do `full` statements a second, and `kept` of them while a group moves."""

    def __init__(self, full: Callable[[float], float], kept: float, *, seed: int = 1) -> None:
        self._full, self._kept = full, kept
        self._chance = random.Random(seed)
        self.pace = Pace()
        self.now_s = 100.0
        self.entries = 0  # of clients and of the mover: what the pace sees
        self.done = self.could = 0.0
        self.groups = 0
        self.owned = 1.0

    def _pass(self, seconds: float, share: float) -> None:
        full = self._full(self.now_s - 100.0) * seconds
        self.could += full
        self.done += full * share
        here = full * share * self.owned * self._chance.uniform(0.7, 1.3)  # by batches
        self.entries += int(here) + (self._chance.random() < here % 1)
        self.now_s += seconds

    def move(self, until_s: float, rows_per_s: int = 0) -> None:
        """Groups and rests, as the mover does."""
        while self.now_s < 100.0 + until_s:
            begin_s = self.pace.next_s(rows_per_s)
            if begin_s > self.now_s:
                self._pass(begin_s - self.now_s, 1.0)
            self.pace.begins(self.now_s, self.entries, self.owned)
            self._pass(GROUP_S, self._kept)
            self.entries += OWN_ENTRIES
            self.pace.ended(self.now_s, self.entries, ROWS)
            self.groups += 1

    @property
    def share(self) -> float:
        """What clients did of what they could."""
        return self.done / self.could


@pytest.mark.parametrize("kept", [0.9, 0.6, 0.4, 0.25])
@pytest.mark.parametrize("full", [500.0, 10_000.0])
def test_clients_keep_their_share_whatever_a_group_takes(kept: float, full: float) -> None:
    world = World(lambda _: full, kept)
    world.move(60.0)
    assert world.share > GOAL - 0.03
    if kept < GOAL:
        assert world.share < GOAL + 0.04  # no slower than it has to be


def test_a_group_that_stops_everybody_still_moves() -> None:
    world = World(lambda _: 10_000.0, 0.0)
    world.move(60.0)
    assert world.groups > 0.9 * 60.0 / (GROUP_S * (1 + REST_MAX))


def test_without_clients_it_hardly_rests() -> None:
    world = World(lambda _: 3.0, 0.0)
    world.move(60.0)
    assert world.groups > 0.9 * 60.0 / (GROUP_S * (1 + REST_MIN))


def test_clients_that_come_later_are_noticed_soon() -> None:
    world = World(lambda s: 10_000.0 if s > 30.0 else 0.0, 0.4)
    world.move(30.0)
    assert world.pace.rest_share() == REST_MIN
    world.move(33.0)
    assert world.pace.rest_share() > 2.0
    world.done = world.could = 0.0
    world.move(60.0)
    assert world.share > GOAL - 0.03


@pytest.mark.parametrize("full", [500.0, 10_000.0])
def test_a_source_that_empties_itself_goes_by_the_clients_of_the_whole_database(
    full: float,
) -> None:
    """They work elsewhere by and by; what moves hurts them all the same."""
    world = World(lambda _: full, 0.3)
    for second in range(1, 101):
        world.move(float(second))
        world.owned = (101 - second) / 300  # of three sets, down to almost nothing
    assert world.share > GOAL - 0.06


def test_before_anything_was_measured_it_rests_as_long_as_it_worked() -> None:
    pace = Pace()
    assert pace.next_s(0) == 0.0
    pace.begins(10.0, 0, 1.0)
    pace.ended(10.2, 1000, ROWS)
    assert pace.rest_share() == REST_UNKNOWN
    assert pace.next_s(0) == pytest.approx(10.2 + 0.2 * REST_UNKNOWN)


def test_no_more_rows_a_second_than_told() -> None:
    world = World(lambda _: 0.0, 1.0)
    world.move(60.0, rows_per_s=100)
    assert world.groups == pytest.approx(60.0 * 100 / ROWS, abs=2)


def test_a_group_that_did_not_move_is_neither_a_rest_nor_a_measurement() -> None:
    world = World(lambda _: 10_000.0, 0.4)
    world.move(30.0)
    before = world.pace.rest_share()
    for _ in range(20):  # it waited for a lock, half a second each, and clients with it
        world.pace.begins(world.now_s, world.entries, 1.0)
        world.now_s += 0.5
        assert world.pace.next_s(0) == 0.0
    world.pace.begins(world.now_s, world.entries, 1.0)
    assert world.pace.rest_share() == pytest.approx(before, rel=0.2)
