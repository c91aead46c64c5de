"""ttInstanceDestroy: stop and remove an instance that was made by hand."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mgmt.cli import daemon_control
from mgmt.cli.client import home_from_environment
from mgmt.cli.command import Option
from mgmt.cli.tool import confirmed, guarded
from mgmt.cli.words import parse_tool, tool_help
from protocol import instance_file
from protocol.errors import ModelError, OperationError

OPTIONS = (Option("force", "", "do not ask; destroy also what a grid still knows"),)


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttInstanceDestroy", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttInstanceDestroy", "Destroy the instance TIMESTEN_HOME.", OPTIONS))
        return 0
    home = home_from_environment()
    settings = instance_file.load(home)  # refuses a directory that is no instance home
    if Path(settings.home).resolve() != home.resolve():
        raise ModelError(f"{home} says it is {settings.home}: not destroyed")
    force = arguments.has("force")
    if settings.kind == "data" and settings.grid and not force:
        raise ModelError(
            f"{settings.name} belongs to grid {settings.grid}",
            hint="Remove it with ttGridAdmin instanceDelete and modelApply, or use -force.",
        )
    if not force and not confirmed(f"Destroy instance {home} and all its files?"):
        print("Nothing was done. (-force destroys without asking.)")
        return 1
    daemon_control.stop(home, force=True)
    print(f"Deleting instance from {home} ...")
    try:
        shutil.rmtree(home)
    except OSError as error:
        raise OperationError(f"cannot remove {home}: {error}") from error
    print(f"The instance {home} has been destroyed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
