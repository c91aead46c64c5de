"""TLS of both networks: contexts from the certificate files of an instance home.

Internal network: mutual TLS 1.3. Both ends show a certificate of the grid's own authority; it names
the grid, the kind and the instance in one URI, which has to fit what the handshake says. External
network: TLS 1.2 or newer with a server certificate; clients prove themselves by password.

New files are taken without a restart: before each dial, and for each connection that comes in.
"""

from __future__ import annotations

import asyncio
import calendar
import os
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from protocol import instance_file
from protocol.clock import wall_us
from protocol.errors import HandshakeError, ParameterError

log = structlog.get_logger(__name__)

FOLDER, ROOT_FILE = instance_file.CERTIFICATES, instance_file.ROOT_FILE  # of an instance home
INSTANCE_FILE = f"{FOLDER}/instance.pem"  # key and certificate for the internal network, 0600
SERVER_FILE = f"{FOLDER}/server.pem"  # key and certificate for clients, 0600
SCHEME = "tengrid"
WARN_DAYS = 30  # an expiry this near is told in logs and by commands
_DAY_S = 86_400


@dataclass(frozen=True)
class CertifiedName:
    """Whom a certificate of the internal network belongs to."""

    grid_id: str
    kind: str  # "data" | "mgmt" | "tool"
    name: str

    def uri(self) -> str:
        """As the certificate holds it."""
        return f"{SCHEME}://{self.grid_id}/{self.kind}/{self.name}"


def certified_name(certificate: dict[str, Any] | None) -> CertifiedName:
    """The name in a verified certificate (as ssl's getpeercert gives it). Raises HandshakeError."""
    for kind, text in (certificate or {}).get("subjectAltName", ()):
        if kind == "URI" and text.startswith(f"{SCHEME}://"):
            words = text.removeprefix(f"{SCHEME}://").split("/")
            if len(words) == 3 and all(words):
                return CertifiedName(*words)
    raise HandshakeError("the peer's certificate names no instance")


def seconds_left(certificate: dict[str, Any] | None) -> float:
    """How long a verified certificate is still good; negative: it is over."""
    text = (certificate or {}).get("notAfter")
    if not isinstance(text, str):
        return 0.0
    return ssl.cert_time_to_seconds(text) - wall_us() / 1e6


_TIME = rb"(?:\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z)"
_VALIDITY = re.compile(_TIME + _TIME)  # the two times of a certificate stand side by side


def expires_s(file: Path) -> float:
    """When the certificate in a PEM file ends, seconds since 1970; 0.0: there is none."""
    try:
        text = file.read_text(encoding="ascii")
        start = text.index("-----BEGIN CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(text[start : text.index("-----END CERT", start) + 25])
    except (OSError, ValueError):
        return 0.0
    found = _VALIDITY.search(der)
    if found is None:
        return 0.0
    short, full = found[3], found[4]
    digits = (full or (b"20" if short < b"50" else b"19") + short).decode()
    return calendar.timegm(time.strptime(digits, "%Y%m%d%H%M%S"))


class _Reloading:
    """Contexts made of files, made again when the files change."""

    def __init__(self, *files: Path) -> None:
        self._files = files
        self._stamp = self._look()
        self._make()

    def refresh(self) -> None:
        """Take new files, if there are any; broken ones are told and the old ones stay in use."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._make()
        except ParameterError as error:
            log.error("tls.not_reloaded", problem=error.message)
        else:
            log.info("tls.reloaded", file=str(self._files[-1]))

    def _look(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for file in self._files:
            try:
                facts = os.stat(file)
                stamps.append((facts.st_mtime_ns, facts.st_ino))
            except OSError:
                stamps.append((0, 0))
        return tuple(stamps)

    def _make(self) -> None:
        raise NotImplementedError


class InternalTls(_Reloading):
    """Both sides of the internal network for one instance."""

    def __init__(self, root: Path, own: Path) -> None:
        """Raises ParameterError when a file is missing or wrong."""
        self._root, self._own = root, own
        super().__init__(root, own)
        # asyncio's servers keep the context they were given: it hands over to the present one
        self.listener = self._accepting
        self.listener.sni_callback = self._hand_over

    def dialling(self) -> ssl.SSLContext:
        """For a connection to be made now."""
        self.refresh()
        return self._dialling

    def accepting(self) -> ssl.SSLContext:
        """The newest server side (an HTTP listener has its own hand-over)."""
        self.refresh()
        return self._accepting

    def _make(self) -> None:
        dialling = _context(ssl.PROTOCOL_TLS_CLIENT, self._own)
        accepting = _context(ssl.PROTOCOL_TLS_SERVER, self._own)
        for context in (dialling, accepting):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.check_hostname = False  # the URI counts: certified_name
            context.verify_mode = ssl.CERT_REQUIRED
            _trust(context, self._root)
        accepting.num_tickets = 0
        self._dialling, self._accepting = dialling, accepting

    def _hand_over(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        self.refresh()
        if self._accepting is not self.listener:
            connection.context = self._accepting


class ServerTls(_Reloading):
    """The server side for clients of the external network, and of the management API."""

    def __init__(self, own: Path) -> None:
        """Raises ParameterError when the file is missing or wrong."""
        self._own = own
        super().__init__(own)
        self.listener = self._context
        self.listener.sni_callback = self._hand_over

    def context(self) -> ssl.SSLContext:
        """For a connection that comes in now."""
        self.refresh()
        return self._context

    def _make(self) -> None:
        context = _context(ssl.PROTOCOL_TLS_SERVER, self._own)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        self._context = context

    def _hand_over(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        self.refresh()
        if self._context is not self.listener:
            connection.context = self._context


class Named(Protocol):
    """What a handshake says of a peer."""

    @property
    def name(self) -> str:
        """The instance."""
        ...

    @property
    def kind(self) -> str:
        """ "data", "mgmt" or "tool"."""
        ...


def check_certificate(transport: asyncio.BaseTransport, grid_id: str, peer: Named) -> None:
    """The other end must be whom its certificate names. Raises HandshakeError."""
    certificate = peer_certificate(transport)
    shown = certified_name(certificate)
    if shown != CertifiedName(grid_id, peer.kind, peer.name):
        raise HandshakeError(
            f"{peer.name} ({peer.kind}) shows the certificate of {shown.name} ({shown.kind})"
            + ("" if shown.grid_id == grid_id else " of another grid")
        )
    left_s = seconds_left(certificate)
    if left_s < WARN_DAYS * _DAY_S:
        log.warning(
            "tls.certificate_expires",
            peer=peer.name,
            days=int(left_s // _DAY_S),
            hint="ttGridAdmin certificateRenew",
        )


def peer_certificate(transport: asyncio.BaseTransport) -> dict[str, Any] | None:
    """What the other end of an encrypted transport has shown, verified."""
    shown: Any = transport.get_extra_info("ssl_object")
    return None if shown is None else shown.getpeercert()


def _context(protocol: int, own: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    try:
        context.load_cert_chain(own)
    except (OSError, ssl.SSLError) as error:
        raise ParameterError(
            f"cannot use the certificate {own}: {error.strerror or error}",
            hint="ttGridAdmin certificateRenew makes a new one.",
        ) from error
    return context


def _trust(context: ssl.SSLContext, root: Path) -> None:
    try:
        context.load_verify_locations(cafile=root)
    except (OSError, ssl.SSLError) as error:
        raise ParameterError(
            f"cannot use the authority's certificate {root}: {error.strerror or error}",
            hint="ttGridAdmin certificateRenew brings it again.",
        ) from error
