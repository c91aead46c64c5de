"""The Membership port in one process, for tests: an ensemble object and its members.

It behaves as ZooKeeper does where callers can tell: sessions end some time after a member was cut
off, but not while the quorum is lost; a member that comes back late gets a new session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from membership.port import (
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
from membership.views import Views
from protocol.clock import Clock, SystemClock
from protocol.errors import MembershipLostError, UnknownObjectError


@dataclass
class _Facts:
    """What the ensemble agreed on."""

    instances: dict[str, InstanceInfo] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    sets: dict[tuple[str, int], SetState] = field(default_factory=dict)
    maps: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    mgmt: MgmtState | None = None
    register: MgmtRegister = field(default_factory=MgmtRegister)


class MemoryEnsemble:
    """What all members share, and the hand with which a test breaks things."""

    def __init__(self, session_timeout_s: float = 2.0, clock: Clock | None = None) -> None:
        self.session_timeout_s = session_timeout_s
        self.clock: Clock = clock or SystemClock()
        self.facts = _Facts()
        self.has_quorum = True
        self.members: list[MemoryMembership] = []

    def lose_quorum(self) -> None:
        """Nobody gets an answer any more, and no session can expire."""
        self.has_quorum = False
        self._reachability_changed()

    def restore_quorum(self) -> None:
        """The servers answer again; sessions go on where they were."""
        self.has_quorum = True
        self._reachability_changed()

    def cut(self, name: str) -> None:
        """Cut one member off; its session expires one session timeout later."""
        for member in self._named(name):
            member.cut_off()

    def silence(self, name: str) -> None:
        """Let no answer through to one member: the servers hear it, so its session goes on."""
        for member in self._named(name):
            member.hears_nothing()

    def heal(self, name: str) -> None:
        """Let the member through again: into its old session, or a new one if that expired."""
        for member in self._named(name):
            member.let_through()

    def expire(self, name: str) -> None:
        """End a member's session at once; a member that is not cut off gets a new one."""
        for member in self._named(name):
            member.session_expired()

    def changed(self) -> None:
        """Tell every member that the facts changed."""
        for member in self.members:
            member.facts_changed()

    def _named(self, name: str) -> list[MemoryMembership]:
        return [m for m in self.members if m.me is not None and m.me.name == name]

    def _reachability_changed(self) -> None:
        for member in self.members:
            member.reachability_changed()


