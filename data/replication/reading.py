"""Reads at a copy: who may answer them, until when, and who has to wait for that. Pure.

A copy asks its lead for leave (AskRead) when somebody wants to read here. With it, it may answer
what no entry beyond the commit point that it was told changes: there it shows what the lead shows.
Leave counts from when the copy *asked*, on its own clock; the lead counts longer, from when it
answered, and until then puts nothing into effect without this copy, whatever ZooKeeper holds. A
new lead does not serve while a copy that is not in sync may hold leave of an earlier one.
Why this is linearizable: docs/decisions/0138. Gray and Cheriton, Leases, SOSP 1989.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from data.replication.actions import Action, Reply, Send
from membership.port import SetState
from protocol.messages.replication import AskRead, Leave, MayRead

if TYPE_CHECKING:
    from data.replication.leadership import Leadership
    from data.replication.replica_set import ReplicaSet

NEVER = float("-inf")
LEAVE_SHARE = 1 / 4  # of the session timeout T: so long after it asked a copy may answer
WAIT_SHARE = 0.3  # of T: so long after its answer the lead counts on it (clocks may differ by 20 %)
RENEW_SHARE = 1 / 8  # of T: it asks again so long before its leave ends
ASK_SHARE = 1 / 100  # of T: and not more often than this
NO = -1  # a commit point: there is no leave


class Readers:
    """The lead's side: elements that may answer reads. A batch needs each of them."""

    def __init__(self, until_s: dict[int, float], wait_s: float) -> None:
        """until_s: what earlier leads may have allowed."""
        self._until_s = until_s
        self._lives: dict[int, str] = {}
        self._wait_s = wait_s

    @property
    def elements(self) -> Set[int]:
        """Those that may answer, as far as is known."""
        return self._until_s.keys()

    def admit(self, element: int, incarnation: str, now_s: float) -> None:
        """It is about to be allowed."""
        self._until_s[element] = now_s + self._wait_s
        self._lives[element] = incarnation

    def left(self, message: Leave) -> None:
        """It answers nothing any more."""
        if self._lives.get(message.sender) == message.incarnation:
            self._until_s.pop(message.sender, None)

    def forget(self, now_s: float, dead: Set[str]) -> None:
        """Remove those whose time is over or whose process is proven dead."""
        over = [
            element
            for element, until_s in self._until_s.items()
            if now_s >= until_s or self._lives.get(element, "") in dead
        ]
        for element in over:
            del self._until_s[element]


