"""Steps of a request, for the documents that follow one through the code. Off by default.

`docs/life-of-a-statement.md` and `docs/life-of-a-command.md` list files in the order in which a
request meets them; tests/integration/documents turns this on, runs the request and compares. A step
costs next to nothing while nobody listens, in machine code two reads of memory: write

    if trace.steps.listener is not None:
        trace.step("data/exec/fast.py")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class Steps:
    """Who listens. An attribute of an object: a name of a module is looked up in dictionaries."""

    def __init__(self) -> None:
        self.listener: Callable[[str, object], None] | None = None


steps: Final = Steps()


def step(file: str, subject: object = None) -> None:
    """This file did its part of the request; `subject`: the message it is about, if there is one.

    A listener tells by the subject what belongs to its request: beacons take the same way.
    """
    listener = steps.listener
    if listener is not None:
        listener(file, subject)
