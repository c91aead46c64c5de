"""Which requests are written to the audit log, and how. Pure."""

from __future__ import annotations

import re

import msgspec

from mgmt.api.schema import Request

READING = frozenset(
    (
        *("list", "status", "display", "compare", "picture", "events", "activity", "statements"),
        *("transactions", "disconnect-status", "transferStatus", "balance"),
    )
)  # verbs of requests that change nothing; all others are audited
VALUE_CHARS_MAX = 120
_PRIVATE = re.compile(r"pass|secret|token|pwd|text|document|content|key|cert", re.IGNORECASE)


def is_audited(kind: type[Request]) -> bool:
    """Whether somebody may ask later who did that."""
    return kind.PATH.rpartition("/")[2] not in READING


def spoken(request: Request) -> str:
    """The request in one line: what was given, without the contents of files and secrets."""
    words = [request.PATH]
    defaults = {field.name: field.default for field in msgspec.structs.fields(type(request))}
    for name, value in msgspec.structs.asdict(request).items():
        if value == defaults[name] or value in ("", (), None):
            continue
        is_hidden = _PRIVATE.search(name) is not None or "\n" in str(value)  # lines: of a file
        words.append(f"{name}={'...' if is_hidden else _shown(value)}")
    return " ".join(words)


def _shown(value: object) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    shown = " ".join(shown.split())
    return shown if len(shown) <= VALUE_CHARS_MAX else shown[:VALUE_CHARS_MAX] + "..."
