"""What both halves of the replica set machine look at: settings, map, membership, log. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from data.replication.actions import Action
from data.replication.agreement import Agreement
from data.replication.log_shape import LogShape
from membership.election import is_cut_off
from membership.port import ClusterView, SetState
from protocol.ids import LogPosition


@dataclass(frozen=True)
class Pace:
    """How long things may take, all from the session timeout T (seconds)."""

    session_timeout_s: float

    @property
    def beacon_s(self) -> float:
        """Between two beacons to a copy."""
        return self.session_timeout_s / 6

    @property
    def silent_s(self) -> float:
        """A copy that said nothing for so long is removed: before the lead's lease (2/3 T) ends."""
        return self.session_timeout_s / 2

    @property
    def retry_s(self) -> float:
        """Until something unanswered is sent again."""
        return self.session_timeout_s / 8

    @property
    def lost_s(self) -> float:
        """A copy whose connection broke and did not come back for so long is removed."""
        return self.session_timeout_s / 8

    @property
    def ask_s(self) -> float:
        """A copy that wants to lead waits so long for the tails of the others."""
        return min(0.25, self.session_timeout_s / 8)

    @property
    def defer_s(self) -> float:
        """A copy leaves the lead to one with a longer log for so long at a time."""
        return self.session_timeout_s / 8

    @property
    def settle_s(self) -> float:
        """A set must have been quiet for so long before its lead moves to the preferred place."""
        return self.session_timeout_s / 2


@dataclass
class Situation:
    """Facts shared by the machine and its leadership; only the machine changes them."""

    db: str
    rs: int
    me: int
    incarnation: str
    pace: Pace
    shape: LogShape
    agreement: Agreement
    damaged: bool  # the element must not count itself in sync
    members: Mapping[int, str] = field(default_factory=dict)  # element -> instance name
    preferred: int = 0
    view: ClusterView = field(default_factory=ClusterView)
    serving_until_s: float = 0.0
    reaches: frozenset[str] | None = None  # data instances that answer, if need be through another
    lost: dict[int, float] = field(default_factory=dict)  # element -> since when not connected
    vain: dict[int, str] = field(default_factory=dict)  # yielded to, but it did not take the lead
    commit_lsn: int = 0
    move_pause_s: float = 0.0  # grows when the preferred lead does not take what it is offered
    out: list[Action] = field(default_factory=list)

    def alive(self, element: int) -> str:
        """Incarnation of the running process that should hold this element; "" none."""
        info = self.view.instances.get(self.members.get(element, ""))
        if info is None or info.incarnation in self.view.dead:
            return ""
        return str(info.incarnation)

    def is_lost(self, element: int, now_s: float) -> bool:
        """Its process does not hold its connection, and no new one came: it ended or is cut off."""
        lost_s = self.lost.get(element)
        return lost_s is not None and now_s - lost_s >= self.pace.lost_s

    def may_count(self, element: int, state: SetState, now_s: float) -> bool:
        """Whether a new lead keeps an element in sync: it runs, answers, and did not give up."""
        alive = self.alive(element)
        gave_up = state.lead == 0 and alive == state.writer
        return bool(alive) and not gave_up and not self.is_lost(element, now_s)

    def cut_off(self, besides: Collection[int] = ()) -> bool:
        """Fewer than half of the other data instances are in reach, `besides` not counted."""
        if self.reaches is None:
            return False
        apart = {self.members.get(element, "") for element in (self.me, *besides)}
        return is_cut_off(self.view, self.reaches, apart)

    @property
    def tail(self) -> LogPosition:
        """Of the log as committed on this element."""
        return self.shape.tail
