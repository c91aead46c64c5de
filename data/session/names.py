"""The prepared statements and portals of one client session, by name. No I/O."""

from __future__ import annotations

from data.session.statements import Portal, Statement
from protocol.errors import (
    DuplicatePortalError,
    DuplicateStatementError,
    UnknownPortalError,
    UnknownStatementError,
)


class Names:
    """Both name spaces; b"" is the unnamed statement or portal.

    `statements` and `portals` are the same dicts for life: the session's hot path keeps them.
    """

    __slots__ = ("portals", "statements")

    def __init__(self) -> None:
        self.statements: dict[bytes, Statement] = {}
        self.portals: dict[bytes, Portal] = {}

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
