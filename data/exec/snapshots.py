"""Snapshots that coordinators hold at this element: the executing side of OpenSnapshot.

What a snapshot shows was committed under the lead's lease when it was opened; it stays true
whoever leads later, so reads in it ask nobody any more. It ends with its coordinator, when it is
closed, and when it has kept the SQLite WAL from being folded in for too long.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass

import structlog

from data.storage.held import HeldSnapshot
from protocol.clock import boottime_s
from protocol.errors import SnapshotTooOldError, StaleMapError, StaleSchemaError
from protocol.messages.sql import OpenSnapshot, ReadRows

log = structlog.get_logger()

_NUMBERS = itertools.count(secrets.randbits(48))  # another instance's are never ours


@dataclass(slots=True)
class Snapshot:
    """One held snapshot and what it was opened for."""

    held: HeldSnapshot
    owner: str  # the peer whose loss ends it
    schema: int
    map_version: int
    opened_s: float


class Snapshots:
    """The held snapshots of one element."""

    def __init__(self) -> None:
        self._snapshots: dict[int, Snapshot] = {}

    def __len__(self) -> int:
        return len(self._snapshots)

    def add(self, message: OpenSnapshot, held: HeldSnapshot, owner: str) -> int:
        """Keep a snapshot; returns its number."""
        number = next(_NUMBERS)
        self._snapshots[number] = Snapshot(
            held,
            owner,
            message.schema,
            message.map_version,
            boottime_s(),
        )
        return number

    def find(self, message: ReadRows) -> Snapshot:
        """The snapshot of a read. Raises SnapshotTooOldError, StaleSchemaError, StaleMapError."""
        snapshot = self._snapshots.get(message.snapshot)
        if snapshot is None:
            raise gone()
        if message.schema != snapshot.schema:
            raise StaleSchemaError(f"the snapshot is of schema version {snapshot.schema}")
        if message.map_version != snapshot.map_version:
            raise StaleMapError(f"the snapshot is of map version {snapshot.map_version}")
        return snapshot

    def held(self, number: int) -> HeldSnapshot:
        """A snapshot by number. Raises SnapshotTooOldError."""
        snapshot = self._snapshots.get(number)
        if snapshot is None:
            raise gone()
        return snapshot.held

    def take(self, number: int) -> Snapshot | None:
        """Take a snapshot out; the caller closes it."""
        return self._snapshots.pop(number, None)

    def of_owner(self, owner: str) -> list[int]:
        """The snapshots of a peer."""
        return [n for n, s in self._snapshots.items() if s.owner == owner]

    def all(self) -> list[int]:
        """Their numbers."""
        return list(self._snapshots)

    def older_than(self, age_s: float) -> list[int]:
        """Those that are held for longer."""
        before_s = boottime_s() - age_s
        return [n for n, s in self._snapshots.items() if s.opened_s < before_s]

    def oldest(self) -> int:
        """The one held longest, 0 if there is none."""
        return min(self._snapshots, default=0)


def gone() -> SnapshotTooOldError:
    """The error for a snapshot that is not held any more."""
    return SnapshotTooOldError(
        "the snapshot of the transaction is gone",
        detail="It was held for too long, or the element that held it was stopped.",
        hint="Roll back and run the transaction again.",
    )
