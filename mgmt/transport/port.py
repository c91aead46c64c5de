"""The HostTransport port: what management does on a host before an instance answers there itself.

Adapters: local.py (this machine), ssh.py (all others).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mgmt.model.types import Host

RUN_TIMEOUT_S = 600.0
OUTPUT_BYTES_MAX = 4 * 1024 * 1024  # of one command; the rest is cut off


class CommandResult(NamedTuple):
    """How a command ended; output is standard output and standard error as they came."""

    rc: int
    output: str


class HostTransport(Protocol):
    """One host. Every method raises PeerUnreachableError if the host cannot be reached and
    OperationError, naming the path or command, if it refuses."""

    async def run(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        timeout_s: float = RUN_TIMEOUT_S,
    ) -> CommandResult:
        """Run a command without a terminal; rc 124 after the timeout, 127 if it is not there."""
        ...

    async def put_file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """Write a file as a whole: readers see the old one or the new one."""
        ...

    async def read_file(self, path: str) -> bytes | None:
        """The content; None if there is no such file."""
        ...

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file from an offset on, fewer at its end."""
        ...

    async def write_at(self, path: str, offset: int, content: bytes) -> None:
        """Write the end of a file, made if need be: what it had behind the offset is gone."""
        ...

    async def exists(self, path: str) -> bool:
        """Whether there is a file, directory or link."""
        ...

    async def make_dir(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory and those above it; nothing happens if it is there."""
        ...

    async def make_link(self, target: str, path: str) -> None:
        """Make or replace a symbolic link."""
        ...

    async def remove_file(self, path: str) -> None:
        """Remove a file; nothing happens if it is not there."""
        ...

    async def remove_tree(self, path: str) -> None:
        """Remove a directory with all below it; nothing happens if it is not there."""
        ...

    async def host_name(self) -> str:
        """The first label of the host's own name."""
        ...

    async def unpack(self, archive: Path, directory: str, moved: Callable[[int], None]) -> None:
        """Make a directory, whole or not at all, of an archive (tar, gzip) on this machine that
        holds one directory. It must be absent or empty. `moved` hears of bytes that went over."""
        ...

    async def pack(self, directory: str, archive: Path) -> None:
        """Write such an archive of a directory there into a file on this machine."""
        ...


class Transports(Protocol):
    """Finds the way to a host."""

    def to(self, host: Host) -> HostTransport:
        """The transport to this host."""
        ...

    def same_machine(self, one: Host, other: Host) -> bool:
        """Whether both hosts share one file system."""
        ...
