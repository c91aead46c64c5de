"""Aggregates over all the values of a group: regression, arrays, JSON, KEEP, bits. Pure.

The classes do the work, one object per group; AGGREGATE_CALLS says how each is called. Their
partial results cannot be merged: such queries bring the rows to the coordinator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from data.sql.array_functions import ArrayAgg
from data.sql.ir import ConstExpr, Expr, OrderItem
from data.sql.json_functions import JsonArrayAgg, JsonObjectAgg, as_json
from data.sql.numbers import EXACT, WIDE, canonical, to_decimal
from data.sql.operators import (
    is_number,
    settle,
    to_dec,
    to_number,
    to_text,
)
from protocol.errors import UnknownFunctionError
from protocol.sqltypes import BIGINT, INTEGER, NUMBER, VARCHAR, Kind, SqlType, array_of

if TYPE_CHECKING:
    from data.sql.aggregates import Aggregate

_ZERO = Decimal(0)


# -- the work -------------------------------------------------------------------------------------
class Pairs:
    """CORR, COVAR_… and REGR_… of pairs (y, x) without NULLs, from exact sums."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.count = 0
        self.x = self.y = self.xx = self.yy = self.xy = _ZERO

    def step(self, y: Any, x: Any) -> None:
        self._add(y, x, 1)

    def inverse(self, y: Any, x: Any) -> None:
        self._add(y, x, -1)

    def _add(self, y: Any, x: Any, sign: int) -> None:
        if y is None or x is None:
            return
        a, b = to_decimal(x), to_decimal(y)
        times = Decimal(sign)
        self.count += sign
        self.x = WIDE.add(self.x, a * times)
        self.y = WIDE.add(self.y, b * times)
        self.xx = WIDE.add(self.xx, WIDE.multiply(a, a) * times)
        self.yy = WIDE.add(self.yy, WIDE.multiply(b, b) * times)
        self.xy = WIDE.add(self.xy, WIDE.multiply(a, b) * times)

    def value(self) -> str | None:
        count = Decimal(self.count)
        if self.mode == "regr_count":
            return str(self.count)
        if not self.count:
            return None

        def spread(total: Decimal, one: Decimal, two: Decimal) -> Decimal:
            return WIDE.subtract(total, WIDE.divide(WIDE.multiply(one, two), count))

        sxx = spread(self.xx, self.x, self.x)
        syy = spread(self.yy, self.y, self.y)
        sxy = spread(self.xy, self.x, self.y)
        found = self._result(count, sxx, syy, sxy)
        return None if found is None else canonical(found)

    def _result(self, n: Decimal, sxx: Decimal, syy: Decimal, sxy: Decimal) -> Decimal | None:
        mode = self.mode
        simple: dict[str, Callable[[], Decimal | None]] = {
            "covar_pop": lambda: EXACT.divide(sxy, n),
            "covar_samp": lambda: EXACT.divide(sxy, n - 1) if n > 1 else None,
            "regr_sxx": lambda: sxx,
            "regr_syy": lambda: syy,
            "regr_sxy": lambda: sxy,
            "regr_avgx": lambda: EXACT.divide(self.x, n),
            "regr_avgy": lambda: EXACT.divide(self.y, n),
        }
        if mode in simple:
            return simple[mode]()
        if mode == "corr":
            product = WIDE.multiply(sxx, syy)
            return EXACT.divide(sxy, EXACT.sqrt(product)) if product > 0 else None
        if not sxx:
            return None
        if mode == "regr_r2":
            if not syy:
                return Decimal(1)
            return EXACT.divide(WIDE.multiply(sxy, sxy), WIDE.multiply(sxx, syy))
        slope = EXACT.divide(sxy, sxx)
        if mode == "regr_slope":
            return slope
        return EXACT.divide(EXACT.subtract(self.y, EXACT.multiply(slope, self.x)), n)

    final = value


class Keep:
    """agg KEEP (DENSE_RANK FIRST …): of the rows that tie with the first; rows come in order."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.keys: tuple[Any, ...] | None = None
        self.seen: list[Any] = []

    def step(self, value: Any, *keys: Any) -> None:
        if self.keys is None:
            self.keys = keys
        if keys == self.keys and value is not None:
            self.seen.append(value)

    def final(self) -> Any:
        mode, seen = self.mode, self.seen
        if mode == "count":
            return len(seen)
        if not seen:
            return None
        if mode in ("min", "max"):
            return min(seen) if mode == "min" else max(seen)
        values = [to_decimal(v) for v in seen]
        if mode == "min_number":
            return canonical(min(values))
        if mode == "max_number":
            return canonical(max(values))
        total = _ZERO
        for number in values:
            total = WIDE.add(total, number)
        return canonical(total if mode == "sum" else EXACT.divide(total, Decimal(len(values))))


class Mode:
    """STATS_MODE, MODE (): the value that is there most often, the smallest of several."""

    def __init__(self) -> None:
        self.seen: Counter[Any] = Counter()

    def step(self, value: Any) -> None:
        if value is not None:
            self.seen[value] += 1

    def final(self) -> Any:
        if not self.seen:
            return None
        most = max(self.seen.values())
        return min(v for v, count in self.seen.items() if count == most)


class Bits:
    """BIT_AND_AGG, BIT_OR_AGG, BIT_XOR_AGG."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.result: int | None = None

    def step(self, value: Any) -> None:
        if value is None:
            return
        number = int(to_decimal(value))
        if self.result is None:
            self.result = number
        elif self.mode == "and":
            self.result &= number
        elif self.mode == "or":
            self.result |= number
        else:
            self.result ^= number

    def final(self) -> int | None:
        return self.result


