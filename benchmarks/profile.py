"""Where the time goes: python -m benchmarks.profile [--seconds 5]. Needs py-spy on the PATH.

Starts a grid, runs five loads one after the other and samples the data instance that leads, the
one that holds the copy, and one that only takes clients. Prints, per load and instance, how the
CPU time divides over the layers.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks import loads, measure, processes
from benchmarks.loads import Cell, Load
from benchmarks.run import PORT_BASE
from benchmarks.targets.grid import Grid

RATE_HZ = 400
RAMP_S = 1.0
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (  # first match, from the innermost frame
    ("writing to sockets", ("Connection._flush", "Session._end_turn", "Session.received")),
    ("storage, SQLite", ("(data/storage/",)),
    ("replication", ("(data/replication/",)),
    ("transactions", ("(data/txn/",)),
    ("routing, execution", ("(data/exec/", "(data/distribution/", "(data/sql/")),
    ("client protocol", ("(data/session/", "(protocol/pgwire/")),
    ("internal network", ("(protocol/rpc/", "(protocol/messages/", "(data/replication/hub")),
    ("membership", ("(membership/", "(kazoo/")),
    ("event loop, receiving", ("(asyncio/runners.py",)),
)
SCENES: tuple[tuple[Load, str], ...] = (
    (loads.READ_LEAD, "local read"),
    (loads.READ_OTHER, "remote read"),
    (loads.UPDATE_LEAD, "update, client at the lead"),
    (loads.UPDATE, "update, clients everywhere"),
    (loads.TRANSFER, "two-set transaction"),
)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--port-base", type=int, default=PORT_BASE)
    parser.add_argument("--raw", type=Path, help="keep py-spy's stacks in this folder")
    arguments = parser.parse_args()
    spy = shutil.which("py-spy")
    if spy is None:
        print("py-spy is needed: pip install py-spy, and its folder on PATH", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="tgbench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        grid = Grid(folder, arguments.port_base)
        stack.callback(grid.stop)
        grid.start()
        raw = arguments.raw or folder
        raw.mkdir(parents=True, exist_ok=True)
        for load, title in SCENES:
            cell = Cell(load, arguments.clients, grid.name, False)
            print("\n".join(_scene(grid, cell, title, arguments.seconds, spy, raw)), flush=True)
    return 0


def _scene(grid: Grid, cell: Cell, title: str, seconds: int, spy: str, raw: Path) -> list[str]:
    measure.measure(grid, cell, 1)
    daemons = grid.daemons()
    before_s = [processes.cpu_s([pid]) for pid in daemons]
    plain = measure.measure(grid, cell, seconds)
    used_s = [processes.cpu_s([pid]) - b for pid, b in zip(daemons, before_s, strict=True)]
    done = plain.tps * seconds
    sampled: dict[int, Path] = {}

    def sample() -> None:
        time.sleep(RAMP_S)
        running = []
        for number, pid in enumerate(daemons):
            sampled[number] = raw / f"{title.replace(' ', '_')}.{number}.raw"
            command = [spy, "record", "-p", str(pid), "-d", str(seconds), "-r", str(RATE_HZ)]
            command += ["-f", "raw", "-o", str(sampled[number])]
            quiet = subprocess.DEVNULL
            running.append(subprocess.Popen(command, stdout=quiet, stderr=quiet))
        for process in running:
            process.wait()

    sampler = threading.Thread(target=sample)
    sampler.start()
    measure.measure(grid, cell, seconds + round(2 * RAMP_S))
    sampler.join()
    lines = [
        f"\n**{title}**: {plain.tps:,.0f}/s, {plain.cpu_us:.0f} µs of CPU each in all processes\n",
        "| µs each | " + " | ".join(f"instance {n + 1}" for n in sampled) + " |",
        "|---|" + "---:|" * len(sampled),
    ]
    shares = {n: _shares(path) for n, path in sampled.items()}
    each_us = [used * 1e6 / done for used in used_s]
    for layer in [name for name, _ in LAYERS] + ["other"]:
        cells = [f"{shares[n].get(layer, 0.0) * each_us[n]:.1f}" for n in sampled]
        lines.append(f"| {layer} | " + " | ".join(cells) + " |")
    lines.append("| **all** | " + " | ".join(f"**{us:.1f}**" for us in each_us) + " |")
    return lines


def _shares(path: Path) -> dict[str, float]:
    """Layer → share of the main thread's samples."""
    counts: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        if "run_daemon" in stack:
            counts[_layer(stack.split(";"))] += int(count)
    total = sum(counts.values()) or 1
    return {layer: count / total for layer, count in counts.items()}


def _layer(frames: list[str]) -> str:
    innermost = frames[-1]
    for name, marks in LAYERS[:1]:
        if innermost.startswith(marks):
            return name
    for frame in reversed(frames):
        for name, marks in LAYERS[1:]:
            if any(mark in frame for mark in marks):
                return name
    return "other"


if __name__ == "__main__":
    sys.exit(main())
