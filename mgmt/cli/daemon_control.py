"""Starting and stopping the daemon of an instance home on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from protocol import instance_file
from protocol.errors import ModelError, OperationError
from protocol.instance_file import InstanceSettings

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0  # a data instance hands leads over and closes its elements
POLL_S = 0.05  # processes of others cannot be awaited, only looked at
PID_FILE = "info/daemon.pid"
SUPERVISOR_PID_FILE = "info/supervisor.pid"
READY_FILE = "info/ready"


def start(home: Path) -> tuple[int, int]:
    """Start the supervisor, wait for the daemon; returns its pid and port.

    Raises ModelError if it runs already, OperationError if it does not come up.
    """
    settings = instance_file.load(home)
    running = read_pid(home, PID_FILE) or read_pid(home, SUPERVISOR_PID_FILE)
    if running:
        raise ModelError(
            f"the daemon of {settings.name} runs already (PID: {running})",
            hint="ttDaemonAdmin -restart stops and starts it.",
        )
    check_ports_free(settings)
    with (home / "diag" / "supervisor.out").open("ab") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "daemons.supervisor", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            start_new_session=True,  # it outlives the shell that ran ttDaemonAdmin
        )
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        pid = read_pid(home, PID_FILE)
        if pid and _is_ready(home, pid):
            return pid, settings.daemon_port
        if supervisor.poll() is not None:
            raise OperationError(
                f"the daemon of {settings.name} did not start: supervisor ended with code"
                f" {supervisor.returncode}",
                detail=_last_lines(home),
                hint=f"Its log is {home}/diag/ttmesg.log.",
            )
        time.sleep(POLL_S)
    raise OperationError(
        f"the daemon of {settings.name} did not answer within {START_TIMEOUT_S:.0f} s",
        detail=_last_lines(home),
        hint=f"Its log is {home}/diag/ttmesg.log; it may still come up (no membership server?).",
    )


def stop(home: Path, *, force: bool = False, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """Stop the daemon and its supervisor; False if neither ran.

    Raises OperationError if it does not end in time; with force it is killed then.
    """
    daemon = read_pid(home, PID_FILE)
    pids = [pid for pid in (read_pid(home, SUPERVISOR_PID_FILE), daemon) if pid]
    if not pids:
        return False
    _signal(pids[0], signal.SIGTERM)  # the supervisor stops its daemon and does not restart it
    if _ended(pids, timeout_s):
        return True
    if not force:
        raise OperationError(
            f"the daemon (PID: {pids[-1]}) has not ended within {timeout_s:.0f} s",
            hint="ttDaemonAdmin -stop -force kills it; elements then recover at the next start.",
        )
    for pid in pids:
        _signal(pid, signal.SIGKILL)
    return _ended(pids, STOP_TIMEOUT_S)


def read_pid(home: Path, file: str) -> int:
    """The pid in a file if that process lives and belongs to this home, else 0."""
    try:
        pid = int((home / file).read_text(encoding="ascii").split()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError, IndexError):
        return 0
    is_ours = str(home).encode() in command or b"tengrid" in command  # pids are reused
    return pid if is_ours and state != "Z" else 0


def check_ports_free(settings: InstanceSettings) -> None:
    """Raises ModelError naming a port that something else listens on."""
    wanted = [("daemonPort", settings.internal_address, settings.daemon_port)]
    if settings.kind == "mgmt":
        wanted.append(("mgmtPort", settings.internal_address, settings.mgmt_port))
    else:
        wanted.append(("csPort", settings.external_address, settings.cs_port))
    for option, address, port in wanted:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise ModelError(
                    f"{settings.name} cannot listen on {address}:{port}: {error.strerror}",
                    hint=f"Stop what uses the port, or choose another -{option}.",
                ) from error


def same_machine(address: str) -> bool:
    """Whether the address is one of this machine's own: something could listen on it here."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _is_ready(home: Path, pid: int) -> bool:
    """Whether the daemon says that it serves."""
    try:
        return (home / READY_FILE).read_text(encoding="ascii").split()[:1] == [str(pid)]
    except OSError:
        return False


def _signal(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass


def _ended(pids: list[int], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if not any(_alive(pid) for pid in pids):
            return True
        time.sleep(POLL_S)
    return False


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"  # an unreaped child of ours has ended


def _last_lines(home: Path) -> str:
    for name in ("daemon.out", "supervisor.out"):
        try:
            lines = (home / "diag" / name).read_text(errors="replace").splitlines()
        except OSError:
            continue
        if lines:
            return "\n".join(lines[-5:])
    return ""
