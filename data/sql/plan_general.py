"""The general plan: what a query needs comes to the coordinator, and the query runs there. Pure.

It is always right. What makes it bearable: conditions and needed columns go with each table;
derived tables that can be made where their rows are, or merged, come as results; and tables are
gathered in the order of their size, each asked only for rows whose join keys were found before
(semi-join: Bernstein and Chiu, JACM 1981).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from data.catalog.element_ddl import has_bucket, key_columns, quoted, table_name
from data.catalog.objects import Distribution
from data.sql.ir import (
    Call,
    ColumnExpr,
    Expr,
    Item,
    Query,
    Select,
    SetOp,
    Source,
    SubqueryExpr,
    deep_exprs,
    subqueries,
)
from data.sql.placement import Classes, Place, block_route, reads_no_parts
from data.sql.plan_rewrite import (
    can_ship,
    concerns_only,
    conjuncts,
    implied,
    refers_out,
    table_ids,
)
from data.sql.plan_types import (
    ROUTE_ALL,
    ROUTE_LOCAL,
    ROUTE_SESSION,
    Fragment,
    Gather,
    KeyFilter,
    LockTable,
    QueryPlan,
    Special,
)
from data.sql.printer import Printer
from data.sql.scope import PSEUDO_COLUMNS
from protocol.sqltypes import BIGINT, BYTES_KINDS, SqlType

if TYPE_CHECKING:
    from data.sql.plan import Planner

LOCK_COLUMN = "_LOCK"  # and a number: a key column of rows to be locked
KEY_FILTERS_MAX = 2  # of one gather
KEYS_MAX = 200_000  # expected; how many they are is seen when the plan runs
SMALLER = 2.0  # keys of a table that is so many times smaller are worth waiting for

Columns = list[tuple[str, SqlType]]


@dataclass(slots=True, eq=False)
class Part:
    """One thing to gather: a table, or a derived table."""

    source: Source
    block: Select
    name: str
    plan: QueryPlan | None = None  # of a derived table that has to be merged
    own: list[Expr] = field(default_factory=list)  # conditions that go with it, exactly
    hints: list[Expr] = field(default_factory=list)  # conditions that follow from others
    rows: float = 1.0
    indexes: set[tuple[str, ...]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Edge:
    """Rows of `receiver` matter only if their `column` is among `provider`'s `key`."""

    receiver: int  # id of the source
    column: str
    provider: int
    key: str


