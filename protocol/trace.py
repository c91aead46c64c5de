"""Steps of a request, for the documents that follow one through the code. Off by default.

`docs/life-of-a-statement.md` and `docs/life-of-a-command.md` list files in the order in which a
request meets them; tests/integration/documents turns this on, runs the request and compares. A step
costs one attribute look-up while nobody listens: write

    if trace.listener is not None:
        trace.step("data/exec/fast.py")
"""

from __future__ import annotations

from collections.abc import Callable

listener: Callable[[str, object], None] | None = None


def step(file: str, subject: object = None) -> None:
    """This file did its part of the request; `subject`: the message it is about, if there is one.

    A listener tells by the subject what belongs to its request: beacons take the same way.
    """
    if listener is not None:
        listener(file, subject)
