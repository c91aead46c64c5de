"""Profiles: the limits of passwords and logins. Pure.

Names, meaning and the limits of the profile DEFAULT are TimesTen's (SQL Reference, CREATE PROFILE).
Times are given in days, with fractions; the least is a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from protocol.errors import ParameterError, PasswordRuleError

DEFAULT, UNLIMITED, NULL = "DEFAULT", "UNLIMITED", "NULL"
CHECKER = "PASSWORD_COMPLEXITY_CHECKER"
ALIASES = {"PASSWORD_VERIFY_FUNCTION": CHECKER}
DEFAULT_LIMITS: Mapping[str, str] = {
    "FAILED_LOGIN_ATTEMPTS": "10",
    "PASSWORD_LIFE_TIME": UNLIMITED,
    "PASSWORD_REUSE_TIME": UNLIMITED,
    "PASSWORD_REUSE_MAX": UNLIMITED,
    CHECKER: NULL,
    "PASSWORD_LOCK_TIME": ".0034",
    "PASSWORD_GRACE_TIME": UNLIMITED,
}
COUNTS = frozenset({"FAILED_LOGIN_ATTEMPTS", "PASSWORD_REUSE_MAX"})
DAY_US = 86_400_000_000
DAYS_MAX = 106_751_991
COUNT_MAX = 2**31 - 1
HISTORY_MAX = 24  # old verifiers kept of a user: each that is compared costs 3 ms


class Limits(NamedTuple):
    """What holds for one user. None: unlimited. Times in microseconds."""

    failed_logins: int | None
    life_us: int | None
    reuse_us: int | None
    reuse_count: int | None
    lock_us: int | None
    grace_us: int | None
    checker: str  # "" for none

    @property
    def remembers(self) -> bool:
        """True: an old password may not be used again at once (or ever)."""
        return self.reuse_us is not None or self.reuse_count is not None


def checked(name: str, value: str, position: int = 0) -> str:
    """A limit as it is kept. Raises ParameterError."""
    word = value.upper()
    if word == DEFAULT:
        return DEFAULT
    if name == CHECKER:
        if word == NULL or word in CHECKERS:
            return word
        known = ", ".join(CHECKERS)
        raise ParameterError(f"{name} is NULL or one of {known}", position=position)
    if word == UNLIMITED:
        return UNLIMITED
    if name in COUNTS:
        if not value.isdigit() or not 1 <= int(value) <= COUNT_MAX:
            raise ParameterError(f"{name} is a whole number from 1 on", position=position)
        return str(int(value))
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", value) or not 0 < _us(value) <= DAYS_MAX * DAY_US:
        message = f"{name} is a number of days, from one second to {DAYS_MAX:,}"
        raise ParameterError(message, position=position)
    return value


def _us(days: str | int) -> int:
    """Microseconds of so many days; 0 for less than a second."""
    microseconds = round(float(days) * DAY_US)
    return microseconds if microseconds >= 1_000_000 else 0


def limits_of(own: Mapping[str, str], default: Mapping[str, str]) -> Limits:
    """The limits of a profile; what it does not say, and DEFAULT, is that of profile DEFAULT."""

    def text(name: str) -> str:
        found = own.get(name, DEFAULT)
        if found == DEFAULT:
            found = default.get(name, DEFAULT)
        return DEFAULT_LIMITS[name] if found == DEFAULT else found

    def count(name: str) -> int | None:
        return None if text(name) == UNLIMITED else int(text(name))

    def time(name: str) -> int | None:
        return None if text(name) == UNLIMITED else _us(text(name))

    checker = text(CHECKER)
    return Limits(
        count("FAILED_LOGIN_ATTEMPTS"),
        time("PASSWORD_LIFE_TIME"),
        time("PASSWORD_REUSE_TIME"),
        count("PASSWORD_REUSE_MAX"),
        time("PASSWORD_LOCK_TIME"),
        time("PASSWORD_GRACE_TIME"),
        "" if checker == NULL else checker,
    )


# -- is a password good enough? --------------------------------------------------------------------
class _Rule(NamedTuple):
    """What a checker asks for; `least`: of letters, digits, others, upper, lower."""

    length: int
    letters: int
    digits: int
    others: int
    upper: int
    lower: int


# Oracle's ORA12C_VERIFY_FUNCTION, ORA12C_STRONG_VERIFY_FUNCTION and ORA12C_STIG_VERIFY_FUNCTION,
# which TimesTen's are made after.
CHECKERS: Mapping[str, _Rule] = {
    "TT_VERIFY_FUNCTION": _Rule(8, 1, 1, 1, 0, 0),
    "TT_STRONG_VERIFY_FUNCTION": _Rule(9, 0, 2, 2, 2, 2),
    "TT_STIG_VERIFY_FUNCTION": _Rule(15, 0, 1, 1, 1, 1),
}
_WEAK = ("oracle", "timesten", "password", "welcome")  # no password may contain them


def check_password(
    checker: str, password: str, user: str, database: str, position: int = 0
) -> None:
    """Raises PasswordRuleError, naming everything that is missing."""
    rule = CHECKERS[checker]
    counts = {
        "letters": (rule.letters, sum(c.isalpha() for c in password)),
        "digits": (rule.digits, sum(c.isdigit() for c in password)),
        "characters that are neither": (rule.others, sum(not c.isalnum() for c in password)),
        "upper case letters": (rule.upper, sum(c.isupper() for c in password)),
        "lower case letters": (rule.lower, sum(c.islower() for c in password)),
    }
    wrong = [f"at least {least} {what}" for what, (least, there) in counts.items() if there < least]
    if len(password) < rule.length:
        wrong.insert(0, f"at least {rule.length} characters")
    lower = password.lower()
    for word, what in ((user, "the user's name"), (database, "the database's name")):
        if word and (word.lower() in lower or word.lower()[::-1] in lower):
            wrong.append(f"nothing that contains {what}")
    wrong += [f'nothing that contains "{word}"' for word in _WEAK if word in lower]
    if wrong:
        raise PasswordRuleError(
            f"the password does not satisfy {checker}",
            detail=f"It must have: {'; '.join(wrong)}.",
            position=position,
        )


def may_not_come_again(
    limits: Limits, history: Iterable[tuple[str, int]], now_us: int
) -> list[str]:
    """The old verifiers a new password must not fit. `history`: newest first, with their ends.

    Both limits must be satisfied before a password comes again; UNLIMITED, if the other is a
    number, means never.
    """
    if not limits.remembers:
        return []
    kept = []
    for number, (verifier, until_us) in enumerate(history):
        old_enough = limits.reuse_us is not None and now_us - until_us >= limits.reuse_us
        # the newest of the history was used one change ago, not counting the change now
        often_enough = limits.reuse_count is not None and number >= limits.reuse_count
        if not (old_enough and often_enough):
            kept.append(verifier)
    return kept


# -- does a password still live? -------------------------------------------------------------------
class Age(NamedTuple):
    """`expired`: no login any more. `warn_us`: it ends in so many microseconds, None: no word."""

    expired: bool
    warn_us: int | None = None


def password_age(limits: Limits, set_us: int, now_us: int) -> Age:
    """Of a password set then. 0: not known when (made by an older release): it does not age.

    After PASSWORD_LIFE_TIME comes PASSWORD_GRACE_TIME, during which there is a warning; if that is
    UNLIMITED the warning stays for ever.
    """
    if limits.life_us is None or not set_us or now_us - set_us < limits.life_us:
        return Age(expired=False)
    if limits.grace_us is None:
        return Age(expired=False, warn_us=0)
    left_us = set_us + limits.life_us + limits.grace_us - now_us
    return Age(expired=left_us <= 0, warn_us=max(left_us, 0))
