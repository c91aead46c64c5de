"""A real ZooKeeper server for tests: started, stopped, paused and killed by them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
from pathlib import Path

from membership.config import MembershipServerConfig, ServerAddress
from membership.server.child import die_with_parent
from membership.server.probe import probe
from membership.server.zoo_cfg import java_command, my_id, zoo_cfg

PORTS = range(20_000, 32_000)  # below those that the system gives to outgoing connections
_given: set[int] = set()


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on just now, and that this process was not given before."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(PORTS)
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            _given.add(port)
            found.append(port)
    return found


class ZooKeeperProcess:
    """One standalone server in a folder of the test; its data outlives kill and start."""

    def __init__(self, folder: Path) -> None:
        client, peer, election = free_ports(3)
        own = ServerAddress(
            id=1,
            address="127.0.0.1",
            client_port=client,
            peer_port=peer,
            election_port=election,
        )
        self._config = MembershipServerConfig(id=1, servers=(own,))
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.hosts = f"127.0.0.1:{client}"
        self._port = client

    def start(self) -> None:
        """Start the JVM; `await ready()` until it answers."""
        assert self._process is None
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(my_id(self._config))
        cfg = self._folder / "zoo.cfg"
        cfg.write_text(zoo_cfg(self._config, data))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                java_command(self._config, cfg, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    async def ready(self) -> None:
        """Wait until the server answers clients."""
        async with asyncio.timeout(30):
            while not (await probe("127.0.0.1", self._port)).serves:
                assert self._process is not None
                assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.05)  # polling an outside process: it cannot call us

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
