"""Histograms: slots, quantiles, bounds; and the names of numbers."""

from __future__ import annotations

import random

import pytest

from protocol import metric_names
from protocol.metrics import BOUNDS_NS, SLOTS, Histogram, below, kind_of, quantile_s, slot_of


@pytest.mark.parametrize("slot", range(SLOTS - 1))
def test_a_time_is_in_the_slot_between_its_bounds(slot: int) -> None:
    bound = BOUNDS_NS[slot]
    assert slot_of(bound - 1 - bound // 10_000) == slot
    assert slot_of(bound + 1 + bound // 10_000) == slot + 1


def test_times_without_end_are_in_the_last_slot() -> None:
    histogram = Histogram()
    histogram.add(10**15)
    assert histogram.slots[SLOTS - 1] == 1
    assert histogram.quantile_s(0.5) == BOUNDS_NS[-1] / 1e9


def test_the_bounds_of_timesten_are_bounds() -> None:
    for milliseconds in (0.015625, 0.125, 1, 8, 64, 512, 4096, 32768, 262144):
        assert int(milliseconds * 1e6) in BOUNDS_NS


def test_quantiles_are_within_a_slot_of_the_truth() -> None:
    seeded = random.Random(7)
    histogram, times = Histogram(), []
    for _ in range(5000):
        ns = int(seeded.lognormvariate(12, 1.5))
        times.append(ns)
        histogram.add(ns)
    times.sort()
    for share in (0.5, 0.95, 0.99):
        truth_s = times[int(share * len(times)) - 1] / 1e9
        assert truth_s / 1.42 < histogram.quantile_s(share) < truth_s * 1.42
    assert histogram.count == 5000
    assert histogram.total_ns == sum(times)


def test_packed_slots_say_the_same() -> None:
    histogram = Histogram()
    for ns in (100, 20_000, 20_000, 3_000_000):
        histogram.add(ns)
    packed = histogram.packed()
    assert len(packed) < SLOTS
    assert Histogram(packed).slots == histogram.slots
    assert quantile_s(packed, 0.5) == histogram.quantile_s(0.5)
    assert below(packed, 15_625) == 1
    assert below(packed, 1_000_000) == 3
    assert quantile_s((), 0.5) == 0.0


@pytest.mark.parametrize(
    ("tag", "kind"),
    [("SELECT", "select"), ("CREATE TABLE", "ddl"), ("DO", "block"), ("BEGIN", "other")],
)
def test_kinds_of_statements(tag: str, kind: str) -> None:
    assert kind_of(tag) == kind


def test_every_name_is_said_once() -> None:
    tables = (
        metric_names.INSTANCE,
        metric_names.DATABASE,
        metric_names.COPIES,
        metric_names.HISTOGRAMS,
        metric_names.GRID,
    )
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names))
