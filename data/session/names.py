"""The prepared statements and portals of one client session, by name. No I/O."""

from __future__ import annotations

from typing import Final

from data.session.statements import Portal, Statement
from protocol.errors import (
    DuplicatePortalError,
    DuplicateStatementError,
    TooLargeError,
    UnknownPortalError,
    UnknownStatementError,
)
from protocol.limits import MIB, WIRE_MESSAGE_BYTES_MAX

STATEMENTS_MAX: Final = 10_000
CHARS_MAX: Final = 16 * MIB
PORTALS_MAX: Final = 1000
PORTAL_BYTES_MAX: Final = 2 * WIRE_MESSAGE_BYTES_MAX


class Names:
    """Both name spaces; b"" is the unnamed statement or portal.

    `statements` and `portals` are the same dicts for life: the session's hot path keeps them.
    """

    __slots__ = ("_chars", "portals", "statements")

    def __init__(self) -> None:
        self.statements: dict[bytes, Statement] = {}
        self.portals: dict[bytes, Portal] = {}
        self._chars = 0  # of statements, those that were dropped since it was last counted too

    # -- statements -------------------------------------------------------------------------------
    def statement(self, name: bytes) -> Statement:
        """Raises UnknownStatementError."""
        statement = self.statements.get(name)
        if statement is None:
            shown = f'"{name.decode(errors="replace")}" ' if name else ""
            raise UnknownStatementError(f"prepared statement {shown}does not exist")
        return statement

    def check_new_statement(self, name: bytes) -> None:
        """The unnamed one is replaced. Raises DuplicateStatementError for a name that is taken."""
        if not name:
            self.statements.pop(b"", None)
        elif name in self.statements:
            raise DuplicateStatementError(
                f'prepared statement "{name.decode(errors="replace")}" already exists'
            )

    def forget_statements(self, name: str | None) -> None:
        """DEALLOCATE; None for all. Raises UnknownStatementError."""
        if name is None:
            self.statements.clear()
        elif self.statements.pop(name.encode(), None) is None:
            raise UnknownStatementError(f'prepared statement "{name}" does not exist')

    def add_statement(self, name: bytes, statement: Statement) -> None:
        """Keep it under a name that was checked. Raises TooLargeError."""
        self._chars += len(statement.sql)
        if self._chars > CHARS_MAX:
            self._chars = len(statement.sql) + sum(len(s.sql) for s in self.statements.values())
        if len(self.statements) >= STATEMENTS_MAX or self._chars > CHARS_MAX:
            raise TooLargeError(
                f"a session can have {STATEMENTS_MAX} prepared statements of {CHARS_MAX} "
                "characters in all",
                hint="DEALLOCATE those that are no longer used.",
            )
        self.statements[name] = statement

    # -- portals ----------------------------------------------------------------------------------
    def portal(self, name: bytes) -> Portal:
        """Raises UnknownPortalError."""
        portal = self.portals.get(name)
        if portal is None:
            raise UnknownPortalError(f'portal "{name.decode(errors="replace")}" does not exist')
        return portal

    def cursor(self, name: str) -> Portal:
        """A portal under the name of SQL. Raises UnknownPortalError."""
        portal = self.portals.get(name.encode())
        if portal is None:
            raise UnknownPortalError(f'cursor "{name}" does not exist')
        return portal

    def check_new_portal(self, name: bytes) -> None:
        """The unnamed one is closed. Raises DuplicatePortalError for a name that is taken."""
        if name in self.portals:
            if name:
                shown = name.decode(errors="replace")
                raise DuplicatePortalError(f'portal "{shown}" already exists')
            self.drop_portal(name)

    def check_new_cursor(self, name: bytes) -> None:
        """Raises DuplicatePortalError."""
        if name in self.portals:
            raise DuplicatePortalError(f'cursor "{name.decode(errors="replace")}" already exists')

    def add_portal(self, name: bytes, portal: Portal, size: int = 0) -> None:
        """Keep it under a name that was checked; `size`: bytes of its values.

        Raises TooLargeError.
        """
        portal.size = size
        total = size + (sum([p.size for p in self.portals.values()]) if self.portals else 0)
        if len(self.portals) >= PORTALS_MAX or total > PORTAL_BYTES_MAX:
            raise TooLargeError(
                f"a session can have {PORTALS_MAX} portals with values of {PORTAL_BYTES_MAX} bytes"
                " in all",
                hint="Close portals, or end the transaction.",
            )
        self.portals[name] = portal

    def drop_portal(self, name: bytes) -> None:
        """Close one; without effect if there is none."""
        portal = self.portals.pop(name, None)
        if portal is not None:
            portal.close()

    def close_cursor(self, name: str | None) -> None:
        """CLOSE; None for all. Raises UnknownPortalError."""
        if name is None:
            self.close_portals()
        else:
            self.cursor(name)
            self.drop_portal(name.encode())

    def close_portals(self, held_too: bool = True) -> None:
        """Close all, or all that end with their transaction."""
        for name, portal in list(self.portals.items()):
            if held_too or not portal.hold:
                del self.portals[name]
                portal.close()
