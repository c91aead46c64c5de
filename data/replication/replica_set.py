"""One element's view of its replica set: PacificA as a pure machine. See DESIGN.md.

Events are methods; each returns the actions its driver has to do, in order. No I/O, no clock:
`now_s` is CLOCK_BOOTTIME at the event. Design §3 (lease rules) and §5 are the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data.replication.actions import (
    Action,
    CheckHeld,
    CompareAndSet,
    CreateSet,
    FailBatch,
    ForceSync,
    LeadLost,
    MarkInSync,
    PullSnapshot,
    ReadSet,
    Reply,
    Send,
    SetCommitPoint,
    Store,
    Undo,
)
from data.replication.agreement import Agreement
from data.replication.leadership import Leadership
from data.replication.log_shape import LogShape, Span
from data.replication.reading import Reading
from data.replication.situation import Pace, Situation
from data.replication.yielding import Yielding
from membership.election import Candidate, Verdict, may_stand
from membership.port import ClusterView, SetState
from protocol.ids import LogPosition
from protocol.messages.replication import (
    Acked,
    Append,
    AskTail,
    Beacon,
    HandOver,
    Hello,
    Join,
    LeadMessage,
    Leave,
    MachineMessage,
    Probe,
    Refused,
    TailIs,
    TakeSnapshot,
    Whereabouts,
)

DEFERRALS_MAX = 5  # so often a copy leaves the lead to one with a longer log that does not take it


@dataclass
class Standing:
    """This copy wants the lead: first it asks for tails, then it proposes itself."""

    term: int  # it refuses older ones from now on
    until_s: float = 0.0
    awaited: set[int] = field(default_factory=set)
    better: bool = False  # somebody eligible has a longer log
    proposed: bool = False


class ReplicaSet:
    """The machine. `leadership` is None unless this element leads (or takes the lead over)."""

    def __init__(
        self,
        db: str,
        rs: int,
        me: int,
        incarnation: str,
        session_timeout_s: float,
        shape: LogShape,
        damaged: bool,
        now_s: float,
    ) -> None:
        counter = int(now_s * 1e6)  # beyond what an earlier life in this process used
        agreement = Agreement(me, incarnation, counter)
        pace = Pace(session_timeout_s)
        self.situation = Situation(db, rs, me, incarnation, pace, shape, agreement, damaged)
        self.leadership: Leadership | None = None
        self.standing: Standing | None = None
        self.stopping = False
        self.fetching = False  # a snapshot
        self.no_room = False  # on the file system: it takes no entries now
        self.joined_term = 0  # takes entries of this term's lead
        self.heard_term = 0  # newest term of a lead that was heard
        self.heard_lead = 0
        self.heard_incarnation = ""
        self.heard_s = 0.0  # 0: never
        self.lead_commit_lsn = 0  # as last heard
        self._began_s = now_s
        self._ticket = counter
        self._released_term = 0  # its lead handed over to this element ...
        self._luggage = b""  # ... with this
        self._deferrals = 0
        self._yielding = Yielding(self.situation)
        self.reading = Reading(self)
        self._handed_over_term = 0
        self._creation = 0  # counter of the value with which this element created the set
        self._last_tick_s = now_s
        self._hello_s = float("-inf")
        self._session = 0
        self._forced = False
        self._forced_for = (-1, damaged)
        self._handlers = {
            Append: self._on_append,
            Beacon: self._on_beacon,
            Acked: self._on_answer,
            Refused: self._on_answer,
            Whereabouts: self._on_answer,
            Probe: self._on_probe,
            Join: self._on_join,
            TakeSnapshot: self._on_take_snapshot,
            HandOver: self._on_hand_over,
            Leave: self._on_leave,
            Hello: self._on_hello,
            **self.reading.handlers,
            AskTail: self._on_ask_tail,
            TailIs: self._on_tail_is,
        }

    # -- what others may ask ----------------------------------------------------------------------
    @property
    def term(self) -> int:
        """The newest term known here."""
        state = self.situation.agreement.state
        return max(self.heard_term, state.term if state is not None else 0)

    @property
    def leads(self) -> bool:
        """This element leads and serves (its lease is another question)."""
        return self.leadership is not None and self.leadership.serving

    @property
    def in_sync(self) -> bool:
        """ZooKeeper counts this element in sync, and it is not damaged."""
        state = self.situation.agreement.state
        return state is not None and self.situation.me in state.in_sync and not self.damaged

    @property
    def in_sync_elements(self) -> tuple[int, ...]:
        """As ZooKeeper has them."""
        state = self.situation.agreement.state
        return () if state is None else state.in_sync

    @property
    def damaged(self) -> bool:
        """It must not count itself in sync."""
        return self.situation.damaged

    @property
    def role(self) -> str:
        """lead, copy, catching-up, waiting-for-seed or idle."""
        s = self.situation
        state = s.agreement.state
        if self.leads:
            return "lead"
        if state is None or s.me not in s.members:
            return "idle"
        if self.in_sync:
            return "copy"
        heard = self.heard_s > 0 and self._last_tick_s - self.heard_s < s.pace.session_timeout_s
        if heard or (state.lead != s.me and s.view.is_alive(state.lead_incarnation)):
            return "catching-up"
        return "waiting-for-seed"

    @property
    def promised(self) -> int:
        """Messages of older terms are refused."""
        return max(self.term, self.standing.term if self.standing is not None else 0)

    # -- events: the world ------------------------------------------------------------------------
    def map_changed(self, members: Mapping[int, str], preferred: int, now_s: float) -> list[Action]:
        """The distribution map names these elements (and their instances)."""
        s = self.situation
        s.members, s.preferred = dict(members), preferred
        if self.leadership is not None:
            self.leadership.view_changed(now_s)
        return self._finish(now_s)

    def view_changed(self, view: ClusterView, now_s: float) -> list[Action]:
        """Membership shows a new picture."""
        s = self.situation
        s.view = view
        if view.session != self._session:
            if self._session and self.leadership is not None:
                self._end_term()  # the old session is lost, and the term with it
            self._session = view.session
        state = view.sets.get((s.db, s.rs))
        if state is not None:
            s.agreement.observed(state)
        elif view.connected and s.agreement.state is not None and s.db not in view.maps:
            s.agreement.forgotten()
            self._end_term()
        self._state_changed(now_s)
        if self.leadership is not None:
            self.leadership.view_changed(now_s)
        self._consider(now_s)
        return self._finish(now_s)

    def set_answered(
        self, attempt: SetState | None, in_force: SetState | None, now_s: float
    ) -> list[Action]:
        """A creation or compare-and-set to `attempt`, or (None) a read, was answered."""
        self.situation.agreement.answered(attempt, in_force)
        self._state_changed(now_s)
        if self.leadership is not None:
            self.leadership.settled(now_s)
        self._consider(now_s)
        return self._finish(now_s)

    def set_unanswered(self, attempt: SetState | None, now_s: float) -> list[Action]:
        """Nobody knows whether it was done; the next tick reads."""
        self.situation.agreement.unanswered(attempt)
        if self.leadership is not None:
            self.leadership.settled(now_s)
        return self._finish(now_s)

    def ticked(self, now_s: float, serving_until_s: float) -> list[Action]:
        """Time passed. serving_until_s: design §3, rule 3."""
        s = self.situation
        s.serving_until_s = serving_until_s
        pause_s = now_s - self._last_tick_s
        self._last_tick_s = now_s
        if s.agreement.must_read and s.agreement.attempt is None and s.view.connected:
            s.agreement.read()
            s.out.append(ReadSet())
        if self.leadership is not None:
            if pause_s > s.pace.beacon_s:
                self.leadership.forgive(pause_s)
            self.leadership.ticked(now_s)
            self._yielding.offer(self.leadership, now_s)
        if self.standing is not None and not self.standing.proposed:
            self._decide(now_s)
        self._consider(now_s)
        self._greet(now_s)
        return self._finish(now_s)

    def link_changed(self, element: int, connected: bool, now_s: float) -> list[Action]:
        """The connection to that element's process opened or broke."""
        lost = self.situation.lost
        if connected:
            lost.pop(element, None)
        else:
            lost.setdefault(element, now_s)
        return self._finish(now_s)

    def arrived(self, message: MachineMessage, now_s: float) -> list[Action]:
        """A message or a reply of another member."""
        if self.situation.lost:
            self.situation.lost.pop(message.sender, None)
        self._handlers[type(message)](message, now_s)  # type: ignore[operator]
        return self._finish(now_s)

    def unsent(self, element: int, now_s: float) -> list[Action]:
        """A message could not be delivered, or its reply did not come."""
        if self.leadership is not None:
            self.leadership.unsent(element, now_s)
        return self._finish(now_s)

    # -- events: the element ----------------------------------------------------------------------
    def batch_appended(
        self, span: Span, body: bytes, now_s: float, effect_bytes: int = 0, ahead: bool = False
    ) -> list[Action]:
        """The writer appended a batch. Only while `leads` and no batch is on its way.

        effect_bytes: what copies have to apply beside the body; ahead: Leadership.batch_applied.
        """
        assert self.leadership is not None
        self.leadership.batch_appended(span, body, now_s, effect_bytes, ahead)
        return self._finish(now_s)

    def batch_applied(self, now_s: float) -> list[Action]:
        """What was sent ahead is in the lead's open batch too."""
        if self.leadership is not None:
            self.leadership.batch_applied()
        return self._finish(now_s)

    def log_read(
        self, element: int, after: int, spans: tuple[Span, ...], body: bytes, now_s: float
    ) -> list[Action]:
        """Answer to ReadLog; no spans: the entries are no longer (or not yet) there."""
        if self.leadership is not None:
            self.leadership.log_read(element, after, spans, body, now_s)
        return self._finish(now_s)

    def log_changed(self, shape: LogShape, damaged: bool, now_s: float) -> list[Action]:
        """The log is not what the machine thought: a snapshot was loaded, or storing failed."""
        s = self.situation
        assert self.leadership is None
        s.shape, s.damaged = shape, damaged
        s.commit_lsn = min(s.commit_lsn, shape.tail.lsn)
        self.joined_term = 0
        self.fetching = False
        self._hello_s = float("-inf")
        self._greet(now_s)
        return self._finish(now_s)

    def log_cut(self, start: LogPosition) -> None:
        """Entries up to `start` are no longer kept."""
        self.situation.shape.cut_to(start)

    def term_failed(self, now_s: float) -> list[Action]:
        """The lead could not commit what it has sent: its term is over."""
        self._end_term()
        self._consider(now_s)
        return self._finish(now_s)

    def commit_failed(self, now_s: float) -> list[Action]:
        """The copies have the batch and this element's own file would not take it.

        A copy takes over with the batch, if one can; else the term is over.
        """
        lead = self.leadership
        successor = lead.best_successor() if lead is not None else 0
        if lead is None or not successor or not lead.hand_over(successor, now_s):
            self._end_term()
            self._consider(now_s)
        return self._finish(now_s)

    def trusted(self, now_s: float) -> list[Action]:
        """An operator decided that this damaged copy is good enough to lead (loss is accepted)."""
        s = self.situation
        if s.damaged and self.leadership is None and not self.fetching:
            s.damaged = False
            s.out.append(MarkInSync())
        self._consider(now_s)
        return self._finish(now_s)

    def distrusted(self, now_s: float) -> list[Action]:
        """An operator gives up what this element has: it ends its term and stands for none."""
        s = self.situation
        self._end_term()
        self.standing = None
        self.joined_term = 0
        s.damaged = True
        return self._finish(now_s)

    def hand_over(self, now_s: float) -> bool:
        """Start a planned hand-over to the best copy; call `flush` for the actions."""
        lead = self.leadership
        if lead is None:
            return False
        successor = lead.best_successor()
        return successor != 0 and lead.hand_over(successor, now_s)

    def stop(self, now_s: float) -> list[Action]:
        """Lead no more, stand no more; tell the lead that this copy leaves."""
        s = self.situation
        self.stopping = True
        self._end_term()
        self.standing = None
        state = s.agreement.state
        lead = self.heard_lead if state is None or self.heard_term > state.term else state.lead
        if lead not in (0, s.me) and s.alive(lead):
            us = int(now_s * 1e6)
            s.out.append(Send(lead, Leave(s.db, s.rs, s.me, self.term, s.incarnation, us)))
        return self._finish(now_s)

    def flush(self, now_s: float) -> list[Action]:
        """Actions that an event without own result left behind."""
        return self._finish(now_s)

    # -- the copy's side --------------------------------------------------------------------------
    def _accept(self, message: LeadMessage, now_s: float) -> bool:
        """Is this the lead of the newest term? Then it was heard; else it is refused."""
        if (
            message.term < self.promised
            or (self.leadership is not None and message.term == self.leadership.term)
            or (message.term == self.heard_term and message.incarnation != self.heard_incarnation)
            or self.stopping
        ):
            self._refuse(message)
            return False
        if message.term > self.heard_term:
            if self.leadership is not None:
                self._end_term()
            self.standing = None
            self.heard_term = message.term
            self.heard_lead = message.sender
            self.heard_incarnation = message.incarnation
            self.joined_term = 0
            self._deferrals = 0
        self.heard_s = now_s
        self.situation.vain.clear()
        return True

    def _refuse(self, message: LeadMessage) -> None:
        s = self.situation
        s.out.append(
            Reply(
                Refused(
                    s.db, s.rs, s.me, self.promised, s.incarnation, message.sent_us, message.term
                )
            )
        )

    def _ack(self, message: LeadMessage, lsn: int) -> None:
        s = self.situation
        s.out.append(
            Reply(Acked(s.db, s.rs, s.me, message.term, s.incarnation, message.sent_us, lsn))
        )

    def follows(self, message: Append | Probe) -> bool:
        """Its sender is the lead that this copy joined, and of no newer one was heard."""
        return (
            self.leadership is None
            and not self.fetching
            and not self.stopping
            and self.joined_term == message.term == self.term == self.heard_term
            and message.term >= self.promised
            and message.incarnation == self.heard_incarnation
        )

    def would_store(self, message: Append) -> bool:
        """The whole message follows this log, and its sender is the lead that this copy joined."""
        tail = self.situation.shape.tail
        return self.follows(message) and (tail.term, tail.lsn) == tuple(message.previous)

    def _on_append(self, message: Append, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        s = self.situation
        if self.joined_term != message.term or not message.spans:
            self._refuse(message)
            return
        tail = s.shape.tail
        last = message.spans[-1][2]
        if tail.lsn >= last:  # repeated
            s.out.append(CheckHeld(message.body, last))
            self._ack(message, tail.lsn)
            return
        if tail.lsn < message.previous[1]:
            self._refuse(message)  # something before it is missing
            return
        if tail.lsn == message.previous[1] and tail.term != message.previous[0]:
            self._refuse(message)
            return
        if tail.lsn > message.previous[1]:
            s.out.append(CheckHeld(message.body, tail.lsn))
        for term, first, end in message.spans:
            if end > s.shape.tail.lsn:
                s.shape.append(term, max(first, s.shape.tail.lsn + 1), end)
        s.commit_lsn = max(s.commit_lsn, min(message.commit_lsn, last))
        self.lead_commit_lsn = message.commit_lsn
        s.out.append(Store(message.body, tail.lsn, s.commit_lsn))
        self._ack(message, last)

    def _on_beacon(self, message: Beacon, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        s = self.situation
        joined = self.joined_term == message.term
        self.lead_commit_lsn = message.commit_lsn
        if joined:
            point = min(message.commit_lsn, s.shape.tail.lsn)
            if point > s.commit_lsn:
                s.commit_lsn = point
                s.out.append(SetCommitPoint(point))
            if s.damaged and message.welcome == self._ticket:
                s.damaged = False
                s.out.append(MarkInSync())
        self._ack(message, s.shape.tail.lsn if joined else 0)

    def _on_probe(self, message: Probe, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        s = self.situation
        self.joined_term = 0
        self._ticket = max(self._ticket + 1, int(now_s * 1e6))
        shape = s.shape
        s.out.append(
            Reply(
                Whereabouts(
                    s.db, s.rs, s.me, message.term, s.incarnation, message.sent_us, self._ticket,
                    (shape.start.term, shape.start.lsn), shape.spans(), s.damaged,
                    self.fetching or self.no_room,
                )
            )
        )  # fmt: skip

    def _on_join(self, message: Join, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        s = self.situation
        if message.ticket != self._ticket or self.fetching:
            self._refuse(message)
            return
        if self.joined_term != message.term:
            common = LogPosition(*message.common)
            if s.shape.term_at(common.lsn) != common.term:
                self._refuse(message)
                return
            self.joined_term = message.term
            if s.shape.tail.lsn > common.lsn:
                s.shape.undo_to(common.lsn)
                s.commit_lsn = min(s.commit_lsn, common.lsn)
                s.out.append(Undo(common.lsn))
        self._ack(message, s.shape.tail.lsn)

    def _on_take_snapshot(self, message: TakeSnapshot, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        if message.ticket == self._ticket and self.joined_term == 0 and not self.fetching:
            self.fetching = True
            self.situation.out.append(PullSnapshot(message.sender, message.term))
        self._ack(message, 0)

    def _on_hand_over(self, message: HandOver, now_s: float) -> None:
        if not self._accept(message, now_s):
            return
        s = self.situation
        if self.joined_term != message.term or s.shape.tail != message.tail or s.damaged:
            self._refuse(message)
            return
        s.agreement.observed(
            SetState(
                message.term,
                message.sender,
                message.incarnation,
                tuple(message.in_sync),
                message.writer,
                message.counter,
            )
        )
        self._released_term = message.term
        self._luggage = message.luggage
        self._ack(message, s.shape.tail.lsn)
        self._consider(now_s)

    # -- the lead's side --------------------------------------------------------------------------
    def _on_answer(self, message: Acked | Refused | Whereabouts, now_s: float) -> None:
        if self.leadership is not None:
            self.leadership.answered(message, now_s)

    def _on_leave(self, message: Leave, now_s: float) -> None:
        if self.leadership is not None:
            self.leadership.left(message, now_s)
        self._acknowledge_copy(message)

    def _on_hello(self, message: Hello, now_s: float) -> None:
        if self.leadership is not None:
            self.leadership.arrived(message, now_s)
        self._acknowledge_copy(message)

    def _acknowledge_copy(self, message: Leave | Hello) -> None:
        s = self.situation
        s.out.append(
            Reply(Acked(s.db, s.rs, s.me, message.term, s.incarnation, message.sent_us, 0))
        )

    def _greet(self, now_s: float) -> None:
        """Tell the lead that this copy is here, until it takes entries."""
        s = self.situation
        state = s.agreement.state
        if (
            state is None
            or self.leadership is not None
            or self.standing is not None
            or self.stopping
            or self.fetching
            or state.lead == s.me
            or self.joined_term == self.term
            or now_s - self._hello_s < s.pace.beacon_s
            or not s.alive(state.lead)
        ):
            return
        self._hello_s = now_s
        us = int(now_s * 1e6)
        s.out.append(Send(state.lead, Hello(s.db, s.rs, s.me, self.term, s.incarnation, us)))

    # -- standing for lead ------------------------------------------------------------------------
    def _consider(self, now_s: float) -> None:
        """Create the set, or stand for its lead, if this is the moment."""
        s = self.situation
        if self.leadership is not None or self.stopping or s.me not in s.members:
            return
        if s.agreement.busy or not s.view.connected:
            return
        state = s.agreement.state
        if state is None:
            self._create(now_s)
            return
        if self.standing is not None:
            if self.standing.proposed:
                self._propose(now_s)  # its fate is unknown and nothing newer is in force: again
            return
        if not self._may_stand(state, now_s):
            return
        others = {e for e in state.in_sync if e != s.me and s.may_count(e, state, now_s)}
        self.standing = Standing(state.term + 1, now_s + s.pace.ask_s, others)
        if self._released_term == state.term or not others:
            self._propose(now_s)
            return
        for element in sorted(others):
            s.out.append(Send(element, AskTail(s.db, s.rs, s.me, state.term)))

    def _may_stand(self, state: SetState, now_s: float) -> bool:
        s = self.situation
        if s.damaged or self.fetching or s.me not in state.in_sync:
            return False
        if self.heard_term > state.term or now_s >= s.serving_until_s:
            return False  # somebody took over already, or nobody would hear of it
        handed_over = self._released_term == state.term
        if self._yielding.rests(state, now_s) and not handed_over:
            return False
        if state.lead == 0 and not self._yielding.is_my_turn(state, now_s):
            return False
        own = state.lead == s.me  # a term this element has ended, or an earlier life began
        candidate = Candidate(
            s.me,
            s.incarnation,
            started_s=self._began_s,
            last_beacon_s=self.heard_s,
            lead_lost=s.is_lost(state.lead, now_s),
            released=handed_over or (own and state.lead_incarnation == s.incarnation),
            known_dead=frozenset({state.lead_incarnation}) if own else frozenset(),
        )
        if state.lead_incarnation == s.incarnation:  # `may_stand` would say: leads
            ok = s.view.is_alive(s.incarnation)
        else:
            timeout_s = s.pace.session_timeout_s
            ok = may_stand(s.view, state, candidate, now_s, timeout_s).verdict is Verdict.STAND
        return ok and self._old_lease_is_over(state, now_s)

    def _old_lease_is_over(self, state: SetState, now_s: float) -> bool:
        """A lead of an older term may live on this copy's answers, if the newer one came late.

        (A take-over whose compare-and-set was done after its writer had died and restarted.)
        """
        if not self.heard_incarnation or self.heard_incarnation == state.lead_incarnation:
            return True
        s = self.situation
        if self.heard_incarnation == s.incarnation or self.heard_incarnation in s.view.dead:
            return True  # the older lead was this element itself, or is dead
        return now_s - self.heard_s >= self.situation.pace.session_timeout_s

    def _on_ask_tail(self, message: AskTail, now_s: float) -> None:
        s = self.situation
        eligible = self.in_sync and s.view.connected and now_s < s.serving_until_s
        tail = s.shape.tail
        answer = TailIs(
            s.db, s.rs, s.me, message.term, self.term, (tail.term, tail.lsn),
            eligible and not self.stopping,
        )  # fmt: skip
        s.out.append(Reply(answer))

    def _on_tail_is(self, message: TailIs, now_s: float) -> None:
        standing = self.standing
        if self.leadership is not None:
            self._yielding.answered(self.leadership, message, now_s)
        if (
            standing is None
            or standing.proposed
            or message.asked_term != standing.term - 1
            or message.sender not in standing.awaited
        ):
            return
        standing.awaited.discard(message.sender)
        if message.term >= standing.term:
            self.standing = None  # there is a newer lead: look before anything else
            self.situation.agreement.must_read = True
            return
        if message.eligible and LogPosition(*message.tail) > self.situation.shape.tail:
            standing.better = True
        self._decide(now_s)

    def _decide(self, now_s: float) -> None:
        standing = self.standing
        assert standing is not None
        if standing.awaited and now_s < standing.until_s:
            return
        if standing.better and self._deferrals < DEFERRALS_MAX:
            self._deferrals += 1
            self.standing = None
            self._yielding.rest(now_s + self.situation.pace.defer_s)
            return
        self._propose(now_s)

    def _propose(self, now_s: float) -> None:
        """Try to win the next term. Copies that do not run are out at once."""
        s = self.situation
        state = s.agreement.state
        assert self.standing is not None
        assert state is not None
        if s.agreement.busy or now_s >= s.serving_until_s:
            return
        if not self._may_stand(state, now_s) and not self.standing.proposed:
            self.standing = None
            return
        self.standing.proposed = True
        in_sync = tuple(e for e in state.in_sync if e == s.me or s.may_count(e, state, now_s))
        new = s.agreement.next_value(state.term + 1, in_sync)
        s.agreement.attempted(new)
        s.out.append(CompareAndSet(state, new))

    def _create(self, now_s: float) -> None:
        """The first value of a new replica set, by its lowest running element."""
        s = self.situation
        running = [e for e in s.members if e == s.me or s.alive(e)]
        late = now_s - self._began_s >= s.pace.session_timeout_s
        if s.tail.lsn or now_s >= s.serving_until_s or (min(running) != s.me and not late):
            return
        new = s.agreement.next_value(1, (s.me,))
        s.agreement.attempted(new)
        self._creation = new.counter
        s.out.append(CreateSet(new))

    # -- changes of state -------------------------------------------------------------------------
    def _state_changed(self, now_s: float) -> None:
        """What ZooKeeper holds may be new: who leads?"""
        s = self.situation
        state = s.agreement.state
        if state is None:
            return
        self._yielding.saw(state)
        self.reading.saw(state, now_s)
        lead = self.leadership
        if lead is not None and state.term > lead.term:
            self._end_term()
        standing = self.standing
        mine = state.writer == s.incarnation and state.lead_incarnation == s.incarnation
        if state.term != self._handed_over_term and self._handed_over_term:
            s.move_pause_s = 0.0 if not mine else max(2 * s.move_pause_s, s.pace.settle_s)
            self._handed_over_term = 0
        won = mine and (
            (standing is not None and standing.proposed and state.term == standing.term)
            or (standing is None and lead is None and self._created(state))
        )
        if won and not self.stopping:
            self._win(state, now_s)
        elif standing is not None and self._lost_vote(state, standing):
            self.standing = None

    def _created(self, state: SetState) -> bool:
        """The first value is ours, and nothing has happened since."""
        return state.term == 1 and state.counter == self._creation

    def _lost_vote(self, state: SetState, standing: Standing) -> bool:
        agreement = self.situation.agreement
        if state.term >= standing.term or self.situation.me not in state.in_sync:
            return not agreement.busy or state.term >= standing.term
        # settled and not won: the lead changed the set meanwhile; look again
        return standing.proposed and not agreement.busy and not agreement.unsettled

    def _win(self, state: SetState, now_s: float) -> None:
        s = self.situation
        luggage = self._luggage if self._released_term == state.term - 1 else b""
        self.standing = None
        self._creation = 0
        self._luggage = b""
        self._deferrals = 0
        self.joined_term = 0
        self.heard_term = state.term
        self.heard_lead = s.me
        self.heard_incarnation = s.incarnation
        if s.damaged:  # the first element of a new set
            s.damaged = False
            s.out.append(MarkInSync())
        readers = self.reading.of_earlier_leads(now_s)
        self.leadership = Leadership(s, state.term, luggage, now_s, readers)

    def _end_term(self) -> None:
        lead, self.leadership = self.leadership, None
        if lead is None:
            return
        if lead.batch is not None:
            self.situation.out.append(FailBatch())
        self.situation.out.append(LeadLost())

    def _finish(self, now_s: float) -> list[Action]:
        s = self.situation
        lead = self.leadership
        if lead is not None and lead.released:  # handed over: the term is over by its own will
            self.leadership = None
            self._handed_over_term = lead.term
            self._yielding.rest(now_s + s.pace.settle_s, lead.successor)
        elif lead is not None and lead.gives_up:
            self._end_term()
            self._yielding.give_up()
            self._yielding.rest(now_s + s.pace.settle_s)
        seen = (s.agreement.changes, s.damaged)
        if seen != self._forced_for:
            self._forced_for = seen
            forced = self.in_sync and s.agreement.alone
            if forced != self._forced:
                self._forced = forced
                s.out.insert(0, ForceSync(forced))
        out = s.out
        s.out = []
        return out
