"""The benchmarks: python -m benchmarks.run [--quick]. Writes benchmarks/RESULTS.md.

Starts a grid and the peers that are installed, runs every load at each of them in turn, several
times over, and stops all it started.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import loads, measure, report
from benchmarks.loads import Cell
from benchmarks.measure import Result
from benchmarks.targets import Grid, PostgreSQL, Target, bank_sum

PORT_BASE = 21600
POSTGRES_PORT = 21500
BEGAN_S = time.monotonic()


def main() -> int:
    """Entry point."""
    arguments = _arguments()
    if shutil.which("pgbench") is None:
        print("pgbench is needed: apt-get install postgresql-contrib postgresql", file=sys.stderr)
        return 1
    cells = loads.quick_cells() if arguments.quick else loads.full_cells()
    cells = [c for c in cells if _wanted(c, arguments)]
    seconds = arguments.seconds or (3 if arguments.quick else 8)
    repetitions = arguments.repetitions or (2 if arguments.quick else 3)
    began = datetime.datetime.now(datetime.UTC)
    folder = Path(tempfile.mkdtemp(prefix="tgbench-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        names = {cell.target for cell in cells}
        targets, skipped = _start(stack, folder, arguments.port_base, names)
        idle = {name: measure.idle_cores(target, 3) for name, target in targets.items()}
        kind = "quick" if arguments.quick else "full"
        run = report.Run(kind, seconds, repetitions, began, idle, skipped)
        cells = [cell for cell in cells if cell.target in targets]
        results = _run_all(cells, targets, seconds, repetitions)
        text = report.page(results, run)
    print(text)
    if arguments.json:
        _write_json(arguments.json, results)
    if not arguments.no_page:
        report.PAGE.write_text(text, encoding="utf-8")
        _say(f"written: {report.PAGE}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 clients only, 5 minutes")
    parser.add_argument("--seconds", type=float, help="of each run")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--only", default="", help="loads whose title has one of these,words")
    parser.add_argument("--targets", default="", help="targets whose name has one of these,words")
    parser.add_argument("--clients", type=int, help="only with so many clients")
    parser.add_argument("--no-page", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--json", type=Path, help="write all single results there")
    parser.add_argument("--port-base", type=int, default=PORT_BASE, help="of the grid")
    return parser.parse_args()


def _wanted(cell: Cell, arguments: argparse.Namespace) -> bool:
    def has(words: str, text: str) -> bool:
        return not words or any(word.lower() in text.lower() for word in words.split(","))

    return (
        has(arguments.only, cell.load.title)
        and has(arguments.targets, cell.target)
        and arguments.clients in (None, cell.clients)
    )


def _start(
    stack: contextlib.ExitStack, folder: Path, port_base: int, names: set[str]
) -> tuple[dict[str, Target], tuple[str, ...]]:
    """Start what is wanted and installed; (targets by name, notices of what is skipped)."""
    candidates: list[Target] = [
        Grid(folder, port_base),
        PostgreSQL(folder, POSTGRES_PORT, standby=False),
        PostgreSQL(folder, POSTGRES_PORT + 2, standby=True),
    ]
    targets: dict[str, Target] = {}
    skipped: list[str] = []
    for target in candidates:
        if target.name not in names:
            continue
        if isinstance(target, PostgreSQL) and (why := target.missing()):
            skipped.append(f"{target.name}: {why}")
            continue
        _say(f"starting {target.name}")
        stack.callback(target.stop)
        target.start()
        targets[target.name] = target
    return targets, tuple(skipped)


def _run_all(
    cells: list[Cell], targets: dict[str, Target], seconds: float, repetitions: int
) -> dict[Cell, list[Result]]:
    """Every cell once, then all again: what drifts drifts for all. Checks the bank's sums."""
    results: dict[Cell, list[Result]] = {cell: [] for cell in cells}
    total = len(cells) * repetitions
    for number, cell in enumerate(cells * repetitions, 1):
        target = targets[cell.target]
        with _money_stays(target, cell):
            if number <= len(cells):
                measure.measure(target, cell, 1)  # plans, caches
            result = measure.measure(target, cell, seconds)
        results[cell].append(result)
        _say(
            f"{number}/{total} {cell.load.title}, {cell.clients} clients"
            f"{', forced' if cell.forced else ''}: {cell.target} {result.tps:,.0f}/s "
            f"p50 {result.p50_ms:.2f} p99 {result.p99_ms:.2f} ms, {result.cpu_us:.0f} µs each"
        )
    return results


@contextlib.contextmanager
def _money_stays(target: Target, cell: Cell) -> Iterator[None]:
    """A transfer neither makes nor loses money."""
    if cell.load not in (loads.TRANSFER, loads.TRANSFER_SAME):
        yield
        return
    door, login = target.doors(loads.ANY, cell.forced)[0], target.login(cell.forced)
    before = bank_sum(door, login)
    yield
    after = bank_sum(door, login)
    if before != after:
        raise RuntimeError(f"{target.name} had {before} in the bank, now {after}")


def _write_json(path: Path, results: dict[Cell, list[Result]]) -> None:
    rows = [
        {
            "load": cell.load.title,
            "clients": cell.clients,
            "target": cell.target,
            "forced": cell.forced,
            "runs": [dataclasses.asdict(result) for result in taken],
        }
        for cell, taken in results.items()
    ]
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN_S:5.0f} s] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
