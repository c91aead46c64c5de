"""With which logins a session speaks, and whom it lets read and change what it makes.

While a grid gets another login (mgmt/service/membership_login.py) instances have two: both are said
in every session, so whatever is protected by one of them stays in reach of all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from kazoo.exceptions import NoAuthError, NoNodeError
from kazoo.security import ACL, make_acl, make_digest_acl

from membership import paths
from membership.paths import GridPaths
from membership.port import InstanceInfo
from protocol.errors import AuthenticationError
from protocol.logins import OWN_USER, LoginFile, Logins

log = structlog.get_logger(__name__)

AT_ONCE = 50  # requests under way while access rights are changed
Ask = Callable[..., Awaitable[Any]]  # a method of kazoo's client, awaited


class Access:
    """Of one session; `logins` as they are now, and again when somebody looks."""

    def __init__(self, source: LoginFile | Logins) -> None:
        self._source = source
        self.now = source if isinstance(source, Logins) else source()
        self._looking = asyncio.Lock()

    @property
    def stamp(self) -> str:
        """Tells management which logins these are; "" if they cannot change."""
        return "" if isinstance(self._source, Logins) else self._source.stamp

    def auth_data(self) -> set[tuple[str, str]]:
        """For kazoo."""
        return {("digest", login.line()) for login in self.now.all()}

    def acl(self) -> list[ACL]:
        """Of nodes that are made now."""
        return [make_digest_acl(self.now.current.user, self.now.current.password, all=True)]

    async def look(self, client: Any, ask_alone: Ask) -> bool:
        """Take other logins if there are. Whether there were. Who looks meanwhile waits."""
        if isinstance(self._source, Logins):
            return False
        async with self._looking:
            return await self._look(self._source, client, ask_alone)

    async def _look(self, source: LoginFile, client: Any, ask_alone: Ask) -> bool:
        try:
            new = source()
        except OSError as problem:
            log.warning("membership.login_not_read", problem=str(problem))
            return False
        if new == self.now:
            return False
        for login in new.all():
            if login not in self.now.all():
                await ask_alone("add_auth_async", "digest", login.line())
        self.now = new
        client.auth_data = self.auth_data()  # of the next connection
        client.default_acl = self.acl()
        log.info("membership.login_changed", user=new.current.user)
        return True

    def root_acl(self) -> list[ACL]:
        """Of the node that all grids of these servers share; what is below is each grid's own.

        Who was given a user of the membership servers lets only this user make more grids there.
        """
        if self.now.current.user != OWN_USER:
            return [*self.acl(), make_acl("world", "anyone", read=True)]
        # only nodes without children can be deleted, so a grid is safe from others
        return [make_acl("world", "anyone", read=True, create=True, delete=True)]

    async def protect(self, ask: Ask, settled: Ask, nodes: Sequence[str], root: str) -> None:
        """Let nobody but the current login near these nodes, nor make grids below the root if the
        former one kept others from that. `settled` repeats what got lost."""
        acl = self.acl()

        async def one(path: str) -> None:
            with contextlib.suppress(NoNodeError):
                await ask("set_acls_async", path, acl)

        async def some(paths: Sequence[str]) -> None:
            await asyncio.gather(*map(one, paths))

        for at in range(0, len(nodes), AT_ONCE):
            await settled(partial(some, nodes[at : at + AT_ONCE]))
        await settled(partial(self._protect_root, ask, root))

    async def _protect_root(self, ask: Ask, root: str) -> None:
        shared, _ = await ask("get_acls_async", root)
        if any(entry.id.scheme == "digest" for entry in shared):
            with contextlib.suppress(NoAuthError):  # another grid's user owns it
                await ask("set_acls_async", root, self.root_acl())

    def refused(self) -> AuthenticationError:
        """The servers do not let this login near the grid's nodes."""
        user = self.now.current.user
        if user == OWN_USER:
            return AuthenticationError("the membership servers refuse this grid's secret")
        return AuthenticationError(
            f"the membership servers refuse user {user} with this password",
            hint="gridCreate -membershipUser asks for the password of the user that made /tengrid.",
        )


async def login_stamps(ask: Ask, grid: GridPaths) -> dict[str, str]:
    """Which logins the session of each registered instance has. A heartbeat is no event: the nodes
    are read now."""
    found: dict[str, str] = {}
    await ask("sync_async", grid.instances)
    for name in await ask("get_children_async", grid.instances):
        with contextlib.suppress(NoNodeError):
            raw, _ = await ask("get_async", grid.instance(name))
            found[name] = paths.decode(InstanceInfo, raw).login
    return found
