"""COPY in the session: the driver's side of both directions. Row formats:
protocol/pgwire/copy_rows.

COPY FROM: CopyData → CopyIn.feed, held back while the engine is behind. COPY TO: a sink that puts
the end of the data between the last row and the command tag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from data.session.engine import CopyIn, ResultSink
from protocol.pgwire import messages
from protocol.pgwire.copy_rows import CopyRowEncoder


class CopyOwner(Protocol):
    """What an incoming COPY needs of its session."""

    closed: bool

    def copy_blocked(self, blocked: bool) -> None:
        """Stop or go on looking at messages; False also handles what has come meanwhile."""
        ...


class CopyInStream:
    """One COPY FROM STDIN: passes data on and waits while the engine has enough."""

    def __init__(self, owner: CopyOwner, copy: CopyIn) -> None:
        self._owner = owner
        self._copy = copy
        self._over = False

    def feed(self, chunk: bytes) -> None:
        """The content of one CopyData message. Raises GridError."""
        self._copy.feed(chunk)
        if not self._over and self._copy.paused:
            self._owner.copy_blocked(True)
            self._copy.on_ready(self._ready)

    def finish(self) -> None:
        """CopyDone. The outcome comes through the sink."""
        self._over = True
        self._copy.finish()

    def abort(self, reason: str) -> None:
        """CopyFail, cancel or a lost client. The sink gets fail() unless the session is closed."""
        self._over = True
        self._copy.abort(reason)

    def failed(self) -> None:
        """The sink got fail(): nothing more is passed on."""
        self._over = True

    def _ready(self) -> None:
        if not self._over and not self._owner.closed:
            self._owner.copy_blocked(False)


class _RelaySink:
    """A sink in front of the session's own."""

    def __init__(self, session: ResultSink) -> None:
        self._session = session
        self.on_writable = session.on_writable
        self.rows = session.rows
        self.suspended = session.suspended
        self.fail = session.fail
        self.notice = session.notice
        self.parameter = session.parameter
        self.open_cursor = session.open_cursor

    @property
    def writable(self) -> bool:
        """See ResultSink."""
        return self._session.writable

    def answer(self, data: bytes | bytearray, count: int, tag: str) -> None:
        """See ResultSink."""
        self.rows(data, count)
        self.done(tag)

    def done(self, tag: str) -> None:
        """See ResultSink."""
        self._session.done(tag)


class CopyOutSink(_RelaySink):
    """The sink of COPY TO STDOUT: what stands before, around and after the rows."""

    def __init__(
        self, session: ResultSink, append: Callable[[bytes], None], encoder: CopyRowEncoder
    ) -> None:
        super().__init__(session)
        self._append = append
        self._encoder = encoder
        self._any_rows = False
        self.rows = self._first_rows
        append(encoder.preamble())

    def _first_rows(self, data: bytes | bytearray, count: int) -> None:
        self._any_rows = True
        self.rows = self._session.rows
        self.rows(self._encoder.opened(data), count)

    def done(self, tag: str) -> None:
        """See ResultSink."""
        self._append(self._encoder.trailer(self._any_rows) + messages.COPY_DONE)
        self._session.done(tag)


class TagSink(_RelaySink):
    """The sink of a statement run on behalf of another command, whose tag it gives."""

    def __init__(self, session: ResultSink, tag: str) -> None:
        super().__init__(session)
        self._tag = tag

    def done(self, tag: str) -> None:
        """See ResultSink."""
        self._session.done(self._tag)
