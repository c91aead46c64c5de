"""The part of RESULTS.md on how cost grows. Pure."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.result import median
from benchmarks.store import Growth, Point


def section(growth: Growth) -> list[str]:
    """Tables."""
    lines = [
        "## How cost grows",
        "",
        f"Written by `python -m benchmarks.growth` on {growth.began:%Y-%m-%d %H:%M} UTC, "
        f"{growth.clients} clients, nothing forced. CPU microseconds of all processes of the grid "
        "per operation, medians; in brackets operations per second on this machine, which all "
        "instances share. What the instances use without any client is taken off.",
        "",
        *[f"- {line}" for line in (*growth.machine, *growth.notices)],
        "",
    ]
    lines += _operations(growth.points)
    lines += _idle(growth.points)
    if growth.memory:
        lines += ["| memory | |", "|---|---:|"]
        lines += [f"| {what} | {_amount(bytes_)} |" for what, bytes_ in growth.memory.items()]
    return lines


def _operations(points: list[Point]) -> list[str]:
    columns = sorted({point.data for point in points})
    rows: dict[str, dict[int, str]] = defaultdict(dict)
    for point in points:
        if point.runs:
            middle = median(point.runs)
            text = f"{middle.cpu_us:,.0f} ({middle.tps:,.0f}/s)"
            rows[f"{point.operation}, K={point.k}"][point.data] = text
    lines = [
        "| operation | " + " | ".join(f"{data} instances" for data in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for name, cells in rows.items():
        lines.append(f"| {name} | " + " | ".join(cells.get(data, "") for data in columns) + " |")
    return [*lines, ""]


def _idle(points: list[Point]) -> list[str]:
    """Of each grid, whatever the operation."""
    seen = {(point.k, point.data): point.idle_us for point in points}
    lines = ["| grid without clients | CPU ms per second and data instance |", "|---|---:|"]
    for (k, data), idle_us in sorted(seen.items()):
        lines.append(f"| {data} data instances, K={k} | {idle_us / 1000:.1f} |")
    return [*lines, ""]


def _amount(bytes_: float) -> str:
    if bytes_ < 1 << 20:
        return f"{bytes_ / 1024:,.1f} KiB"
    return f"{bytes_ / (1 << 20):,.1f} MiB"