class Reading:
    """One element's side: what it may answer as a copy, and what others may as a new lead sees it.

    Part of the machine; it lives as long.
    """

    def __init__(self, machine: ReplicaSet) -> None:
        self._machine = machine
        self._timeout_s = machine.situation.pace.session_timeout_s
        self._term = 0  # of the leave
        self._until_s = NEVER
        self._asked_s = NEVER
        self._state: SetState | None = None  # newest value in force that was seen
        self._first_s = 0.0  # when a value was seen for the first time
        self._counted_s: dict[int, float] = {}  # element -> when it was last known to be in sync
        self._lead = self._former = 0  # of the term in force, of the one before; 0 unknown
        self._own: tuple[int, Readers] | None = None  # the last term that was led here
        self.handlers = {AskRead: self.asked, MayRead: self.answered}

    # -- the copy ---------------------------------------------------------------------------------
    def until_s(self) -> float:
        """The copy may answer until then, unless an event comes before.

        But nothing that an entry beyond `lead_commit_lsn` changes (data/storage/touched.py).
        """
        machine = self._machine
        s = machine.situation
        if (
            s.shape.tail.lsn < machine.lead_commit_lsn
            or self._until_s == NEVER
            or self._term != machine.term
            or not self._follows()
        ):
            return NEVER
        return min(self._until_s, s.serving_until_s)

    def _follows(self) -> bool:
        """It takes entries of the lead of the newest term known, and counts as in sync."""
        machine = self._machine
        return (
            machine.leadership is None
            and machine.standing is None
            and machine.joined_term == machine.heard_term == machine.term
            and not machine.stopping
            and not machine.fetching
            and machine.in_sync
        )

    def wanted(self, now_s: float) -> list[Action]:
        """Somebody wants to read here: ask the lead, unless it was asked just now."""
        if now_s - self._asked_s < ASK_SHARE * self._timeout_s or not self._follows():
            return []
        self._asked_s = now_s
        machine = self._machine
        s = machine.situation
        us = int(now_s * 1e6)
        ask = AskRead(s.db, s.rs, s.me, machine.heard_term, s.incarnation, us)
        return [Send(machine.heard_lead, ask)]

    def answered(self, message: MayRead, now_s: float) -> None:
        """The lead allows it, or not."""
        machine = self._machine
        if (
            message.commit_lsn == NO
            or message.copy != machine.situation.incarnation
            or message.incarnation != machine.heard_incarnation
            or not message.term == machine.joined_term == machine.heard_term
        ):
            return
        if self._term != message.term:
            self._term, self._until_s = message.term, NEVER
        until_s = message.sent_us / 1e6 + LEAVE_SHARE * self._timeout_s
        self._until_s = max(self._until_s, until_s)
        machine.lead_commit_lsn = max(machine.lead_commit_lsn, message.commit_lsn)

    # -- the lead ---------------------------------------------------------------------------------
    def asked(self, message: AskRead, now_s: float) -> None:
        """A copy asks for leave."""
        machine = self._machine
        s = machine.situation
        lead = machine.leadership
        lsn = s.commit_lsn if lead is not None and lead.lets_read(message, now_s) else NO
        s.out.append(
            Reply(
                MayRead(
                    s.db, s.rs, s.me, message.term, s.incarnation, message.incarnation,
                    message.sent_us, lsn,
                )
            )
        )  # fmt: skip

    # -- the new lead -----------------------------------------------------------------------------
    def saw(self, state: SetState, now_s: float) -> None:
        """This value is, or was a moment ago, in force."""
        before, self._state = self._state, state
        if before is None:
            self._first_s = now_s
            self._lead = state.lead
        elif before != state:
            for element in before.in_sync:
                self._counted_s[element] = now_s
            if state.term != before.term:
                self._former, self._lead = self._lead, state.lead
            elif state.lead:
                self._lead = state.lead

    def of_earlier_leads(self, now_s: float) -> Readers:
        """Who may hold leave when this element has just won the lead, and until when.

        If it led the term before, it knows whom it gave leave. If another did: leave is given to
        elements that are in sync in every value that may be in force; so one that was not, in a
        value that was seen, has had none since. The former lead itself has none.
        """
        term = self._state.term if self._state is not None else 0
        if self._own is not None and self._own[0] == term - 1:
            readers = self._own[1]
        else:
            readers = self._of_another(now_s)
        self._own = (term, readers)
        return readers

    def _of_another(self, now_s: float) -> Readers:
        s = self._machine.situation
        wait_s = WAIT_SHARE * self._timeout_s
        until_s: dict[int, float] = {}
        if self._state is not None and self._state.term > 1:
            for element in {*s.members, *self._counted_s} - {s.me, self._former}:
                end_s = self._counted_s.get(element, self._first_s) + wait_s
                if end_s > now_s:
                    until_s[element] = end_s
        return Readers(until_s, wait_s)


def may_be_let(lead: Leadership, message: AskRead, now_s: float) -> bool:
    """Whether a lead lets this copy answer reads. Its own lease holds, and the copy is counted."""
    s = lead.situation
    agreement = s.agreement
    copy = lead.copies.get(message.sender)
    values = (agreement.state, agreement.attempt, *agreement.unsettled)
    return (
        copy is not None
        and lead.serving
        and not lead.released
        and message.term == lead.term
        and now_s < min(lead.lease_until_s, s.serving_until_s)
        and copy.incarnation == message.incarnation
        and copy.counted
        and not (copy.damaged or copy.expelled or copy.leaving or copy.fetching)
        and all(value is None or message.sender in value.in_sync for value in values)
    )
