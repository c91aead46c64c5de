"""The supervisor process of an instance, with a small daemon and a real ZooKeeper server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from daemons import runtime
from membership.port import ClusterView
from membership.server.child import die_with_parent
from membership.zookeeper import ZooKeeperMembership
from protocol.clock import boottime_s
from protocol.instance_file import InstanceSettings, MembershipSettings, render
from protocol.logins import own_login
from tests.support.zookeeper import ZooKeeperProcess

NAME = "host1.instance1"
ROOT = Path(__file__).parents[3]
# The supervisor as it is, but with our daemon in the place of the data instance's.
RUN = (
    "import sys; from daemons import supervisor; "
    "supervisor.DAEMONS['data'] = 'tests.support.fake_daemon'; supervisor.main()"
)


class Instance:
    """An instance home and its supervisor process."""

    def __init__(self, home: Path, servers: tuple[str, ...] = (), grid: str = "") -> None:
        self.home = home
        for folder in ("conf", "info", "diag"):
            (home / folder).mkdir(parents=True)
        settings = InstanceSettings(
            name=NAME,
            kind="data",
            home=str(home),
            grid=grid,
            membership=MembershipSettings(servers=servers, session_timeout_s=4.0),
        )
        (home / "conf" / "instance.toml").write_text(render(settings))
        (home / "conf" / "grid.secret").write_text("secret\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with (self.home / "diag" / "supervisor.out").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(self.home)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),
            )
        return self._process

    async def ready(self, not_pid: int = 0) -> int:
        """The pid of a daemon that is ready and is not `not_pid`."""
        path = self.home / runtime.READY
        await until(lambda: path.exists() and int(path.read_text().split()[0]) != not_pid)
        return int(path.read_text().split()[0])

    async def ended(self) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, 20)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something outside this process; it cannot call us."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)  # another process: only to be looked at


def title_of(pid: int) -> list[bytes]:
    """The words of a process as ps shows them."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Instance]:
    """An instance that belongs to no grid."""
    instance = Instance(tmp_path / "home")
    yield instance
    instance.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperProcess]:
    process = ZooKeeperProcess(tmp_path_factory.mktemp("zookeeper"))
    process.start()
    yield process
    process.kill()


@pytest.fixture
async def watcher(server: ZooKeeperProcess) -> AsyncIterator[ZooKeeperMembership]:
    await server.ready()
    password = own_login("secret").password
    made = ZooKeeperMembership(server.hosts, "grid1", password, None)
    await made.start()
    yield made
    await made.stop()


async def test_a_killed_daemon_is_restarted_and_stops_when_asked(lone: Instance) -> None:
    lone.start()
    first = await lone.ready()
    assert title_of(first) == [b"tengrid-faked", NAME.encode(), str(lone.home).encode()]
    assert int((lone.home / runtime.DAEMON_PID).read_text()) == first
    os.kill(first, signal.SIGKILL)
    second = await lone.ready(not_pid=first)
    lives = (lone.home / runtime.INCARNATIONS).read_text().split()
    assert len(set(lives)) == 2, "each life has a name of its own"
    lone.close()
    assert await lone.ended() == runtime.EXIT_OK
    assert not alive(second)
    for left in (runtime.READY, runtime.DAEMON_PID, runtime.SUPERVISOR_PID):
        assert not (lone.home / left).exists()


async def test_a_killed_supervisor_takes_its_daemon_with_it(lone: Instance) -> None:
    supervisor = lone.start()
    daemon = await lone.ready()
    supervisor.kill()
    await until(lambda: not alive(daemon))
    assert not (lone.home / runtime.READY).exists(), "the daemon ended in good order"
    lone.start()
    await lone.ready()


async def test_settings_that_cannot_be_are_not_tried_again(lone: Instance) -> None:
    (lone.home / "conf" / "exit-with").write_text(str(runtime.EXIT_CONFIG))
    lone.start()
    assert await lone.ended() == runtime.EXIT_CONFIG
    assert len((lone.home / runtime.INCARNATIONS).read_text().split()) == 1


async def test_a_daemon_that_does_not_drain_is_cut_off(lone: Instance) -> None:
    (lone.home / "conf" / "ignore-term").touch()
    lone.start()
    await lone.ready()
    began_s = boottime_s()
    lone.close()
    assert await lone.ended() == runtime.EXIT_OK
    assert boottime_s() - began_s < 10


async def test_a_home_is_used_by_one_supervisor_and_one_daemon(lone: Instance) -> None:
    lone.start()
    await lone.ready()
    second = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, str(lone.home), cwd=ROOT, stderr=subprocess.PIPE
    )
    _, said = await second.communicate()
    assert second.returncode == runtime.EXIT_HOME_LOCKED
    assert b"has one already" in said
    daemon = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.fake_daemon",
        str(lone.home),
        cwd=ROOT,
        stderr=subprocess.PIPE,
    )
    _, said = await daemon.communicate()
    assert daemon.returncode == runtime.EXIT_HOME_LOCKED
    assert b"in use" in said


async def test_a_death_is_known_long_before_the_session_times_out(
    server: ZooKeeperProcess, watcher: ZooKeeperMembership, tmp_path: Path
) -> None:
    instance = Instance(tmp_path / "home", (server.hosts,), "grid1")
    gone = asyncio.Event()
    try:
        instance.start()
        daemon = await instance.ready()
        await until(lambda: NAME in watcher.view().instances)
        incarnation = watcher.view().instances[NAME].incarnation
        # Daemon and supervisor log into one file: both have a session now.
        await until(lambda: _log(instance).count('"membership.linked"') >= 2)

        def look(view: ClusterView) -> None:
            if not view.is_alive(incarnation):
                gone.set()

        watcher.subscribe(look)
        killed_s = boottime_s()
        os.kill(daemon, signal.SIGKILL)
        async with asyncio.timeout(10):
            await gone.wait()
        elapsed_s = boottime_s() - killed_s
        print(f"death known after {elapsed_s * 1000:.0f} ms")
        assert incarnation in watcher.view().dead
        assert elapsed_s < 2.0, "the session would have lasted 4 s"
        await instance.ready(not_pid=daemon)
        await until(lambda: NAME in watcher.view().instances)
        assert watcher.view().instances[NAME].incarnation != incarnation
    finally:
        instance.close()
    await until(lambda: NAME not in watcher.view().instances)


def _log(instance: Instance) -> str:
    return (instance.home / "diag" / "ttmesg.log").read_text()
