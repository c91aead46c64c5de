"""A client session without sockets: what a client sends goes in, what it would get comes out."""

from __future__ import annotations

import struct
from collections.abc import Callable

from data.session.engine import Engine
from data.session.session import Session
from protocol.errors import GridError, InternalError
from protocol.pgwire.scram import Verifier, mock_verifier

Messages = list[tuple[str, bytes]]


def message(kind: str, payload: bytes = b"") -> bytes:
    """A client message."""
    return kind.encode() + struct.pack("!i", len(payload) + 4) + payload


def startup(user: str = "trusted", database: str = "database1", version: int = 3 << 16) -> bytes:
    """A startup packet."""
    body = struct.pack("!i", version)
    body += f"user\0{user}\0database\0{database}\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    """Query."""
    return message("Q", sql.encode() + b"\0")


def parse(name: str, sql: str, *oids: int) -> bytes:
    """Parse."""
    types = struct.pack(f"!h{len(oids)}i", len(oids), *oids)
    return message("P", f"{name}\0{sql}\0".encode() + types)


def bind(
    portal: str,
    name: str,
    *params: bytes | None,
    formats: tuple[int, ...] = (),
    results: tuple[int, ...] = (),
) -> bytes:
    """Bind."""
    body = f"{portal}\0{name}\0".encode() + struct.pack(
        f"!h{len(formats)}h", len(formats), *formats
    )
    body += struct.pack("!h", len(params))
    for param in params:
        body += struct.pack("!i", -1) if param is None else struct.pack("!i", len(param)) + param
    return message("B", body + struct.pack(f"!h{len(results)}h", len(results), *results))


def describe(kind: str, name: str) -> bytes:
    """Describe."""
    return message("D", f"{kind}{name}\0".encode())


def execute(portal: str, max_rows: int = 0) -> bytes:
    """Execute."""
    return message("E", f"{portal}\0".encode() + struct.pack("!i", max_rows))


def close(kind: str, name: str) -> bytes:
    """Close."""
    return message("C", f"{kind}{name}\0".encode())


SYNC = message("S")
FLUSH = message("H")


def split(data: bytes) -> Messages:
    """The server's messages in `data`; fails if it does not end with a whole one."""
    found = []
    at = 0
    while at < len(data):
        assert len(data) - at >= 5, "a torn message"
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        assert length >= 4
        assert at + 1 + length <= len(data), "a torn message"
        found.append((chr(data[at]), data[at + 5 : at + 1 + length]))
        at += 1 + length
    return found


def kinds(messages: Messages) -> str:
    """Their type letters."""
    return "".join(kind for kind, _ in messages)


class LoopbackHost:
    """A session's host without a listener."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.faults: list[Exception] = []
        self.cancelled: list[tuple[int, int]] = []

    def verifier(self, user: str, text: str | None) -> Verifier:
        """See Host."""
        return Verifier.from_text(text) if text else mock_verifier(user, b"secret")

    def is_administrator(self, peer_uid: int | None, user: str) -> bool:
        """See Host."""
        return False

    def admit(self, session: Session) -> tuple[int, int]:
        """See Host."""
        return 7, 4711

    def cancel(self, pid: int, secret: int) -> None:
        """See Host."""
        self.cancelled.append((pid, secret))

    def fault(self, session: Session, error: Exception) -> GridError:
        """See Host."""
        self.faults.append(error)
        return InternalError(repr(error))


class Loopback:
    """A session and its link; send() gives the messages that came back."""

    def __init__(self, engine: Engine, *, start: bool = True) -> None:
        self.host = LoopbackHost(engine)
        self.written = bytearray()
        self.is_closed = False
        self.is_reading = True
        self.soon: list[Callable[[], None]] = []
        self.session = Session(self.host, self, offers_tls=False, peer_uid=None)
        if start:
            assert kinds(self.send(startup())).endswith("KZ")

    def send(self, data: bytes, chunk: int = 0) -> Messages:
        """Let the session receive `data`, in pieces of `chunk` bytes if given; what it answers."""
        for at in range(0, len(data), chunk or len(data) or 1):
            if not self.is_closed:
                self.session.received(data[at : at + chunk] if chunk else data)
        return self.taken()

    def taken(self) -> Messages:
        """What was written since."""
        while self.soon:
            self.soon.pop(0)()
        data = bytes(self.written)
        self.written.clear()
        return split(data)

    def write(self, data: bytes | bytearray) -> None:
        """See Link."""
        assert not self.is_closed
        self.written += data

    def close(self) -> None:
        """See Link."""
        self.is_closed = True

    def pause_reading(self) -> None:
        """See Link."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """See Link."""
        self.is_reading = True

    def call_soon(self, callback: Callable[[], None]) -> None:
        """See Link."""
        self.soon.append(callback)
