"""The steps in which a grid gets another login for its membership servers."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mgmt.service.membership_login import check, stages
from protocol.errors import ParameterError
from protocol.logins import LOGIN_FILE, Login, LoginFile, Logins, own_login

OLD, NEW, THIRD = Login("a", "1"), Login("b", "2"), Login("b", "3")
BOTH, TURNED, DONE = Logins(OLD, NEW), Logins(NEW, OLD), Logins(NEW)


def test_both_are_said_before_the_new_one_is_used_and_after() -> None:
    assert stages(Logins(OLD), NEW) == (BOTH, TURNED, DONE)


@pytest.mark.parametrize(
    ("now", "left"),
    [(BOTH, (BOTH, TURNED, DONE)), (TURNED, (TURNED, DONE)), (DONE, (DONE,))],
)
def test_it_goes_on_wherever_it_was_left(now: Logins, left: tuple[Logins, ...]) -> None:
    assert stages(now, NEW) == left


def test_it_can_be_taken_back_but_not_left_for_a_third() -> None:
    """Some may use the new one already: all say both until what they made is protected anew."""
    assert stages(BOTH, OLD) == (Logins(OLD, NEW), Logins(OLD))
    assert stages(TURNED, OLD) == (TURNED, Logins(OLD, NEW), Logins(OLD))
    for now in (BOTH, TURNED):
        with pytest.raises(ParameterError, match="has not ended yet"):
            stages(now, THIRD)


def test_whoever_is_one_step_away_can_read_what_the_other_made() -> None:
    steps = (Logins(OLD), *stages(Logins(OLD), NEW))
    for one, next_one in itertools.pairwise(steps):
        assert one.current in next_one.all()
        assert next_one.current in one.all() or one == Logins(OLD)  # then nobody makes it yet


@pytest.mark.parametrize(("user", "password"), [("", "x"), ("a:b", "x"), ("a", ""), ("a", "x\ny")])
def test_what_is_no_login(user: str, password: str) -> None:
    with pytest.raises(ParameterError):
        check(user, password)


def test_the_file_is_read_again_when_it_changes_and_logins_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    file = LoginFile(tmp_path, "secret")
    assert file() == Logins(own_login("secret"))
    (tmp_path / LOGIN_FILE).write_text(BOTH.text())
    assert file() == BOTH
    assert file.stamp == BOTH.stamp("secret") != TURNED.stamp("secret")
    assert BOTH.stamp("other") != BOTH.stamp("secret")
    (tmp_path / LOGIN_FILE).unlink()
    assert file() == Logins(own_login("secret"))
    assert "2" not in repr(NEW)
    (tmp_path / LOGIN_FILE).write_text("u:a:b\n")
    assert file().current == Login("u", "a:b")
