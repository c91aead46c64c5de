"""What runs before a query: scalar subqueries, and small tables whose rows are sent along. Pure.

A block whose tables are not placed together falls into *islands* of tables that are. The largest
stays; the others, if their rows are few after their own conditions, are queries of their own that
run first. Their rows go to all elements as JSON, and the block is local there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from data.sql.ir import (
    Call,
    ColumnExpr,
    Expr,
    Item,
    Query,
    Select,
    SetOp,
    Source,
    SpecialExpr,
    SubqueryExpr,
    all_queries,
    query_exprs,
    subqueries,
    walk,
)
from data.sql.operators import call
from data.sql.placement import Classes, Groups, Placement, reads_no_parts
from data.sql.plan_rewrite import (
    can_ship,
    concerns_only,
    conjuncts,
    disjuncts,
    implied,
    redirect,
    refers_out,
    replace_expr,
    used_columns,
)
from data.sql.plan_types import First, Special
from data.sql.scope import shown
from protocol.sqltypes import BOOLEAN

if TYPE_CHECKING:
    from data.sql.plan import Planner

EXPECTED_BYTES_MAX = 2_000_000.0  # more is not tried; what it is then is seen when the plan runs


def hoist_scalars(planner: Planner, query: Query) -> tuple[First, ...]:
    """Scalar subqueries over distributed tables that do not depend on their surroundings."""
    firsts: list[First] = []
    for block in _blocks(query, inner_first=False):
        for sub in list(subqueries(block)):
            if sub.kind != "scalar" or reads_no_parts(sub.query) or refers_out(sub.query):
                continue
            if _is_volatile(sub.query):
                continue
            number = planner.next_number()
            tables = _names(sub.query)
            plan = planner.nested().plan(sub.query, ships=query.lock is None)
            firsts.append(First(number, plan, "scalar", tables))
            replace_expr(block, sub, SpecialExpr(Special("scalar", number), sub.type))
    return tuple(firsts)


def _blocks(query: Query, *, inner_first: bool) -> Iterator[Query]:
    """Every block; outer ones first: what was taken out of them is not looked at again."""
    if not inner_first:
        yield query
    for cte in query.ctes:
        if cte.query is not None:
            yield from _blocks(cte.query, inner_first=inner_first)
    if isinstance(query, SetOp):
        yield from _blocks(query.left, inner_first=inner_first)
        yield from _blocks(query.right, inner_first=inner_first)
    if isinstance(query, Select):
        for source in query.sources:
            if source.query is not None:
                yield from _blocks(source.query, inner_first=inner_first)
    for sub in list(subqueries(query)):
        yield from _blocks(sub.query, inner_first=inner_first)
    if inner_first:
        yield query


def _is_volatile(query: Query) -> bool:
    return any(
        isinstance(n, Call) and n.volatile
        for part in all_queries(query)
        for top in query_exprs(part)
        for n in walk(top)
    )


def _names(query: Query) -> str:
    found = {s.name: None for q in all_queries(query) if isinstance(q, Select) for s in q.sources}
    return ", ".join(shown(name) for name in found)


def ship(planner: Planner, query: Query) -> tuple[First, ...]:
    """Change the query so that it may be local; the queries that have to run first."""
    shipper = _Shipper(planner)
    blocks = [b for b in _blocks(query, inner_first=True) if isinstance(b, Select)]
    times = Counter(id(source) for block in blocks for source in block.sources)
    for block in blocks:
        if all(times[id(s)] == 1 for s in block.sources):  # GROUPING SETS share theirs
            shipper.block(block, query)
    return tuple(shipper.firsts)


class _Shipper:
    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.firsts: list[First] = []

    # -- one block ---------------------------------------------------------------------------------
    def block(self, block: Select, whole: Query) -> None:
        """Make one block local, as far as that goes."""
        if any(s.join in ("right", "full") for s in block.sources):
            return
        placement = Placement(self.planner.catalog)
        for source in list(block.sources):
            if source.query is None or placement.source_place(source).ok:
                continue
            if source.lateral or refers_out(source.query):
                return
            self._ship_derived(source)
        placement = Placement(self.planner.catalog)
        self._ship_islands(block, whole, placement)
        self._ship_lists(block)

    def _first(self, query: Query, tables: str) -> int:
        number = self.planner.next_number()
        plan = self.planner.nested().plan(query, ships=True)
        self.firsts.append(First(number, plan, "rows", tables))
        return number

    def _ship_derived(self, source: Source) -> None:
        """A derived table that has to be merged: its result is sent."""
        assert source.query is not None
        if not can_ship(t for _, t in source.columns):
            return
        source.shipped = self._first(source.query, shown(source.name))
        source.kind, source.query = "shipped", None

    # -- islands -----------------------------------------------------------------------------------
    def _ship_islands(self, block: Select, whole: Query, placement: Placement) -> None:
        places = {id(s): placement.source_place(s) for s in block.sources}
        parts = [s for s in block.sources if not places[id(s)].one]
        if len(parts) < 2 or not all(places[id(s)].ok for s in parts):
            return
        islands = _islands(block, parts, placement)
        if len(islands) < 2:
            return
        fixed = [i for i in islands if len(i) > 1 and any(s.join == "left" for s in i)]
        if len(fixed) > 1:
            return
        islands.sort(key=lambda i: self._rows(block, i))
        keep = fixed[0] if fixed else islands[-1]
        small = [i for i in islands if i is not keep]
        for island in small:
            columns = used_columns(whole, island)
            width = self.planner.costs.width(t for _, _, t in columns)
            if not can_ship(t for _, _, t in columns):
                return
            if any(s.query is not None and refers_out(s.query) for s in island):
                return
            if self._rows(block, island) * width > EXPECTED_BYTES_MAX:
                return
        for island in small:
            self._ship_island(block, whole, island)

    def _rows(self, block: Select, island: list[Source]) -> float:
        """Tables of an island are joined along keys: as many rows as the largest has."""
        costs = self.planner.costs
        most, share = 1.0, 1.0
        for source in island:
            plain = costs.source_rows(source, ())
            own = _own(block, [source]) + _implied(block, [source])
            left = costs.source_rows(source, own)
            most, share = max(most, plain), share * left / plain
        return max(most * share, 1.0)

    def _ship_island(self, block: Select, whole: Query, island: list[Source]) -> None:
        own = _own(block, island)
        equal = _equal_columns(block)
        left = island[0].join == "left"
        inner = Select(sources=[_bare(s) for s in island], where=own)
        taken = {id(c) for c in own}
        if not left:
            block.where = [c for c in block.where if id(c) not in taken]
            for source in block.sources:
                if source.join in ("", "inner"):
                    source.on = [c for c in source.on if id(c) not in taken]
                    block.where += source.on  # inner joins may stand in any order now
                    source.on = []
        wanted = used_columns(whole, island)
        target = Source(island[0].alias, island[0].name, "shipped", [])
        target.columns = [(f"K{n}", t) for n, (_, _, t) in enumerate(wanted)]
        if not wanted:
            target.columns = []
        extra = [] if left else [*_implied(block, island), *_equalities(equal, island)]
        # the query that runs first has sources of its own: conditions and items are made for them
        twins = dict(zip(map(id, island), inner.sources, strict=True))
        inner.where = [_on_twins(c, twins) for c in own + extra]
        inner.items = [
            Item(f"K{n}", ColumnExpr(twins[id(s)], name, t))
            for n, (s, name, t) in enumerate(wanted)
        ] or [Item("K0", call("1", type_=BOOLEAN))]
        names = ", ".join(shown(s.name) for s in island)
        redirect(whole, {(id(s), c): (target, f"K{n}") for n, (s, c, _) in enumerate(wanted)})
        target.shipped = self._first(inner, names)
        if left:
            target.join, target.on = "left", island[0].on
            block.sources = [target if s is island[0] else s for s in block.sources]
            return
        rest = [s for s in block.sources if s not in island]
        if rest and rest[0].join == "":
            rest[0].join = "inner"
        block.sources = [target, *rest]

    # -- IN (SELECT …) -----------------------------------------------------------------------------
    def _ship_lists(self, block: Select) -> None:
        """Lists of IN that are made elsewhere; EXISTS with one equality is such a list too."""
        placement = Placement(self.planner.catalog)
        bare = Select(sources=block.sources, where=[c for c in block.where if not _subs(c)])
        place = placement.block(bare)
        if not place.ok:
            return
        for sub in list(subqueries(block)):
            if reads_no_parts(sub.query) or sub.kind == "scalar":
                continue
            inner = sub.query
            if not place.one and isinstance(inner, Select) and not inner.ctes:
                alone = any(c is sub for c in block.where)
                one = sub if alone else call("({0} OR 0)", sub, type_=BOOLEAN)
                probe = Select(sources=block.sources, where=[*bare.where, one])
                if placement.block(probe).ok:
                    continue
            if sub.kind == "exists":
                listed = _as_list(sub)
                if listed is None:
                    continue
                new, expr = listed
                replace_expr(block, sub, expr)
                sub = new
            if refers_out(sub.query) or _is_volatile(sub.query):
                continue
            types = [i.expr.type for i in sub.query.items]
            if not can_ship(types):
                continue
            source = Source(f"s{self.planner.next_number()}_", "list", "shipped", [])
            source.columns = [(f"K{n}", t) for n, t in enumerate(types)]
            source.shipped = self._first(sub.query, _names(sub.query))
            items = [Item(n, ColumnExpr(source, n, t)) for n, t in source.columns]
            sub.query = Select(sources=[source], items=items)


def _subs(condition: Expr) -> bool:
    return any(isinstance(n, SubqueryExpr) for n in walk(condition))


def _as_list(sub: SubqueryExpr) -> tuple[SubqueryExpr, Expr] | None:
    """EXISTS (SELECT … WHERE inner = outer AND …) as outer IN (SELECT inner …).

    NOT EXISTS is true also where IN gives NULL.
    """
    query = sub.query
    if not isinstance(query, Select) or query.grouped or query.ctes or query.limit is not None:
        return None
    if query.row_limit is not None or query.offset is not None:
        return None
    if any(s.join in ("right", "full") for s in query.sources):
        return None
    inside = {id(s) for s in query.sources}
    lefts: list[Expr] = []
    items: list[Item] = []
    where: list[Expr] = []
    for condition in [p for c in query.where for p in conjuncts(c)]:
        pair = _correlation(condition, inside)
        if pair is None:
            where.append(condition)
        else:
            items.append(Item(f"K{len(items)}", pair[0]))
            lefts.append(pair[1])
    if not items:
        return None
    where += [call("({0} IS NOT NULL)", i.expr, type_=BOOLEAN) for i in items]
    block = Select(sources=query.sources, where=where, items=items, distinct=True)
    if refers_out(block):
        return None
    listed = SubqueryExpr("in", block, BOOLEAN, tuple(lefts))
    return listed, call("({0} IS NOT 1)" if sub.negated else "{0}", listed, type_=BOOLEAN)


def _correlation(condition: Expr, inside: set[int]) -> tuple[ColumnExpr, ColumnExpr] | None:
    """(inner column, outer column) of an equality between them."""
    if not isinstance(condition, Call) or condition.template != "({0} = {1})":
        return None
    a, b = condition.args
    if not (isinstance(a, ColumnExpr) and isinstance(b, ColumnExpr)):
        return None
    if id(a.source) in inside and id(b.source) not in inside:
        return a, b
    if id(b.source) in inside and id(a.source) not in inside:
        return b, a
    return None


def _own(block: Select, island: list[Source]) -> list[Expr]:
    """The conditions of an island: they concern nothing else and may be applied before."""
    ids = {id(s) for s in island}
    if island[0].join == "left":
        return [c for c in island[0].on if concerns_only(c, ids)]
    inner = [c for s in block.sources if s.join in ("", "inner") for c in s.on]
    return [c for c in block.where + inner if concerns_only(c, ids)]


def _implied(block: Select, island: list[Source]) -> list[Expr]:
    """What ORs over several sources say about each of these."""
    if island[0].join == "left":
        return []
    inner = [c for s in block.sources if s.join in ("", "inner") for c in s.on]
    ids = {id(s) for s in island}
    ors = [c for c in block.where + inner if len(disjuncts(c)) > 1 and not concerns_only(c, ids)]
    found = [implied(c, s) for c in ors for s in island]
    return [c for c in found if c is not None]


def _equal_columns(block: Select) -> list[list[ColumnExpr]]:
    """Columns that are equal in every row of the result, in groups."""
    classes = Classes()
    columns: dict[object, ColumnExpr] = {}
    inner = [c for s in block.sources if s.join in ("", "inner") for c in s.on]
    for condition in [part for c in block.where + inner for part in conjuncts(c)]:
        if isinstance(condition, Call) and condition.template == "({0} = {1})":
            a, b = condition.args
            if isinstance(a, ColumnExpr) and isinstance(b, ColumnExpr) and a.type == b.type:
                classes.union(a.key(), b.key())
                columns[a.key()], columns[b.key()] = a, b
    groups: dict[object, list[ColumnExpr]] = {}
    for key, column in columns.items():
        groups.setdefault(classes.find(key), []).append(column)  # type: ignore[arg-type]
    return list(groups.values())


def _equalities(groups: list[list[ColumnExpr]], island: list[Source]) -> list[Expr]:
    """Those between tables of the island, also if they follow only by way of others."""
    made: list[Expr] = []
    for group in groups:
        own = [c for c in group if any(c.source is s for s in island)]
        for a, b in pairwise(own):
            if a.source is not b.source:
                made.append(call("({0} = {1})", a, b, type_=BOOLEAN))
    return made


def _bare(source: Source) -> Source:
    return Source(
        source.alias,
        source.name,
        source.kind,
        source.columns,
        table=source.table,
        query=source.query,
        join="inner",
        schema=source.schema,
        used=source.used,
        shipped=source.shipped,
        index_hint=source.index_hint,
    )


def _on_twins(expr: Expr, twins: dict[int, Source]) -> Expr:
    """A copy of a plain expression over other sources."""
    if isinstance(expr, ColumnExpr):
        return ColumnExpr(twins[id(expr.source)], expr.name, expr.type)
    if isinstance(expr, Call):
        args = tuple(_on_twins(a, twins) for a in expr.args)
        return Call(expr.template, args, expr.type, volatile=expr.volatile)
    return expr


def _islands(block: Select, parts: list[Source], placement: Placement) -> list[list[Source]]:
    """The distributed tables of a block, in groups that are placed together."""
    places = {id(s): placement.source_place(s) for s in block.sources}
    base = Classes()
    for condition in block.where:
        base.add(condition)
    for source in block.sources:
        if source.join in ("", "inner"):
            for condition in source.on:
                base.add(condition)
    groups = Groups(places, None)
    groups.link_all([s for s in parts if s.join != "left"], base)
    for number, source in enumerate(block.sources):
        if source.join == "left" and source in parts:
            step = Classes(base)
            for condition in source.on:
                step.add(condition)
            groups.attach(source, [s for s in block.sources[:number] if s in parts], step)
    found: list[list[Source]] = []
    for source in parts:
        island = next((i for i in found if groups.together(i[0], source)), None)
        if island is None:
            found.append([source])
        else:
            island.append(source)
    return found
