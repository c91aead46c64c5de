"""SSH connections to hosts, kept for a while: a handshake costs more than most of the work.

Keys, users, ports, jump hosts and files of known hosts come from `~/.ssh/config`. Host keys are
always checked: `StrictHostKeyChecking no` and `UserKnownHostsFile none` do not turn that off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import structlog

from protocol.errors import GridError, OperationError, PeerUnreachableError

log = structlog.get_logger(__name__)
CONNECT_TIMEOUT_S = 10.0  # TCP; and again for the login
KEEPALIVE_S = 5.0
KEEPALIVES_LOST_MAX = 3  # a silent host is given up after 15 s
IDLE_S = 60.0  # then a connection is closed
CHANNELS_MAX = 8  # at a time to one host; OpenSSH allows 10 unless told otherwise
DEFAULT_PORT = 22


class SshConnections:
    """By address. `options` go to asyncssh (tests give keys, ports, known hosts)."""

    def __init__(self, options: Mapping[str, object] | None = None) -> None:
        self._options = dict(options or {})
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[Any]:
        """A connection for one conversation. Raises PeerUnreachableError, OperationError."""
        host = self._hosts.get(address)
        if host is None:
            host = self._hosts[address] = _Host(address, self._options)
        async with host.connection() as connection:
            yield connection

    async def close(self) -> None:
        """End all connections."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()


class _Host:
    def __init__(self, address: str, options: dict[str, object]) -> None:
        self._address = address
        self._options = options
        self._opening = asyncio.Lock()
        self._gate = asyncio.Semaphore(CHANNELS_MAX)
        self._connection: Any = None
        self._users = 0
        self._closing: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._gate:
            self._users += 1
            try:
                yield await self._live()
            finally:
                self._users -= 1
                self._close_later()

    async def _live(self) -> Any:
        async with self._opening:
            if self._connection is not None and self._connection.is_closed():
                self._connection = None
            if self._connection is None:
                self._connection = await open_connection(self._address, self._options)
                log.info("ssh.connected", address=self._address)
            return self._connection

    def _close_later(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._closing = None
        if not self._users:
            self._closing = asyncio.get_running_loop().call_later(IDLE_S, self.close)

    def close(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


async def open_connection(address: str, more: Mapping[str, object]) -> Any:
    """Log in at a host. Raises PeerUnreachableError, OperationError saying what to do."""
    words: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "login_timeout": CONNECT_TIMEOUT_S,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVES_LOST_MAX,
        **more,
    }
    if "config" not in words and not _config_file().exists():
        words["config"] = None
    try:
        options = await asyncssh.SSHClientConnectionOptions.construct(host=address, **words)
        if options.known_hosts is None:  # the check is never left out: the default file counts
            words["known_hosts"] = b""
            options = await asyncssh.SSHClientConnectionOptions.construct(host=address, **words)
        return await asyncssh.connect(address, options=options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise await _unknown_key(address, words, options, error) from error
    except asyncssh.PermissionDenied as error:
        raise _refused(address, options, error) from error
    except FileNotFoundError as error:  # a file that the configuration names
        raise OperationError(f"ssh to {address}: {error.filename}: {error.strerror}") from error
    except (OSError, asyncssh.Error, TimeoutError) as error:
        raise unreachable(address, error) from error
    except ValueError as error:  # ConfigParseError and the like
        raise OperationError(
            f"ssh to {address}: {error}", hint=f"Look into {_config_file()}."
        ) from error


def unreachable(address: str, error: Exception) -> GridError:
    """The error for a host that does not answer, or went away."""
    if isinstance(error, TimeoutError) or not str(error):
        why = "no answer in time"
    elif isinstance(error, OSError) and (error.errno or 0) > 0:
        why = os.strerror(error.errno or 0)
    else:
        why = getattr(error, "reason", None) or str(error)
    return PeerUnreachableError(
        f"host {address} cannot be reached by ssh: {why}",
        hint=f"Try there: ssh {address} true. When it works, repeat the command.",
    )


def _refused(address: str, options: Any, error: Exception) -> GridError:
    user = getattr(options, "username", "") or "this user"
    return OperationError(
        f"host {address} lets {user} not log in with the keys tried: {error}",
        detail="Tried are the keys of ~/.ssh, those that ~/.ssh/config names, and the agent's.",
        hint="Put the public key into ~/.ssh/authorized_keys there: ttGridAdmin gridSshConfig"
        f" -dataAddress {address}, or ssh-copy-id {address}.",
    )


async def _unknown_key(
    address: str, words: dict[str, Any], options: Any, error: Exception
) -> GridError:
    port = options.port or DEFAULT_PORT
    shown = ""
    try:
        config = {k: words[k] for k in ("config", "port") if k in words}
        key = await asyncssh.get_server_host_key(address, **config)
        if key is not None:
            shown = f"It shows {key.get_algorithm()} {key.get_fingerprint()}."
    except (OSError, asyncssh.Error):
        pass  # only the fingerprint is missing then
    name = address if port == DEFAULT_PORT else f"[{address}]:{port}"
    if _is_known(options.known_hosts, address, port):
        return OperationError(
            f"host {address} shows another host key than the known one",
            detail=f"{shown} Either it was installed anew, or somebody stands in between.",
            hint=f"If you know why: ssh-keygen -R '{name}', then make the new key known.",
        )
    return OperationError(
        f"the host key of {address} is not known: {error}",
        detail=shown,
        hint="Compare the fingerprint with the host's own (ssh-keygen -lf"
        " /etc/ssh/ssh_host_ed25519_key.pub there), then make it known:"
        f" ttGridAdmin gridSshConfig -dataAddress {address}, or ssh {address} true.",
    )


def _is_known(known_hosts: Any, address: str, port: int) -> bool:
    files = known_hosts or str(_ssh_folder() / "known_hosts")
    try:
        found = asyncssh.match_known_hosts(files, address, address, port)
        again = asyncssh.match_known_hosts(files, address, address, None)
    except (OSError, ValueError):
        return False
    return any(found[:1]) or (port == DEFAULT_PORT and any(again[:1]))


def _ssh_folder() -> Path:
    return Path(os.path.expanduser("~")) / ".ssh"


def _config_file() -> Path:
    return _ssh_folder() / "config"
