"""What every tool beside ttGridAdmin does the same way: errors, exit codes, answers yes or no."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from mgmt.api.schema import exit_code
from protocol.errors import GridError


def guarded(work: Callable[[list[str]], int]) -> int:
    """Run a tool's work on the command line; a GridError becomes text and an exit code."""
    try:
        return work(sys.argv[1:])
    except GridError as error:
        print(f"Error {error.tt_number or error.code}: {error.message}", file=sys.stderr)
        for text in (error.detail, error.hint):
            if text:
                print(text, file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return 130


def installation_of_this_program() -> Path:
    """The directory above bin/ through which this program was called; links stay as they are."""
    called = Path(os.path.abspath(sys.argv[0]))
    if called.parent.name == "bin" and called.exists():
        return called.parent.parent
    return Path(sys.prefix)


def confirmed(question: str) -> bool:
    """Ask on the terminal; no terminal means no."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
