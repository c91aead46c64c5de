"""One measurement: pgbench processes against the doors of a target."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import loads, processes
from benchmarks.loads import Cell, Load
from benchmarks.targets import Door, Login, Target

SAMPLED = 0.2  # of the transactions are written to the latency log
_TPS = re.compile(r"^tps = ([0-9.]+)", re.M)
_DONE = re.compile(r"transactions actually processed: (\d+)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")


@dataclass(frozen=True)
class Result:
    """Of one run."""

    tps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us: float  # CPU microseconds of all server processes per transaction
    failed: int


def measure(target: Target, cell: Cell, seconds: float) -> Result:
    """Run a cell once. Raises RuntimeError if pgbench fails."""
    login = target.login(cell.forced)
    doors = target.doors(cell.load.where, cell.forced)
    shares = share_out(cell.clients, doors)
    folder = Path(tempfile.mkdtemp(prefix="tengrid-bench-"))
    try:
        before_s = processes.cpu_s(target.pids())
        running = [
            _pgbench(cell.load, door, clients, login, seconds, folder / f"log{number}")
            for number, (door, clients) in enumerate(shares)
        ]
        outputs = [process.communicate()[0].decode() for process in running]
        used_s = processes.cpu_s(target.pids()) - before_s
        for process, output in zip(running, outputs, strict=True):
            if process.returncode:
                raise RuntimeError(f"pgbench at {target.name}, {cell.load.title}:\n{output}")
        return _result(outputs, used_s, _latencies_us(folder))
    finally:
        shutil.rmtree(folder)


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


def _pgbench(
    load: Load, door: Door, clients: int, login: Login, seconds: float, log: Path
) -> subprocess.Popen[bytes]:
    command = ["pgbench", "-n", "-M", load.protocol, "-c", str(clients), "-j", "1"]
    command += ["-T", str(max(1, round(seconds))), "-h", door.host, "-p", str(door.port)]
    command += ["-U", login.user, "-l", f"--log-prefix={log}", f"--sampling-rate={SAMPLED}"]
    for name, weight in load.scripts:
        command += ["-f", f"{loads.HERE / 'pgbench' / name}.sql@{weight}"]
    for name, value in door.variables:
        command += ["-D", f"{name}={value}"]
    return subprocess.Popen(
        [*command, login.database],
        env={**os.environ, "PGPASSWORD": login.password, "PGCONNECT_TIMEOUT": "10"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _latencies_us(folder: Path) -> list[int]:
    """Sorted, of all processes. A line: client, number, microseconds, script, time."""
    found: list[int] = []
    for path in folder.glob("log*"):
        with path.open(encoding="ascii") as file:
            found += [int(line.split(None, 3)[2]) for line in file]
    return sorted(found)


def _result(outputs: list[str], used_s: float, latencies_us: list[int]) -> Result:
    def total(pattern: re.Pattern[str]) -> float:
        return sum(float(match) for output in outputs for match in pattern.findall(output))

    done = total(_DONE)

    def percentile_ms(share: float) -> float:
        if not latencies_us:
            return 0.0
        return latencies_us[min(len(latencies_us) - 1, int(share * len(latencies_us)))] / 1000

    return Result(
        tps=total(_TPS),
        p50_ms=percentile_ms(0.5),
        p95_ms=percentile_ms(0.95),
        p99_ms=percentile_ms(0.99),
        cpu_us=used_s / done * 1e6 if done else 0.0,
        failed=int(total(_FAILED)),
    )
