"""Who is there, in which life, of which grid, in which wire version. Pure: bodies in, bodies out.

    dialler → Hello      its identity, wire versions, a nonce
    acceptor → Challenge its identity, the version chosen, a nonce, proof that it knows the secret
    dialler → Proof      proof that it knows the secret too
    acceptor → Welcome   the connection is open (instead of any of its answers: Refused)

A proof is HMAC-SHA256 over the role, Hello and the core of Challenge, so it fits no other
handshake and no other direction. It proves identity; it does not encrypt (that is TLS's part).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import msgspec

from protocol.errors import GridError, HandshakeError
from protocol.rpc.envelope import ErrorWire

MAGIC = "TENGRID"
WIRE_VERSION_MIN = 1
WIRE_VERSION_MAX = 1
NONCE_BYTES = 16


@dataclass(frozen=True)
class NodeIdentity:
    """Who a process is on the internal network."""

    grid_id: str
    name: str
    incarnation: str
    secret: bytes = field(repr=False)
    kind: str = "data"  # "data" | "mgmt" | "tool"; decides who dials


@dataclass(frozen=True)
class PeerIdentity:
    """Who the other end has proved to be."""

    name: str
    kind: str
    incarnation: str
    wire_version: int


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """Dialler → acceptor."""

    magic: str
    grid_id: str
    name: str
    kind: str
    incarnation: str
    wanted_name: str  # whom the dialler means to reach; "" anybody
    wire_min: int
    wire_max: int
    nonce: bytes


class ChallengeCore(msgspec.Struct, frozen=True, array_like=True):
    """The part of Challenge that the proofs cover."""

    name: str
    kind: str
    incarnation: str
    wire_version: int
    nonce: bytes


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag="challenge"):
    """Acceptor → dialler; `core` is an encoded ChallengeCore."""

    core: bytes
    proof: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True, tag="proof"):
    """Dialler → acceptor."""

    proof: bytes


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """Acceptor → dialler: open."""


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """Acceptor → dialler: no, because."""

    error: ErrorWire


_encode = msgspec.msgpack.Encoder().encode
_decode_hello = msgspec.msgpack.Decoder(Hello).decode
_decode_proof = msgspec.msgpack.Decoder(Proof).decode
_decode_challenge = msgspec.msgpack.Decoder(Challenge | Refused).decode
_decode_core = msgspec.msgpack.Decoder(ChallengeCore).decode
_decode_welcome = msgspec.msgpack.Decoder(Welcome | Refused).decode


def dials(my_kind: str, my_name: str, peer_kind: str, peer_name: str) -> bool:
    """Whether I open our one connection: a tool before mgmt before data, then the smaller name."""
    order = ("tool", "mgmt", "data")
    mine = order.index(my_kind) if my_kind in order else 0
    theirs = order.index(peer_kind) if peer_kind in order else 0
    return (mine, my_name) < (theirs, peer_name)


def _proof(secret: bytes, role: bytes, hello: bytes, core: bytes) -> bytes:
    transcript = b"%d:%s%d:%s" % (len(hello), hello, len(core), core)
    return hmac.new(secret, role + b"|" + transcript, hashlib.sha256).digest()


def refusal(error: GridError) -> bytes:
    """The body that tells a dialler why it may not come in."""
    return _encode(Refused(error.to_wire()))


class DiallerHandshake:
    """The dialling side of one connection. `peer` is set when the connection is open, `claimed`
    when the other end has said who it is: a certificate is to be checked before it is answered."""

    def __init__(
        self, me: NodeIdentity, wanted_name: str, wire_versions: tuple[int, int], nonce: bytes
    ) -> None:
        self.peer: PeerIdentity | None = None
        self._me = me
        self._wanted_name = wanted_name
        self._versions = wire_versions
        self.claimed: PeerIdentity | None = None
        low, high = wire_versions
        self._hello = _encode(
            Hello(
                MAGIC, me.grid_id, me.name, me.kind, me.incarnation, wanted_name, low, high, nonce
            )
        )

    def start(self) -> bytes:
        """The first body to send."""
        return self._hello

    def receive(self, body: bytes) -> bytes | None:
        """Take the acceptor's next body; return what to send. Raises HandshakeError."""
        try:
            if self.claimed is None:
                return self._challenged(_decode_challenge(body))
            answer = _decode_welcome(body)
        except msgspec.MsgspecError as error:
            raise HandshakeError(f"not a TenGrid peer: {error}") from error
        if isinstance(answer, Refused):
            raise _refused(answer)
        self.peer = self.claimed
        return None

    def _challenged(self, answer: Challenge | Refused) -> bytes:
        if isinstance(answer, Refused):
            raise _refused(answer)
        secret = self._me.secret
        if not hmac.compare_digest(
            answer.proof, _proof(secret, b"acceptor", self._hello, answer.core)
        ):
            raise HandshakeError("the peer does not know this grid's secret")
        core = _decode_core(answer.core)
        if self._wanted_name and core.name != self._wanted_name:
            raise HandshakeError(f"reached {core.name}, wanted {self._wanted_name}")
        if not self._versions[0] <= core.wire_version <= self._versions[1]:
            raise HandshakeError(f"the peer chose wire version {core.wire_version}")
        self.claimed = PeerIdentity(core.name, core.kind, core.incarnation, core.wire_version)
        return _encode(Proof(_proof(secret, b"dialler", self._hello, answer.core)))


