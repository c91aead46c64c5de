"""What the plots show: points by line. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import loads
from benchmarks.loads import GRID, PAIR, SINGLE, Cell
from benchmarks.result import SHARES, Result

Lines = dict[str, list[tuple[float, float]]]  # points by the name of the line
Medians = Mapping[Cell, Result]
COSTS = (  # loads with 16 clients whose cost is shown
    *(loads.READ, loads.READ_LEAD, loads.READ_SIMPLE, loads.MIX, loads.UPDATE, loads.TRANSFER),
)
COST_CLIENTS = 16


def curves(medians: Medians, load: loads.Load) -> Lines:
    """Throughput against clients, nothing forced, a line per target with two points or more."""
    lines: Lines = {}
    for cell, result in medians.items():
        if cell.load == load and not cell.forced:
            lines.setdefault(cell.target, []).append((cell.clients, result.tps))
    return {name: sorted(points) for name, points in lines.items() if len(points) > 1}


def distributions(medians: Medians, load: loads.Load, clients: int, *, forced: bool) -> Lines:
    """Latency in ms that so many percent of the transactions stay below, a line per target."""
    return {
        cell.target: [
            (share * 100, ms) for share, ms in zip(SHARES, result.quantiles_ms, strict=True)
        ]
        for cell, result in medians.items()
        if (cell.load, cell.clients, cell.forced) == (load, clients, forced)
    }


def costs(medians: Medians) -> dict[str, dict[str, float]]:
    """Server CPU µs per operation: by load, then by target; loads without the grid are left out."""
    shown: dict[str, dict[str, float]] = {}
    for load in COSTS:
        by_target = {
            target: medians[cell].cpu_us
            for target in (GRID, SINGLE, PAIR)
            if (cell := Cell(load, COST_CLIENTS, target)) in medians
        }
        if GRID in by_target:
            shown[load.title] = by_target
    return shown
