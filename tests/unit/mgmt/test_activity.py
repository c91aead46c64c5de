"""From what instances count to rates, percentiles and one row per statement."""

from __future__ import annotations

import pytest

from mgmt.health import activity
from mgmt.health.activity import Window
from protocol.messages.metrics import DatabaseFigures, StatementFigures, Times
from protocol.metrics import Histogram

MS = 1_000_000


def times(*ns: int) -> Times:
    histogram = Histogram()
    for one in ns:
        histogram.add(one)
    return Times(histogram.packed(), histogram.total_ns)


def figures(
    selects: int, *, commits: int = 0, failed: int = 0, began_us: int = 1, took_ns: int = 2 * MS
) -> DatabaseFigures:
    """Of one instance: so many selects of the same time."""
    return DatabaseFigures(
        database="d",
        element=1,
        data_space=1,
        replica_set=1,
        role="lead",
        is_open=True,
        began_us=began_us,
        numbers={"locks_held": 3.0, "deadlocks_total": float(failed), "oldest_seconds": 4.0},
        statements={"select": times(*[took_ns] * selects)},
        commits=times(*[MS] * commits),
        errors=(("UNIQUE", "23505", failed),) if failed else (),
        copies=(),
    )


def window(
    before: dict[str, DatabaseFigures], after: dict[str, DatabaseFigures], span_s: float = 2.0
) -> Window:
    return Window([activity.between(before, after, 7, span_s)], after)


def test_rates_are_differences_summed_over_the_instances() -> None:
    seen = window(
        {"a": figures(10, commits=2), "b": figures(5)},
        {"a": figures(20, commits=6, failed=4), "b": figures(7)},
    )
    statements = seen.statements()
    assert statements.per_s == pytest.approx(6.0)  # (10 + 2) / 2 s
    assert statements.total == 27
    assert 1e-3 < statements.p50_s <= statements.p95_s <= statements.p99_s < 4e-3
    assert seen.commits().per_s == pytest.approx(2.0)
    (error,) = seen.errors()
    assert (error.code, error.per_s, error.total) == ("UNIQUE", 2.0, 4)
    assert seen.rates()["deadlocks_total"] == 2.0
    assert seen.numbers()["locks_held"] == 6.0
    assert seen.numbers()["oldest_seconds"] == 4.0, "of ages the greatest, not the sum"


def test_an_instance_that_was_restarted_begins_at_zero() -> None:
    seen = window({"a": figures(1000)}, {"a": figures(4, began_us=2)})
    assert seen.statements().per_s == pytest.approx(2.0)


def test_an_instance_that_was_away_adds_nothing_to_this_span() -> None:
    seen = window({}, {"a": figures(1000)})
    assert seen.statements().per_s == 0.0
    assert seen.statements().total == 1000


def test_before_the_second_look_rates_are_unknown() -> None:
    first = Window([], {"a": figures(3)})
    assert first.statements().per_s == -1.0
    assert first.kinds()[0].times.total == 3
    assert first.history() == ()


def test_old_spans_do_not_count_as_now() -> None:
    deltas = [activity.between({"a": figures(0)}, {"a": figures(500)}, 1, 1.0)]
    deltas += [activity.between({"a": figures(500)}, {"a": figures(500)}, 2, 1.0)] * 20
    seen = Window(deltas, {"a": figures(500)})
    assert seen.statements().per_s == 0.0
    assert seen.statements().p50_s == -1.0
    assert seen.history()[0].statements_per_s == 500.0


def statement(
    count: int, took_ns: int, *, user: str = "TERRY", plan: str = "single"
) -> StatementFigures:
    return StatementFigures(
        number=1,
        text="SELECT 1",
        user=user,
        kind="select",
        plan=plan,
        times=times(*[took_ns] * count),
        longest_ns=took_ns,
        rows=count,
        errors=1,
    )


def test_one_statement_is_one_row_wherever_it_ran() -> None:
    caches = {
        "host3": [statement(10, MS), statement(1, 90 * MS, user="SYS")],
        "host4": [statement(20, 2 * MS)],
    }
    first, second = activity.merged(caches, 10)
    assert (first.user, second.user) == ("SYS", "TERRY"), "what took most time comes first"
    assert (second.count, second.rows, second.errors) == (30, 30, 2)
    assert second.instances == ("host3", "host4")
    assert second.longest_s == pytest.approx(0.002)
    assert second.total_s == pytest.approx(0.05)
    assert len(activity.merged(caches, 1)) == 1
