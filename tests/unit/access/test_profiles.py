"""Profiles: limits, what a checker asks of a password, ages and reuse."""

from __future__ import annotations

import pytest

from data.access.profiles import (
    CHECKER,
    DAY_US,
    DEFAULT_LIMITS,
    check_password,
    checked,
    limits_of,
    may_not_come_again,
    password_age,
)
from protocol.errors import ParameterError, PasswordRuleError

DAYS = DAY_US


def test_what_a_profile_does_not_say_is_that_of_the_default() -> None:
    plain = limits_of({}, {})
    assert (plain.failed_logins, plain.lock_us) == (10, round(0.0034 * DAYS))
    assert (plain.life_us, plain.grace_us, plain.checker) == (None, None, "")
    own = limits_of({"FAILED_LOGIN_ATTEMPTS": "3", "PASSWORD_LIFE_TIME": "DEFAULT"}, {})
    assert (own.failed_logins, own.life_us) == (3, None)
    altered = {"PASSWORD_LIFE_TIME": "2.5", CHECKER: "TT_VERIFY_FUNCTION"}
    later = limits_of({"FAILED_LOGIN_ATTEMPTS": "UNLIMITED"}, altered)
    assert (later.failed_logins, later.life_us) == (None, 2.5 * DAYS)
    assert later.checker == "TT_VERIFY_FUNCTION"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FAILED_LOGIN_ATTEMPTS", "0"),
        ("FAILED_LOGIN_ATTEMPTS", "1.5"),
        ("PASSWORD_REUSE_MAX", "-1"),
        ("PASSWORD_LIFE_TIME", "0"),
        ("PASSWORD_LIFE_TIME", "0.000001"),
        ("PASSWORD_LIFE_TIME", "106751992"),
        ("PASSWORD_LOCK_TIME", "SOON"),
        (CHECKER, "MY_FUNCTION"),
    ],
)
def test_limits_that_cannot_be_are_refused(name: str, value: str) -> None:
    with pytest.raises(ParameterError):
        checked(name, value)


def test_limits_are_kept_as_they_were_written() -> None:
    assert checked("PASSWORD_LOCK_TIME", ".0034") == ".0034"
    assert checked("PASSWORD_LIFE_TIME", "unlimited") == "UNLIMITED"
    assert checked(CHECKER, "tt_stig_verify_function") == "TT_STIG_VERIFY_FUNCTION"
    assert checked(CHECKER, "null") == "NULL"
    assert all(checked(name, "default") == "DEFAULT" for name in DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("checker", "password", "is_good"),
    [
        ("TT_VERIFY_FUNCTION", "abc-1234", True),
        ("TT_VERIFY_FUNCTION", "abc1234", False),
        ("TT_VERIFY_FUNCTION", "abc-defgh", False),
        ("TT_VERIFY_FUNCTION", "terry-1234", False),
        ("TT_VERIFY_FUNCTION", "yrret-1234", False),
        ("TT_VERIFY_FUNCTION", "database1-x", False),
        ("TT_VERIFY_FUNCTION", "Oracle-1234", False),
        ("TT_STRONG_VERIFY_FUNCTION", "ABcd12-+x", True),
        ("TT_STRONG_VERIFY_FUNCTION", "ABcd12-xx", False),
        ("TT_STIG_VERIFY_FUNCTION", "Abcdefghijkl-12", True),
        ("TT_STIG_VERIFY_FUNCTION", "Abcdefghijk-12", False),
    ],
)
def test_checkers(checker: str, password: str, is_good: bool) -> None:
    if is_good:
        check_password(checker, password, "TERRY", "database1")
        return
    with pytest.raises(PasswordRuleError) as refused:
        check_password(checker, password, "TERRY", "database1")
    assert password not in f"{refused.value.message} {refused.value.detail}"


def test_a_password_ages_with_a_grace_time() -> None:
    limits = limits_of({"PASSWORD_LIFE_TIME": "10", "PASSWORD_GRACE_TIME": "2"}, {})
    start = 1_000 * DAYS
    assert password_age(limits, start, start + 10 * DAYS - 1) == (False, None)
    assert password_age(limits, start, start + 11 * DAYS) == (False, DAYS)
    assert password_age(limits, start, start + 12 * DAYS) == (True, 0)
    for_ever = limits_of({"PASSWORD_LIFE_TIME": "10"}, {})
    assert password_age(for_ever, start, start + 99 * DAYS) == (False, 0), "a warning for ever"
    assert password_age(limits, 0, start) == (False, None), "set before times were kept"


def test_both_limits_of_reuse_must_be_satisfied() -> None:
    now = 100 * DAYS
    history = [("now", now), ("one ago", now - 5 * DAYS), ("two ago", now - 20 * DAYS)]

    def kept(**limits: str) -> list[str]:
        return may_not_come_again(limits_of(limits, {}), history, now)

    assert kept() == []
    assert kept(PASSWORD_REUSE_MAX="1", PASSWORD_REUSE_TIME="3") == ["now"]
    assert kept(PASSWORD_REUSE_MAX="1", PASSWORD_REUSE_TIME="10") == ["now", "one ago"]
    assert kept(PASSWORD_REUSE_MAX="2", PASSWORD_REUSE_TIME="3") == ["now", "one ago"]
    assert kept(PASSWORD_REUSE_MAX="1") == ["now", "one ago", "two ago"], "the other: UNLIMITED"
    assert kept(PASSWORD_REUSE_TIME="1") == ["now", "one ago", "two ago"]
