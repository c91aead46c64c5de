"""docs/reference/metrics.md: every metric, made from protocol/metric_names.py."""

from __future__ import annotations

from collections.abc import Mapping

from protocol import metric_names

NOTE = "*Made by `python -m tests.support.reference` from `protocol/metric_names.py`; do not edit.*"
HEAD = """

What `/metrics` of an instance shows; how to switch it on: [monitoring.md](../monitoring.md). Names
that end in `_total` are counters, histograms have `_bucket`, `_count` and `_sum`, the others are
gauges. Counters begin at 0 with the daemon, those of a database when it is loaded there.
"""
SECTIONS = (
    ("Of every instance", "`instance`", metric_names.INSTANCE),
    ("Of a database at a data instance", "`dsn`, `instance`", metric_names.DATABASE),
    (
        "Of the copies of a replica set",
        "`dsn`, `instance`, `element`, `phase`",
        metric_names.COPIES,
    ),
    (
        "Histograms",
        "`dsn`, `instance`; `timesten_sql_seconds` also `kind`, the event loop's only `instance`",
        metric_names.HISTOGRAMS,
    ),
    (
        "Errors",
        "`dsn`, `instance`, `code`, `sqlstate`",
        dict((metric_names.ERRORS,)),
    ),
    (
        "Of the grid, by management",
        "`instance` (that of management) and `dsn`, `replica_set`, `member`, `host` or `server`",
        metric_names.GRID,
    ),
    (
        "Always 1",
        "what they say is in their labels",
        {
            "instance_info": "`instance`, `kind`, `version`",
            "element_role": "`dsn`, `instance`, `element`, `replica_set`, `role`",
        },
    ),
)


def page() -> str:
    """The page."""
    return "\n".join(["# Metrics", "", NOTE + HEAD, *map(_section, SECTIONS)]).rstrip() + "\n"


def _section(section: tuple[str, str, Mapping[str, str]]) -> str:
    title, labels, names = section
    lines = [f"## {title}", "", f"Labels: {labels}.", "", "| metric | meaning |", "|---|---|"]
    lines += [f"| `timesten_{name}` | {meaning} |" for name, meaning in names.items()]
    return "\n".join([*lines, ""])
