"""Figures of instances → what a database does: rates, percentiles, statements. Pure.

Instances count since they loaded a database; what happened between two looks is the difference,
instance by instance: one that was restarted meanwhile begins at zero again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mgmt.api.schema_activity import (
    UNKNOWN,
    ActivityPoint,
    ErrorActivity,
    KindActivity,
    Percentiles,
    StatementRow,
)
from protocol.messages.metrics import DatabaseFigures, StatementFigures, Times
from protocol.metrics import quantile_s

GAP_S = 10.0  # looks that are further apart say nothing about now
RATE_S = 5.0
TIMES_S = 15.0
POINTS_MAX = 120


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in one span of time."""

    at_us: int
    span_s: float
    kinds: dict[str, tuple[int, ...]]
    commits: tuple[int, ...]
    errors: dict[tuple[str, str], int]
    numbers: dict[str, float]


def plus(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The sum of two packed histograms."""
    if len(a) < len(b):
        a, b = b, a
    return tuple(x + (b[i] if i < len(b) else 0) for i, x in enumerate(a))


def minus(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """The later histogram without the earlier one."""
    return tuple(x - (b[i] if i < len(b) else 0) for i, x in enumerate(a))


def between(
    before: Mapping[str, DatabaseFigures],
    after: Mapping[str, DatabaseFigures],
    at_us: int,
    span_s: float,
) -> Delta:
    """What the instances (by name) did between two looks."""
    kinds: dict[str, tuple[int, ...]] = {}
    commits: tuple[int, ...] = ()
    errors: dict[tuple[str, str], int] = {}
    numbers: dict[str, float] = {}
    for name, now in after.items():
        was = before.get(name)
        if was is None:
            continue  # it answers again: what it did meanwhile is not of this span
        if was.began_us != now.began_us:
            was = None
        for kind, times in now.statements.items():
            old = was.statements.get(kind) if was is not None else None
            new = minus(times.slots, old.slots if old is not None else ())
            kinds[kind] = plus(kinds.get(kind, ()), new)
        commits = plus(commits, minus(now.commits.slots, was.commits.slots if was else ()))
        known = {(c, s): n for c, s, n in was.errors} if was is not None else {}
        for code, sqlstate, n in now.errors:
            key = (code, sqlstate)
            errors[key] = errors.get(key, 0) + n - known.get(key, 0)
        for key_, value in now.numbers.items():
            if key_.endswith("_total"):
                old_value = was.numbers.get(key_, 0.0) if was is not None else 0.0
                numbers[key_] = numbers.get(key_, 0.0) + value - old_value
    return Delta(
        at_us=at_us, span_s=span_s, kinds=kinds, commits=commits, errors=errors, numbers=numbers
    )


def percentiles(slots: Sequence[int], span_s: float, rate_slots: int, total: int) -> Percentiles:
    """`slots`: of the times' window; `rate_slots`: how many in `span_s`."""

    per_s = rate_slots / span_s if span_s else UNKNOWN
    if not any(slots):
        return Percentiles(per_s=per_s, total=total)
    p50, p95, p99 = (quantile_s(slots, share) for share in (0.5, 0.95, 0.99))
    return Percentiles(per_s=per_s, p50_s=p50, p95_s=p95, p99_s=p99, total=total)


class Window:
    """The newest deltas of one database."""

    def __init__(self, deltas: Sequence[Delta], totals: Mapping[str, DatabaseFigures]) -> None:
        self._deltas = deltas
        self._totals = totals
        self._recent = _last(deltas, RATE_S)
        self._timed = _last(deltas, TIMES_S)
        self._span_s = sum(d.span_s for d in self._recent)

    def statements(self) -> Percentiles:
        """All kinds together."""
        total = sum(sum(t.slots) for f in self._totals.values() for t in f.statements.values())
        return percentiles(
            _sum([s for d in self._timed for s in d.kinds.values()]),
            self._span_s,
            sum(sum(s) for d in self._recent for s in d.kinds.values()),
            total,
        )

    def commits(self) -> Percentiles:
        """Of transactions, and of writes that commit by themselves."""
        return percentiles(
            _sum([d.commits for d in self._timed]),
            self._span_s,
            sum(sum(d.commits) for d in self._recent),
            sum(sum(f.commits.slots) for f in self._totals.values()),
        )

    def kinds(self) -> tuple[KindActivity, ...]:
        """Each kind that ever ran."""
        totals: dict[str, int] = {}
        for figures in self._totals.values():
            for kind, times in figures.statements.items():
                totals[kind] = totals.get(kind, 0) + sum(times.slots)
        return tuple(
            KindActivity(
                kind=kind,
                times=percentiles(
                    _sum([d.kinds.get(kind, ()) for d in self._timed]),
                    self._span_s,
                    sum(sum(d.kinds.get(kind, ())) for d in self._recent),
                    total,
                ),
            )
            for kind, total in sorted(totals.items())
            if total
        )

    def errors(self) -> tuple[ErrorActivity, ...]:
        """The most frequent ones first."""
        totals: dict[tuple[str, str], int] = {}
        for figures in self._totals.values():
            for code, sqlstate, n in figures.errors:
                totals[code, sqlstate] = totals.get((code, sqlstate), 0) + n
        found = [
            ErrorActivity(
                code=code,
                sqlstate=sqlstate,
                per_s=self._rate(sum(d.errors.get((code, sqlstate), 0) for d in self._recent)),
                total=total,
            )
            for (code, sqlstate), total in totals.items()
        ]
        return tuple(sorted(found, key=lambda e: (-e.per_s, -e.total, e.code)))

    def numbers(self) -> dict[str, float]:
        """Sums over the instances."""
        made: dict[str, float] = {}
        for figures in self._totals.values():
            for name, value in figures.numbers.items():
                most = name.endswith("_seconds")
                made[name] = max(made.get(name, 0.0), value) if most else made.get(name, 0) + value
        return made

    def rates(self) -> dict[str, float]:
        """Of the counters among them."""
        names = {name for d in self._recent for name in d.numbers}
        return {
            name: self._rate(sum(d.numbers.get(name, 0.0) for d in self._recent))
            for name in sorted(names)
        }

    def history(self) -> tuple[ActivityPoint, ...]:
        """Oldest first."""
        return tuple(_point(d) for d in self._deltas[-POINTS_MAX:])

    def _rate(self, count: float) -> float:
        return count / self._span_s if self._span_s else UNKNOWN


def merged(
    caches: Mapping[str, Sequence[StatementFigures]], limit: int
) -> tuple[StatementRow, ...]:
    """The same statement of the same user is one row, whichever instances ran it."""
    groups: dict[tuple[str, str], list[tuple[str, StatementFigures]]] = {}
    for instance, cache in caches.items():
        for one in cache:
            groups.setdefault((one.text, one.user), []).append((instance, one))
    rows = [_row(text, user, members) for (text, user), members in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-row.total_s, row.text)))[:limit]


