"""One measurement: load generators against the doors of a target."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import loads, processes
from benchmarks.loads import Cell, Load
from benchmarks.processes import Usage
from benchmarks.result import Result, quantiles_ms, quantiles_of_histogram
from benchmarks.targets import base
from benchmarks.targets.base import Door, Login, Target

SAMPLED = 0.2  # of the transactions are written to the latency log
SAMPLE_ALL_BELOW = 4  # clients
SAMPLES = 20  # of what the servers used, per run
LOGIN_S = 0.3  # of sysbench
GRACE_S = 45.0  # that a load generator may take longer than it was told
_TPS = re.compile(r"^tps = ([0-9.]+)", re.M)
_LOGIN = re.compile(r"initial connection time = ([0-9.]+) ms")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_SYSBENCH = re.compile(r"transactions:\s+\d+\s+\(([0-9.]+) per sec")
_IGNORED = re.compile(r"ignored errors:\s+(\d+)")
_HISTOGRAM = re.compile(r"^\s*([0-9.]+) \|\**\s+(\d+)$", re.M)


def measure(target: Target, cell: Cell, seconds: int) -> Result:
    """Run a client load once. Raises RuntimeError if the load generator fails or hangs."""
    login = target.login(cell.forced)
    shares = share_out(cell.clients, target.doors(cell.load.where, cell.forced))
    folder = Path(tempfile.mkdtemp(prefix="tengrid-bench-"))
    sysbench = target.tool == base.SYSBENCH
    try:
        commands = [
            _sysbench(cell.load, door, clients, login, seconds)
            if sysbench
            else _pgbench(cell.load, door, clients, login, seconds, folder / f"log{number}")
            for number, (door, clients) in enumerate(shares)
        ]
        with Sampler(target.pids(), seconds) as sampler:
            outputs = run_together(commands, login.password, seconds + GRACE_S)
        rate = steady(sampler.samples, login_s(outputs), seconds)
        if sysbench:
            return sysbench_result(outputs, rate)
        return pgbench_result(outputs, rate, _latencies_us(folder))
    finally:
        shutil.rmtree(folder)


class Sampler:
    """What processes have used, again and again while a load runs. A context manager."""

    def __init__(self, pids: Sequence[int], seconds: int) -> None:
        self.samples: list[tuple[float, Usage]] = []  # (seconds since the start, usage)
        self._pids = pids
        self._every_s = max(0.2, seconds / SAMPLES)
        self._began_s = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        self._take()
        while not self._over.wait(self._every_s):
            self._take()
        self._take()

    def _take(self) -> None:
        self.samples.append((time.monotonic() - self._began_s, processes.usage(self._pids)))


def steady(samples: Sequence[tuple[float, Usage]], login_s: float, seconds: int) -> Usage:
    """Per second, between the first and the last sample while all clients were at work.

    Of the whole time if there are no two such samples.
    """
    inside = [s for s in samples if login_s < s[0] <= login_s + seconds]
    (first_s, first), *_, (last_s, last) = inside if len(inside) > 1 else samples
    used, took_s = last - first, last_s - first_s
    return Usage(used.cpu_s / took_s, used.disk_bytes / took_s, used.network_bytes / took_s)


def login_s(outputs: Sequence[str]) -> float:
    """How long the slowest pgbench took to connect; sysbench does not say."""
    return max((float(ms) / 1000 for o in outputs for ms in _LOGIN.findall(o)), default=LOGIN_S)


def run_together(commands: Sequence[Sequence[str]], password: str, timeout_s: float) -> list[str]:
    """Programs side by side to their ends; their outputs. None is left, whatever happens.

    Raises RuntimeError if one fails or takes longer.
    """
    deadline_s = time.monotonic() + timeout_s
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, "PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
            )
        outputs = []
        for process in running:
            output = process.communicate(timeout=max(1.0, deadline_s - time.monotonic()))[0]
            outputs.append(output.decode(errors="replace"))
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{commands[0][0]} did not end within {timeout_s:.0f} s") from None
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    for process, text in zip(running, outputs, strict=True):
        if process.returncode:
            raise RuntimeError(f"{commands[0][0]}: {_last_lines(text)}")
    return outputs


def idle_cores(target: Target, seconds: float) -> float:
    """CPU seconds per second that the servers use without any client."""
    before_s, began_s = processes.cpu_s(target.pids()), time.monotonic()
    time.sleep(seconds)
    return (processes.cpu_s(target.pids()) - before_s) / (time.monotonic() - began_s)


def share_out(clients: int, doors: list[Door]) -> list[tuple[Door, int]]:
    """Clients per door, as even as can be; doors without a client are left out."""
    few, more = divmod(clients, len(doors))
    counts = [few + (number < more) for number in range(len(doors))]
    return [(door, count) for door, count in zip(doors, counts, strict=True) if count]


def pgbench_result(outputs: Sequence[str], rate: Usage, latencies_us: list[int]) -> Result:
    """From what all pgbench processes printed, what servers used a second, sorted latencies."""

    def total(pattern: re.Pattern[str]) -> float:
        return sum(float(match) for output in outputs for match in pattern.findall(output))

    tps = total(_TPS)
    return Result(
        tps=tps,
        quantiles_ms=quantiles_ms(latencies_us),
        failed=int(total(_FAILED)),
        **_each(rate, tps),
    )


def sysbench_result(outputs: Sequence[str], rate: Usage) -> Result:
    """From what one sysbench process printed, and what servers used a second.

    Raises RuntimeError if it printed something else.
    """
    (output,) = outputs
    figures, ignored = _SYSBENCH.search(output), _IGNORED.search(output)
    if figures is None:
        raise RuntimeError(f"sysbench printed no figures: {_last_lines(output)}")
    tps = float(figures[1])
    counts = [(float(ms), int(count)) for ms, count in _HISTOGRAM.findall(output)]
    return Result(
        tps=tps,
        quantiles_ms=quantiles_of_histogram(counts),
        failed=int(ignored[1]) if ignored else 0,
        **_each(rate, tps),
    )


def _each(rate: Usage, tps: float) -> dict[str, Any]:
    """Fields of Result; zeros if nothing was done."""
    count = tps or float("inf")
    return {
        "cpu_us": rate.cpu_s * 1e6 / count,
        "network_bytes": rate.network_bytes / count,
        "disk_bytes": rate.disk_bytes / count,
    }


def _pgbench(
    load: Load, door: Door, clients: int, login: Login, seconds: int, log: Path
) -> list[str]:
    rate = SAMPLED if clients >= SAMPLE_ALL_BELOW else 1.0
    command = ["pgbench", "-n", "-M", load.protocol, "-c", str(clients), "-j", "1"]
    command += ["-T", str(max(1, seconds)), "-h", door.host, "-p", str(door.port)]
    command += ["-U", login.user, "-l", f"--log-prefix={log}", f"--sampling-rate={rate}"]
    for name, weight in load.scripts:
        command += ["-f", f"{loads.HERE / 'pgbench' / name}.sql@{weight}"]
    for name, value in door.variables:
        command += ["-D", f"{name}={value}"]
    return [*command, login.database]


def _sysbench(load: Load, door: Door, clients: int, login: Login, seconds: int) -> list[str]:
    """One process with a thread per client."""
    ((name, _),) = load.scripts
    return [
        *("sysbench", str(loads.HERE / "sysbench" / f"{name}.lua"), "--db-driver=mysql"),
        *(f"--mysql-host={door.host}", f"--mysql-port={door.port}"),
        *(f"--mysql-user={login.user}", f"--mysql-password={login.password}"),
        *(f"--mysql-db={login.database}", f"--threads={clients}", f"--time={max(1, seconds)}"),
        *("--rand-type=uniform", "--histogram=on", "run"),
    ]


def _latencies_us(folder: Path) -> list[int]:
    """Sorted, of all processes. A line: client, number, microseconds, script, time."""
    found: list[int] = []
    for path in folder.glob("log*"):
        with path.open(encoding="ascii") as file:
            for line in file:
                word = line.split(None, 3)[2]
                if word.isdigit():  # else "failed"
                    found.append(int(word))
    return sorted(found)


def _last_lines(output: str) -> str:
    return "\n".join(output.strip().splitlines()[-6:])
