"""Real SSH servers on loopback: asyncssh's, and Debian's sshd where it is installed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from mgmt.transport.ssh_connections import SshConnections
from tests.support.zookeeper import free_ports

SSHD = shutil.which("sshd") or shutil.which("/usr/sbin/sshd") or ""
ADDRESS_BASE = 10  # host<n> is 127.0.0.(10+n)
START_TIMEOUT_S = 10
PRIVILEGE_FOLDER = Path("/run/sshd")


class SshHost:
    """One server; `stop` loses all its connections at once."""

    def __init__(self, folder: Path, number: int, kind: str, password: str = "") -> None:
        self.folder = folder / f"ssh{number}"
        self.home = self.folder / "home"  # of hosts that take a password
        self.password = password
        self.address = f"127.0.0.{ADDRESS_BASE + number}"
        self.kind = kind
        (self.port,) = free_ports(1)
        self.commands = 0  # that the asyncssh server was asked to run
        self._server: Any = None
        self._process: asyncio.subprocess.Process | None = None
        self._connections: set[Any] = set()
        self._children: set[asyncio.subprocess.Process] = set()
        self.folder.mkdir(exist_ok=True)
        self.home.mkdir(exist_ok=True)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(self.host_key)
        self.host_key.chmod(0o600)

    @property
    def host_key(self) -> Path:
        """The server's private key."""
        return self.folder / "host_key"

    @property
    def known_line(self) -> str:
        """Its line of known_hosts."""
        key = asyncssh.read_private_key(self.host_key).convert_to_public()
        return f"[{self.address}]:{self.port} {key.export_public_key().decode().strip()}\n"

    async def start(self, public_key: str) -> None:
        """Let the owner of the key in."""
        authorized = self.folder / "authorized_keys"
        authorized.write_text(public_key)
        if self.kind == "asyncssh":
            self._server = await asyncssh.listen(
                self.address,
                self.port,
                server_factory=lambda: _Server(self, self._connections, authorized),
                server_host_keys=[str(self.host_key)],
                process_factory=self._run,
                encoding=None,
            )
            return
        _make_privilege_folder()
        words = {
            "ListenAddress": f"{self.address}:{self.port}",
            "HostKey": self.host_key,
            "AuthorizedKeysFile": authorized,
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in words.items()))
        self._process = await asyncio.create_subprocess_exec(
            SSHD, "-D", "-e", "-f", str(config), stderr=asyncio.subprocess.PIPE
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while b"listening" not in (line := await self._process.stderr.readline()):
                assert line, "sshd ended"

    async def stop(self) -> None:
        """Be gone, as a host without power."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.abort()
            for child in tuple(self._children):
                self._end_all_below(child.pid)
                await child.wait()
            await self._server.wait_closed()
            self._server = None
        if self._process is not None:
            self._end_all_below(self._process.pid)
            await self._process.wait()
            self._process = None

    def _end_all_below(self, parent: int) -> None:
        """Parents first: what a lost session ran must not report its end."""
        below = [parent]
        for pid in below:
            listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
            below += [int(word) for word in listed.stdout.split()]
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _run(self, process: Any) -> None:
        self.commands += 1
        child = await asyncio.create_subprocess_exec(
            "sh", "-c", process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **({"HOME": str(self.home)} if self.password else {})},
        )  # fmt: skip
        self._children.add(child)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feed = asyncio.create_task(_pump(process.stdin, child.stdin, ends=True))
        try:
            await asyncio.gather(
                _pump(child.stdout, process.stdout), _pump(child.stderr, process.stderr)
            )
            process.exit(await child.wait())
        except (asyncssh.Error, OSError):
            pass  # the client is gone
        finally:
            feed.cancel()
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
            self._children.discard(child)


async def _pump(source: Any, sink: Any, *, ends: bool = False) -> None:
    """Both outputs share the channel's end, which comes with the exit status."""
    try:
        while chunk := await source.read(65536):
            sink.write(chunk)
            await sink.drain()
        if ends:
            sink.write_eof()
    except (BrokenPipeError, ConnectionResetError):
        return  # it does not read on


def _make_privilege_folder() -> None:
    if os.geteuid() == 0:
        PRIVILEGE_FOLDER.mkdir(exist_ok=True)


class _Server(asyncssh.SSHServer):  # type: ignore[misc]
    def __init__(self, host: SshHost, connections: set[Any], authorized: Path) -> None:
        self._host = host
        own = host.home / ".ssh" / "authorized_keys"
        self._authorized = own if host.password else authorized
        self._all = connections
        self._own: Any = None

    def connection_made(self, conn: Any) -> None:
        self._own = conn
        self._all.add(conn)

    def begin_auth(self, username: str) -> bool:
        if self._authorized.exists():
            self._own.set_authorized_keys(str(self._authorized))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return bool(self._host.password)

    def validate_password(self, username: str, password: str) -> bool:
        return password == self._host.password

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.discard(self._own)


class SshHosts:
    """Some hosts, and a user's ~/.ssh: key, known hosts, config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[int, SshHost] = {}
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(folder / "id")
        (folder / "id").chmod(0o600)
        self.public_key = key.export_public_key().decode()

    async def add(self, number: int, kind: str, password: str = "") -> SshHost:
        """Start a host."""
        host = self.hosts[number] = SshHost(self.folder, number, kind, password)
        await host.start(self.public_key)
        return host

    def connections(self, *, key: Path | None = None, known: str | None = None) -> SshConnections:
        """Connections of a user with such a ~/.ssh."""
        known_hosts = self.folder / "known_hosts"
        lines = "".join(host.known_line for host in self.hosts.values())
        known_hosts.write_text(lines if known is None else known)
        config = "".join(
            f"Host {h.address}\n  Port {h.port}\n  IdentityFile {key or self.folder / 'id'}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {known_hosts}\n"
            for h in self.hosts.values()
        )
        (self.folder / "config").write_text(config)
        return SshConnections({"config": [str(self.folder / "config")]})

    async def stop(self) -> None:
        """End all servers."""
        for host in self.hosts.values():
            await host.stop()


@asynccontextmanager
async def ssh_hosts(folder: Path, *numbers: int, kind: str = "asyncssh") -> AsyncIterator[SshHosts]:
    """Hosts that run."""
    hosts = SshHosts(folder)
    try:
        for number in numbers:
            await hosts.add(number, kind)
        yield hosts
    finally:
        await hosts.stop()
