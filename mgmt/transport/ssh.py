"""HostTransport over SSH: commands of a POSIX shell, files through standard input and output.

Files go through `cat` and not through SFTP, whose replies do not say that a disk is full.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh

from mgmt.model.types import Host
from mgmt.transport.local import LocalTransport, is_this_machine
from mgmt.transport.port import OUTPUT_BYTES_MAX, RUN_TIMEOUT_S, CommandResult, HostTransport
from mgmt.transport.ssh_connections import SshConnections, unreachable
from protocol.errors import OperationError, PeerUnreachableError

FILE_TIMEOUT_S = 60.0
TREE_TIMEOUT_S = 1800.0  # of an installation
CHUNK_BYTES = 256 * 1024
FILE_BYTES_MAX = 64 * 1024 * 1024  # of a file read as a whole
RC_TIMEOUT = 124
RCS_TIMEOUT = (RC_TIMEOUT, 137)  # of timeout(1): ended, or killed
KILL_AFTER_S = 2  # when a command does not end by itself after its time
GRACE_S = 10.0  # more for the way back
RC_MISSING = 44  # our own: no such file

# $1 the path, $2 the mode. Whole or not at all, and on the disk.
_PUT = """\
umask 077
cat >"$1.new" && chmod "$2" "$1.new" && { sync "$1.new" 2>/dev/null || sync; } &&
mv -f "$1.new" "$1" && exit 0
rc=$?; rm -f "$1.new"; exit $rc"""
_READ = f'[ -e "$1" ] || exit {RC_MISSING}; exec cat -- "$1"'
_READ_PART = 'exec dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=1M status=none'
_WRITE_AT = 'umask 077; truncate -s "$2" -- "$1" && exec cat >>"$1"'
_EXISTS = f'[ -e "$1" ] || [ -L "$1" ] || exit {RC_MISSING}'
# The mode is that of the last directory only.
_MAKE_DIR = '[ -d "$1" ] || { mkdir -p -- "$1" && chmod "$2" "$1"; }'
_LINK = 'rm -f "$2.new" && ln -s -- "$1" "$2.new" && mv -Tf "$2.new" "$2"'
_REMOVE_FILE = 'rm -f -- "$1"'
_REMOVE_TREE = 'rm -rf -- "$1"'
# A tar archive at standard input becomes the directory $1; what a lost connection left goes first.
_UNPACK = """\
[ ! -e "$1" ] || rmdir "$1" 2>/dev/null || { echo "it exists and is not empty" >&2; exit 1; }
beside=$1.unpacking
rm -rf "$beside" && mkdir -p "$beside" &&
tar -xzf - -C "$beside" --strip-components=1 --no-same-owner &&
{ sync -f "$beside" 2>/dev/null || sync; } && mv -T "$beside" "$1" && exit 0
rm -rf "$beside"; exit 1"""
_PACK = 'cd -- "$1" && cd .. && exec tar -czf - -- "${1##*/}"'


class _Done(NamedTuple):
    rc: int
    output: bytes
    errors: str


class SshTransport:
    """One host, by its internal address."""

    def __init__(self, address: str, connections: SshConnections) -> None:
        self._address = address
        self._connections = connections

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> CommandResult:
        """Run a command; see the port."""
        settings = [f"{name}={value}" for name, value in (environment or {}).items()]
        limited = ["timeout", "-k", str(KILL_AFTER_S), str(timeout_s), *command]
        line = shlex.join(["env", *settings, *limited] if settings else limited)
        try:
            done = await self._talk(line, timeout_s=timeout_s + GRACE_S, errors_apart=False)
        except TimeoutError:
            done = _Done(RC_TIMEOUT, b"", "")
        if done.rc in RCS_TIMEOUT:
            text = f"{command[0]}: stopped after {timeout_s:.0f} s\n"
            return CommandResult(RC_TIMEOUT, text)
        return CommandResult(done.rc, done.output[:OUTPUT_BYTES_MAX].decode(errors="replace"))

    async def put_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file as a whole; see the port."""
        await self._script(f"write {path}", _PUT, path, f"{mode:o}", content=content)

    async def read_file(self, path: str) -> bytes | None:
        """The content of a file."""
        done = await self._script(f"read {path}", _READ, path, allowed=(RC_MISSING,))
        return None if done.rc == RC_MISSING else done.output

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file from an offset on."""
        done = await self._script(f"read {path}", _READ_PART, path, str(offset), str(size))
        return done.output

    async def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Write the end of a file; see the port."""
        await self._script(f"write {path}", _WRITE_AT, path, str(offset), content=content)

    async def exists(self, path: str) -> bool:
        """Whether the path exists, a broken link included."""
        done = await self._script(f"look at {path}", _EXISTS, path, allowed=(RC_MISSING,))
        return done.rc == 0

    async def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory and its parents."""
        await self._script(f"create directory {path}", _MAKE_DIR, path, f"{mode:o}")

    async def make_link(self, target: str, path: str) -> None:
        """Make or replace a symbolic link."""
        await self._script(f"link {path}", _LINK, target, path)

    async def remove_file(self, path: str) -> None:
        """Remove a file."""
        await self._script(f"remove {path}", _REMOVE_FILE, path)

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with all below it."""
        await self._script(f"remove {path}", _REMOVE_TREE, path, timeout_s=TREE_TIMEOUT_S)

    async def host_name(self) -> str:
        """The first label of the host's own name."""
        done = await self._script("find the host's name", "uname -n")
        return done.output.decode(errors="replace").strip().split(".")[0]

    async def unpack(self, archive: Path, directory: str, moved: Callable[[int], None]) -> None:
        """Make a directory of a local archive; see the port."""
        await self._script(
            f"install {directory}", _UNPACK, directory,
            source=_Source(archive, moved), timeout_s=TREE_TIMEOUT_S,
        )  # fmt: skip

    async def pack(self, directory: str, archive: Path) -> None:
        """Fetch a directory as an archive; see the port."""
        try:
            with archive.open("wb") as sink:
                await self._script(
                    f"read {directory}", _PACK, directory.rstrip("/"),
                    sink=sink, timeout_s=TREE_TIMEOUT_S,
                )  # fmt: skip
        except OSError as error:
            raise OperationError(f"cannot write {archive}: {error.strerror}") from error

    # -- inside
    async def _script(
        self,
        what: str,
        script: str,
        *words: str,
        content: bytes = b"",
        source: _Source | None = None,
        sink: Any = None,
        allowed: tuple[int, ...] = (),
        timeout_s: float = FILE_TIMEOUT_S,
    ) -> _Done:
        """Run lines of a shell. Raises OperationError unless they end with 0 or what is allowed.

        Once more by a new connection if the one that was kept is lost: they can be repeated, but
        for what came from a file or went into one.
        """
        line = shlex.join(["sh", "-c", script, "sh", *words])
        try:
            try:
                done = await self._talk(
                    line, timeout_s=timeout_s, content=content, source=source, sink=sink
                )
            except PeerUnreachableError as error:
                if source or sink or not isinstance(error.__cause__, asyncssh.ConnectionLost):
                    raise
                done = await self._talk(line, timeout_s=timeout_s, content=content)
        except TimeoutError:
            why = f"no answer in {timeout_s:.0f} s"
        else:
            if done.rc == 0 or done.rc in allowed:
                return done
            why = _reason(done)
        raise OperationError(
            f"cannot {what} on {self._address}: {why}",
            hint="Mend the cause there, then repeat the command.",
        )

    async def _talk(
        self,
        line: str,
        *,
        timeout_s: float,
        content: bytes = b"",
        source: _Source | None = None,
        sink: Any = None,
        errors_apart: bool = True,
    ) -> _Done:
        """Run a line of the remote shell. Raises TimeoutError, PeerUnreachableError."""
        async with self._connections.to(self._address) as connection:
            process = None
            try:
                async with asyncio.timeout(timeout_s):
                    process = await connection.create_process(
                        line,
                        encoding=None,
                        stderr=asyncssh.PIPE if errors_apart else asyncssh.STDOUT,
                    )
                    return await _converse(process, content, source, sink)
            except TimeoutError:
                raise
            except (asyncssh.Error, OSError) as error:
                raise unreachable(self._address, error) from error
            finally:
                if process is not None and process.exit_status is None:
                    process.kill()
                if process is not None:
                    process.close()


