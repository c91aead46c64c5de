"""Aggregates and window functions that SQLite lacks: NULLs ignored, DISTINCT, percentiles.

SQLite calls step for a row that enters the frame, inverse for one that leaves it at its start,
value for the result, final at the end. Rows come in the order of the call's ORDER BY.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from data.sql.numbers import EXACT, canonical, to_decimal
from protocol.errors import NthValueArgumentError, NtileArgumentError, OutOfRangeError


class Nth:
    """FIRST_VALUE, LAST_VALUE, NTH_VALUE, LAG and LEAD over the frame's values.

    `from_last`: counted from the end; `skips`: NULLs do not count. Arguments: value, place from 1.
    """

    def __init__(self, *, from_last: bool, skips: bool) -> None:
        self._from_last = from_last
        self._skips = skips
        self._seen: deque[Any] = deque()
        self._place = 1

    def step(self, value: Any, place: Any) -> None:
        if place is not None:
            self._place = int(place)
        if value is not None or not self._skips:
            self._seen.append(value)

    def inverse(self, value: Any, place: Any) -> None:
        if value is not None or not self._skips:
            self._seen.popleft()

    def value(self) -> Any:
        place = self._place
        if place < 1:
            raise OutOfRangeError("LAG and LEAD that ignore NULLs count rows from 1")
        if place > len(self._seen):
            return None
        return self._seen[-place if self._from_last else place - 1]

    final = value


class CountDistinct:
    """COUNT (DISTINCT value) OVER (…)."""

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}

    def step(self, value: Any) -> None:
        if value is not None:
            self._seen[value] = self._seen.get(value, 0) + 1

    def inverse(self, value: Any) -> None:
        if value is None:
            return
        left = self._seen[value] - 1
        if left:
            self._seen[value] = left
        else:
            del self._seen[value]

    def value(self) -> int:
        return len(self._seen)

    final = value


class DistinctList:
    """LISTAGG (DISTINCT value, separator): each value once, where it comes first."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._separator = ""

    def step(self, value: Any, separator: Any) -> None:
        if value is not None:
            self._separator = separator or ""
            self._seen[value] = self._seen.get(value, 0) + 1

    def inverse(self, value: Any, separator: Any) -> None:
        if value is None:
            return
        left = self._seen[value] - 1
        if left:
            self._seen[value] = left
        else:
            del self._seen[value]

    def value(self) -> str | None:
        return self._separator.join(self._seen) if self._seen else None

    final = value


class Percentile:
    """PERCENTILE_CONT of NUMBERs (between two rows), PERCENTILE_DISC of anything (of one row)."""

    def __init__(self, *, continuous: bool) -> None:
        self._continuous = continuous
        self._seen: deque[Any] = deque()
        self._share = Decimal(0)

    def step(self, value: Any, share: Any) -> None:
        if share is not None:
            self._share = to_decimal(share)
        if value is not None:
            self._seen.append(value)

    def inverse(self, value: Any, share: Any) -> None:
        if value is not None:
            self._seen.popleft()

    def value(self) -> Any:
        if not 0 <= self._share <= 1:
            raise OutOfRangeError("a percentile is asked for as a number between 0 and 1")
        if not self._seen:
            return None
        if not self._continuous:
            wanted = self._share * len(self._seen)
            return self._seen[max(int(wanted.to_integral_value("ROUND_CEILING")) - 1, 0)]
        place = self._share * (len(self._seen) - 1)
        low = int(place)
        below = to_decimal(self._seen[low])
        if place == low:
            return canonical(below)
        above = to_decimal(self._seen[low + 1])
        step = EXACT.multiply(EXACT.subtract(above, below), place - low)
        return canonical(EXACT.add(below, step))

    final = value


def ntile_count(count: int | None) -> int:
    """The argument of NTILE. Raises NtileArgumentError."""
    if count is None or count < 1:
        raise NtileArgumentError("NTILE makes a number of groups from 1")
    return count


def nth_place(place: int | None) -> int:
    """Where NTH_VALUE looks. Raises NthValueArgumentError."""
    if place is None or place < 1:
        raise NthValueArgumentError("NTH_VALUE counts rows from 1")
    return place


def register(connection: Any) -> None:
    """Put them on an apsw connection."""
    connection.create_scalar_function("tg_ntile_count", ntile_count, 1, deterministic=True)
    connection.create_scalar_function("tg_nth_place", nth_place, 1, deterministic=True)
    for last in (False, True):
        for skips in (False, True):
            name = f"tg_nth{'_last' if last else ''}{'_value' if skips else ''}"
            connection.create_window_function(
                name, lambda last=last, skips=skips: Nth(from_last=last, skips=skips), 2
            )
    connection.create_window_function("tg_count_distinct", CountDistinct, 1)
    connection.create_window_function("tg_listagg", DistinctList, 2)
    connection.create_window_function("tg_percentile", lambda: Percentile(continuous=True), 2)
    connection.create_window_function("tg_percentile_disc", lambda: Percentile(continuous=False), 2)
