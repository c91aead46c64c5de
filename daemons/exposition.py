"""Figures in the text format of Prometheus, made when they are asked for.

Metrics are named `timesten_...` with the labels `instance` and, for a database, `dsn`, as
TimesTen's ttExporter has them. What each of them means: protocol/metric_names.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import CollectorRegistry

from protocol import metric_names
from protocol.messages.metrics import DatabaseFigures, Figures, Times
from protocol.metrics import BOUNDS_NS, below

PREFIX = "timesten_"
_BOUNDS_NS = BOUNDS_NS[6::2]  # each twice the one before: 1.95 µs to 5 minutes
_LABELS = ("dsn", "instance")

Numbers = Mapping[str, float]
Labelled = tuple[tuple[str, ...], float]  # values of the labels, value


class _Collected:
    """What prometheus-client wants to be given."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def text(families: Iterable[Metric]) -> bytes:
    """The answer to a scrape."""
    registry = CollectorRegistry()
    registry.register(_Collected(list(families)))
    return generate_latest(registry)


def of_instance(
    instance: str, kind: str, version: str, numbers: Numbers, event_loop: Times
) -> Iterator[Metric]:
    """What every kind of instance tells of its process."""
    about = GaugeMetricFamily(
        f"{PREFIX}instance_info", "Always 1", labels=("instance", "kind", "version")
    )
    about.add_metric((instance, kind, version), 1)
    yield about
    for name, help_text in metric_names.INSTANCE.items():
        if name in numbers:
            yield _family(name, help_text, ("instance",), [((instance,), numbers[name])])
    delays = _histogram("event_loop_delay_seconds", ("instance",))
    _add(delays, (instance,), event_loop)
    yield delays


def of_data_instance(figures: Figures, version: str) -> Iterator[Metric]:
    """All that a data instance tells."""
    name = figures.instance
    yield from of_instance(name, "data", version, figures.numbers, figures.event_loop)
    databases = figures.databases
    for number, help_text in metric_names.DATABASE.items():
        rows = [((d.database, name), d.numbers[number]) for d in databases if number in d.numbers]
        if rows:
            yield _family(number, help_text, _LABELS, rows)
    yield from _roles(name, databases)
    yield from _times(name, databases)
    errors = [
        ((d.database, name, code, sqlstate), float(count))
        for d in databases
        for code, sqlstate, count in d.errors
    ]
    yield _family(*metric_names.ERRORS, (*_LABELS, "code", "sqlstate"), errors)
    yield from _copies(name, databases)


def of_grid(tables: Mapping[str, tuple[tuple[str, ...], Iterable[Labelled]]]) -> Iterator[Metric]:
    """What a management instance tells of the grid: labels and rows, by name."""
    for name, (labels, rows) in tables.items():
        yield _family(name, metric_names.GRID[name], labels, rows)


def _roles(instance: str, databases: Iterable[DatabaseFigures]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        f"{PREFIX}element_role",
        "Always 1; what the element is: lead, copy, catching-up, waiting-for-seed, idle",
        labels=(*_LABELS, "element", "replica_set", "role"),
    )
    for d in databases:
        where = (d.database, instance, str(d.element), str(d.replica_set), d.role)
        family.add_metric(where, 1)
    yield family


def _times(instance: str, databases: Iterable[DatabaseFigures]) -> Iterator[Metric]:
    statements = _histogram("sql_seconds", (*_LABELS, "kind"))
    commits = _histogram("commit_seconds", _LABELS)
    for d in databases:
        for kind, spent in d.statements.items():
            _add(statements, (d.database, instance, kind), spent)
        _add(commits, (d.database, instance), d.commits)
    yield statements
    yield commits


def _copies(instance: str, databases: Iterable[DatabaseFigures]) -> Iterator[Metric]:
    labels = (*_LABELS, "element", "phase")
    entries = metric_names.COPIES["replication_copy_lag_entries"]
    seconds = metric_names.COPIES["replication_copy_lag_seconds"]
    rows = [
        ((d.database, instance, str(copy.element), copy.phase), copy)
        for d in databases
        for copy in d.copies
    ]
    yield _family(
        "replication_copy_lag_entries",
        entries,
        labels,
        [(where, float(copy.entries)) for where, copy in rows],
    )
    yield _family(
        "replication_copy_lag_seconds",
        seconds,
        labels,
        [(where, copy.seconds) for where, copy in rows],
    )


def _family(name: str, help_text: str, labels: tuple[str, ...], rows: Iterable[Labelled]) -> Metric:
    """A counter if the name says so, else a gauge."""
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(PREFIX + name.removesuffix("_total"), help_text, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _histogram(name: str, labels: tuple[str, ...]) -> HistogramMetricFamily:
    return HistogramMetricFamily(PREFIX + name, metric_names.HISTOGRAMS[name], labels=labels)


def _add(family: HistogramMetricFamily, values: tuple[str, ...], spent: Times) -> None:
    buckets = [(f"{ns / 1e9:.9g}", float(below(spent.slots, ns))) for ns in _BOUNDS_NS]
    buckets.append(("+Inf", float(sum(spent.slots))))
    family.add_metric(values, buckets, sum_value=spent.total_ns / 1e9)
