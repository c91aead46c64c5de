"""An installation: a directory tengrid-<version> whose bin/ links to the programs in use.

In this first form it points into the virtual environment it was made from, so it is neither
relocatable nor copyable to other machines; that comes with *The life of a grid*.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from mgmt.transport.port import HostTransport
from protocol.errors import OperationError

PROGRAMS = (
    "ttGridAdmin",
    "ttInstanceCreate",
    "ttInstanceDestroy",
    "ttDaemonAdmin",
    "ttStatus",
    "ttGridRollout",
    "ttMembership",
    "tengrid-datad",
    "tengrid-mgmtd",
    "tengrid-membershipd",
)
README = "README.html"
_README_TEXT = (
    "<!doctype html><title>TenGrid {release}</title><h1>TenGrid {release}</h1>"
    "<p>Release notes: docs/changelog.md of the source tree.</p>\n"
)


def release() -> str:
    """The version of the software that runs, e.g. 0.1.0."""
    return metadata.version("tengrid")


def own_programs() -> Path:
    """The directory of the programs of the environment this process runs in."""
    return Path(sys.executable).parent


def create_installation(parent: Path) -> Path:
    """Make `<parent>/tengrid-<version>` on this machine, or bring it up to date; returns it."""
    directory = parent / f"tengrid-{release()}"
    (directory / "bin").mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        link = directory / "bin" / program
        beside = link.with_name(f".{program}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(own_programs() / program)
        os.replace(beside, link)
    (directory / README).write_text(_README_TEXT.format(release=release()), encoding="utf-8")
    return directory


async def place_installation(transport: HostTransport, directory: str, *, source: str = "") -> None:
    """Make the installation on a host. Repeatable. Raises OperationError if it does not run.

    source: an installation on that host to take the programs from; "": those in use here.
    """
    programs = f"{source}/bin" if source else str(own_programs())
    if not await installation_works(transport, directory):
        await transport.make_dir(f"{directory}/bin")
        for program in PROGRAMS:
            await transport.make_link(f"{programs}/{program}", f"{directory}/bin/{program}")
        text = _README_TEXT.format(release=release())
        await transport.put_file(f"{directory}/{README}", text.encode())
    if not await installation_works(transport, directory):
        hint = f"Is {source} an installation of release {release()}?" if source else ""
        raise OperationError(f"the installation {directory} does not run", hint=hint)


async def installation_works(transport: HostTransport, directory: str) -> bool:
    """Whether its ttInstanceCreate runs and is of this release."""
    result = await transport.run([f"{directory}/bin/ttInstanceCreate", "-version"])
    return result.rc == 0 and release() in result.output


async def remove_installation(transport: HostTransport, directory: str) -> None:
    """Remove the tree, but nothing that is not an installation of ours."""
    if await transport.exists(f"{directory}/bin/ttInstanceCreate"):
        await transport.remove_tree(directory)
