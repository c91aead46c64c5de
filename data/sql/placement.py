"""Which parts of a query can run where the rows are: co-location of tables and queries. Pure.

A *locator* of a source says what fixes the place (bucket) of its rows: ("hash", …) with the columns
that are hashed, or ("row", table id, key columns) with the columns that name a row of that table in
whose bucket the row is. Two sources are co-located when a locator of both is bound by equalities.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

from data.catalog.catalog import Catalog
from data.catalog.objects import Distribution, Index, Table
from data.distribution.keys import key_family
from data.sql.ir import (
    Call,
    ColumnExpr,
    ConstExpr,
    Expr,
    ParamExpr,
    Query,
    Select,
    SetOp,
    Source,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    all_queries,
    all_sources,
    query_exprs,
    subqueries,
    walk,
)
from data.sql.plan_types import Const, Param, ParamSource, Route, RouteValue, make_fragment
from data.sql.scope import shown
from protocol.sqltypes import NUMBER, SqlType

LocatorId = tuple[object, ...]
Member = tuple[object, ...]  # ("col", id(source), name) or ("value", …)
_ENTRIES = -1  # index id of a route by entries of an index: their rows may be elsewhere
KEYS_MAX = 64  # an IN list with more keys goes everywhere


def table_locators(catalog: Catalog, table: Table) -> dict[LocatorId, tuple[str, ...]]:
    """Locator → columns of `table`. Empty for DUPLICATE tables."""
    found: dict[LocatorId, tuple[str, ...]] = {}
    if table.distribution is Distribution.DUPLICATE:
        return found
    if table.row_key:
        found["row", table.id, ("_ROWKEY",)] = ("_ROWKEY",)
    for index in table.indexes:
        if index.unique:
            found["row", table.id, tuple(sorted(index.columns))] = tuple(sorted(index.columns))
    if table.distribution is Distribution.HASH:
        if table.distribution_key:
            types = {c.name: c.type for c in table.columns}
            families = tuple(key_family(types[c]) for c in table.distribution_key)
            found["hash", families] = table.distribution_key
        return found
    key = next((k for k in table.foreign_keys if k.name == table.reference_key), None)
    parent = catalog.by_id.get(key.parent_id) if key is not None else None
    if key is None or not isinstance(parent, Table):
        return found
    translate = dict(zip(key.parent_columns, key.columns, strict=True))
    for locator, columns in table_locators(catalog, parent).items():
        if all(c in translate for c in columns):
            found.setdefault(locator, tuple(translate[c] for c in columns))
    return found


class Classes:
    """Union-find over columns and values that are equal in every row that counts."""

    def __init__(self, base: Classes | None = None) -> None:
        self._parent: dict[Member, Member] = dict(base._parent) if base else {}
        self.values: dict[Member, list[tuple[RouteValue, ...]]] = dict(base.values) if base else {}

    def find(self, member: Member) -> Member:
        """The representative of a class."""
        while (parent := self._parent.get(member, member)) != member:
            member = parent
        return member

    def union(self, a: Member, b: Member) -> None:
        """Both are equal."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parent[a] = b

    def bind(self, member: Member, choices: tuple[RouteValue, ...]) -> None:
        """`member` is one of these values."""
        self.values.setdefault(member, []).append(choices)

    def choices(self, member: Member) -> tuple[RouteValue, ...] | None:
        """Values a member of the class is bound to, the shortest list."""
        root = self.find(member)
        lists = [c for m, all_ in self.values.items() if self.find(m) == root for c in all_]
        return min(lists, key=len) if lists else None

    def add(self, condition: Expr) -> None:
        """Learn from a conjunct: column = column, column = value, column IN (values)."""
        if not isinstance(condition, Call):
            return
        if condition.template in ("({0} = {1})", "({0} = {1} COLLATE decimal)"):
            left, right = condition.args
            for one, other in ((left, right), (right, left)):
                if isinstance(one, ColumnExpr):
                    self._equal(one, other)
        elif condition.template.startswith("({0} IN ("):
            column, *items = condition.args
            values = [route_value(i) for i in items]
            if isinstance(column, ColumnExpr) and len(values) <= KEYS_MAX:
                known = tuple(v for v in values if v is not None)
                if len(known) == len(values):
                    self.bind(column.key(), known)
        elif set(condition.template) <= set("(){0123456789} AND"):
            for part in condition.args:
                self.add(part)

    def _equal(self, column: ColumnExpr, other: Expr) -> None:
        if isinstance(other, ColumnExpr):
            self.union(column.key(), other.key())
            return
        value = route_value(other)
        if value is not None:
            self.bind(column.key(), (value,))
            self.union(column.key(), ("value", value))


