"""The lead's half of the machine, for one term: its copies, its batch, its lease. Pure.

It lives from the take-over (or creation) of a term to its end. First it makes its log the truth on
every in-sync copy (`serving` False), then it serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from data.replication.actions import (
    CommitBatch,
    CompareAndSet,
    LeadGained,
    ReadLog,
    Release,
    Send,
)
from data.replication.log_shape import LogShape, Span, common_position
from data.replication.reading import Readers, may_be_let
from data.replication.situation import Situation
from membership.port import LEASE_SHARE
from protocol.ids import LogPosition
from protocol.limits import MIB
from protocol.messages.replication import (
    Acked,
    Append,
    AskRead,
    Beacon,
    HandOver,
    Hello,
    Join,
    Leave,
    Probe,
    Refused,
    TakeSnapshot,
    Whereabouts,
)

NEVER = float("-inf")
EMPTY_LOG = LogPosition(0, 0)
APPLIED_BYTES_PER_S = 2 * MIB  # a copy that applies slower than this is late


class Phase(Enum):
    """How far a copy is, as the lead sees it."""

    LOST = "lost"  # nothing is known of its log
    PROBING = "probing"  # asked where its log is
    JOINING = "joining"  # told the common position
    STREAMING = "streaming"  # gets log chunks, one at a time
    SYNCED = "synced"  # gets every batch


@dataclass
class Copy:
    """What the lead knows of another element of its replica set."""

    element: int
    heard_s: float  # when anything of it arrived; at first: when counting began
    retry_s: float = NEVER  # when what is unanswered is sent again
    incarnation: str = ""
    phase: Phase = Phase.LOST
    ticket: int = 0
    acked: int = -1  # it has the lead's log up to here; -1 unknown
    reached: LogPosition = EMPTY_LOG  # the chunk being streamed starts behind this
    answered_s: float = NEVER  # when the newest message it answered was sent (lease)
    sent_s: float = NEVER  # when the newest message to it was sent
    counted: bool = False  # batches wait for it (joining: not yet in ZooKeeper's in_sync)
    damaged: bool = False  # it said that it must not count itself in sync; not yet welcomed
    welcome_us: int = 0  # when it was told that it may
    expelled: bool = False  # ZooKeeper calls it in sync, but itself says it is not
    leaving: bool = False
    fetching: bool = False  # a snapshot
    behind_s: float = 0.0  # since when it lacks something; while it lacks nothing: the last look
    refusals: int = 0  # in a row, without getting further in between
    refused_at: int = -1  # how far it had come by then


@dataclass
class Batch:
    """Entries on their way: appended here, not committed."""

    span: Span
    append: Append  # the message, the same for every copy
    missing: set[int]  # copies that have not acknowledged
    bytes: int  # for copies to apply
    ahead: bool  # the lead itself has not applied it yet: it is one of those that lack it


class Leadership:
    """One term of this element as lead."""

    def __init__(
        self,
        situation: Situation,
        term: int,
        luggage: bytes,
        now_s: float,
        readers: Readers,
    ) -> None:
        self.situation = situation
        self.readers = readers
        self.term = term
        self.luggage = luggage
        self.serving = False
        self.lease_until_s = NEVER
        self.batch: Batch | None = None
        self.copies: dict[int, Copy] = {}
        self.successor = 0  # it hands over to this element as soon as no batch is on its way
        self.released = False
        self.gives_up = False  # others are better connected: the term ends, and one of them leads
        self.next_move_s = now_s + max(situation.pace.settle_s, situation.move_pause_s)
        self.batch_began_s = now_s
        self.view_changed(now_s)
        self._check_serving(now_s)

    # -- events -----------------------------------------------------------------------------------
    def view_changed(self, now_s: float) -> None:
        """Map, membership view or agreement changed."""
        s = self.situation
        wanted = (set(s.members) | s.agreement.needed) - {s.me}
        for element in wanted - self.copies.keys():
            self.copies[element] = Copy(element, heard_s=now_s, behind_s=now_s)
        for element in self.copies.keys() - wanted:
            del self.copies[element]
        for copy in self.copies.values():
            alive = s.alive(copy.element)
            if alive and alive != copy.incarnation:  # a new life: it has forgotten this term
                copy.incarnation = alive
                copy.leaving = copy.fetching = False
                self._lose(copy)
                copy.retry_s = NEVER
            self._contact(copy, now_s)
        self.settled(now_s)

    def settled(self, now_s: float) -> None:
        """The agreement changed: whom to wait for may have changed."""
        for copy in self.copies.values():
            if copy.element not in self.situation.agreement.needed:
                copy.expelled = False
        self.readers.forget(now_s, self.situation.view.dead)
        self._count_missing()
        self._renew_lease()
        self._reconfigure(now_s)
        self._check_serving(now_s)
        self._check_batch()

    def ticked(self, now_s: float) -> None:
        """Time passed."""
        for copy in self.copies.values():
            if not self._is_behind(copy):
                copy.behind_s = now_s
            if copy.counted and self._too_late(copy, now_s):
                self._lose(copy)
            self._contact(copy, now_s)
        self.settled(now_s)
        self._move_to_preferred(now_s)

    def forgive(self, pause_s: float) -> None:
        """This process stood still: that was not the copies' silence."""
        for copy in self.copies.values():
            copy.heard_s += pause_s
            copy.behind_s += pause_s
        lost = self.situation.lost
        for element in lost:
            lost[element] += pause_s

    def batch_appended(
        self, span: Span, body: bytes, now_s: float, effect_bytes: int, ahead: bool
    ) -> None:
        """The writer appended entries to the open batch of its element: send them.

        ahead: it will say `batch_applied` when it has them.
        """
        s = self.situation
        assert self.serving
        assert self.batch is None
        tail = s.shape.tail
        assert span[0] == self.term
        assert span[1] == tail.lsn + 1 <= span[2], (span, tail)
        append = self._append(tail, (span,), body, now_s)
        self.batch = Batch(span, append, set(), len(body) + effect_bytes, ahead)
        self.batch_began_s = now_s
        for copy in self.copies.values():
            if copy.phase is Phase.SYNCED:
                if copy.acked >= tail.lsn:
                    copy.behind_s = now_s
                self._send(copy, append, now_s)
        self._count_missing()
        self._check_batch()

    def batch_applied(self) -> None:
        """The open batch of the lead's element holds all of the batch that was sent ahead."""
        if self.batch is not None:
            self.batch.ahead = False
            self._count_missing()
            self._check_batch()

    def answered(self, message: Acked | Refused | Whereabouts, now_s: float) -> None:
        """A copy answered."""
        copy = self.copies.get(message.sender)
        if copy is None or (copy.incarnation and copy.incarnation != message.incarnation):
            return
        if self.situation.vain:
            self.situation.vain.pop(message.sender, None)
        if isinstance(message, Refused):
            if message.asked_term == self.term == message.term and copy.phase is not Phase.PROBING:
                further = copy.acked > copy.refused_at  # so only a message came before another
                copy.refusals = 1 if further else copy.refusals + 1
                copy.refused_at = max(copy.refused_at, copy.acked)
                self._lose(copy)
                wait_s = self.situation.pace.retry_s * 2 ** min(copy.refusals, 4)
                copy.retry_s = NEVER if copy.refusals < 3 else now_s + wait_s
                self._contact(copy, now_s)
                self._count_missing()
                self._check_batch()
            return
        if message.term != self.term:
            return
        copy.incarnation = message.incarnation
        copy.heard_s = now_s
        copy.answered_s = max(copy.answered_s, message.sent_us / 1e6)
        self._renew_lease()
        if copy.welcome_us == message.sent_us:
            copy.damaged = False
        if isinstance(message, Whereabouts):
            self._place(copy, message, now_s)
        elif message.lsn > copy.acked and copy.phase not in (Phase.LOST, Phase.PROBING):
            self._acknowledged(copy, message.lsn, now_s)

    def unsent(self, element: int, now_s: float) -> None:
        """A message to that copy was not delivered, or not answered."""
        copy = self.copies.get(element)
        if copy is not None:
            copy.retry_s = min(copy.retry_s, now_s + self.situation.pace.retry_s / 4)

    def log_read(
        self, element: int, after: int, spans: tuple[Span, ...], body: bytes, now_s: float
    ) -> None:
        """Entries for a copy that catches up were read. No spans: they are no longer kept."""
        copy = self.copies.get(element)
        if copy is None or copy.phase is not Phase.STREAMING or copy.reached.lsn != after:
            return
        if not spans:
            self._lose(copy)  # cut in the meantime, or not committed yet: ask again, soon
            copy.retry_s = now_s + self.situation.pace.retry_s
            return
        self._send(copy, self._append(copy.reached, spans, body, now_s), now_s)
        copy.reached = LogPosition(spans[-1][0], spans[-1][2])
        if copy.reached.lsn >= self.situation.tail.lsn:
            self._now_synced(copy, now_s)  # whatever is sent from now on follows this chunk

    def left(self, message: Leave, now_s: float) -> None:
        """A copy is stopping."""
        copy = self.copies.get(message.sender)
        if copy is not None and copy.incarnation == message.incarnation:
            copy.leaving = True
            self.readers.left(message)
            self._lose(copy)
            self.settled(now_s)

    def lets_read(self, message: AskRead, now_s: float) -> bool:
        """A copy wants to answer reads. If it may, batches wait for it, in sync or not."""
        may = may_be_let(self, message, now_s)
        if may:
            self.readers.admit(message.sender, message.incarnation, now_s)
        return may

    def arrived(self, message: Hello, now_s: float) -> None:
        """A copy is (again) there and follows nobody."""
        copy = self.copies.get(message.sender)
        if copy is not None and copy.incarnation == message.incarnation:
            copy.leaving = False
            if copy.phase not in (Phase.PROBING, Phase.JOINING):
                self._lose(copy)
                copy.retry_s = NEVER
                self._contact(copy, now_s)
                self.settled(now_s)

    def hand_over(self, successor: int, now_s: float) -> bool:
        """Give the lead to an in-sync copy; False: it cannot take it now."""
        copy = self.copies.get(successor)
        state = self.situation.agreement.state
        if (
            self.released
            or not self.serving
            or copy is None
            or state is None
            or successor not in state.in_sync
            or copy.phase is not Phase.SYNCED
            or copy.expelled
            or copy.leaving
            or not self.situation.alive(successor)
            or self.situation.agreement.busy
            or self.situation.agreement.unsettled
        ):
            return False
        self.successor = successor
        self._release_if_idle(now_s)
        return True

    def streamed_from(self) -> int | None:
        """The oldest LSN after which a copy is being sent the log; None: nobody is."""
        following = (Phase.JOINING, Phase.STREAMING, Phase.SYNCED)
        lsns = [c.acked for c in self.copies.values() if c.phase in following and c.acked >= 0]
        return min(lsns, default=None)

    def best_successor(self) -> int:
        """The copy to hand over to: the preferred one, or any that is in sync; 0 none."""
        s = self.situation
        state = s.agreement.state
        good = [
            c.element
            for c in self.copies.values()
            if c.phase is Phase.SYNCED
            and state is not None
            and c.element in state.in_sync
            and s.alive(c.element)
            and not c.leaving
        ]
        return s.preferred if s.preferred in good else min(good, default=0)

    # -- a copy's way to being in sync ------------------------------------------------------------
    def _contact(self, copy: Copy, now_s: float) -> None:
        """Send what is due to a copy: a probe, a repetition, a beacon."""
        s = self.situation
        if now_s >= s.serving_until_s or not s.alive(copy.element) or copy.leaving:
            return  # without membership (rule 3) a lead must not keep its copies from standing
        overdue = now_s >= copy.retry_s
        if copy.phase is not Phase.SYNCED:
            if overdue:
                self._lose(copy)
                copy.phase = Phase.PROBING
                copy.retry_s = now_s + s.pace.retry_s
                head = (s.db, s.rs, s.me, self.term, s.incarnation, _us(now_s))
                self._send(copy, Probe(*head), now_s)
            return
        if overdue and self._is_behind(copy):
            if self.batch is not None and copy.acked >= s.tail.lsn:
                self._send(copy, self.batch.append, now_s)
            else:
                self._lose(copy)
                copy.retry_s = NEVER
                self._contact(copy, now_s)
        elif now_s - copy.sent_s >= s.pace.beacon_s or copy.damaged:
            self._beacon(copy, now_s)

    def _is_behind(self, copy: Copy) -> bool:
        last = self.batch.span[2] if self.batch is not None else self.situation.tail.lsn
        return copy.phase is not Phase.SYNCED or copy.acked < last

    def _too_late(self, copy: Copy, now_s: float) -> bool:
        """Gone, or silent, or it answers but makes no progress (its disk is full, say)."""
        if self.situation.is_lost(copy.element, now_s):
            return True
        limit_s = self.situation.pace.silent_s
        size_s = 0.0 if self.batch is None else self.batch.bytes / APPLIED_BYTES_PER_S
        return now_s - copy.heard_s >= limit_s + size_s or now_s - copy.behind_s >= limit_s + size_s

    def _lose(self, copy: Copy) -> None:
        copy.phase = Phase.LOST
        copy.acked = -1
        copy.counted = False

    def _place(self, copy: Copy, told: Whereabouts, now_s: float) -> None:
        """The copy told where its log is: find the common position."""
        s = self.situation
        if copy.phase is not Phase.PROBING:
            return
        copy.damaged = told.damaged
        copy.expelled = told.damaged and copy.element in s.agreement.needed
        copy.fetching = told.busy
        if told.busy:
            copy.retry_s = now_s + s.pace.beacon_s
            return
        shape: LogShape = s.shape
        if self.batch is not None:  # a copy may have it already, and may have said so
            shape = shape.copy()
            shape.append(*self.batch.span)
        common = common_position(shape, LogPosition(*told.start), told.spans)
        copy.ticket = told.ticket
        head = (s.db, s.rs, s.me, self.term, s.incarnation, _us(now_s), told.ticket)
        if common is None:
            copy.retry_s = now_s + s.pace.beacon_s
            copy.fetching = True
            self._send(copy, TakeSnapshot(*head), now_s)
            return
        copy.phase = Phase.JOINING
        copy.reached = common
        copy.retry_s = now_s + s.pace.retry_s
        self._send(copy, Join(*head, common), now_s)

    def _acknowledged(self, copy: Copy, lsn: int, now_s: float) -> None:
        copy.acked = lsn
        if copy.phase is Phase.SYNCED:
            self._progress(copy, now_s)
            return
        if lsn < copy.reached.lsn:
            return
        if lsn >= self.situation.tail.lsn:
            self._now_synced(copy, now_s)
        else:
            copy.phase = Phase.STREAMING
            copy.retry_s = now_s + 4 * self.situation.pace.retry_s
            self.situation.out.append(ReadLog(copy.element, lsn))

    def _now_synced(self, copy: Copy, now_s: float) -> None:
        """All it lacks is sent: from now on batches wait for it."""
        copy.phase = Phase.SYNCED
        copy.counted = True
        copy.behind_s = now_s
        copy.retry_s = now_s + self.situation.pace.retry_s
        if self.batch is not None and copy.acked < self.batch.span[2]:
            self._send(copy, self.batch.append, now_s)
        self._count_missing()
        self._progress(copy, now_s)

    def _progress(self, copy: Copy, now_s: float) -> None:
        """A synced copy acknowledged something."""
        batch = self.batch
        if batch is not None and copy.acked >= batch.span[2]:
            batch.missing.discard(copy.element)
            copy.refusals = 0
            if not batch.missing:
                self._check_batch()
        state = self.situation.agreement.state
        if state is None or copy.element not in state.in_sync:
            self._reconfigure(now_s)
        if not self.serving:
            self._check_serving(now_s)

    # -- the batch --------------------------------------------------------------------------------
    def _count_missing(self) -> None:
        if self.batch is None:
            return
        last = self.batch.span[2]
        missing = {c.element for c in self.copies.values() if c.counted and c.acked < last}
        for element in self.situation.agreement.needed.union(self.readers.elements):
            copy = self.copies.get(element)
            if copy is None or copy.acked < last:
                missing.add(element)
        if self.batch.ahead:
            missing.add(self.situation.me)
        self.batch.missing = missing

    def _check_batch(self) -> None:
        if self.batch is None or self.batch.missing:
            return
        s = self.situation
        s.shape.append(*self.batch.span)
        s.commit_lsn = s.shape.tail.lsn
        self.batch = None
        s.out.append(CommitBatch())
        if self.successor:
            self._release_if_idle(self.batch_began_s)

    def _append(
        self, previous: LogPosition, spans: tuple[Span, ...], body: bytes, now_s: float
    ) -> Append:
        s = self.situation
        return Append(
            s.db, s.rs, s.me, self.term, s.incarnation, _us(now_s), s.commit_lsn,
            (previous.term, previous.lsn), spans, body,
        )  # fmt: skip

    # -- in-sync set, lease, serving ---------------------------------------------------------------
    def _reconfigure(self, now_s: float) -> None:
        """Ask ZooKeeper to drop silent copies and to add those that have caught up."""
        s = self.situation
        state = s.agreement.state
        if s.agreement.busy or state is None or state.term != self.term or self.released:
            return
        keep = {e for e in state.in_sync if e == s.me or not self._must_go(e, now_s)}
        gone = set(state.in_sync) - keep
        if self._others_are_better_connected(gone):
            self.gives_up = True
            return
        for element in gone:
            self._give_up(element)
        ready = {c.element for c in self.copies.values() if self._may_come(c, now_s)}
        wanted = tuple(sorted(keep | (ready if self.serving else set())))
        if wanted == state.in_sync and not s.agreement.unsettled:
            return
        self.next_move_s = max(self.next_move_s, now_s + s.pace.settle_s)
        new = s.agreement.next_value(self.term, wanted)
        s.agreement.attempted(new)
        s.out.append(CompareAndSet(state, new))
        self._count_missing()
        self._renew_lease()

    def _others_are_better_connected(self, gone: set[int]) -> bool:
        """Is it rather this process that cannot be reached? Then a silent copy should lead.

        Not if it was offered the lead before and did not take it.
        """
        s = self.situation
        silent = [
            e
            for e in gone
            if (c := self.copies.get(e)) is not None
            and not (c.leaving or c.expelled or c.fetching)
            and s.alive(e)
            and s.vain.get(e) != s.alive(e)
        ]
        return bool(silent) and s.cut_off(silent)

    def _give_up(self, element: int) -> None:
        """A copy that is being removed has to come in again by the door, unless it is there now."""
        copy = self.copies.get(element)
        if copy is not None and not copy.expelled and not copy.fetching:
            self._lose(copy)

    def _must_go(self, element: int, now_s: float) -> bool:
        s = self.situation
        copy = self.copies.get(element)
        if copy is None or element not in s.members:
            return True
        if copy.leaving or copy.expelled or copy.fetching:
            return True
        if copy.incarnation in s.view.dead and not s.alive(element):
            return True
        return self._too_late(copy, now_s)

    def _may_come(self, copy: Copy, now_s: float) -> bool:
        s = self.situation
        return (
            copy.counted
            and copy.phase is Phase.SYNCED
            and copy.acked >= s.tail.lsn
            and copy.element in s.members
            and not copy.leaving
            and copy.element not in s.agreement.needed
            and not self._must_go(copy.element, now_s)
        )

    def _renew_lease(self) -> None:
        """Design §3, rule 1: every copy that may be in sync answered something sent lately."""
        oldest_s = float("inf")
        for element in self.situation.agreement.needed:
            copy = self.copies.get(element)
            if copy is None:
                oldest_s = NEVER
            elif copy.answered_s < oldest_s:
                oldest_s = copy.answered_s
        self.lease_until_s = oldest_s + LEASE_SHARE * self.situation.pace.session_timeout_s

    def _check_serving(self, now_s: float) -> None:
        """Serve once every copy that may be in sync has the whole log (or is out)."""
        s = self.situation
        state = s.agreement.state
        if self.serving or self.released or state is None or state.term != self.term:
            return
        for element in s.agreement.needed:
            copy = self.copies.get(element)
            if copy is None or copy.phase is not Phase.SYNCED or copy.acked < s.tail.lsn:
                return
        if self.readers.elements - s.agreement.needed:
            return
        self.serving = True
        s.commit_lsn = s.tail.lsn
        luggage, self.luggage = self.luggage, b""
        s.out.append(LeadGained(self.term, state.in_sync, luggage))
        self._reconfigure(now_s)

    # -- handing over -----------------------------------------------------------------------------
    def _move_to_preferred(self, now_s: float) -> None:
        s = self.situation
        if s.preferred in (0, s.me) or now_s < self.next_move_s or not self.serving:
            return
        self.next_move_s = now_s + max(s.pace.settle_s, s.move_pause_s)
        self.hand_over(s.preferred, now_s)

    def _release_if_idle(self, now_s: float) -> None:
        s = self.situation
        state = s.agreement.state
        if self.batch is not None or state is None or not self.successor or self.released:
            return
        self.released = True
        self.serving = False
        tail = s.tail
        message = HandOver(
            s.db, s.rs, s.me, self.term, s.incarnation, _us(now_s), (tail.term, tail.lsn),
            state.counter, state.in_sync, state.writer,
        )  # fmt: skip
        s.out.append(Release(self.successor, message))

    # -- sending ----------------------------------------------------------------------------------
    def _send(
        self, copy: Copy, message: Append | Probe | Join | TakeSnapshot, now_s: float
    ) -> None:
        copy.sent_s = now_s
        if isinstance(message, Append):
            batch = self.batch
            large = batch is not None and message is batch.append
            size = batch.bytes if batch is not None and large else len(message.body)
            size_s = size / APPLIED_BYTES_PER_S  # beacons, and so the lease, go on meanwhile
            copy.retry_s = now_s + self.situation.pace.retry_s + size_s
        self.situation.out.append(Send(copy.element, message))

    def _beacon(self, copy: Copy, now_s: float) -> None:
        s = self.situation
        state = s.agreement.state
        in_force = state is not None and copy.element in state.in_sync
        settled = not s.agreement.unsettled and s.agreement.attempt is None
        welcome = copy.ticket if in_force and settled and not copy.expelled else 0
        copy.sent_s = now_s
        if welcome:
            copy.welcome_us = _us(now_s)
        head = (s.db, s.rs, s.me, self.term, s.incarnation, _us(now_s))
        s.out.append(Send(copy.element, Beacon(*head, s.commit_lsn, welcome)))


def _us(now_s: float) -> int:
    return int(now_s * 1e6)
