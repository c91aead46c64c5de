"""This element's membership of its replica set: the driver of replica_set.py. See DESIGN.md.

Everything runs on the event loop. The hot path (a batch to the copies and back, a copy's append)
is plain callbacks: no task, no future. Requests to ZooKeeper and snapshots are tasks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from data.replication import actions as act
from data.replication import copier
from data.replication.ahead import ApplyAhead, is_long
from data.replication.catch_up import SnapshotGiver, fetch_snapshot
from data.replication.hub import hub_of
from data.replication.later import LaterApplier
from data.replication.log_shape import LogShape
from data.replication.ports import Luggage, MemberStatus, ReplicationSettings, RoleListener
from data.replication.reading import RENEW_SHARE
from data.replication.replica_set import ReplicaSet
from data.storage.element import Element
from data.storage.entry import LogEntry
from membership.port import ClusterView, Membership, SetState
from protocol import trace
from protocol.clock import Clock, SystemClock, boottime_reader
from protocol.errors import (
    CorruptElementError,
    DiskFullError,
    GridError,
    NotLeadError,
    OutcomeUnknownError,
)
from protocol.limits import MIB
from protocol.messages import replication as m
from protocol.rpc.node import RpcNode
from protocol.rpc.reach import reach_of
from protocol.rpc.server import Request
from protocol.topology import DistributionMap, ElementPlace

log = structlog.get_logger(__name__)

CUT_ENTRIES = 2000  # of the log, removed at a time
HARD_SHARE = 0.8  # of the log's room: above it copies that catch up are not spared any more
NEVER = float("-inf")
OFFER_PAUSE_S = 10.0  # between two offers of the lead by an element without room


class ReplicaSetMember:
    """Replication of one element. `start` once, then `stop` once."""

    _is_out = False  # of the map

    def __init__(
        self,
        element: Element,
        membership: Membership,
        rpc: RpcNode,
        clock: Clock,
        settings: ReplicationSettings,
        listener: RoleListener,
        db: str,
        luggage: Luggage | None = None,
        cut_limit: Callable[[], int | None] | None = None,
    ) -> None:
        """cut_limit: LSN from which others still need the log (epochs, backups); None: nobody."""
        self.element = element
        self.db = db
        self.rs = 0
        self.machine: ReplicaSet | None = None
        self._membership = membership
        self._rpc = rpc
        self._reach = reach_of(rpc)
        self._clock = clock
        self._now: Callable[[], float] = clock.now_s
        if isinstance(clock, SystemClock):  # the same clock without two Python frames
            self._now = boottime_reader()
        self._settings = settings
        self._listener = listener
        self._luggage = luggage
        self._cut_limit = cut_limit
        self._ok_until_s = self._copy_until_s = self._renew_s = self._offered_s = NEVER
        self._serving_until_s = 0.0
        self._todo: deque[act.Action] = deque()
        self._draining = False
        self._request: Request | None = None
        self._on_done: Callable[[GridError | None], None] | None = None
        self._batch_last = 0
        self._effect_bytes = 0
        self._assembly = copier.Assembly()
        self._ahead: ApplyAhead | None = None
        self._later = LaterApplier(element, self._may_apply, self._log_failed)
        self._giver = SnapshotGiver(element, clock)
        self._large: set[tuple[int, int, int]] = set()  # element, term, last LSN being sent
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._undo_subscriptions: list[Callable[[], None]] = []
        self._places: dict[int, ElementPlace] = {}
        self._reported: tuple[str, int, tuple[int, ...]] = ("idle", 0, ())
        self._since_us = clock.wall_us()
        self._changed = asyncio.Event()
        self._stopped = False
        self._report_due = False
        self._performers: dict[type, Callable[[Any], None]] = {
            act.Send: self._send,
            act.Reply: self._reply,
            act.Store: self._store,
            act.CheckHeld: self._check_held,
            act.Undo: self._undo,
            act.SetCommitPoint: self._set_commit_point,
            act.ReadLog: self._read_log,
            act.CommitBatch: self._commit_batch,
            act.FailBatch: self._fail_batch,
            act.LeadGained: self._lead_gained,
            act.LeadLost: self._lead_lost,
            act.Release: self._release,
            act.CreateSet: self._create_set,
            act.CompareAndSet: self._compare_and_set,
            act.ReadSet: self._read_set,
            act.MarkInSync: self._mark_in_sync,
            act.ForceSync: self._force_sync,
            act.PullSnapshot: self._pull_snapshot,
        }

    # -- life -------------------------------------------------------------------------------------
    async def start(self, distribution: DistributionMap) -> None:
        """Take part. Without a place in the map the member is idle until `map_changed`."""
        if trace.steps.listener is not None:
            trace.step("data/replication/member.py")
        self._undo_subscriptions.append(self._membership.subscribe(self._view_changed))
        self._undo_subscriptions.append(self._rpc.subscribe(self._link_changed))
        self.map_changed(distribution)
        self._tick()

    def map_changed(self, distribution: DistributionMap) -> None:
        """A newer map is in force."""
        rs = distribution.set_of(me := self.element.identity.element)
        self._is_out = rs == 0
        if self._is_out or self._stopped:
            return
        places = distribution.replica_sets()[rs]
        self._places = {place.element: place for place in places}
        if self.machine is None:
            space, identity = self._places[me].data_space, self.element.identity
            if (identity.replica_set, identity.data_space) != (rs, space):
                self.element.set_place(rs, space)
            self._make_machine(rs)
        assert self.machine is not None
        members = {place.element: place.instance for place in places}
        preferred = [p.element for p in places if (p.data_space - rs) % distribution.k == 0]
        self._run(self.machine.map_changed(members, min(preferred, default=0), self._now()))
        self._view_changed(self._membership.view())

    async def stop(self, hand_over: bool) -> None:
        """End. hand_over: give the lead to an in-sync copy first, and leave the in-sync copies.

        Without hand_over (the whole database is being unloaded) all copies stay in sync. The
        element stays open.
        """
        if self._stopped:
            return
        if hand_over and self.machine is not None:
            await self._hand_over()
        self._stopped = True
        for unsubscribe in self._undo_subscriptions:
            unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        if self.machine is not None:
            actions = self.machine.stop(self._now())
            leave = [a for a in actions if isinstance(a, act.Send)] if hand_over else []
            self._run([a for a in actions if not isinstance(a, act.Send)])
            for action in leave:
                await self._tell_leaving(action)
        self._drop_ahead()
        self._later.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._giver.close()

    async def _hand_over(self) -> None:
        """Give the lead away and follow the new one; gives up after a while, or without a taker."""
        machine = self.machine
        assert machine is not None
        led = machine.leadership is not None
        try:
            async with asyncio.timeout(self._settings.hand_over_timeout_s):
                while True:
                    lead = machine.leadership
                    if lead is not None and lead.best_successor() == 0:
                        return  # from the start, or who was to take it stopped too
                    if lead is None and (not led or machine.joined_term != 0 or self._is_out):
                        return
                    self._changed.clear()
                    if lead is not None and machine.hand_over(self._now()):
                        self._run(machine.flush(self._now()))
                    await self._changed.wait()
        except TimeoutError:
            log.warning("replication.hand_over_timed_out", db=self.db, rs=self.rs)

    async def _tell_leaving(self, action: act.Send) -> None:
        place = self._places.get(action.to)
        if place is not None:
            try:
                await self._rpc.peer(place.instance).call(action.message, 0.5)
            except GridError as error:
                log.info("replication.leave_unheard", db=self.db, rs=self.rs, error=error.message)

    def _make_machine(self, rs: int) -> None:
        self.rs = rs
        self.machine = ReplicaSet(
            self.db,
            rs,
            self.element.identity.element,
            self._rpc.me.incarnation,
            self._settings.session_timeout_s,
            copier.shape_of(self.element),
            self.element.needs_recovery,
            self._now(),
        )
        self.machine.situation.commit_lsn = min(
            self.element.commit_point, self.element.committed_tail.lsn
        )
        self._undo_subscriptions.append(hub_of(self._rpc).add(self.db, rs, self))

    # -- what others ask --------------------------------------------------------------------------
    @property
    def role(self) -> str:
        """lead, copy, catching-up, waiting-for-seed or idle."""
        return "idle" if self.machine is None else self.machine.role

    @property
    def term(self) -> int:
        """The newest term known here."""
        return 0 if self.machine is None else self.machine.term

    @property
    def in_sync(self) -> bool:
        """This element counts as in sync."""
        return self.machine is not None and self.machine.in_sync

    @property
    def copies(self) -> int:
        """Elements of the replica set, as the map has them."""
        return len(self._places)

    def lead_ok(self) -> bool:
        """This element leads and its lease is valid at this instant."""
        now_s = self._now()
        return now_s < self._ok_until_s or self._renewed(now_s)

    def _renewed(self, now_s: float) -> bool:
        self._serving_until_s = self._membership.serving_until_s()
        self._note_lease()
        return now_s < self._ok_until_s

    def _note_lease(self) -> None:
        lead = self.machine.leadership if self.machine is not None else None
        if lead is None or not lead.serving:
            self._ok_until_s = NEVER
        else:
            self._ok_until_s = min(lead.lease_until_s, self._serving_until_s)
        if self.machine is not None:
            self._copy_until_s = self.machine.reading.until_s()
            self._renew_s = self._copy_until_s - RENEW_SHARE * self._settings.session_timeout_s

    def copy_ok(self, bucket: int) -> bool:
        """It is a copy and may answer reads of this bucket at this instant."""
        now_s = self._now()
        machine = self.machine
        if machine is None:
            return False
        ok = now_s < self._copy_until_s and self.element.touched.is_quiet(
            bucket, machine.lead_commit_lsn
        )
        if (now_s >= self._renew_s or not ok) and (asks := machine.reading.wanted(now_s)):
            self._run(asks, hot=True)
        return ok

    def status(self) -> MemberStatus:
        """What dbStatus shows."""
        machine = self.machine
        if machine is None:
            lsn = self.element.committed_tail.lsn
            return MemberStatus("idle", 0, 0, (), lsn, 0, 0, self._since_us)
        state = machine.situation.agreement.state
        lsn = machine.situation.tail.lsn
        return MemberStatus(
            role=machine.role,
            term=machine.term,
            lead=0 if state is None else state.lead,
            in_sync=() if state is None else state.in_sync,
            lsn=lsn,
            commit_lsn=machine.situation.commit_lsn,
            lag=max(0, machine.lead_commit_lsn - lsn),
            since_wall_us=self._since_us,
        )

    def replicate(
        self,
        entries: list[LogEntry],
        on_done: Callable[[GridError | None], None],
        effect_bytes: int = 0,
        ahead: bool = False,
    ) -> None:
        """Bring entries, already appended in the element's open batch, to the copies.

        effect_bytes: what they put into effect beside their own bytes; it takes copies time.
        ahead: the newest is not in the open batch yet; call `applied` when it is.
        on_done(None): all copies that count have them; commit the batch before returning.
        on_done(NotLeadError): this element does not lead; nothing was sent. on_done(other error):
        the term is over, the outcome is unknown. One batch at a time.
        """
        if trace.steps.listener is not None:
            trace.step("data/replication/member.py")
        machine = self.machine
        if machine is None or not machine.leads:
            error = NotLeadError(f"this element does not lead replica set {self.rs} of {self.db}")
            asyncio.get_running_loop().call_soon(on_done, error)
            return
        assert self._on_done is None
        span = (entries[0].term, entries[0].lsn, entries[-1].lsn)
        self._on_done = on_done
        self._batch_last = span[2]
        body = copier.encode_entries(entries)
        self._effect_bytes = effect_bytes
        self._run(machine.batch_appended(span, body, self._now(), effect_bytes, ahead), hot=True)

    def applied(self) -> None:
        """The open batch holds all that was sent ahead."""
        if self.machine is not None:
            self._run(self.machine.batch_applied(self._now()), hot=True)

    def end_term(self) -> None:
        """The lead's writer failed in the middle of its work: serve again only with a new term."""
        if self.machine is not None:
            self._todo.clear()  # what the failure left behind is of the term that ends here
            self._run(self.machine.term_failed(self._now()))
        self._on_done = None

    def trust(self) -> None:
        """Let this element lead again although it may lack entries: an operator accepts the loss.

        For a set all of whose copies lost power with Durability=0. It still has to be one of the
        last in-sync copies. Do it on one element only: the one with the newest log.
        """
        if self.machine is not None:
            self._run(self.machine.trusted(self._now()))

    def offer_lead(self) -> None:
        """This element can lead no longer (no room on its disk): a copy shall, if one can.

        Now and then only, since the copy may be no better off.
        """
        now_s = self._now()
        if self.machine is not None and now_s - self._offered_s > OFFER_PAUSE_S:
            self._offered_s = now_s
            if self.machine.hand_over(now_s):
                self._run(self.machine.flush(now_s))

    def distrust(self) -> None:
        """This element's log is not the truth any more, whatever it acknowledged (data/exec)."""
        self._drop_ahead()
        if self.machine is not None:
            self._run(self.machine.distrusted(self._now()))
        if not self.element.needs_recovery:
            self.element.distrust()

    def log_rewritten(self) -> None:
        """Entries of a damaged element were undone behind the machine's back."""
        if self.machine is not None:
            shape = copier.shape_of(self.element)
            self._run(self.machine.log_changed(shape, True, self._now()))

    # -- events -----------------------------------------------------------------------------------
    def received(self, message: Any, request: Request) -> None:
        """A request of another member for the machine (called by the hub)."""
        if trace.steps.listener is not None:
            trace.step("data/replication/member.py", message)
        machine = self.machine
        assert machine is not None
        if type(message) is m.Append and message.parts:
            message = self._assembly.take(message)
        ahead = self._ahead
        if ahead is not None and ahead.asked_again(message) and machine.follows(message):
            request.reply(self._plain_ack(message))  # it is being applied
            return
        if (
            type(message) is m.Append
            and is_long(self.element, message.body)
            and machine.would_store(message)
        ):
            self._drop_ahead()
            self._ahead = ApplyAhead(self.element, message, request, self._applied)
            return
        self._request = request
        self._run(machine.arrived(message, self._now()), hot=type(message) is m.Append)

    def _applied(self, ahead: ApplyAhead) -> None:
        """A large batch is in the element's open batch: now the machine may hear of it."""
        machine = self.machine
        if self._stopped or machine is None:
            ahead.drop()
            return
        self._request = ahead.request
        self._run(machine.arrived(ahead.message, self._now()), hot=True)
        self._drop_ahead()  # unless its Store has taken it

    def _drop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.drop()

    def received_other(self, message: Any, request: Request) -> None:
        """A request that the machine need not know (called by the hub)."""
        if isinstance(message, m.Part):
            self._assembly.add(message)
            request.reply(self._plain_ack(message))
        elif isinstance(message, m.FetchChunk):
            request.reply(self._giver.chunk(message))
        else:
            self._spawn(self._give_snapshot(message, request))

    def _plain_ack(self, message: m.Part | m.Append | m.Probe) -> m.Acked:
        """Heard: no statement about the log."""
        me = self.element.identity.element
        sent_us = 0 if isinstance(message, m.Part) else message.sent_us
        return m.Acked(self.db, self.rs, me, message.term, self._rpc.me.incarnation, sent_us, 0)

    def _view_changed(self, view: ClusterView) -> None:
        if self.machine is None or self._stopped:
            return
        self._serving_until_s = self._membership.serving_until_s()
        self.machine.situation.serving_until_s = self._serving_until_s
        self._run(self.machine.view_changed(view, self._now()))

    def _link_changed(self, instance: str, _incarnation: str, connected: bool) -> None:
        if self.machine is None or self._stopped:
            return
        for place in self._places.values():
            if place.instance == instance:
                self._run(self.machine.link_changed(place.element, connected, self._now()))

    def _tick(self) -> None:
        period_s = self._settings.session_timeout_s / 20
        self._timer = asyncio.get_running_loop().call_later(period_s, self._tick)
        if self.machine is None:
            return
        try:
            self._serving_until_s = self._membership.serving_until_s()
            self.machine.situation.reaches = self._reach.reaches
            self._run(self.machine.ticked(self._now(), self._serving_until_s))
            if self.machine.no_room and self.element.has_room():
                self.machine.no_room = False
            self._giver.forget_old()
            self._cut_log()
            self._later.kick()
        except Exception:
            log.exception("replication.tick_failed", db=self.db, rs=self.rs)

    def _replied(self, to: int, reply: Any, error: GridError | None) -> None:
        machine = self.machine
        if machine is None or self._stopped:
            return
        if error is None:
            self._run(machine.arrived(reply, self._now()), hot=type(reply) is m.Acked)
        else:
            self._run(machine.unsent(to, self._now()))

    # -- actions ----------------------------------------------------------------------------------
    def _run(self, actions: list[act.Action], *, hot: bool = False) -> None:
        """Carry actions out in order; events that arise meanwhile add theirs behind.

        hot: the event was part of a batch's way and hardly ever changes what `status` shows.
        """
        self._report_due = self._report_due or not hot
        self._todo.extend(actions)
        if self._draining:
            return
        self._draining = True
        todo = self._todo
        performers = self._performers
        try:
            while todo:
                action = todo.popleft()
                performers[type(action)](action)
        finally:
            todo.clear()
            self._draining = False
            self._note_lease()
            if self._report_due:
                self._report_due = False
                self._report()

    def _report(self) -> None:
        machine = self.machine
        if machine is None:
            return
        state = machine.situation.agreement.state
        now = (machine.role, machine.term, () if state is None else state.in_sync)
        if now != self._reported or machine.joined_term:
            self._changed.set()
        if now != self._reported:
            if now[:2] != self._reported[:2]:
                self._since_us = self._clock.wall_us()
                log.info(
                    "replication.role_changed", db=self.db, rs=self.rs, role=now[0], term=now[1],
                    in_sync=now[2],
                )  # fmt: skip
            self._reported = now
            self._listener.state_changed(self.status())

    def _send(self, action: act.Send) -> None:
        to, message = action.to, action.message
        place = self._places.get(to)
        if place is None:
            return
        peer = self._rpc.peer(place.instance)
        timeout_s = self._settings.session_timeout_s / 2
        if type(message) is m.Append and len(message.body) > copier.BODY_BYTES_MAX:
            key = (to, message.term, message.spans[-1][2])
            if key not in self._large:
                self._large.add(key)
                self._spawn(self._send_large(key, peer.name, message))
            return
        if type(message) is m.Append:
            timeout_s += len(message.body) / MIB  # it takes its time to apply
            if message.spans and message.spans[-1][2] == self._batch_last:
                timeout_s += self._effect_bytes / MIB
        peer.send(message, partial(self._replied, to), timeout_s)

    async def _send_large(self, key: tuple[int, int, int], name: str, message: m.Append) -> None:
        """Piece by piece, so that beacons and other replica sets find their way between them."""
        to = key[0]
        try:
            parts = copier.parts_of(message)
            for part in parts:
                await self._rpc.peer(name).call(part, self._settings.session_timeout_s)
            last = copier.without_body(message, len(parts))
            timeout_s = 1.0 + len(message.body) / MIB
            reply = await self._rpc.peer(name).call(last, timeout_s)
        except GridError as error:
            self._replied(to, None, error)
        else:
            self._replied(to, reply, None)
        finally:
            self._large.discard(key)

    def _reply(self, action: act.Reply) -> None:
        assert self._request is not None
        self._request.reply(action.message)

    def _may_apply(self) -> bool:
        """A copy, that has nothing in its open batch."""
        machine = self.machine
        if self._stopped or machine is None or machine.leadership is not None:
            return False
        return self._ahead is None

    def _store(self, action: act.Store) -> None:
        ahead, self._ahead = self._ahead, None
        try:
            if ahead is not None and ahead.complete and ahead.message.body is action.body:
                ahead.commit(action.commit_lsn)
                return
            if ahead is not None:
                ahead.drop()
            copier.store(self.element, action.body, action.after, action.commit_lsn)
        except Exception as error:
            self._log_failed(error)
        else:
            if self.element.later is not None:
                self._later.kick()

    def _undo(self, action: act.Undo) -> None:
        self._drop_ahead()
        try:
            copier.undo(self.element, action.after)
        except Exception as error:
            self._log_failed(error)

    def _check_held(self, action: act.CheckHeld) -> None:
        try:
            copier.check_held(self.element, action.body, action.upto)
        except CorruptElementError as error:
            self._log_failed(error)

    def _log_failed(self, error: Exception) -> None:
        """The element did not take what the machine took for granted: begin again from its log."""
        assert self.machine is not None
        self._todo.clear()
        log.error("replication.store_failed", db=self.db, rs=self.rs, error=str(error))
        if self._request is not None:
            wire = error if isinstance(error, GridError) else CorruptElementError(str(error))
            self._request.fail(wire)
        if isinstance(error, DiskFullError):
            self.machine.no_room = True  # until there is room: else the lead waits for it again
        if isinstance(error, GridError) and not isinstance(error, CorruptElementError):
            shape, damaged = copier.shape_of(self.element), self.element.needs_recovery
        else:  # rebuild it from the lead
            shape, damaged = LogShape(copier.UNKNOWN_LOG), True
        self._run(self.machine.log_changed(shape, damaged, self._now()))

    def _set_commit_point(self, action: act.SetCommitPoint) -> None:
        self.element.set_commit_point(action.lsn)

    def _read_log(self, action: act.ReadLog) -> None:
        machine = self.machine
        assert machine is not None
        try:
            entries = self.element.entries(action.after, copier.CHUNK_BYTES)
        except GridError as error:  # cut in the meantime
            log.info("replication.log_gap", db=self.db, rs=self.rs, error=error.message)
            entries = []
        spans: tuple[tuple[int, int, int], ...] = ()
        if entries:
            spans = machine.situation.shape.spans_between(action.after, entries[-1].lsn)
        body = copier.encode_entries(entries)
        self._run(machine.log_read(action.to, action.after, spans, body, self._now()))

    def _commit_batch(self, _action: act.CommitBatch) -> None:
        if trace.steps.listener is not None:
            trace.step("data/replication/member.py")
        assert self.machine is not None
        on_done, self._on_done = self._on_done, None
        if on_done is None:
            return
        last = self._batch_last
        self.element.set_commit_point(last)
        try:
            on_done(None)
        except Exception:
            log.exception("replication.commit_failed", db=self.db, rs=self.rs)
        if self.element.committed_tail.lsn < last:  # the copies have it and this element has not
            actions = self.machine.commit_failed(self._now())  # its log ends with the batch there
            self._reset_shape()
            self._run(actions)

    def _reset_shape(self) -> None:
        assert self.machine is not None
        situation = self.machine.situation
        situation.shape = copier.shape_of(self.element)
        situation.commit_lsn = min(situation.commit_lsn, situation.tail.lsn)

    def _fail_batch(self, _action: act.FailBatch) -> None:
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            on_done(OutcomeUnknownError("the lead lost its term while entries were on their way"))

    def _lead_gained(self, action: act.LeadGained) -> None:
        self._drop_ahead()
        self._note_lease()
        self._report_due = True
        if self._luggage is not None and action.luggage:
            self._luggage.unpack(action.luggage)
        self._listener.became_lead(action.term, action.in_sync)

    def _lead_lost(self, _action: act.LeadLost) -> None:
        self._ok_until_s = NEVER
        self._report_due = True
        self._listener.lost_lead()
        if self.element.in_batch:
            self.element.rollback()

    def _release(self, action: act.Release) -> None:
        self._ok_until_s = NEVER
        self._report_due = True
        luggage = self._luggage.pack() if self._luggage is not None else b""
        self._listener.lost_lead()
        if self.element.in_batch:
            self.element.rollback()
        self._send(act.Send(action.to, msgspec.structs.replace(action.message, luggage=luggage)))

    def _create_set(self, action: act.CreateSet) -> None:
        new = action.new
        self._ask(lambda: self._membership.create_set(self.db, self.rs, new), new)

    def _compare_and_set(self, action: act.CompareAndSet) -> None:
        old, new = action.expected, action.new
        self._ask(lambda: self._membership.compare_and_set(self.db, self.rs, old, new), new)

    def _read_set(self, _action: act.ReadSet) -> None:
        self._ask(lambda: self._membership.read_set(self.db, self.rs), None)

    def _ask(
        self, request: Callable[[], Awaitable[SetState | None]], attempt: SetState | None
    ) -> None:
        self._spawn(self._asked(request, attempt))

    async def _asked(
        self, request: Callable[[], Awaitable[SetState | None]], attempt: SetState | None
    ) -> None:
        machine = self.machine
        assert machine is not None
        try:
            in_force = await request()
        except GridError as error:
            log.info("replication.set_unanswered", db=self.db, rs=self.rs, error=error.message)
            self._run(machine.set_unanswered(attempt, self._now()))
        else:
            self._run(machine.set_answered(attempt, in_force, self._now()))

    def _mark_in_sync(self, _action: act.MarkInSync) -> None:
        self._drop_ahead()
        self.element.mark_in_sync()

    def _force_sync(self, action: act.ForceSync) -> None:
        self.element.set_force_sync(action.forced)

    # -- snapshots and the length of the log -------------------------------------------------------
    def _pull_snapshot(self, action: act.PullSnapshot) -> None:
        self._spawn(self._fetch_and_load(action))

    async def _fetch_and_load(self, action: act.PullSnapshot) -> None:
        machine = self.machine
        assert machine is not None
        me = self.element.identity.element
        failed = True
        try:
            peer = self._rpc.peer(self._places[action.source].instance)
            request = m.OpenSnapshot(self.db, self.rs, me, action.term)
            file = await fetch_snapshot(peer, request, self.element.path)
            file = await asyncio.to_thread(self.element.prepare_snapshot, file)
            if machine.fetching and not self._stopped:
                self._drop_ahead()
                self.element.load_snapshot(file)
                log.info("replication.snapshot_loaded", db=self.db, lsn=self.element.tail.lsn)
                failed = False
        except (GridError, OSError) as error:
            log.error("replication.snapshot_failed", db=self.db, rs=self.rs, error=str(error))
        if not machine.fetching or self._stopped:
            return
        unknown = failed and machine.situation.shape.start == copier.UNKNOWN_LOG
        shape = LogShape(copier.UNKNOWN_LOG) if unknown else copier.shape_of(self.element)
        damaged = unknown or self.element.needs_recovery
        self._run(machine.log_changed(shape, damaged, self._now()))

    async def _give_snapshot(self, message: m.OpenSnapshot, request: Request) -> None:
        try:
            request.reply(await self._giver.open(message))
        except (GridError, OSError) as error:
            wire = error if isinstance(error, GridError) else CorruptElementError(str(error))
            request.fail(wire)

    def _cut_log(self) -> None:
        machine = self.machine
        element = self.element
        keep = min(self._settings.log_bytes_kept, element.settings.log_bytes_max // 2)
        if machine is None or element.log_bytes <= keep or self._draining:
            return
        if self._ahead is not None or element.busy:
            return
        if element.in_batch and element.log_bytes < 1.5 * keep:
            return  # a quieter moment will come
        limits = [self._cut_limit() if self._cut_limit is not None else None]
        if element.log_bytes < HARD_SHARE * element.settings.log_bytes_max:
            for copy in machine.in_sync_elements:
                self._giver.reached(copy)
            limits.append(self._giver.keep_from())
            if machine.leadership is not None:
                limits.append(machine.leadership.streamed_from())
        limit = min((x for x in limits if x is not None), default=machine.situation.tail.lsn)
        commit_lsn = machine.situation.commit_lsn
        below = copier.cut_below(element, keep, commit_lsn, limit)
        if below > element.log_start.lsn + 1:
            element.cut_log(below, CUT_ENTRIES, min(commit_lsn, limit))
            machine.log_cut(element.log_start)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("replication.task_failed", db=self.db, rs=self.rs, exc_info=task.exception())
