"""Listens to protocol/trace.py, and reads the numbered tables of documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol import trace
from protocol.messages import reach, replication, txn

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Messages that pass all the time, whatever anybody asks for.
BACKGROUND = (
    replication.Beacon,
    replication.Probe,
    replication.Whereabouts,
    replication.Hello,
    replication.HandOver,
    replication.Leave,
    txn.AskOpen,
    txn.StillOpen,
    reach.Pulse,
)
Step = tuple[str, str]  # file, name of the message type it is about ("" none)
_ROW = re.compile(r"^\| (\d+) \| (.*?) \|")
_CODE = re.compile(r"`([^`]+)`")


@contextmanager
def listening(also: Callable[[str, object], None] | None = None) -> Iterator[list[Step]]:
    """The steps while the body runs; `also` is called with each of them."""
    steps: list[Step] = []

    def listen(file: str, subject: object) -> None:
        if isinstance(subject, BACKGROUND):
            return
        steps.append((file, "" if subject is None else type(subject).__name__))
        if also is not None:
            also(file, subject)

    assert trace.steps.listener is None, "one test at a time"
    trace.steps.listener = listen
    try:
        yield steps
    finally:
        trace.steps.listener = None


def files(steps: Iterable[Step]) -> list[str]:
    """The files alone; a file that takes several steps in a row counts once."""
    found: list[str] = []
    for file, _ in steps:
        if not found or found[-1] != file:
            found.append(file)
    return found


def first_times(steps: Iterable[Step]) -> list[Step]:
    """Each step once, where it came first: for work that goes on at several places at a time."""
    return list(dict.fromkeys(steps))


def table(document: str, heading: str) -> list[list[str]]:
    """What stands in `code` in the first column behind the number, row by row, of the first table

    below a heading. Checks that the rows are numbered 1, 2, 3, ...
    """
    text = (DOCS / document).read_text(encoding="utf-8")
    _, found, below = text.partition(f"\n## {heading}\n")
    assert found, f"{document} has no heading {heading!r}"
    section = below.partition("\n## ")[0]
    rows = [match for line in section.splitlines() if (match := _ROW.match(line))]
    assert [int(row[1]) for row in rows] == list(range(1, len(rows) + 1))
    return [_CODE.findall(row[2]) for row in rows]
