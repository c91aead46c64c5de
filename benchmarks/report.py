"""The page benchmarks/RESULTS.md: python -m benchmarks.report writes it again from what is stored.

Pure but for `write`, `machine` and `main`.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from benchmarks import goals, growth_report, plotting, store
from benchmarks.goals import GOALS, Goal, Verdict
from benchmarks.loads import COPY, GRID, LOADS, SCAN, Cell
from benchmarks.result import Result
from daemons import compiled

PAGE = Path(__file__).with_name("RESULTS.md")
NOTES = Path(__file__).with_name("NOTES.md")
GUIDE = PAGE.parents[1] / "docs" / "performance.md"
BLOCK = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
FIGURE = re.compile(r"\{(ratio|cpu) (\d+)\}")
SECTIONS = (
    ("Nothing forced to disk", False),
    ("Every commit forced to disk", True),
)


def main() -> int:
    """Entry point."""
    write()
    print(f"written: {PAGE} and {plotting.FOLDER}")
    return 0


def write() -> None:
    """The page and its plots, from what is stored."""
    run = store.read(store.BENCH, store.Run)
    growth = store.read(store.GROWTH, store.Growth)
    pictures = plotting.write(run.medians() if run else {}, growth)
    notes = NOTES.read_text(encoding="utf-8") if NOTES.exists() else ""
    PAGE.write_text(page(run, growth, pictures, notes), encoding="utf-8")
    if growth is not None:
        text = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text(guide(text, growth), encoding="utf-8")


def page(
    run: store.Run | None, growth: store.Growth | None, pictures: Mapping[str, str], notes: str
) -> str:
    """The whole page. `pictures`: file by title."""
    lines = ["# Results", ""]
    if run is not None:
        lines += _about(run)
        medians = run.medians()
        lines += goal_table(medians, run.customers)
        lines += [line for title, file in pictures.items() for line in (f"![{title}]({file})", "")]
        for title, forced in SECTIONS:
            cells = {c: r for c, r in medians.items() if c.forced is forced}
            if cells:
                lines += [f"## {title}", "", *_all_cells(cells, run), ""]
    if growth is not None:
        lines += [*growth_report.section(growth), ""]
    if notes:
        lines += [with_figures(notes, {} if run is None else run.medians()).rstrip(), ""]
    return "\n".join(lines)


def guide(text: str, growth: store.Growth) -> str:
    """docs/performance.md with the figures of this run, if it has them."""
    lines = growth_report.extrapolated(growth)
    if not lines:
        return text
    return BLOCK.sub(lambda _: "\n".join(["", *lines, "", ""]), text)


def with_figures(notes: str, medians: Mapping[Cell, Result]) -> str:
    """{ratio 3}: of the third goal; {cpu 3}: CPU µs of all servers per operation, ours and the
    peer's."""

    def figure(found: re.Match[str]) -> str:
        verdict = goals.judge(GOALS[int(found[2]) - 1], medians)
        if verdict.ratio is None:
            return "" if found[1] == "cpu" else goals.UNKNOWN
        if found[1] == "ratio":
            return f"{verdict.ratio:.2f} ×, {verdict.word}"
        return " / ".join(f"{medians[cell].cpu_us:,.0f}" for cell in verdict.goal.cells())

    return FIGURE.sub(figure, notes)


def goal_table(medians: Mapping[Cell, Result], rows: int) -> list[str]:
    """The goals, with what was measured, and a count. rows: of the bulk load and the scan."""
    verdicts = [goals.judge(goal, medians) for goal in GOALS]
    met = sum(v.word.startswith(goals.MET) for v in verdicts)
    missed = sum(v.word == goals.MISSED for v in verdicts)
    count = f"{met} met, {missed} missed, {len(verdicts) - met - missed} not measured."
    if rows != goals.ROWS_MEANT:
        count += f" Bulk load and scan are meant for {goals.ROWS_MEANT:,} rows; this run had fewer."
    lines = ["## Goals", "", count, ""]
    lines += [
        "| load | clients | against | at least | TenGrid | peer | ratio | p50, p95, p99 ms "
        "| the peer's | |",
        "|---|---:|---|---|---:|---:|---:|---|---|---|",
    ]
    return [*lines, *(_goal_line(v, medians, rows) for v in verdicts), ""]


