"""ttInstallationCheck: is the installation it is called from as it was made?

`manifest.json` holds size and SHA-256 of every file; nobody but the owner may write to any.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

from mgmt.cli.command import Option
from mgmt.cli.tool import guarded, installation_of_this_program
from mgmt.cli.words import parse_tool, tool_help
from protocol.errors import OperationError, ParameterError

MANIFEST = "manifest.json"
SHOWN_MAX = 20  # problems that are printed
OPTIONS: tuple[Option, ...] = (Option("q", "", "print nothing but problems"),)


def main() -> int:
    """Entry point."""
    return guarded(_run)


def _run(words: list[str]) -> int:
    arguments = parse_tool("ttInstallationCheck", words, OPTIONS)
    if arguments.has("help") or arguments.has("h"):
        print(tool_help("ttInstallationCheck", "Check an installation's files.", OPTIONS))
        return 0
    directory = installation_of_this_program()
    problems = check(directory)
    if problems:
        more = [f"and {len(problems) - SHOWN_MAX} more"] if len(problems) > SHOWN_MAX else []
        raise OperationError(
            f"the installation {directory} is not as it was made",
            detail="\n".join([*problems[:SHOWN_MAX], *more]),
            hint="Replace it by a copy of a good one.",
        )
    if not arguments.has("q"):
        print(f"The installation {directory} is complete and unchanged.")
    return 0


def write_manifest(directory: Path) -> None:
    """List all files of an installation that was just made. Raises OSError."""
    listed = {name: _facts(path) for name, path in _files(directory)}
    (directory / MANIFEST).write_text(json.dumps(listed, indent=0) + "\n", encoding="utf-8")


def check(directory: Path) -> list[str]:
    """What is wrong, a line each. Raises ParameterError without a manifest."""
    try:
        listed: dict[str, list[object]] = json.loads((directory / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"{directory} has no readable {MANIFEST}",
            hint="Only self-contained installations have one (make installation).",
        ) from error
    there = dict(_files(directory))
    problems = [f"missing: {name}" for name in sorted(listed.keys() - there.keys())]
    problems += [f"not of the release: {name}" for name in sorted(there.keys() - listed.keys())]
    for name in sorted(listed.keys() & there.keys()):
        path = there[name]
        if _facts(path) != listed[name]:
            problems.append(f"changed: {name}")
        if not path.is_symlink() and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            problems.append(f"others may write to it: {name}")
    return problems


def _files(directory: Path) -> Iterator[tuple[str, Path]]:
    """All files and links but byte code, which Python may make anew."""
    for path in directory.rglob("*"):
        name = str(path.relative_to(directory))
        is_code = path.suffix == ".pyc" or name == MANIFEST
        if not is_code and (path.is_symlink() or path.is_file()):
            yield name, path


def _facts(path: Path) -> list[object]:
    if path.is_symlink():
        return ["link", str(path.readlink())]
    return [path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()]
