"""What happened to the grid, as this management instance saw it: in memory, and in a file.

Both management instances keep their own, so a failover loses none. The file is diag/events.jsonl;
a full one becomes events.jsonl.1.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from mgmt.api.schema_picture import GridEvent
from mgmt.health.happenings import Happening
from protocol.clock import wall_us
from protocol.limits import MIB

log = structlog.get_logger(__name__)
FILE = "diag/events.jsonl"
KEPT_MAX = 2000
FILE_BYTES_MAX = 1 * MIB
LISTENERS_MAX = 64
WAITING_MAX = 1000  # messages that a listener has not taken yet
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(GridEvent).decode


class Listener:
    """Who is told of each new event. `missed`: it was too slow and was dropped."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[GridEvent] = asyncio.Queue(WAITING_MAX)
        self.missed = False

    def put(self, event: GridEvent) -> None:
        """Another event."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.missed = True


class EventLog:
    """The newest events, numbered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: deque[GridEvent] = deque(maxlen=KEPT_MAX)
        self.listeners: set[Listener] = set()
        for line in _lines(path.with_name(path.name + ".1")) + _lines(path):
            try:
                self._events.append(_decode(line))
            except msgspec.MsgspecError:
                continue  # the line that was written when the process ended
        self.last = max((event.id for event in self._events), default=0)

    def add(self, happenings: Iterable[Happening], operation: int = 0) -> None:
        """Remember and tell."""
        new = []
        for one in happenings:
            self.last += 1
            new.append(
                GridEvent(
                    id=self.last,
                    at_us=wall_us(),
                    kind=one.kind,
                    severity=one.severity,
                    subject=one.subject,
                    text=one.text,
                    database=one.database,
                    operation=operation,
                )
            )
        if new:
            self._events.extend(new)
            self._write(new)
            for listener in tuple(self.listeners):
                for event in new:
                    listener.put(event)

    def after(self, since: int, limit: int) -> tuple[GridEvent, ...]:
        """The newest `limit` ones behind `since`, oldest first."""
        found = [event for event in self._events if event.id > since]
        return tuple(found[-limit:]) if limit > 0 else ()

    def _write(self, new: list[GridEvent]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > FILE_BYTES_MAX:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            with self._path.open("ab") as file:
                file.write(b"".join(_encode(event) + b"\n" for event in new))
        except OSError as error:  # a full disk must not end the management instance
            log.warning("events.not_written", path=str(self._path), problem=error.strerror)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except OSError:
        return []
