"""The membership servers in virtual time: sessions, heartbeats, requests with every fate.

`SimMembership` keeps the Membership port for one life of one process. Requests and answers travel;
each may be late or lost, and a request whose answer is lost may have been carried out. Requests of
one session are carried out in their order. A session ends when nothing was heard of it for T.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

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
)
from membership.views import Views
from protocol.errors import MembershipLostError, UnknownObjectError
from tests.sim.loop import Scheduler, SimLoop

TRIP_S = (0.0005, 0.004)
STUCK_S = 1.2  # a request may be carried out so late, while its client gave up
LOST_AFTER_S = (0.05, 0.8)  # a client learns so late that it gets no answer


@dataclass
class Facts:
    """What the servers agreed on."""

    instances: dict[str, InstanceInfo] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    sets: dict[tuple[str, int], SetState] = field(default_factory=dict)
    maps: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    mgmt: MgmtState | None = None
    register: MgmtRegister = field(default_factory=MgmtRegister)


class Ensemble:
    """The servers, and the hand that breaks things."""

    def __init__(self, scheduler: Scheduler, session_timeout_s: float, facts: Facts) -> None:
        self.scheduler = scheduler
        self.session_timeout_s = session_timeout_s
        self.facts = copy.deepcopy(facts)
        self.has_quorum = True
        self.fates = 0.0  # share of requests that have a fate
        self.next_fates: list[str] = []  # of the next requests: "", "lost", "unanswered", "stuck"
        self.slow_views: set[str] = set()  # hosts that learn late of changes
        self.members: list[SimMembership] = []
        self._cut: set[str] = set()

    def reaches(self, member: SimMembership) -> bool:
        """Whether messages get through between a member and the servers."""
        return self.has_quorum and member.loop.host not in self._cut and not member.loop.dead

    def cut(self, host: str) -> None:
        """This host no longer reaches the servers."""
        self._cut.add(host)
        self._contact_changed()

    def heal(self, host: str) -> None:
        """It does again."""
        self._cut.discard(host)
        self._contact_changed()

    def heal_all(self) -> None:
        """All faults end."""
        self._cut.clear()
        self.slow_views.clear()
        self.fates = 0.0
        self.set_quorum(True)

    def set_quorum(self, there: bool) -> None:
        """Without a quorum nobody is answered and no session ends."""
        if there and not self.has_quorum:
            for member in self.members:
                member.heard_s = self.scheduler.now
        self.has_quorum = there
        self._contact_changed()

    def _contact_changed(self) -> None:
        for member in list(self.members):
            self.scheduler.later(self.trip_s(), member.contact_changed)

    def expire(self, host: str) -> None:
        """The servers forget a session whose owner is well."""
        for member in self.members:
            if member.loop.host == host:
                member.expired()

    def report_death(self, incarnation: str) -> None:
        """The supervisor of a host saw a process exit."""
        facts = self.facts
        facts.dead.add(incarnation)
        for name, info in list(facts.instances.items()):
            if info.incarnation == incarnation:
                del facts.instances[name]
        if facts.mgmt is not None and facts.mgmt.incarnation == incarnation:
            facts.mgmt = None
        self.changed()

    def changed(self) -> None:
        """Everybody hears of it, some late."""
        for member in self.members:
            member.publish_soon()

    def fate(self) -> str:
        """Of one request: lost on its way, carried out without an answer, or carried out late."""
        if self.next_fates:
            return self.next_fates.pop(0)
        rng = self.scheduler.rng
        if rng.random() < self.fates:
            return rng.choice(("lost", "unanswered", "stuck"))
        return ""

    def trip_s(self) -> float:
        """One way."""
        return self.scheduler.rng.uniform(*TRIP_S)


class SimMembership(Views):
    """One member: the Membership port."""

    def __init__(
        self, ensemble: Ensemble, loop: SimLoop, me: InstanceInfo, previous: Iterable[str]
    ) -> None:
        self.me = me
        self.loop = loop
        self.heard_s = 0.0  # when the servers last heard of the session
        self._ensemble = ensemble
        self._previous = frozenset(previous)
        self._callbacks: list[ViewCallback] = []
        self._view = ClusterView()
        self._session = 0  # the newest one, at the servers
        self._own_session = 0  # the newest one that the member knows of
        self._there = False  # the servers know a session of this member
        self._known = False  # the member believes that its session lives
        self._connected = False  # and that it reaches the servers
        self._contact_s = 0.0  # when the newest answered heartbeat was sent
        self._view_due = False
        self._stopped = False
        self._queue: list[Callable[[], None]] = []  # requests on their way, in their order
        self._started: asyncio.Future[None] | None = None

    # -- life -------------------------------------------------------------------------------------
    async def start(self) -> None:
        """See the port."""
        self._ensemble.members.append(self)
        self._started = self.loop.create_future()
        self._beat()
        await self._started

    async def stop(self) -> None:
        """See the port."""
        self._stopped = True
        await asyncio.sleep(self._ensemble.trip_s())  # virtual time
        if self._ensemble.reaches(self) and self._there:
            self._ensemble.report_death(self.me.incarnation)
            self._there = False
        if self in self._ensemble.members:
            self._ensemble.members.remove(self)
        self._known = self._connected = False
        self._view = ClusterView(session=self._own_session)

    # -- heartbeats: on the member's loop, so that a paused process sends none --------------------
    def _beat(self) -> None:
        if self._stopped:
            return
        ensemble = self._ensemble
        sent_s = ensemble.scheduler.now
        if ensemble.reaches(self):
            ensemble.scheduler.later(ensemble.trip_s(), lambda: self._beat_arrived(sent_s))
        interval_s = ensemble.session_timeout_s / HEARTBEATS_PER_TIMEOUT
        self.loop.call_later(interval_s, self._beat)

    def _beat_arrived(self, sent_s: float) -> None:
        """At the servers."""
        ensemble = self._ensemble
        if not ensemble.reaches(self) or self._stopped:
            return
        if not self._there and not self._open_session():
            return
        self.heard_s = ensemble.scheduler.now
        session = self._session
        self._watch(session)
        ensemble.scheduler.later(
            ensemble.trip_s(), lambda: self.loop.deliver(self._beat_answered, sent_s, session)
        )

    def _open_session(self) -> bool:
        facts = self._ensemble.facts
        there = facts.instances.get(self.me.name)
        ours = {self.me.incarnation, *self._previous, *facts.dead}
        if there is not None and there.incarnation not in ours:
            return False  # another process has the name
        self._session += 1
        self._there = True
        if self.me.incarnation not in facts.dead:
            if there is not None and there.incarnation in self._previous:
                facts.dead.add(there.incarnation)
            facts.instances[self.me.name] = self.me
        self._ensemble.changed()
        return True

    def _beat_answered(self, sent_s: float, session: int) -> None:
        """At the member."""
        if self._stopped or session != self._session or not self._there:
            return
        fresh = not self._known or not self._connected
        self._known = self._connected = True
        if session != self._own_session:
            self._own_session = session
            if self._started is not None and not self._started.done():
                self._view = self._build_view()
                self._started.set_result(None)
            else:
                self._publish()  # before the new session's first answer counts for the lease
        elif fresh:
            self.publish_soon()
        self._contact_s = max(self._contact_s, sent_s)

    def _watch(self, session: int) -> None:
        """At the servers: end the session when nothing is heard any more."""
        ensemble = self._ensemble

        def look() -> None:
            silent_s = ensemble.scheduler.now - self.heard_s
            over = silent_s >= ensemble.session_timeout_s - 1e-9
            if over and session == self._session and self._there and ensemble.has_quorum:
                self.expired()

        ensemble.scheduler.later(ensemble.session_timeout_s, look)

    def expired(self) -> None:
        """At the servers: the session is over. The member learns when it reaches them again."""
        if not self._there:
            return
        self._there = False
        facts = self._ensemble.facts
        there = facts.instances.get(self.me.name)
        if there is not None and there.incarnation == self.me.incarnation:
            del facts.instances[self.me.name]
        if facts.mgmt is not None and facts.mgmt.incarnation == self.me.incarnation:
            facts.mgmt = None
        self._ensemble.changed()
        if self._ensemble.reaches(self):
            self._ensemble.scheduler.later(self._ensemble.trip_s(), self.contact_changed)

    def contact_changed(self) -> None:
        """The member notices, sooner or later, that it lost or regained the servers."""
        self.loop.deliver(self._look)

    def _look(self) -> None:
        if self._stopped or self._session == 0:
            return
        reaches = self._ensemble.reaches(self)
        if reaches and not self._there:
            self._known = False
        if self._connected != (reaches and self._there):
            self._connected = reaches and self._there
            self.publish_soon()

    # -- views ------------------------------------------------------------------------------------
    def publish_soon(self) -> None:
        """Show the member what is, after a while; several changes at once give one view."""
        if self._view_due or self._session == 0:
            return
        self._view_due = True
        ensemble = self._ensemble
        most_s = 0.6 if self.loop.host in ensemble.slow_views else 0.012
        delay_s = ensemble.scheduler.rng.uniform(TRIP_S[0], most_s)
        ensemble.scheduler.later(delay_s, lambda: self.loop.deliver(self._publish))

    def _publish(self) -> None:
        self._view_due = False
        if self._stopped or self._started is None or not self._started.done():
            return
        if self._connected and self._there and self._ensemble.reaches(self):
            new = self._build_view()
        else:
            old = self._view
            new = ClusterView(
                False, self._own_session, old.instances, old.dead, old.sets, old.maps,
                old.map_versions, old.states, old.mgmt, old.mgmt_register,
            )  # fmt: skip
        if new != self._view:
            self._view = new
            for callback in list(self._callbacks):
                callback(new)

    def _build_view(self) -> ClusterView:
        facts = self._ensemble.facts
        return ClusterView(
            connected=True,
            session=self._own_session,
            instances=MappingProxyType(dict(facts.instances)),
            dead=frozenset(facts.dead),
            sets=MappingProxyType(dict(facts.sets)),
            maps=MappingProxyType({db: value for db, (_, value) in facts.maps.items()}),
            map_versions=MappingProxyType({db: number for db, (number, _) in facts.maps.items()}),
            states=MappingProxyType(dict(facts.states)),
            mgmt=facts.mgmt,
            mgmt_register=facts.register,
        )

    def serving_until_s(self) -> float:
        """See the port."""
        if not self._known or self._stopped or self.me.incarnation in self._view.dead:
            return 0.0
        return self._contact_s + LEASE_SHARE * self._ensemble.session_timeout_s

    # -- requests ---------------------------------------------------------------------------------
    async def _request(self, change: Callable[[Facts], Any]) -> Any:
        """Carry out `change` at the servers. Raises MembershipLostError: perhaps it was."""
        ensemble = self._ensemble
        scheduler = ensemble.scheduler
        rng = scheduler.rng
        answer: asyncio.Future[Any] = self.loop.create_future()
        session = self._session
        fate = ensemble.fate()
        is_lost = not ensemble.reaches(self) or not self._there or fate == "lost"
        answer_lost = fate == "unanswered"
        is_late = fate == "stuck" or (fate == "unanswered" and rng.random() < 0.5)
        delay_s = rng.uniform(0.01, STUCK_S) if is_late else ensemble.trip_s()

        def fail() -> None:
            if not answer.done():
                answer.set_exception(MembershipLostError("the servers did not answer"))

        def finish(result: Any, error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        def carry_out() -> None:
            if carry_out not in self._queue:
                return
            while self._queue[0] is not carry_out:  # those before it were stuck
                earlier = self._queue[0]
                if rng.random() < 0.5:
                    earlier()
                else:
                    self._queue.pop(0)
            self._queue.pop(0)
            if session != self._session or not self._there or not ensemble.has_quorum:
                return
            result, error = None, None
            try:
                result = change(ensemble.facts)
            except UnknownObjectError as problem:
                error = problem
            ensemble.changed()
            if not answer_lost and ensemble.reaches(self):
                scheduler.later(ensemble.trip_s(), lambda: self.loop.deliver(finish, result, error))

        if not is_lost:
            self._queue.append(carry_out)
            scheduler.later(delay_s, carry_out)
        patience_s = rng.uniform(*LOST_AFTER_S) if fate else LOST_AFTER_S[1]
        timer = self.loop.call_later(patience_s, fail)
        try:
            return await answer
        finally:
            timer.cancel()

    async def create_set(self, db: str, rs: int, state: SetState) -> SetState:
        """See the port."""
        found: SetState = await self._request(lambda f: f.sets.setdefault((db, rs), state))
        return found

    async def compare_and_set(
        self, db: str, rs: int, expected: SetState, new: SetState
    ) -> SetState:
        """See the port."""

        def change(facts: Facts) -> SetState:
            if (db, rs) not in facts.sets:
                raise UnknownObjectError(f"replica set {rs} of {db} is not in the membership")
            if facts.sets[db, rs] == expected:
                facts.sets[db, rs] = new
            return facts.sets[db, rs]

        found: SetState = await self._request(change)
        return found

    async def read_set(self, db: str, rs: int) -> SetState | None:
        """See the port."""
        found: SetState | None = await self._request(lambda f: f.sets.get((db, rs)))
        return found

    async def delete_database(self, db: str) -> None:
        """See the port."""
        raise NotImplementedError

    async def put_map(self, db: str, expected_version: int, value: bytes) -> bool:
        """See the port."""

        def change(facts: Facts) -> bool:
            if facts.maps.get(db, (0, b""))[0] != expected_version:
                return False
            facts.maps[db] = (expected_version + 1, value)
            return True

        return bool(await self._request(change))

    async def put_state(self, db: str, value: str) -> None:
        """See the port."""
        await self._request(lambda f: f.states.__setitem__(db, value))

    async def become_active(self, name: str, claim: Claim = claim_if_free) -> MgmtState | None:
        """See the port."""

        def change(facts: Facts) -> MgmtState | None:
            if facts.mgmt is not None and facts.mgmt.incarnation == self.me.incarnation:
                return facts.mgmt
            claimed = claim(facts.mgmt, facts.register)
            if claimed is not None:
                facts.register = dataclasses.replace(claimed, term=facts.register.term + 1)
                facts.mgmt = MgmtState(name, self.me.incarnation, facts.register.term)
            return facts.mgmt

        found: MgmtState | None = await self._request(change)
        return found

    async def amend_register(self, change: Amendment) -> MgmtRegister | None:
        """See the port."""

        def amend(facts: Facts) -> MgmtRegister | None:
            if facts.mgmt is None or facts.mgmt.incarnation != self.me.incarnation:
                return None
            amended = change(facts.register)
            facts.register = dataclasses.replace(amended, term=facts.register.term)
            return facts.register

        found: MgmtRegister | None = await self._request(amend)
        return found

    async def resign_active(self) -> None:
        """See the port."""

        def resign(facts: Facts) -> None:
            if facts.mgmt is not None and facts.mgmt.incarnation == self.me.incarnation:
                facts.mgmt = None

        await self._request(resign)

    async def report_death(self, incarnation: str) -> None:
        """See the port."""
        await self._request(lambda f: self._ensemble.report_death(incarnation))
