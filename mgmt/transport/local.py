"""HostTransport for hosts that are this machine: processes and files of our own user."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mgmt.model.types import Host
from mgmt.transport.port import OUTPUT_BYTES_MAX, RUN_TIMEOUT_S, CommandResult
from protocol.errors import OperationError

_LOOPBACK_HOSTS = ipaddress.ip_address("127.0.0.10")


class LocalTransport:
    """This machine under one of its addresses."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> CommandResult:
        """Run a command; see the port."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except FileNotFoundError:
            return CommandResult(127, f"{command[0]}: command not found\n")
        except OSError as error:
            return CommandResult(126, f"{command[0]}: {error.strerror}\n")
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await process.communicate()
        except TimeoutError:
            await _end(process)
            return CommandResult(124, f"{command[0]}: stopped after {timeout_s:.0f} s\n")
        except asyncio.CancelledError:
            await _end(process)
            raise
        rc = process.returncode or 0
        text = output[:OUTPUT_BYTES_MAX].decode(errors="replace")
        return CommandResult(rc if rc >= 0 else 128 - rc, text)

    async def put_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file as a whole; see the port."""
        beside = f"{path}.new"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError as error:
            raise _refused("write", path, error) from error

    async def read_file(self, path: str) -> bytes | None:
        """The content of a file."""
        try:
            return _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused("read", path, error) from error

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file from an offset on."""
        try:
            return await asyncio.to_thread(_read_part, path, offset, size)
        except OSError as error:
            raise _refused("read", path, error) from error

    async def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Write the end of a file; see the port."""
        try:
            await asyncio.to_thread(_write_at, path, offset, content)
        except OSError as error:
            raise _refused("write", path, error) from error

    async def exists(self, path: str) -> bool:
        """Whether the path exists, a broken link included."""
        return _exists(path)

    async def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory and its parents."""
        try:
            os.makedirs(path, mode=mode, exist_ok=True)
        except OSError as error:
            raise _refused("create directory", path, error) from error

    async def make_link(self, target: str, path: str) -> None:
        """Make or replace a symbolic link."""
        try:
            beside = f"{path}.new"
            if _exists(beside):
                os.unlink(beside)
            os.symlink(target, beside)
            os.replace(beside, path)
        except OSError as error:
            raise _refused("link", path, error) from error

    async def remove_file(self, path: str) -> None:
        """Remove a file."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused("remove", path, error) from error

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with all below it."""
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _refused("remove", path, error) from error

    async def unpack(self, archive: Path, directory: str, moved: Callable[[int], None]) -> None:
        """Make a directory of a local archive; see the port."""
        if not _free(directory):
            raise OperationError(f"cannot install {directory}: it exists and is not empty")
        beside = f"{directory}.unpacking"
        await self.remove_tree(beside)
        await self.make_dir(beside)
        words = ["tar", "-xzf", str(archive), "-C", beside, "--strip-components=1"]
        done = await self.run([*words, "--no-same-owner"])
        if done.rc:
            await self.remove_tree(beside)
            raise OperationError(f"cannot install {directory}: {done.output.strip()}")
        os.replace(beside, directory)
        moved(os.stat(archive).st_size)

    async def pack(self, directory: str, archive: Path) -> None:
        """Write an archive of a directory; see the port."""
        parent, _, name = directory.rstrip("/").rpartition("/")
        done = await self.run(["tar", "-I", "gzip -1", "-cf", str(archive), "-C", parent, name])
        if done.rc:
            raise OperationError(f"cannot pack {directory}: {done.output.strip()}")

    async def host_name(self) -> str:
        """This machine's name; loopback "hosts" 127.0.0.(10+n) of one machine are host<n>."""
        try:
            address = ipaddress.ip_address(self._address)
        except ValueError:
            return socket.gethostname().split(".")[0]
        number = int(address) - int(_LOOPBACK_HOSTS)
        if address.version == 4 and address.is_loopback and 0 < number <= 245:
            return f"host{number}"
        return socket.gethostname().split(".")[0]


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended, and what it started holds its output
        process.kill()
    await process.wait()


class LocalTransports:
    """Every host is this machine."""

    def to(self, host: Host) -> LocalTransport:
        """The transport to a host."""
        return LocalTransport(host.internal_address)

    def same_machine(self, one: Host, other: Host) -> bool:
        """All hosts are this machine."""
        return True


def is_this_machine(address: str) -> bool:
    """Whether an address, or the address of a name, is one of this machine's own."""
    try:
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_bind(family, where) for family, _, _, _, where in found)


def _can_bind(family: int, where: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(where)
        except OSError:
            return False
    return True


def _free(directory: str) -> bool:
    """Whether a directory can be made there; an empty one is removed."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _exists(path: str) -> bool:
    return os.path.lexists(path)


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _read_part(path: str, offset: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def _write_at(path: str, offset: int, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(content)


def _refused(action: str, path: str, error: OSError) -> OperationError:
    return OperationError(f"cannot {action} {path}: {error.strerror}")
