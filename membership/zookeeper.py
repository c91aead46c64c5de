"""The Membership port on ZooKeeper, through kazoo; kazoo's threads end here.

kazoo runs one thread for the connection and two for callbacks. Their results and events enter the
event loop by call_soon_threadsafe and nowhere else. Facts about ZooKeeper this file rests on:

- A session is one FIFO: what it asks is answered in order, also after a reconnect to another
  server; after `sync` a read shows every write that was answered before, to anybody.
- A write of a session whose connection was lost either shows after reconnect and `sync`, or never
  happens: the leader refuses requests that come through the session's former server.
- An answered ping proves little (a follower cut off from its leader answers for seconds); an
  answered write proves that a quorum held the session. So the lease counts writes (design §3).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import structlog
from kazoo import exceptions
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    AuthFailedError,
    BadVersionError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)
from kazoo.protocol.states import WatchedEvent
from kazoo.retry import KazooRetry

from membership import paths
from membership.access import Access, login_stamps
from membership.mirror import Mirror
from membership.paths import GridPaths
from membership.port import (
    HEARTBEATS_PER_TIMEOUT,
    LEASE_SHARE,
    Amendment,
    Claim,
    ClusterView,
    InstanceInfo,
    MgmtRegister,
    MgmtState,
    SetState,
    ViewCallback,
    claim_if_free,
    not_active,
)
from membership.requests import Requests
from membership.source_address import SourceHandler
from membership.tls import ClientFiles
from membership.views import Views
from protocol.clock import boottime_s
from protocol.errors import MembershipLostError, UnknownObjectError
from protocol.logins import OWN_USER, Login, LoginFile, Logins

log = structlog.get_logger(__name__)

SESSION_TIMEOUT_S = 2.0
START_TIMEOUT_S = 15.0
REVIVE_S = 0.1  # after a lost session: kazoo connects by itself, unless its thread has ended
_DEAD_MAX = 500  # incarnations remembered as dead; the oldest are forgotten
_ATTEMPTS_MAX = 20  # of one optimistic change; each lost race means that another one was made

_T = TypeVar("_T")
_LINK_ERRORS = (
    exceptions.ConnectionLoss,
    exceptions.ConnectionClosedError,
    exceptions.OperationTimeoutError,
    exceptions.SessionExpiredError,
    exceptions.SessionMovedError,
)


class _LinkError(Exception):
    """The answer got lost: the request may have been carried out or not."""


class ZooKeeperMembership(Views):
    """One instance's session with the membership servers. `me` None: an observer. `login`: the
    password of `user`, or the files that hold user and password and may change.

    hosts: "127.0.0.1:6681,127.0.0.1:6682". previous_incarnations: earlier lives of this instance
    home; who holds the home's lock knows that they are dead. `watch` False keeps no view (for a
    supervisor that only reports deaths). source: the address it connects from; default: that of
    `me`, or any. tls: the servers are to be asked by TLS, with these files.
    """

    def __init__(
        self,
        hosts: str,
        grid: str,
        login: str | LoginFile,
        me: InstanceInfo | None,
        *,
        session_timeout_s: float = SESSION_TIMEOUT_S,
        previous_incarnations: Iterable[str] = (),
        start_timeout_s: float = START_TIMEOUT_S,
        watch: bool = True,
        source: str = "",
        user: str = OWN_USER,
        tls: ClientFiles | None = None,
    ) -> None:
        assert login
        assert session_timeout_s > 0
        self.me = me
        self._hosts = hosts
        self._tls = tls
        self._source = source or (me.address if me is not None else "")
        self._paths = GridPaths(grid)
        self._access = Access(Logins(Login(user, login)) if isinstance(login, str) else login)
        self._asked_timeout_s = session_timeout_s
        self._negotiated_s = session_timeout_s
        self._previous = frozenset(previous_incarnations)
        self._start_timeout_s = start_timeout_s
        self._watching = watch
        self._mirror = Mirror(self._paths, self)
        self._callbacks: list[ViewCallback] = []
        self._view = ClusterView()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._requests = Requests()
        self._tasks: list[asyncio.Task[None]] = []
        self._linked = asyncio.Event()  # a connection with a live session
        self._registered = asyncio.Event()  # own node written in this session, first view read
        self._marked = asyncio.Event()  # the mirror has something to read
        self._links = 0  # counts connections: another one has no watches yet
        self._session = 0
        self._session_id = 0
        self._lease_s = 0.0
        self._stopping = False
        self._obstacle = ""  # what registration waits for, in words
        self._failure: Exception | None = None  # why registration can never succeed

    # -- port: life ------------------------------------------------------------------------------
    async def start(self) -> None:
        """See the port."""
        assert self._client is None
        self._loop = asyncio.get_running_loop()
        retry = KazooRetry(max_tries=-1, delay=0.05, backoff=2, max_delay=0.4)
        await self._keep_logins()
        self._client = KazooClient(
            hosts=self._hosts,
            timeout=self._asked_timeout_s,
            connection_retry=retry,
            auth_data=self._access.auth_data(),
            default_acl=self._access.acl(),
            logger=logging.getLogger("kazoo"),
            handler=SourceHandler(self._source, self._tls),
        )
        self._learn_negotiated_timeout()
        self._client.add_listener(self._state_from_thread)
        self._tasks = [asyncio.create_task(self._keep_registered(), name="membership-keep")]
        if self._watching:
            self._tasks.append(asyncio.create_task(self._keep_view(), name="membership-view"))
        self._client.start_async()
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._registered.wait()
        except TimeoutError:
            await self._close()
            obstacle = (
                self._obstacle or f"no quorum of membership servers at {self._hosts} answered"
            )
            raise MembershipLostError(f"{obstacle} within {self._start_timeout_s:g} s") from None
        if self._failure is not None:
            await self._close()
            raise self._failure

    async def stop(self) -> None:
        """See the port."""
        if self._client is None or self._stopping:
            return
        self._stopping = True
        if self.me is not None and self._registered.is_set() and self._linked.is_set():
            with contextlib.suppress(MembershipLostError, TimeoutError):
                async with asyncio.timeout(self._asked_timeout_s):
                    await self.report_death(self.me.incarnation)
        await self._close()

    async def _close(self) -> None:
        self._stopping = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._registered.clear()
        self._view = ClusterView(session=self._session)
        client, self._client = self._client, None
        assert self._loop is not None
        await self._loop.run_in_executor(None, _close_client, client)

    # -- port: views -----------------------------------------------------------------------------
    def serving_until_s(self) -> float:
        """See the port."""
        if self.me is None or self._stopping or not self._registered.is_set():
            return 0.0
        if self.me.incarnation in self._mirror.dead:
            return 0.0
        return self._lease_s

    @property
    def session_timeout_s(self) -> float:
        """As negotiated with the servers."""
        return self._negotiated_s

    # -- port: facts -----------------------------------------------------------------------------
    async def create_set(self, db: str, rs: int, state: SetState) -> SetState:
        """See the port."""
        path = self._paths.replica_set(db, rs)

        async def create() -> SetState:
            try:
                await self._ask("create_async", path, paths.encode(state), makepath=True)
                return state
            except NodeExistsError:
                await self._ask("sync_async", path)
                raw, _ = await self._ask("get_async", path)
                return paths.decode(SetState, raw)

        return await self._settled(create)

    async def compare_and_set(
        self, db: str, rs: int, expected: SetState, new: SetState
    ) -> SetState:
        """See the port."""
        path = self._paths.replica_set(db, rs)

        async def replace() -> SetState:
            raw, stat = await self._ask("get_async", path)
            if paths.decode(SetState, raw) != expected:  # changed, or this server lags
                await self._ask("sync_async", path)
                raw, stat = await self._ask("get_async", path)
                if (current := paths.decode(SetState, raw)) != expected:
                    return current
            await self._ask("set_async", path, paths.encode(new), version=stat.version)
            return new

        try:
            return await self._settled(replace)
        except NoNodeError:
            raise UnknownObjectError(f"replica set {rs} of {db} is not in the membership") from None

    async def read_set(self, db: str, rs: int) -> SetState | None:
        """See the port."""
        path = self._paths.replica_set(db, rs)

        async def read() -> SetState | None:
            try:
                await self._ask("sync_async", path)
                raw, _ = await self._ask("get_async", path)
            except NoNodeError:
                return None
            return paths.decode(SetState, raw)

        return await self._settled(read)

    async def delete_database(self, db: str) -> None:
        """See the port."""

        async def delete() -> None:
            await self._ask("sync_async", paths.ROOT)
            change = await self._change()
            found = [path async for path in self._below(self._paths.database(db))]
            for path in found:
                change.delete(path)
            if found:
                await self._commit(change)

        await self._settled(delete)

    async def put_map(self, db: str, expected_version: int, value: bytes) -> bool:
        """See the port."""
        path = self._paths.map(db)
        wanted = (expected_version + 1, value)

        async def put() -> bool:
            await self._ask("sync_async", path)
            try:
                raw, stat = await self._ask("get_async", path)
                there = paths.decode_map(raw)
            except NoNodeError:
                there, stat = (0, b""), None
            if there == wanted:
                return True  # an earlier attempt whose answer got lost
            if there[0] != expected_version:
                return False
            await self._put(path, paths.encode_map(*wanted), stat)
            return True

        return await self._settled(put)

    async def put_state(self, db: str, value: str) -> None:
        """See the port."""
        path = self._paths.state(db)

        async def put() -> None:
            await self._ask("sync_async", path)
            node = await self._node(path)
            await self._put(path, value.encode(), None if node is None else node[1])

        await self._settled(put)

    async def _put(self, path: str, value: bytes, stat: Any) -> None:
        """Replace a node of which `stat` is known, or (None) create it."""
        change = await self._change()
        if stat is None:
            await self._ask("ensure_path_async", path.rpartition("/")[0])
            change.create(path, value)
        else:
            change.set_data(path, value, version=stat.version)
        await self._commit(change)

    async def _change(self) -> Any:
        """A transaction; of a management instance: one that fails unless it still is the active.

        Each new active raises the term in its register, so that node's version is the proof.
        """
        change = self._client.transaction()
        if self.me is not None and self.me.kind == "mgmt":
            active, _, versions = await self._read_mgmt()
            if active is None or active.incarnation != self.me.incarnation:
                raise not_active(self.me.name)
            change.check(self._paths.mgmt_active, versions[0])
            change.check(self._paths.mgmt_term, versions[1])
        return change

    async def become_active(self, name: str, claim: Claim = claim_if_free) -> MgmtState | None:
        """See the port."""
        assert self.me is not None
        incarnation = self.me.incarnation

        async def become() -> MgmtState | None:
            await self._ask("sync_async", self._paths.mgmt_active)
            active, register, versions = await self._read_mgmt()
            if active is not None and active.incarnation == incarnation:
                return active
            claimed = claim(active, register)
            if claimed is None:
                return active
            new = MgmtState(name, incarnation, register.term + 1)
            claimed = dataclasses.replace(claimed, term=new.term)
            change = self._client.transaction()
            change.set_data(self._paths.mgmt_term, paths.encode(claimed), version=versions[1])
            if active is not None:
                change.delete(self._paths.mgmt_active, version=versions[0])
            change.create(self._paths.mgmt_active, paths.encode(new), ephemeral=True)
            await self._commit(change)
            return new

        return await self._settled(become)

    async def amend_register(self, amendment: Amendment) -> MgmtRegister | None:
        """See the port."""
        assert self.me is not None
        incarnation = self.me.incarnation

        async def amend() -> MgmtRegister | None:
            await self._ask("sync_async", self._paths.mgmt_active)
            active, register, versions = await self._read_mgmt()
            if active is None or active.incarnation != incarnation:
                return None
            amended = dataclasses.replace(amendment(register), term=register.term)
            if amended != register:
                change = self._client.transaction()
                change.check(self._paths.mgmt_active, versions[0])
                change.set_data(self._paths.mgmt_term, paths.encode(amended), version=versions[1])
                await self._commit(change)
            return amended

        return await self._settled(amend)

    async def _read_mgmt(self) -> tuple[MgmtState | None, MgmtRegister, tuple[int, int]]:
        """Who is active, the register, and the versions of both nodes (-1: nobody is active)."""
        active = await self._node(self._paths.mgmt_active)
        raw, stat = await self._ask("get_async", self._paths.mgmt_term)
        register = paths.decode(MgmtRegister, raw)
        if active is None:
            return None, register, (-1, stat.version)
        return paths.decode(MgmtState, active[0]), register, (active[1].version, stat.version)

    async def resign_active(self) -> None:
        """See the port."""
        assert self.me is not None
        incarnation = self.me.incarnation

        async def resign() -> None:
            try:
                raw, stat = await self._ask("get_async", self._paths.mgmt_active)
                if paths.decode(MgmtState, raw).incarnation == incarnation:
                    await self._ask("delete_async", self._paths.mgmt_active, version=stat.version)
            except NoNodeError:
                pass

        await self._settled(resign)

    async def report_death(self, incarnation: str) -> None:
        """See the port."""
        await self._settled(self._keep_logins)  # a supervisor may be the last to look
        await self._settled(lambda: self._bury(incarnation))

    async def protect(self) -> int:
        """See the port."""

        async def find() -> list[str]:
            await self._keep_logins()
            return [path async for path in self._below(self._paths.grid)]

        nodes = await self._settled(find)
        await self._access.protect(self._ask, self._settled, nodes, paths.ROOT)
        return len(nodes)

    async def login_stamps(self) -> dict[str, str]:
        """See the port."""
        return await self._settled(lambda: login_stamps(self._ask, self._paths))

    async def _bury(self, incarnation: str) -> None:
        """One transaction: mark dead, delete the instance node and the active role it held."""
        change = self._client.transaction()
        mark = self._paths.dead_incarnation(incarnation)
        marked, names = await asyncio.gather(
            self._ask("exists_async", mark),
            self._ask("get_children_async", self._paths.instances),
        )
        if not marked:
            change.create(mark)
        holders = [self._paths.instance(name) for name in names]
        nodes = await asyncio.gather(
            self._node(self._paths.mgmt_active), *(self._node(path) for path in holders)
        )
        if nodes[0] is not None and _incarnation(MgmtState, nodes[0][0]) == incarnation:
            change.delete(self._paths.mgmt_active, version=nodes[0][1].version)
        for path, node in zip(holders, nodes[1:], strict=True):
            if node is not None and _incarnation(InstanceInfo, node[0]) == incarnation:
                change.delete(path, version=node[1].version)
        if change.operations:
            await self._commit(change)

    async def _forget_oldest_dead(self) -> None:
        names = await self._ask("get_children_async", self._paths.dead)
        if len(names) <= _DEAD_MAX:
            return
        ages: list[tuple[int, str]] = []
        for name in names:
            stat = await self._ask("exists_async", self._paths.dead_incarnation(name))
            if stat is not None:
                ages.append((stat.czxid, name))
        for _, name in sorted(ages)[: len(ages) - _DEAD_MAX // 2]:
            with contextlib.suppress(NoNodeError):
                await self._ask("delete_async", self._paths.dead_incarnation(name))

    # -- registration and lease ------------------------------------------------------------------
    async def _keep_registered(self) -> None:
        """Forever: register in each new session, then write the own node again and again."""
        while True:
            await self._linked.wait()
            link = self._links
            try:
                if not self._registered.is_set():
                    await self._enter()
                while self._linked.is_set() and self._links == link:
                    await self._heartbeat()
            except _LinkError:
                await asyncio.sleep(0.01)  # the state change is on its way to the loop
            except NoNodeError:
                self._registered.clear()  # the own node vanished: register again, or never
            except (NoAuthError, AuthFailedError):
                self._failure = self._access.refused()
                self._registered.set()
                return
            except KazooException as problem:
                log.error("membership.failed", problem=repr(problem))
                await asyncio.sleep(self._interval_s())

    async def _enter(self) -> None:
        """In a new session: make sure of the tree, register, read everything."""
        await self._keep_logins()
        await self._ask("sync_async", paths.ROOT)
        await self._make_skeleton()
        if self.me is not None:
            await self._register(self.me)
            await self._forget_oldest_dead()
        self._mirror.mark_all()
        if self._watching:
            await self._mirror.catch_up()
        self._registered.set()
        self._marked.set()
        self._publish()

    async def _keep_logins(self) -> None:
        """Say other logins, if the files have others now; the own node tells that it was done."""
        if self._client is not None:
            await self._access.look(self._client, self._ask_alone)
        if self.me is not None and self.me.login != self._access.stamp:
            self.me = dataclasses.replace(self.me, login=self._access.stamp)

    async def _make_skeleton(self) -> None:
        if await self._ask("exists_async", self._paths.mgmt_term) is not None:
            return
        with contextlib.suppress(NodeExistsError):
            await self._ask("create_async", paths.ROOT, acl=self._access.root_acl())
        for path in self._paths.skeleton():
            with contextlib.suppress(NodeExistsError):
                await self._ask("create_async", path)
        with contextlib.suppress(NodeExistsError):
            await self._ask("create_async", self._paths.mgmt_term, paths.encode(MgmtRegister()))

    async def _register(self, me: InstanceInfo) -> None:
        path = self._paths.instance(me.name)
        waiting = False
        while True:
            if await self._ask("exists_async", self._paths.dead_incarnation(me.incarnation)):
                # Whoever said so may have let others take over: this life is over.
                log.error("membership.declared_dead", incarnation=me.incarnation)
                self._obstacle = f"{me.name} {me.incarnation} was declared dead; no new session"
                await asyncio.sleep(self._negotiated_s)
                continue
            sent_s = boottime_s()
            try:
                await self._ask("create_async", path, paths.encode(me), ephemeral=True)
                self._lease_s = sent_s + LEASE_SHARE * self._negotiated_s
                return
            except NodeExistsError:
                node = await self._node(path)
            if node is None:
                continue
            raw, stat = node
            owner = _incarnation(InstanceInfo, raw)
            if stat.ephemeralOwner == self._session_id:
                return  # created, only the answer got lost; the next heartbeat gives the lease
            if owner == me.incarnation:  # left by an earlier session of this process
                with contextlib.suppress(NoNodeError, BadVersionError):
                    await self._ask("delete_async", path, version=stat.version)
            elif owner in self._previous:
                with contextlib.suppress(NoNodeError, BadVersionError, NodeExistsError):
                    await self._bury(owner)
            else:
                if not waiting:
                    log.warning("membership.name_taken", name=me.name, by=owner)
                waiting = True
                self._obstacle = f"{me.name} is registered by {owner}, which did not end"
                await asyncio.sleep(self._negotiated_s / 20)

    async def _heartbeat(self) -> None:
        """Write the own node once (an observer only waits), then pause until the next is due."""
        interval_s = self._interval_s()
        await self._keep_logins()
        if self.me is None:
            await asyncio.sleep(interval_s)
            return
        sent_s = boottime_s()
        value = paths.encode(self.me)
        try:
            await self._ask(
                "set_async",
                self._paths.instance(self.me.name),
                value,
                timeout_s=2 * interval_s,
            )
        except TimeoutError:
            # kazoo would find out by pings much later; another server may answer in time.
            self._break_connection()
            raise _LinkError from None
        self._lease_s = sent_s + LEASE_SHARE * self._negotiated_s
        await asyncio.sleep(max(0.0, sent_s + interval_s - boottime_s()))

    def _interval_s(self) -> float:
        """Between two heartbeats."""
        return self._negotiated_s / HEARTBEATS_PER_TIMEOUT

    def _break_connection(self) -> None:
        log.warning("membership.server_silent")
        connection = getattr(self._client, "_connection", None)
        broken = getattr(connection, "_socket", None)
        if broken is not None:
            with contextlib.suppress(OSError):
                broken.shutdown(socket.SHUT_RDWR)

    # -- views -----------------------------------------------------------------------------------
    async def _keep_view(self) -> None:
        """Forever: read what changed, publish."""
        while True:
            await self._marked.wait()
            await self._registered.wait()
            await self._linked.wait()
            self._marked.clear()
            try:
                await self._mirror.catch_up()
            except (_LinkError, TimeoutError):
                self._marked.set()  # what was not read is still marked
                await asyncio.sleep(0.01)
                continue
            except KazooException as problem:
                log.error("membership.read_failed", problem=repr(problem))
                self._marked.set()
                await asyncio.sleep(self._interval_s())
                continue
            self._publish()

    def _publish(self) -> None:
        connected = self._linked.is_set() and self._registered.is_set()
        new = self._mirror.view(connected=connected, session=self._session)
        if new == self._view or self._stopping:
            return
        self._view = new
        for callback in list(self._callbacks):
            try:
                callback(new)
            except Exception:  # one listener's fault must not keep the view from the others
                log.exception("membership.callback_failed")

    async def get(self, path: str, *, watch: bool) -> bytes | None:
        """For the mirror: a value; None: no such node. `watch`: tell its next change."""
        if not watch:
            return await self._value(path)
        while True:
            with contextlib.suppress(NoNodeError):
                raw, _ = await self._ask("get_async", path, watch=self._event_from_thread)
                return bytes(raw)
            if await self._ask("exists_async", path, watch=self._event_from_thread) is None:
                return None

    async def children(self, path: str) -> list[str] | None:
        """For the mirror: names of the children, watched; None: no such node."""
        while True:
            with contextlib.suppress(NoNodeError):
                watch = self._event_from_thread
                return list(await self._ask("get_children_async", path, watch=watch))
            if await self._ask("exists_async", path, watch=self._event_from_thread) is None:
                return None

    # -- kazoo's threads -------------------------------------------------------------------------
    def _state_from_thread(self, state: str) -> None:
        session_id = self._client.client_id[0] if self._client and self._client.client_id else 0
        self._call_in_loop(self._state_changed, state, session_id)

    def _event_from_thread(self, event: WatchedEvent) -> None:
        if event.path:
            self._call_in_loop(self._node_changed, event.path)

    def _call_in_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _state_changed(self, state: str, session_id: int) -> None:
        if self._stopping:
            return
        if state != KazooState.CONNECTED:
            self._linked.clear()
            if state == KazooState.LOST:
                self._registered.clear()
                assert self._loop is not None
                self._loop.call_later(REVIVE_S, self._revive)
            log.info("membership.link_lost", state=state)
            self._publish()
            return
        self._links += 1
        if session_id != self._session_id:
            self._session_id = session_id
            self._session += 1
            self._registered.clear()
        self._mirror.mark_all()
        self._marked.set()
        self._linked.set()
        log.info("membership.linked", session=self._session)

    def _revive(self) -> None:
        """Begin anew if kazoo has ended its thread: a reply it does not understand does that."""
        client = self._client
        if self._stopping or client is None or not client._connection.connection_stopped.is_set():
            return
        log.error("membership.client_ended", session=self._session)
        assert self._loop is not None
        self._loop.run_in_executor(None, client.start_async)

    def _node_changed(self, path: str) -> None:
        self._mirror.mark(path)
        self._marked.set()

    def _learn_negotiated_timeout(self) -> None:
        """kazoo keeps the negotiated timeout to itself; its _connect returns 2/3 of it in ms."""
        connection = self._client._connection
        connect = connection._connect

        def connect_and_learn(*arguments: Any, **keywords: Any) -> Any:
            read_timeout_ms, connect_timeout_ms = connect(*arguments, **keywords)
            self._negotiated_s = read_timeout_ms * 1.5 / 1000
            return read_timeout_ms, connect_timeout_ms

        connection._connect = connect_and_learn

    # -- requests --------------------------------------------------------------------------------
    async def _settled(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """Carry out an attempt that begins by reading and may be repeated, until it is settled.

        A lost race or a lost answer leads to another attempt. Raises MembershipLostError when
        that takes longer than a session lasts.
        """
        try:
            async with asyncio.timeout(2 * self._asked_timeout_s):
                for _ in range(_ATTEMPTS_MAX):
                    await self._linked.wait()
                    try:
                        return await attempt()
                    except (BadVersionError, NodeExistsError, NotEmptyError):
                        continue
                    except _LinkError:
                        await asyncio.sleep(0.01)
        except TimeoutError:
            pass
        except (NoAuthError, AuthFailedError):
            raise self._access.refused() from None
        raise MembershipLostError("no quorum of membership servers answers")

    async def _ask(
        self, method: str, *arguments: Any, timeout_s: float | None = None, **keywords: Any
    ) -> Any:
        """One request. Raises _LinkError, TimeoutError, or what kazoo says about the node."""
        if self._client is None:
            raise MembershipLostError("the membership session is closed")
        send = partial(getattr(self._client, method), *arguments, **keywords)
        return await self._answer(send, timeout_s)

    async def _ask_alone(self, method: str, *arguments: Any) -> Any:
        """A request while no other one is under way. Raises as `_ask`, but for TimeoutError."""
        send = partial(getattr(self._client, method), *arguments)
        try:
            return await self._answer(send, 2 * self._interval_s(), alone=True)
        except TimeoutError:
            self._break_connection()
            raise _LinkError from None

    async def _answer(
        self, send: Callable[[], Any], timeout_s: float | None, *, alone: bool = False
    ) -> Any:
        try:
            return await self._requests.answer(send, timeout_s, alone=alone)
        except _LINK_ERRORS as problem:
            raise _LinkError(repr(problem)) from None

    async def _commit(self, change: Any) -> None:
        """Commit a transaction; raises the error of the operation that made it fail."""
        results = await self._answer(change.commit_async, None)
        for result in results:
            if isinstance(result, KazooException) and type(result).__name__ not in (
                "RolledBackError",
                "RuntimeInconsistency",
            ):
                raise BadVersionError if isinstance(result, NoNodeError) else result

    async def _node(self, path: str) -> tuple[bytes, Any] | None:
        try:
            raw, stat = await self._ask("get_async", path)
        except NoNodeError:
            return None
        return raw, stat

    async def _value(self, path: str) -> bytes | None:
        node = await self._node(path)
        return None if node is None else node[0]

    async def _below(self, path: str) -> AsyncIterator[str]:
        """A node and all below it, in an order in which they can be deleted."""
        try:
            names = await self._ask("get_children_async", path)
        except NoNodeError:
            return
        for name in names:
            async for below in self._below(f"{path}/{name}"):
                yield below
        yield path


def _incarnation(kind: type[InstanceInfo] | type[MgmtState], raw: bytes) -> str:
    """Whose node it is; empty when it is not a value of ours."""
    try:
        if kind is MgmtState:
            return paths.decode(MgmtState, raw).incarnation
        return paths.decode(InstanceInfo, raw).incarnation
    except paths.BadValueError:
        return ""


def _close_client(client: Any) -> None:
    """Blocks until kazoo's threads ended; run outside the event loop."""
    with contextlib.suppress(Exception):
        client.stop()
    with contextlib.suppress(Exception):
        client.close()