class AcceptorHandshake:
    """The accepting side. When `peer` is set, the caller admits it and sends `welcome()`;
    `claimed` as at the dialler's."""

    def __init__(self, me: NodeIdentity, wire_versions: tuple[int, int], nonce: bytes) -> None:
        self.peer: PeerIdentity | None = None
        self._me = me
        self._versions = wire_versions
        self._nonce = nonce
        self._hello = b""
        self._core = b""
        self.claimed: PeerIdentity | None = None

    def receive(self, body: bytes) -> bytes | None:
        """Take the dialler's next body; return what to send. Raises HandshakeError."""
        try:
            if self.claimed is None:
                return self._greeted(body, _decode_hello(body))
            proof = _decode_proof(body).proof
        except msgspec.MsgspecError as error:
            raise HandshakeError(f"not a TenGrid peer: {error}") from error
        expected = _proof(self._me.secret, b"dialler", self._hello, self._core)
        if not hmac.compare_digest(proof, expected):
            raise HandshakeError(f"{self.claimed.name} does not know this grid's secret")
        self.peer = self.claimed
        return None

    def welcome(self) -> bytes:
        """The body that opens the connection."""
        return _encode(Welcome())

    def _greeted(self, body: bytes, hello: Hello) -> bytes:
        me = self._me
        if hello.magic != MAGIC:
            raise HandshakeError("not a TenGrid peer")
        if hello.grid_id != me.grid_id:
            raise HandshakeError(f"{hello.name} belongs to another grid")
        if hello.wanted_name and hello.wanted_name != me.name:
            raise HandshakeError(f"this is {me.name}, not {hello.wanted_name}")
        if hello.name == me.name:
            raise HandshakeError(f"two processes call themselves {me.name}")
        version = min(hello.wire_max, self._versions[1])
        if version < max(hello.wire_min, self._versions[0]):
            raise HandshakeError(
                f"no common wire version: {hello.name} speaks {hello.wire_min} to "
                f"{hello.wire_max}, {me.name} {self._versions[0]} to {self._versions[1]}"
            )
        self._hello = body
        self._core = _encode(ChallengeCore(me.name, me.kind, me.incarnation, version, self._nonce))
        self.claimed = PeerIdentity(hello.name, hello.kind, hello.incarnation, version)
        return _encode(Challenge(self._core, _proof(me.secret, b"acceptor", body, self._core)))


def _refused(answer: Refused) -> HandshakeError:
    error = GridError.from_wire(answer.error)
    return HandshakeError(error.message, detail=error.detail, hint=error.hint)
