"""Looks after the role of this management instance: follows membership, acts on commands.

Decides with role.py; ships changes with replicator.py while active, takes them with follower.py
while not. Everything that acknowledges asks `check_active` before and `secured` after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog

from membership.port import Claim, ClusterView, Membership, MgmtState
from mgmt.ha import role as rules
from mgmt.ha.follower import Follower
from mgmt.ha.replicator import Partner, Replicator
from mgmt.ha.role import Role
from mgmt.model.store import Put, Store
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlineError,
    GridError,
    ModelError,
    NotActiveManagementError,
    PeerLostError,
    PeerUnreachableError,
)
from protocol.messages.management import (
    AskManagement,
    Follow,
    Followed,
    ManagementTold,
    TakeCopy,
    YieldActive,
    Yielded,
)
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request, from_management

log = structlog.get_logger(__name__)

LOOK_S = 0.5  # at least so often is the role looked at
FORMER_LIFE_S = 20.0
UNSEEN_S = 5.0  # a view that does not show the own claim after so long shows that it is lost
YIELD_S = 10.0  # so long does a former active leave the role to the one it yielded to
IN_SYNC_TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 1.5
STANDBY_STOPPED = "standby-stopped"  # own fact of the store: the mark of mgmtStandbyStop


class Setting(NamedTuple):
    """What the keeper needs to know of its surroundings."""

    name: str
    incarnation: str
    session_timeout_s: float
    partner: Callable[[], str]  # the other management instance in place; "" if there is none
    has_grid: Callable[[], bool]
    automatic: Callable[[], bool]
    began: Callable[[], None]  # this instance became active
    # and is so no longer: stop everything that acts; gives what is about to end
    ceased: Callable[[], Sequence[asyncio.Task[Any]]]


class RoleKeeper:
    """One per management instance with a grid, from `start` to `stop`."""

    def __init__(
        self, store: Store, membership: Membership, rpc: RpcNode, setting: Setting
    ) -> None:
        self._store = store
        self._membership = membership
        self._rpc = rpc
        self._setting = setting
        self._follower = Follower(store, setting.name)
        self._replicator: Replicator | None = None
        self._shipping: asyncio.Task[None] | None = None
        self._role = Role.STARTING
        self._term = 0  # of the own time as active
        self._session = 0  # the session it is bound to
        self._seen = False  # the view showed it
        self._unseen_until_s = 0.0  # so long may the view lag behind it
        self._yielded_until_s = 0.0  # until then the role is left to another one
        self._turn = asyncio.Lock()  # one change of role at a time
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        store.authority = self._authority
        store.on_write = self._written
        self._unsubscribe = membership.subscribe(lambda view: self._look_soon())
        rpc.handle_async(Follow, from_management(self._follow))
        rpc.handle_async(TakeCopy, from_management(self._take_copy))
        rpc.handle_async(AskManagement, from_management(self._tell))
        rpc.handle_async(YieldActive, from_management(self._yield))

    # -- life ------------------------------------------------------------------------------------
    def start(self) -> None:
        """Look after the role until `stop`."""
        former = self._membership.view().mgmt_register.last
        if former not in ("", self.copy):  # if both start at once it goes on as the active
            self._yielded_until_s = boottime_s() + self._setting.session_timeout_s
        if self._store.own(STANDBY_STOPPED) is not None:
            self._follower.closed = "was stopped by mgmtStandbyStop"
        self._looking = asyncio.create_task(self._keep(), name="management-role")

    async def stop(self) -> None:
        """End it; the membership session, and with it the role, ends later."""
        self._unsubscribe()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self._follower.closed = "is stopping"
        shipping = self._shipping
        if self._is_active():
            self._cease()
        if shipping is not None:
            await asyncio.gather(shipping, return_exceptions=True)
        self._role = Role.STARTING

    # -- what others ask -------------------------------------------------------------------------
    @property
    def role(self) -> Role:
        """The present role."""
        return self._role

    @property
    def copy(self) -> str:
        """How the register calls this store."""
        return rules.copy_name(self._setting.name, self._store.copy_id)

    @property
    def standby(self) -> str:
        """As the active: the copy that is in sync; "" while there is none."""
        return self._replicator.standby if self._replicator is not None else ""

    async def standby_in_sync(self, timeout_s: float) -> bool:
        """As the active: wait until there is a standby in sync; False if that took too long."""
        try:
            await self._until(lambda: bool(self.standby), timeout_s)
        except TimeoutError:
            return False
        return True

    async def known(self, timeout_s: float) -> None:
        """Wait until the role is found out, and holds if it is active; at most so long."""
        try:
            await self._until(self._knows_role, timeout_s)
        except TimeoutError:
            log.warning("management.role_unknown", waited_s=timeout_s)

    def check_active(self) -> None:
        """Raises NotActiveManagementError, naming the active one, unless this is it now."""
        view = self._membership.view()
        if self._is_active():
            if self._holds_role(view):
                return
            raise NotActiveManagementError(
                "no session with the membership servers",
                hint="Start a majority of the membership servers, then repeat the command.",
            )
        active = view.mgmt
        if active is not None and active.name != self._setting.name:
            info = view.instances.get(active.name)
            where = f"{active.name} at {info.address}" if info else active.name
            raise NotActiveManagementError(
                "this management instance is not the active one",
                hint=f"Run the command on {where}.",
            )
        raise NotActiveManagementError(
            f"this management instance is not active (it is {self._role})",
            hint="ttGridAdmin mgmtExamine says what to do.",
        )

    async def secured(self) -> None:
        """Until all changes made so far are safe. Raises NotActiveManagementError."""
        replicator = self._replicator
        if replicator is None:
            self.check_active()
            return
        await replicator.secured()

    def told(self) -> ManagementTold:
        """What this instance says of itself."""
        seq, term = self._store.last
        return ManagementTold(
            self._setting.name, str(self._role), self.copy, seq, term, self._message()
        )

    async def ask(self, name: str) -> ManagementTold | None:
        """What the other one says of itself; None: it does not answer."""
        try:
            answer = await self._rpc.peer(name).call(AskManagement(), ASK_TIMEOUT_S)
        except GridError:
            return None
        return answer if isinstance(answer, ManagementTold) else None

    # -- commands --------------------------------------------------------------------------------
    async def create(self) -> None:
        """gridCreate: be the first active. Raises ModelError when there is one."""
        async with self._turn:
            await self._claim(rules.claim_by_itself(self.copy))
        if not self._is_active():
            other = rules.instance_of(self._membership.view().mgmt_register.last)
            raise ModelError(
                f"a grid of this name is there already: {other} manages it",
                hint="Choose another name, or other membership servers.",
            )

    async def start_active(self) -> None:
        """mgmtActiveStart. Raises ModelError while another one is, or when this one is behind."""
        if self._is_active():
            self.check_active()
            return
        async with self._turn:
            active = self._membership.view().mgmt
            if active is not None and active.name != self._setting.name:
                raise ModelError(
                    f"{active.name} is the active management instance",
                    hint="Stop it there first: ttGridAdmin mgmtActiveStop. Or take over from it:"
                    " ttGridAdmin mgmtActiveSwitch.",
                )
            self._clear_standby_mark()
            await self._claim_by_command()
            if not self._is_active():
                raise self._behind()

    async def stop_active(self) -> None:
        """mgmtActiveStop: leave the role, with a mark so that nobody takes it up by itself."""
        self.check_active()
        await self.secured()
        async with self._turn:
            if await self._membership.amend_register(rules.stopped) is None:
                self.check_active()
            self._cease()
            await self._membership.resign_active()
            self._set_role(Role.STOPPED)

    async def switch(self, *, force: bool) -> tuple[str, ...]:
        """mgmtActiveSwitch on the standby. Returns lines for the user. Raises ModelError."""
        done = "This is now the active management instance"
        if self._is_active():
            self.check_active()
            return (done,)
        async with self._turn:
            active = self._membership.view().mgmt
            deposes = False
            if active is not None and active.name != self._setting.name:
                deposes = not await self._asked_to_yield(active, force=force)
            self._clear_standby_mark()
            if not deposes:
                await self._claim_by_command()
            if self._is_active():
                return (done,)
            if not force:
                raise self._behind()
            lines = self._losses()
            claim = rules.claim_by_force(self.copy, self._store.seq)
            # a living session may act on its lease until it hears that it was deposed
            await self._claim(claim, wait_s=self._setting.session_timeout_s if deposes else 0.0)
            self.check_active()
            return (*lines, done)

    async def start_standby(self) -> None:
        """mgmtStandbyStart: follow again; returns when in sync. Raises ModelError."""
        if self._is_active():
            raise ModelError(
                f"{self._setting.name} is the active management instance",
                hint="Run mgmtStandbyStart on the other one.",
            )
        self._clear_standby_mark()
        self._look_soon()

        def in_sync() -> bool:
            view = self._membership.view()
            return self._is_active() or (
                view.mgmt is not None and self.copy in view.mgmt_register.in_sync
            )

        try:
            await self._until(in_sync, IN_SYNC_TIMEOUT_S)
        except TimeoutError:
            raise ModelError(
                f"{self._setting.name} follows, but is not in sync after {IN_SYNC_TIMEOUT_S:.0f} s",
                hint="ttGridAdmin mgmtExamine says whether there is an active to follow.",
            ) from None

    async def stop_standby(self) -> None:
        """mgmtStandbyStop: follow no more, and never become active by itself."""
        async with self._turn:
            if self._is_active():
                raise ModelError(
                    f"{self._setting.name} is the active management instance",
                    hint="ttGridAdmin mgmtActiveStop stops it.",
                )
            self._store.set_own(STANDBY_STOPPED, "1")
            self._follower.closed = "was stopped by mgmtStandbyStop"
            self._set_role(Role.STOPPED)

    # -- messages --------------------------------------------------------------------------------
    async def _follow(self, message: Follow, request: Request) -> Followed:
        return self._follower.follow(message)

    async def _take_copy(self, message: TakeCopy, request: Request) -> Followed:
        return self._follower.take_copy(message)

    async def _tell(self, message: AskManagement, request: Request) -> ManagementTold:
        return self.told()

    async def _yield(self, message: YieldActive, request: Request) -> Yielded:
        """Give the role up to the standby that asks."""
        async with self._turn:
            self.check_active()
            await self.secured()
            if self.standby != message.copy and not message.force:
                raise ModelError(
                    f"{rules.instance_of(message.copy)} is not in sync with"
                    f" {self._setting.name} yet",
                    hint="Repeat the command in a moment; ttGridAdmin mgmtExamine shows both.",
                )
            ending = self._setting.ceased()  # nothing acts or writes from here on
            self._set_role(Role.STANDBY)
            if ending:
                await asyncio.wait(ending, timeout=self._setting.session_timeout_s)
            if self._replicator is not None:
                await self._replicator.flushed()
            self._cease_shipping()
            await self._membership.resign_active()
            self._follower.closed = ""
            self._yielded_until_s = boottime_s() + YIELD_S
            log.info("management.yielded", to=message.copy, seq=self._store.seq)
            return Yielded(self._store.seq)

    # -- the role --------------------------------------------------------------------------------
    async def _keep(self) -> None:
        while True:
            self._wake.clear()
            try:
                async with self._turn:
                    await self._look()
            except GridError as error:
                log.warning("management.role_unknown", problem=error.message)
            self._changed.set()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        view = self._membership.view()
        if self._is_active() and self._holds_role(view):
            return
        found, try_it = rules.next_role(
            rules.Facts(
                name=self._setting.name,
                incarnation=self._setting.incarnation,
                copy=self.copy,
                connected=view.connected,
                lease=self._membership.serving_until_s() > boottime_s(),
                has_grid=self._setting.has_grid(),
                standby_stopped=self._store.own(STANDBY_STOPPED) is not None,
                automatic=self._setting.automatic(),
                active=view.mgmt,
                register=view.mgmt_register,
            )
        )
        if self._is_active():
            self._cease()
        if view.mgmt is not None and view.mgmt.incarnation != self._setting.incarnation:
            self._yielded_until_s = 0.0
            self._follower.raise_term(view.mgmt.term)
        if try_it and boottime_s() < self._yielded_until_s:
            found, try_it = Role.STANDBY, False
        if try_it:
            await self._claim(rules.claim_by_itself(self.copy))
        elif found is Role.ACTIVE:
            assert view.mgmt is not None
            await self._begin(view.mgmt, view)
        else:
            if found is Role.STANDBY and not self._follower.closed.startswith("was stopped"):
                self._follower.closed = ""
            self._set_role(found)

    async def _claim(self, claim: Claim, wait_s: float = 0.0) -> None:
        """Become active if the claim is granted; else be what the view says, soon."""
        if trace.steps.listener is not None:
            trace.step("mgmt/ha/keeper.py")
        self._follower.closed = "is becoming active"  # until it is known who is
        view = self._membership.view()
        state = await self._membership.become_active(self._setting.name, claim)
        if state is not None and state.incarnation == self._setting.incarnation:
            if wait_s:
                await asyncio.sleep(wait_s)
            await self._begin(state, view)
            return
        self._follower.closed = ""
        if self._role is not Role.STARTING:
            return
        self._set_role(Role.STANDBY)

    async def _begin(self, state: MgmtState, view: ClusterView) -> None:
        """Act in the term won. view: as it was when the role was asked for."""
        self._follower.raise_term(state.term)
        self._follower.closed = "is the active"
        register = await self._membership.amend_register(lambda unchanged: unchanged)
        if register is None:
            return  # lost again already
        self._term, self._session = state.term, view.session
        self._seen, self._unseen_until_s = False, boottime_s() + UNSEEN_S
        self._replicator = Replicator(
            self._store,
            copy=self.copy,
            term=state.term,
            in_sync=register.in_sync,
            link=self,
            amend=self._membership.amend_register,
            partner=self._partner,
            check=self.check_active,
            timeout_s=self._setting.session_timeout_s,
            changed=self._changed.set,
        )
        self._set_role(Role.ACTIVE)
        self._store.write(Put("active", "-", f"{state.term} {state.name}".encode()))
        self._shipping = asyncio.create_task(self._replicator.run(), name="management-replicator")
        self._setting.began()

    async def _claim_by_command(self) -> None:
        """Claim; a former life of this instance is waited out, its session ends soon."""
        deadline_s = boottime_s() + FORMER_LIFE_S
        while True:
            await self._claim(rules.claim_by_command(self.copy))
            active = self._membership.view().mgmt
            former = active is not None and active.name == self._setting.name
            if self._is_active() or not former or boottime_s() >= deadline_s:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _cease(self) -> None:
        self._setting.ceased()
        self._set_role(Role.STARTING)
        self._cease_shipping()
        self._follower.closed = ""

    def _cease_shipping(self) -> None:
        if self._shipping is not None:
            self._shipping.cancel()
            self._shipping = None
        if self._replicator is not None:
            self._replicator.end()
            self._replicator = None

    def _set_role(self, new: Role) -> None:
        if new is not self._role:
            log.info("management.role_changed", role=str(new), before=str(self._role))
            self._role = new
        self._changed.set()

    def _is_active(self) -> bool:
        return self._role is Role.ACTIVE

    def _knows_role(self) -> bool:
        if self._is_active():
            return self._holds_role(self._membership.view())
        return self._role is not Role.STARTING

    def _holds_role(self, view: ClusterView) -> bool:
        """Whether the role, once won, still holds: the session it is bound to, and its lease.

        A view may lag behind the own claim; what it showed once and shows no more is lost.
        """
        now_s = boottime_s()
        if view.session != self._session or self._membership.serving_until_s() <= now_s:
            return False
        if view.mgmt is not None and view.mgmt.term == self._term:
            self._seen = True
            return True
        if self._seen or (view.mgmt is not None and view.mgmt.term > self._term):
            return False
        return now_s < self._unseen_until_s

    # -- help ------------------------------------------------------------------------------------
    async def call(self, name: str, message: Follow | TakeCopy, timeout_s: float) -> Followed:
        """See Link."""
        await self._rpc.wait_connected(name, timeout_s)
        answer = await self._rpc.peer(name).call(message, timeout_s)
        assert isinstance(answer, Followed)
        return answer

    def _partner(self) -> Partner | None:
        view, name = self._membership.view(), self._setting.partner()
        info = view.instances.get(name)
        if info is None or info.incarnation in view.dead:
            return None
        return Partner(name, info.incarnation)

    async def _asked_to_yield(self, active: MgmtState, *, force: bool) -> bool:
        """Whether the role is free now. Raises when the active refuses, or is silent, unforced."""
        try:
            message = YieldActive(self.copy, force)
            await self._rpc.peer(active.name).call(message, YIELD_S)
        except NotActiveManagementError:
            return True  # not any more
        except (PeerUnreachableError, PeerLostError, DeadlineError) as error:
            if force:
                return False
            try:  # a process that died silently is known dead when its session ends
                longest_s = 3 * self._setting.session_timeout_s
                await self._until(lambda: self._membership.view().mgmt != active, longest_s)
            except TimeoutError:
                raise ModelError(
                    f"the active management instance {active.name} does not answer, but the"
                    f" membership servers hear of it: {error.message}",
                    hint="Stop it, or take over with -force.",
                ) from error
            return True
        except GridError:
            if force:
                return False
            raise
        return True

    def _behind(self) -> GridError:
        register = self._membership.view().mgmt_register
        others = [rules.instance_of(c) for c in register.in_sync if c != self.copy]
        if not others:
            return NotActiveManagementError(
                "it is not known whether this management instance may become active",
                hint="Are the membership servers up? Repeat the command.",
            )
        return ModelError(
            f"this management instance (Seq {self._store.seq}) lacks changes that {others[0]} made"
            f" alone after Seq {register.alone_seq}",
            hint=f"Start {others[0]} instead (ttDaemonAdmin -start there). If it is lost for good:"
            " ttGridAdmin mgmtActiveSwitch -force.",
        )

    def _losses(self) -> tuple[str, ...]:
        """What a forced promotion gives up, as far as it is known."""
        register = self._membership.view().mgmt_register
        others = [rules.instance_of(c) for c in register.in_sync if c != self.copy]
        if not others or self.copy in register.in_sync:
            return ()
        least = max(1, self._follower.heard_seq - self._store.seq)
        return (
            f"Given up: what {others[0]} changed alone after Seq {register.alone_seq}"
            f" (at least {least}; this copy has Seq {self._store.seq})",
        )

    def _message(self) -> str:
        view = self._membership.view()
        if self._role is Role.STARTING and not view.connected:
            return "No session with the membership servers"
        if self._role is Role.STOPPED:
            by = "mgmtStandbyStop" if self._store.own(STANDBY_STOPPED) else "mgmtActiveStop"
            return f"Stopped by {by}"
        if self._role is Role.STANDBY and self.copy not in view.mgmt_register.in_sync:
            return "Not in sync"
        return ""

    def _clear_standby_mark(self) -> None:
        self._store.set_own(STANDBY_STOPPED, None)
        self._follower.closed = ""

    def _authority(self) -> int:
        """For the store: the term to write under."""
        self.check_active()
        return self._term

    def _written(self) -> None:
        if self._replicator is not None:
            self._replicator.wake()

    def _look_soon(self) -> None:
        self._wake.set()
        self._changed.set()
        if self._replicator is not None:
            self._replicator.wake()

    async def _until(self, is_true: Callable[[], bool], timeout_s: float) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not is_true():
                self._changed.clear()
                await self._changed.wait()
