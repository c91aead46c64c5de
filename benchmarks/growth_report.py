"""The part of RESULTS.md on how cost grows. Pure."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.result import Result, median
from benchmarks.store import Growth, Point

LIMITS_AT = (2, 4)  # K, data instances
NETWORK_BYTES_S, DISK_BYTES_S = 1.25e9, 5e8  # assumed of a host
INFINITE = float("inf")
EXAMPLE = (16, 8)  # hosts, cores of each; a data instance on every core
BUSY = {  # share of all cores at work when those of the leads are full (docs/performance.md)
    "local read": 1 / 2,
    "remote read": 2 / 3,
    "update, client at the lead": 0.8,
    "update, client elsewhere": 0.8,
    "two-set transaction": 0.8,
}


def section(growth: Growth) -> list[str]:
    """Tables."""
    lines = [
        "## How cost grows",
        "",
        f"Written by `python -m benchmarks.growth` on {growth.began:%Y-%m-%d %H:%M} UTC, "
        f"{growth.clients} clients per data instance, nothing forced (with K=1 every commit). CPU "
        "microseconds of all processes of the grid per operation, medians; in brackets operations "
        "per second on this machine, which all instances share. What they use without any client "
        "is taken off.",
        "",
        *[f"- {line}" for line in (*growth.machine, *growth.notices)],
        "",
    ]
    lines += _operations(growth.points)
    lines += _idle(growth.points)
    lines += _limits(growth.points)
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


def _limits(points: list[Point]) -> list[str]:
    """What a processor core, a network port and a disk can do each, of the middle grid."""
    shown = [point for point in points if (point.k, point.data) == LIMITS_AT and point.runs]
    if not shown:
        return []
    lines = [
        f"Operations per second (K={LIMITS_AT[0]}, {LIMITS_AT[1]} data instances) that use up "
        f"a core, one port of {NETWORK_BYTES_S * 8 / 1e9:g} Gbit/s and one disk of "
        f"{DISK_BYTES_S / 1e6:g} MB/s. Bytes are those over loopback, the "
        "clients' with them, and those that the processes wrote.",
        "",
        "| operation | CPU µs | network bytes | disk bytes | a core | a port | a disk | first |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for point in shown:
        middle = median(point.runs)
        most = limits(middle)
        first = min(most, key=lambda name: most[name])
        rates = " | ".join(f"{rate:,.0f}" if rate < INFINITE else "" for rate in most.values())
        lines.append(
            f"| {point.operation} | {middle.cpu_us:,.0f} | {middle.network_bytes:,.0f} "
            f"| {middle.disk_bytes:,.0f} | {rates} | {first} |"
        )
    return [*lines, ""]


def limits(result: Result) -> dict[str, float]:
    """Operations per second at which each resource is used up, if it serves nothing else."""
    each = {
        "a core": (1e6, result.cpu_us),
        "a port": (NETWORK_BYTES_S, result.network_bytes),
        "a disk": (DISK_BYTES_S, result.disk_bytes),
    }
    return {name: has / needs if needs else INFINITE for name, (has, needs) in each.items()}


def extrapolated(growth: Growth) -> list[str]:
    """What hosts would do, from the grid of LIMITS_AT; empty without it. Of docs/performance.md."""
    hosts, each = EXAMPLE
    shown = [p for p in growth.points if (p.k, p.data) == LIMITS_AT and p.runs]
    if not shown:
        return []
    lines = [
        f"Costs from `make bench-growth` of {growth.began:%Y-%m-%d}, K={LIMITS_AT[0]}, "
        f"{LIMITS_AT[1]} data instances ({growth.machine[-1]}). Operations a second of {hosts} "
        f"hosts of {each} cores, one port of {NETWORK_BYTES_S * 8 / 1e9:g} Gbit/s and one disk of "
        f"{DISK_BYTES_S / 1e6:g} MB/s each:",
        "",
        "| operation | *c*, CPU µs | cores at work | the cores do | the ports | the disks "
        "| first used up |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for point in shown:
        middle = median(point.runs)
        busy, most = BUSY[point.operation], limits(middle)
        rates = {
            "cores": most["a core"] * busy * hosts * each,
            "ports": most["a port"] * hosts,
            "disks": most["a disk"] * hosts,
        }
        first = min(rates, key=lambda name: rates[name])
        cells = " | ".join(f"{_rounded(r):,.0f}" if r < INFINITE else "" for r in rates.values())
        name = f"{point.operation} | {middle.cpu_us:,.0f}"
        lines.append(f"| {name} | {busy:.0%} | {cells} | {first} |")
    return lines


def _rounded(value: float) -> float:
    """To two digits: an extrapolation has no more."""
    return float(f"{value:.2g}")


def _amount(bytes_: float) -> str:
    if bytes_ < 1 << 20:
        return f"{bytes_ / 1024:,.1f} KiB"
    return f"{bytes_ / (1 << 20):,.1f} MiB"
