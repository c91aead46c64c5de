"""The figures of the failover measurement."""

from __future__ import annotations

from tests.faults.pauses import Measured, share


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [share(values, part) for part in (0.0, 0.5, 0.9, 0.99, 1.0)] == [1, 50, 90, 99, 100]
    assert share([3.0], 0.99) == 3.0


def test_goals_are_of_the_median_and_of_the_99th_percentile() -> None:
    found = Measured("stop", pauses_s=[0.04, 0.05, 0.06], clients_s=[0.01], took_s=[2.0])
    found.errors["57P01"] = 3
    assert found.meets_goals
    figures = found.figures()
    assert (figures["median"], figures["p99"], figures["events"]) == (50.0, 60.0, 3)
    assert "met" in found.line()
    assert "57P01:3" in found.line()
    found.pauses_s.append(0.2)
    assert not found.meets_goals
    assert "MISSED" in found.line()
