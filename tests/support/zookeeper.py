"""A real ZooKeeper server for tests: started, stopped, paused and killed by them."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from membership.config import MembershipServerConfig, ServerAddress
from membership.server.child import die_with_parent
from membership.server.probe import probe
from membership.server.zoo_cfg import java_command, my_id, zoo_cfg
from membership.tls import SERVER_FILE, ClientFiles, of_folder, server_file
from mgmt.cli.command import Arguments
from mgmt.cli.membership_certificates import certify

PORTS = range(20_000, 32_000)  # below those that the system gives to outgoing connections
BLOCK = 100  # of ports; a process that tests has blocks of its own
BLOCKS = Path(tempfile.gettempdir()) / "tengrid-test-ports"
_held: list[int] = []  # descriptors: the locks of the own blocks end with the process
_free: list[int] = []


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on just now, that this process was not given before, and that no
    other process that tests is given."""
    found: list[int] = []
    while len(found) < count:
        if not _free:
            _free.extend(_block())
        port = _free.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            found.append(port)
    return found


def _block() -> range:
    """Take a block that no living process has."""
    firsts = list(range(PORTS.start, PORTS.stop, BLOCK))
    for first in random.sample(firsts, len(firsts)):
        if (descriptor := locked_block(first)) is not None:
            _held.append(descriptor)
            return range(first, first + BLOCK)
    raise RuntimeError("other processes have all ports")


def locked_block(first: int) -> int | None:
    """A descriptor that keeps a block of ports from others until it is closed, or None."""
    BLOCKS.mkdir(exist_ok=True)
    descriptor = os.open(BLOCKS / str(first), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def certificates_of(folder: Path, config: MembershipServerConfig) -> ClientFiles:
    """What `ttMembership certify` makes, and the server's file where it wants it."""
    servers = ",".join(f"{s.address}!{s.client_port}" for s in config.servers)
    certify(Arguments({"servers": [servers], "out": [str(folder)]}, {}), [])
    (folder / SERVER_FILE).write_text((folder / server_file(config.id)).read_text())
    return of_folder(folder)


class ZooKeeperProcess:
    """One standalone server in a folder of the test; its data outlives kill and start.

    tls: clients need the certificate that `tls_files` names.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        client, peer, election = free_ports(3)
        own = ServerAddress(
            id=1,
            address="127.0.0.1",
            client_port=client,
            peer_port=peer,
            election_port=election,
        )
        self._config = MembershipServerConfig(id=1, servers=(own,), tls=tls)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.hosts = f"127.0.0.1:{client}"
        self._port = client
        self.tls_files = certificates_of(folder / "tls", self._config) if tls else None

    def start(self) -> None:
        """Start the JVM; `await ready()` until it answers."""
        assert self._process is None
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(my_id(self._config))
        cfg = self._folder / "zoo.cfg"
        cfg.write_text(zoo_cfg(self._config, data, self._folder / "tls"))
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
            context = self.tls_files.context() if self.tls_files else None
            while not (await probe("127.0.0.1", self._port, tls=context)).serves:
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
