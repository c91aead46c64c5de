"""Aggregate functions as exact SQLite aggregates whose partial results can be merged. Pure.

SUM of ints is kept exact at any size by summing the upper parts and the lower 32 bits apart; so the
partial results that elements send are plain integers, and the coordinator adds them up again.
"""

from __future__ import annotations

from data.sql.aggregate_families import AGGREGATE_CALLS
from data.sql.convert import int_digits, int_scale, moment_unit
from data.sql.integer_sums import as_integer
from data.sql.ir import Agg, Call, ConstExpr, Expr, OrderItem
from data.sql.operators import call, is_moment, settle, to_dec, to_float, to_number, to_text
from data.sql.single import NAN
from protocol.errors import (
    NotSupportedError,
    SqlSyntaxError,
    TypeMismatchError,
    UnknownFunctionError,
)
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    FLOAT_KINDS,
    INTEGER_KINDS,
    NUMBER,
    VARCHAR,
    Kind,
    SqlType,
)

SUM_DIGITS_SAFE = 10  # SUM of so many digits cannot pass 64 bits before 9 * 10**8 rows
AGGREGATES = frozenset(
    [
        "COUNT",
        "SUM",
        "AVG",
        "MIN",
        "MAX",
        "LISTAGG",
        "STRING_AGG",
        "GROUP_CONCAT",
        "WM_CONCAT",
        "MEDIAN",
        "VARIANCE",
        "VAR_SAMP",
        "VAR_POP",
        "STDDEV",
        "STDDEV_SAMP",
        "STDDEV_POP",
        "EVERY",
        "BOOL_AND",
        "BOOL_OR",
        "ANY_VALUE",
        *AGGREGATE_CALLS,
    ]
)
WINDOW_ONLY = frozenset(
    [
        "ROW_NUMBER",
        "RANK",
        "DENSE_RANK",
        "PERCENT_RANK",
        "CUME_DIST",
        "NTILE",
        "LAG",
        "LEAD",
        "FIRST_VALUE",
        "LAST_VALUE",
        "NTH_VALUE",
        "NTH_VALUE_LAST",
        "RATIO_TO_REPORT",
    ]
)
ORDERED_SETS = frozenset({"PERCENTILE_CONT", "PERCENTILE_DISC"})
_SPREADS = frozenset({"VARIANCE", "VAR_SAMP", "VAR_POP", "STDDEV", "STDDEV_SAMP", "STDDEV_POP"})


