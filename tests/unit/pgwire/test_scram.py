"""SCRAM-SHA-256: RFC 7677's example, PostgreSQL's verifier form, and what must be refused."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import AuthenticationError, GridError, PeerProtocolError
from protocol.pgwire.scram import (
    ScramServer,
    Verifier,
    derive,
    make_verifier,
    mock_verifier,
    saslprep,
)

# RFC 7677 §3
SALT = b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)


def test_the_exchange_of_the_rfc() -> None:
    server = ScramServer(derive("pencil", SALT, 4096), NONCE)
    assert server.first(FIRST) == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert server.final(FINAL) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_wrong_proof_and_a_mock_user_fail_alike() -> None:
    for verifier in (derive("pencil2", SALT, 4096), mock_verifier("user", b"secret")):
        server = ScramServer(verifier, NONCE)
        server.first(FIRST)
        with pytest.raises(AuthenticationError):
            server.final(FINAL)
    assert mock_verifier("user", b"secret") == mock_verifier("user", b"secret")
    assert mock_verifier("user", b"secret").salt != mock_verifier("other", b"secret").salt


def test_verifiers_have_postgres_text_form() -> None:
    text = make_verifier("pencil", SALT)
    assert text.startswith("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    assert Verifier.from_text(text).to_text() == text
    assert make_verifier("pencil") != make_verifier("pencil"), "each has its own salt"
    for bad in ("", "md5abc", "SCRAM-SHA-256$x:y$z:w", text[:40]):
        with pytest.raises(ValueError):
            Verifier.from_text(bad)


@pytest.mark.parametrize(
    "final",
    [
        FINAL.replace(b"c=biws", b"c=eSws"),  # not what the first message said
        FINAL.replace(b"r=rOpr", b"r=xOpr"),
        FINAL[:-4],
        b"c=biws,r=" + b"x" * 20,
        b"\xff\xfe",
        b"",
    ],
)
def test_a_malformed_final_message_is_a_protocol_error(final: bytes) -> None:
    server = ScramServer(derive("pencil", SALT, 4096), NONCE)
    server.first(FIRST)
    with pytest.raises(PeerProtocolError):
        server.final(final)


def test_channel_binding_is_refused() -> None:
    with pytest.raises(PeerProtocolError):
        ScramServer(derive("x", SALT, 4096)).first(b"p=tls-server-end-point,,n=u,r=abcdef")


def test_saslprep() -> None:
    assert saslprep("plain") == "plain"
    assert saslprep("I\u00adX") == "IX"
    assert saslprep("\u2168") == "IX"
    assert saslprep("a\u00a0b") == "a b"
    assert saslprep("\u0627\u0031") == "\u06271", "forbidden by bidi: used as it is"


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_garbage_is_a_grid_error(first: bytes, final: bytes) -> None:
    server = ScramServer(mock_verifier("u", b"s"))
    try:
        server.first(first)
        server.final(final)
    except GridError:
        return
    raise AssertionError("garbage was let in")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.text("crp=,%0aA+/", max_size=40))
def test_garbage_after_a_good_start_is_a_grid_error(raw: bytes, text: str) -> None:
    for final in (raw, text.encode(), b"c=biws,r=" + raw + b",p=" + b64encode(raw)):
        server = ScramServer(mock_verifier("u", b"s"))
        server.first(FIRST)
        with pytest.raises(GridError):
            server.final(final)
