"""What a client session needs of the frontend around it. Types only, and the reported settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from data.session.engine import Engine
from protocol.errors import GridError
from protocol.pgwire.scram import Verifier

if TYPE_CHECKING:
    from data.session.session import Session

REPORTED = {  # ParameterStatus at the start, with the values before the engine has its say
    "server_version": "15.0 (TenGrid)",
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "application_name": "",
    "default_transaction_read_only": "off",
    "in_hot_standby": "off",
    "is_superuser": "off",
    "session_authorization": "",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
}
REPORTED_BY_LOWER = {name.lower(): name for name in REPORTED}


class Link(Protocol):
    """The transport under a session, given by the frontend."""

    def write(self, data: bytes | bytearray) -> None: ...

    def close(self) -> None:
        """Close after what was written has gone out."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...


class Host(Protocol):
    """What a session needs of the frontend: identity, limits, cancel, logging."""

    engine: Engine

    def verifier(self, user: str, text: str | None) -> Verifier:
        """The stored verifier, or a mock one when there is none."""
        ...

    def is_administrator(self, peer_uid: int | None, user: str) -> bool:
        """True: the instance administrator over the local socket."""
        ...

    def admit(self, session: Session) -> tuple[int, int]:
        """Count it in and give it (pid, cancel secret). Raises TooManyConnectionsError."""
        ...

    def cancel(self, pid: int, secret: int) -> None:
        """Cancel what the session of that pid runs, if the secret is its own."""
        ...

    def fault(self, session: Session, error: Exception) -> GridError:
        """Log a fault; what the client is told."""
        ...
