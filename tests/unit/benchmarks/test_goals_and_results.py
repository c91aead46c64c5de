"""Medians, quantiles, goals and the page of benchmarks: what is computed from the figures."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks import figures, goals, growth, growth_report, loads, measure, report, store
from benchmarks.goals import GOALS, Goal
from benchmarks.loads import GRID, PAIR, SINGLE, Cell, Load
from benchmarks.processes import Usage
from benchmarks.result import (
    SHARES,
    Result,
    median,
    quantiles_ms,
    quantiles_of_histogram,
)
from benchmarks.targets.base import Door
from benchmarks.targets.grid import Place, branch_for, two_branches

PGBENCH = """number of transactions actually processed: 1000
number of failed transactions: {failed} (0.000%)
latency average = 0.5 ms
initial connection time = {login_ms} ms
tps = {tps} (without initial connection time)
"""
SYSBENCH = """Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.500 |                                         10
       1.000 |**************************************** 85
       8.000 |**                                       5

    transactions:                        100    (50.25 per sec.)
    ignored errors:                      3      (1.50 per sec.)
"""


def result(tps: float, ms: float = 1.0, cpu_us: float = 10.0, failed: int = 0) -> Result:
    return Result(tps, (ms,) * len(SHARES), cpu_us, failed)


def test_median_is_taken_field_by_field_and_failures_are_added() -> None:
    middle = median([result(10, 3, 7, 1), result(30, 1, 9, 2), result(20, 2, 8)])
    assert (middle.tps, middle.p50_ms, middle.cpu_us, middle.failed) == (20, 2, 8, 3)


def test_quantiles_are_of_the_sorted_latencies() -> None:
    shares = dict(zip(SHARES, quantiles_ms(range(0, 100_000, 1000)), strict=True))
    assert (shares[0.01], shares[0.5], shares[0.95], shares[0.999]) == (1, 50, 95, 99)
    assert set(quantiles_ms([])) == {0.0}


def test_quantiles_of_a_histogram() -> None:
    found = dict(zip(SHARES, quantiles_of_histogram([(0.5, 10), (1, 85), (8, 5)]), strict=True))
    assert [found[s] for s in (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)] == [0.5, 1, 1, 1, 8, 8]
    assert set(quantiles_of_histogram([])) == {0.0}


def test_pgbench_processes_are_added_up() -> None:
    outputs = [
        PGBENCH.format(failed=1, login_ms=12.5, tps=50.5),
        PGBENCH.format(failed=2, login_ms=250, tps=149.5),
    ]
    found = measure.pgbench_result(outputs, Usage(0.01, 2048, 20_000), [1000, 2000, 3000])
    assert (found.tps, found.failed, found.p50_ms) == (200, 3, 2)
    assert found.cpu_us == pytest.approx(50)
    assert (found.disk_bytes, found.network_bytes) == (10.24, 100)
    assert measure.login_s(outputs) == 0.25


def test_sysbench_is_read() -> None:
    found = measure.sysbench_result([SYSBENCH], Usage(0.005025, 0, 0))
    assert (found.tps, found.failed, found.p50_ms, found.p99_ms) == (50.25, 3, 1, 8)
    assert found.cpu_us == pytest.approx(100)
    assert measure.login_s([SYSBENCH]) == measure.LOGIN_S
    with pytest.raises(RuntimeError, match="no figures: FATAL: no"):
        measure.sysbench_result(["FATAL: no"], Usage(0, 0, 0))


def test_only_the_time_with_all_clients_counts() -> None:
    samples = [
        (0.0, Usage(0, 0, 0)),
        (1.0, Usage(5.0, 9, 9)),
        (2.0, Usage(6.0, 10, 19)),
        (3.0, Usage(7.0, 11, 29)),
        (4.0, Usage(9.0, 90, 90)),
    ]
    assert measure.steady(samples, 0.5, 3) == Usage(1.0, 1.0, 10.0)
    assert measure.steady(samples, 3.5, 3) == Usage(2.25, 22.5, 22.5)


def test_clients_are_shared_out_evenly() -> None:
    doors = [Door("a", 1), Door("b", 2), Door("c", 3)]
    assert [n for _, n in measure.share_out(16, doors)] == [6, 5, 5]
    assert measure.share_out(1, doors) == [(doors[0], 1)]


def _judge(goal: Goal, ours: Result, peers: Result) -> goals.Verdict:
    return goals.judge(goal, dict(zip(goal.cells(), (ours, peers), strict=True)))


def test_throughput_has_to_reach_the_ratio() -> None:
    goal = Goal("x", loads.READ, 16, SINGLE, 0.75, 1.0)
    assert _judge(goal, result(74), result(100)).word == goals.MISSED
    assert _judge(goal, result(75), result(100)).word == goals.MET
    better = _judge(goal, result(100), result(100))
    assert (better.word, better.ratio) == ("met, and 1 ×", 1.0)


def test_times_have_to_stay_below_the_ratio() -> None:
    goal = Goal("x", loads.AGGREGATE, 1, SINGLE, at_most=0.8)
    assert _judge(goal, result(1, ms=0.8), result(1, ms=1)).word == goals.MET
    assert _judge(goal, result(1, ms=0.81), result(9, ms=1)).word == goals.MISSED


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    ours, _ = GOALS[0].cells()
    assert goals.judge(GOALS[0], {ours: result(1)}) == goals.Verdict(GOALS[0], None, goals.UNKNOWN)
    assert _judge(GOALS[0], result(1), result(0)).word == goals.UNKNOWN


def test_every_goal_is_measured_and_nothing_twice() -> None:
    cells = [*loads.goal_cells(), *loads.more_cells()]
    assert len(cells) == len(set(cells))
    assert {cell for goal in GOALS for cell in goal.cells()} <= set(loads.goal_cells())
    clients = {c.clients for c in cells if c.load == loads.MIX and c.target == GRID}
    assert clients == set(loads.CURVE_CLIENTS)


def test_titles_name_loads() -> None:
    titles = [load.title for load in loads.LOADS]
    assert len(titles) == len(set(titles))
    assert {cell.load for cell in (*loads.goal_cells(), *loads.more_cells())} <= set(loads.LOADS)


def _run() -> store.Run:
    run = store.Run(
        kind="full",
        began=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        machine=["commit 123"],
        customers=1000,
        idle={GRID: 0.1},
        notices=["skipped: Citus"],
    )
    for load, clients in ((loads.MIX, 16), (loads.MIX, 64), (loads.BULK, 4)):
        for name, tps in ((GRID, 900), (PAIR, 1000)):
            run.rows.append(
                store.row(Cell(load, clients, name), [result(tps), result(tps, failed=1)])
            )
    return run


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "bench.json"
    assert store.read(file, store.Run) is None
    store.write(file, _run())
    assert store.read(file, store.Run) == _run()
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_page_shows_goals_figures_and_notices() -> None:
    text = report.page(_run(), None, {"Throughput": "plots/t.png"}, "By hand.")
    assert (
        "2 met, 0 missed, 15 not measured" in text
        and "- skipped: Citus" in text
        and text.endswith("By hand.\n")
    )
    assert (
        "| the same, nothing forced | 16 | PostgreSQL + standby | 0.8 ×, then 1 × | 900 /s "
        "| 1,000 /s | 0.90 × | 1.00, 1.00, 1.00 | 1.00, 1.00, 1.00 | met |" in text
    )
    assert (
        "|  |  | PostgreSQL + standby | 1,000 | 1.00 | 1.00 | 1.00 | 10 | 2 | 0.90 × 1 failed |"
        in text
    )
    assert "![Throughput](plots/t.png)" in text
    assert "| 900 rows/s | 1,000 rows/s |" in text


def test_an_empty_page_has_no_tables() -> None:
    assert "|" not in report.page(None, None, {}, "")


def test_points_of_the_plots() -> None:
    medians = _run().medians()
    lines = figures.curves(medians, loads.MIX)
    assert lines == {GRID: [(16, 900), (64, 900)], PAIR: [(16, 1000), (64, 1000)]}
    shares = figures.distributions(medians, loads.MIX, 16, forced=False)
    assert shares[PAIR][0] == (1.0, 1.0) and len(shares) == 2
    assert figures.distributions(medians, loads.MIX, 16, forced=True) == {}
    assert figures.costs(medians) == {loads.MIX.title: {GRID: 10.0, PAIR: 10.0}}


def _growth() -> store.Growth:
    points = [
        store.Point(
            operation="local read", k=2, data=data, runs=[result(100, cpu_us=us)], idle_us=9e3
        )
        for data, us in ((4, 12.0), (2, 11.0))
    ]
    return store.Growth(
        began=datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        machine=["commit 123"],
        clients=4,
        points=points,
        memory={"a connection": 2048.0, "a million rows": 3.0 * (1 << 20)},
    )


def test_growth_is_a_row_per_operation_and_a_column_per_size() -> None:
    text = "\n".join(growth_report.section(_growth()))
    assert "| operation | 2 instances | 4 instances |" in text
    assert "| local read, K=2 | 11 (100/s) | 12 (100/s) |" in text
    assert "| 4 data instances, K=2 | 9.0 |" in text
    assert "| a connection | 2.0 KiB |" in text and "| a million rows | 3.0 MiB |" in text
    assert _growth().lines() == {"local read, K=2": [(2, 11.0), (4, 12.0)]}


def test_idle_cpu_is_taken_off_each_operation() -> None:
    assert growth.without_idle(result(1000, cpu_us=150), 0.1).cpu_us == pytest.approx(50)
    assert growth.without_idle(result(10, cpu_us=150), 0.1).cpu_us == 0
    assert growth.without_idle(replace(result(0), cpu_us=5), 1).cpu_us == 5


def test_memory_that_did_not_grow_is_no_figure() -> None:
    """As that of connections made after the loads, which found room that these had freed."""
    assert growth.each_more(1000, 4000, 2) == 1500
    with pytest.raises(ValueError, match="nothing grew: 4,000 bytes before, 4,000 after"):
        growth.each_more(4000, 4000, 500)


@pytest.mark.parametrize(
    ("load", "k", "data", "can"),
    [
        (loads.TRANSFER, 2, 2, False),
        (loads.TRANSFER, 2, 4, True),
        (loads.READ_OTHER, 1, 1, False),
        (loads.READ_OTHER, 2, 2, False),
        (loads.READ_OTHER, 2, 4, True),
        (loads.UPDATE_OTHER, 2, 2, True),
        (loads.READ_LEAD, 1, 1, True),
    ],
)
def test_loads_need_enough_instances(load: Load, k: int, data: int, can: bool) -> None:
    assert growth.possible(load, k, data) is can


def test_a_third_copy_is_measured_where_it_counts() -> None:
    assert [growth.worth(load, 3) for load in (loads.READ_LEAD, loads.UPDATE_LEAD)] == [False, True]
    assert growth.worth(loads.READ_OTHER, 1)


def test_a_grid_takes_as_long_as_others_did_by_their_size() -> None:
    assert growth.expected_s(16, {}) == 0
    assert growth.expected_s(16, {4: 120.0}) == 240.0
    assert growth.expected_s(4, {4: 120.0, 16: 300.0}) == 150.0


def test_a_client_elsewhere_asks_another_replica_set_if_there_is_one() -> None:
    here, copy, there = Place(1, 1), Place(2, 1), Place(3, 2)
    branches = {1: here, 2: there}
    assert branch_for(loads.LEAD, here, branches) == 1
    assert branch_for(loads.LEAD, copy, branches) is None
    assert [branch_for(loads.OTHER, at, branches) for at in (here, copy, there)] == [2, 2, 1]
    assert branch_for(loads.OTHER, copy, {1: here}) == 1
    assert branch_for(loads.OTHER, here, {1: here}) is None


def test_sizes_of_grids_are_read() -> None:
    assert growth.grids("2x4,1x16") == ((2, 4), (1, 16))


def test_two_branches_lie_as_they_should() -> None:
    leads = {1: 7, 2: 7, 3: 9}
    assert two_branches(leads, same=True) == (1, 2)
    assert two_branches(leads, same=False) == (1, 3)
    with pytest.raises(RuntimeError, match="one replica set"):
        two_branches({1: 7, 2: 7}, same=False)


def test_what_is_used_up_first() -> None:
    middle = replace(result(100, cpu_us=50), network_bytes=1250.0)
    most = growth_report.limits(middle)
    assert most == {"a core": 20_000, "a port": 1_000_000, "a disk": float("inf")}
    text = "\n".join(growth_report.section(_growth()))
    assert "| local read | 12 | 0 | 0 | 83,333 |  |  | a core |" in text


def test_every_goal_has_its_reason_with_the_figures_of_the_run() -> None:
    notes = report.NOTES.read_text(encoding="utf-8")
    numbers = [str(number) for number in range(1, len(goals.GOALS) + 1)]
    assert re.findall(r"\{ratio (\d+)\}", notes) == numbers
    assert re.findall(r"\{cpu (\d+)\}", notes) == numbers
    goal = goals.GOALS[0]
    medians = {c: result(100, cpu_us=us) for c, us in zip(goal.cells(), (50, 25), strict=True)}
    assert report.with_figures("{ratio 1}, {cpu 1}", medians) == "1.00 ×, MISSED, 50 / 25"
    assert report.with_figures("{ratio 1}, {cpu 1}", {}) == "not measured, "


def test_the_guide_has_the_figures_of_the_last_run() -> None:
    text = report.GUIDE.read_text(encoding="utf-8")
    written = report.guide(text, _growth())
    assert "| local read | 12 | 50% | 5,300,000 |  |  | cores |" in written
    assert report.guide(written, _growth()) == written
    assert report.BLOCK.sub("", written) == report.BLOCK.sub("", text) != text
    none = store.Growth(began=_growth().began, machine=["commit 1"], clients=4)
    assert report.guide(text, none) == text


def test_hosts_share_their_disks_between_their_cores() -> None:
    writes = replace(result(100, cpu_us=100), disk_bytes=10_000.0)
    point = store.Point(operation="two-set transaction", k=2, data=4, runs=[writes])
    lines = growth_report.extrapolated(msgspec.structs.replace(_growth(), points=[point]))
    assert lines[-1] == "| two-set transaction | 100 | 80% | 1,000,000 |  | 800,000 | disks |"


def test_every_operation_is_extrapolated() -> None:
    assert set(growth_report.BUSY) == {name for name, _ in growth.OPERATIONS}


def test_a_goal_names_the_rows_that_were_there() -> None:
    whole, fewer = report.goal_table({}, goals.ROWS_MEANT), report.goal_table({}, 200_000)
    assert any("COPY, 1,000,000 customers" in line for line in whole)
    assert any("COPY, 200,000 customers" in line for line in fewer)
    assert "this run had fewer" in fewer[2]
    assert "this run had fewer" not in whole[2]
