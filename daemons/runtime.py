"""How every daemon lives: lock the home, log, run until signalled, drain, exit with a meaning.

Exit codes are contract with daemons/supervisor.py: EXIT_OK and EXIT_CONFIG are not restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import os
import resource
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
import uvloop

from daemons.logs import set_up_logging
from protocol import instance_file
from protocol.errors import GridError, ParameterError

log = structlog.get_logger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_DRAIN_TIMEOUT = 70
EXIT_HOME_LOCKED = 75
EXIT_CONFIG = 78

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
START_SIGNAL_GRACE_S = 2.0  # for a start() that is cancelled by a signal
INCARNATIONS_KEPT = 200
INCARNATION_VARIABLE = "TENGRID_INCARNATION"
LOG_LEVEL_VARIABLE = "TENGRID_LOG_LEVEL"

DAEMON_PID = "info/daemon.pid"
SUPERVISOR_PID = "info/supervisor.pid"
READY = "info/ready"
LOCK = "info/lock"
INCARNATIONS = "info/incarnations"


class ConfigError(Exception):
    """Settings with which the daemon can never run; it is not restarted."""


class HomeLockedError(Exception):
    """Another process uses this instance home."""


class Service(Protocol):
    """What a daemon does."""

    async def start(self) -> None:
        """Return when it serves. Cancelled if the daemon is told to stop meanwhile."""
        ...

    async def run(self) -> None:
        """Return when drained; an exception ends the daemon."""
        ...

    async def drain(self) -> None:
        """Refuse new work, finish the old, make run() return. Also called after a failed start."""
        ...


@dataclass(frozen=True, slots=True)
class Life:
    """One life of one instance home: what a Service is made from."""

    home: Path
    name: str  # full instance name
    incarnation: str
    previous_incarnations: frozenset[str]  # all dead: who has the home's lock knows


MakeService = Callable[[Life], Service]


def run_daemon(
    title: str,
    home: Path,
    make: MakeService,
    *,
    drain_timeout_s: float = 10.0,
    console: bool | None = None,
) -> int:
    """The whole life of a daemon; returns the exit code. Runs its own event loop.

    console: log to standard error too; by default only on a terminal.
    """
    home = home.resolve()
    with contextlib.ExitStack() as stack:
        try:
            settings = instance_file.load(home)
            stack.enter_context(_locked(home))
        except ParameterError as problem:
            print(f"{title}: {problem}", file=sys.stderr)
            return EXIT_CONFIG
        except HomeLockedError as problem:
            print(f"{title}: {problem}", file=sys.stderr)
            return EXIT_HOME_LOCKED
        show = sys.stderr.isatty() if console is None else console
        set_up_logging(home, console=show, level=os.environ.get(LOG_LEVEL_VARIABLE, "info"))
        set_title(title, settings.name, str(home))
        raise_file_limit()
        life = _begin_life(home, settings.name)
        stack.enter_context(_noted(home / DAEMON_PID, f"{os.getpid()}\n"))
        (home / READY).unlink(missing_ok=True)
        log.info("daemon.starting", title=title, name=life.name, incarnation=life.incarnation)
        code = _run_loop(life, make, drain_timeout_s)
        log.info("daemon.ended", title=title, code=code)
        return code


def _run_loop(life: Life, make: MakeService, drain_timeout_s: float) -> int:
    try:
        service = make(life)
    except (ConfigError, ParameterError) as problem:
        log.error("daemon.bad_settings", problem=str(problem))
        print(f"{life.name}: {problem}", file=sys.stderr)
        return EXIT_CONFIG
    except Exception:
        log.exception("daemon.failed")
        return EXIT_FAILED
    # What start-up made stays for ever: keep the collector from walking it again and again.
    gc.collect()
    gc.freeze()
    ready = f"{os.getpid()} {life.incarnation}\n"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(
            run_until_signalled(
                service, drain_timeout_s=drain_timeout_s, ready_file=life.home / READY, ready=ready
            )
        )


async def run_until_signalled(
    service: Service, *, drain_timeout_s: float, ready_file: Path | None = None, ready: str = ""
) -> int:
    """Start and run `service` until SIGTERM or SIGINT, drain it, return the exit code."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signum in STOP_SIGNALS:
        loop.add_signal_handler(signum, stop.set)
    stopping = asyncio.create_task(stop.wait(), name="await-signal")
    try:
        code = await _start(service, stopping)
        if code is None:
            with _noted(ready_file, ready):
                _notify_service_manager(b"READY=1")
                log.info("daemon.ready")
                serving = asyncio.create_task(service.run(), name="serve")
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():  # nobody asked it to stop
                error = serving.exception()
                log.error("daemon.failed", exc_info=error)
                await _drain(service, None, drain_timeout_s)
                return EXIT_FAILED
            _notify_service_manager(b"STOPPING=1")
            code = await _drain(service, serving, drain_timeout_s)
        else:
            await _drain(service, None, drain_timeout_s)
        return code
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        for signum in STOP_SIGNALS:
            loop.remove_signal_handler(signum)


