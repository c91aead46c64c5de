"""Analytic functions: function OVER (PARTITION BY … ORDER BY … frame). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from data.sql.aggregates import AGGREGATES, ORDERED_SETS, WINDOW_ONLY
from data.sql.calls import build_call
from data.sql.convert import int_scale
from data.sql.datetimes import DAY_US
from data.sql.ir import Agg, Call, ConstExpr, Expr, OrderItem, WindowExpr, transform
from data.sql.operators import (
    arithmetic,
    call,
    cast,
    is_moment,
    number_const,
    settle,
    to_float,
    unify,
)
from data.sql.parse import PREFIX, refuse
from data.sql.scope import folded, position_of
from protocol.errors import GroupingError, SqlSyntaxError, TypeMismatchError
from protocol.sqltypes import BIGINT, FLOAT_KINDS, NUMBER, VARCHAR, Kind, SqlType

if TYPE_CHECKING:
    from data.sql.bind_expr import ExpressionBinder

Order = tuple[OrderItem, ...]
_WHOLE = "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_AFTER = "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING"
_NO_FRAME = frozenset(
    ["ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD"]
)


def bind_window(binder: ExpressionBinder, node: Any) -> Expr:
    """A sqlglot Window. Raises the errors of SQL; NotSupportedError for what is not known."""
    if str(node.args.get("over") or "OVER").upper() == "KEEP":
        return _keep(binder, node)
    if not binder.allow_windows:
        raise GroupingError("window functions are not allowed here", position=position_of(node))
    return _Window(binder, node).bind()


def _keep(binder: ExpressionBinder, node: Any) -> Expr:
    """aggregate KEEP (DENSE_RANK FIRST | LAST ORDER BY …)"""
    name = str(node.this.this).upper().removeprefix(PREFIX)
    order = binder.order_items(node.args["order"])
    arguments = list(node.this.expressions)
    return binder.aggregate(name, arguments, order=order, keep=bool(node.args.get("first")))


class _Window:
    def __init__(self, binder: ExpressionBinder, node: Any) -> None:
        self.binder = binder
        self.node = node
        self.plain = type(binder)(
            binder.statement, binder.scope, aggregates=binder.allow_aggregates
        )
        self.plain.grouping = binder.grouping
        self.partition, self.order, spec = self._parts(node, set())
        self.frame = self._frame(spec) if spec is not None else ""

    def bind(self) -> Expr:
        """The function over the window."""
        function, skips = _without_nulls(self.node.this)
        filter_ = None
        if isinstance(function, exp.Filter):
            filter_ = self.plain.condition(function.expression.this)
            function = function.this
        within: Order = ()
        if isinstance(function, exp.WithinGroup):
            within = self.binder.order_items(function.expression)
            function = function.this
        if not isinstance(function, exp.Anonymous):
            raise refuse(f"{type(function).__name__} OVER", position_of(self.node))
        name = str(function.this).upper().removeprefix(PREFIX)
        arguments = list(function.expressions)
        if len(arguments) == 1 and isinstance(arguments[0], exp.IgnoreNulls | exp.RespectNulls):
            skips = isinstance(arguments[0], exp.IgnoreNulls)
            arguments = [arguments[0].this]
        if name in AGGREGATES | ORDERED_SETS:
            return self._aggregate(name, arguments, filter_, within)
        if name not in WINDOW_ONLY or filter_ is not None:
            raise refuse(f"{name} OVER", position_of(self.node))
        if name == "RATIO_TO_REPORT":
            return self._ratio(arguments)
        if skips and name in _NO_FRAME - {"LAG", "LEAD"}:
            raise SqlSyntaxError(f"IGNORE NULLS of {name.lower()}")
        if name in ("ROW_NUMBER", "NTILE", "LAG", "LEAD") and not self.order:
            self.order = ()
        return self._function(name, [self.plain.bind(a) for a in arguments], skips=skips)

    def _over(self, function: Expr, frame: str | None = None, order: Order | None = None) -> Expr:
        return WindowExpr(
            function,
            self.partition,
            self.order if order is None else order,
            self.frame if frame is None else frame,
        )

    # -- functions ---------------------------------------------------------------------------------
    def _aggregate(
        self, name: str, arguments: list[Any], filter_: Expr | None, within: Order
    ) -> Expr:
        ordered = within if name in ORDERED_SETS else ()
        built = self.binder.aggregate(
            name, arguments, filter_=filter_, order=ordered, inside_window=True
        )
        if within and (self.order or self.frame):
            raise SqlSyntaxError(f"{name.lower()} WITHIN GROUP takes no ORDER BY in its window")

        def over(expr: Expr) -> Expr | None:
            if not isinstance(expr, Agg):
                return None
            agg = expr
            if agg.distinct:
                if agg.name != "count" or self.order:
                    raise refuse(f"{name} (DISTINCT) OVER, unless COUNT without ORDER BY")
                agg = Agg("tg_count_distinct", agg.args, agg.type, filter_=agg.filter)
            if within:
                agg = Agg(agg.name, agg.args, agg.type, filter_=agg.filter)
                items = ordered or within
                if name in ORDERED_SETS and expr.order:
                    items = expr.order
                return self._over(agg, _WHOLE, items)
            return self._over(agg)

        return transform(built, over)

    def _ratio(self, arguments: list[Any]) -> Expr:
        if len(arguments) != 1 or self.order:
            raise SqlSyntaxError("RATIO_TO_REPORT (value) OVER ([PARTITION BY …])")
        value = cast(self.plain.bind(arguments[0]), NUMBER)
        total = self._aggregate("SUM", arguments, None, ())
        return arithmetic("/", value, call("nullif({0}, 0)", total, type_=total.type))

    def _function(self, name: str, args: list[Expr], *, skips: bool) -> Expr:
        lower = name.lower()
        if name in ("ROW_NUMBER", "RANK", "DENSE_RANK"):
            return self._over(Call(f"{lower}()", (), BIGINT))
        if name in ("PERCENT_RANK", "CUME_DIST"):
            return self._over(Call(f"{lower}()", (), SqlType(Kind.BINARY_DOUBLE)))
        if not args:
            raise SqlSyntaxError(f"{lower} needs an argument")
        if name == "NTILE":
            count = call("tg_ntile_count({0})", _whole(args[0]), type_=BIGINT)
            return self._over(Call("ntile({0})", (count,), BIGINT))
        value = settle(args[0], VARCHAR)
        if name in ("LAG", "LEAD"):
            return self._shifted(name, value, args, skips=skips)
        place: Expr = number_const("1")
        if len(args) > 1:
            place = call("tg_nth_place({0})", _whole(args[1]), type_=BIGINT)
        if name in ("FIRST_VALUE", "LAST_VALUE", "NTH_VALUE") and not skips:
            if name == "NTH_VALUE":
                return self._over(Call("nth_value({0}, {1})", (value, place), value.type))
            return self._over(Call(f"{lower}({{0}})", (value,), value.type))
        text = "tg_nth_last" if name in ("LAST_VALUE", "NTH_VALUE_LAST") else "tg_nth"
        text += "_value" if skips else ""
        return self._over(Call(f"{text}({{0}}, {{1}})", (value, place), value.type))

    def _shifted(self, name: str, value: Expr, args: list[Expr], *, skips: bool) -> Expr:
        """LAG and LEAD (value, distance, default)."""
        distance = _whole(args[1]) if len(args) > 1 else number_const("1")
        default: Expr | None = None
        type_ = value.type
        if len(args) > 2:
            (value, default), type_ = unify([value, args[2]])
        if not skips:
            typed = [value, distance, *([default] if default is not None else [])]
            marks = ", ".join(f"{{{i}}}" for i in range(len(typed)))
            return self._over(Call(f"{name.lower()}({marks})", tuple(typed), type_), "")
        text = "tg_nth_last_value" if name == "LAG" else "tg_nth_value"
        function = Call(f"{text}({{0}}, {{1}})", (value, distance), type_)
        shifted = self._over(function, _BEFORE if name == "LAG" else _AFTER)
        if default is None:
            return shifted
        return call("coalesce({0}, {1})", shifted, default, type_=type_)

    # -- the window --------------------------------------------------------------------------------
    def _parts(self, node: Any, seen: set[str]) -> tuple[tuple[Expr, ...], Order, Any]:
        """PARTITION BY, ORDER BY, frame; those of a named window it starts from included."""
        partition: tuple[Expr, ...] = ()
        order: Order = ()
        spec = None
        alias = node.args.get("alias")
        if alias is not None:
            name = folded(alias)
            named = self.binder.scope.windows.get(name)
            if named is None or name in seen:
                raise SqlSyntaxError(f'window "{alias.name}" does not exist')
            partition, order, spec = self._parts(named, seen | {name})
        own = node.args.get("partition_by") or []
        if own and alias is not None:
            raise SqlSyntaxError(f'cannot override PARTITION BY clause of window "{alias.name}"')
        if own:
            partition = tuple(settle(self.plain.bind(p), VARCHAR) for p in own)
        ordered = node.args.get("order")
        if ordered is not None:
            if order:
                raise SqlSyntaxError(f'cannot override ORDER BY clause of window "{alias.name}"')
            order = self.binder.order_items(ordered)
        return partition, order, node.args.get("spec") or spec

    def _frame(self, spec: Any) -> str:
        kind = str(spec.args.get("kind") or "RANGE").upper()
        start, end = self._bound(spec, "start", kind), self._bound(spec, "end", kind)
        if _rank(start) > _rank(end) or start == "UNBOUNDED FOLLOWING":
            raise SqlSyntaxError(f"a window frame cannot go from {start} to {end}")
        text = f"{kind} BETWEEN {start} AND {end}"
        exclude = spec.args.get("exclude")
        if exclude is not None:
            text += f" EXCLUDE {str(getattr(exclude, 'name', exclude)).upper()}"
        return text

    def _bound(self, spec: Any, edge: str, kind: str) -> str:
        value, side = spec.args.get(edge), str(spec.args.get(f"{edge}_side") or "").upper()
        if value is None:
            return "CURRENT ROW"
        if isinstance(value, str):
            return f"{value} {side}".strip().upper()
        bound = self.plain.bind(value)
        if not isinstance(bound, ConstExpr) or bound.value is None:
            raise refuse("a window frame bound that is not a literal")
        if kind == "RANGE":
            return f"{self._distance(bound)} {side}"
        if int_scale(bound.type) != 0 or not isinstance(bound.value, int) or bound.value < 0:
            raise SqlSyntaxError("ROWS and GROUPS count in whole numbers from 0")
        return f"{bound.value} {side}"

    def _distance(self, bound: ConstExpr) -> str:
        """RANGE n PRECEDING in the units in which the ORDER BY column is stored."""
        if len(self.order) != 1:
            raise SqlSyntaxError("RANGE with a distance needs ORDER BY of one expression")
        item = self.order[0]
        if bound.type.kind is Kind.INTERVAL_DS:
            if not is_moment(item.expr):
                raise TypeMismatchError("RANGE with an interval needs ORDER BY of a date")
            return str(bound.value)
        scale = int_scale(bound.type)
        if scale is None or not isinstance(bound.value, int) or bound.value < 0:
            raise SqlSyntaxError("a distance of RANGE is a number from 0, or an interval")
        if is_moment(item.expr):
            return str(bound.value * DAY_US // 10**scale)
        own = int_scale(item.expr.type)
        if own is not None:
            return str(
                bound.value * 10**own / 10**scale
                if own < scale
                else bound.value * 10 ** (own - scale)
            )
        if item.expr.type.kind in FLOAT_KINDS:
            return repr(bound.value / 10**scale)
        if item.expr.type.kind is not Kind.NUMBER:
            raise TypeMismatchError("RANGE with a distance needs ORDER BY of a number or date")
        self.order = (OrderItem(to_float(item.expr), item.descending, item.nulls_first),)
        return repr(bound.value / 10**scale)


def _without_nulls(function: Any) -> tuple[Any, bool]:
    """The function of f (…) IGNORE NULLS, and whether it says so."""
    if isinstance(function, exp.IgnoreNulls):
        return function.this, True
    if isinstance(function, exp.RespectNulls):
        return function.this, False
    return function, False


def _whole(expr: Expr) -> Expr:
    """A count of rows: of other numbers the whole part."""
    expr = settle(expr, BIGINT)
    if int_scale(expr.type) == 0:
        return expr
    return cast(build_call("TRUNC", [cast(expr, NUMBER)]), BIGINT)


def _rank(bound: str) -> int:
    if bound == "CURRENT ROW":
        return 2
    if bound.startswith("UNBOUNDED"):
        return 0 if bound.endswith("PRECEDING") else 4
    return 1 if bound.endswith("PRECEDING") else 3
