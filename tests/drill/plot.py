"""The picture of a drill: throughput, pauses and memory over time, with the faults, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.drill.report import Run, fault_lines, pauses, per_second, waited_s

INCHES = (15.0, 10.0)
DPI = 100
LINES_OF_LABELS = 4  # names of faults are written on so many lines in turn
LABEL_MAX = 34  # characters
PAUSE_SHOWN_S = 0.2  # shorter ones are how it works


def draw(run: Run, path: Path) -> None:
    """Write the picture."""
    import matplotlib  # only here: it takes a second, and is not needed to judge

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        3, 1, figsize=INCHES, sharex=True, height_ratios=(3, 2, 1.5), layout="constrained"
    )
    throughput, waits, memory = axes
    verdict = "every guarantee held" if run.is_good else "A GUARANTEE WAS VIOLATED"
    figure.suptitle(f"Drill: seed {run.seed}, K={run.k}, {run.data} data instances: {verdict}")
    counts = per_second(run)
    seconds = range(len(counts))
    throughput.step(seconds, [good for good, _ in counts], where="post", label="acknowledged")
    throughput.step(
        seconds, [bad for _, bad in counts], where="post", color="tab:red", label="refused, unknown"
    )
    throughput.set_ylabel("operations per second")
    _bands(run, axes)
    throughput.legend(loc="upper left", fontsize="x-small")
    _pauses(run, waits)
    for name, some in sorted(run.memory.items()):
        memory.plot([at - run.began_s for at, _ in some], [mb for _, mb in some], label=name)
    memory.set_ylabel("resident MB")
    memory.set_xlabel("seconds")
    memory.legend(loc="upper left", ncols=4, fontsize="x-small")
    memory.set_ylim(bottom=0)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)


def _bands(run: Run, axes: Any) -> None:
    """Grey from a fault's beginning until every copy counts again."""
    length_s = run.ended_s - run.began_s
    most = max((good for good, _ in per_second(run)), default=1) or 1
    for number, line in enumerate(fault_lines(run)):
        until_s = line.at_s + line.whole_s if line.whole_s is not None else length_s
        for one in axes:
            one.axvspan(line.at_s, until_s, color="0.88", zorder=0)
        height = most * (1.06 + 0.08 * (number % LINES_OF_LABELS))
        axes[0].text(line.at_s, height, line.what[:LABEL_MAX], fontsize="xx-small")
    for from_s, to_s in run.held:
        left, right = from_s - run.began_s, to_s - run.began_s
        axes[0].axvspan(left, right, color="honeydew", zorder=1)
    axes[0].axvspan(0, 0, color="0.88", label="a fault, until every copy counts")
    axes[0].axvspan(0, 0, color="honeydew", label="load held: the copies are compared")
    axes[0].set_ylim(0, most * (1.1 + 0.08 * LINES_OF_LABELS))
    axes[0].set_xlim(0, length_s)


def _pauses(run: Run, axes: Any) -> None:
    """A line for each time in which a client was not acknowledged anything."""
    for some in pauses(run.recorder.history, run.began_s).values():
        for start_s, end_s in some:
            if waited_s(run, start_s, end_s) >= PAUSE_SHOWN_S:
                left = start_s - run.began_s
                lasted_s = waited_s(run, start_s, end_s)
                axes.plot([left, end_s - run.began_s], [lasted_s] * 2, color="tab:blue", lw=0.8)
    axes.set_ylabel("pauses of clients, s")
    axes.set_ylim(bottom=0)
