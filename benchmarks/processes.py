"""Processes: start, stop by pid, and how much CPU and memory a tree of them uses."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 20.0
RUN_S = 600.0  # at most, of a program that is run to its end
TERMINATE = signal.SIGTERM
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"))


def cpu_s(roots: Iterable[int]) -> float:
    """CPU seconds, user and system, of these processes and all below them.

    What has ended counts too, since a parent that waited for its child has the child's time.
    """
    return sum(sum(map(int, fields[11:15])) for fields in _stats(roots)) / TICKS_PER_S


def memory_bytes(roots: Iterable[int]) -> int:
    """Proportional set size of these processes and all below them: pages shared count once."""
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            line = next(line for line in text.splitlines() if line.startswith("Pss:"))
            total += int(line.split()[1]) * 1024
    return total


def written_bytes(roots: Iterable[int]) -> int:
    """What these processes and all below them had written to disks; not of those that ended."""
    total = 0
    for pid in tree(roots):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
            total += int(next(x for x in text.splitlines() if x.startswith("write_bytes:"))[12:])
    return total


def loopback_bytes() -> int:
    """What has gone over loopback since the machine was started."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, fields = line.partition(":")
        if name.strip() == "lo":
            return int(fields.split()[0])
    return 0


@dataclass(frozen=True)
class Usage:
    """What a tree of processes used up to a moment, between two, or per second."""

    cpu_s: float
    disk_bytes: float
    network_bytes: float

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_s - other.cpu_s,
            self.disk_bytes - other.disk_bytes,
            self.network_bytes - other.network_bytes,
        )


def usage(roots: Iterable[int]) -> Usage:
    """Up to now."""
    pids = list(roots)
    return Usage(cpu_s(pids), written_bytes(pids), loopback_bytes())


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all below them."""
    return [pid for pid, _ in _walk(roots)]


def _stats(roots: Iterable[int]) -> Iterator[list[str]]:
    return (fields for _, fields in _walk(roots))


def _walk(roots: Iterable[int]) -> Iterator[tuple[int, list[str]]]:
    """(pid, fields of /proc/<pid>/stat behind the name)."""
    children: dict[int, list[int]] = defaultdict(list)
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(entry.name))
            found[int(entry.name)] = fields
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid in found:
            yield pid, found[pid]
        todo += children[pid]


def run(command: Sequence[str], log: Path | None = None, *, folder: Path | None = None) -> str:
    """Run a program to its end; its output. Raises RuntimeError with the output if it fails, or if
    it has not ended after RUN_S."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PATH": PATH},
            timeout=RUN_S,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} did not end within {RUN_S:.0f} s") from None
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{(done.stdout + done.stderr).strip()}")
    return done.stdout


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A server with its output in a file. Ctrl-C at the terminal does not reach it."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "PATH": PATH},
            start_new_session=True,
        )


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


def which(name: str) -> str | None:
    """Where a program is; servers too."""
    return shutil.which(name, path=PATH)


def as_user(user: str, command: Sequence[str]) -> list[str]:
    """Servers that refuse to run as root run as their own user then, who cannot read our home."""
    if os.getuid() != 0:
        return list(command)
    change = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return [*change, "env", f"HOME={pwd.getpwnam(user).pw_dir}", *command]


def wait_until(what: str, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Poll until it is true. Raises RuntimeError when it takes too long."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def limited(seconds: float, what: str) -> Iterator[None]:
    """Raises RuntimeError in the main thread, where it has to be used, if the block takes longer:
    nothing that hangs may hold up all that is to be measured behind it."""

    def over(number: int, frame: object) -> None:
        raise RuntimeError(f"{what}: not within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free_base(base: int, count: int, step: int, tries: int = 20) -> int:
    """The first of base, base + step, ... from which on `count` ports of loopback are free.

    Servers of a run that was killed may still listen at others. Raises RuntimeError.
    """
    for first in range(base, base + step * tries, step):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} free ports from {base} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
