"""Failed logins: when an account locks, and when it opens again."""

from __future__ import annotations

from data.access.logins import FOR_EVER, NOBODY, STRANGERS_MAX, LoginGuard
from data.access.profiles import limits_of

THREE = limits_of({"FAILED_LOGIN_ATTEMPTS": "3", "PASSWORD_LOCK_TIME": "1"}, {})
DAY_S = 86_400
BOB, OPENED, ANOTHER = (17, 0), (17, 1), (18, 0)  # BOB unlocked; another user of that name


def test_an_account_locks_for_its_time_and_begins_anew() -> None:
    guard = LoginGuard()
    assert not guard.failed("BOB", THREE, BOB, 0.0)
    assert not guard.failed("BOB", THREE, BOB, 1.0)
    assert guard.locked_s("BOB", BOB, 1.0) == 0
    assert guard.failed("BOB", THREE, BOB, 2.0)
    assert not guard.failed("BOB", THREE, BOB, 3.0), "it was said once"
    assert guard.locked_s("BOB", BOB, 3.0) == DAY_S - 1
    assert guard.locked_s("BOB", BOB, 2.0 + DAY_S) == 0
    assert guard.count("BOB") == 0
    assert not guard.failed("BOB", THREE, BOB, 3.0 + DAY_S)


def test_success_and_unlock_make_the_count_void() -> None:
    guard = LoginGuard()
    guard.failed("BOB", THREE, BOB, 0.0, count=2)
    assert guard.forget("BOB")
    assert not guard.forget("BOB")
    assert not guard.failed("BOB", THREE, BOB, 0.0, count=2)
    assert guard.failed("BOB", THREE, BOB, 0.0)
    assert guard.locked_s("BOB", OPENED, 0.0) == 0, "ACCOUNT UNLOCK counted up"
    assert not guard.failed("BOB", THREE, OPENED, 0.0, count=2)


def test_a_new_user_of_an_old_name_begins_anew() -> None:
    guard = LoginGuard()
    assert guard.failed("BOB", THREE, BOB, 0.0, count=3)
    assert guard.locked_s("BOB", ANOTHER, 0.0) == 0
    assert not guard.failed("BOB", THREE, ANOTHER, 0.0, count=2)


def test_limits_without_an_end() -> None:
    guard = LoginGuard()
    never = limits_of({"FAILED_LOGIN_ATTEMPTS": "UNLIMITED"}, {})
    assert not guard.failed("BOB", never, BOB, 0.0, count=10**6)
    ever = limits_of({"FAILED_LOGIN_ATTEMPTS": "1", "PASSWORD_LOCK_TIME": "UNLIMITED"}, {})
    assert guard.failed("BOB", ever, BOB, 0.0)
    assert guard.locked_s("BOB", BOB, 1e12) == FOR_EVER


def test_names_of_nobody_lock_too_and_take_little_room() -> None:
    guard = LoginGuard()
    assert guard.failed("EVE", THREE, NOBODY, 0.0, count=3, is_user=False)
    assert guard.locked_s("EVE", NOBODY, 0.0) == DAY_S
    guard.failed("BOB", THREE, BOB, 0.0)
    for number in range(STRANGERS_MAX + 10):
        guard.failed(f"N{number}", THREE, NOBODY, 0.0, is_user=False)
    assert guard.locked_s("EVE", NOBODY, 0.0) == 0
    assert len(guard._strangers) == STRANGERS_MAX
    assert guard.count("BOB") == 1, "users are not pushed out by strangers"
