"""How long measurements may take so that all end in time."""

from __future__ import annotations

from benchmarks import loads
from benchmarks.loads import GRID, PAIR, Cell
from benchmarks.pace import (
    GUESS_OVERHEAD_S,
    GUESS_S,
    LONGEST_S,
    SHORTEST_S,
    Pace,
    budget_s,
)

READ = Cell(loads.READ, 16, GRID)
BULK = Cell(loads.BULK, 4, GRID)


def test_runs_are_as_long_as_fit() -> None:
    pace = Pace()
    assert pace.seconds([READ] * 10, 10.1 * (LONGEST_S + GUESS_OVERHEAD_S)) == LONGEST_S
    assert pace.seconds([READ] * 10, 10.1 * (5 + GUESS_OVERHEAD_S)) == 5
    assert pace.seconds([READ] * 10, 10 * (SHORTEST_S + GUESS_OVERHEAD_S) - 0.1) is None


def test_what_was_seen_counts_more_than_a_guess() -> None:
    pace = Pace()
    assert pace.rest_s([BULK], 5) == GUESS_S["copy"]
    pace.saw(BULK, 5, 12.0)
    assert pace.rest_s([BULK, BULK], 5) == 24.0
    other = Cell(loads.BULK, 4, PAIR)
    assert pace.rest_s([other], 5) == GUESS_S["copy"]
    pace.saw(READ, 5, 6.0)
    pace.saw(READ, 5, 8.0)
    assert pace.rest_s([READ], 5) == 7.0


def test_fewer_rows_are_guessed_to_be_loaded_sooner() -> None:
    assert Pace(200_000).rest_s([BULK], 5) == GUESS_S["copy"] / 5


def test_what_a_new_machine_took_to_set_up_is_not_there_for_measuring() -> None:
    assert budget_s(5, 20, 0) == 280
    assert budget_s(5, 20, 100) == 180
    assert budget_s(5, 20, 10_000) == 140