class GeneralPlanner:
    """Makes the general plan of one query."""

    def __init__(self, planner: Planner, query: Query) -> None:
        self.planner = planner
        self.query = query
        self.placement = planner.placement
        self.parts: dict[int, Part] = {}  # by id of the source, in the order of the text

    def plan(self) -> QueryPlan:
        """The plan. Raises NotSupportedError."""
        query = self.query
        locked = self.planner.locked_sources(query) if query.lock is not None else []
        self._find_parts(query)
        restore = self._take_conditions()
        needed = self._needed_columns()
        edges = list(self._edges(query, restore))
        gathers, locks, hidden = self._gathers(needed, edges, locked)
        printer = Printer({key: part.name for key, part in self.parts.items()})
        columns = self.planner.result_columns(query)
        lock_clause, query.lock = query.lock, None
        locking = None
        visible = len(query.items)
        if lock_clause is not None:
            locking = self.planner.locking(lock_clause, tuple(locks), visible)
            query.items += hidden
        final = printer.fragment(printer.query(query))
        del query.items[visible:]
        for block, where, ons in restore:
            block.where = where
            for source, on in zip(block.sources, ons, strict=True):
                source.on = on
        plan = self.planner.finish(query, "general", tuple(gathers), final, locking)
        return replace(plan, columns=columns)

    # -- parts -------------------------------------------------------------------------------------
    def _find_parts(self, query: Query) -> None:
        """Every source that has to be gathered, not those inside gathered derived tables."""
        for cte in query.ctes:
            if cte.query is not None:
                self._find_parts(cte.query)
        if isinstance(query, SetOp):
            self._find_parts(query.left)
            self._find_parts(query.right)
        if isinstance(query, Select):
            for source in query.sources:
                if source.kind == "table":
                    self._add(source, query)
                elif source.query is not None and not self._whole(source, query):
                    self._find_parts(source.query)
        for sub in subqueries(query):
            self._find_parts(sub.query)

    def _add(self, source: Source, block: Select, plan: QueryPlan | None = None) -> None:
        if id(source) not in self.parts:
            self.parts[id(source)] = Part(source, block, f"g{len(self.parts) + 1}", plan)

    def _whole(self, source: Source, block: Select) -> bool:
        """Gather a derived table as it is: made where its rows are, or merged from there."""
        assert source.query is not None
        if source.lateral or reads_no_parts(source.query) or refers_out(source.query):
            return False
        if self.placement.source_place(source).ok:
            self._add(source, block)
            return True
        merged = self.planner.merged(source.query)
        if merged is None:
            return False
        self._add(source, block, merged)
        return True

    # -- conditions --------------------------------------------------------------------------------
    def _take_conditions(self) -> list[tuple[Select, list[Expr], list[list[Expr]]]]:
        """Each part takes its conditions out of its block; what to put back afterwards."""
        taken: list[tuple[Select, list[Expr], list[list[Expr]]]] = []
        blocks = {id(p.block): p.block for p in self.parts.values()}
        for block in blocks.values():
            taken.append((block, block.where, [s.on for s in block.sources]))
            block.where = list(block.where)
            for source in block.sources:
                source.on = list(source.on)
        for part in self.parts.values():
            if part.source.kind == "table":
                self._own_conditions(part)
            part.rows = self.planner.costs.source_rows(part.source, part.own + part.hints)
        return taken

    def _own_conditions(self, part: Part) -> None:
        """Conjuncts that concern only this source and may be applied before the joins."""
        block, source = part.block, part.source
        if any(s.join in ("right", "full") for s in block.sources):
            return
        lists = [source.on] if source.join == "left" else []
        if source.join != "left":
            lists = [block.where, *(s.on for s in block.sources if s.join in ("", "inner"))]
        for conditions in lists:
            for condition in list(conditions):
                if concerns_only(condition, {id(source)}):
                    part.own.append(condition)
                    conditions.remove(condition)
                elif (hint := implied(condition, source)) is not None:
                    part.hints.append(hint)

    def _needed_columns(self) -> dict[int, set[str]]:
        """What the final query still asks of each part."""
        needed: dict[int, set[str]] = {key: set() for key in self.parts}
        for expr in deep_exprs(self.query):
            if isinstance(expr, ColumnExpr) and id(expr.source) in needed:
                needed[id(expr.source)].add(expr.name)
        return needed

    # -- edges -------------------------------------------------------------------------------------
    def _edges(
        self, query: Query, blocks: list[tuple[Select, list[Expr], list[list[Expr]]]]
    ) -> Iterator[Edge]:
        """What equalities say about which rows matter."""
        for block, _, _ in blocks:
            if any(s.join in ("right", "full") for s in block.sources):
                self._index_outer_joins(block)
                continue
            own = {id(s) for s in block.sources}
            inner = [c for s in block.sources if s.join in ("", "inner") for c in s.on]
            for condition in block.where + inner:
                for part in conjuncts(condition):
                    yield from self._both_ways(part, own)
                    yield from self._from_in(part, own)
            for source in block.sources:
                for condition in source.on if source.join == "left" else []:
                    for a, b in _equal_columns(condition):
                        if a.source is source and b.source is not source:
                            yield Edge(id(a.source), a.name, id(b.source), b.name)

    def _index_outer_joins(self, block: Select) -> None:
        """SQLite makes indexes for itself as it goes, but not for the side it must not lose."""
        for source in block.sources:
            for condition in source.on if id(source) in self.parts else []:
                for a, _ in _equal_columns(condition):
                    if a.source is source:
                        self.parts[id(source)].indexes.add((a.name,))

    def _both_ways(self, condition: Expr, own: set[int]) -> Iterator[Edge]:
        for a, b in _equal_columns(condition):
            if id(a.source) in own and a.source is not b.source:
                yield Edge(id(a.source), a.name, id(b.source), b.name)
                if id(b.source) not in own and id(a.source) in self.parts:
                    self.parts[id(a.source)].indexes.add((a.name,))

    def _from_in(self, condition: Expr, own: set[int]) -> Iterator[Edge]:
        """column IN (SELECT column …)."""
        if not isinstance(condition, SubqueryExpr) or condition.kind != "in" or condition.negated:
            return
        inner = condition.query
        if not isinstance(inner, Select) or inner.limit is not None or inner.row_limit is not None:
            return
        if inner.offset is not None:
            return
        keys = {g.key() for g in inner.group}
        for left, item in zip(condition.left, inner.items, strict=True):
            a, b = left, item.expr
            if not (isinstance(a, ColumnExpr) and isinstance(b, ColumnExpr) and _alike(a, b)):
                continue
            if id(a.source) not in own or (inner.grouped and b.key() not in keys):
                continue
            if any(s.join in ("right", "full") for s in inner.sources):
                continue
            if any(b.source is s and s.join == "left" for s in inner.sources):
                continue
            if b.source in inner.sources and not inner.windowed:
                yield Edge(id(b.source), b.name, id(a.source), a.name)
                yield Edge(id(a.source), a.name, id(b.source), b.name)

    # -- gathers -----------------------------------------------------------------------------------
    def _gathers(
        self, needed: dict[int, set[str]], edges: list[Edge], locked: list[Source]
    ) -> tuple[list[Gather], list[LockTable], list[Item]]:
        by_receiver: dict[int, list[Edge]] = {}
        for edge in edges:
            by_receiver.setdefault(edge.receiver, []).append(edge)
        gathers: dict[int, Gather] = {}
        locks: list[LockTable] = []
        hidden: list[Item] = []  # the keys to lock, behind the visible items
        done: set[int] = set()
        left = dict(self.parts)
        while left:  # the smallest first: what it says makes others smaller
            ways = {
                key: self._providers(part, by_receiver.get(key, []), done)
                for key, part in left.items()
            }
            sizes = {key: self._restricted(part, ways[key]) for key, part in left.items()}
            key = min(left, key=lambda k: sizes[k])
            part = left.pop(key)
            part.rows = sizes[key]
            if part.source.kind == "query":
                gathers[key] = self._gather_derived(part)
            else:
                gathers[key] = self._gather_table(part, needed[key], ways[key], locked)
            done.add(key)
        by_text = [self._finished(key, gathers[key], needed[key]) for key in self.parts]
        for key, part in self.parts.items():
            if part.source not in locked:
                continue
            locks.append(lock_table(part.source, len(self.query.items) + len(hidden)))
            hidden += [
                Item("", ColumnExpr(part.source, column, kind))
                for column, kind in gathers[key].columns
                if column.startswith(LOCK_COLUMN)
            ]
        return by_text, locks, hidden

    def _finished(self, key: int, gather: Gather, needed: set[str]) -> Gather:
        names = {n for n, _ in gather.columns}
        assert needed <= names or gather.plan is not None, (needed, names)
        wanted = {i for i in self.parts[key].indexes if set(i) <= names}
        return replace(gather, indexes=tuple(sorted(wanted)))

    def _providers(self, part: Part, edges: list[Edge], done: set[int]) -> list[Edge]:
        """The equalities whose other side is read before, and small."""
        found: dict[tuple[int, str], Edge] = {}
        for edge in edges:
            if edge.provider not in done:
                continue
            provider = self.parts[edge.provider]
            if provider.rows * SMALLER <= part.rows and provider.rows < KEYS_MAX:
                found.setdefault((edge.provider, edge.key), edge)
        chosen = sorted(found.values(), key=lambda e: self.parts[e.provider].rows)
        return chosen[:KEY_FILTERS_MAX]

    def _restricted(self, part: Part, providers: list[Edge]) -> float:
        """Rows with keys of these, as if each had one in the whole table, as children have."""
        rows = part.rows
        for key in {edge.provider for edge in providers}:
            provider = self.parts[key]
            whole = self.planner.costs.source_rows(provider.source, ())
            rows *= min(1.0, provider.rows / whole)
        return max(rows, 1.0)

    def _gather_derived(self, part: Part) -> Gather:
        source, columns = part.source, tuple(part.source.columns)
        assert source.query is not None
        ids = table_ids(source.query)
        if part.plan is not None:
            nothing = Fragment("SELECT 1")
            return Gather(
                part.name, nothing, ROUTE_ALL, columns, tables=ids, plan=part.plan, rows=part.rows
            )
        route = ROUTE_ALL
        if isinstance(source.query, Select):
            place = self.placement.block(source.query)
            route = block_route(self.planner.catalog, place) or ROUTE_ALL
        printer = Printer()
        names = [n for n, _ in source.columns]
        fragment = printer.fragment(printer.query(source.query, names))
        return Gather(part.name, fragment, route, columns, tables=ids, rows=part.rows)

    def _gather_table(
        self, part: Part, needed: set[str], providers: list[Edge], locked: list[Source]
    ) -> Gather:
        source = part.source
        table = source.table
        assert table is not None
        printer = Printer()
        columns, texts = self._column_texts(part, needed, locked)
        conditions = part.own + part.hints
        where = [printer.expr(c) for c in conditions]
        sql = f"SELECT {', '.join(texts)} FROM {quoted(table_name(table))} AS {source.alias}"
        sql += source.index_hint
        fragment = printer.fragment(sql + _where(where))
        keyed = None
        keys: list[KeyFilter] = []
        for edge in providers:
            number = self.planner.next_number()
            keys.append(KeyFilter(number, self.parts[edge.provider].name, edge.key))
            mark = printer.parameter(Special("rows", number))
            where.append(
                f"{source.alias}.{quoted(edge.column)} IN "
                f"(SELECT value ->> 0 FROM json_each({mark}))"
            )
            keyed = printer.fragment(sql + _where(where))
        route = self._route(part, conditions)
        return Gather(
            part.name,
            fragment,
            route,
            tuple(columns),
            tables=(table.id,),
            keys=tuple(keys),
            keyed=keyed,
            rows=part.rows,
        )

    def _route(self, part: Part, conditions: list[Expr]):  # type: ignore[no-untyped-def]
        table = part.source.table
        assert table is not None
        if table.temporary:
            return ROUTE_SESSION
        if table.distribution is Distribution.DUPLICATE:
            return ROUTE_LOCAL
        classes = Classes()
        for condition in conditions:
            classes.add(condition)
        own = self.placement.source_place(part.source)
        place = Place(ok=True, classes=classes, locators=own.locators, sources=(part.source,))
        return block_route(self.planner.catalog, place) or ROUTE_ALL

    def _column_texts(
        self, part: Part, needed: set[str], locked: list[Source]
    ) -> tuple[Columns, list[str]]:
        source, table = part.source, part.source.table
        assert table is not None
        columns: Columns = []
        texts: list[str] = []
        for column in table.columns:
            if column.name in needed:
                columns.append((column.name, column.type))
                texts.append(f"{source.alias}.{quoted(column.name)}")
        for pseudo, (text, _) in PSEUDO_COLUMNS.items():
            if pseudo in needed:
                columns.append((pseudo, BIGINT))
                texts.append(f"{text} AS {quoted(pseudo)}")
        for hidden in ("_ROWKEY", "_BUCKET"):
            if hidden in needed:
                columns.append((hidden, BIGINT))
                texts.append(f"{source.alias}.{quoted(hidden)}")
        if source in locked:
            types = {c.name: c.type for c in table.columns}
            for key in (*key_columns(table), *(("_BUCKET",) if has_bucket(table) else ())):
                columns.append((f"{LOCK_COLUMN}{len(columns)}", types.get(key, BIGINT)))
                texts.append(f"{source.alias}.{quoted(key)}")
        if not columns:
            columns.append(("_ONE", BIGINT))
            texts.append("1")
        return columns, texts


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _alike(a: ColumnExpr, b: ColumnExpr) -> bool:
    """Equal values of both are stored equally, and come unchanged through JSON."""
    kinds = {a.type.kind, b.type.kind}
    return can_ship([a.type, b.type]) and not kinds & BYTES_KINDS


def _equal_columns(condition: Expr) -> Iterator[tuple[ColumnExpr, ColumnExpr]]:
    """column = column, both ways round, if they are compared as they are stored."""
    if not isinstance(condition, Call) or condition.template != "({0} = {1})":
        return
    a, b = condition.args
    if isinstance(a, ColumnExpr) and isinstance(b, ColumnExpr) and _alike(a, b):
        yield a, b
        yield b, a


def lock_table(source: Source, first_column: int) -> LockTable:
    """Rows of a source to lock, their keys from that column on."""
    table = source.table
    assert table is not None
    return LockTable(table.id, first_column, len(key_columns(table)), has_bucket(table))
