"""The statements of one simple query. No I/O."""

from __future__ import annotations

from typing import Final

STATEMENTS_PER_TURN: Final = (
    100  # of a script, one after the other; then other clients have their turn
)


class Script:
    """What is left to run of a simple query's text, and where in it the running statement is."""

    __slots__ = ("_next", "_parts", "_text", "is_block", "offset")

    def __init__(self, text: str, parts: list[str]) -> None:
        self._text = text
        self._parts = parts[::-1]
        self._next = 0
        self.offset = 0  # where the running statement begins, in characters
        self.is_block = len(parts) > 1

    def __bool__(self) -> bool:
        return bool(self._parts)

    def next(self) -> str:
        """The next statement."""
        part = self._parts.pop()
        self.offset = max(self._text.find(part, self._next), 0)
        self._next = self.offset + len(part)
        return part

    def drop(self) -> None:
        """Run no more of it."""
        self._parts.clear()


NOTHING: Final = Script("", [])
