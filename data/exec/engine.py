"""All databases of this data instance, as the wire front end sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from data.exec.coordination import Coordination
from data.exec.session import Session
from data.session.engine import AuthInfo
from protocol.errors import (
    DatabaseClosedError,
    NotServingError,
    PrivilegeError,
    TooManyConnectionsError,
    UnknownDatabaseError,
)


class Served(Protocol):
    """A loaded database (data/database.py)."""

    @property
    def space(self) -> Coordination: ...
    def check_ready(self) -> None: ...


class DataEngine:
    """The Engine of the session ports."""

    def __init__(self, databases: dict[str, Served], is_known: Callable[[str], bool]) -> None:
        """is_known: this instance has an element of that database, loaded or not."""
        self._databases = databases  # by name in lower case; kept up to date by the instance
        self._is_known = is_known

    def _find(self, database: str) -> Served:
        found = self._databases.get(database.lower())
        if found is None and self._is_known(database):
            raise NotServingError(
                f"the element of {database} on this data instance is not loaded now",
                hint="Connect to another data instance, or try again in a moment.",
            )
        if found is None:
            raise UnknownDatabaseError(
                f"database {database} does not exist",
                hint="ttGridAdmin dbList shows the databases of the grid.",
            )
        return found

    def authenticate_info(self, database: str, user: str) -> AuthInfo:
        """How this user proves who it is."""
        served = self._find(database)
        served.check_ready()
        known = served.space.catalog.user(user.upper())
        if not served.space.is_open and (known is None or not known.admin):
            raise _closed(database)
        if known is None or not known.verifier:
            return AuthInfo(None, external=known is not None and known.external)
        return AuthInfo(known.verifier, known.admin)

    def check_login(self, database: str, user: str) -> None:
        """Refuse a locked account before its password is looked at. Raises LoginRefusedError."""
        self._find(database).space.logins.check(user.upper())

    def login_failed(self, database: str, user: str) -> None:
        """A wrong password."""
        self._find(database).space.logins.failed(user.upper())

    def open_session(
        self,
        database: str,
        user: str,
        parameters: dict[str, str],
        backend_pid: int,
        is_superuser: bool = False,
    ) -> Session:
        """A session for a user who has proved who it is."""
        served = self._find(database)
        served.check_ready()
        space = served.space
        name = user.upper()
        known = space.catalog.user(name)
        is_admin = is_superuser or (known is not None and known.admin)
        if not is_admin:
            if not space.is_open:
                raise _closed(database)
            if space.sessions >= space.connections_max:
                raise TooManyConnectionsError(
                    f"{space.sessions} sessions of database {database} here: no more are allowed",
                    hint="Connections of the database definition sets the limit.",
                )
            if not space.catalog.has_system_privilege(name, "CREATE SESSION"):
                raise PrivilegeError(
                    f"user {name} lacks privilege CREATE SESSION; logon denied",
                    hint=f"GRANT CREATE SESSION TO {name}.",
                )
        elif is_superuser and not space.catalog.has_system_privilege(name, "ADMIN"):
            name = "SYS"  # a user of that name, if there is one, is somebody else's business
        warning = space.logins.succeeded(known) if known is not None and not is_superuser else ""
        return Session(space, name, parameters, backend_pid, is_admin, warning)


def _closed(database: str) -> DatabaseClosedError:
    return DatabaseClosedError(
        f"database {database} is closed", hint=f"Run ttGridAdmin dbOpen {database}."
    )
