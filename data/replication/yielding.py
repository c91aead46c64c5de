"""A lead that gives way because another copy is better connected. Pure. Decision 0030.

Two cases. A lead that membership does not answer, but its copies do, hands over to a copy that has
membership. A lead whose copies are silent, and which reaches fewer than half of the instances, is
cut off itself: it ends its term by writing "nobody leads" to ZooKeeper, which releases its lease
in words to copies that it cannot reach.
"""

from __future__ import annotations

from data.replication.actions import CompareAndSet, Send
from data.replication.leadership import Leadership
from data.replication.situation import Situation
from membership.port import SetState
from protocol.messages.replication import AskTail, TailIs


class Yielding:
    """What one element remembers of giving way, its own and others'."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._offered_s = float("-inf")
        self._free_term = 0  # its lead gave up ...
        self._free_since_s = 0.0  # ... as seen here at
        self._rests_until_s = float("-inf")
        self._successor = 0  # who was offered the lead; 0: nobody by name
        self._term = 0  # the newest in ZooKeeper

    def offer(self, lead: Leadership, now_s: float) -> None:
        """Without membership (rule 3) a lead serves nothing: have its copies got it?"""
        s = self._situation
        state = s.agreement.state
        if not lead.serving or now_s < s.serving_until_s or state is None:
            return
        if now_s - self._offered_s < s.pace.retry_s:
            return
        self._offered_s = now_s
        for element in state.in_sync:
            if element != s.me:
                s.out.append(Send(element, AskTail(s.db, s.rs, s.me, lead.term)))

    def answered(self, lead: Leadership, message: TailIs, now_s: float) -> None:
        """A copy says whether it may lead: then it should, unless membership is back."""
        asked = message.asked_term == lead.term
        if asked and message.eligible and now_s >= self._situation.serving_until_s:
            lead.hand_over(message.sender, now_s)

    def give_up(self) -> None:
        """The term has ended: say so in ZooKeeper. Every in-sync copy may lead from then on.

        All of them stay in sync, this one too: if no other one takes the lead, it must.
        """
        s = self._situation
        state = s.agreement.state
        assert state is not None
        assert not s.agreement.busy
        s.vain = {e: s.alive(e) for e in state.in_sync if e != s.me}
        new = s.agreement.next_value(state.term, state.in_sync, lead=0)
        s.agreement.attempted(new)
        s.out.append(CompareAndSet(state, new))

    def rest(self, until_s: float, successor: int = 0) -> None:
        """Leave the lead to others for a while: to this element, if one is named."""
        self._rests_until_s, self._successor = until_s, successor

    def saw(self, state: SetState) -> None:
        """Somebody took the lead: what comes now is another loss, and nobody else's turn."""
        if state.term > self._term:
            self._term = state.term
            self._rests_until_s = float("-inf")

    def rests(self, state: SetState, now_s: float) -> bool:
        """Whether the one that the lead was left to may still take it."""
        if now_s >= self._rests_until_s:
            return False
        dead = bool(self._successor) and not self._situation.alive(self._successor)
        return not (dead and state.lead == self._situation.me)

    def is_my_turn(self, state: SetState, now_s: float) -> bool:
        """A lead gave up because it was cut off: who is cut off too leaves it to others first."""
        s = self._situation
        if self._free_term != state.term:
            self._free_term, self._free_since_s = state.term, now_s
        return not s.cut_off() or now_s - self._free_since_s >= s.pace.settle_s
