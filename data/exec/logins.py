"""Who may log in to a database just now: locked accounts, old passwords, failed attempts.

Failed attempts are counted in memory (data/access/logins.py) and told to the other data instances,
gathered over NEWS_AFTER_S: an account locks after about as many attempts wherever they are made. A
lock without an end (PASSWORD_LOCK_TIME UNLIMITED) is made a part of the catalog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from data.access.logins import FOR_EVER, NOBODY, Life, LoginGuard
from data.access.profiles import password_age
from data.catalog.catalog import SYS
from data.catalog.objects import User
from data.sql.ddl_build import NAME_BYTES_MAX
from protocol.clock import boottime_s, wall_us
from protocol.errors import GridError, LoginRefusedError
from protocol.messages.logins import LoginNews
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

if TYPE_CHECKING:
    from data.exec.coordination import Coordination

NEWS_AFTER_S = 0.1
NAMES_PER_NEWS = 200  # more of them wait for the next news
NAMES_WAITING_MAX = 2000  # those of users are never left out
_DAY_S = 86_400
log = structlog.get_logger(__name__)


class Logins:
    """The logins of one database at this instance. Everything runs on the event loop."""

    def __init__(self, space: Coordination, lock_for_ever: Callable[[str], None]) -> None:
        """lock_for_ever: makes ACCOUNT LOCK of a user a part of the catalog, in its own time."""
        self._space = space
        self._lock_for_ever = lock_for_ever
        self._guard = LoginGuard()
        self.failures_total = 0  # here, since the database was loaded
        self._failed: dict[str, int] = {}
        self._cleared: set[str] = set()
        self._news: asyncio.TimerHandle | None = None

    # -- one login ---------------------------------------------------------------------------------
    def check(self, name: str) -> None:
        """Before a password is looked at, right or wrong. Raises LoginRefusedError if locked."""
        user = self._space.catalog.user(name)
        if user is not None and user.locked:
            raise _locked(name, FOR_EVER)
        seconds = self._guard.locked_s(name, _life(user), boottime_s())
        if not seconds:
            return
        if seconds == FOR_EVER and user is not None:
            self._lock_for_ever(user.name)  # it was not, when it should have been
        raise _locked(name, seconds)

    def failed(self, name: str) -> None:
        """A wrong password."""
        self.failures_total += 1
        if len(name) > NAME_BYTES_MAX or (
            len(self._failed) >= NAMES_WAITING_MAX and self._space.catalog.user(name) is None
        ):
            return  # nobody's, and more than there is time to tell of
        self._count(name, 1)
        self._failed[name] = self._failed.get(name, 0) + 1
        self._tell_soon()

    def succeeded(self, user: User) -> str:
        """The right password: a warning, or "". Raises LoginRefusedError if it has expired."""
        limits = self._space.catalog.limits_of(user)
        age = password_age(limits, user.password_us, wall_us())
        if user.expired or age.expired:
            raise LoginRefusedError(
                f"the password of user {user.name} has expired",
                hint=f"A user with ADMIN gives a new one: ALTER USER {user.name} IDENTIFIED BY ….",
            )
        if self._guard.forget(user.name):
            self._cleared.add(user.name)
            self._failed.pop(user.name, None)
            self._tell_soon()
        if age.warn_us is None:
            return ""
        days = age.warn_us // (_DAY_S * 1_000_000)
        ends = f"ends within {days + 1} days" if age.warn_us else "is older than its profile allows"
        return f"the password {ends}: ALTER USER {user.name} IDENTIFIED BY …"

    def failures(self, name: str) -> int:
        """Failed logins in a row, as far as it is known here."""
        return self._guard.count(name)

    def is_locked(self, user: User) -> bool:
        """For a time."""
        return self._guard.locked_s(user.name, _life(user), boottime_s()) > 0

    def _count(self, name: str, count: int) -> None:
        catalog = self._space.catalog
        user = catalog.user(name)
        limits = catalog.limits_of(user)
        locks = self._guard.failed(
            name, limits, _life(user), boottime_s(), count=count, is_user=user is not None
        )
        if locks and user is not None:
            log.warning("login.account_locked", user=name, for_ever=limits.lock_us is None)
            if limits.lock_us is None:
                self._lock_for_ever(user.name)

    # -- news --------------------------------------------------------------------------------------
    def _tell_soon(self) -> None:
        if self._news is None:
            self._news = asyncio.get_running_loop().call_later(NEWS_AFTER_S, self._tell)

    def _tell(self) -> None:
        self._news = None
        names = list(self._failed)[:NAMES_PER_NEWS]
        failed = tuple((name, self._failed.pop(name)) for name in names)
        cleared = tuple(sorted(self._cleared)[:NAMES_PER_NEWS])
        self._cleared.difference_update(cleared)
        news = LoginNews(self._space.name, failed, cleared)
        router = self._space.router
        for instance in set(router.instances().values()) - {router.instance}:
            router.tell_instance(instance, news)
        if self._failed or self._cleared:
            self._tell_soon()

    def heard(self, news: LoginNews) -> None:
        """Of another instance."""
        for name in news.cleared:
            self._guard.forget(name)
        for name, count in news.failed:
            self._count(name, count)

    def close(self) -> None:
        """No more news."""
        if self._news is not None:
            self._news.cancel()
            self._news = None


def _life(user: User | None) -> Life:
    return (user.id, user.unlocks) if user is not None else NOBODY


def _locked(name: str, seconds: float) -> LoginRefusedError:
    wait = "" if seconds == FOR_EVER else f"Try again in {int(seconds) + 1} s, or: "
    return LoginRefusedError(
        f"the account of user {name} is locked", hint=f"{wait}ALTER USER {name} ACCOUNT UNLOCK."
    )


class Loaded(Protocol):
    """A database on this instance (data/database.py)."""

    space: Coordination


def register(rpc: RpcNode, find: Callable[[str], Loaded]) -> None:
    """Take the news of others; `find` raises UnknownDatabaseError."""

    def heard(news: LoginNews, _request: Request) -> None:
        try:
            space = find(news.db).space
        except GridError:
            return  # the database is not loaded here: nobody logs in to it here
        space.logins.heard(news)

    rpc.handle(LoginNews, heard)


# -- a lock without an end -------------------------------------------------------------------------
class AccountLocks:
    """Makes locks a part of the catalog, one after the other, each account once."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self._waiting: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None

    def lock(self, name: str) -> None:
        """ALTER USER name ACCOUNT LOCK, soon."""
        self._waiting[name] = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="account locks")
            self._space.background.add(self._task)

    async def _work(self) -> None:
        from data.exec.internal import run_internally  # sessions import the coordination

        try:
            while self._waiting:
                name = next(iter(self._waiting))
                user = self._space.catalog.users.get(name)
                if user is not None and not user.locked:
                    try:
                        quoted = name.replace('"', '""')
                        text = f'ALTER USER "{quoted}" ACCOUNT LOCK'
                        await run_internally(self._space, SYS, text)
                    except GridError as error:  # the next attempt to log in comes back to it
                        log.warning("login.lock_not_kept", user=name, error=error.code)
                self._waiting.pop(name, None)
        finally:
            if self._task is not None:
                self._space.background.discard(self._task)
            self._task = None
