"""Processes: start, stop by pid, and how much CPU a tree of them has used."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 20.0


def cpu_s(roots: Iterable[int]) -> float:
    """CPU seconds, user and system, of these processes and all below them.

    What has ended counts too, since a parent that waited for its child has the child's time.
    """
    children: dict[int, list[int]] = defaultdict(list)
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(entry.name))
            used[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS_PER_S
    total = 0.0
    todo = list(roots)
    while todo:
        pid = todo.pop()
        total += used.get(pid, 0.0)
        todo += children[pid]
    return total


def run(command: Sequence[str], log: Path | None = None) -> str:
    """Run a program to its end; its output. Raises RuntimeError with the output if it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{(done.stdout + done.stderr).strip()}")
    return done.stdout


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> None:
    """Ask a process to end, and end it if it does not in time."""
    if process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(what: str, condition: object, timeout_s: float = 30.0) -> None:
    """Poll a callable until it is true. Raises RuntimeError when it takes too long."""
    assert callable(condition)
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)
