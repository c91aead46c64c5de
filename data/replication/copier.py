"""Entries to bytes and back, and what a copy does with them: the I/O between machine and element.

A batch is encoded once, for all copies. The copy decodes entries to apply them, and stores each
payload as it came.
"""

from __future__ import annotations

import msgspec

from data.replication.log_shape import LogShape
from data.storage.element import Element
from data.storage.entry import LogEntry
from protocol import trace
from protocol.errors import CorruptElementError, LogGapError
from protocol.ids import LogPosition
from protocol.limits import KIB, MIB
from protocol.messages.replication import Append, Part

CHUNK_BYTES = 128 * KIB  # of log in one message to a copy that catches up
PART_BYTES = MIB  # a body larger than BODY_BYTES_MAX travels in pieces of this
BODY_BYTES_MAX = 4 * MIB

encode_entries = msgspec.msgpack.Encoder().encode  # list[LogEntry] -> bytes
decode_entries = msgspec.msgpack.Decoder(list[LogEntry]).decode

UNKNOWN_LOG = LogPosition(-1, 0)  # of a corrupt element: nothing in common with any log


def shape_of(element: Element) -> LogShape:
    """The committed log's spans, found by bisection: few terms, many entries."""
    start, tail = element.log_start, element.committed_tail
    spans = []
    last, term = tail.lsn, tail.term
    while last > start.lsn:
        low, high = start.lsn + 1, last  # the first entry of `term` is in low..high
        while low < high:
            middle = (low + high) // 2
            if _term_at(element, middle) == term:
                high = middle
            else:
                low = middle + 1
        spans.append((term, low, last))
        last = low - 1
        term = _term_at(element, last) if last > start.lsn else 0
    return LogShape(start, reversed(spans))


def _term_at(element: Element, lsn: int) -> int:
    entry = element.entry_at(lsn)
    if entry is None:
        raise CorruptElementError(f"the log has no entry {lsn}")
    return entry.term


def store(element: Element, body: bytes, after: int, commit_lsn: int) -> None:
    """Apply and commit the entries of `body` beyond LSN `after`. Raises what Element raises."""
    if trace.steps.listener is not None:
        trace.step("data/replication/copier.py")
    entries = decode_entries(body)
    if element.in_batch:  # left over from this element's own time as lead
        element.rollback()
    element.set_commit_point(max(commit_lsn, element.commit_point))
    element.begin()
    try:
        apply = element.apply_entry
        for entry in entries:
            if entry.lsn > after:
                apply(entry)
        element.commit()
    except BaseException:
        element.rollback()
        raise


def undo(element: Element, after: int) -> None:
    """Take back the entries beyond LSN `after`, newest first, in one commit."""
    if element.in_batch:
        element.rollback()
    element.begin()
    try:
        for lsn in range(element.committed_tail.lsn, after, -1):
            entry = element.entry_at(lsn)
            if entry is None:
                raise CorruptElementError(f"entry {lsn} must be undone and is not there")
            element.undo_entry(entry)
        element.commit()
    except BaseException:
        element.rollback()
        raise


def check_held(element: Element, body: bytes, upto: int) -> None:
    """Raise CorruptElementError if an entry up to `upto` is held here with other content."""
    for entry in decode_entries(body):
        if entry.lsn > upto:
            return
        held = element.entry_at(entry.lsn)
        if held is not None and held != entry:
            raise CorruptElementError(f"entry {entry.lsn} of term {entry.term} differs here")


class Assembly:
    """Bodies too large for one frame, arriving in parts. One at a time, from one lead."""

    def __init__(self) -> None:
        self._key = (0, 0)  # term, last LSN
        self._parts: list[bytes] = []

    def add(self, part: Part) -> None:
        """Keep a part. Raises LogGapError when one before it is missing."""
        key = (part.term, part.last_lsn)
        if part.number == 0:
            self._key, self._parts = key, []
        if key != self._key or part.number > len(self._parts):
            raise LogGapError("a part of a large entry is missing")
        if part.number == len(self._parts):
            self._parts.append(part.data)

    def take(self, append: Append) -> Append:
        """The message with its body. Raises LogGapError when the parts are not all there."""
        key = (append.term, append.spans[-1][2])
        if key != self._key or len(self._parts) != append.parts:
            raise LogGapError("a part of a large entry is missing")
        body = b"".join(self._parts)
        self._parts = []
        return msgspec.structs.replace(append, body=body, parts=0)


def parts_of(append: Append) -> list[Part]:
    """The body of a large Append in pieces."""
    view = memoryview(append.body)
    last = append.spans[-1][2]
    return [
        Part(append.db, append.rs, append.sender, append.term, last, number, bytes(view[at:end]))
        for number, (at, end) in enumerate(
            (at, at + PART_BYTES) for at in range(0, len(view), PART_BYTES)
        )
    ]


def without_body(append: Append, parts: int) -> Append:
    """What is sent after the parts."""
    return msgspec.structs.replace(append, body=b"", parts=parts)


def cut_below(element: Element, keep_bytes: int, commit_lsn: int, limit_lsn: int) -> int:
    """Log cutting policy: entries below this LSN may go; 0: nothing.

    Only size makes the log be cut, and then a copy that lacks the oldest part needs a snapshot.
    Never cut: what is not committed by the lead (every in-sync copy has the rest), what lies
    beyond `limit_lsn` (epochs, backups). Open PREPAREs are the element's own care.
    """
    start, tail = element.log_start.lsn, element.committed_tail.lsn
    kept = element.log_bytes
    if kept <= keep_bytes or tail <= start:
        return 0
    surplus = int((tail - start) * (kept - keep_bytes) / kept)
    return min(start + 1 + surplus, commit_lsn, limit_lsn)
