"""An installation: a directory tengrid-<version> with programs in bin/.

A self-contained one has a whole Python beside them (bundle.py), may be moved and copied, and is
what other hosts get. In a development environment (`make grid`) the programs on this machine are
links into the virtual environment instead; for other hosts a self-contained one is built of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from mgmt.model.types import Host
from mgmt.transport.local import LocalTransport
from mgmt.transport.port import CommandResult, HostTransport, Transports
from mgmt.transport.programs import DISTRIBUTION, PROGRAMS, readme
from protocol.errors import OperationError, ParameterError

README = "README.html"
BUILD_TIMEOUT_S = 600.0
ARCHIVES = (".tar.gz", ".tgz")


def release() -> str:
    """The version of the software that runs, e.g. 0.1.0."""
    return metadata.version(DISTRIBUTION)


def own_installation() -> Path | None:
    """The self-contained installation this process runs from, if it does."""
    directory = Path(sys.executable).parents[2]  # python/bin/python3
    return directory if is_self_contained(directory) else None


def is_self_contained(directory: Path) -> bool:
    """Whether the tree on this machine may be copied to others."""
    inside = (directory / "python/bin/python3", directory / "bin/ttInstanceCreate")
    return all(path.is_file() for path in inside)


def own_programs() -> Path:
    """The directory of the programs of the environment this process runs in."""
    own = own_installation()
    return own / "bin" if own is not None else Path(sys.executable).parent


def create_installation(parent: Path) -> Path:
    """Make `<parent>/tengrid-<version>` with links to the programs in use, or bring it up to
    date; returns it."""
    directory = parent / f"{DISTRIBUTION}-{release()}"
    (directory / "bin").mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        link = directory / "bin" / program
        beside = link.with_name(f".{program}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(own_programs() / program)
        os.replace(beside, link)
    (directory / README).write_text(readme(release()), encoding="utf-8")
    return directory


class Archives:
    """Installations as archives on this machine, each made when it is first wanted; `discard`
    them after use. A source is "" (what runs here), /path or address:/path, a directory or
    archive."""

    def __init__(self, folder: Path, transports: Transports) -> None:
        self._folder = folder
        self._transports = transports
        self._making: dict[str, asyncio.Task[Path]] = {}
        self._ours: list[Path] = []

    async def of(self, source: str) -> Path:
        """The archive. Raises OperationError, ParameterError."""
        if source not in self._making:
            self._making[source] = asyncio.create_task(self._make(source))
        return await asyncio.shield(self._making[source])

    async def discard(self) -> None:
        """Delete what was made."""
        for task in self._making.values():
            task.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        self._making.clear()
        for path in self._ours:
            path.unlink(missing_ok=True)

    async def _make(self, source: str) -> Path:
        address, path = split_source(source)
        if not address and path.endswith(ARCHIVES):
            return _archive_at(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        archive = self._folder / f"installation-{len(self._ours) + 1}.tar.gz"
        self._ours.append(archive)
        local = LocalTransport("127.0.0.1")
        if address:
            host = Host(name="", guid="", internal_address=address, external_address=address)
            await self._transports.to(host).pack(path, archive)
            return archive
        directory = Path(path) if path else own_installation()
        if directory is None:
            return await self._build(local, archive)
        if not is_self_contained(directory):
            raise OperationError(
                f"{directory} is not a self-contained installation: it cannot be copied",
                hint="make installation builds one; or leave -source out.",
            )
        await local.pack(str(directory), archive)
        return archive

    async def _build(self, local: LocalTransport, archive: Path) -> Path:
        tree = archive.with_suffix(".building") / f"{DISTRIBUTION}-{release()}"
        await local.remove_tree(str(tree.parent))
        command = [sys.executable, "-m", "mgmt.transport.bundle", str(tree)]
        result = await local.run(command, timeout_s=BUILD_TIMEOUT_S)
        if result.rc == 0:
            await local.pack(str(tree), archive)
        await local.remove_tree(str(tree.parent))
        if result.rc:
            raise OperationError(f"cannot build an installation: {_last_line(result)}")
        return archive


def _archive_at(path: str) -> Path:
    if not Path(path).is_file():
        raise ParameterError(f"-source {path}: there is no such file")
    return Path(path)


def split_source(source: str) -> tuple[str, str]:
    """Address and path of -source: /path, address:/path, address!/path or [address]:/path."""
    if not source or source.startswith("/"):
        return "", source
    if source.startswith("["):
        address, _, path = source[1:].partition("]:")
    else:
        mark = "!" if "!/" in source else ":/"
        address, _, path = source.partition(mark)
        path = f"/{path}" if mark == ":/" else path
    if not address or not path.startswith("/"):
        raise ParameterError(
            f"-source {source}: use /path, ADDRESS:/path, ADDRESS!/path or [ADDRESS]:/path"
        )
    return address, path


async def place_links(
    transport: HostTransport, directory: str, *, source: str = "", wanted: str = ""
) -> None:
    """Make an installation on this machine that links to another one, or to what runs here.
    wanted: its release, that of this process if empty. Repeatable. Raises OperationError
    if it does not run."""
    programs = f"{source}/bin" if source else str(own_programs())
    if not await installation_works(transport, directory, wanted):
        await transport.make_dir(f"{directory}/bin")
        for program in PROGRAMS:
            await transport.make_link(f"{programs}/{program}", f"{directory}/bin/{program}")
        await transport.put_file(f"{directory}/{README}", readme(wanted or release()).encode())
    await _check_works(transport, directory, source, wanted)


async def place_copy(
    transport: HostTransport,
    directory: str,
    archive: Path,
    moved: Callable[[int], None],
    *,
    ours: bool,
    wanted: str = "",
) -> None:
    """Make a self-contained installation on a host, instead of a broken one if that is ours.
    Repeatable. Raises OperationError."""
    if not await installation_works(transport, directory, wanted):
        if ours:
            await remove_installation(transport, directory)
        await transport.make_dir(directory.rpartition("/")[0] or "/")
        await transport.unpack(archive, directory, moved)
    await _check_works(transport, directory, str(archive), wanted)


async def _check_works(transport: HostTransport, directory: str, source: str, wanted: str) -> None:
    wanted = wanted or release()
    result = await _version(transport, directory)
    if result.rc or wanted not in result.output:
        hint = f"Is {source} an installation of release {wanted}?" if source else ""
        raise OperationError(
            f"the installation {directory} does not run: {_last_line(result)}", hint=hint
        )


async def installation_works(transport: HostTransport, directory: str, wanted: str = "") -> bool:
    """Whether its ttInstanceCreate runs and is of the release, that of this process if empty."""
    result = await _version(transport, directory)
    return result.rc == 0 and (wanted or release()) in result.output


async def _version(transport: HostTransport, directory: str) -> CommandResult:
    return await transport.run([f"{directory}/bin/ttInstanceCreate", "-version"])


def _last_line(result: CommandResult) -> str:
    return (result.output.strip().splitlines() or [f"return code {result.rc}"])[-1]


async def remove_installation(transport: HostTransport, directory: str) -> None:
    """Remove the tree, but nothing that is not an installation of ours."""
    if await transport.exists(f"{directory}/bin/ttInstanceCreate"):
        await transport.remove_tree(directory)
