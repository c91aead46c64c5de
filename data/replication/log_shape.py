"""What a log holds, without its entries: terms and LSNs. Pure.

Two logs that hold an entry with the same (term, lsn) are equal up to it, because a term has one
lead and that lead's entries continue one log. So the common part of two logs follows from their
spans alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.ids import LogPosition

Span = tuple[int, int, int]  # term, first LSN, last LSN

SPANS_TOLD_MAX = 256  # more terms than that behind: a snapshot is quicker anyway


class LogShape:
    """Spans of one log, oldest first. `start`: entries up to it are no longer kept."""

    __slots__ = ("_spans", "start", "tail")

    def __init__(self, start: LogPosition, spans: Iterable[Span] = ()) -> None:
        self.start = start
        self._spans: list[Span] = []
        self.tail = start
        for term, first, last in spans:
            self.append(term, first, last)

    def append(self, term: int, first: int, last: int) -> None:
        """Entries first..last of a term follow the tail."""
        assert first == self.tail.lsn + 1 <= last, (self.tail, term, first, last)
        assert term >= self.tail.term, (self.tail, term)
        spans = self._spans
        if spans and spans[-1][0] == term:
            spans[-1] = (term, spans[-1][1], last)
        else:
            spans.append((term, first, last))
        self.tail = LogPosition(term, last)

    def undo_to(self, lsn: int) -> None:
        """Forget the entries beyond a position that is held."""
        assert self.start.lsn <= lsn <= self.tail.lsn, (self.start, lsn, self.tail)
        spans = self._spans
        while spans and spans[-1][1] > lsn:
            spans.pop()
        if spans:
            term, first, last = spans[-1]
            spans[-1] = (term, first, min(last, lsn))
            self.tail = LogPosition(term, min(last, lsn))
        else:
            self.tail = self.start

    def cut_to(self, start: LogPosition) -> None:
        """The entries up to `start` are no longer kept."""
        if start.lsn <= self.start.lsn:
            return
        assert start.lsn <= self.tail.lsn
        self._spans = [(t, max(f, start.lsn + 1), n) for t, f, n in self._spans if n > start.lsn]
        self.start = start

    def term_at(self, lsn: int) -> int | None:
        """Term of the entry at `lsn`; None: not held (the start is known though it is cut)."""
        if lsn == self.start.lsn:
            return self.start.term
        for term, first, last in reversed(self._spans):
            if first <= lsn <= last:
                return term
        return None

    def spans(self) -> tuple[Span, ...]:
        """The newest spans, oldest of them first, for another member's `common`."""
        return tuple(self._spans[-SPANS_TOLD_MAX:])

    def spans_between(self, after: int, last: int) -> tuple[Span, ...]:
        """Spans of the entries after `after` up to `last`."""
        parts = [(t, max(f, after + 1), min(n, last)) for t, f, n in self._spans]
        return tuple(part for part in parts if part[1] <= part[2])

    def copy(self) -> LogShape:
        """An equal one that changes by itself."""
        return LogShape(self.start, self._spans)


def common_position(
    lead: LogShape, copy_start: LogPosition, copy_spans: Iterable[Span]
) -> LogPosition | None:
    """The last position both logs have, if the lead can continue the copy from there.

    None: the copy needs a snapshot, because the lead no longer has what follows, the copy no
    longer has what must be undone, or nothing is known to be common.
    """
    theirs = _last_of_terms(copy_start, copy_spans)
    mine = _last_of_terms(lead.start, lead.spans())
    shared = max((term for term in theirs if term in mine), default=None)
    if shared is None:
        return None
    lsn = min(theirs[shared], mine[shared])
    if lsn < lead.start.lsn or lsn < copy_start.lsn:
        return None
    return LogPosition(shared, lsn)


def _last_of_terms(start: LogPosition, spans: Iterable[Span]) -> dict[int, int]:
    """Term -> newest LSN of it that is held or known. Every log begins empty with term 0."""
    known = {start.term: start.lsn}
    for term, _, last in spans:
        known[term] = max(last, known.get(term, 0))
    return known
