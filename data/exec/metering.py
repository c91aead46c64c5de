"""Counts and times the statements of one session. On the way of every statement: see
benchmarks/metering.py for what it costs.

The time of a statement is that from its execution to its tag; of one that is read in pieces, to
the end of the first piece.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

import structlog

from data.sql.type_names import base_name
from protocol import trace_id
from protocol.metrics import NEVER_NS, DatabaseMeters, StatementStats, slot_of

if TYPE_CHECKING:
    from data.exec.prepared import PreparedStatement
    from data.exec.session import Session
    from protocol.errors import GridError

log = structlog.get_logger(__name__)
_clock_ns: Final = perf_counter_ns
TEXT_CHARS_MAX: Final = 2000  # of a slow statement in the log

_ROWS: Final[dict[str, int]] = {
    f"{words}{count}": count
    for words in ("SELECT ", "INSERT 0 ", "UPDATE ", "DELETE ", "MERGE ", "COPY ")
    for count in range(100)
}


def rows_of(tag: str) -> int:
    """How many rows a command tag speaks of."""
    number = tag.rpartition(" ")[2]
    return int(number) if number.isdecimal() else 0


Begun = tuple["StatementStats | None", "PreparedStatement | None", str, int]


class Meter:
    """Of one session; one statement at a time."""

    __slots__ = ("_began_ns", "_meters", "_number", "_session", "_statement", "_stats", "_trace")

    def __init__(self, session: Session, meters: DatabaseMeters) -> None:
        self._session = session
        self._meters = meters
        self._stats: StatementStats | None = None
        self._statement: PreparedStatement | None = None
        self._trace = ""  # element, session, statement
        self._number = 0
        self._began_ns = 0

    def begin(self, stats: StatementStats, statement: PreparedStatement | None = None) -> None:
        """A statement begins; None: the commit of statements that were sent together."""
        self._stats = stats
        self._statement = statement
        if self._meters.slow_ns < NEVER_NS:
            self._number += 1
            session = self._session
            self._trace = f"{session.element}.{session.session_id}.{self._number}"
            trace_id.current.set(self._trace)
        self._began_ns = _clock_ns()

    def done(self, tag: str) -> None:
        """It ended well, or its first piece did. Nothing happens if none was begun."""
        stats = self._stats
        if stats is None:
            return
        ns = _clock_ns() - self._began_ns
        self._stats = None
        slot = slot_of(ns)
        stats.slots[slot] += 1
        stats.total_ns += ns
        if ns > stats.longest_ns:
            stats.longest_ns = ns
        of_kind = stats.of_kind
        of_kind.slots[slot] += 1
        of_kind.total_ns += ns
        rows = _ROWS.get(tag)
        if rows is None:
            rows = rows_of(tag)
        stats.rows += rows
        if stats.may_commit and not self._session.in_transaction and tag != "ROLLBACK":
            commits = self._meters.commits
            commits.slots[slot] += 1
            commits.total_ns += ns
        if ns >= self._meters.slow_ns:
            self._slow(stats, ns, rows, "")

    def failed(self, error: GridError) -> None:
        """It failed; or something did before it could begin. The client is told."""
        self._meters.failed(error.code, error.sqlstate)
        self.failed_inside(error)

    def failed_inside(self, error: GridError) -> None:
        """The same of a statement of a block, which may handle the error: nobody is told yet."""
        stats = self._stats
        if stats is None:
            return
        self._stats = None
        stats.errors += 1
        ns = _clock_ns() - self._began_ns
        if ns >= self._meters.slow_ns:
            self._slow(stats, ns, 0, error.code)

    def set_aside(self) -> Begun:
        """What was begun is a block: its own statements are counted and timed until `go_on`."""
        begun = (self._stats, self._statement, self._trace, self._began_ns)
        self._stats = None
        return begun

    def go_on(self, begun: Begun) -> None:
        """The block is what runs again."""
        self._stats, self._statement, self._trace, self._began_ns = begun
        if self._trace:
            trace_id.current.set(self._trace)

    def _slow(self, stats: StatementStats, ns: int, rows: int, error: str) -> None:
        """What ran, how long, with parameters of which types: their values are told to nobody."""
        session, statement = self._session, self._statement
        self._meters.slow += 1
        types = statement.compiled.param_types if statement is not None else ()
        log.warning(
            "statement.slow",
            trace=self._trace,
            database=session.database,
            user=session.user,
            session=session.session_id,
            application=session.settings.get("application_name", ""),
            seconds=round(ns / 1e9, 6),
            statement=statement.sql[:TEXT_CHARS_MAX] if statement is not None else "COMMIT",
            parameters=[base_name(one) for one in types],
            plan=stats.plan,
            rows=rows,
            error=error,
        )
