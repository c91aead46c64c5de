"""What `make test` runs, in order: format, lint, types, then the tests from quick to slow.

The cheap gates all run, so that one look shows everything that is wrong with the text; a slow
gate that fails ends the run. The longest one runs beside the others, most of its time is waiting:
what it says is shown when its turn comes. The last one, which looks at times, runs alone.
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
    tests: str = ""  # folder of its tests; a folder without tests is passed over
    limit_s: float = 300.0  # a hung gate is ended; pytest's own timeout can be caught by a task
    beside: bool = False  # begins at once, while others run


GATES = (
    Gate("format", ("ruff", "format", "--check", "."), cheap=True),
    Gate("lint", ("ruff", "check", "."), cheap=True),
    Gate("types", ("mypy",), cheap=True),
    Gate("tidy", ("pytest",), cheap=True, tests="tests/tidy"),
    Gate("unit", ("pytest",), cheap=True, tests="tests/unit"),
    Gate("sim", ("pytest",), tests="tests/sim", limit_s=600),
    Gate("contract", ("pytest",), tests="tests/contract"),
    Gate("cluster", ("pytest",), tests="tests/cluster", limit_s=600),
    Gate("clients", ("pytest",), tests="tests/clients", limit_s=600),
    Gate("console", ("pytest",), tests="tests/console", limit_s=300),
    Gate("sql", ("pytest",), tests="tests/sql", limit_s=600),
    Gate("integration", ("pytest",), tests="tests/integration", limit_s=900, beside=True),
    Gate("faults", ("pytest",), tests="tests/faults", limit_s=600),
)


def main() -> int:
    """Run the gates; the exit code is 0 if all passed."""
    arguments = _arguments()
    chosen = [gate for gate in GATES if not arguments.only or gate.name in arguments.only]
    results: list[tuple[str, str, float]] = []
    began = time.monotonic()
    failed = False
    beside = [_Beside(g, arguments) for g in chosen if g.beside and len(chosen) > 1]
    for gate in chosen:
        if gate.tests and not any((ROOT / gate.tests).rglob("test_*.py")):
            results.append((gate.name, "no tests", 0.0))
            continue
        running = next((b for b in beside if b.gate is gate), None)
        if failed and not gate.cheap and running is None:
            results.append((gate.name, "not run", 0.0))
            continue
        verdict, elapsed_s = running.end() if running else _run(gate, arguments)
        failed = failed or verdict == "FAILED"
        results.append((gate.name, verdict, elapsed_s))
    print("\n== gates " + "=" * 63)
    print(f"hot modules in daemons: {compiled.form()}")
    for name, verdict, elapsed_s in results:
        print(f"{name:<14}{verdict:<10}{elapsed_s:>8.1f} s")
    print(f"{'all':<14}{'FAILED' if failed else 'passed':<10}{time.monotonic() - began:>8.1f} s")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.gates", description=__doc__)
    names = [gate.name for gate in GATES]
    parser.add_argument("--only", nargs="+", choices=names, help="only these gates")
    parser.add_argument("--match", help="only tests whose names fit (pytest -k)")
    parser.add_argument("--full", action="store_true", help="the slow tests too")
    parser.add_argument("--seeds", type=int, help="seeds of each simulation")
    return parser.parse_args()


class _Beside:
    """A gate that runs while others do; its output is kept until its turn."""

    def __init__(self, gate: Gate, arguments: argparse.Namespace) -> None:
        self.gate = gate
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._result = ("FAILED", 0.0)
        self._thread = threading.Thread(target=self._run, args=(arguments,), daemon=True)
        self._thread.start()

    def _run(self, arguments: argparse.Namespace) -> None:
        self._result = _run(self.gate, arguments, self._output)

    def end(self) -> tuple[str, float]:
        """Wait for it, show what it said."""
        _heading(self.gate)
        print("(it ran beside the others)", flush=True)
        self._thread.join()
        self._output.seek(0)
        sys.stdout.write(self._output.read().decode(errors="replace"))
        self._output.close()
        return self._result


def _heading(gate: Gate) -> None:
    print(f"\n== {gate.name} " + "=" * (70 - len(gate.name)), flush=True)


def _run(
    gate: Gate, arguments: argparse.Namespace, output: IO[bytes] | None = None
) -> tuple[str, float]:
    if output is None:
        _heading(gate)
    command = [sys.executable, "-m", *gate.command]
    if gate.tests:
        command += [gate.tests, "--durations=3", "--durations-min=2"]
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
