"""Pictures of the results: benchmarks/plots/*.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks import figures, loads
from benchmarks.figures import Lines, Medians
from benchmarks.store import Growth

mpl.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).with_name("plots")
COLOURS = {
    loads.GRID: "tab:red",
    loads.SINGLE: "tab:blue",
    loads.PAIR: "tab:green",
    loads.CITUS: "tab:purple",
    loads.GALERA: "tab:orange",
}
DPI = 110


def write(medians: Medians, growth: Growth | None) -> dict[str, str]:
    """All pictures for which there is something to show; file (below benchmarks) by title."""
    FOLDER.mkdir(exist_ok=True)
    drawn = {
        "Throughput against clients": ("throughput.png", _throughput(medians)),
        "Latency distribution, 16 clients": ("latency.png", _latency(medians)),
        "Cost per operation": ("cost.png", _cost(medians)),
        "Cost per operation against data instances": ("growth.png", _growth(growth)),
    }
    files: dict[str, str] = {}
    for title, (name, figure) in drawn.items():
        if figure is None:
            continue
        figure.suptitle(title)
        figure.tight_layout()
        figure.savefig(FOLDER / name, dpi=DPI)
        plt.close(figure)
        files[title] = f"{FOLDER.name}/{name}"
    return files


def _throughput(medians: Medians) -> Any:
    panels = {load.title: figures.curves(medians, load) for load in loads.CURVES}
    return _panels(panels, "clients", "transactions/s", log_x=True)


def _latency(medians: Medians) -> Any:
    panels = {}
    for load, forced in ((loads.READ, False), (loads.MIX, False), (loads.MIX, True)):
        lines = figures.distributions(medians, load, figures.COST_CLIENTS, forced=forced)
        panels[load.title + (", forced" if forced else "")] = lines
    return _panels(panels, "% of transactions", "at most ms", log_y=True)


def _growth(growth: Growth | None) -> Any:
    if growth is None:
        return None
    lines = growth.lines()
    return _panels({"": lines}, "data instances", "CPU µs per operation", log_x=True, log_y=True)


def _panels(
    panels: dict[str, Lines], x: str, y: str, *, log_x: bool = False, log_y: bool = False
) -> Any:
    """A panel each; None if there is no line at all."""
    shown = {title: lines for title, lines in panels.items() if lines}
    if not shown:
        return None
    figure, axes = plt.subplots(1, len(shown), figsize=(max(7, 5 * len(shown)), 4), squeeze=False)
    for axis, (title, lines) in zip(axes[0], shown.items(), strict=True):
        for name, points in lines.items():
            xs, ys = zip(*points, strict=True)
            axis.plot(xs, ys, marker="o", label=name, color=COLOURS.get(name))
        ticks = sorted({x for points in lines.values() for x, _ in points})
        if log_x:
            axis.set_xscale("log", base=2)
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        if log_y:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set(title=title, xlabel=x, ylabel=y)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    return figure


def _cost(medians: Medians) -> Any:
    shown = figures.costs(medians)
    if not shown:
        return None
    figure, axis = plt.subplots(figsize=(10, 4.5))
    targets = list(dict.fromkeys(name for costs in shown.values() for name in costs))
    width = 0.8 / len(targets)
    for number, name in enumerate(targets):
        places = [
            place + number * width for place, costs in enumerate(shown.values()) if name in costs
        ]
        heights = [costs[name] for costs in shown.values() if name in costs]
        bars = axis.bar(places, heights, width, label=name, color=COLOURS.get(name))
        axis.bar_label(bars, fmt="%.0f", fontsize="small")
    titles = [title.replace(", ", ",\n", 1).replace(" over ", "\nover ") for title in shown]
    axis.set_xticks([n + 0.4 - width / 2 for n in range(len(shown))], titles, fontsize="small")
    axis.set(ylabel="CPU µs of all server processes", yscale="log")
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize="small")
    return figure
