"""`diag/ttaudit.log` of an instance, as programs write it that are no daemon."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import msgspec

FILE = Path("diag", "ttaudit.log")
NAME = "audit"
DONE = "done"
TEXT_CHARS_MAX = 2000


def command(home: Path, who: str, what: str, result: str, seconds: float) -> None:
    """The line of protocol.audit.command, by a program that is no daemon, into an instance's file.

    One write to a file opened for appending: lines of a daemon that is running do not mix with it.
    Raises OSError if the file cannot be written.
    """
    line = {
        "who": who,
        "command": what[:TEXT_CHARS_MAX],
        "result": result,
        "seconds": round(seconds, 3),
        "event": "audit.command",
        "logger": NAME,
        "level": "info",
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z"),
    }
    (home / FILE).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(home / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, msgspec.json.encode(line) + b"\n")
    finally:
        os.close(handle)
