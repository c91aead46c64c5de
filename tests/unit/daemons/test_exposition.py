"""Figures as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from daemons import exposition
from protocol import metric_names
from protocol.messages.metrics import CopyLag, DatabaseFigures, Figures, Times
from protocol.metrics import Histogram


def times(*milliseconds: float) -> Times:
    histogram = Histogram()
    for number in milliseconds:
        histogram.add(int(number * 1e6))
    return Times(histogram.packed(), histogram.total_ns)


def figures() -> Figures:
    database = DatabaseFigures(
        database="sales",
        element=1,
        data_space=1,
        replica_set=1,
        role="lead",
        is_open=True,
        began_us=0,
        numbers=dict.fromkeys(metric_names.DATABASE, 7.0),
        statements={"select": times(0.1, 0.3, 2)},
        commits=times(5),
        errors=(("UNIQUE", "23505", 4),),
        copies=(CopyLag(2, "streaming", 12, 1.5),),
    )
    return Figures(
        instance="host3.instance1",
        incarnation="x",
        taken_us=0,
        began_us=0,
        numbers=dict.fromkeys(metric_names.INSTANCE, 3.0),
        event_loop=times(0.2),
        databases=(database,),
    )


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition.text(exposition.of_data_instance(figures(), "1.0")).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


HERE = (("dsn", "sales"), ("instance", "host3.instance1"))


def test_every_name_is_exported_as_timesten_writes_it() -> None:
    found = samples()
    for name in metric_names.DATABASE:
        assert found[(f"timesten_{name}", HERE)] == 7.0
    for name in metric_names.INSTANCE:
        assert found[(f"timesten_{name}", HERE[1:])] == 3.0


def test_histograms_errors_and_lags() -> None:
    found = samples()
    select = (HERE[0], HERE[1], ("kind", "select"))
    assert found["timesten_sql_seconds_count", select] == 3
    assert abs(found["timesten_sql_seconds_sum", select] - 0.0024) < 1e-9
    at_most = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "timesten_sql_seconds_bucket"
    }
    assert (at_most["0.000125"], at_most["0.0005"], at_most["0.004"]) == (1, 2, 3)
    assert at_most["+Inf"] == 3
    error = (("code", "UNIQUE"), *HERE, ("sqlstate", "23505"))
    assert found["timesten_sql_errors_total", error] == 4
    copy = (HERE[0], ("element", "2"), HERE[1], ("phase", "streaming"))
    assert found["timesten_replication_copy_lag_entries", copy] == 12
    assert found["timesten_replication_copy_lag_seconds", copy] == 1.5


def test_grid_tables() -> None:
    tables = {
        "membership_servers_serving": (("instance",), [(("host1.i",), 2.0)]),
        "instance_alive": (("instance", "member"), [(("host1.i", "host3.i"), 1.0)]),
    }
    text = exposition.text(exposition.of_grid(tables)).decode()
    assert 'timesten_membership_servers_serving{instance="host1.i"} 2.0' in text
    assert 'timesten_instance_alive{instance="host1.i",member="host3.i"} 1.0' in text
