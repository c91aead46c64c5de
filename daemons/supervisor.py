"""The supervisor process of one instance: `python -m daemons.supervisor HOME`.

It starts the instance's daemon, restarts it with back-off when it crashes, and makes each exit it
saw known to the membership servers: that is proof of death and makes failover fast (design §3).
SIGTERM stops the daemon, then the supervisor. If the supervisor is killed, the kernel sends the
daemon SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
import uvloop

from daemons.config import client_files
from daemons.logs import set_up_logging
from daemons.runtime import (
    DAEMON_PID,
    EXIT_CONFIG,
    EXIT_FAILED,
    EXIT_HOME_LOCKED,
    EXIT_OK,
    INCARNATION_VARIABLE,
    LOG_LEVEL_VARIABLE,
    READY,
    STOP_SIGNALS,
    SUPERVISOR_PID,
    new_incarnation,
    set_title,
)
from membership.port import Membership
from membership.server.policy import End, RestartSettings
from membership.server.supervisor import ProcessKeeper
from protocol import instance_file
from protocol.clock import boottime_s
from protocol.errors import GridError, ParameterError
from protocol.instance_file import InstanceSettings

log = structlog.get_logger(__name__)

DAEMONS = {
    "data": "daemons.datad",
    "mgmt": "daemons.mgmtd",
    "membership": "daemons.membershipd",
}
STOP_TIMEOUT_S = 30.0  # SIGTERM to SIGKILL; more than any daemon's own drain limit
REPORT_AGAIN_S = 0.5
RESTART = RestartSettings(
    first_pause_s=0.2,
    healthy_after_s=3.0,  # it has joined its replica set long ago
    stop_timeout_s=STOP_TIMEOUT_S,
    final_codes=frozenset({EXIT_OK, EXIT_CONFIG}),
)


class DeathReporter:
    """Keeps a session with the membership servers open, to report a death within milliseconds."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._session: Membership | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def prepare(self) -> None:
        """Open the session in the background."""
        self._spawn(self._open_quietly())

    def report(self, incarnation: str) -> None:
        """Report a death in the background, for as long as it takes."""
        self._spawn(self._report(incarnation, boottime_s()))

    async def close(self, timeout_s: float) -> None:
        """Finish reports that are under way, then end the session."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            await session.stop()

    def _spawn(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, incarnation: str, seen_s: float) -> None:
        while True:
            try:
                session = await self._open()
                if session is None:
                    return  # belongs to no grid yet: nobody wants to know
                await session.report_death(incarnation)
                elapsed_ms = round((boottime_s() - seen_s) * 1000, 1)
                log.info("death.reported", incarnation=incarnation, elapsed_ms=elapsed_ms)
                return
            except GridError as problem:
                log.warning("death.not_reported", incarnation=incarnation, problem=str(problem))
                await asyncio.sleep(REPORT_AGAIN_S)

    async def _open_quietly(self) -> None:
        try:
            await self._open()
        except GridError as problem:
            log.warning("membership.not_opened", problem=str(problem))

    async def _open(self) -> Membership | None:
        """The session, opened if it is not; None if the instance belongs to no grid (yet)."""
        async with self._opening:
            if self._session is not None:
                return self._session
            settings = instance_file.load(self._home)
            if not settings.membership.servers or not settings.grid:
                return None
            from membership.zookeeper import ZooKeeperMembership  # a membership server needs none

            session = ZooKeeperMembership(
                ",".join(settings.membership.servers),
                settings.grid,
                settings.membership_logins(),
                None,
                tls=client_files(settings),
                session_timeout_s=settings.membership.session_timeout_s,
                watch=False,
                source=settings.internal_address,
            )
            await session.start()
            self._session = session
            return session


class InstanceSupervisor:
    """One instance: its daemon's process and its deaths."""

    def __init__(self, home: Path, settings: InstanceSettings) -> None:
        self._home = home
        self._settings = settings
        self._incarnation = ""
        self._reporter = DeathReporter(home)
        self._reports = settings.kind != "membership"
        self._keeper = ProcessKeeper(
            settings.kind,
            self._command,
            RESTART,
            output=home / "diag" / "daemon.out",
            on_exit=self._exited,
            on_spawn=self._spawned,
        )

    async def run(self) -> End:
        """Until SIGTERM, or until the daemon ended for good."""
        loop = asyncio.get_running_loop()
        for signum in STOP_SIGNALS:
            loop.add_signal_handler(signum, self._keeper.stop)
        try:
            return await self._keeper.run()
        finally:
            await self._reporter.close(timeout_s=3.0)
            for signum in STOP_SIGNALS:
                loop.remove_signal_handler(signum)

    def _command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        self._incarnation = new_incarnation(self._settings.name)
        module = DAEMONS[self._settings.kind]
        environment = {**os.environ, INCARNATION_VARIABLE: self._incarnation}
        return [sys.executable, "-m", module, str(self._home)], environment

    def _spawned(self, _pid: int) -> None:
        if self._reports:
            self._reporter.prepare()

    def _exited(self, _code: int) -> None:
        if self._reports:
            self._reporter.report(self._incarnation)
        for leftover in (DAEMON_PID, READY):
            (self._home / leftover).unlink(missing_ok=True)


def supervise(home: Path) -> int:
    """Supervise the instance of a home; returns the exit code."""
    try:
        settings = instance_file.load(home)
        if settings.kind not in DAEMONS:
            raise ParameterError(f"instance.toml: kind {settings.kind!r} is none of {set(DAEMONS)}")
    except ParameterError as problem:
        print(f"supervisor: {problem}", file=sys.stderr)
        return EXIT_CONFIG
    other = _other_supervisor(home)
    if other:
        print(f"supervisor: {home} has one already (PID: {other})", file=sys.stderr)
        return EXIT_HOME_LOCKED
    set_up_logging(home, level=os.environ.get(LOG_LEVEL_VARIABLE, "info"))
    pid_file = home / SUPERVISOR_PID
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(f"{os.getpid()}\n")
    set_title("tengrid-supervisor", settings.name, str(home))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            end = runner.run(InstanceSupervisor(home, settings).run())
    except Exception:
        log.exception("supervisor.failed")
        return EXIT_FAILED
    finally:
        with contextlib.suppress(OSError):
            pid_file.unlink()
    # A stop that had to kill is still what was asked for; a final exit code is handed on.
    return EXIT_OK if end.reason == "stopped" else end.code


def _other_supervisor(home: Path) -> int:
    try:
        pid = int((home / SUPERVISOR_PID).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if pid != os.getpid() and str(home).encode() in command else 0


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:
        print("usage: python -m daemons.supervisor HOME", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it outlives the terminal it was started from
    sys.exit(supervise(Path(sys.argv[1]).resolve()))


if __name__ == "__main__":
    main()
