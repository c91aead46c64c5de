"""How a session ends that is told to: not before its client knows what became of its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from protocol import trace
from protocol.errors import GridError, OutcomeUnknownError

if TYPE_CHECKING:
    from data.session.session import Session

OUTCOME_WAIT_S: Final = 2.0  # a session that is ended waits so long for the answer to its commit


class Ending:
    """What is told to the client as the last thing says that nothing was done: it must be so."""

    def __init__(self, session: Session, commits: Callable[[], bool]) -> None:
        """commits: a commit is on its way, it may be done or not."""
        self._session = session
        self._commits = commits
        self._error: GridError | None = None  # why it ends
        self._timer: asyncio.TimerHandle | None = None
        self._is_late = False  # it has been waited for long enough

    @property
    def is_open(self) -> bool:
        """What becomes of the client's commit is not known yet."""
        return not (self._session.closed or self._is_late) and self._commits()

    def waits(self, error: GridError) -> bool:
        """True: the session will be ended with this error, or with OutcomeUnknownError, later."""
        if trace.steps.listener is not None:
            trace.step("data/session/ending.py")
        if not self.is_open:
            return False
        if self._error is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(OUTCOME_WAIT_S, self._late)
        self._error = error
        return True

    def check(self) -> None:
        """Something was answered: if it is what the end waited for, end."""
        if self._error is not None and not self._commits():
            self._session.connection.fatal(self._error)
            if self._timer is not None:
                self._timer.cancel()

    def _late(self) -> None:
        if not self.is_open:
            return
        self._is_late = True
        assert self._error is not None
        unknown = OutcomeUnknownError(
            f"{self._error.message}; whether the last statement was committed is not known",
            hint="Look for its effect before you repeat it.",
        )
        self._session.end(unknown)
