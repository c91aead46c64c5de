"""The bound form of queries: names resolved, every expression typed. What the planner works on.

An `Expr` is printed by data/sql/printer.py; `Call.template` is SQLite text with {0}, {1}, … for the
arguments, so that almost every operator and function is one node class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from data.catalog.objects import Table
from data.sql.plan_types import LockStrength, Special
from protocol.sqltypes import UNKNOWN, SqlType, StorageValue


class ParamSlot:
    """One statement parameter; its type is declared, or inferred from the first typed context."""

    __slots__ = ("declared", "index", "type")

    def __init__(self, index: int, declared: SqlType | None) -> None:
        self.index = index
        self.declared = declared is not None
        self.type = declared or UNKNOWN


class Expr:
    """A typed expression."""

    __slots__ = ("type",)
    type: SqlType

    def children(self) -> tuple[Expr, ...]:
        """Sub-expressions, not those inside subqueries."""
        return ()

    def key(self) -> Any:
        """Equal keys: the same expression."""
        raise NotImplementedError


class ColumnExpr(Expr):
    """A column of a source; `name` may be a pseudo-column (ELEMENTID#, _ROWKEY, …)."""

    __slots__ = ("name", "source")

    def __init__(self, source: Source, name: str, type_: SqlType) -> None:
        self.source = source
        self.name = name
        self.type = type_

    def key(self) -> Any:
        return ("col", id(self.source), self.name)


class ConstExpr(Expr):
    """A literal as storage value of its type."""

    __slots__ = ("value",)

    def __init__(self, value: StorageValue, type_: SqlType) -> None:
        self.value = value
        self.type = type_

    def key(self) -> Any:
        return ("const", type(self.value).__name__, self.value, self.type.kind, self.type.scale)


class ParamExpr(Expr):
    """A statement parameter."""

    __slots__ = ("slot",)

    def __init__(self, slot: ParamSlot) -> None:
        self.slot = slot

    @property
    def type(self) -> SqlType:  # type: ignore[override]
        return self.slot.type

    def key(self) -> Any:
        return ("param", self.slot.index)


class SpecialExpr(Expr):
    """A value the executor supplies."""

    __slots__ = ("special",)

    def __init__(self, special: Special, type_: SqlType) -> None:
        self.special = special
        self.type = type_

    def key(self) -> Any:
        return ("special", self.special)


class Call(Expr):
    """SQLite text over arguments. `volatile`: not the same at every evaluation."""

    __slots__ = ("args", "template", "volatile")

    def __init__(
        self, template: str, args: tuple[Expr, ...], type_: SqlType, *, volatile: bool = False
    ) -> None:
        self.template = template
        self.args = args
        self.type = type_
        self.volatile = volatile

    def children(self) -> tuple[Expr, ...]:
        return self.args

    def key(self) -> Any:
        return ("call", self.template, tuple(a.key() for a in self.args))


@dataclass(slots=True)
class OrderItem:
    """One ORDER BY item."""

    expr: Expr
    descending: bool = False
    nulls_first: bool = False

    def key(self) -> Any:
        return (self.expr.key(), self.descending, self.nulls_first)


class Agg(Expr):
    """An aggregate that SQLite computes. `merge`: the aggregate that combines its partial results
    ("" if it has none)."""

    __slots__ = ("args", "distinct", "filter", "merge", "name", "order")

    def __init__(
        self,
        name: str,
        args: tuple[Expr, ...],
        type_: SqlType,
        *,
        merge: str = "",
        distinct: bool = False,
        filter_: Expr | None = None,
        order: tuple[OrderItem, ...] = (),
    ) -> None:
        self.name = name
        self.args = args
        self.type = type_
        self.merge = merge
        self.distinct = distinct
        self.filter = filter_
        self.order = order

    def children(self) -> tuple[Expr, ...]:
        extra = (self.filter,) if self.filter is not None else ()
        return (*self.args, *extra, *(o.expr for o in self.order))

    def key(self) -> Any:
        return (
            "agg",
            self.name,
            tuple(a.key() for a in self.args),
            self.distinct,
            None if self.filter is None else self.filter.key(),
            tuple(o.key() for o in self.order),
        )


class WindowExpr(Expr):
    """`function` (an Agg, or a Call of a window-only function) OVER (…)."""

    __slots__ = ("frame", "function", "order", "partition")

    def __init__(
        self,
        function: Expr,
        partition: tuple[Expr, ...],
        order: tuple[OrderItem, ...],
        frame: str,
    ) -> None:
        self.function = function
        self.partition = partition
        self.order = order
        self.frame = frame
        self.type = function.type

    def children(self) -> tuple[Expr, ...]:
        return (*self.function.children(), *self.partition, *(o.expr for o in self.order))

    def key(self) -> Any:
        return (
            "window",
            self.function.key(),
            tuple(p.key() for p in self.partition),
            tuple(o.key() for o in self.order),
            self.frame,
        )


class SubqueryExpr(Expr):
    """kind "scalar", "exists" or "in" (`left` IN query); `template` wraps a scalar's value."""

    __slots__ = ("kind", "left", "negated", "query")

    def __init__(
        self,
        kind: str,
        query: Query,
        type_: SqlType,
        left: tuple[Expr, ...] = (),
        *,
        negated: bool = False,
    ) -> None:
        self.kind = kind
        self.query = query
        self.left = left
        self.negated = negated
        self.type = type_

    def children(self) -> tuple[Expr, ...]:
        return self.left

    def key(self) -> Any:
        return ("subquery", id(self))


# -- queries --------------------------------------------------------------------------------------
@dataclass(slots=True, eq=False)
class Source:
    """One item of a FROM clause. `alias` is its name in the printed text, unique in a statement.

    kind: "table", "query" (derived table, view, CTE), "cte" (a recursive CTE's reference),
    "dual" (one row), "gather" (rows brought to the coordinator), "shipped" (rows sent along with
    the fragment as JSON, Special("rows", shipped)).
    join: "" (first), "inner", "left", "right", "full"; `on`: conjuncts.
    """

    alias: str
    name: str
    kind: str
    columns: list[tuple[str, SqlType]]
    table: Table | None = None
    query: Query | None = None
    cte: Cte | None = None
    join: str = ""
    on: list[Expr] = field(default_factory=list)
    schema: str = ""
    lateral: bool = False
    used: set[str] = field(default_factory=set)  # names of columns that are referred to
    hidden: set[str] = field(default_factory=set)  # merged away by USING: not part of *
    shipped: int = -1
    index_hint: str = ""  # SQLite's INDEXED BY or NOT INDEXED
    in_order: bool = False  # joined after the one before it, by a hint

    def type_of(self, name: str) -> SqlType | None:
        for column, type_ in self.columns:
            if column == name:
                return type_
        return None


@dataclass(slots=True, eq=False)
class Item:
    """One column of a query's result."""

    name: str
    expr: Expr
    table_id: int = 0
    column_number: int = 0


@dataclass(slots=True, eq=False)
class Cte:
    """A recursive common table expression; others are expanded in place."""

    alias: str
    columns: list[tuple[str, SqlType]]
    query: Query | None = None


@dataclass(slots=True, eq=False)
class Lock:
    """FOR UPDATE [OF …] of a query."""

    names: tuple[str, ...] = ()
    wait: str = "wait"
    wait_s: float = 0.0
    strength: LockStrength = "update"


@dataclass(slots=True, eq=False)
class Query:
    """What all queries have: result columns, order, limit."""

    items: list[Item] = field(default_factory=list)
    order: list[OrderItem] = field(default_factory=list)
    limit: Expr | None = None
    offset: Expr | None = None
    ctes: list[Cte] = field(default_factory=list)
    lock: Lock | None = None

    @property
    def types(self) -> list[SqlType]:
        return [item.expr.type for item in self.items]


@dataclass(slots=True, eq=False)
class Select(Query):
    """SELECT. `grouped`: GROUP BY or aggregates; `where` and `having` are conjuncts."""

    sources: list[Source] = field(default_factory=list)
    where: list[Expr] = field(default_factory=list)
    group: list[Expr] = field(default_factory=list)
    group_sets: list[list[int]] | None = None  # GROUPING SETS: positions in `group`
    grouped: bool = False
    having: list[Expr] = field(default_factory=list)
    distinct: bool = False
    row_limit: Expr | None = None  # ROWNUM <= n: before grouping and ordering
    windowed: bool = False


@dataclass(slots=True, eq=False)
class SetOp(Query):
    """left op right; op: "UNION", "UNION ALL", "INTERSECT", "EXCEPT". Items: SetColumns."""

    op: str = "UNION"
    left: Query = field(default_factory=Query)
    right: Query = field(default_factory=Query)


@dataclass(slots=True, eq=False)
class Values(Query):
    """VALUES (…), (…)."""

    rows: list[list[Expr]] = field(default_factory=list)


class SetColumn(Expr):
    """Column `position` of a set operation or VALUES, in its ORDER BY and items."""

    __slots__ = ("position",)

    def __init__(self, position: int, type_: SqlType) -> None:
        self.position = position
        self.type = type_

    def key(self) -> Any:
        return ("setcol", self.position)


# -- walking --------------------------------------------------------------------------------------
def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all below it, not into subqueries."""
    yield expr
    for child in expr.children():
        yield from walk(child)


def query_exprs(query: Query) -> Iterator[Expr]:
    """The top expressions of one query block, not those of its derived tables."""
    for item in query.items:
        yield item.expr
    for order in query.order:
        yield order.expr
    if query.limit is not None:
        yield query.limit
    if query.offset is not None:
        yield query.offset
    if isinstance(query, Select):
        yield from query.where
        yield from query.group
        yield from query.having
        if query.row_limit is not None:
            yield query.row_limit
        for source in query.sources:
            yield from source.on
    elif isinstance(query, Values):
        for row in query.rows:
            yield from row


def subqueries(query: Query) -> Iterator[SubqueryExpr]:
    """Subqueries in the expressions of one block (not nested ones)."""
    for top in query_exprs(query):
        for expr in walk(top):
            if isinstance(expr, SubqueryExpr):
                yield expr


def all_queries(query: Query) -> Iterator[Query]:
    """The query and every query inside it: derived tables, CTEs, set operands, subqueries."""
    yield query
    for cte in query.ctes:
        if cte.query is not None:
            yield from all_queries(cte.query)
    if isinstance(query, SetOp):
        yield from all_queries(query.left)
        yield from all_queries(query.right)
    if isinstance(query, Select):
        for source in query.sources:
            if source.query is not None:
                yield from all_queries(source.query)
    for sub in subqueries(query):
        yield from all_queries(sub.query)


def all_sources(query: Query) -> Iterator[Source]:
    """Every source in the query, however deep."""
    for part in all_queries(query):
        if isinstance(part, Select):
            yield from part.sources


def deep_exprs(query: Query) -> Iterator[Expr]:
    """Every expression in the query, however deep."""
    for part in all_queries(query):
        for top in query_exprs(part):
            yield from walk(top)


def transform(expr: Expr, change: Callable[[Expr], Expr | None]) -> Expr:
    """A copy where `change` gives replacements (None: look below); subqueries are left alone."""
    new = change(expr)
    if new is not None:
        return new
    if isinstance(expr, Call) and expr.args:
        args = tuple(transform(a, change) for a in expr.args)
        return Call(expr.template, args, expr.type, volatile=expr.volatile)
    if isinstance(expr, Agg):
        return Agg(
            expr.name,
            tuple(transform(a, change) for a in expr.args),
            expr.type,
            merge=expr.merge,
            distinct=expr.distinct,
            filter_=None if expr.filter is None else transform(expr.filter, change),
            order=tuple(
                OrderItem(transform(o.expr, change), o.descending, o.nulls_first)
                for o in expr.order
            ),
        )
    if isinstance(expr, WindowExpr):
        return WindowExpr(
            transform(expr.function, change),
            tuple(transform(p, change) for p in expr.partition),
            tuple(
                OrderItem(transform(o.expr, change), o.descending, o.nulls_first)
                for o in expr.order
            ),
            expr.frame,
        )
    if isinstance(expr, SubqueryExpr) and expr.left:
        left = tuple(transform(e, change) for e in expr.left)
        return SubqueryExpr(expr.kind, expr.query, expr.type, left, negated=expr.negated)
    return expr