PAIRS = (
    "corr", "covar_pop", "covar_samp", "regr_slope", "regr_intercept", "regr_count", "regr_r2",
    "regr_avgx", "regr_avgy", "regr_sxx", "regr_syy", "regr_sxy",
)  # fmt: skip
_KEEPS = ("min", "max", "min_number", "max_number", "sum", "avg", "count")
WINDOWS: dict[str, tuple[Callable[[], Any], int]] = {
    "tg_array_agg": (ArrayAgg, 1),
    **{f"tg_{mode}": (partial(Pairs, mode), 2) for mode in PAIRS},
}
GROUPS: dict[str, tuple[Callable[[], Any], int]] = {
    "tg_json_agg": (JsonArrayAgg, 1),
    "tg_json_object_agg": (JsonObjectAgg, 2),
    "tg_mode": (Mode, 1),
    **{f"tg_bit_{mode}": (partial(Bits, mode), 1) for mode in ("and", "or", "xor")},
    **{f"tg_keep_{mode}": (partial(Keep, mode), -1) for mode in _KEEPS},
}


def register_aggregates(connection: Any) -> None:
    """Put them on an apsw connection."""
    for name, (factory, arguments) in WINDOWS.items():
        connection.create_window_function(name, factory, arguments)
    for name, (factory, arguments) in GROUPS.items():
        connection.create_aggregate_function(name, factory, arguments)


# -- the calls ------------------------------------------------------------------------------------
def _needs(aggregate: Aggregate, count: int, name: str) -> list[Expr]:
    if len(aggregate.args) != count or aggregate.star:
        raise UnknownFunctionError(f"{name.lower()} takes {count} arguments")
    return aggregate.args


def _pairs(name: str, aggregate: Aggregate) -> Expr:
    y, x = (to_dec(to_number(settle(a, NUMBER))) for a in _needs(aggregate, 2, name))
    return aggregate.primitive(f"tg_{name.lower()}", (y, x), NUMBER)


def _array_agg(name: str, aggregate: Aggregate) -> Expr:
    value = settle(_needs(aggregate, 1, name)[0], VARCHAR)
    return aggregate.primitive("tg_array_agg", (value,), array_of(value.type), ordered=True)


def _json_agg(name: str, aggregate: Aggregate) -> Expr:
    value = as_json(_needs(aggregate, 1, name)[0])
    return aggregate.primitive("tg_json_agg", (value,), SqlType(Kind.JSON), ordered=True)


def _json_object_agg(name: str, aggregate: Aggregate) -> Expr:
    key, value = _needs(aggregate, 2, name)
    pair = (to_text(key), as_json(value))
    return aggregate.primitive("tg_json_object_agg", pair, SqlType(Kind.JSON), ordered=True)


def _mode(name: str, aggregate: Aggregate) -> Expr:
    """STATS_MODE(value); MODE () WITHIN GROUP (ORDER BY value)."""
    given = [*aggregate.args, *(item.expr for item in aggregate.order)]
    if len(given) != 1:
        raise UnknownFunctionError(f"{name.lower()} takes one value")
    value = settle(given[0], VARCHAR)
    return aggregate.primitive("tg_mode", (value,), value.type)


def _bits(name: str, aggregate: Aggregate) -> Expr:
    which = name.removesuffix("_AGG").lower()
    value = to_dec(to_number(settle(_needs(aggregate, 1, name)[0], NUMBER)))
    return aggregate.primitive(f"tg_{which}", (value,), BIGINT)


def _count_distinct(name: str, aggregate: Aggregate) -> Expr:
    aggregate.distinct = True
    return aggregate.build("COUNT")


def keep(name: str, aggregate: Aggregate, *, first: bool) -> Expr:
    """name(value) KEEP (DENSE_RANK FIRST | LAST ORDER BY …). Raises UnknownFunctionError."""
    mode = name.lower()
    if mode not in ("min", "max", "sum", "avg", "count"):
        raise UnknownFunctionError(f"{mode} KEEP is not known: min, max, sum, avg, count are")
    if not first:
        aggregate.order = tuple(
            OrderItem(o.expr, not o.descending, not o.nulls_first) for o in aggregate.order
        )
    keys = tuple(o.expr for o in aggregate.order)
    if not aggregate.args or aggregate.star:
        value: Expr = ConstExpr(1, INTEGER)
    else:
        value = settle(aggregate.args[0], VARCHAR)
    type_ = value.type
    if mode == "count":
        type_ = BIGINT
    elif mode in ("sum", "avg") or (is_number(value) and not type_.is_scaled):
        value, type_ = to_dec(to_number(value)), NUMBER
        mode = mode if mode in ("sum", "avg") else f"{mode}_number"
    return aggregate.primitive(f"tg_keep_{mode}", (value, *keys), type_, ordered=True)


AGGREGATE_CALLS: dict[str, Callable[[str, Aggregate], Expr]] = {
    **{name.upper(): _pairs for name in PAIRS},
    "ARRAY_AGG": _array_agg,
    "JSON_AGG": _json_agg,
    "JSONB_AGG": _json_agg,
    "JSON_ARRAYAGG": _json_agg,
    "JSON_OBJECT_AGG": _json_object_agg,
    "JSONB_OBJECT_AGG": _json_object_agg,
    "JSON_OBJECTAGG": _json_object_agg,
    "STATS_MODE": _mode,
    "MODE": _mode,
    "BIT_AND": _bits,
    "BIT_OR": _bits,
    "BIT_XOR": _bits,
    "BIT_AND_AGG": _bits,
    "BIT_OR_AGG": _bits,
    "BIT_XOR_AGG": _bits,
    "APPROX_COUNT_DISTINCT": _count_distinct,
}
