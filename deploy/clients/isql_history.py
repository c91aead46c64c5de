"""What was typed before: `history`, `!!`, `! 3`, `edit`."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

SHOWN = 10  # commands that `history` shows unless it is told how many
EDITOR = "vi"  # if neither VISUAL nor EDITOR names one


class HistoryError(ValueError):
    """There is no such command; the message says why."""


def listed(commands: Sequence[str], words: str) -> list[str]:
    """The answer to HISTORY: `-all`, a number, `-h` (without numbers), `-r` (newest first). Pure.

    Raises HistoryError.
    """
    count, numbers, newest_first = SHOWN, True, False
    for word in words.lower().split():
        if word in ("-all", "all"):
            count = len(commands)
        elif word == "-h":
            numbers = False
        elif word == "-r":
            newest_first = True
        elif word.isdigit() and int(word):
            count = int(word)
        else:
            raise HistoryError("use: history [-all] [-h] [-r] [HOW MANY]")
    first = max(len(commands) - count, 0)
    lines = [f"{n:>5}  {c}" if numbers else c for n, c in enumerate(commands[first:], first + 1)]
    return lines[::-1] if newest_first else lines


def chosen(commands: Sequence[str], which: str) -> str:
    """The command that `!!` or `! 3` means. Pure. Raises HistoryError."""
    number = len(commands) if which in ("", "!") else int(which)
    if not 1 <= number <= len(commands):
        raise HistoryError(
            f"there is no command {number} in the history" if number else "no history"
        )
    return commands[number - 1]


def is_choice(rest: str) -> bool:
    """True for what stands behind `!` if a command of the history is meant, none of the shell."""
    return rest in ("", "!") or rest.isdigit()


def edited(text: str) -> str:
    """What somebody makes of a text in an editor. Raises HistoryError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR
    with tempfile.TemporaryDirectory(prefix="ttisql-") as folder:
        file = Path(folder) / "command.sql"
        file.write_text(text + "\n", encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)
        except OSError as error:
            raise HistoryError(f"{editor}: {error.strerror}; EDITOR names another one") from error
        if done.returncode:
            raise HistoryError(f"{editor} ended with code {done.returncode}: nothing is done")
        return file.read_text(encoding="utf-8")