async def _start(service: Service, stopping: asyncio.Task[bool]) -> int | None:
    """None: it serves; else the exit code."""
    starting = asyncio.create_task(service.start(), name="start")
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        log.info("daemon.stopped_while_starting")
        starting.cancel()
        await asyncio.wait({starting}, timeout=START_SIGNAL_GRACE_S)
        return EXIT_OK
    try:
        starting.result()
    except (ConfigError, ParameterError) as problem:
        log.error("daemon.bad_settings", problem=str(problem))
        print(problem, file=sys.stderr)
        return EXIT_CONFIG
    except GridError as problem:
        log.error("daemon.not_started", code=problem.code, problem=problem.message)
        print(problem.message, file=sys.stderr)
        return EXIT_FAILED
    except Exception:
        log.exception("daemon.not_started")
        return EXIT_FAILED
    return None


async def _drain(service: Service, serving: asyncio.Task[None] | None, timeout_s: float) -> int:
    for signum in STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(signum)  # a second signal kills at once
    log.info("daemon.draining", drain_timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await service.drain()
            if serving is not None:
                await serving
    except TimeoutError:
        log.error("daemon.drain_timed_out", drain_timeout_s=timeout_s)
        if serving is not None:
            serving.cancel()
        return EXIT_DRAIN_TIMEOUT
    except Exception:
        log.exception("daemon.drain_failed")
        return EXIT_FAILED
    return EXIT_OK


# -- the process and its home ---------------------------------------------------------------------
def set_title(title: str, name: str, home: str) -> None:
    """Show the process as `title name home` in ps and in /proc/<pid>/cmdline.

    The memory of the original arguments is overwritten, so what does not fit is cut off. Linux
    only; elsewhere nothing happens.
    """
    libc = ctypes.CDLL(None)
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        begin, end = int(fields[45]), int(fields[46])  # arg_start, arg_end: fields 48 and 49
        size = end - begin
        words = b"\0".join(word.encode() for word in (title, name, home))[: size - 1]
        if begin and size > 1:
            ctypes.memmove(begin, words + b"\0" * (size - len(words)), size)
        libc.prctl(15, title.encode()[:15], 0, 0, 0)  # PR_SET_NAME


def raise_file_limit() -> None:
    """As many open files as the system lets us have without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def new_incarnation(name: str) -> str:
    """A name for one start of one process, unique for ever."""
    return f"{name}-{secrets.token_hex(8)}"


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the home's lock; the kernel lets go of it when the process ends, however it ends."""
    path = home / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeLockedError(f"{home} is in use by another process") from None
        yield
    finally:
        os.close(descriptor)


def _begin_life(home: Path, name: str) -> Life:
    """This life's incarnation, noted on disk before anybody can hear of it."""
    path = home / INCARNATIONS
    try:
        known = path.read_text().split()
    except FileNotFoundError:
        known = []
    incarnation = os.environ.get(INCARNATION_VARIABLE) or new_incarnation(name)
    if incarnation in known:  # never live twice, whatever the environment says
        incarnation = new_incarnation(name)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w") as file:
        file.write("\n".join([*known[-INCARNATIONS_KEPT:], incarnation]) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return Life(home, name, incarnation, frozenset(known))


@contextlib.contextmanager
def _noted(path: Path | None, text: str) -> Iterator[None]:
    """A file that is there while something lasts."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text() == text:
                path.unlink()


def _notify_service_manager(message: bytes) -> None:
    """Tell systemd, if it started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        notify.send(message)