async def _converse(process: Any, content: bytes, source: _Source | None, sink: Any) -> _Done:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_feed(process.stdin, content, source))
            output = group.create_task(_gather(process.stdout, sink))
            errors = group.create_task(_gather(process.stderr, None))
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several
    await process.wait_closed()
    if process.exit_signal is not None:
        return _Done(128, output.result(), f"ended by signal {process.exit_signal[0]}")
    if process.exit_status is None:
        raise asyncssh.ConnectionLost("the connection was lost")
    text = errors.result().decode(errors="replace")
    return _Done(process.exit_status, output.result(), text)


async def _feed(stdin: Any, content: bytes, source: _Source | None) -> None:
    try:
        if content:
            stdin.write(content)
        if source is not None:
            await source.pour(stdin)
        await stdin.drain()
        stdin.write_eof()
    except (BrokenPipeError, ConnectionResetError, asyncssh.ConnectionLost):
        return  # the command ended before it had read all: its exit status says why


async def _gather(stream: Any, sink: Any) -> bytes:
    """All that comes, or its beginning; into the file if there is one."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(CHUNK_BYTES):
        if sink is not None:
            sink.write(chunk)
        elif size < FILE_BYTES_MAX:
            parts.append(chunk)
            size += len(chunk)
    return b"".join(parts)


class _Source:
    """A file that goes to a command's standard input."""

    def __init__(self, path: Path, moved: Callable[[int], None]) -> None:
        self._path = path
        self._moved = moved

    async def pour(self, stdin: Any) -> None:
        """Write it all, no faster than it is taken."""
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                stdin.write(chunk)
                await stdin.drain()
                self._moved(len(chunk))


def _reason(done: _Done) -> str:
    """The last line of what went wrong: tools name the cause there or above a closing remark."""
    lines = [line.strip() for line in done.errors.splitlines() if line.strip()]
    telling = [line for line in lines if "No space left" in line or "denied" in line]
    return (telling or lines or [f"return code {done.rc}"])[-1]


class HostTransports:
    """This machine's own addresses are reached at home, all others by SSH."""

    def __init__(
        self,
        connections: SshConnections | None = None,
        *,
        is_here: Callable[[str], bool] = is_this_machine,
    ) -> None:
        self._connections = connections or SshConnections()
        self._is_here = is_here

    def to(self, host: Host) -> HostTransport:
        """The transport to a host."""
        if self._is_here(host.internal_address):
            return LocalTransport(host.internal_address)
        return SshTransport(host.internal_address, self._connections)

    def same_machine(self, one: Host, other: Host) -> bool:
        """Whether both are this machine, or one address."""
        if one.internal_address == other.internal_address:
            return True
        return self._is_here(one.internal_address) and self._is_here(other.internal_address)

    async def close(self) -> None:
        """End the connections."""
        await self._connections.close()
