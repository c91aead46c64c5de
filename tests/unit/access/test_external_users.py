"""IDENTIFIED EXTERNALLY: the operating system's user, over the local socket alone."""

from __future__ import annotations

import getpass
import os

import pytest

from data.session.engine import AuthInfo
from data.session.login import Login
from protocol.pgwire.scram import Verifier, mock_verifier
from tests.support.fake_engine import FakeEngine

ME = getpass.getuser()


class Engine(FakeEngine):
    """Everybody is external; accounts are locked when a test says so."""

    def __init__(self) -> None:
        super().__init__({})
        self.refusals: list[Exception] = []

    def authenticate_info(self, database: str, user: str) -> AuthInfo:
        return AuthInfo(None, external=True)

    def check_login(self, database: str, user: str) -> None:
        if self.refusals:
            raise self.refusals.pop()


class Frontend:
    """As much of the host as a login needs; nobody is the instance administrator."""

    def __init__(self) -> None:
        self.engine = Engine()

    def verifier(self, user: str, text: str | None) -> Verifier:
        assert text is None
        return mock_verifier(user, b"")

    def is_administrator(self, peer_uid: int | None, user: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("uid", "user", "is_trusted"),
    [
        (os.getuid(), ME, True),
        (os.getuid(), ME.upper(), True),
        (os.getuid(), "somebody", False),
        (None, ME, False),
        (4_000_000, ME, False),
    ],
)
def test_who_is_let_in_without_a_password(uid: int | None, user: str, is_trusted: bool) -> None:
    login = Login(Frontend(), uid)  # type: ignore[arg-type]  # it needs no more of a host
    verifier = login.startup({"user": user, "database": "database1"})
    assert (verifier is None) == is_trusted


def test_a_locked_account_is_locked_here_too() -> None:
    frontend = Frontend()
    frontend.engine.refusals.append(ValueError("locked"))
    login = Login(frontend, os.getuid())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="locked"):
        login.startup({"user": ME, "database": "database1"})
