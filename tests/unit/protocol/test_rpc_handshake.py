"""The handshake machines against each other and against liars."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from protocol.errors import HandshakeError
from protocol.rpc.handshake import (
    AcceptorHandshake,
    Challenge,
    DiallerHandshake,
    NodeIdentity,
    dials,
    refusal,
)

A = NodeIdentity("grid1", "host3.instance1", "inc-a", b"secret")
B = NodeIdentity("grid1", "host4.instance1", "inc-b", b"secret")


def meet(
    dialler: NodeIdentity = A,
    acceptor: NodeIdentity = B,
    wanted: str = B.name,
    versions: tuple[tuple[int, int], tuple[int, int]] = ((1, 1), (1, 1)),
) -> tuple[DiallerHandshake, AcceptorHandshake]:
    """Carry all bodies to and fro."""
    left = DiallerHandshake(dialler, wanted, versions[0], b"n" * 16)
    right = AcceptorHandshake(acceptor, versions[1], b"m" * 16)
    challenge = right.receive(left.start())
    assert challenge is not None
    proof = left.receive(challenge)
    assert proof is not None
    assert right.receive(proof) is None
    assert left.receive(right.welcome()) is None
    return left, right


def test_both_learn_who_the_other_is() -> None:
    left, right = meet()
    assert left.peer is not None
    assert right.peer is not None
    assert (left.peer.name, left.peer.incarnation) == (B.name, "inc-b")
    assert (right.peer.name, right.peer.incarnation) == (A.name, "inc-a")


def test_highest_common_wire_version_is_chosen() -> None:
    left, right = meet(versions=((1, 3), (2, 5)))
    assert left.peer is not None
    assert right.peer is not None
    assert left.peer.wire_version == right.peer.wire_version == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": ((1, 2), (3, 4))}, "no common wire version"),
        ({"acceptor": replace(B, grid_id="grid2")}, "another grid"),
        ({"wanted": "host9.instance1"}, "this is host4"),
        ({"dialler": replace(A, name=B.name)}, "two processes call themselves"),
        ({"acceptor": replace(B, secret=b"other")}, "does not know this grid's secret"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(HandshakeError, match=message):
        meet(**changes)  # type: ignore[arg-type]


def test_dialler_without_the_secret_stays_outside() -> None:
    right = AcceptorHandshake(B, (1, 1), b"m" * 16)
    liar = DiallerHandshake(replace(A, secret=b"guess"), B.name, (1, 1), b"n" * 16)
    honest = DiallerHandshake(A, B.name, (1, 1), b"n" * 16)
    challenge = right.receive(liar.start())
    assert challenge is not None
    with pytest.raises(HandshakeError):
        liar.receive(challenge)
    # The acceptor's own proof sent back at it (reflection) is no proof of the dialler.
    reflected = msgspec.msgpack.decode(challenge, type=Challenge).proof
    with pytest.raises(HandshakeError, match="secret"):
        right.receive(msgspec.msgpack.encode(["proof", reflected]))
    assert right.peer is None
    assert honest.peer is None


def test_proof_of_another_handshake_is_worthless() -> None:
    first = AcceptorHandshake(B, (1, 1), b"1" * 16)
    second = AcceptorHandshake(B, (1, 1), b"2" * 16)
    dialler = DiallerHandshake(A, B.name, (1, 1), b"n" * 16)
    challenge = first.receive(dialler.start())
    second.receive(dialler.start())
    assert challenge is not None
    proof = dialler.receive(challenge)
    assert proof is not None
    with pytest.raises(HandshakeError):
        second.receive(proof)


def test_refusal_tells_the_dialler_why() -> None:
    dialler = DiallerHandshake(A, B.name, (1, 1), b"n" * 16)
    with pytest.raises(HandshakeError, match="stopping"):
        dialler.receive(refusal(HandshakeError("stopping")))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"rubbish", b"\x91\xa5hello"])
def test_garbage_is_a_handshake_error(body: bytes) -> None:
    with pytest.raises(HandshakeError):
        AcceptorHandshake(B, (1, 1), b"m" * 16).receive(body)
    with pytest.raises(HandshakeError):
        DiallerHandshake(A, B.name, (1, 1), b"n" * 16).receive(body)


def test_exactly_one_side_dials() -> None:
    everyone = [(kind, name) for kind in ("tool", "mgmt", "data") for name in ("a", "b", "c")]
    for left in everyone:
        for right in everyone:
            if left != right:
                assert dials(*left, *right) != dials(*right, *left)
    assert dials("data", "host3.instance1", "data", "host4.instance1")
    assert dials("mgmt", "zzz", "data", "aaa")
    assert dials("tool", "zzz", "mgmt", "aaa")


def test_the_secret_is_not_printed() -> None:
    assert "secret" not in repr(A)
