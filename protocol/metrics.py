"""Counters and latency histograms: plain integers in slots, so that counting costs next to nothing.

Names, kinds and meanings of what is exported are in protocol/metric_names.py. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

SLOTS: Final = 64
_FIRST_NS: Final = (
    15_625  # TimesTen's first bound of ttSQLExecutionTimeHistogram; slot 12 ends here
)
_FIRST_SLOT: Final = 12
_SQUARE: Final = _FIRST_NS * _FIRST_NS >> _FIRST_SLOT
NEVER_NS: Final = 1 << 62  # longer than any statement

# Slot i holds times from BOUNDS_NS[i - 1] to below BOUNDS_NS[i]; each is √2 of the one before.
BOUNDS_NS: Final[tuple[int, ...]] = tuple(
    round(_FIRST_NS * 2 ** ((slot - _FIRST_SLOT) / 2)) for slot in range(SLOTS - 1)
)
_LAST_NS: Final = BOUNDS_NS[-1]
TIMESTEN_LIMITS_NS: Final = BOUNDS_NS[12:61:6]  # eight times the one before: 15.625 µs to 262 s
TIMESTEN_NO_LIMIT_S: Final = 9.999999999e125


def slot_of(ns: int) -> int:
    """The slot of a time: by the bits of its square, two to an octave."""
    return (ns * ns // _SQUARE).bit_length() if ns < _LAST_NS else SLOTS - 1


class Histogram:
    """How often something took how long."""

    __slots__ = ("slots", "total_ns")

    def __init__(self, slots: Iterable[int] = (), total_ns: int = 0) -> None:
        given = list(slots)
        self.slots = given + [0] * (SLOTS - len(given))
        self.total_ns = total_ns

    def add(self, ns: int) -> None:
        """One more."""
        self.total_ns += ns
        self.slots[slot_of(ns)] += 1

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.slots)

    def quantile_s(self, share: float) -> float:
        """The time that this share of them did not exceed, in seconds; 0.0 if there are none."""
        return quantile_s(self.slots, share)

    def packed(self) -> tuple[int, ...]:
        """The slots without the empty ones at the end, for the wire."""
        last = SLOTS
        while last and not self.slots[last - 1]:
            last -= 1
        return tuple(self.slots[:last])


def quantile_s(slots: Sequence[int], share: float) -> float:
    """As Histogram.quantile_s, of packed slots; straight between the bounds of a slot."""
    wanted = share * sum(slots)
    seen = 0.0
    for slot, count in enumerate(slots):
        if count and seen + count >= wanted:
            low = BOUNDS_NS[slot - 1] if slot else 0
            high = BOUNDS_NS[min(slot, SLOTS - 2)]
            return (low + (high - low) * max(0.0, wanted - seen) / count) / 1e9
        seen += count
    return 0.0


def below(slots: Sequence[int], bound_ns: int) -> int:
    """How many took less than this, which must be a bound of BOUNDS_NS."""
    return sum(slots[: BOUNDS_NS.index(bound_ns) + 1])


def histogram_rows(slots: Sequence[int]) -> list[tuple[float, int]]:
    """As ttSQLExecutionTimeHistogram tells it: limits in seconds, how many were below it and not
    below the one before."""
    rows, before = [], 0
    for limit_ns in TIMESTEN_LIMITS_NS:
        upto = below(slots, limit_ns)
        rows.append((limit_ns / 1e9, upto - before))
        before = upto
    return [*rows, (TIMESTEN_NO_LIMIT_S, sum(slots) - before)]


class StatementStats:
    """What is counted of one statement of the cache, or of one kind of them."""

    __slots__ = (
        *("errors", "kind", "longest_ns", "may_commit", "of_kind", "plan", "rows", "slots"),
        "total_ns",
    )

    def __init__(self, kind: str, plan: str, of_kind: Histogram) -> None:
        self.kind = kind  # of KINDS
        self.plan = plan  # single | co-located | general | ""
        self.of_kind = of_kind
        self.may_commit = kind in WRITES or kind in ("commit", "block")
        self.slots = [0] * SLOTS
        self.total_ns = self.longest_ns = self.rows = self.errors = 0


KINDS: Final = (
    *("select", "insert", "update", "delete", "merge", "block", "copy"),
    *("ddl", "commit", "rollback", "other"),
)
WRITES: Final = frozenset(("insert", "update", "delete", "merge"))
_KIND_OF_TAG: Final = {
    "SELECT": "select",
    "INSERT": "insert",
    "UPDATE": "update",
    "DELETE": "delete",
    "MERGE": "merge",
    "DO": "block",
    "CALL": "block",
    "COMMIT": "commit",
    "ROLLBACK": "rollback",
    "COPY_IN": "copy",
    "COPY_OUT": "copy",
}
_DDL_WORDS: Final = frozenset(("CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "TRUNCATE", "COMMENT"))


def kind_of(tag: str) -> str:
    """Of KINDS, for the tag of a statement."""
    if tag.partition(" ")[0] in _DDL_WORDS:
        return "ddl"
    return _KIND_OF_TAG.get(tag, "other")


class DatabaseMeters:
    """What is counted of one database at this instance, since it was loaded."""

    __slots__ = ("commits", "errors", "implicit", "kinds", "slow", "slow_ns")

    def __init__(self) -> None:
        self.kinds = {kind: Histogram() for kind in KINDS}
        self.commits = Histogram()  # COMMIT; writes and blocks that commit by themselves
        self.errors: dict[tuple[str, str], int] = {}  # code, SQLSTATE
        self.slow = 0  # statements that took QueryThreshold or more
        self.slow_ns = NEVER_NS  # QueryThreshold
        self.implicit = StatementStats("commit", "", self.kinds["commit"])

    def new_statement(self, tag: str, plan: str) -> StatementStats:
        """For a statement that was compiled."""
        kind = kind_of(tag)
        return StatementStats(kind, plan, self.kinds[kind])

    def failed(self, code: str, sqlstate: str) -> None:
        """An error was answered."""
        key = (code, sqlstate)
        self.errors[key] = self.errors.get(key, 0) + 1