def _goal_line(verdict: Verdict, medians: Mapping[Cell, Result], rows: int) -> str:
    goal = verdict.goal
    ours, peers = (medians.get(cell) for cell in goal.cells())
    ratio = "" if verdict.ratio is None else f"{verdict.ratio:.2f} ×"
    word = f"**{verdict.word}**" if verdict.word == goals.MISSED else verdict.word
    title = goal.title.format(rows=f"{rows:,}")
    return (
        f"| {title} | {goal.clients} | {goal.peer} | {goal.wanted()} | {_figure(goal, ours)} "
        f"| {_figure(goal, peers)} | {ratio} | {_times(ours)} | {_times(peers)} | {word} |"
    )


def _figure(goal: Goal, result: Result | None) -> str:
    if result is None:
        return ""
    if goal.at_most:
        return f"{result.p50_ms:.3g} ms"
    return f"{result.tps:,.0f} {'rows/s' if goal.load.kind == COPY else '/s'}"


def _times(result: Result | None) -> str:
    if result is None:
        return ""
    return ", ".join(_ms(ms) for ms in (result.p50_ms, result.p95_ms, result.p99_ms))


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def _all_cells(cells: Mapping[Cell, Result], run: store.Run) -> list[str]:
    """Every cell; peers of one load and number of clients below the grid."""
    counts = {row.cell(): len(row.runs) for row in run.rows}
    lines = [
        "| load | clients | target | per second | p50 ms | p95 ms | p99 ms | server CPU µs each "
        "| runs | TenGrid is |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    order = sorted({(c.load.title, c.clients): None for c in cells}, key=_place)
    for load, clients in order:
        group = {c: r for c, r in cells.items() if (c.load.title, c.clients) == (load, clients)}
        ours = next((r for c, r in group.items() if c.target == GRID), None)
        label = f"{load} | {clients}"
        for cell, result in group.items():
            ratio = ""
            if ours is not None and cell.target != GRID and result.tps:
                ratio = f"{ours.tps / result.tps:.2f} ×"
            if result.failed:
                ratio += f" {result.failed} failed"
            rate = f"{result.tps:,.0f}" if cell.load.kind != SCAN else f"{result.tps:.2f}"
            lines.append(
                f"| {label} | {cell.target} | {rate} | {_ms(result.p50_ms)} "
                f"| {_ms(result.p95_ms)} | {_ms(result.p99_ms)} | {result.cpu_us:,.0f} "
                f"| {counts[cell]} | {ratio.strip()} |"
            )
            label = " | "
    return lines


def _place(key: tuple[str, int]) -> tuple[int, int]:
    """The order of loads.LOADS, then clients."""
    title, clients = key
    return next(n for n, load in enumerate(LOADS) if load.title == title), clients


def _about(run: store.Run) -> list[str]:
    return [
        f"Written by `python -m benchmarks.run` ({run.kind}), begun {run.began:%Y-%m-%d %H:%M} "
        f"UTC, {run.took_s / 60:.0f} minutes. Medians of interleaved runs; only "
        "ratios within one run mean anything elsewhere. [README](README.md) says what is measured "
        "and how.",
        "",
        *[f"- {line}" for line in run.machine],
        f"- bulk load and scan: {run.customers:,} customers",
        *[f"- idle, no clients: {name} uses {cores:.2f} cores" for name, cores in run.idle.items()],
        *[f"- {text}" for text in run.notices],
        "",
    ]


def machine() -> list[str]:
    """Interpreter, kernel, processors, commit: what the figures depend on."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    known = "--enable-optimizations" in flags  # Debian optimises its build without saying so
    built = "optimised build" if known else "flags silent on PGO"
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if _output("git", "status", "--porcelain", "-uno") else ""
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return [
        f"Python {platform.python_version()} ({built}, {os.path.realpath(sys.executable)})",
        f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, "
        f"{_output('pgbench', '--version')}",
        f"load average before the run: {busy}",
        f"commit {commit}{changed}, hot modules {compiled.form()}",
    ]


def _output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PAGE.parent.parent
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
