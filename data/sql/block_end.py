"""Where a PL/SQL block or stored unit ends in a script: which END is its own. Pure."""

from __future__ import annotations

_OPENERS = frozenset({"IF", "LOOP", "CASE"})


class BlockEnd:
    """Give it the words and semicolons of a block, its first word too, as they come."""

    def __init__(self) -> None:
        self._depth = 0  # BEGIN, IF, LOOP, CASE, PACKAGE … IS that are open
        self._bodies = 0  # DECLARE, PROCEDURE … IS whose BEGIN has not come
        self._head = ""  # PROCEDURE, FUNCTION, PACKAGE: its IS comes, or a semicolon
        self._in_package = False
        self._after_end = False

    def word(self, word: str) -> None:
        """The next word, in upper case."""
        after_end, self._after_end = self._after_end, False
        if after_end and word in _OPENERS:
            return
        if word == "END":
            self._depth -= 1
            self._after_end = True
        elif word in _OPENERS:
            self._depth += 1
        elif word == "BEGIN":
            self._begin()
        elif word == "DECLARE":
            self._bodies += 1
        elif word in ("PROCEDURE", "FUNCTION", "PACKAGE"):
            self._head = word
        elif word in ("IS", "AS") and self._head:
            if self._head == "PACKAGE":
                self._in_package = True
                self._depth += 1
            else:
                self._bodies += 1
            self._head = ""

    def apart(self) -> None:
        """The next word does not follow the last one: `END || CASE` is no END CASE."""
        self._after_end = False

    def _begin(self) -> None:
        if self._bodies:
            self._bodies -= 1
        elif self._in_package and self._depth == 1:
            return  # what initialises the package: the END is the package's
        self._depth += 1

    def semicolon(self) -> bool:
        """A semicolon: does the block end with it?"""
        self._head = ""
        self._after_end = False
        return self._depth <= 0 and not self._bodies
