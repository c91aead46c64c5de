"""What an instance says to the membership servers: a login, two while it is being changed."""

from __future__ import annotations

import hmac
from pathlib import Path

import msgspec

OWN_USER = "tengrid"  # of grids that were given none
LOGIN_FILE = "conf/membership.login"  # mode 0600; only with -membershipUser


class Login(msgspec.Struct, frozen=True):
    """A user of the membership servers."""

    user: str
    password: str = ""

    def line(self) -> str:
        """As a file holds it, and as ZooKeeper's digest scheme wants it."""
        return f"{self.user}:{self.password}"

    def __repr__(self) -> str:
        return f"Login({self.user!r})"  # the password is for no log


class Logins(msgspec.Struct, frozen=True):
    """`current` protects what an instance makes; `other` is said too, so that nodes of instances
    that are a step ahead or behind can be read and changed."""

    current: Login
    other: Login | None = None

    def all(self) -> tuple[Login, ...]:
        """Both, or the only one."""
        return (self.current,) if self.other is None else (self.current, self.other)

    def text(self) -> str:
        """For the file; replaced as a whole, so nobody ever reads half of a change."""
        return "".join(f"{login.line()}\n" for login in self.all())

    def stamp(self, secret: str) -> str:
        """Tells others which logins these are, and nothing about them without the grid's secret."""
        return hmac.new(secret.encode(), self.text().encode(), "sha256").hexdigest()[:16]


def own_login(secret: str) -> Login:
    """Of a grid that was given none: made of its secret, not the secret itself, since ZooKeeper
    sends it in clear text."""
    return Login(OWN_USER, hmac.new(secret.encode(), b"membership", "sha256").hexdigest())


def read_logins(home: Path, secret: str) -> Logins:
    """Those of an instance home: a line for each. Raises OSError."""
    try:
        text = (home / LOGIN_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return Logins(own_login(secret))
    found = []
    for line in text.rstrip("\n").split("\n")[:2]:
        user, _, password = line.partition(":")
        found.append(Login(user, password))
    return Logins(*found)


class LoginFile:
    """The logins of an instance home, read again when the file has changed."""

    def __init__(self, home: Path, secret: str) -> None:
        self._home, self._secret = home, secret
        self._seen: tuple[int, int, int] | None = None
        self._logins = read_logins(home, secret)

    def __call__(self) -> Logins:
        """Raises OSError."""
        try:
            stat = (self._home / LOGIN_FILE).stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except FileNotFoundError:
            seen = (0, 0, 0)
        if seen != self._seen:
            self._logins = read_logins(self._home, self._secret)
            self._seen = seen
        return self._logins

    @property
    def stamp(self) -> str:
        """Of the logins read last."""
        return self._logins.stamp(self._secret)
