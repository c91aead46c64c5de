"""A large batch on its way into a copy's element, slice by slice, before the machine hears of it.

The machine takes a Store for done at once. So a body that takes long is applied first, in an open
batch, while beacons are answered and other databases get their turn; then the machine is told,
and its Store finds everything there but the commit. Whatever else touches the element meanwhile
drops the open batch: nothing was promised yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

import structlog

from data.replication import copier
from data.storage.element import Element
from data.storage.entry import EntryKind
from protocol.messages.replication import Append, Probe
from protocol.rpc.server import Request

log = structlog.get_logger(__name__)

LARGE_BYTES = 256 * 1024  # a body from this size on is applied in slices


def is_long(element: Element, body: bytes) -> bool:
    """True if a body takes long to apply: by its size, or by what it puts into effect."""
    if len(body) >= LARGE_BYTES:
        return True
    waiting, later = element.open_parts, element.later
    if later is not None and later.at == later.total:
        later = None  # there is nothing left to do
    if not waiting and later is None:
        return False
    return any(
        (entry.kind == EntryKind.COMMIT and entry.txn in waiting)
        or (entry.kind == EntryKind.APPLIED and later is not None)
        for entry in copier.decode_entries(body)
    )


class ApplyAhead:
    """One message being applied. `done` is called when nothing is left but the commit."""

    def __init__(
        self,
        element: Element,
        message: Append,
        request: Request,
        done: Callable[[ApplyAhead], None],
    ) -> None:
        self.message = message
        self.request = request
        self.complete = False  # False at `done`: it failed, and was rolled back
        self._element = element
        self._done = done
        self._slices = self._work()
        self._over = False
        asyncio.get_running_loop().call_soon(self._step)

    def asked_again(self, message: object) -> bool:
        """True if it is this message, sent again, or its sender asks what became of it."""
        if isinstance(message, Append):
            return message.term == self.message.term and message.spans == self.message.spans
        return isinstance(message, Probe) and message.term == self.message.term

    def _work(self) -> Generator[asyncio.Future[None] | None, None, None]:
        element = self._element
        if element.in_batch:  # left over from this element's own time as lead
            element.rollback()
        element.begin()
        for entry in copier.decode_entries(self.message.body):
            yield from element.apply_slices(entry, element.start_long)
            yield None

    def _step(self) -> None:
        if self._over:
            return
        future = None
        try:
            future = next(self._slices)
        except StopIteration:
            self.complete = True
        except Exception as error:  # the machine's own Store will meet it again, and say what to do
            log.warning("replication.apply_ahead_failed", error=str(error))
            self._over = True
            self._element.rollback()
        else:
            if future is None:
                asyncio.get_running_loop().call_soon(self._step)
            else:
                future.add_done_callback(lambda _: self._step())
            return
        self._done(self)

    def commit(self, commit_lsn: int) -> None:
        """Make it last. Raises what Element.commit raises."""
        self._over = True
        element = self._element
        element.set_commit_point(max(commit_lsn, element.commit_point))
        element.commit()

    def drop(self) -> None:
        """Give it up; nothing of it stays."""
        if not self._over:
            self._over = True
            self._element.abandon_long()
            self._slices.close()
            self._element.rollback()
