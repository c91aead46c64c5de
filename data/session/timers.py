"""The time limits of one client session: of its statement, and of doing nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from data.session.engine import IDLE, SqlSession
from protocol.errors import (
    CancelledError,
    GridError,
    IdleInTransactionError,
    IdleSessionError,
    StatementTimeoutError,
)


class Timers:
    """One of each; callers start and stop them, a session without limits has none."""

    __slots__ = ("_idle", "_statement", "statement_is_late")

    def __init__(self) -> None:
        self._statement: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.statement_is_late = False  # its cancellation is the timeout's doing

    def statement(self, seconds: float, cancel: Callable[[], None]) -> None:
        """A statement goes on elsewhere: `cancel` it when its time is over (0 s: it has no limit).

        One that is timed already, as COPY while its data came, gets no more.
        """
        if not seconds or self._statement is not None or self.statement_is_late:
            return

        def late() -> None:
            self._statement = None
            self.statement_is_late = True
            cancel()

        self._statement = asyncio.get_running_loop().call_later(seconds, late)

    def statement_over(self) -> None:
        """It is no longer timed."""
        self.statement_is_late = False
        if self._statement is not None:
            self._statement.cancel()
            self._statement = None

    def failed(self, error: GridError) -> GridError:
        """The statement ended with that error: what to tell the client."""
        is_late = self.statement_is_late
        self.statement_over()
        if is_late and isinstance(error, CancelledError):
            return StatementTimeoutError("canceling statement due to statement timeout")
        return error

    def idle(self, sql: SqlSession, end: Callable[[GridError], None]) -> None:
        """The client is waited for: `end` the session if it stays silent for too long."""
        in_none = sql.transaction_status == IDLE
        seconds = sql.idle_session_timeout_s if in_none else sql.idle_in_transaction_timeout_s
        error = _idle_session if in_none else _idle_in_transaction
        self.heard()
        if seconds:
            self._idle = asyncio.get_running_loop().call_later(seconds, lambda: end(error()))

    def heard(self) -> None:
        """The client said something."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def stop(self) -> None:
        """Nothing is timed any more."""
        self.statement_over()
        self.heard()


def _idle_session() -> GridError:
    return IdleSessionError("terminating connection due to idle-session timeout")


def _idle_in_transaction() -> GridError:
    return IdleInTransactionError(
        "terminating connection due to idle-in-transaction timeout",
        hint="Its transaction was rolled back. See idle_in_transaction_session_timeout.",
    )
