"""Medians and the page benchmarks/RESULTS.md. Pure but for `machine` and `write`."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from benchmarks.loads import GRID, PAIR, SINGLE, Cell
from benchmarks.measure import Result

PAGE = Path(__file__).with_name("RESULTS.md")
NOTES = Path(__file__).with_name("NOTES.md")
Results = Mapping[Cell, list[Result]]


@dataclass(frozen=True)
class Run:
    """How it was run."""

    kind: str  # "quick" | "full"
    seconds: float
    repetitions: int
    began: datetime.datetime
    idle: Mapping[str, float]  # cores used without any client, by target
    skipped: tuple[str, ...]


def median(results: Iterable[Result]) -> Result:
    """Field by field."""
    taken = list(results)
    values = {f.name: statistics.median(getattr(r, f.name) for r in taken) for f in fields(Result)}
    return Result(**{**values, "failed": sum(r.failed for r in taken)})


def machine() -> list[str]:
    """Interpreter, kernel, processors, commit: what the figures depend on."""
    flags = sysconfig.get_config_var("CONFIG_ARGS") or ""
    built = "optimised build" if "--enable-optimizations" in flags else "build without PGO"
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if _output("git", "status", "--porcelain", "-uno") else ""
    return [
        f"Python {platform.python_version()} ({built}, {os.path.realpath(sys.executable)})",
        f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, "
        f"{_output('pgbench', '--version')}",
        f"commit {commit}{changed}",
    ]


def page(results: Results, run: Run) -> str:
    """The whole page."""
    lines = [
        "# Results",
        "",
        f"Written by `python -m benchmarks.run` ({run.kind}) on {run.began:%Y-%m-%d %H:%M} UTC. "
        f"Medians of {run.repetitions} interleaved runs of {run.seconds:g} s. "
        "[README](README.md) says what is measured and how.",
        "",
        *[f"- {line}" for line in machine()],
        *[f"- idle, no clients: {name} uses {cores:.2f} cores" for name, cores in run.idle.items()],
        *[f"- skipped: {text}" for text in run.skipped],
        "",
    ]
    for forced in (False, True):
        if any(cell.forced is forced for cell in results):
            lines += _section(results, forced)
    if NOTES.exists():
        lines += [NOTES.read_text(encoding="utf-8").rstrip(), ""]
    return "\n".join(lines)


def _section(results: Results, forced: bool) -> list[str]:
    rows: dict[tuple[str, int], dict[str, Result]] = defaultdict(dict)
    for cell, taken in results.items():
        if cell.forced is forced and taken:
            rows[cell.load.title, cell.clients][cell.target] = median(taken)
    title = "Every commit forced to disk" if forced else "Nothing forced to disk"
    lines = [f"## {title}", "", "| load | clients | target | transactions/s | p50 ms | p95 ms "
             "| p99 ms | server CPU µs each | TenGrid is |",
             "|---|---:|---|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for (load, clients), targets in rows.items():
        for number, (name, result) in enumerate(targets.items()):
            label = f"{load} | {clients}" if not number else " | "
            lines.append(
                f"| {label} | {name} | {result.tps:,.0f} | {result.p50_ms:.2f} "
                f"| {result.p95_ms:.2f} | {result.p99_ms:.2f} | {result.cpu_us:.0f} "
                f"| {_ratio(targets, name)} |"
            )
            if result.failed:
                lines[-1] = lines[-1][:-1] + f"{result.failed} failed |"
    return [*lines, ""]


def _ratio(targets: Mapping[str, Result], name: str) -> str:
    if name not in (SINGLE, PAIR) or GRID not in targets or not targets[name].tps:
        return ""
    return f"{targets[GRID].tps / targets[name].tps:.2f} ×"


def _output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PAGE.parent.parent
    )
    return done.stdout.strip()