class MemoryMembership(Views):
    """One member of a MemoryEnsemble. `me` None: an observer that registers nothing."""

    def __init__(
        self,
        ensemble: MemoryEnsemble,
        me: InstanceInfo | None,
        previous_incarnations: Iterable[str] = (),
    ) -> None:
        self.me = me
        self._ensemble = ensemble
        self._previous = frozenset(previous_incarnations)
        self._callbacks: list[ViewCallback] = []
        self._view = ClusterView()
        self._session = 0
        self._has_session = False
        self._cut = False
        self._deaf = False
        self._contact_s = 0.0  # when the servers were last reachable
        self._was_reachable = False
        self._expiry: asyncio.TimerHandle | None = None
        self._publishing: asyncio.Handle | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """See the port."""
        assert self not in self._ensemble.members
        if not self._ensemble.has_quorum or self._cut:
            raise MembershipLostError("no quorum of membership servers answers")
        self._ensemble.members.append(self)
        try:
            async with asyncio.timeout(4 * self._ensemble.session_timeout_s):
                while self._name_is_taken():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            self._ensemble.members.remove(self)
            assert self.me is not None
            raise MembershipLostError(f"{self.me.name} is registered by another process") from None
        self._was_reachable = True
        self._open_session()
        self._view = self._build_view()

    async def stop(self) -> None:
        """See the port."""
        if self not in self._ensemble.members:
            return
        self._ensemble.members.remove(self)
        self._cancel_timers()
        if self._reachable_now() and self._has_session:
            if self.me is not None:
                self._bury(self.me.incarnation)
            self._end_session()
        self._has_session = False
        self._view = ClusterView(session=self._session)

    def serving_until_s(self) -> float:
        """See the port."""
        if self.me is None or not self._has_session or self._is_buried():
            return 0.0
        if self._was_reachable:
            self._contact_s = self._ensemble.clock.now_s()
        return self._contact_s + LEASE_SHARE * self._ensemble.session_timeout_s

    async def create_set(self, db: str, rs: int, state: SetState) -> SetState:
        """See the port."""
        facts = await self._facts()
        in_force = facts.sets.setdefault((db, rs), state)
        self._ensemble.changed()
        return in_force

    async def compare_and_set(
        self, db: str, rs: int, expected: SetState, new: SetState
    ) -> SetState:
        """See the port."""
        facts = await self._facts()
        if (db, rs) not in facts.sets:
            raise UnknownObjectError(f"replica set {rs} of {db} is not in the membership")
        if facts.sets[db, rs] == expected:
            facts.sets[db, rs] = new
            self._ensemble.changed()
        return facts.sets[db, rs]

    async def read_set(self, db: str, rs: int) -> SetState | None:
        """See the port."""
        return (await self._facts()).sets.get((db, rs))

    async def delete_database(self, db: str) -> None:
        """See the port."""
        facts = await self._facts_to_change()
        facts.sets = {key: state for key, state in facts.sets.items() if key[0] != db}
        facts.maps.pop(db, None)
        facts.states.pop(db, None)
        self._ensemble.changed()

    async def put_map(self, db: str, expected_version: int, value: bytes) -> bool:
        """See the port."""
        facts = await self._facts_to_change()
        if facts.maps.get(db, (0, b""))[0] != expected_version:
            return False
        facts.maps[db] = (expected_version + 1, value)
        self._ensemble.changed()
        return True

    async def put_state(self, db: str, value: str) -> None:
        """See the port."""
        (await self._facts_to_change()).states[db] = value
        self._ensemble.changed()

    async def become_active(self, name: str, claim: Claim = claim_if_free) -> MgmtState | None:
        """See the port."""
        facts = await self._facts()
        assert self.me is not None
        if facts.mgmt is not None and facts.mgmt.incarnation == self.me.incarnation:
            return facts.mgmt
        claimed = claim(facts.mgmt, facts.register)
        if claimed is not None:
            facts.register = replace(claimed, term=facts.register.term + 1)
            facts.mgmt = MgmtState(name, self.me.incarnation, facts.register.term)
            self._ensemble.changed()
        return facts.mgmt

    async def amend_register(self, change: Amendment) -> MgmtRegister | None:
        """See the port."""
        facts = await self._facts()
        if facts.mgmt is None or not self.me or facts.mgmt.incarnation != self.me.incarnation:
            return None
        facts.register = replace(change(facts.register), term=facts.register.term)
        self._ensemble.changed()
        return facts.register

    async def resign_active(self) -> None:
        """See the port."""
        facts = await self._facts()
        if facts.mgmt and self.me and facts.mgmt.incarnation == self.me.incarnation:
            facts.mgmt = None
            self._ensemble.changed()

    async def protect(self) -> int:
        """See the port: there are no logins in one process."""
        await self._facts()
        return 0

    async def login_stamps(self) -> dict[str, str]:
        """See the port."""
        facts = await self._facts()
        return {name: info.login for name, info in facts.instances.items()}

    async def report_death(self, incarnation: str) -> None:
        """See the port."""
        await self._facts()
        self._bury(incarnation)

    # -- called by the ensemble -----------------------------------------------------------------
    def cut_off(self) -> None:
        """The member no longer reaches the servers."""
        self._cut = True
        self.reachability_changed()

    def hears_nothing(self) -> None:
        """The servers' answers no longer reach the member."""
        self._deaf = True
        self.reachability_changed()

    def let_through(self) -> None:
        """The member reaches the servers again."""
        self._cut = self._deaf = False
        self.reachability_changed()

    def session_expired(self) -> None:
        """The servers ended the session; a member that reaches them opens another."""
        self._cancel_expiry()
        if self._has_session:
            self._end_session()
        if self._reachable_now():
            self._open_session()

    def reachability_changed(self) -> None:
        """The member may have lost or regained the servers."""
        reachable = self._reachable_now()
        if self._was_reachable and not reachable:
            self._contact_s = self._ensemble.clock.now_s()
        self._was_reachable = reachable
        self._cancel_expiry()
        if self._cut and self._ensemble.has_quorum and self._has_session:
            timeout_s = self._ensemble.session_timeout_s
            self._expiry = asyncio.get_running_loop().call_later(timeout_s, self.session_expired)
        if reachable and not self._has_session and not self._name_is_taken():
            self._open_session()
        self.facts_changed()

    def facts_changed(self) -> None:
        """Publish a new view soon; several changes at once give one view."""
        self._changed.set()
        if self._publishing is None:
            self._publishing = asyncio.get_running_loop().call_soon(self._publish)

    # -- inside ---------------------------------------------------------------------------------
    async def _facts(self) -> _Facts:
        await asyncio.sleep(0)  # a real request is never answered within the caller's turn
        if not self._reachable_now() or not self._has_session:
            raise MembershipLostError("no quorum of membership servers answers")
        return self._ensemble.facts

    async def _facts_to_change(self) -> _Facts:
        facts = await self._facts()
        if self.me is None or self.me.kind != "mgmt":
            return facts
        if facts.mgmt is None or facts.mgmt.incarnation != self.me.incarnation:
            raise not_active(self.me.name)
        return facts

    def _reachable_now(self) -> bool:
        return self._ensemble.has_quorum and not self._cut and not self._deaf

    def _is_buried(self) -> bool:
        return self.me is not None and self.me.incarnation in self._ensemble.facts.dead

    def _name_is_taken(self) -> bool:
        if self.me is None:
            return False
        there = self._ensemble.facts.instances.get(self.me.name)
        ours = {self.me.incarnation, *self._previous, *self._ensemble.facts.dead}
        return there is not None and there.incarnation not in ours

    def _open_session(self) -> None:
        self._session += 1
        self._has_session = True
        facts = self._ensemble.facts
        if self.me is not None and not self._is_buried():
            there = facts.instances.get(self.me.name)
            if there is not None and there.incarnation in self._previous:
                facts.dead.add(there.incarnation)
            facts.instances[self.me.name] = self.me
        self._ensemble.changed()

    def _end_session(self) -> None:
        self._has_session = False
        if self.me is None:
            return
        facts = self._ensemble.facts
        there = facts.instances.get(self.me.name)
        if there is not None and there.incarnation == self.me.incarnation:
            del facts.instances[self.me.name]
        if facts.mgmt is not None and facts.mgmt.incarnation == self.me.incarnation:
            facts.mgmt = None
        self._ensemble.changed()

    def _bury(self, incarnation: str) -> None:
        facts = self._ensemble.facts
        facts.dead.add(incarnation)
        for name, info in list(facts.instances.items()):
            if info.incarnation == incarnation:
                del facts.instances[name]
        if facts.mgmt is not None and facts.mgmt.incarnation == incarnation:
            facts.mgmt = None
        self._ensemble.changed()

    def _build_view(self) -> ClusterView:
        facts = self._ensemble.facts
        return ClusterView(
            connected=self._has_session and self._reachable_now(),
            session=self._session,
            instances=MappingProxyType(dict(facts.instances)),
            dead=frozenset(facts.dead),
            sets=MappingProxyType(dict(facts.sets)),
            maps=MappingProxyType({db: value for db, (_, value) in facts.maps.items()}),
            map_versions=MappingProxyType({db: number for db, (number, _) in facts.maps.items()}),
            states=MappingProxyType(dict(facts.states)),
            mgmt=facts.mgmt,
            mgmt_register=facts.register,
        )

    def _publish(self) -> None:
        self._publishing = None
        if self._session == 0:
            return  # still waiting in start() for its name
        if self._reachable_now() and self._has_session:
            new = self._build_view()
        else:  # it cannot see what happens elsewhere
            new = _disconnected(self._view, self._session)
        if new != self._view:
            self._view = new
            for callback in list(self._callbacks):
                callback(new)

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _cancel_timers(self) -> None:
        self._cancel_expiry()
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None


def _disconnected(view: ClusterView, session: int) -> ClusterView:
    return ClusterView(
        connected=False,
        session=session,
        instances=view.instances,
        dead=view.dead,
        sets=view.sets,
        maps=view.maps,
        map_versions=view.map_versions,
        states=view.states,
        mgmt=view.mgmt,
        mgmt_register=view.mgmt_register,
    )
