"""A copy puts a large COMMIT into effect by itself, between the batches that it gets.

The COMMIT is in its log already, and was acknowledged (data/storage/later.py). Until the lead's
APPLIED entry comes there is time; what is left then is done with that entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from data.storage.element import Element
from protocol import trace

UNITS_AT_ONCE = 2  # in one turn of the loop: some 10 ms
PAUSE_S = 0.005  # when the element is busy with something else


class LaterApplier:
    """The driver of one element. `kick` it now and then."""

    def __init__(
        self, element: Element, may: Callable[[], bool], failed: Callable[[Exception], None]
    ) -> None:
        """may: this element is a copy, and nobody uses its batch. failed: it cannot be done."""
        self._element = element
        self._may = may
        self._failed = failed
        self._timer: asyncio.Handle | None = None
        self._lsn = 0  # of the COMMIT whose traces of another time are removed

    def kick(self) -> None:
        """Go on if there is something to do."""
        later = self._element.later
        if later is not None and later.at < later.total and self._timer is None:
            self._timer = asyncio.get_running_loop().call_soon(self._step)

    def stop(self) -> None:
        """Nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self) -> None:
        self._timer = None
        element = self._element
        later = element.later
        if later is None or later.at == later.total:
            return
        if not self._may():
            self._lsn = 0  # a lead leaves more behind
            return
        loop = asyncio.get_running_loop()
        if element.in_batch or element.busy:
            self._timer = loop.call_later(PAUSE_S, self._step)
            return
        if trace.steps.listener is not None:
            trace.step("data/replication/later.py")
        try:
            self._some_units(later.lsn)
        except Exception as error:
            element.rollback()
            self._failed(error)
            return
        self._timer = loop.call_soon(self._step)

    def _some_units(self, lsn: int) -> None:
        element = self._element
        element.begin()
        if self._lsn != lsn:
            element.forget_before()
            self._lsn = lsn
        for count, _ in enumerate(element.later_slices(), 1):
            if count == UNITS_AT_ONCE:
                break
        element.commit()
