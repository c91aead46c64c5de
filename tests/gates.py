"""What `make test` runs, in order: format, lint, types, then the tests from quick to slow.

The cheap gates all run, so that one look shows everything that is wrong with the text; a slow
gate that fails ends its lane. The gates run in three lanes, most of their time is waiting: what the
lanes beside the first one say is shown when their turn comes. The last gate, which looks at times,
runs alone.
`--only NAME...` chooses gates, `--match WORDS` tests in them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from daemons import compiled

ROOT = Path(__file__).resolve().parent.parent
RUN_VARIABLE = "TENGRID_GATE_RUN"
SLOWER = 20  # the limits of a run with the slow tests or many seeds, times this
NO_TESTS = 5  # pytest's exit code when nothing was collected


@dataclass(frozen=True)
class Gate:
    """One command of the gates."""

    name: str
    command: tuple[str, ...]
    cheap: bool = False
    tests: tuple[str, ...] = ()  # folders of its tests; a gate without tests is passed over
    without: tuple[str, ...] = ()  # folders in them that are another gate's
    limit_s: float = 300.0  # a hung gate is ended; pytest's own timeout can be caught by a task
    lane: int = 0  # lane 0 is shown as it goes, the others run beside it


MANAGEMENT = tuple(f"tests/integration/{n}" for n in ("backup", "daemons", "distribution", "mgmt"))
ALONE = "faults"
GATES = (
    Gate("format", ("ruff", "format", "--check", "."), cheap=True),
    Gate("lint", ("ruff", "check", "."), cheap=True),
    Gate("types", ("mypy",), cheap=True),
    Gate("tidy", ("pytest",), cheap=True, tests=("tests/tidy",)),
    Gate("unit", ("pytest",), cheap=True, tests=("tests/unit",)),
    Gate("sim", ("pytest",), tests=("tests/sim",), limit_s=600),
    Gate("contract", ("pytest",), tests=("tests/contract",)),
    Gate("sql", ("pytest",), tests=("tests/sql",), limit_s=600),
    Gate("clients", ("pytest",), tests=("tests/clients",), limit_s=600),
    Gate("cluster", ("pytest",), tests=("tests/cluster",), limit_s=600, lane=1),
    Gate("management", ("pytest",), tests=MANAGEMENT, limit_s=600, lane=1),
    Gate("console", ("pytest",), tests=("tests/console",), lane=1),
    Gate(
        "integration",
        ("pytest",),
        tests=("tests/integration",),
        without=MANAGEMENT,
        limit_s=900,
        lane=2,
    ),
    Gate(ALONE, ("pytest",), tests=("tests/faults",), limit_s=600),
)


def main() -> int:
    """Run the gates; the exit code is 0 if all passed."""
    arguments = _arguments()
    chosen = [gate for gate in GATES if not arguments.only or gate.name in arguments.only]
    began = time.monotonic()
    together = [gate for gate in chosen if gate.name != ALONE]
    lanes = [
        _Lane([gate for gate in together if gate.lane == number], arguments, shown=position == 0)
        for position, number in enumerate(sorted({gate.lane for gate in together}))
    ]
    for lane in lanes[1:]:
        lane.start()
    for lane in lanes[:1]:
        lane.run()
    for lane in lanes[1:]:
        lane.show()
    last = _Lane([gate for gate in chosen if gate.name == ALONE], arguments, shown=True)
    last.failed = any(lane.failed for lane in lanes)
    last.run()
    print("\n== gates " + "=" * 63)
    print(f"hot modules in daemons: {compiled.form()}")
    for name, verdict, elapsed_s in (result for lane in (*lanes, last) for result in lane.results):
        print(f"{name:<14}{verdict:<10}{elapsed_s:>8.1f} s")
    verdict = "FAILED" if last.failed else "passed"
    print(f"{'all':<14}{verdict:<10}{time.monotonic() - began:>8.1f} s")
    return 1 if last.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.gates", description=__doc__)
    names = [gate.name for gate in GATES]
    parser.add_argument("--only", nargs="+", choices=names, help="only these gates")
    parser.add_argument("--match", help="only tests whose names fit (pytest -k)")
    parser.add_argument("--full", action="store_true", help="the slow tests too")
    parser.add_argument("--seeds", type=int, help="seeds of each simulation")
    return parser.parse_args()


class _Lane:
    """Gates that run one after the other; not `shown`: what they say is kept until `show`."""

    def __init__(self, gates: list[Gate], arguments: argparse.Namespace, *, shown: bool) -> None:
        self.failed = False
        self.results: list[tuple[str, str, float]] = []  # gate, verdict, seconds
        self._gates = gates
        self._arguments = arguments
        self._outputs = {gate.name: None if shown else _kept() for gate in gates}
        self._thread = threading.Thread(target=self.run, daemon=True)

    def start(self) -> None:
        """Run beside the caller."""
        self._thread.start()

    def run(self) -> None:
        """All gates; after one that failed only the cheap ones."""
        for gate in self._gates:
            verdict, elapsed_s = "not run", 0.0
            if not _has_tests(gate):
                verdict = "no tests"
            elif gate.cheap or not self.failed:
                verdict, elapsed_s = _run(gate, self._arguments, self._outputs[gate.name])
            self.failed = self.failed or verdict == "FAILED"
            self.results.append((gate.name, verdict, elapsed_s))

    def show(self) -> None:
        """Wait until it ended, then print what its gates said."""
        self._thread.join()
        lost = self._gates[len(self.results) :]  # an exception ended the thread
        self.results += [(gate.name, "FAILED", 0.0) for gate in lost]
        self.failed = self.failed or bool(lost)
        for gate in self._gates:
            output = self._outputs[gate.name]
            if output is not None:
                _heading(gate)
                print("(it ran beside the others)", flush=True)
                output.seek(0)
                sys.stdout.write(output.read().decode(errors="replace"))
                output.close()


def _kept() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _has_tests(gate: Gate) -> bool:
    found = (path for folder in gate.tests for path in (ROOT / folder).rglob("test_*.py"))
    return not gate.tests or any(found)


def _heading(gate: Gate) -> None:
    print(f"\n== {gate.name} " + "=" * (70 - len(gate.name)), flush=True)


def _run(
    gate: Gate, arguments: argparse.Namespace, output: IO[bytes] | None = None
) -> tuple[str, float]:
    if output is None:
        _heading(gate)
    command = [sys.executable, "-m", *gate.command]
    if gate.tests:
        command += [*gate.tests, *(f"--ignore={folder}" for folder in gate.without)]
        command += ["--durations=3", "--durations-min=2"]
        command += [] if arguments.full else ["-m", "not slow"]
        command += ["-k", arguments.match] if arguments.match else []
        command += ["--seeds", str(arguments.seeds)] if arguments.seeds else []
    began = time.monotonic()
    limit_s = gate.limit_s * (SLOWER if arguments.full or arguments.seeds else 1)
    run_id = f"{gate.name}-{os.getpid()}-{time.monotonic_ns()}"
    code = _run_within(command, limit_s, run_id, output)
    elapsed_s = time.monotonic() - began
    if code is None:
        print(f"gate {gate.name} did not end within {limit_s:.0f} s", flush=True)
        return "FAILED", elapsed_s
    if gate.tests and code == NO_TESTS:
        return "no tests", elapsed_s
    return ("passed" if code == 0 else "FAILED"), elapsed_s


def _run_within(
    command: list[str], limit_s: float, run_id: str, output: IO[bytes] | None
) -> int | None:
    """The exit code; None if it had to be ended, with all that it started."""
    environment = {**os.environ, RUN_VARIABLE: run_id}
    errors = None if output is None else subprocess.STDOUT
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=errors)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # pytest then shows where it hangs
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # it got the signal too
        raise
    for pid in _started_by(run_id):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return None


def _started_by(run_id: str) -> list[int]:
    """Processes whose environment says that this run started them, directly or not."""
    wanted = f"{RUN_VARIABLE}={run_id}".encode()
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and wanted in Path("/proc", entry, "environ").read_bytes():
                found.append(int(entry))
    return found


if __name__ == "__main__":
    sys.exit(main())
