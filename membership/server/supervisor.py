"""Spawns a process, feeds policy.py, carries out its actions; and the ZooKeeper server so kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from membership.config import MembershipServerConfig
from membership.server.child import die_with_parent
from membership.server.policy import (
    CancelTimer,
    End,
    Event,
    Exited,
    Hung,
    Kill,
    Phase,
    RestartPolicy,
    RestartSettings,
    Spawn,
    StartAsked,
    StartTimer,
    StopAsked,
    Terminate,
    TimerFired,
)
from membership.server.probe import DOWN, ServerStatus, is_ok, probe
from membership.server.zoo_cfg import java_command, my_id, zoo_cfg
from membership.tls import HOME_FOLDER, of_server
from protocol.clock import boottime_s

log = structlog.get_logger(__name__)

LOG_BYTES_MAX = 10 * 1024 * 1024  # an output file larger than this is put aside at the next start
PROBE_EVERY_S = 1.0
HUNG_AFTER_S = 30.0  # without an answer to `ruok`: longer than any start or full collection


class ProcessKeeper:
    """Keeps one process running until asked to stop.

    command: what to run, asked anew for each start (its argv and its environment). on_exit: told
    after each exit, before the restart is due. The process dies with this one.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], tuple[Sequence[str], Mapping[str, str]]],
        settings: RestartSettings,
        *,
        output: Path,
        on_exit: Callable[[int], None] | None = None,
        on_spawn: Callable[[int], None] | None = None,
        death_signal: int = signal.SIGTERM,
    ) -> None:
        self._name = name
        self._command = command
        self._policy = RestartPolicy(settings)
        self._output = output
        self._on_exit = on_exit
        self._on_spawn = on_spawn
        self._death_signal = death_signal
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[End] | None = None
        self._spawning: asyncio.Task[None] | None = None

    @property
    def phase(self) -> Phase:
        """Where the process stands."""
        return self._policy.phase

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return self._policy.restarts

    @property
    def pid(self) -> int:
        """Of the running process; 0: none runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else 0

    async def run(self) -> End:
        """Start and keep it; returns when it ended for good. Cancelling kills it at once."""
        assert self._ended is None
        self._ended = asyncio.get_running_loop().create_future()
        self._feed(StartAsked())
        try:
            return await self._ended
        finally:
            await self._clean_up()

    def stop(self) -> None:
        """Ask for an orderly end; run() returns when it is done."""
        self._feed(StopAsked())

    def hung(self) -> None:
        """The process does not answer: kill it, the policy starts it again."""
        self._feed(Hung())

    def _feed(self, event: Event) -> None:
        for action in self._policy.handle(event, boottime_s()):
            match action:
                case Spawn():
                    self._spawning = asyncio.create_task(self._spawn(), name=f"spawn-{self._name}")
                case StartTimer(seconds):
                    self._cancel_timer()
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(seconds, self._feed, TimerFired())
                case CancelTimer():
                    self._cancel_timer()
                case Terminate():
                    self._signal(signal.SIGTERM)
                case Kill():
                    self._signal(signal.SIGKILL)
                case End() as end:
                    log.info("process.ended", process=self._name, code=end.code, reason=end.reason)
                    if self._ended is not None and not self._ended.done():
                        self._ended.set_result(end)

    async def _spawn(self) -> None:
        argv, environment = self._command()
        _put_aside(self._output)
        try:
            with self._output.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    preexec_fn=die_with_parent(self._death_signal),
                    start_new_session=True,
                )
        except (OSError, RuntimeError) as problem:
            log.error("process.not_started", process=self._name, problem=str(problem))
            self._feed(Exited(127))
            return
        log.info("process.started", process=self._name, pid=self._process.pid)
        if self._on_spawn is not None:
            self._on_spawn(self._process.pid)
        self._waiting = asyncio.create_task(
            self._wait(self._process), name=f"wait-for-{self._name}"
        )
        if self._policy.phase is Phase.STOPPING:  # asked to stop while it was being started
            self._signal(signal.SIGTERM)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        level = log.info if self._policy.phase is Phase.STOPPING else log.error
        level("process.exited", process=self._name, pid=process.pid, code=code)
        if self._on_exit is not None:
            self._on_exit(code)
        self._feed(Exited(code))

    def _signal(self, signum: int) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _clean_up(self) -> None:
        self._cancel_timer()
        if self._spawning is not None:
            await asyncio.gather(self._spawning, return_exceptions=True)
        self._signal(signal.SIGKILL)
        if self._waiting is not None:
            await asyncio.gather(self._waiting, return_exceptions=True)


class ZooKeeperServer:
    """One ZooKeeper server: its files, its JVM, its health."""

    def __init__(
        self, config: MembershipServerConfig, home: Path, environment: Mapping[str, str]
    ) -> None:
        self._config = config
        self._home = home
        self._environment = environment
        self._tls = of_server(home).context() if config.tls else None
        self._cfg_file = home / "conf" / "zoo.cfg"
        self._data_dir = home / "data"
        self.status: ServerStatus = DOWN
        self._answered_s = 0.0
        self._spawned_s = 0.0
        # Restarted for ever: a server that is down is what its ensemble can stand for a while,
        # and an operator sees the crashes in the log.
        self._keeper = ProcessKeeper(
            "zookeeper",
            lambda: (java_command(config, self._cfg_file, environment), environment),
            RestartSettings(stop_timeout_s=config.stop_timeout_s),
            output=home / "diag" / "zookeeper.log",
            on_spawn=self._spawned,
            death_signal=signal.SIGKILL,  # a JVM takes its time for SIGTERM; data is safe anyway
        )

    @property
    def pid(self) -> int:
        """Of the JVM; 0: it does not run."""
        return self._keeper.pid

    def write_files(self) -> None:
        """Write zoo.cfg and myid."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._cfg_file.parent.mkdir(parents=True, exist_ok=True)
        (self._home / "diag").mkdir(parents=True, exist_ok=True)
        self._cfg_file.write_text(zoo_cfg(self._config, self._data_dir, self._home / HOME_FOLDER))
        (self._data_dir / "myid").write_text(my_id(self._config))

    async def run(self) -> End:
        """Keep the server running until stop(); returns how it ended."""
        self.write_files()
        probing = asyncio.create_task(self._probe_for_ever(), name="probe-zookeeper")
        try:
            return await self._keeper.run()
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    def stop(self) -> None:
        """Ask for an orderly end."""
        self._keeper.stop()

    async def answers(self) -> None:
        """Return when the process answers `ruok` (a quorum may need other servers)."""
        own = self._config.own
        while not await is_ok(own.address, own.client_port, tls=self._tls):
            await asyncio.sleep(0.05)

    def _spawned(self, pid: int) -> None:
        self._spawned_s = boottime_s()

    async def _probe_for_ever(self) -> None:
        own = self._config.own
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            before = self.status
            self.status = await probe(own.address, own.client_port, tls=self._tls)
            if self.status.role != before.role:
                log.info("zookeeper.role", role=self.status.role, before=before.role)
            if self.status is not DOWN:
                self._answered_s = boottime_s()
            elif self.pid and await self._is_silent_too_long():
                log.error("zookeeper.hung", pid=self.pid, silent_s=HUNG_AFTER_S)
                self._keeper.hung()

    async def _is_silent_too_long(self) -> bool:
        own = self._config.own
        if await is_ok(own.address, own.client_port, tls=self._tls):
            self._answered_s = boottime_s()
        return boottime_s() - max(self._answered_s, self._spawned_s) > HUNG_AFTER_S


def _put_aside(output: Path) -> None:
    with contextlib.suppress(OSError):
        if output.stat().st_size > LOG_BYTES_MAX:
            output.replace(output.with_name(output.name + ".1"))
