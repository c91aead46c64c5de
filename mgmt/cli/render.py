"""Replies as text. Pure."""

from __future__ import annotations

import time
from collections.abc import Sequence

PROGRESS_COLUMN = 70  # "Creating new model version......OK": where OK stands


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest value, a line of dashes below the headings.

    Numbers and headings of columns that hold only numbers stand right.
    """
    cells = [["" if value is None else str(value) for value in row] for row in rows]
    widths = [
        max([len(heading), *(len(row[i]) for row in cells)]) for i, heading in enumerate(headings)
    ]
    right = [
        bool(rows) and all(isinstance(row[i], int) or row[i] in ("", None) for row in rows)
        for i in range(len(headings))
    ]

    def line(values: Sequence[str]) -> str:
        parts = [
            v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)
        ]
        return " ".join(parts).rstrip()

    return "\n".join([line(headings), line(["-" * w for w in widths]), *map(line, cells)])


def moment(time_us: int) -> str:
    """Local time as lists show it; "" for 0 (never)."""
    if not time_us:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_us / 1_000_000))


def long_moment(time_us: int) -> str:
    """Local time as title lines show it: Thu Feb 22 07:37:28 PST 2018."""
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", time.localtime(time_us / 1_000_000))


def dotted(title: str) -> str:
    """The beginning of a progress line."""
    return title.ljust(PROGRESS_COLUMN, ".")


def with_warning(warning: str, text: str) -> str:
    """The warning, which main.py shows where errors go, before the text."""
    return f"{warning}\n{text}" if warning else text