def route_value(expr: Expr) -> RouteValue | None:
    """The value of a literal, parameter or special, looking through conversions for comparison."""
    if isinstance(expr, Call) and len(expr.args) == 1:
        if expr.template.startswith(("tg_cmp_", "rtrim({0}", "{0}")):
            inner = expr.args[0]
            value = route_value(inner)
            if value is not None and expr.template.startswith("rtrim"):
                return RouteValue(value.source, expr.type)
            return value
        if expr.template.startswith("tg_dec({0}") or expr.template == "CAST({0} AS TEXT)":
            return route_value(expr.args[0]) if expr.type == NUMBER else None
        return None
    if isinstance(expr, ConstExpr):
        if expr.value is None or (isinstance(expr.value, float) and _holds_int(expr.type)):
            return None
        return RouteValue(Const(expr.value), expr.type)
    if isinstance(expr, ParamExpr):
        return RouteValue(Param(expr.slot.index), expr.type)
    if isinstance(expr, SpecialExpr):
        return RouteValue(expr.special, expr.type)
    return None


def _holds_int(type_: SqlType) -> bool:
    from data.sql.convert import int_scale

    return int_scale(type_) is not None


# -- places of queries -----------------------------------------------------------------------------
@dataclass(slots=True)
class Place:
    """Where a query can run.

    `ok`: running it at every place and putting the rows together gives its answer; then `one`: it
    reads no distributed table, so it must run at one place only; `locators`: in columns of its
    result (members of the block's classes while the block itself is looked at).
    """

    ok: bool
    one: bool = False
    reason: str = ""
    classes: Classes = field(default_factory=Classes)
    locators: dict[LocatorId, tuple[Member, ...]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()  # of a block, those that are not everywhere

    @staticmethod
    def no(reason: str) -> Place:
        """It cannot."""
        return Place(ok=False, reason=reason)


class Placement:
    """Looks at the queries of one statement."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._derived: dict[int, Place] = {}

    # -- sources -----------------------------------------------------------------------------------
    def source_place(self, source: Source) -> Place:
        """Place of a FROM item; locators are members ("col", id(source), name)."""
        known = self._derived.get(id(source))
        if known is not None:
            return known
        place = self._source_place(source)
        self._derived[id(source)] = place
        return place

    def _source_place(self, source: Source) -> Place:
        if source.kind in ("dual", "shipped"):
            return Place(ok=True, one=True)
        if source.kind == "table":
            assert source.table is not None
            if source.table.temporary:
                return Place.no("a temporary table is with its session")
            if source.table.distribution is Distribution.DUPLICATE:
                return Place(ok=True, one=True)
            locators: dict[LocatorId, tuple[Member, ...]] = {
                key: tuple(("col", id(source), c) for c in columns)
                for key, columns in table_locators(self.catalog, source.table).items()
            }
            return Place(ok=True, locators=locators)
        if source.kind == "cte":
            assert source.cte is not None and source.cte.query is not None
            if reads_no_parts(source.cte.query):
                return Place(ok=True, one=True)
            return Place.no("a recursive query reads a distributed table")
        assert source.query is not None
        if source.lateral:  # what it reads is looked at in _check_laterals
            return Place(ok=True, one=True)
        inner = self.derived_place(source.query)
        if not inner.ok:
            return inner
        names = [n for n, _ in source.columns]
        mapped: dict[LocatorId, tuple[Member, ...]] = {
            key: tuple(("col", id(source), names[m[1]]) for m in members)  # type: ignore[call-overload]
            for key, members in inner.locators.items()
        }
        return Place(ok=True, one=inner.one, locators=mapped)

    def derived_place(self, query: Query) -> Place:
        """Place of a query whose rows are used by another; locators are ("item", position)."""
        if query.limit is not None or query.offset is not None:
            return Place.no("a subquery has a LIMIT")
        if query.ctes:
            if reads_no_parts(query) and not _cuts_rows(query):
                return Place(ok=True, one=True)
            return Place.no("a recursive query is used")
        if isinstance(query, SetOp):
            return self._set_place(query)
        if not isinstance(query, Select):
            return Place(ok=True, one=True)
        place = self.block(query)
        if not place.ok:
            return place
        if place.one:
            if query.row_limit is not None:
                return Place.no("a subquery has a LIMIT")
            return Place(ok=True, one=True)
        if query.row_limit is not None:
            return Place.no("a subquery has a LIMIT")
        locators = self.item_locators(query, place)
        if query.windowed and not windows_local(query, place):
            return Place.no("a window is not partitioned by the distribution key")
        if query.grouped and not covers(query.group, place):
            return Place.no("a subquery groups by other columns than the distribution key")
        if query.distinct and not locators:
            return Place.no("DISTINCT of other columns than the distribution key")
        return Place(ok=True, locators=locators)

    def _set_place(self, query: SetOp) -> Place:
        left, right = self.derived_place(query.left), self.derived_place(query.right)
        if not left.ok:
            return left
        if not right.ok:
            return right
        if left.one and right.one:
            return Place(ok=True, one=True)
        common = {k: m for k, m in left.locators.items() if right.locators.get(k) == m}
        if query.op == "UNION ALL" and not left.one and not right.one:
            return Place(ok=True, locators=common)
        if common:  # equal rows are in one place: any set operation is local
            return Place(ok=True, locators=common)
        return Place.no(f"{query.op} needs all rows in one place")

    def item_locators(self, query: Select, place: Place) -> dict[LocatorId, tuple[Member, ...]]:
        """The block's locators in places of its result columns."""
        positions: dict[Member, int] = {}
        for number, item in enumerate(query.items):
            if isinstance(item.expr, ColumnExpr):
                positions.setdefault(place.classes.find(item.expr.key()), number)
        found: dict[LocatorId, tuple[Member, ...]] = {}
        for key, members in place.locators.items():
            roots = [place.classes.find(m) for m in members]
            if all(r in positions for r in roots):
                found[key] = tuple(("item", positions[r]) for r in roots)
        return found

    # -- blocks ------------------------------------------------------------------------------------
    def block(self, query: Select, outer: Place | None = None) -> Place:
        """Place of a SELECT's FROM and WHERE, with its subqueries; `outer`: the block around it."""
        base = Classes(outer.classes if outer is not None else None)
        outside_right = not any(s.join in ("right", "full") for s in query.sources)
        for condition in query.where:
            base.add(condition)
            self._learn_in(condition, base)
        if outside_right:
            for source in query.sources:
                if source.join in ("", "inner"):
                    for condition in source.on:
                        base.add(condition)
        place = self._join_places(query, base, outer)
        if not place.ok:
            return place
        place = self._check_laterals(query, place)
        return self._check_subqueries(query, place) if place.ok else place

    def _learn_in(self, condition: Expr, classes: Classes) -> None:
        """column IN (SELECT column …), as a condition of its own."""
        if not isinstance(condition, SubqueryExpr) or condition.kind != "in" or condition.negated:
            return
        inner = condition.query
        if not isinstance(inner, Select) or inner.limit is not None or inner.row_limit is not None:
            return
        for left, item in zip(condition.left, inner.items, strict=True):
            if isinstance(left, ColumnExpr) and isinstance(item.expr, ColumnExpr):
                classes.union(left.key(), item.expr.key())

    def _join_places(self, query: Select, base: Classes, outer: Place | None) -> Place:
        places = {id(s): self.source_place(s) for s in query.sources}
        for place in places.values():
            if not place.ok:
                return place
        parts = [s for s in query.sources if not places[id(s)].one]
        if not parts:
            return Place(ok=True, one=True, classes=base)
        if any(s.join in ("right", "full") for s in query.sources):
            return Place.no("a RIGHT or FULL join")
        groups = Groups(places, outer)
        groups.link_all(parts, base)
        for number, source in enumerate(query.sources):
            if source.join != "left" or places[id(source)].one:
                continue
            before = [s for s in query.sources[:number] if not places[id(s)].one]
            step = Classes(base)
            for condition in source.on:
                step.add(condition)
            if not groups.attach(source, before, step):
                return Place.no(_not_together(source, before))
        first = parts[0]
        for source in parts[1:]:
            if not groups.together(first, source):
                return Place.no(_not_together(source, [first]))
        if outer is not None and not groups.with_outer(first):
            return Place.no(f"a subquery reads {shown(first.name)}, which is elsewhere")
        locators: dict[LocatorId, tuple[Member, ...]] = {}
        for source in parts:
            if source.join != "left":
                for key, members in places[id(source)].locators.items():
                    locators.setdefault(key, members)
        return Place(ok=True, classes=base, locators=locators, sources=tuple(parts))

    def _check_laterals(self, query: Select, place: Place) -> Place:
        """LATERAL is a subquery for each row: what it reads must be where the row is."""
        for source in query.sources:
            if not source.lateral:
                continue
            inner = source.query
            assert inner is not None
            if reads_no_parts(inner):
                continue
            if place.one or not isinstance(inner, Select) or inner.ctes:
                return Place.no(f"LATERAL {shown(source.name)} reads other distributed rows")
            found = self.block(inner, place)
            if not found.ok:
                return found
        return place

    def _check_subqueries(self, query: Select, place: Place) -> Place:
        for sub in subqueries(query):
            if reads_no_parts(sub.query):
                if place.one or not _cuts_rows(sub.query):
                    continue
                return Place.no("a subquery has a LIMIT")
            if place.one:
                return Place.no("a subquery reads a distributed table, its query none")
            inner = sub.query
            if not isinstance(inner, Select) or inner.ctes:
                return Place.no("a subquery is a set operation over distributed tables")
            found = self.block(inner, place)
            if not found.ok:
                return found
        return place


def _cuts_rows(query: Query) -> bool:
    return any(
        q.limit is not None or (isinstance(q, Select) and q.row_limit is not None)
        for q in all_queries(query)
    )


def _not_together(source: Source, others: list[Source]) -> str:
    names = ", ".join(shown(s.name) for s in others) or "nothing distributed"
    return f"the rows of {shown(source.name)} are not placed with those of {names}"


class Groups:
    """Which sources of a block are co-located."""

    def __init__(self, places: dict[int, Place], outer: Place | None) -> None:
        self.places = places
        self.outer = outer
        self._parent: dict[int, int] = {}

    def _find(self, number: int) -> int:
        while (parent := self._parent.get(number, number)) != number:
            number = parent
        return number

    def _linked(
        self,
        a: dict[LocatorId, tuple[Member, ...]],
        b: dict[LocatorId, tuple[Member, ...]],
        classes: Classes,
    ) -> bool:
        for key, members in a.items():
            others = b.get(key)
            if others is not None and all(
                classes.find(x) == classes.find(y) for x, y in zip(members, others, strict=True)
            ):
                return True
        return False

    def link_all(self, parts: list[Source], classes: Classes) -> None:
        """Link by equalities that hold for every row of the result."""
        for i, a in enumerate(parts):
            locators = self.places[id(a)].locators
            if self.outer is not None and self._linked(locators, self.outer.locators, classes):
                self._parent[self._find(id(a))] = self._find(0)
            for b in parts[:i]:
                if self._linked(locators, self.places[id(b)].locators, classes):
                    self._parent[self._find(id(a))] = self._find(id(b))

    def attach(self, source: Source, before: list[Source], classes: Classes) -> bool:
        """Link the right side of a LEFT join to one source before it."""
        locators = self.places[id(source)].locators
        for other in before:
            if self._linked(locators, self.places[id(other)].locators, classes):
                self._parent[self._find(id(source))] = self._find(id(other))
                return True
        return False

    def together(self, a: Source, b: Source) -> bool:
        """Same group?"""
        return self._find(id(a)) == self._find(id(b))

    def with_outer(self, source: Source) -> bool:
        """In the group of the block around?"""
        return self._find(id(source)) == self._find(0)


# -- questions about blocks ------------------------------------------------------------------------
def reads_no_parts(query: Query) -> bool:
    """Only DUPLICATE tables or none, however deep."""
    return all(
        s.table is None
        or (s.table.distribution is Distribution.DUPLICATE and not s.table.temporary)
        for s in all_sources(query)
    )


def covers(exprs: list[Expr] | tuple[Expr, ...], place: Place) -> bool:
    """Do these expressions contain all columns of a locator?"""
    have = {place.classes.find(e.key()) for e in exprs if isinstance(e, ColumnExpr)}
    return any(
        all(place.classes.find(m) in have for m in members) for members in place.locators.values()
    )


def windows_local(query: Select, place: Place) -> bool:
    """Is every window partitioned by a locator?"""
    tops = [i.expr for i in query.items] + [o.expr for o in query.order] + query.having
    return all(
        covers(e.partition, place) for t in tops for e in walk(t) if isinstance(e, WindowExpr)
    )


def block_route(catalog: Catalog, place: Place) -> Route | None:
    """The route that the block's bound values allow; None: everywhere."""
    best: Route | None = None
    entries = any(s.table is not None and s.table.schema == "GI" for s in place.sources)
    for locator, members in place.locators.items():
        choices = [place.classes.choices(m) for m in members]
        if any(c is None for c in choices):
            continue
        lists = [c for c in choices if c is not None]
        count = 1
        for values in lists:
            count *= len(values)
        if count > KEYS_MAX:
            continue
        keys = tuple(tuple(k) for k in product(*lists))
        if locator[0] == "hash":
            route = Route("keys", keys=keys, index_id=_ENTRIES if entries else 0)
        else:
            found = _index_route(catalog, locator, keys)
            if found is None:
                continue
            route = found
        if best is None or _rank(route) < _rank(best):
            best = route
    return best if best is not None else _sets_by_index(place)


def _sets_by_index(place: Place) -> Route | None:
    """Where a global index that is not unique has rows of the values that its columns have."""
    for source in place.sources:
        table = source.table if source.join != "left" else None  # the rows of it need one of these
        for index in table.indexes if table is not None else ():
            if not index.is_global or index.unique:
                continue
            choices = [place.classes.choices(("col", id(source), c)) for c in index.columns]
            key = tuple(c[0] for c in choices if c is not None and len(c) == 1)
            if table is not None and len(key) == len(choices):
                route = _by_index(table, index, key)
                if route is not None:
                    return route
    return None


def _rank(route: Route) -> tuple[int, int]:
    return (len(route.keys), 0 if route.kind == "keys" else 1)


def _index_route(
    catalog: Catalog, locator: LocatorId, keys: tuple[tuple[RouteValue, ...], ...]
) -> Route | None:
    """Through the global index on the columns of a "row" locator, if there is one."""
    table = catalog.by_id.get(locator[1])  # type: ignore[call-overload]
    if not isinstance(table, Table) or len(keys) != 1:
        return None
    for index in table.indexes:
        if index.is_global and index.unique and tuple(sorted(index.columns)) == locator[2]:
            by_name = dict(zip(sorted(index.columns), keys[0], strict=True))
            return _by_index(table, index, tuple(by_name[c] for c in index.columns))
    return None


def _by_index(table: Table, index: Index, key: tuple[RouteValue, ...]) -> Route | None:
    """The route that looks the values `key` of the index's columns up; None: not comparable."""
    sources: list[ParamSource] = []
    conditions: list[str] = []
    types = {c.name: c.type for c in table.columns}
    for column, value in zip(index.columns, key, strict=True):
        if key_family(value.type) != key_family(types[column]):
            return None
        sources.append(value.source)
        text = index_value(f"?{len(sources)}", value.type, types[column])
        conditions.append(f'"{column}" = {text}')
    what = '"_TARGET"' if index.unique else 'DISTINCT "_TARGET"'
    sql = f'SELECT {what} FROM "GI.{index.id}" WHERE {" AND ".join(conditions)}'
    lookup = make_fragment(sql, tuple(sources))
    many = not index.unique
    return Route("global_index", table.id, (key,), index.id, lookup, many=many)


def index_value(text: str, from_type: SqlType, to_type: SqlType) -> str:
    """A routing value as SQLite text comparable with a stored column."""
    from data.sql.ir import Call as Node
    from data.sql.operators import comparable

    column = ColumnExpr(Source("x", "X", "table", []), "X", to_type)
    _left, right, _collate = comparable(column, Node(text, (), from_type))
    return _plain_text(right)


def _plain_text(expr: Expr) -> str:
    assert isinstance(expr, Call)
    return (
        expr.template.format(*[_plain_text(a) for a in expr.args]) if expr.args else expr.template
    )


__all__ = [
    "Classes",
    "Groups",
    "Place",
    "Placement",
    "block_route",
    "covers",
    "query_exprs",
    "reads_no_parts",
    "table_locators",
    "windows_local",
]
