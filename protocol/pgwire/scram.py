"""SCRAM-SHA-256 (RFC 5802, RFC 7677), server side, without channel binding. Pure but for
randomness.

A verifier has PostgreSQL's form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, base64.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import NamedTuple

from protocol.errors import AuthenticationError, PeerProtocolError

MECHANISM = "SCRAM-SHA-256"
ITERATIONS = 4096
_SALT_BYTES = 16
_NONCE_BYTES = 18


class Verifier(NamedTuple):
    """What is stored instead of a password."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def to_text(self) -> str:
        """PostgreSQL's text form."""
        salt, stored, server = (b64encode(part).decode() for part in self[1:])
        return f"{MECHANISM}${self.iterations}:{salt}${stored}:{server}"

    @staticmethod
    def from_text(text: str) -> Verifier:
        """The inverse of to_text. Raises ValueError."""
        mechanism, _, rest = text.partition("$")
        costs, _, keys = rest.partition("$")
        iterations, _, salt = costs.partition(":")
        stored, _, server = keys.partition(":")
        if mechanism != MECHANISM or not server:
            raise ValueError("not a SCRAM-SHA-256 verifier")
        decoded = [b64decode(part, validate=True) for part in (salt, stored, server)]
        return Verifier(int(iterations), *decoded)


def make_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The verifier to store for a password; takes about 3 ms."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    return derive(password, salt, iterations).to_text()


def derive(password: str, salt: bytes, iterations: int) -> Verifier:
    """StoredKey and ServerKey of a password (RFC 5802 §3)."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = _hmac(salted, b"Client Key")
    return Verifier(
        iterations, salt, hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key")
    )


def mock_verifier(user: str, server_secret: bytes) -> Verifier:
    """A verifier no password fits, the same for each attempt with this user name.

    Its exchange looks like that of a real user, so that names cannot be probed.
    """
    salt = _hmac(server_secret, b"salt:" + user.encode())[:_SALT_BYTES]
    return Verifier(
        ITERATIONS,
        salt,
        _hmac(server_secret, b"stored:" + user.encode()),
        _hmac(server_secret, b"server:" + user.encode()),
    )


def saslprep(text: str) -> str:
    """RFC 4013; a password it forbids is used as it is (so does PostgreSQL)."""
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    if not prepared or any(table(char) for char in prepared for table in prohibited):
        return text
    right_to_left = [stringprep.in_table_d1(char) for char in prepared]
    if any(right_to_left):
        mixed = any(stringprep.in_table_d2(char) for char in prepared)
        if mixed or not (right_to_left[0] and right_to_left[-1]):
            return text
    return prepared


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


class ScramServer:
    """One exchange: first() then final(). A PeerProtocolError is the client's fault in form."""

    def __init__(self, verifier: Verifier, nonce: str | None = None) -> None:
        self._verifier = verifier
        self._nonce = nonce or b64encode(secrets.token_bytes(_NONCE_BYTES)).decode()
        self._gs2 = b""
        self._auth_message = b""

    def first(self, message: bytes) -> bytes:
        """client-first-message → server-first-message."""
        text = _ascii(message)
        binding, _, rest = text.partition(",")
        identity, _, bare = rest.partition(",")
        if binding not in ("n", "y"):
            raise PeerProtocolError("this server offers no SCRAM channel binding")
        if identity and not identity.startswith("a="):
            raise PeerProtocolError("malformed SCRAM message")
        attributes = bare.split(",")
        if len(attributes) < 2 or not attributes[0].startswith("n="):
            raise PeerProtocolError("malformed SCRAM message")
        if not attributes[1].startswith("r=") or len(attributes[1]) < 6:
            raise PeerProtocolError("malformed SCRAM message: no nonce")
        self._gs2 = f"{binding},{identity},".encode()
        self._nonce = attributes[1][2:] + self._nonce
        salt = b64encode(self._verifier.salt).decode()
        reply = f"r={self._nonce},s={salt},i={self._verifier.iterations}"
        self._auth_message = f"{bare},{reply}".encode()
        return reply.encode()

    def final(self, message: bytes) -> bytes:
        """client-final-message → server-final-message. Raises AuthenticationError."""
        text = _ascii(message)
        unproved, separator, proof_text = text.rpartition(",p=")
        attributes = unproved.split(",")
        if not separator or len(attributes) < 2 or attributes[1] != f"r={self._nonce}":
            raise PeerProtocolError("malformed SCRAM message: wrong nonce or no proof")
        if attributes[0] != "c=" + b64encode(self._gs2).decode():
            raise PeerProtocolError("SCRAM channel binding does not match")
        try:
            proof = b64decode(proof_text, validate=True)
        except (Base64Error, ValueError):
            raise PeerProtocolError("malformed SCRAM proof") from None
        auth_message = self._auth_message + b"," + unproved.encode()
        signature = _hmac(self._verifier.stored_key, auth_message)
        if len(proof) != len(signature):
            raise PeerProtocolError("malformed SCRAM proof")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._verifier.stored_key):
            raise AuthenticationError("password authentication failed")
        return b"v=" + b64encode(_hmac(self._verifier.server_key, auth_message))


def _ascii(message: bytes) -> str:
    try:
        return message.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerProtocolError("malformed SCRAM message") from None
