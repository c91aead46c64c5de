"""Whether a lead leaves a batch open for a moment before it sends it. Pure; decision 0159.

A batch costs much the same in messages, wake-ups and disk flushes whatever it holds. Clients whose
commits a batch has answered come back with the next ones about at the same time: while fewer
are there than came lately, the batch stays open for two more looks at the sockets. That takes
microseconds where nobody comes, so nothing has to be learned and no timer runs.
"""

from __future__ import annotations

TURNS = 2  # of the event loop
SHARE = 0.8  # of those who are expected: the last ones are not waited for


class Gathering:
    """Of one lead."""

    def __init__(self) -> None:
        self._wanted = 0.0  # commits with which a batch goes at once
        self._turns = 0  # that the next batch may still wait

    def batch_ended(self, answered: int, waiting: int) -> None:
        """A batch was answered to so many; so many more commits are there already."""
        self._wanted = SHARE * (answered + waiting)
        self._turns = TURNS

    def must_wait(self, gathered: int) -> bool:
        """True: ask again in the next turn of the loop. False: send the batch, it holds so many."""
        if not self._turns or gathered >= self._wanted:
            self._turns = 0
            return False
        self._turns -= 1
        return True
