"""What ZooKeeper holds about this replica set, as far as this member can know. Pure.

A compare-and-set whose answer never came may or may not have happened, or may happen later. Until
that is settled every value that may be in force counts: the lead waits for the copies of all.
A newer value in force settles all older attempts, because they expected an older one.
"""

from __future__ import annotations

from membership.port import SetState


def _age(state: SetState) -> tuple[int, int]:
    """Order of the values of one replica set: all values of a term have the same writer."""
    return (state.term, state.counter)


class Agreement:
    """The newest known value, the attempt under way, and the attempts of unknown fate."""

    def __init__(self, me: int, incarnation: str, counter: int) -> None:
        """counter: larger than in any earlier life of this element in the same process."""
        self.state: SetState | None = None
        self.attempt: SetState | None = None  # sent, not answered
        self.unsettled: list[SetState] = []  # answered "unknown", still possible
        self._expected: SetState | None = None  # by the attempt
        self.must_read = False
        self.reading = False
        self.changes = 0  # counts changes of what is below and above
        self.needed: frozenset[int] = frozenset()  # other elements whose acknowledgement counts
        self._me = me
        self._incarnation = incarnation
        self._counter = counter

    def next_value(self, term: int, in_sync: tuple[int, ...], lead: int | None = None) -> SetState:
        """A value with this member as writer, and as lead. lead=0: it leads no more."""
        self._counter += 1
        me = self._incarnation
        lead = self._me if lead is None else lead
        return SetState(term, lead, me, tuple(sorted(in_sync)), me, self._counter)

    def attempted(self, new: SetState) -> None:
        """A compare-and-set from the present state (or a creation) to `new` is sent."""
        assert self.attempt is None
        self.attempt, self._expected = new, self.state
        self._count()

    def read(self) -> None:
        """A read is sent."""
        self.must_read = False
        self.reading = True

    def unanswered(self, attempt: SetState | None) -> None:
        """The fate of an attempt, or (None) what a read would have told, is unknown."""
        if attempt is None:
            self.reading = False
            self.must_read = True
        elif attempt == self.attempt:
            if self._expected == self.state:
                self.unsettled.append(attempt)
            self.attempt = None
            self.must_read = True
        self._count()

    def answered(self, attempt: SetState | None, in_force: SetState | None) -> None:
        """An attempt, or (None) a read, was answered with the value then in force.

        The answer of an attempt that a newer view has settled already may come when the next one
        is on its way.
        """
        if attempt is None:
            self.must_read = self.reading = False
        elif attempt == self.attempt:
            self.attempt = None
        if in_force is not None:
            self.observed(in_force)
        self._count()

    def observed(self, in_force: SetState) -> bool:
        """A value was seen in force at some moment. True: it is newer than what was known."""
        if self.state is not None and _age(in_force) <= _age(self.state):
            return False
        self.state = in_force
        self.unsettled.clear()
        if self.attempt is not None and self.attempt == in_force:
            self.attempt = None
        self._count()
        return True

    def forgotten(self) -> None:
        """The replica set is gone (its database was deleted)."""
        self.state = self.attempt = None
        self.unsettled.clear()
        self.must_read = self.reading = False
        self._count()

    @property
    def busy(self) -> bool:
        """Something is on its way or must be read first."""
        return self.attempt is not None or self.must_read or self.reading

    @property
    def alone(self) -> bool:
        """This element may be the only one in sync."""
        values = (self.state, self.attempt, *self.unsettled)
        return any(v is not None and v.in_sync == (self._me,) for v in values)

    def _count(self) -> None:
        values = [v for v in (self.state, self.attempt, *self.unsettled) if v is not None]
        self.changes += 1
        self.needed = frozenset(e for v in values for e in v.in_sync) - {self._me}
