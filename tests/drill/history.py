"""What clients asked and what they were told, when: the history that the checkers judge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec


class Outcome(StrEnum):
    """What a client knows of its operation."""

    OK = "ok"  # acknowledged
    FAILED = "failed"  # refused: it must not have happened
    UNKNOWN = "unknown"  # it may have happened, or may still happen


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client. Times are seconds of one monotonic clock for all clients."""

    process: int
    action: str
    key: Any
    value: Any  # what was asked for
    result: Any  # what was answered
    start_s: float
    end_s: float
    outcome: Outcome
    workload: str = ""
    error: str = ""  # SQLSTATE or kind of the error
    server: str = ""  # address of the data instance

    @property
    def effect_until_s(self) -> float:
        """It happened, if it did, before this moment."""
        return math.inf if self.outcome is Outcome.UNKNOWN else self.end_s

    def __str__(self) -> str:
        said = self.error or self.result
        return (
            f"[{self.start_s:.4f}, {self.end_s:.4f}] client {self.process} at {self.server or '?'}:"
            f" {self.action} {self.key} {self.value!r} -> {self.outcome} {said!r}"
        )


@dataclass(frozen=True)
class Verdict:
    """What a checker found."""

    checker: str
    checked: int  # things looked at: 0 says nothing
    violations: tuple[str, ...] = ()
    is_promised: bool = True  # False: known not to hold yet, reported and not counted
    undecided: int = 0  # given up on, too large

    @property
    def word(self) -> str:
        """For the report."""
        if self.violations:
            return "VIOLATED" if self.is_promised else "not promised yet"
        return "undecided" if self.undecided else "holds" if self.checked else "nothing seen"


def of(history: Iterable[Operation], workload: str, *actions: str) -> list[Operation]:
    """The operations of a workload in the order of their starts; all actions if none are named."""
    found = [
        operation
        for operation in history
        if operation.workload == workload and (not actions or operation.action in actions)
    ]
    return sorted(found, key=lambda operation: operation.start_s)


def write(path: Path, history: Iterable[Operation]) -> None:
    """One JSON object per line."""
    encode = msgspec.json.encode
    path.write_bytes(b"".join(encode(operation) + b"\n" for operation in history))


def read(path: Path) -> Iterator[Operation]:
    """What `write` wrote; tuples have become lists."""
    for line in path.read_bytes().splitlines():
        yield msgspec.json.decode(line, type=Operation)
