"""Three membership servers as users run them: ttMembership, real processes, their failures."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from membership.port import InstanceInfo
from membership.zookeeper import ZooKeeperMembership
from protocol.clock import boottime_s
from protocol.errors import MembershipLostError
from protocol.ids import InstanceName
from tests.support.zookeeper import free_ports

COMMAND = [sys.executable, "-m", "mgmt.cli.membership"]


class Ensemble:
    """Three servers in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(9)
        groups = [self.ports[n : n + 3] for n in (0, 3, 6)]
        self.servers = ",".join(
            "127.0.0.1!" + "!".join(str(port) for port in group) for group in groups
        )
        self.hosts = ",".join(f"127.0.0.1:{group[0]}" for group in groups)
        self.client_ports = [group[0] for group in groups]
        self.homes = [folder / f"membership{n}" for n in (1, 2, 3)]

    def run(self, *words: object, code: int | None = 0) -> str:
        """Run ttMembership; its output. Fails on another exit code (None: any will do)."""
        done = subprocess.run(
            [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=50, check=False
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def pid(self, number: int, file: str) -> int:
        """From a pid file of server 1, 2 or 3."""
        return int((self.homes[number - 1] / "info" / file).read_text())

    def jvm(self, number: int) -> int:
        """The pid of a server's Java process; 0: there is none."""
        wanted = str(self.homes[number - 1] / "conf" / "zoo.cfg")
        for entry in os.listdir("/proc"):
            if entry.isdigit() and wanted in _command_line(int(entry)):
                return int(entry)
        return 0

    def serving(self, *numbers: int) -> Callable[[], bool]:
        """A condition: these servers all answer clients."""
        ports = [self.client_ports[number - 1] for number in numbers]

        def all_serve() -> bool:
            listed = json.loads(self.run("status", self.homes[0], "-o", "json", code=None))
            roles = {server["clientPort"]: server["role"] for server in listed["servers"]}
            return all(roles[port] in ("leader", "follower") for port in ports)

        return all_serve

    def status(self, code: int = 0) -> dict[str, Any]:
        """`ttMembership status -o json`."""
        found: dict[str, Any] = json.loads(
            self.run("status", self.homes[0], "-o", "json", code=code)
        )
        return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


async def until(condition: Callable[[], object]) -> None:
    """Wait for something outside this process; it cannot call us."""
    async with asyncio.timeout(25):
        while not condition():
            await asyncio.sleep(0.05)  # another process: only to be looked at


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    made = Ensemble(tmp_path_factory.mktemp("ensemble"))
    for number in (1, 2, 3):
        made.run("create", "-location", made.folder, "-id", number, "-servers", made.servers)
    began_s = boottime_s()
    made.run("start", *made.homes)
    print(f"quorum after {boottime_s() - began_s:.1f} s")
    yield made
    made.run("stop", "-force", *made.homes)
    made.run("destroy", "-force", *made.homes)
    assert not list(made.folder.iterdir())


async def test_three_servers_have_a_leader_and_two_followers(ensemble: Ensemble) -> None:
    status = ensemble.status()
    assert status["quorum"]
    roles = sorted(server["role"] for server in status["servers"])
    assert roles == ["follower", "follower", "leader"]
    text = ensemble.run("status", *ensemble.homes)
    assert "Quorum: 3 of 3 servers answer" in text


async def test_a_killed_java_process_is_started_again(ensemble: Ensemble) -> None:
    before = ensemble.jvm(2)
    os.kill(before, signal.SIGKILL)
    await until(lambda: ensemble.jvm(2) not in (0, before))
    await until(ensemble.serving(1, 2, 3))


async def test_no_java_process_outlives_its_daemons(ensemble: Ensemble) -> None:
    java, supervisor = ensemble.jvm(3), ensemble.pid(3, "supervisor.pid")
    os.kill(supervisor, signal.SIGKILL)
    os.kill(ensemble.pid(3, "daemon.pid"), signal.SIGKILL)
    await until(lambda: not _command_line(java))
    await until(ensemble.serving(1, 2))  # two of three are enough; they may have to elect
    ensemble.run("start", ensemble.homes[2])
    await until(ensemble.serving(1, 2, 3))


async def test_instances_stop_serving_without_a_quorum_and_go_on_with_one(
    ensemble: Ensemble,
) -> None:
    me = InstanceInfo(InstanceName("h1.i1"), "data", "life-1", "127.0.0.1", 1)
    member = ZooKeeperMembership(ensemble.hosts, "grid", "secret", me)
    await member.start()
    try:
        await asyncio.to_thread(ensemble.run, "stop", ensemble.homes[0])
        async with asyncio.timeout(10):
            while not (member.view().connected and member.serving_until_s() > boottime_s()):
                await asyncio.sleep(0.02)  # samples a value over time
        await member.put_state("db", "open")
        await asyncio.to_thread(ensemble.run, "stop", ensemble.homes[1])
        stopped_s = boottime_s()
        async with asyncio.timeout(5):
            while member.serving_until_s() > boottime_s():
                await asyncio.sleep(0.02)  # samples a value over time
        assert boottime_s() - stopped_s < 2.0
        with pytest.raises(MembershipLostError):
            await member.put_state("db", "closed")
        assert (await asyncio.to_thread(ensemble.status, 1))["quorum"] is False
        await asyncio.to_thread(ensemble.run, "start", ensemble.homes[0], ensemble.homes[1])
        async with asyncio.timeout(20):
            while member.serving_until_s() < boottime_s():
                await asyncio.sleep(0.02)  # samples a value over time
        await member.put_state("db", "closed")
    finally:
        await member.stop()


async def test_a_paused_server_costs_its_clients_less_than_their_session(
    ensemble: Ensemble,
) -> None:
    """SIGSTOP of the server a client is connected to: it moves to another one in time."""
    me = InstanceInfo(InstanceName("h2.i1"), "data", "life-2", "127.0.0.1", 1)
    member = ZooKeeperMembership(ensemble.hosts, "grid", "secret", me)
    await member.start()
    paused = 0
    try:
        session = member.view().session
        socket = member._client._connection._socket
        port = socket.getpeername()[1]
        paused = ensemble.jvm(ensemble.client_ports.index(port) + 1)
        lost, back = asyncio.Event(), asyncio.Event()
        member.subscribe(lambda v: back.set() if v.connected and lost.is_set() else None)
        member.subscribe(lambda v: None if v.connected else lost.set())
        os.kill(paused, signal.SIGSTOP)
        paused_s = boottime_s()
        async with asyncio.timeout(10):
            await back.wait()
            while member.serving_until_s() < boottime_s():
                await asyncio.sleep(0.02)  # samples a value over time
        print(f"moved after {boottime_s() - paused_s:.2f} s")
        assert member.view().session == session, "it took its session along"
    finally:
        if paused:
            os.kill(paused, signal.SIGCONT)
        await member.stop()


async def test_commands_say_what_is_wrong(ensemble: Ensemble, tmp_path: Path) -> None:
    assert "ttMembership -help" in ensemble.run("explode", code=2)
    assert "not the home" in ensemble.run("start", tmp_path, code=1)
    assert "Usage" in ensemble.run("-help")
    assert "runs already" in ensemble.run("start", ensemble.homes[0], code=1)
    assert "runs" in ensemble.run("destroy", "-force", ensemble.homes[0], code=1)
    two = "127.0.0.1!1,127.0.0.1!2"
    said = ensemble.run("create", "-location", tmp_path, "-id", 1, "-servers", two, code=1)
    assert "odd number" in said
    taken = f"127.0.0.1!{ensemble.client_ports[0]}"
    ensemble.run("create", "-location", tmp_path, "-id", 1, "-servers", taken)
    said = ensemble.run("start", tmp_path / "membership1", code=1)
    assert f"127.0.0.1:{ensemble.client_ports[0]}" in said