class Aggregate:
    """One call: how its primitives are modified (DISTINCT, FILTER, ORDER BY)."""

    def __init__(
        self,
        args: list[Expr],
        *,
        distinct: bool = False,
        filter_: Expr | None = None,
        order: tuple[OrderItem, ...] = (),
        star: bool = False,
    ) -> None:
        self.args = args
        self.distinct = distinct
        self.filter = filter_
        self.order = order
        self.star = star

    def primitive(
        self,
        name: str,
        args: tuple[Expr, ...],
        type_: SqlType,
        merge: str = "",
        *,
        ordered: bool = False,
    ) -> Agg:
        """An aggregate SQLite has, or one of ours."""
        return Agg(
            name,
            args,
            type_,
            merge=merge,
            distinct=self.distinct and name not in ("min", "max"),
            filter_=self.filter,
            order=self.order if ordered else (),
        )

    def build(self, name: str) -> Expr:
        """The expression over primitives. Raises UnknownFunctionError, TypeMismatchError."""
        if name in ORDERED_SETS:
            return self._percentile(name)
        if name == "COUNT":
            return self._count()
        family = AGGREGATE_CALLS.get(name)
        if family is not None:
            return family(name, self)
        if self.star or not self.args:
            raise UnknownFunctionError(f"{name.lower()} needs an argument")
        if name == "SUM":
            return self.sum(self._value())
        if name == "AVG":
            return self._average(self._value())
        if name in ("MIN", "MAX", "ANY_VALUE"):
            return self._extreme("max" if name == "MAX" else "min")
        if name in _SPREADS:
            value = to_dec(to_number(settle(self.args[0], NUMBER)))
            return self.primitive(f"tg_{name.lower()}", (value,), NUMBER)
        if name == "MEDIAN":
            return self._median()
        if name in ("EVERY", "BOOL_AND", "BOOL_OR"):
            which = "max" if name == "BOOL_OR" else "min"
            return self.primitive(which, (self.args[0],), SqlType(Kind.BOOLEAN), which)
        return self._list(name)

    def _value(self) -> Expr:
        value = settle(self.args[0], NUMBER)
        if value.type.kind is Kind.INTERVAL_DS:
            return value
        if is_moment(value):
            raise TypeMismatchError("dates cannot be summed")
        return to_number(value)

    def _count(self) -> Expr:
        if self.star or not self.args:
            return self.primitive("count", (), BIGINT, "sum")
        value = settle(self.args[0], VARCHAR)
        if isinstance(value, ConstExpr) and value.value is not None and not self.distinct:
            return self.primitive("count", (), BIGINT, "sum")
        return self.primitive("count", (value,), BIGINT, "sum")

    def sum(self, value: Expr) -> Expr:
        """SUM, exact."""
        if value.type.kind in FLOAT_KINDS:
            return self._float_sum(to_float(value))
        if value.type.kind is Kind.INTERVAL_DS:
            return self.primitive("sum", (value,), value.type, "sum")
        scale = int_scale(value.type)
        if scale is None:
            return self._decimal_sum(value)
        if int_digits(value.type) <= SUM_DIGITS_SAFE:
            total = self.primitive("sum", (value,), BIGINT, "sum")
            if value.type.kind in INTEGER_KINDS:
                return total
            text = "CAST({0} AS TEXT)" if scale == 0 else f"tg_dec({{0}}, {scale})"
            return call(text, total, type_=NUMBER)
        if self.distinct:
            return self._decimal_sum(value)
        return self._upper_and_lower(value, scale)

    def _upper_and_lower(self, value: Expr, scale: int) -> Expr:
        high = self.primitive("sum", (call("({0} >> 32)", value, type_=BIGINT),), BIGINT, "sum")
        low = self.primitive(
            "sum", (call("({0} & 4294967295)", value, type_=BIGINT),), BIGINT, "sum"
        )
        return call(f"tg_join_sum({{0}}, {{1}}, {scale})", high, low, type_=NUMBER)

    def _float_sum(self, value: Expr) -> Expr:
        """SQLite's sum takes the text NaN for 0 and is not at home with infinities."""
        total = self.primitive("sum", (value,), DOUBLE, "sum")
        largest = self.primitive("max", (value,), DOUBLE, "max")
        least = self.primitive("min", (value,), DOUBLE, "min")
        text = (
            f"CASE WHEN {{1}} = '{NAN}' OR ({{1}} = 9e999 AND {{2}} = -9e999) THEN '{NAN}' "
            "WHEN {1} = 9e999 THEN {1} WHEN {2} = -9e999 THEN {2} ELSE {0} END"
        )
        return call(text, total, largest, least, type_=DOUBLE)

    def _decimal_sum(self, value: Expr) -> Expr:
        integer = None if self.distinct else as_integer(value)
        if integer is not None and not isinstance(value, ConstExpr):
            return self._mostly_integer_sum(value, *integer)
        return self._plain_decimal_sum(value)

    def _mostly_integer_sum(self, value: Expr, integer: Expr, scale: int) -> Expr:
        """Rows whose value is an exact integer are summed as such, the others as Decimals."""
        plain = self.filter
        test = call("typeof({0}) = 'integer'", integer, type_=BOOLEAN)
        self.filter = _both(plain, test)
        whole = self._upper_and_lower(integer, scale)
        self.filter = _both(plain, call("typeof({0}) = 'real'", integer, type_=BOOLEAN))
        rest = self._plain_decimal_sum(value)
        self.filter = plain
        return call("coalesce(tg_add({0}, {1}), {0}, {1})", whole, rest, type_=NUMBER)

    def _plain_decimal_sum(self, value: Expr) -> Expr:
        total = self.primitive("tg_dsum", (to_dec(value),), NUMBER, "tg_dsum")
        return call("tg_num({0})", total, type_=NUMBER)

    def _average(self, value: Expr) -> Expr:
        count = self.primitive("count", (value,), BIGINT, "sum")
        total = self.sum(value)
        if value.type.kind in FLOAT_KINDS:
            return call("tg_fdiv({0}, nullif({1}, 0))", total, count, type_=DOUBLE)
        if value.type.kind is Kind.INTERVAL_DS:
            return call("({0} / nullif({1}, 0))", total, count, type_=value.type)
        return call("tg_avg({0}, {1})", to_dec(total), count, type_=NUMBER)

    def _extreme(self, which: str) -> Expr:
        value = settle(self.args[0], VARCHAR)
        if value.type.kind is Kind.NUMBER and not value.type.is_scaled:
            value = call("{0} COLLATE decimal", value, type_=value.type)
        return self.primitive(which, (value,), value.type, which)

    def _median(self) -> Expr:
        value = settle(self.args[0], NUMBER)
        if is_moment(value):
            raise NotSupportedError("MEDIAN of dates is not supported")
        return self.primitive("tg_median", (to_dec(to_number(value)),), NUMBER)

    def _percentile(self, name: str) -> Expr:
        """PERCENTILE_CONT (p) WITHIN GROUP (ORDER BY value), and _DISC."""
        if len(self.order) != 1 or self.distinct:
            raise SqlSyntaxError(f"{name.lower()} needs WITHIN GROUP (ORDER BY one expression)")
        item = self.order[0]
        share = to_dec(to_number(settle(self.args[0], NUMBER)))
        value = item.expr
        moment = value.type if is_moment(value) and name == "PERCENTILE_CONT" else None
        if moment is not None:  # between two of them: in microseconds
            value = call("CAST({0} AS TEXT)", value, type_=NUMBER)
        elif name == "PERCENTILE_CONT" or value.type.kind is Kind.NUMBER:
            value = to_dec(to_number(value))
        self.order = (OrderItem(value, item.descending),)
        if moment is not None:
            found = self.primitive("tg_percentile", (value, share), NUMBER, ordered=True)
            unit = moment_unit(moment)
            return call(f"tg_moment(CAST({{0}} AS INTEGER), {unit})", found, type_=moment)
        kind = value.type if name == "PERCENTILE_DISC" else NUMBER
        which = "tg_percentile_disc" if name == "PERCENTILE_DISC" else "tg_percentile"
        return self.primitive(which, (value, share), kind, ordered=True)

    def _list(self, name: str) -> Expr:
        separator: Expr = ConstExpr("" if name == "LISTAGG" else ",", VARCHAR)
        if len(self.args) > 1:
            separator = to_text(self.args[1])
            if isinstance(separator, ConstExpr) and separator.value is None:
                separator = ConstExpr("", VARCHAR)
        value = to_text(settle(self.args[0], VARCHAR))
        if self.distinct:
            agg = self.primitive("tg_listagg", (value, separator), VARCHAR, ordered=True)
            agg.distinct = False  # it looks for equal values itself
            return agg
        return self.primitive("group_concat", (value, separator), VARCHAR, ordered=True)


def _both(one: Expr | None, other: Expr) -> Expr:
    return other if one is None else call("({0} AND {1})", one, other, type_=BOOLEAN)


def contains_aggregate(expr: Expr) -> bool:
    """An aggregate outside window functions."""
    from data.sql.ir import WindowExpr

    if isinstance(expr, Agg):
        return True
    if isinstance(expr, WindowExpr):
        inner = (*expr.function.children(), *expr.partition, *(o.expr for o in expr.order))
        return any(contains_aggregate(c) for c in inner)
    return any(contains_aggregate(c) for c in expr.children())


__all__ = ["AGGREGATES", "Aggregate", "Call", "contains_aggregate"]