def _row(text: str, user: str, members: Sequence[tuple[str, StatementFigures]]) -> StatementRow:
    times = _times([one.times for _, one in members])
    count = sum(times.slots)
    spread = percentiles(times.slots, 1.0, 0, count)
    newest = members[-1][1]
    return StatementRow(
        text=text,
        user=user,
        kind=newest.kind,
        plan=newest.plan,
        count=count,
        total_s=times.total_ns / 1e9,
        mean_s=times.total_ns / 1e9 / count if count else 0.0,
        p50_s=spread.p50_s,
        p95_s=spread.p95_s,
        p99_s=spread.p99_s,
        longest_s=max(one.longest_ns for _, one in members) / 1e9,
        rows=sum(one.rows for _, one in members),
        errors=sum(one.errors for _, one in members),
        instances=tuple(sorted({name for name, _ in members})),
    )


def _times(parts: Sequence[Times]) -> Times:
    return Times(_sum([p.slots for p in parts]), sum(p.total_ns for p in parts))


def _sum(parts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    total: tuple[int, ...] = ()
    for part in parts:
        total = plus(total, part)
    return total


def _last(deltas: Sequence[Delta], seconds: float) -> list[Delta]:
    """The newest ones that cover so much time."""
    found: list[Delta] = []
    for delta in reversed(deltas):
        if sum(d.span_s for d in found) >= seconds:
            break
        found.append(delta)
    return found


def _point(delta: Delta) -> ActivityPoint:
    slots = _sum(list(delta.kinds.values()))
    errors = sum(delta.errors.values())
    times = percentiles(slots, delta.span_s, sum(slots), 0)
    return ActivityPoint(
        at_us=delta.at_us,
        statements_per_s=times.per_s,
        commits_per_s=sum(delta.commits) / delta.span_s,
        errors_per_s=errors / delta.span_s,
        p95_s=max(times.p95_s, 0.0),
    )
