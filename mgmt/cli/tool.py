"""What every tool beside ttGridAdmin does the same way: errors, exit codes, answers yes or no."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mgmt.api.schema import exit_code
from mgmt.cli.client import user
from protocol import audit_file
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


@contextlib.contextmanager
def audited(home: Path, tool: str, words: list[str]) -> Iterator[None]:
    """Writes to the audit log of the instance what a tool does to it, and what came of it.

    A log that cannot be written (a full disk) is said on standard error; the work goes on.
    """
    began_s, result = time.monotonic(), "interrupted"
    try:
        yield
        result = audit_file.DONE
    except GridError as error:
        result = error.code
        raise
    finally:
        seconds, what = time.monotonic() - began_s, " ".join([tool, *words])
        try:
            audit_file.command(home, f"{user()} with {tool}", what, result, seconds)
        except OSError as error:
            print(f"Warning: not in the audit log: {error}", file=sys.stderr)


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
