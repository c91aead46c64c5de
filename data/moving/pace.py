"""How long a mover rests between groups: by what clients lose while it moves. Pure.

Clients get `work` done, counted at the source's lead: entries in its log, and statements of its
own sessions. Its rate while a group moves, compared with the rate while the mover rests, says what
moving takes from them, whatever it is that they share: the loop, the cores, the disk, locks. The
rest is made as long as it takes for them to keep GOAL of the rate they have while it rests. Nobody
there, or nobody hurt: the rests are short, but never nothing, so that whoever comes is noticed. A
source that gives all its buckets away sees fewer and fewer clients; it goes by what the whole
database would do if all buckets had so many.
A rest is at most REST_MAX groups long, so a move ends under any load.
"""

from __future__ import annotations

GOAL = 0.84  # of the rate at rest, which the last group's echo keeps a little below that of before
REST_MIN = 0.25  # of the time that a group took
REST_MAX = 4.0
REST_UNKNOWN = 2.0  # until something has been measured
IDLE_PER_S = 100.0  # a rate of the whole database that no mover takes anything from
OWN_ENTRIES = 2  # in the log of the source's lead for each group
KEEP = 0.85  # what counts of the past with each group: some ten groups are remembered
GAP_S = 2.0  # a longer rest was not one of ours


class _Rate:
    """Work per second, lately."""

    def __init__(self) -> None:
        self._work = self._seconds = 0.0

    def add(self, work: float, seconds: float) -> None:
        """One more interval."""
        self._work = KEEP * self._work + work
        self._seconds = KEEP * self._seconds + seconds

    @property
    def per_s(self) -> float:
        """-1.0: nothing is known."""
        return max(0.0, self._work) / self._seconds if self._seconds else -1.0


class Pace:
    """Of one mover: told when a group begins and ends, it says when the next one may begin."""

    def __init__(self) -> None:
        self._moving, self._resting = _Rate(), _Rate()
        self._mark: tuple[float, int] | None = None  # the begin of the group or of the rest
        self._ended_s = self._took_s = 0.0
        self._rows = 0
        self._owned = 1.0

    def begins(self, now_s: float, work: int, owned: float) -> None:
        """A group: the rest is over. `owned`: share of all buckets that the source still has."""
        self._owned = owned
        if self._ended_s and self._mark is not None and now_s - self._ended_s < GAP_S:
            self._resting.add(work - self._mark[1], now_s - self._mark[0])
        self._mark, self._ended_s = (now_s, work), 0.0

    def ended(self, now_s: float, work: int, rows: int) -> None:
        """The group has moved. One that could not is followed by `begins` at once."""
        assert self._mark is not None
        began_s, before = self._mark
        self._moving.add(work - before - OWN_ENTRIES, now_s - began_s)
        self._mark, self._ended_s = (now_s, work), now_s
        self._took_s, self._rows = now_s - began_s, rows

    def next_s(self, rows_per_s: int) -> float:
        """When the next group may begin; `rows_per_s` > 0: no more rows than that a second."""
        if not self._ended_s:
            return 0.0
        rest_s = self.rest_share() * self._took_s
        if rows_per_s:
            rest_s = max(rest_s, self._rows / rows_per_s - self._took_s)
        return self._ended_s + rest_s

    def rest_share(self) -> float:
        """How long a rest is, in groups."""
        moving, resting = self._moving.per_s, self._resting.per_s
        if moving < 0 or resting < 0:
            return REST_UNKNOWN
        if resting < IDLE_PER_S * self._owned or not resting:
            return REST_MIN
        kept = moving / resting
        return min(REST_MAX, max(REST_MIN, (GOAL - kept) / (1 - GOAL)))
